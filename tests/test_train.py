"""train.py: constants, learning, refusing, what is written."""

import csv
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import TEST, TRAIN, fingerprint, run_in_process, write_set

import input_data
import predict
import train
from common.calibration import fit_temperature
from common.paths import ROOT
from common.session import cpu_has_bfloat16, tf
from common.settings import RULES, CommandLine, Length, read_command_line
from input_data import NOT_MNIST
from saving import checkpoints


@pytest.fixture
def run_train(
    monkeypatch: pytest.MonkeyPatch, tiny_dir: Path, tmp_path: Path
) -> Callable[..., Path]:
    """Run train.py in this process on the tiny set; gives the folder it wrote."""
    return functools.partial(run_in_process, monkeypatch, tiny_dir, tmp_path / "save")


# For each constant another value than `run_train` or the file gives it.
OTHER_VALUES = {
    "DATASET": "mnist_5k",
    "DATA_DIR": "another",
    "SAVE_DIR": "elsewhere",
    "VALIDATION_SIZE": 20,
    "NETWORK": "mlp_128",
    "OPTIMIZER": "sgd",
    "LOSS": "quadratic",
    "SEED": 2,
    "LENGTH": "1.5 epochs",
    "BATCH_SIZE": 25,
    "LEARNING_RATE": 3e-3,
    "SCHEDULE": "constant",
    "WARMUP": 0.6,
    "KEEP_PROB": 0.6,
    "LABEL_SMOOTHING": 0.2,
    "AUGMENT": 0.5,
    "BFLOAT16": "off",
    "THREADS": 2,
    "MIN_EVAL_STEPS": 6,
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
    assert [name.lower() for name in OTHER_VALUES] == list(RULES)


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
        run_train(THREADS=threads, LENGTH="1 step", SAVE_DIR=tmp_path / "elsewhere")
    assert asked == [1, 2, len(os.sched_getaffinity(0))]
    assert (tmp_path / "elsewhere" / "config.json").exists()
    assert not (tmp_path / "save").exists()


def test_a_separable_set_is_learned_completely(
    run_train: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    save_dir = run_train(
        LENGTH="150 steps",
        MIN_EVAL_STEPS=30,
        AUGMENT=0,
        LABEL_SMOOTHING=0,
        LEARNING_RATE=3e-3,
        draw=True,
    )
    out = capsys.readouterr().out.splitlines()
    assert out[-2] == f"test accuracy 1.0000 ({TEST}/{TEST})"
    assert out[-1] == f"next: python predict.py --index 1 --save_dir {save_dir}"
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
    assert len(config["data"].pop("sha256")) == 64
    assert config["data"] == {
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
    assert train.epochs_text(epochs) == text


def test_no_validation_images_is_a_choice(run_train: Callable[..., Path]) -> None:
    save_dir = run_train(VALIDATION_SIZE=0, draw=True)
    assert (save_dir / "curves.png").exists()
    with (save_dir / "history.csv").open() as file:
        assert next(csv.DictReader(file))["validation_accuracy"] == ""
    config = json.loads((save_dir / "config.json").read_text())
    assert config["best"] == "model.ckpt-6"


@pytest.mark.parametrize("message", ["the loss is nan", "weights are no longer finite"])
def test_a_run_that_diverges_stops_and_keeps_the_last_good_checkpoint(
    message: str, run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_dir = run_train()
    before = {p: p.read_bytes() for p in save_dir.rglob("*") if p.is_file()}
    run_steps = train.run_steps

    def spoiling_steps(session: tf.Session, *args: object) -> Iterator[int]:
        """Spoil a weight after the step: some processors' relu turns NaN into 0."""
        for step in run_steps(session, *args):
            bias = tf.trainable_variables()[-1]
            bias.load(np.full(10, np.nan), session)
            yield step

    constants = {"LENGTH": "50 steps", "LEARNING_RATE": 1e10, "MIN_EVAL_STEPS": 1000}
    if "weights" in message:
        monkeypatch.setattr(train, "run_steps", spoiling_steps)
        constants = {"LENGTH": "1 step"}
    message += r" at step \d+: stopped; these weights were not saved"
    with pytest.raises(train.cli.UserError, match=message):
        run_train(**constants)
    after = {p: p.read_bytes() for p in save_dir.rglob("*") if p.is_file()}
    assert after == before


BAD_VALUES = {
    "DATASET": "cifar",
    "VALIDATION_SIZE": -1,
    "NETWORK": "resnet",
    "OPTIMIZER": "lion",
    "LOSS": "hinge",
    "SEED": 2**31,
    "LENGTH": "-2 epochs",
    "BATCH_SIZE": 2.5,
    "LEARNING_RATE": 0,
    "SCHEDULE": "step",
    "WARMUP": 1.1,
    "KEEP_PROB": 0,
    "LABEL_SMOOTHING": "nan",
    "AUGMENT": "much",
    "BFLOAT16": True,
    "THREADS": -1,
    "MIN_EVAL_STEPS": 0,
    "CHECKPOINT_SECONDS": -1,
}


# What the messages say is accepted, written out by hand.
ACCEPTED = {
    "DATASET": "one of auto, mnist, mnist_5k",
    "VALIDATION_SIZE": "a whole number of images, 0 or more",
    "NETWORK": "one of cnn, mlp_512, mlp_1024_512_256, mlp_128, sigmoid_30",
    "OPTIMIZER": "one of adam, rmsprop, sgd",
    "LOSS": "one of cross_entropy, quadratic",
    "SEED": "a whole number from 0 to 2147483647",
    "LENGTH": 'a length such as "2750 steps" or "5 epochs"',
    "BATCH_SIZE": "a whole number of images, 1 or more",
    "LEARNING_RATE": "a number above 0, or auto",
    "SCHEDULE": "one of linear, cosine, constant",
    "WARMUP": "a share from 0 to 1",
    "KEEP_PROB": "a share above 0, up to 1",
    "LABEL_SMOOTHING": "a share from 0 to below 1",
    "AUGMENT": "a number from 0 to 5",
    "BFLOAT16": "one of auto, on, off",
    "THREADS": "a whole number from 0 to 1024",
    "MIN_EVAL_STEPS": "a whole number of steps, 1 or more",
    "CHECKPOINT_SECONDS": "a number of seconds, 0 or more",
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_bad_values_are_named_in_one_line(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    run_train: Callable[..., Path],
) -> None:
    value = BAD_VALUES[name]
    message = f"{name} is {value}; it must be {ACCEPTED[name]}"
    with pytest.raises(train.cli.UserError, match=re.escape(message)):
        run_train(**{name: value})
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", ["train.py", f"--{name.lower()}={value}"])
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


def read(*flags: str) -> CommandLine:
    """Return what train.py reads of its constants and these flags."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.py", *flags])
        return read_command_line(vars(train), train.RECIPES, "what it does")


def test_a_length_is_steps_or_epochs(capsys: pytest.CaptureFixture) -> None:
    for flags, length in (
        (["--steps", "7"], Length(7, "steps")),
        (["--epochs", "1.5"], Length(1.5, "epochs")),
        (["--length", "1 epoch"], Length(1, "epochs")),
        ([], Length(2750, "steps")),
    ):
        settings = read(*flags).settings
        assert settings.length == length
        assert Length.parse(str(settings.length)) == length
    assert Length(7, "steps").steps(1001, 100) == 7
    assert Length(1.5, "epochs").steps(1001, 100) == 16  # 15.015 batches
    with pytest.raises(SystemExit):
        read("--epochs", "1", "--steps", "7")
    assert "not allowed with argument --epochs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["", "5", "0 steps", "2.5 steps", "0 epochs", "nan epochs", "5 epochs 3", "auto"],
)
def test_what_is_no_length_is_refused(text: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        read("--length", text)
    assert f"LENGTH is {text}; it must be a length such as" in capsys.readouterr().err


@pytest.mark.parametrize("data", ["mnist", "mnist_5k", "own", "pictures"])
def test_the_data_set_decides_the_rate_unless_somebody_does(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = train.AUTO_RATES[data]
    assert read().with_auto_rate(rate).settings.learning_rate == rate
    monkeypatch.setattr(train, "LEARNING_RATE", 0.7)
    assert read().with_auto_rate(rate).settings.learning_rate == 0.7
    given = read("--learning_rate=0.6").with_auto_rate(rate)
    assert given.settings.learning_rate == 0.6
    assert read("--learning_rate=auto").settings.learning_rate == "auto"


def test_a_run_keeps_the_rate_that_its_data_set_had(
    run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(train.AUTO_RATES, "own", 3e-3)
    run_train(LENGTH="6 steps")
    monkeypatch.setitem(train.AUTO_RATES, "own", 2e-3)
    run = checkpoints.read_config(run_train("--resume", LENGTH="9 steps"))
    assert (run.step, run.settings.learning_rate) == (9, 3e-3)


@pytest.mark.parametrize("name", train.RECIPES)
def test_a_recipe_replaces_constants_and_a_flag_replaces_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "KEEP_PROB", 0.7)
    monkeypatch.setattr(train, "LENGTH", "3 epochs")
    expected = {"LENGTH": "3 epochs", "KEEP_PROB": 0.7} | train.RECIPES[name]
    expected["LENGTH"] = Length.parse(expected["LENGTH"])
    settings = read("--recipe", name).settings
    for key, value in expected.items():
        assert getattr(settings, key.lower()) == value, key
    settings = read("--recipe", name, "--batch_size", "33", "--steps", "7").settings
    assert (settings.batch_size, settings.length) == (33, Length(7, "steps"))


def test_help_names_every_flag(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as status:
        read("--help")
    assert status.value.code == 0
    printed = capsys.readouterr().out
    flags = {*RULES, "steps", "epochs", "recipe", "resume", "overwrite"}
    assert {flag for flag in flags if f"--{flag} " not in printed} == set()
    assert "(now 0.05)" in printed


def test_a_flags_path_starts_where_the_user_is_and_a_constants_at_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = read("--save_dir", "runs/../a").settings
    assert settings.save_dir == tmp_path / "a"
    assert settings.data_dir == ROOT / "data"


def test_constants_edited_in_a_copy_from_another_folder(tmp_path: Path) -> None:
    # TensorFlow takes a path for a pattern, in which these characters have a meaning.
    project = tmp_path / "my [project] *? \\ \N{CJK UNIFIED IDEOGRAPH-6570}"
    project.mkdir()
    for script in ROOT.glob("*.py"):
        shutil.copy(script, project)
    for room in ("common", "saving", "handwriting"):
        shutil.copytree(ROOT / room, project / room)
    write_set(project / "data")
    text = (project / "train.py").read_text()
    edits = {"LENGTH": '"3 steps"', "BATCH_SIZE": "50", "VALIDATION_SIZE": "13"}
    for name, value in edits.items():
        text = re.sub(rf"(?m)^{name} = .*", f"{name} = {value}", text)
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
    told = [line.partition(": not MNIST")[0] for line in done.stderr.splitlines()]
    assert told == [f"data: {project / 'data'}", NOT_MNIST["own"]]
    config = json.loads((project / "save_model" / "config.json").read_text())
    assert config["settings"]["data_dir"] == "data"
    assert config["settings"]["length"] == "3 steps"


def test_the_temperature_is_fitted_on_validation_images(
    run_train: Callable[..., Path], tiny_dir: Path
) -> None:
    save_dir = run_train(LENGTH="30 steps", LABEL_SMOOTHING=0.4, BFLOAT16="off")
    temperature = checkpoints.read_config(save_dir).temperature
    _, data = input_data.load("own", tiny_dir, 13)
    raw = np.log(predict.restore(save_dir).probabilities(data.validation.images))
    scores = raw * temperature  # up to a constant a row
    expected = fit_temperature(scores, data.validation.labels)
    assert temperature == pytest.approx(expected, rel=1e-3)
    assert abs(np.log(temperature)) > 0.1


def test_without_validation_the_temperature_is_fitted_on_training_images(
    run_train: Callable[..., Path], tiny_dir: Path
) -> None:
    constants = {"LENGTH": "30 steps", "VALIDATION_SIZE": 0, "AUGMENT": 5}
    save_dir = run_train(**constants, BFLOAT16="off")
    temperature = checkpoints.read_config(save_dir).temperature
    _, data = input_data.load("own", tiny_dir, 0)
    scores = np.log(predict.restore(save_dir).probabilities(data.train.images))
    expected = fit_temperature(scores * temperature, data.train.labels)
    assert temperature == pytest.approx(expected, rel=1e-3)
    assert abs(np.log(temperature)) > 0.05


def test_real_mnist_is_learned_in_a_few_steps(
    mnist_dir: Path, run_train: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    run_train(
        DATA_DIR=mnist_dir,
        VALIDATION_SIZE=59000,
        LENGTH="100 steps",
        BATCH_SIZE=50,
        LEARNING_RATE=3e-3,
        MIN_EVAL_STEPS=100,
    )
    accuracy = float(re.search(r"test accuracy (\S+)", capsys.readouterr().out)[1])
    # 1,000 training images and a small network; chance is 0.1.
    assert accuracy > 0.8
