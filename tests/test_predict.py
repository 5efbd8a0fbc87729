"""predict.py: the same answers in a new process, and refusing what it cannot read."""

import dataclasses
import functools
import os
import re
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import TEST, write_set

import input_data
import model
import predict
from common import cli, plots
from common.paths import SAVE_DIR
from common.session import tf
from saving import checkpoints, networks


@pytest.fixture(scope="module")
def trained(
    run_script: Callable[..., CompletedProcess],
    tiny_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, str]:
    """A folder that `python train.py` wrote and what it printed."""
    save_dir = tmp_path_factory.mktemp("trained")
    flags = ["--steps=1", "--batch_size=50", "--validation_size=13"]
    done = run_script(
        "train.py", "--data_dir", tiny_dir, "--save_dir", save_dir, *flags
    )
    assert done.returncode == 0, done.stderr
    return save_dir, done.stdout


@functools.cache
def restored(save_dir: Path) -> predict.Classifier:
    """Return the network in a folder that no test changes."""
    return predict.restore(save_dir)


@pytest.fixture
def save_dir(trained: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the trained folder, to be damaged."""
    return Path(shutil.copytree(trained[0], tmp_path / "copy"))


def test_a_new_process_gives_the_accuracy_that_training_printed(
    trained: tuple[Path, str],
    run_script: Callable[..., CompletedProcess],
    tmp_path: Path,
) -> None:
    save_dir, printed = trained
    accuracy = re.search(rf"test accuracy (\S+) \((\d+)/{TEST}\)", printed)
    last = f"next: python predict.py --index 1 --save_dir {save_dir}"
    assert printed.splitlines()[-1] == last
    everything = f"0-{TEST - 1}"
    done = run_script(
        "predict.py", "--index", everything, "--save_dir", save_dir, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    answers = re.findall(r"predict=(\d), correct=(\d)", done.stdout)
    assert len(answers) == TEST
    right = sum(answer == truth for answer, truth in answers)
    assert right == int(accuracy[2])
    assert 0 < right < TEST  # a few steps: neither chance nor certainty
    assert (save_dir / "prediction.png").exists()
    assert list(tmp_path.iterdir()) == []


def test_one_index_prints_the_probability_of_each_digit(
    trained: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["predict.py", "--index", "3", "--save_dir", str(trained[0])]
    )
    predict.main()
    first, second, third = capsys.readouterr().out.splitlines()
    answer = int(re.fullmatch(r"predict=(\d), correct=3", first)[1])
    values = [float(part) for part in re.findall(r"\d: (\d\.\d{4})", second)]
    assert np.argmax(values) == answer
    assert sum(values) == pytest.approx(1, abs=1e-3)
    assert third.startswith("wrote ")


def test_first_prints_labels_and_predictions_side_by_side(
    trained: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    argv = ["predict.py", "--first", "13", "--save_dir", str(trained[0])]
    monkeypatch.setattr("sys.argv", argv)
    predict.main()
    labels, predictions, _ = capsys.readouterr().out.splitlines()
    assert labels == "labels       0 1 2 3 4 5 6 7 8 9 0 1 2"
    assert re.fullmatch(r"predictions ( \d){13}", predictions)


def test_another_data_set_can_be_classified(
    trained: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    other = write_set(tmp_path / "other", seed=1)
    flags = ["--first", "13", "--save_dir", str(trained[0])]
    monkeypatch.setattr("sys.argv", ["predict.py", *flags, "--data_dir", str(other)])
    seen = []
    monkeypatch.setattr(plots, "predictions", lambda *a: seen.append(a[1]))
    predict.main()
    assert capsys.readouterr().err == f"data: {other}: {input_data.NOT_MNIST['own']}\n"
    expected = input_data.load_test("own", other)[1].images[:13]
    assert (seen[0] == expected).all()


def test_probabilities_take_any_number_of_images(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = predict.restore(trained[0])
    images = np.random.default_rng(0).random((13, 28, 28), dtype=np.float32)
    whole = network.probabilities(images)
    assert whole.shape == (13, 10)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole.sum(axis=1), 1, rtol=1e-5)
    monkeypatch.setattr(predict, "BATCH", 5)
    np.testing.assert_allclose(network.probabilities(images), whole, atol=2e-3)
    assert network.probabilities(images[:0]).shape == (0, 10)


@pytest.mark.parametrize(
    "shape", [(28, 28), (784,), (28, 28, 1), (1, 784), (1, 28, 28), (1, 28, 28, 1)]
)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_an_image_has_any_usual_form(
    shape: tuple[int, ...], dtype: str, trained: tuple[Path, str]
) -> None:
    network = restored(trained[0])
    levels = np.random.default_rng(0).integers(0, 5, (1, 784)) * 51
    expected = network.probabilities((levels / 255).astype(np.float32))
    image = levels.reshape(shape).astype(dtype)
    if dtype != "uint8":
        image /= 255
    answer = network.probabilities(image)
    assert answer.shape == (1, 10)
    np.testing.assert_allclose(answer, expected, atol=2e-3)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((3, 27, 28), np.float32), "shape (3, 27, 28), float32;"),
        (np.zeros((2, 3, 784), np.float32), "shape (2, 3, 784), float32;"),
        (np.zeros(()), "shape (), float64;"),
        (np.zeros((3, 784), np.int64), "shape (3, 784), int64;"),
        (np.zeros((3, 784), bool), "shape (3, 784), bool;"),
        (np.full((3, 784), 255.0), "shape (3, 784), float64, values 0 to 255;"),
        (np.full((3, 784), -0.1), "values -0.1 to 0;"),
        (np.full((28, 28), np.nan), "values nan to nan;"),
        (np.full((28, 28), np.inf), "values 0 to inf;"),
        ([["a"]], "shape (1, 1), <U1;"),
    ],
)
def test_images_of_another_form_are_refused_in_one_line(
    images: np.ndarray, found: str, trained: tuple[Path, str]
) -> None:
    with pytest.raises(ValueError, match=re.escape(found)) as caught:
        restored(trained[0]).probabilities(images)
    assert isinstance(caught.value, cli.UserError)  # which scripts print in a line
    assert "accepted are float from 0 to 1 and uint8, of shape" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_folder_may_be_text_or_left_out(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained[0].parent)
    assert predict.restore(trained[0].name).step == 1
    seen = []

    def find(folder: Path) -> SimpleNamespace:
        seen.append(folder)
        return SimpleNamespace(run=SimpleNamespace(temperature=1.0))

    monkeypatch.setattr(networks, "find", find)
    monkeypatch.setattr(predict, "Classifier", lambda _: None)
    predict.restore()
    assert seen == [SAVE_DIR]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("restores", [False, True])
def test_a_forked_process_gets_an_error_instead_of_waiting(
    restores: bool, trained: tuple[Path, str]
) -> None:
    network = restored(trained[0])
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends what waits for ever
        try:
            if restores:
                network = predict.restore(trained[0])
            network.probabilities(np.zeros((28, 28)))
        except cli.UserError as error:
            os._exit(7 if "does not survive a fork" in str(error) else 8)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_threads_can_share_a_network(trained: tuple[Path, str]) -> None:
    network = restored(trained[0])
    images = np.random.default_rng(0).random((8, 13, 784), dtype=np.float32)
    expected = [network.probabilities(some) for some in images]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(network.probabilities, images))
    np.testing.assert_allclose(answers, expected, atol=1e-6)


def test_answers_need_no_figure(
    save_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = save_dir / "prediction.png"
    path.unlink(missing_ok=True)
    path.mkdir()
    for flag, answer in (("--index", "predict="), ("--first", "predictions ")):
        argv = ["predict.py", flag, "3", "--save_dir", str(save_dir)]
        monkeypatch.setattr("sys.argv", argv)
        assert cli.status(predict.main, input_data.DataError) == 0
        out, err = capsys.readouterr()
        assert answer in out
        assert err == f"predict.py: cannot write {path}: Is a directory\n"


@pytest.mark.parametrize(
    ("flag", "numbers"), [("7", [7]), ("0-3", [0, 1, 2, 3]), ("5-5", [5])]
)
def test_indices_are_numbers_or_ranges(flag: str, numbers: list[int]) -> None:
    assert list(predict.indices(flag)) == numbers


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (
            ["--index", str(TEST)],
            1,
            f"there is no test image {TEST}: --index goes from 0 to {TEST - 1}",
        ),
        (["--index", f"0-{10**20}"], 1, f"there is no test image {10**20}"),
        (
            ["--first", str(10**20)],
            1,
            f"--first is {10**20}; it must be 1 to {TEST}, the number",
        ),
        (["--index", "-1"], 2, "must be a number from 0, as 7, or a range, as 0-9"),
        (["--index", "two"], 2, "'two'; it must be a number"),
        (["--index", "9-0"], 2, "'9-0'; it must be"),
        (["--first", "0"], 2, "'0'; it must be a whole number, 1 or more"),
        (["--first", str(TEST + 1)], 1, f"--first is {TEST + 1}; it must be 1 to"),
        (["--save_dir", "nowhere"], 1, "nowhere holds no trained model: run python tr"),
        (["--data_dir", "nowhere"], 1, "nowhere does not exist: --data_dir names a"),
        (["--data_dir", __file__], 1, "is a file; the data need a folder"),
    ],
)
def test_wrong_input_gets_one_line(
    flags: list[str],
    status: int,
    message: str,
    trained: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["predict.py", "--save_dir", str(trained[0]), *flags]
    )
    assert cli.status(predict.main, input_data.DataError) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_another_architecture_is_refused_by_shape(save_dir: Path) -> None:
    run = checkpoints.read_config(save_dir)
    run.architecture["kernel_size"] = 3
    checkpoints.write_config(run)
    message = r"layer_1/w_variable has shape \[5, 5, 1, 32\] .* builds \[3, 3, 1, 32\]"
    with pytest.raises(cli.UserError, match=message):
        predict.restore(save_dir)


def test_edited_model_code_is_refused(
    save_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = model.fc
    monkeypatch.setattr(
        model,
        "fc",
        lambda x, scope, *args, **kw: original(x, f"my_{scope}", *args, **kw),
    )
    message = "my_full_connection_1/w_variable has shape none"
    with pytest.raises(cli.UserError, match=message):
        predict.restore(save_dir)


def test_edited_constants_do_not_touch_a_saved_network(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(0).random((3, 784), dtype=np.float32)
    before = predict.restore(trained[0]).probabilities(images)
    monkeypatch.setitem(model.ARCHITECTURES["cnn"], "fc_units", 9)
    after = predict.restore(trained[0]).probabilities(images)
    assert (before == after).all()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "null", '{"sha256": "0"}', "\xff"]
)
def test_damaged_configuration_is_named(save_dir: Path, text: str) -> None:
    (save_dir / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(cli.UserError, match=r"config.json is damaged"):
        predict.restore(save_dir)


@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("kind", ["truncated", "bit flipped"])
def test_a_damaged_checkpoint_is_refused(
    suffix: str, kind: str, save_dir: Path
) -> None:
    path = save_dir / f"model.ckpt-1.{suffix}"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data[: len(data) // 2] if kind == "truncated" else data)
    with pytest.raises(
        cli.UserError, match=f"{path.name} is damaged or belongs to another"
    ):
        predict.restore(save_dir)


def test_edited_configuration_is_refused(save_dir: Path) -> None:
    path = save_dir / "config.json"
    path.write_text(path.read_text().replace("0.5", "0.6"))
    with pytest.raises(cli.UserError, match="its checksum differs"):
        predict.restore(save_dir)


def test_a_checkpoint_of_the_article_can_be_restored(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    """Its script builds the variables by hand and saves them with a bare Saver."""
    shapes = {
        "layer_1": [5, 5, 1, 32],
        "layer_2": [5, 5, 32, 64],
        "full_connection_1": [7 * 7 * 64, 1024],
        "full_connection_2": [1024, 10],
    }
    images = np.random.default_rng(0).random((3, 784), dtype=np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant(images.reshape(3, 28, 28, 1))
        for scope, shape in shapes.items():
            with tf.variable_scope(scope):
                spread = tf.truncated_normal_initializer(stddev=0.1)
                w = tf.get_variable("w_variable", shape, initializer=spread)
                b = tf.get_variable("b_variable", shape[-1:], initializer=spread)
            if scope.startswith("layer"):
                x = tf.nn.relu(tf.nn.conv2d(x, w, [1, 1, 1, 1], "SAME") + b)
                x = tf.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
            else:
                x = tf.reshape(x, [3, -1]) @ w + b
                x = tf.nn.relu(x) if scope.endswith("1") else tf.nn.softmax(x)
        session.run(tf.global_variables_initializer())
        expected = session.run(x)
        tf.train.Saver().save(session, str(tmp_path / "model.ckpt"), 10000)
    run = checkpoints.read_config(trained[0])
    name = "model.ckpt-10000"
    run = dataclasses.replace(
        run,
        settings=dataclasses.replace(run.settings, save_dir=tmp_path),
        bfloat16=False,
        best=name,
        checkpoints={name: {}},
        temperature=1.0,
    )
    checkpoints.write_config(run)
    answers = predict.restore(tmp_path).probabilities(images)
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-5)


def test_a_grid_marks_wrong_answers() -> None:
    figure = plots.Figure()
    images = np.zeros((13, 784), np.float32)
    probabilities = np.eye(10, dtype=np.float32)[np.arange(13) % 10]
    labels = np.arange(13) % 10
    labels[4] = 9
    plots.predictions(figure, images, labels, probabilities)
    titles = [axes.title for axes in figure.axes if axes.get_title()]
    assert len(titles) == 13
    assert titles[4].get_text() == "4 (1.000), is 9"
    assert titles[3].get_text() == "3 (1.000)"
    colours = [title.get_color() for title in titles]
    assert colours == ["black"] * 4 + [plots.ORANGE] + ["black"] * 8


def test_the_graph_of_prediction_has_no_random_operation(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = []
    original = tf.Session

    def session(*, graph: tf.Graph, config: tf.ConfigProto) -> tf.Session:
        graphs.append(graph.as_graph_def())
        return original(graph=graph, config=config)

    monkeypatch.setattr(tf, "Session", session)
    predict.restore(trained[0])
    kinds = {node.op for node in graphs[0].node}
    kinds |= {node.op for f in graphs[0].library.function for node in f.node_def}
    assert "MatMul" in kinds
    assert not {kind for kind in kinds if "Random" in kind or "If" in kind}
