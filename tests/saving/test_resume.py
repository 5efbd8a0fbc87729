"""Resuming, replacing and refusing: train.py over what a folder already holds."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import SMALL, fingerprint, run_in_process, write_set

import augment
import input_data
import mnist_files
import model
import predict
import train
from common import cli, files
from common.session import tf
from saving import checkpoints
from saving.run import Evaluation, Run, append_history


def evaluation(step: int, validation_accuracy: float) -> Evaluation:
    """Return a row of the history in which only two values matter."""
    return Evaluation(step, 0.0, 0.1, 0.0, 0.0, 0.0, validation_accuracy)


IMAGES = np.random.default_rng(0).random((7, 784), dtype=np.float32)


@pytest.fixture
def run_train(
    monkeypatch: pytest.MonkeyPatch, tiny_dir: Path, tmp_path: Path
) -> Callable[..., Path]:
    """Run train.py in this process with flags and edited constants.

    `stop_at` sends this process a signal while that step is prepared.
    """

    def run(
        *flags: str,
        stop_at: int | None = None,
        signum: int = signal.SIGTERM,
        **constants: object,
    ) -> Path:
        original = input_data.batch

        def batch(
            data: input_data.DataSet, seed: int, step: int, *more: object
        ) -> tuple[np.ndarray, np.ndarray]:
            if step + 1 == stop_at:
                os.kill(os.getpid(), signum)
            return original(data, seed, step, *more)

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(input_data, "batch", batch)
            save_dir = constants.pop("SAVE_DIR", tmp_path / "save")
            constants = {"LENGTH": "12 steps"} | constants
            return run_in_process(inner, tiny_dir, save_dir, *flags, **constants)

    return run


def assert_stops(run: Callable[[], Path], status: int) -> None:
    with pytest.raises(SystemExit) as stop:
        run()
    assert stop.value.code == status


@pytest.mark.parametrize(
    ("stop_at", "signum"),
    [(1, signal.SIGINT), (5, signal.SIGTERM), (11, signal.SIGINT)],
)
def test_a_stopped_run_resumes_to_the_same_bytes(
    stop_at: int,
    signum: int,
    run_train: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    whole = run_train(SAVE_DIR=tmp_path / "whole")
    capsys.readouterr()
    assert_stops(lambda: run_train(stop_at=stop_at, signum=signum), 128 + signum)
    out, error = capsys.readouterr()
    message = f"at step {stop_at} of 12, saved; resume with: python train.py --resume"
    assert message in error
    assert "test accuracy" not in out
    run_train("--resume")
    assert f"resuming from step {stop_at} of 12" in capsys.readouterr().out
    resumed = fingerprint(tmp_path / "save")
    resumed.pop("checkpoints")
    assert resumed.items() <= fingerprint(whole).items()
    assert checkpoints.read_config(tmp_path / "save").finished


def test_a_second_ctrl_c_acts_at_once(
    run_train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = cli.noted_signals

    @contextlib.contextmanager
    def one_noted() -> Iterator[list[int]]:
        with original() as noted:
            os.kill(os.getpid(), signal.SIGINT)  # the first one
            assert noted == [signal.SIGINT]
            noted.clear()  # so that it does not stop the run before the second
            yield noted

    monkeypatch.setattr(cli, "noted_signals", one_noted)
    with pytest.raises(KeyboardInterrupt):
        run_train(stop_at=3, signum=signal.SIGINT)
    assert checkpoints.read_config(tmp_path / "save").step == 0


@pytest.mark.parametrize("network", model.NETWORKS)
def test_every_network_is_resumed_to_the_same_bytes_and_predicts(
    network: str, run_train: Callable[..., Path], tmp_path: Path
) -> None:
    constants = {"NETWORK": network, "OPTIMIZER": "rmsprop", "LOSS": "quadratic"}
    whole = fingerprint(run_train(SAVE_DIR=tmp_path / "whole", **constants))
    assert_stops(lambda: run_train(stop_at=7, **constants), 143)
    save_dir = run_train("--resume", **constants)
    assert fingerprint(save_dir)["weights"] == whole["weights"]
    restored = predict.restore(save_dir)
    assert restored.run.settings.network == network
    np.testing.assert_allclose(restored.probabilities(IMAGES).sum(1), 1, rtol=1e-5)


def test_a_resumed_run_may_get_longer_and_not_shorter(
    run_train: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    save_dir = run_train()
    run_train("--resume")
    assert "already finished at step 12\n" in capsys.readouterr().out
    history = (save_dir / "history.csv").read_text()
    (save_dir / "history.csv").unlink()
    run_train("--resume")
    assert (save_dir / "history.csv").read_text() == history
    run_train("--resume", "--steps=17")
    run = checkpoints.read_config(save_dir)
    assert run.step == run.total_steps == 17
    assert [row.step for row in run.history] == [5, 10, 12, 15, 17]
    with pytest.raises(
        cli.UserError, match="LENGTH is 16 steps, but the run is 17 steps long"
    ):
        run_train("--resume", "--steps=16")
    assert_stops(lambda: run_train("--resume", "--epochs=4", stop_at=19), 143)
    run_train("--resume")
    assert checkpoints.read_config(save_dir).step == 20


def test_a_resumed_run_keeps_its_constants(
    run_train: Callable[..., Path], tmp_path: Path
) -> None:
    assert_stops(lambda: run_train("--keep_prob=0.7", stop_at=3), 143)
    with pytest.raises(cli.UserError, match=r"KEEP_PROB is 0.6, but .* with 0.7: "):
        run_train("--resume", "--keep_prob=0.6")
    with pytest.raises(cli.UserError, match=r"SEED is 9, but the run was .* with 1: "):
        run_train("--resume", SEED=9)
    save_dir = run_train("--resume", CHECKPOINT_SECONDS=3)  # this one may change
    assert checkpoints.read_config(save_dir).settings.keep_prob == 0.7


def test_a_run_of_other_defaults_is_resumed_as_the_message_says(
    run_train: Callable[..., Path],
) -> None:
    before = {"BATCH_SIZE": 25, "LEARNING_RATE": 2e-3, "SCHEDULE": "cosine"}
    assert_stops(lambda: run_train(stop_at=3, **before), 143)
    now = {"BATCH_SIZE": 26, "LEARNING_RATE": "auto", "SCHEDULE": "linear"}
    with pytest.raises(cli.UserError) as error:
        run_train("--resume", **now)
    flags = re.search(r"; resume it with (.*?); for another run", str(error.value))[1]
    assert flags == "--batch_size 25 --schedule cosine"
    save_dir = run_train("--resume", *flags.split(), **now)
    settings = checkpoints.read_config(save_dir).settings
    assert (settings.batch_size, settings.learning_rate) == (25, 2e-3)
    assert settings.schedule == "cosine"


def test_a_resumed_run_needs_its_data_wherever_they_are(
    run_train: Callable[..., Path], tiny_dir: Path, tmp_path: Path
) -> None:
    assert_stops(lambda: run_train(stop_at=3), 143)
    other = write_set(tmp_path / "other", seed=1)
    with pytest.raises(cli.UserError, match="the data differ from those this run"):
        run_train("--resume", f"--data_dir={other}")
    moved = Path(shutil.copytree(tiny_dir, tmp_path / "moved"))
    save_dir = run_train("--resume", f"--data_dir={moved}")
    assert checkpoints.read_config(save_dir).settings.data_dir == moved


def test_a_run_on_the_embedded_images_stays_with_them(
    run_train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist_files, "MIRRORS", ())
    constants = {"LENGTH": "6 steps", "VALIDATION_SIZE": 13}
    assert_stops(
        lambda: run_train(f"--data_dir={tmp_path / 'new'}", stop_at=3, **constants), 143
    )
    write_set(tmp_path / "new")  # from now on "auto" is another set
    save_dir = run_train("--resume", **constants)
    assert checkpoints.read_config(save_dir).data.name == "mnist_5k"


def test_the_embedded_images_replace_no_finished_run_on_other_data(
    run_train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist_files, "MIRRORS", ())
    save_dir = run_train()
    nowhere = f"--data_dir={tmp_path / 'nowhere'}"
    with pytest.raises(cli.UserError, match=r"a finished run on own, which is not in"):
        run_train(nowhere)
    assert checkpoints.read_config(save_dir).data.name == "own"
    run_train(nowhere, "--overwrite")
    assert checkpoints.read_config(save_dir).data.name == "mnist_5k"
    run_train(nowhere)  # these may replace themselves


def test_an_interrupted_run_is_not_replaced_unasked(
    run_train: Callable[..., Path], tmp_path: Path
) -> None:
    assert_stops(lambda: run_train(stop_at=3), 143)
    message = (
        "interrupted at step 3 of 12: resume it with --resume, replace it with "
        "--overwrite, or name another folder with --save_dir"
    )
    with pytest.raises(cli.UserError, match=message):
        run_train()
    assert checkpoints.read_config(tmp_path / "save").step == 3
    run_train("--overwrite", stop_at=None)
    assert checkpoints.read_config(tmp_path / "save").finished


@pytest.mark.parametrize(
    "name",
    [
        "[a]",
        "a*?",
        "back\\slash",
        'it\'s "two" words',
        "\N{CJK RADICAL CLIFF}",
        "x" * 250,
    ],
)
def test_a_folder_may_have_any_name(
    name: str, run_train: Callable[..., Path], tmp_path: Path
) -> None:
    save_dir = tmp_path / name
    assert_stops(lambda: run_train(SAVE_DIR=save_dir, stop_at=3), 143)
    run_train("--resume", SAVE_DIR=save_dir)
    restored = predict.restore(save_dir)
    np.testing.assert_allclose(restored.probabilities(IMAGES).sum(1), 1, rtol=1e-5)


def test_a_link_to_a_folder_is_the_folder(
    run_train: Callable[..., Path], tiny_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "save").symlink_to(tmp_path / "real")
    (tmp_path / "data").symlink_to(tiny_dir)
    save_dir = run_train(f"--data_dir={tmp_path / 'data'}", LENGTH="1 step")
    assert save_dir.is_symlink()
    assert checkpoints.read_config(tmp_path / "real").settings.data_dir == (
        tmp_path / "data"
    )


def test_a_tilde_is_the_home_folder(
    run_train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # the same, of Windows
    run_train("--save_dir=~/runs/a", LENGTH="1 step")
    assert checkpoints.read_config(tmp_path / "runs" / "a").finished
    run_train(SAVE_DIR="~/runs/b", LENGTH="1 step")
    assert checkpoints.read_config(tmp_path / "runs" / "b").finished


def test_data_that_are_gone_are_asked_for(
    run_train: Callable[..., Path], tiny_dir: Path, tmp_path: Path
) -> None:
    data_dir = Path(shutil.copytree(tiny_dir, tmp_path / "data"))
    assert_stops(lambda: run_train(f"--data_dir={data_dir}", stop_at=3), 143)
    data_dir.rename(tmp_path / "moved")
    message = f"{data_dir}, which had the data of this run, does not exist: name their"
    with pytest.raises(cli.UserError, match=message):
        run_train("--resume")
    assert not data_dir.exists()
    run_train("--resume", f"--data_dir={tmp_path / 'moved'}")


def test_a_folder_with_a_space_is_quoted_in_what_to_run_next(
    run_train: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    save_dir = tmp_path / "two words"
    assert_stops(lambda: run_train(f"--save_dir={save_dir}", stop_at=3), 143)
    assert f"train.py --resume --save_dir '{save_dir}'" in capsys.readouterr().err


def test_nothing_to_resume_is_said(run_train: Callable[..., Path]) -> None:
    with pytest.raises(cli.UserError, match="holds no run to resume"):
        run_train("--resume")


def test_a_finished_run_answers_until_its_successor_has_a_checkpoint(
    run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_dir = run_train()
    before = predict.restore(save_dir).probabilities(IMAGES)
    same = []  # whether the finished run answers, before each file is moved
    original = files.move

    def move(source: Path, target: Path) -> None:
        answer = predict.restore(save_dir).probabilities(IMAGES)
        same.append((target.name, bool((answer == before).all())))
        original(source, target)

    monkeypatch.setattr(files, "move", move)
    run_train(SEED=5, MIN_EVAL_STEPS=12)
    data = "model.ckpt-12.data-00000-of-00001"
    assert same[:6] == [
        (f"replaced.{data}", True),
        ("replaced.model.ckpt-12.index", True),
        ("config.json", True),
        (data, True),
        ("model.ckpt-12.index", True),
        ("config.json", True),
    ]
    assert {answers for _, answers in same[6:]} == {False}  # the new one answers
    found = sorted(path.name for path in save_dir.glob("*.index"))
    assert found == ["model.ckpt-12.index"]


def fail_to(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk be full for the copy that is put aside, or for what is saved."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    owner, name = {"copy": (shutil, "copyfile"), "save": (tf.train.Saver, "save")}[what]
    monkeypatch.setattr(owner, name, fail)


@pytest.mark.parametrize("what", ["copy", "save"])
def test_a_full_disk_leaves_the_run_that_was_to_be_replaced(
    what: str,
    run_train: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    whole = fingerprint(run_train(SAVE_DIR=tmp_path / "whole"))
    assert_stops(lambda: run_train(stop_at=11), 143)
    save_dir = tmp_path / "save"
    before = predict.restore(save_dir).probabilities(IMAGES)
    with monkeypatch.context() as full:
        fail_to(what, full)
        with pytest.raises(cli.UserError, match=r"No space left .* is unchanged"):
            run_train("--overwrite", SEED=5)
    assert (predict.restore(save_dir).probabilities(IMAGES) == before).all()
    run = checkpoints.read_config(save_dir)
    assert len(run.checkpoints) == 3
    for name in run.checkpoints:  # not only the one that answers
        checkpoints.verify(run, name)
    run_train("--resume")
    assert fingerprint(save_dir)["weights"] == whole["weights"]
    assert fingerprint(save_dir)["history"] == whole["history"]


def test_what_is_best_on_validation_is_tested(
    run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = {5: 0.5, 10: 0.9, 12: 0.1}
    original, restored = checkpoints.restore, []

    def restore(session: tf.Session, run: Run, name: str, *others: object) -> None:
        restored.append(name)
        original(session, run, name, *others)

    def evaluate(_: tf.Session, __: train.Graph, run: Run, *___: object) -> Evaluation:
        return evaluation(run.step, accuracies[run.step])

    monkeypatch.setattr(train, "evaluate", evaluate)
    monkeypatch.setattr(checkpoints, "restore", restore)
    save_dir = run_train()
    assert restored == ["model.ckpt-10"]
    assert checkpoints.read_config(save_dir).best == "model.ckpt-10"


def test_of_equal_accuracies_the_later_checkpoint_is_the_better(
    run_train: Callable[..., Path],
) -> None:
    run = checkpoints.read_config(run_train(LENGTH="1 step"))
    run = replace(run, history=(), best=None)
    for step, accuracy in ((1, 0.8), (2, 0.9), (3, 0.9), (4, 0.7)):
        name = checkpoints.checkpoint_name(step)
        run = append_history(run, evaluation(step, accuracy), name)
    assert run.best == "model.ckpt-3"
    assert run.validation_accuracy == 0.9


def test_three_checkpoints_and_the_best_are_kept(
    run_train: Callable[..., Path],
) -> None:
    save_dir = run_train(LENGTH="30 steps", CHECKPOINT_SECONDS=0, LEARNING_RATE=0.3)
    run = checkpoints.read_config(save_dir)
    names = {f"model.ckpt-{step}" for step in (28, 29, 30)} | {run.best}
    assert set(run.checkpoints) == names
    assert {path.stem for path in save_dir.glob("*.index")} == names
    best = max(row.validation_accuracy for row in run.history)
    assert run.validation_accuracy == best
    assert tf.train.latest_checkpoint(str(save_dir)) == str(save_dir / "model.ckpt-30")


@pytest.mark.parametrize("kept", [1, 2])
def test_fewer_checkpoints_can_be_kept(
    kept: int, run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "KEPT", kept)
    run = checkpoints.read_config(run_train(LENGTH="12 steps", CHECKPOINT_SECONDS=0))
    newest = [f"model.ckpt-{step}" for step in range(13 - kept, 13)]
    assert list(run.checkpoints)[-kept:] == newest
    assert run.checkpoints.keys() <= {run.best, *newest}


def test_a_damaged_checkpoint_is_told_and_the_one_before_taken(
    run_train: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    whole = fingerprint(run_train(SAVE_DIR=tmp_path / "whole"))
    assert_stops(lambda: run_train(stop_at=11), 143)
    data = tmp_path / "save" / "model.ckpt-11.data-00000-of-00001"
    flipped = bytearray(data.read_bytes())
    flipped[1000] ^= 4
    data.write_bytes(flipped)
    capsys.readouterr()
    run_train("--resume")
    error = capsys.readouterr().err
    assert f"{data} is damaged or belongs to another run" in error
    assert "resuming from step 10, model.ckpt-10" in error
    resumed = fingerprint(tmp_path / "save")
    assert resumed["weights"] == whole["weights"]
    assert resumed["history"] == whole["history"]


def test_a_lost_best_checkpoint_is_told(
    run_train: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    save_dir = run_train(LENGTH="15 steps", LEARNING_RATE=0.3)
    best = "model.ckpt-5"
    run = replace(checkpoints.read_config(save_dir), best=best)
    checkpoints.write_config(run)
    (save_dir / f"{best}.index").unlink()
    capsys.readouterr()
    run_train("--resume", LENGTH="15 steps", LEARNING_RATE=0.3)
    error = capsys.readouterr().err
    assert f"the best checkpoint until then, {best}, is lost" in error
    others = run.checkpoints.keys() - {best}
    assert checkpoints.read_config(save_dir).best in others


def test_a_missing_checkpoint_is_written_again(
    run_train: Callable[..., Path], tmp_path: Path
) -> None:
    whole = fingerprint(run_train(SAVE_DIR=tmp_path / "whole"))
    assert_stops(lambda: run_train(stop_at=11, CHECKPOINT_SECONDS=0), 143)
    (tmp_path / "save" / "model.ckpt-11.index").unlink()
    save_dir = run_train("--resume", CHECKPOINT_SECONDS=0)
    assert fingerprint(save_dir)["weights"] == whole["weights"]
    assert list(checkpoints.read_config(save_dir).checkpoints)[-2:] == [
        "model.ckpt-11",
        "model.ckpt-12",
    ]


def test_no_intact_checkpoint_is_refused(
    run_train: Callable[..., Path], tmp_path: Path
) -> None:
    assert_stops(lambda: run_train(stop_at=3), 143)
    for path in (tmp_path / "save").glob("*.index"):
        path.unlink()
    with pytest.raises(cli.UserError, match=r"no checkpoint in .* is intact"):
        run_train("--resume")
    with pytest.raises(cli.UserError, match=r"model.ckpt-3.index is missing"):
        predict.restore(tmp_path / "save")


def test_the_folder_can_be_moved(
    run_train: Callable[..., Path], tmp_path: Path
) -> None:
    whole = fingerprint(run_train(SAVE_DIR=tmp_path / "whole"))
    assert_stops(lambda: run_train(stop_at=7), 143)
    moved = (tmp_path / "save").rename(tmp_path / "moved")
    before = predict.restore(moved).probabilities(IMAGES)
    assert before.shape == (7, 10)
    run_train("--resume", SAVE_DIR=moved)
    assert fingerprint(moved)["weights"] == whole["weights"]


def test_predict_before_the_first_checkpoint_says_so(
    run_train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "save", lambda *_: sys.exit("killed"))
    with pytest.raises(SystemExit):
        run_train()
    with pytest.raises(cli.UserError, match="has not reached its first checkpoint"):
        predict.restore(tmp_path / "save")
    monkeypatch.undo()
    run_train()  # nothing would be lost: nothing is asked
    assert checkpoints.read_config(tmp_path / "save").finished


HOLDER = """
import filelock, os, sys
from pathlib import Path
folder = Path(sys.argv[1])
with filelock.FileLock(folder / ".train.lock"):
    (folder / ".train.lock.pid").write_text(str(os.getpid()))
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_until_it_ends(
    run_train: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "save").mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "save")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(cli.UserError, match=f"process {other.pid} is training in"):
            run_train()
    finally:
        other.kill()
        other.communicate()
    run_train()  # a dead process holds nothing


def test_a_file_where_the_folder_should_be_is_named(
    run_train: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "save").write_text("mine")
    with pytest.raises(cli.UserError, match=r"SAVE_DIR is .*save, a file; it must be"):
        run_train()
    assert (tmp_path / "save").read_text() == "mine"


def test_edited_constants_of_the_model_are_refused_on_resume(
    run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_stops(lambda: run_train(stop_at=3), 143)
    monkeypatch.setitem(augment.AFFINE, "shear", 0.2)
    with pytest.raises(cli.UserError, match=r"affine in augment.py is .*0.2.* .*0.1"):
        run_train("--resume")
    monkeypatch.undo()
    monkeypatch.setitem(SMALL, "fc_units", 65)
    with pytest.raises(cli.UserError, match=r"architecture in model.py is .*65.* 64"):
        run_train("--resume")


def test_edited_code_of_the_model_is_refused_on_resume(
    run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_stops(lambda: run_train(stop_at=3), 143)
    original = model.fc
    monkeypatch.setattr(
        model, "fc", lambda x, scope, units, **kw: original(x, scope, units + 1, **kw)
    )
    with pytest.raises(cli.UserError, match="is of another network"):
        run_train("--resume")


# ------------------------------------------------------------------------- formats


def rewrite_config(save_dir: Path, change: Callable[[dict], dict]) -> None:
    """Change what config.json holds, and sign it as train.py does."""
    path = save_dir / "config.json"
    values = json.loads(path.read_text())
    del values["sha256"]
    values = change(values)
    signature = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({"sha256": signature} | values))


def as_format_1(values: dict) -> dict:
    """Return what config.json held before it had a format number."""
    settings = {**values["settings"], "save_dir": "save_model"}
    constants = settings | values["overridden"]
    for each in (settings, constants):
        each["eval_steps"] = each.pop("min_eval_steps")
        count, unit = each.pop("length").split()
        each["steps"] = int(count) if unit == "steps" else 2750
        each["epochs"] = float(count) if unit == "epochs" else 0.0
    kept = ("architecture", "affine", "versions", "step", "history")
    kept += ("checkpoints", "best", "test_accuracy")
    return {key: values[key] for key in kept} | {
        "network": settings["network"],
        "constants": settings,
        "file": constants,
        "resolved": {"steps": 12, "threads": 1, "bfloat16": values["bfloat16"]},
        "dataset": values["data"],
        "finished": values["test_accuracy"] is not None,
        "validation_accuracy": None,
    }


def as_format_2(values: dict) -> dict:
    """Return what config.json held before probabilities were calibrated."""
    values = as_format_3(values) | {"format": 2}
    del values["temperature"]
    return values


def as_format_3(values: dict) -> dict:
    """Return what config.json held before runs had logs."""
    values = values | {"format": 3}
    del values["logs"]
    return values


UNCALIBRATED = (as_format_1, as_format_2)


@pytest.mark.parametrize("as_format", [*UNCALIBRATED, as_format_3])
@pytest.mark.parametrize("length", ["--steps=12", "--epochs=2.4"])
def test_a_folder_of_an_older_format_predicts_and_is_resumed_to_the_same_bytes(
    length: str, as_format: Callable, run_train: Callable[..., Path], tmp_path: Path
) -> None:
    flags = (length, "--keep_prob=0.7")
    whole = run_train(*flags, SAVE_DIR=tmp_path / "whole")
    assert_stops(lambda: run_train(*flags, stop_at=7), 143)
    save_dir = tmp_path / "save"
    before = predict.restore(save_dir).probabilities(IMAGES)
    rewrite_config(save_dir, as_format)
    assert (predict.restore(save_dir).probabilities(IMAGES) == before).all()
    with pytest.raises(cli.UserError, match=r"KEEP_PROB is 0.6, but .* with 0.7: "):
        run_train("--resume", "--keep_prob=0.6")
    run_train("--resume")
    assert fingerprint(save_dir)["weights"] == fingerprint(whole)["weights"]
    assert fingerprint(save_dir)["history"] == fingerprint(whole)["history"]


@pytest.mark.parametrize("as_format", UNCALIBRATED)
def test_a_finished_run_of_an_older_format_is_calibrated_when_resumed(
    as_format: Callable, run_train: Callable[..., Path], capsys: pytest.CaptureFixture
) -> None:
    save_dir = run_train()
    result = capsys.readouterr().out.splitlines()[-2:]
    before = checkpoints.read_config(save_dir)
    calibrated = predict.restore(save_dir).probabilities(IMAGES)
    rewrite_config(save_dir, as_format)
    assert capsys.readouterr().err == ""
    raw = predict.restore(save_dir).probabilities(IMAGES)
    advice = f"python train.py --resume --save_dir {save_dir}\n"
    assert capsys.readouterr().err.endswith(advice)
    assert not np.allclose(raw, calibrated)
    assert (raw.argmax(axis=1) == calibrated.argmax(axis=1)).all()
    run_train("--resume")
    assert capsys.readouterr().out.splitlines()[-2:] == result
    # The older format named no logs.
    assert checkpoints.read_config(save_dir) == replace(before, logs="cnn-2")
    run_train("--resume")
    assert capsys.readouterr().out.splitlines() == [
        "already finished at step 12",
        *result,
    ]


def test_a_finished_run_of_an_older_format_may_be_replaced(
    run_train: Callable[..., Path],
) -> None:
    save_dir = run_train()
    rewrite_config(save_dir, as_format_2)
    run_train(SEED=2)
    assert checkpoints.read_config(save_dir).settings.seed == 2


def test_a_network_for_the_digits_of_scikit_learn_answers_for_other_data(
    run_train: Callable[..., Path], tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_dir = run_train()

    def as_digits(values: dict) -> dict:
        values = as_format_2(values)
        values["settings"]["dataset"] = "digits"
        values["data"] |= {"name": "digits", "sha256": ""}
        return values

    rewrite_config(save_dir, as_digits)
    network = predict.restore(save_dir)
    _, test = predict.load_test_images(network.run, tiny_dir)
    assert network.probabilities(test.images).shape == (test.num_examples, 10)
    for refused in (
        lambda: predict.load_test_images(network.run, None),
        lambda: run_train("--resume"),
    ):
        with pytest.raises(cli.UserError, match="the digits of scikit-learn, which"):
            refused()


def test_an_unknown_format_is_named(run_train: Callable[..., Path]) -> None:
    save_dir = run_train(LENGTH="1 step")
    rewrite_config(save_dir, lambda values: values | {"format": 99})
    message = "has format 99; formats 1 to 4 are read"
    for refused in (lambda: predict.restore(save_dir), lambda: run_train("--resume")):
        with pytest.raises(cli.UserError, match=message):
            refused()


def test_a_run_whose_data_set_decided_the_length_is_resumed(
    run_train: Callable[..., Path], tmp_path: Path
) -> None:
    def as_before(values: dict) -> dict:
        return values | {"overridden": values["overridden"] | {"length": "auto"}}

    assert_stops(lambda: run_train("--steps=12", stop_at=3), 143)
    rewrite_config(tmp_path / "save", as_before)
    run = checkpoints.read_config(run_train("--resume", LENGTH=train.LENGTH))
    assert (run.step, run.finished) == (12, True)
