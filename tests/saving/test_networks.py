"""The network that a folder holds: another TensorFlow 1 script's checkpoint, and ours.

The script here is a port of the one whose names model.py has: conv(5x5x32)-pool-
conv(5x5x64)-pool-fc1024-dropout-softmax, trained with Adam, saved by tf.train.Saver.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import run_in_process

import input_data
import model
import predict
from common import cli
from common.session import tf
from saving import checkpoints


def variables(scope: str, shape: list[int]) -> tuple[tf.Variable, tf.Variable]:
    with tf.variable_scope(scope):
        normal = tf.truncated_normal_initializer(stddev=0.1)
        w = tf.get_variable("w_variable", shape, initializer=normal)
        constant = tf.constant_initializer(0.1)
        return w, tf.get_variable("b_variable", shape[-1:], initializer=constant)


def network(x: tf.Tensor, keep_prob: tf.Tensor) -> tf.Tensor:
    """The script's graph: pixels [n, 784] to probabilities [n, 10]."""
    x = tf.reshape(x, [-1, 28, 28, 1])
    for scope, shape in (("layer_1", [5, 5, 1, 32]), ("layer_2", [5, 5, 32, 64])):
        w, b = variables(scope, shape)
        x = tf.nn.relu(tf.nn.conv2d(x, w, [1, 1, 1, 1], "SAME") + b)
        x = tf.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
    w, b = variables("full_connection_1", [7 * 7 * 64, 1024])
    x = tf.nn.relu(tf.matmul(tf.reshape(x, [-1, 7 * 7 * 64]), w) + b)
    x = tf.nn.dropout(x, rate=1 - keep_prob)
    w, b = variables("full_connection_2", [1024, 10])
    return tf.nn.softmax(tf.matmul(x, w) + b)


def script_trains(
    data: input_data.DataSet, prefix: Path, name: str = "", steps: int = 5
) -> np.ndarray:
    """Train and save as the script does; return its probabilities of the images.

    Args:
        data: images and labels.
        prefix: given to Saver.save.
        name: scope around the whole network; the script has none.
        steps: of Adam.
    """
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 784])
        y_ = tf.placeholder(tf.float32, [None, 10])
        keep_prob = tf.placeholder(tf.float32)
        with tf.variable_scope(name):
            y = network(x, keep_prob)
        cross_entropy = -tf.reduce_sum(y_ * tf.log(tf.maximum(y, 1e-9)))
        step = tf.train.AdamOptimizer(1e-3).minimize(cross_entropy)
        session.run(tf.global_variables_initializer())
        labels = np.eye(10)[data.labels]
        for _ in range(steps):
            session.run(step, {x: data.images, y_: labels, keep_prob: 0.5})
        tf.train.Saver().save(session, str(prefix))
        return session.run(y, {x: data.images, keep_prob: 1})


def script_reads(folder: Path, images: np.ndarray) -> np.ndarray:
    """Restore the newest checkpoint as the script does; return its probabilities."""
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 784])
        y = network(x, tf.constant(1.0))
        tf.train.Saver().restore(session, tf.train.latest_checkpoint(str(folder)))
        return session.run(y, {x: images})


@pytest.fixture(scope="module")
def data(tiny_dir: Path) -> input_data.DataSet:
    return input_data.load_test("own", tiny_dir)[1]


@pytest.fixture(scope="module")
def script(
    data: input_data.DataSet, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, np.ndarray]:
    """A folder with the script's checkpoint, and its probabilities."""
    folder = tmp_path_factory.mktemp("script")
    return folder, script_trains(data, folder / "model.ckpt")


@pytest.fixture
def folder(script: tuple[Path, np.ndarray], tmp_path: Path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(script[0], tmp_path / "copy")


@pytest.mark.parametrize("path", ["", "model.ckpt"])
def test_the_scripts_checkpoint_gives_its_answers(
    path: str,
    script: tuple[Path, np.ndarray],
    data: input_data.DataSet,
    capsys: pytest.CaptureFixture,
) -> None:
    folder, expected = script
    restored = predict.restore(folder / path)
    found = restored.probabilities(data.images)
    assert np.abs(found - expected).max() < 1e-6
    assert (restored.name, restored.step, restored.run) == ("cnn", None, None)
    error = capsys.readouterr().err
    assert "is another script's and fits cnn; its probabilities are not cal" in error
    assert error.count("\n") == 1


def test_predict_answers_from_it(
    script: tuple[Path, np.ndarray], tiny_dir: Path, run_script: Callable
) -> None:
    folder, expected = script
    flags = "--save_dir", folder, "--data_dir", tiny_dir
    done = run_script("predict.py", "--index", 3, *flags)
    assert done.stdout.startswith(f"predict={expected[3].argmax()}, correct=")
    assert done.returncode == 0
    assert (folder / "prediction.png").exists()
    done = run_script("evaluate.py", *flags)
    assert done.stdout.startswith("cnn of another script; tested on own")
    assert (folder / "report.json").exists()


def test_the_script_reads_ours(
    tiny_dir: Path,
    data: input_data.DataSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full_size = dict(model.ARCHITECTURES["cnn"])
    monkeypatch.setattr("helpers.SMALL", full_size)
    save_dir = run_in_process(
        monkeypatch, tiny_dir, tmp_path / "ours", LENGTH="2 steps", BFLOAT16="off"
    )
    run = checkpoints.read_config(save_dir)
    with pytest.raises(cli.UserError, match=r"in a folder of train\.py, whose"):
        predict.restore(save_dir / run.best)
    ours = model_probabilities_without_temperature(save_dir, data.images, monkeypatch)
    assert run.best == run.newest_checkpoint
    assert np.abs(script_reads(save_dir, data.images) - ours).max() < 1e-6


def model_probabilities_without_temperature(
    save_dir: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> np.ndarray:
    """Return our probabilities before calibration, which the script has not."""
    original = model.probabilities
    with monkeypatch.context() as patched:
        patched.setattr(model, "probabilities", lambda logits, _: original(logits, 1.0))
        return predict.restore(save_dir).probabilities(images)


def test_a_moved_folder_and_one_without_state_are_read(
    folder: Path, script: tuple[Path, np.ndarray], data: input_data.DataSet
) -> None:
    state = folder / "checkpoint"
    for text in ('model_checkpoint_path: "C:\\\\gone\\\\model.ckpt"\n', None):
        state.write_text(text) if text else state.unlink()
        found = predict.restore(folder).probabilities(data.images[:3])
        assert np.abs(found - script[1][:3]).max() < 1e-6


def test_of_several_the_newest_is_taken_or_one_must_be_named(
    folder: Path, data: input_data.DataSet
) -> None:
    newer = script_trains(data, folder / "model.ckpt-77", steps=1)
    found = predict.restore(folder).probabilities(data.images)
    assert np.abs(found - newer).max() < 1e-6
    (folder / "checkpoint").unlink()
    message = r"several checkpoints .* model.ckpt-77, model.ckpt: name one of them"
    with pytest.raises(cli.UserError, match=message):
        predict.restore(folder)


def test_what_differs_is_named(data: input_data.DataSet, tmp_path: Path) -> None:
    script_trains(data, tmp_path / "model.ckpt", name="mine", steps=0)
    message = (
        r"model.ckpt is another script's and fits no network of model.py: of cnn, the "
        r"nearest, layer_1/w_variable \[5, 5, 1, 32\] is missing, .* and 5 more differ"
    )
    with pytest.raises(cli.UserError, match=message):
        predict.restore(tmp_path)


def test_another_shape_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model.ARCHITECTURES["cnn"], "kernel_size", 3)
    message = r"layer_1/w_variable \[3, 3, 1, 32\] has shape \[5, 5, 1, 32\]"
    with pytest.raises(cli.UserError, match=message):
        predict.restore(folder)


def test_a_damaged_one_is_one_line(folder: Path) -> None:
    (folder / "model.ckpt.index").write_bytes(b"none")
    with pytest.raises(cli.UserError, match=r"cannot read .*/model\.ckpt"):
        predict.restore(folder)
    (folder / "model.ckpt.index").unlink()
    with pytest.raises(cli.UserError, match="holds no trained model"):
        predict.restore(folder)


def test_training_there_changes_nothing(
    folder: Path, tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for flags in ([], ["--overwrite"]):
        with pytest.raises(cli.UserError, match="which is another program's"):
            run_in_process(monkeypatch, tiny_dir, folder, *flags)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
