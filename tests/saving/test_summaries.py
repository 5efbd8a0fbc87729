"""summaries.py: event files as TensorBoard reads them, after runs of every fate."""

import io
import os
import shutil
import signal
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import events, fingerprint, run_in_process
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

import input_data
import predict
import train
from common.session import tf
from saving import checkpoints, summaries

EVERYTHING = event_accumulator.STORE_EVERYTHING_SIZE_GUIDANCE


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def run_train(
    monkeypatch: pytest.MonkeyPatch, tiny_dir: Path, tmp_path: Path
) -> Callable[..., Path]:
    """Run train.py in this process, a point every third batch.

    `dies_at` ends the process at that save, when the events are written and the
    checkpoint is not; `stop_at` sends SIGTERM while that step is prepared.
    """
    monkeypatch.setattr(train, "LOG_STEPS", 3)

    def run(
        *flags: str,
        dies_at: int | None = None,
        stop_at: int | None = None,
        **constants: object,
    ) -> Path:
        batch, publish = input_data.batch, checkpoints._publish
        published = 0

        def stopping_batch(
            data: input_data.DataSet, seed: int, step: int, *more: object
        ) -> tuple[np.ndarray, np.ndarray]:
            if step + 1 == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            return batch(data, seed, step, *more)

        def dying_publish(*args: object) -> object:
            nonlocal published
            published += 1
            if published == dies_at:
                raise Killed
            return publish(*args)

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(input_data, "batch", stopping_batch)
            inner.setattr(checkpoints, "_publish", dying_publish)
            save_dir = constants.pop("SAVE_DIR", tmp_path / "save")
            constants = {"LENGTH": "12 steps"} | constants
            return run_in_process(inner, tiny_dir, save_dir, *flags, **constants)

    return run


@pytest.fixture(scope="module")
def undisturbed(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run as `run_train` does it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "LOG_STEPS", 3)
        return run_in_process(patch, tiny_dir, folder / "save", LENGTH="12 steps")


@pytest.fixture(scope="module")
def whole(undisturbed: Path) -> list[tf.Event]:
    """The events of a run that was never disturbed."""
    return events(undisturbed)


def as_tensorboard_reads(
    save_dir: Path, logs: str = "cnn-1"
) -> event_accumulator.EventAccumulator:
    """Return what TensorBoard finds, of doubles too, in the folder of a run."""
    reader = event_accumulator.EventAccumulator(
        str(save_dir / "logs" / logs), EVERYTHING, purge_orphaned_data=False
    )
    return reader.Reload()


def curves(
    reader: event_accumulator.EventAccumulator,
) -> dict[str, list[tuple[int, float]]]:
    """Return the points (step, value) of each curve."""
    return {
        tag: [(point.step, point.value) for point in reader.Scalars(tag)]
        for tag in reader.Tags()["scalars"]
    }


def test_tensorboard_reads_the_rows_of_the_history_and_the_graph(
    undisturbed: Path,
) -> None:
    expected = defaultdict(list)
    for row in checkpoints.read_config(undisturbed).history:
        for name, value in vars(row).items():
            expected[f"evaluation/{name}"].append((row.step, np.float32(value)))
    for name in ("step", "epoch", "learning_rate"):
        del expected[f"evaluation/{name}"]
    reader = as_tensorboard_reads(undisturbed)
    found = curves(reader)
    assert {tag for tag in found if tag.startswith("evaluation")} == expected.keys()
    for tag, points in expected.items():
        assert [step for step, _ in points] == [5, 10, 12]
        assert found[tag] == points
    names = {node.name for node in reader.Graph().node}
    assert {"images", "layer_1/Conv2D", "full_connection_2/linear"} <= names


def test_points_of_a_batch_are_what_was_minimised_and_how(
    run_train: Callable[..., Path],
) -> None:
    # A batch is all training images, of which there are less than for validation: its
    # loss is that of the evaluation before.
    save_dir = run_train(
        VALIDATION_SIZE=73,
        BATCH_SIZE=70,
        OPTIMIZER="sgd",
        LEARNING_RATE=0.1,
        SCHEDULE="constant",
        WARMUP=1,
        KEEP_PROB=1,
        AUGMENT=0,
        LABEL_SMOOTHING=0,
        CHECKPOINT_SECONDS=0,
    )
    found = curves(as_tensorboard_reads(save_dir))
    batch = {tag: dict(points) for tag, points in found.items() if "batch" in tag}
    assert {tuple(points) for points in batch.values()} == {(3, 6, 9, 12)}
    evaluated = dict(found["evaluation/training_loss"])
    for step, loss in batch["batch/loss"].items():
        assert loss == pytest.approx(evaluated[step - 1], rel=1e-5)
    for step, rate in batch["batch/learning_rate"].items():
        assert rate == pytest.approx(0.1 * step / 12, rel=1e-6)
    before, after = (
        tf.train.load_checkpoint(str(save_dir / f"model.ckpt-{step}"))
        for step in (11, 12)
    )
    squares = sum(
        np.sum((after.get_tensor(name) - before.get_tensor(name)) ** 2)
        for name in after.get_variable_to_shape_map()
        if name != "global_step"
    )
    # Of differences between float32 weights.
    norm = pytest.approx(np.sqrt(squares) / 0.1, rel=1e-3)
    assert batch["batch/gradient_norm"][12] == norm


def test_misread_test_images_are_shown_with_both_digits(
    run_train: Callable[..., Path], tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "MISTAKES", 7)
    save_dir = run_train(LENGTH="5 steps")
    network = predict.restore(save_dir)
    _, test = predict.load_test_images(network.run, None)
    answers = network.probabilities(test.images).argmax(axis=1)
    wrong = np.flatnonzero(answers != test.labels)[:7]
    assert len(wrong) == 7
    expected = {
        f"mistakes/test image {i}: {test.labels[i]} read as {answers[i]}": i
        for i in wrong
    }
    reader = as_tensorboard_reads(save_dir)
    assert set(reader.Tags()["images"]) == set(expected)
    for tag, i in expected.items():
        (shown,) = reader.Images(tag)
        assert (shown.step, shown.width, shown.height) == (5, 28, 28)
        pixels = np.asarray(Image.open(io.BytesIO(shown.encoded_image_string)))
        assert (pixels.reshape(-1) == np.rint(test.images[i] * 255)).all()


def test_no_validation_images_have_no_curve(run_train: Callable[..., Path]) -> None:
    save_dir = run_train(VALIDATION_SIZE=0, LENGTH="5 steps")
    found = curves(as_tensorboard_reads(save_dir))
    evaluated = {tag for tag in found if tag.startswith("evaluation")}
    assert evaluated == {"evaluation/training_loss", "evaluation/training_accuracy"}


@pytest.mark.parametrize(
    ("network", "optimizer"), [("cnn", "adam"), ("mlp_1024_512_256", "rmsprop")]
)
def test_what_is_logged_changes_no_bit_of_the_weights(
    network: str,
    optimizer: str,
    run_train: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for every in (1, 1000):
        monkeypatch.setattr(train, "LOG_STEPS", every)
        save_dir = tmp_path / str(every)
        run_train(SAVE_DIR=save_dir, NETWORK=network, OPTIMIZER=optimizer)
        found.append(fingerprint(save_dir))
    assert found[0] == found[1]


# ------------------------------------------------------------- stopped and resumed


@pytest.mark.parametrize("step", [1, 6, 11])
def test_a_stopped_run_has_the_points_of_an_undisturbed_one(
    step: int, whole: list[tf.Event], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        run_train(stop_at=step)
    run_train("--resume")
    assert events(tmp_path / "save") == whole


# 1: the folder's first config.json; 2, 3, 4: the evaluations; 5: the test.
@pytest.mark.parametrize("moment", [2, 3, 4, 5])
def test_a_run_killed_between_its_events_and_its_checkpoint_has_no_double_point(
    moment: int, whole: list[tf.Event], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        run_train(dies_at=moment)
    save_dir = tmp_path / "save"
    newest = events(save_dir)[-1].step
    assert newest > checkpoints.read_config(save_dir).step or moment == 5
    follower = as_tensorboard_reads(save_dir)
    run_train("--resume")
    assert events(save_dir) == whole
    # A TensorBoard that had read what was cut off sees no double either.
    assert curves(follower.Reload()) == curves(as_tensorboard_reads(save_dir))


@pytest.mark.parametrize("tail", [b"\x17", b"\x20" + bytes(19), bytes(4096)])
def test_an_incomplete_record_is_cut_off(
    tail: bytes, whole: list[tf.Event], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        run_train(stop_at=7)
    with (tmp_path / "save" / "logs" / "cnn-1" / "train.tfevents").open("ab") as file:
        file.write(tail)
    run_train("--resume")
    assert events(tmp_path / "save") == whole


def test_a_file_cut_anywhere_goes_on_with_what_is_intact(
    whole: list[tf.Event], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        run_train(stop_at=7)
    save_dir = tmp_path / "save"
    path = save_dir / "logs" / "cnn-1" / "train.tfevents"
    data = path.read_bytes()
    run = checkpoints.read_config(save_dir)
    with tf.Graph().as_default() as graph:
        for size in range(len(data) - 300, len(data)):
            path.write_bytes(data[:size])
            summaries.Log(run, graph)
            kept = events(save_dir)  # all that is left can be read
            assert kept == whole[: len(kept)]
            assert data.startswith(path.read_bytes())
    path.write_bytes(data[:5000])  # within the graph
    run_train("--resume")
    header, later = whole[:2], [event for event in whole if event.step > 7]
    assert events(save_dir) == [*header, *later]


def test_a_resumed_run_goes_on_in_the_same_file(
    run_train: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        run_train(stop_at=7)
    path = tmp_path / "save" / "logs" / "cnn-1" / "train.tfevents"
    begun, inode = path.read_bytes(), path.stat().st_ino
    run_train("--resume")
    assert path.stat().st_ino == inode
    assert path.read_bytes().startswith(begun)
    assert os.listdir(tmp_path / "save" / "logs") == ["cnn-1"]


def test_a_longer_run_keeps_the_misread_images_of_its_first_test(
    whole: list[tf.Event], run_train: Callable[..., Path]
) -> None:
    save_dir = run_train()
    run_train("--resume")  # finished: nothing is added
    assert events(save_dir) == whole
    run_train("--resume", "--steps=17")
    longer = events(save_dir)
    assert longer[: len(whole)] == whole
    added = [(e.step, e.summary.value[0].tag) for e in longer[len(whole) :]]
    assert added[:-1] == [
        (15, "batch/loss"),
        (15, "evaluation/training_loss"),
        (17, "evaluation/training_loss"),
    ]
    step, tag = added[-1]
    assert step == 17
    assert tag.startswith("mistakes/")


def test_a_run_resumed_from_an_older_checkpoint_has_no_double_point(
    whole: list[tf.Event], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        run_train(stop_at=11)
    (tmp_path / "save" / "model.ckpt-11.index").unlink()
    (tmp_path / "save" / "model.ckpt-10.index").unlink()
    run_train("--resume")
    assert events(tmp_path / "save") == whole


# ---------------------------------------------------------------------- run by run


def test_each_run_has_a_folder_and_the_files_of_others_stay(
    run_train: Callable[..., Path],
) -> None:
    save_dir = run_train()
    logs = save_dir / "logs"
    first = (logs / "cnn-1" / "train.tfevents").read_bytes()
    (logs / "notes.txt").write_text("mine")
    (logs / "cnn-2").mkdir()
    (logs / "cnn-2" / "train.tfevents").write_text("mine")
    run_train(SEED=2)
    with pytest.raises(SystemExit):
        run_train(NETWORK="mlp_128", stop_at=4)
    run_train("--overwrite", SEED=3)
    assert sorted(os.listdir(logs)) == [
        *("cnn-1", "cnn-2", "cnn-3", "cnn-4", "mlp_128-1", "notes.txt")
    ]
    assert (logs / "cnn-1" / "train.tfevents").read_bytes() == first
    assert (logs / "cnn-2" / "train.tfevents").read_text() == "mine"
    assert (logs / "notes.txt").read_text() == "mine"
    assert checkpoints.read_config(save_dir).logs == "cnn-4"
    assert events(save_dir, "cnn-3") != events(save_dir, "cnn-4")


@pytest.mark.parametrize("resumed", [False, True])
def test_a_folder_that_cannot_be_written_to_is_told_once(
    resumed: bool,
    undisturbed: Path,
    run_train: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    save_dir = tmp_path / "save"
    save_dir.mkdir()
    if resumed:
        with pytest.raises(SystemExit):
            run_train(stop_at=3)
        shutil.rmtree(save_dir / "logs")
    (save_dir / "logs").write_text("a file")
    capsys.readouterr()
    run_train(*["--resume"] * resumed)
    error = capsys.readouterr().err
    path = save_dir / "logs" / "cnn-1" / "train.tfevents"
    (line,) = [line for line in error.splitlines() if "not MNIST" not in line]
    assert line.startswith(f"train.py: cannot write {path}: ")
    found, expected = fingerprint(save_dir), fingerprint(undisturbed)
    for what in ("weights", "history", "test accuracy"):
        assert found[what] == expected[what]
    assert (save_dir / "logs").read_text() == "a file"


def test_logs_deleted_during_a_run_are_told_once_and_begun_again_on_resume(
    run_train: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    evaluate = train.evaluate

    def deleting_evaluate(*args: object) -> object:
        row = evaluate(*args)
        if row.step == 10:
            shutil.rmtree(save_dir / "logs")
        return row

    save_dir = run_train(LENGTH="1 step")
    capsys.readouterr()
    monkeypatch.setattr(train, "evaluate", deleting_evaluate)
    run_train(LENGTH="15 steps")
    error = capsys.readouterr().err
    assert error.count("cannot write") == 1
    assert "No such file or directory" in error
    assert not (save_dir / "logs").exists()
    run_train("--resume", LENGTH="20 steps")
    (logs,) = os.listdir(save_dir / "logs")
    found = events(save_dir, logs)
    assert found[0].file_version
    assert found[1].graph_def
    assert [event.step for event in found[2:]] == [18, 20, 20]
