"""train.py: constants, learning, refusing, what is written."""

import csv
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT, TEST, TRAIN, write_set

import model
import train
from common import plots
from common import settings as flags
from common.session import cpu_has_bfloat16, tf

SMALL = {"kernel_size": 3, "conv_1_filters": 5, "conv_2_filters": 7, "fc_units": 64}


def run_in_process(
    monkeypatch: pytest.MonkeyPatch,
    data_dir: Path,
    save_dir: Path,
    *flags: str,
    draw: bool = False,
    **constants: object,
) -> Path:
    """Run train.py's main with flags, edited constants and a small network.

    Its curves, a third of the time, are drawn only where asked for.
    """
    if not draw:
        monkeypatch.setattr(plots, "curves", lambda *_: None)
        monkeypatch.setattr(plots, "save", lambda *_: None)
    defaults = {"DATA_DIR": data_dir, "SAVE_DIR": save_dir, "THREADS": 1}
    defaults |= {"STEPS": 6, "BATCH_SIZE": 26, "VALIDATION_SIZE": 13, "EVAL_STEPS": 1}
    for name, value in (defaults | constants).items():
        monkeypatch.setattr(train, name, value)
    monkeypatch.setitem(model.ARCHITECTURES, "cnn", SMALL)
    monkeypatch.setattr(sys, "argv", ["train.py", *flags])
    train.main()
    return Path(train.SAVE_DIR)


@pytest.fixture
def run_train(
    monkeypatch: pytest.MonkeyPatch, tiny_dir: Path, tmp_path: Path
) -> Callable[..., Path]:
    """Run train.py in this process on the tiny set; gives the folder it wrote."""
    return functools.partial(run_in_process, monkeypatch, tiny_dir, tmp_path / "save")


def fingerprint(save_dir: Path) -> dict[str, object]:
    """Return what tells two runs apart."""
    config = json.loads((save_dir / "config.json").read_text())
    reader = tf.train.load_checkpoint(str(save_dir / config["best"]))
    digest = hashlib.sha256()
    for name in sorted(reader.get_variable_to_shape_map()):
        digest.update(reader.get_tensor(name).tobytes())
    return {
        "weights": digest.hexdigest(),
        "history": (save_dir / "history.csv").read_text(),
        "test accuracy": config["test_accuracy"],
        "data": config["dataset"],
        "checkpoints": list(config["checkpoints"]),
    }


# For each constant another value than `run_train` or the file gives it.
OTHER_VALUES = {
    "DATASET": "digits",
    "DATA_DIR": "another",
    "SAVE_DIR": "elsewhere",
    "VALIDATION_SIZE": 20,
    "NETWORK": "mlp_128",
    "OPTIMIZER": "sgd",
    "LOSS": "quadratic",
    "SEED": 2,
    "STEPS": 5,
    "EPOCHS": 1.5,
    "BATCH_SIZE": 25,
    "LEARNING_RATE": 2e-3,
    "SCHEDULE": "constant",
    "WARMUP": 0.6,
    "KEEP_PROB": 0.6,
    "LABEL_SMOOTHING": 0.2,
    "AUGMENT": 0.5,
    "BFLOAT16": "off",
    "THREADS": 2,
    "EVAL_STEPS": 6,
    "CHECKPOINT_SECONDS": 0,
}


@pytest.fixture(scope="module")
def unchanged(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The fingerprint of a run with the values that `run_train` gives."""
    folder = tmp_path_factory.mktemp("unchanged")
    with pytest.MonkeyPatch.context() as monkeypatch:
        return fingerprint(run_in_process(monkeypatch, tiny_dir, folder / "save"))


def test_the_same_constants_give_the_same_run(
    run_train: Callable[..., Path], unchanged: dict[str, object]
) -> None:
    assert fingerprint(run_train()) == unchanged


def test_every_constant_has_another_value_to_try() -> None:
    assert list(OTHER_VALUES) == list(flags.RULES)


@pytest.mark.parametrize(
    "name", [name for name in OTHER_VALUES if name not in ("SAVE_DIR", "THREADS")]
)
def test_every_constant_changes_the_run(
    name: str,
    run_train: Callable[..., Path],
    unchanged: dict[str, object],
    tmp_path: Path,
) -> None:
    if name == "BFLOAT16" and not cpu_has_bfloat16():
        pytest.skip("this CPU has no bfloat16")
    value = OTHER_VALUES[name]
    if name == "DATA_DIR":
        value = write_set(tmp_path / value, seed=1)
    assert fingerprint(run_train(**{name: value})) != unchanged


def test_threads_and_save_dir_reach_what_they_name(
    run_train: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = []
    original = train.session_config

    def session_config(threads: int, bfloat16: bool) -> tf.ConfigProto:
        asked.append(original(threads, bfloat16).intra_op_parallelism_threads)
        return original(threads, bfloat16)

    monkeypatch.setattr(train, "session_config", session_config)
    for threads in (1, 2, 0):
        run_train(THREADS=threads, STEPS=1, SAVE_DIR=tmp_path / "elsewhere")
    assert asked == [1, 2, len(os.sched_getaffinity(0))]
    assert (tmp_path / "elsewhere" / "config.json").exists()
    assert not (tmp_path / "save").exists()


def test_a_separable_set_is_learned_completely(
    run_train: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    save_dir = run_train(
        STEPS=150,
        EVAL_STEPS=30,
        AUGMENT=0,
        LABEL_SMOOTHING=0,
        LEARNING_RATE=3e-3,
        draw=True,
    )
    out = capsys.readouterr().out.splitlines()
    assert out[-2] == f"test accuracy 1.0000 ({TEST}/{TEST})"
    assert out[-1] == "next: python predict.py --index 1"
    # 130 training images are 5 steps an epoch, so a line every 6 epochs.
    assert [line.split()[1] for line in out[:-2]] == [
        f"{epoch}/30" for epoch in (6, 12, 18, 24, 30)
    ]
    line = (
        r"epoch    6/30  loss \d\.\d{4}  "
        r"validation accuracy [01]\.\d{4} \(\d+/13\)  \d+\.\d s"
    )
    assert re.fullmatch(line, out[0])
    with (save_dir / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [30, 60, 90, 120, 150]
    assert float(rows[-1]["training_loss"]) < float(rows[0]["training_loss"])
    assert (save_dir / "curves.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((save_dir / "config.json").read_text())
    assert config["validation_accuracy"] == 1
    assert len(config["dataset"].pop("sha256")) == 64
    assert config["dataset"] == {
        "name": "own",
        "train": TRAIN - 13,
        "validation": 13,
        "test": TEST,
    }


@pytest.mark.parametrize(
    ("epochs", "text"),
    [(2.50627, "2.51"), (5.0, "5"), (200.0, "200"), (999.7, "1000"), (2e4, "20000")],
)
def test_numbers_of_epochs_are_short(epochs: float, text: str) -> None:
    row = {"epoch": epochs, "training_loss": 0.1, "validation_accuracy": None}
    line = train.report_line(row, epochs, 0, 1.0)
    assert line == f"epoch {text:>4}/{text}  loss 0.1000  no validation  1.0 s"


def test_no_validation_images_is_a_choice(run_train: Callable[..., Path]) -> None:
    save_dir = run_train(VALIDATION_SIZE=0, draw=True)
    assert (save_dir / "curves.png").exists()
    with (save_dir / "history.csv").open() as file:
        assert next(csv.DictReader(file))["validation_accuracy"] == ""
    config = json.loads((save_dir / "config.json").read_text())
    assert config["best"] == "model.ckpt-6"


@pytest.mark.parametrize(
    ("learning_rate", "message"),
    # At 1e20 relu turns every NaN into 0: the loss alone would tell nothing.
    [(1e10, "the loss is nan"), (1e20, "weights are no longer finite")],
)
def test_a_run_that_diverges_stops_and_keeps_the_last_good_checkpoint(
    learning_rate: float, message: str, run_train: Callable[..., Path]
) -> None:
    save_dir = run_train()
    before = {path: path.read_bytes() for path in save_dir.iterdir()}
    message += r" at step \d+: stopped, nothing of that was saved"
    with pytest.raises(train.cli.UserError, match=message):
        run_train(LEARNING_RATE=learning_rate, STEPS=50, EVAL_STEPS=1000)
    assert {path: path.read_bytes() for path in save_dir.iterdir()} == before


BAD_VALUES = {
    "DATASET": "cifar",
    "VALIDATION_SIZE": -1,
    "NETWORK": "resnet",
    "OPTIMIZER": "lion",
    "LOSS": "hinge",
    "SEED": 2**31,
    "STEPS": 0,
    "EPOCHS": -2,
    "BATCH_SIZE": 2.5,
    "LEARNING_RATE": 0,
    "SCHEDULE": "linear",
    "WARMUP": 1.1,
    "KEEP_PROB": 0,
    "LABEL_SMOOTHING": "nan",
    "AUGMENT": "much",
    "BFLOAT16": True,
    "THREADS": -1,
    "EVAL_STEPS": 0,
    "CHECKPOINT_SECONDS": -1,
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_bad_values_are_named_in_one_line(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    run_train: Callable[..., Path],
) -> None:
    value = BAD_VALUES[name]
    message = f"{name} is {value}; it must be {flags.RULES[name][2]}"
    with pytest.raises(train.cli.UserError, match=re.escape(message)):
        run_train(**{name: value})
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", ["train.py", f"--{name.lower()}", str(value)])
    with pytest.raises(SystemExit) as status:
        train.main()
    assert status.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_sizes_are_checked_against_the_data(run_train: Callable[..., Path]) -> None:
    with pytest.raises(train.cli.UserError, match=r"BATCH_SIZE is 131; .* 1 to 130"):
        run_train(BATCH_SIZE=131)
    with pytest.raises(train.cli.UserError, match="VALIDATION_SIZE is 143; "):
        run_train(VALIDATION_SIZE=143)
    with pytest.raises(ValueError, match=r"validation size is 144; .* 0 to 143"):
        run_train(VALIDATION_SIZE=144)


def read_settings() -> SimpleNamespace:
    """Return what train.py reads of its constants and flags."""
    return flags.read_settings(vars(train), train.RECIPES, "")


def test_a_length_flag_replaces_the_other_constant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(train, "EPOCHS", 3.0)
    monkeypatch.setattr(sys, "argv", ["train.py", "--steps", "7"])
    assert flags.resolve(read_settings(), 1000)["steps"] == 7
    monkeypatch.setattr(sys, "argv", ["train.py", "--epochs", "1.5"])
    # 15.015 batches of 100.
    assert flags.resolve(read_settings(), 1001)["steps"] == 16
    monkeypatch.setattr(sys, "argv", ["train.py", "--epochs", "1", "--steps", "7"])
    with pytest.raises(SystemExit):
        read_settings()
    assert "not allowed with argument --epochs" in capsys.readouterr().err


@pytest.mark.parametrize("name", train.RECIPES)
def test_a_recipe_replaces_constants_and_a_flag_replaces_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "KEEP_PROB", 0.7)
    monkeypatch.setattr(train, "EPOCHS", 3.0)
    argv = ["train.py", "--recipe", name]
    monkeypatch.setattr(sys, "argv", argv)
    settings = read_settings()
    for key, value in train.RECIPES[name].items():
        assert getattr(settings, key.lower()) == value, key
    assert settings.keep_prob == train.RECIPES[name].get("KEEP_PROB", 0.7)
    argv += ["--batch_size", "33", "--steps", "7"]
    settings = read_settings()
    assert (settings.batch_size, settings.steps, settings.epochs) == (33, 7, 0)


def test_imports_are_silent_and_write_nothing(tmp_path: Path) -> None:
    code = "import sys, input_data, common.plots\n"
    code += "assert 'tensorflow' not in sys.modules\n"
    code += "import train, predict, model, saving.resume, handwriting.pictures"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_constants_edited_in_a_copy_from_another_folder(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for script in ROOT.glob("*.py"):
        shutil.copy(script, project)
    for room in ("common", "saving", "handwriting"):
        shutil.copytree(ROOT / room, project / room)
    write_set(project / "data")
    text = (project / "train.py").read_text()
    for name, value in (("STEPS", 3), ("BATCH_SIZE", 50), ("VALIDATION_SIZE", 13)):
        text = re.sub(rf"(?m)^{name} = \S+", f"{name} = {value}", text)
    (project / "train.py").write_text(text)
    done = subprocess.run(
        [sys.executable, project / "train.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "next: python predict.py --index 1"
    assert all("not MNIST" in line for line in done.stderr.splitlines())
    constants = json.loads((project / "save_model" / "config.json").read_text())
    assert constants["constants"]["data_dir"] == "data"
    assert constants["constants"]["steps"] == 3


def test_real_mnist_is_learned_in_a_few_steps(
    mnist_dir: Path, run_train: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    run_train(
        DATA_DIR=mnist_dir,
        VALIDATION_SIZE=59000,
        STEPS=100,
        BATCH_SIZE=50,
        LEARNING_RATE=3e-3,
        EVAL_STEPS=100,
    )
    accuracy = float(re.search(r"test accuracy (\S+)", capsys.readouterr().out)[1])
    # 1,000 training images and a small network; chance is 0.1.
    assert accuracy > 0.8
