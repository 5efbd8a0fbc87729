"""export.py: the tools of its users give predict.py's answers, and nothing is lost."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from helpers import TEST, run_in_process, separable, write_set

import export
import input_data
import model
import predict
from common import cli, files
from common.paths import ROOT
from common.session import tf
from saving import checkpoints, networks

PAGE = ROOT / "docs" / "export.md"
NAMES = ["1", "SHA256SUMS", "digits-int8.tflite", "digits.tflite"]
CLI = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run"]
WITHOUT_TENSORFLOW = "import sys; sys.modules['tensorflow'] = None\n"
LITERT = """
import numpy
from ai_edge_litert.interpreter import Interpreter
path, inputs, outputs = sys.argv[1:]
read = Interpreter(path).get_signature_runner("serving_default")
numpy.savez(outputs, **read(images=numpy.load(inputs)))
"""


def run_export(patch: pytest.MonkeyPatch, save_dir: Path, *flags: object) -> int:
    """Run export.py in this process; return its exit status."""
    argv = ["export.py", "--save_dir", save_dir, *flags]
    patch.setattr("sys.argv", [str(argument) for argument in argv])
    return cli.status(export.main, input_data.DataError)


@pytest.fixture(scope="module")
def exported(
    request: pytest.FixtureRequest,
    tiny_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a small trained network, mlp_128 unless asked, and its export."""
    network = getattr(request, "param", "mlp_128")
    folder = tmp_path_factory.mktemp(network)
    with pytest.MonkeyPatch.context() as patch:
        flags = [f"--network={network}", "--steps=60", "--augment=0", "--bfloat16=off"]
        run_in_process(patch, tiny_dir, folder, *flags, MIN_EVAL_STEPS=60)
        assert run_export(patch, folder) == 0
    return folder


@pytest.fixture
def save_dir(exported: Path, tmp_path: Path) -> Path:
    """A copy of the folder, to be changed."""
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def some_images(count: int) -> np.ndarray:
    """Return images of the tiny set's kind that the network has not seen."""
    return separable(count, np.random.default_rng(7))[0]


def with_saved_model_cli(
    folder: Path, signature: str, images: np.ndarray, place: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities and digits that TensorFlow's tool gives."""
    np.save(place / "images.npy", images)
    name = "pixels" if signature == "pixels" else "images"
    flags = ["--tag_set", "serve", "--signature_def", signature]
    flags += ["--inputs", f"{name}={place}/images.npy", "--outdir", str(place)]
    command = [*CLI, "--dir", str(folder / "1"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return np.load(place / "probabilities.npy"), np.load(place / "digits.npy")


def with_session(
    folder: Path, signature: str, inputs: np.ndarray
) -> dict[str, np.ndarray]:
    """Return what a signature with one input answers in a Session of its own."""
    with tf.Graph().as_default(), tf.Session() as session:
        loaded = tf.saved_model.loader.load(session, ["serve"], str(folder))
        called = loaded.signature_def[signature]
        ((_, taken),) = called.inputs.items()
        feed = {taken.name: inputs.astype(tf.as_dtype(taken.dtype).as_numpy_dtype)}
        return session.run({k: info.name for k, info in called.outputs.items()}, feed)


def with_litert(
    path: Path, images: np.ndarray, place: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities and digits of a process without TensorFlow."""
    np.save(place / "images.npy", images)
    names = [path, place / "images.npy", place / "answers.npz"]
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW + LITERT, *map(str, names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = np.load(place / "answers.npz")
    return answers["probabilities"], answers["digits"]


# ------------------------------------------------------------------------- answers


@pytest.mark.parametrize("exported", model.NETWORKS, indirect=True)
def test_a_saved_model_answers_as_predict_does(exported: Path) -> None:
    images = some_images(13)
    expected = predict.restore(exported).probabilities(images)
    rows = (images / 255).astype(np.float32).reshape(13, 784)
    for signature, inputs in (("serving_default", images), ("pixels", rows)):
        answers = with_session(exported / "export" / "1", signature, inputs)
        probabilities, digits = answers["probabilities"], answers["digits"]
        assert (probabilities.dtype, digits.dtype) == (np.float32, np.int64)
        np.testing.assert_allclose(probabilities, expected, atol=1e-5, rtol=0)
        assert digits.tolist() == expected.argmax(axis=1).tolist()
        assert len(set(digits)) > 1


# A minute each on two slow cores: the tool imports all that TensorFlow has.
@pytest.mark.parametrize(
    ("exported", "signature"),
    [
        pytest.param("cnn", "serving_default"),
        pytest.param("cnn", "pixels", marks=pytest.mark.slow),
        *(
            pytest.param(network, "serving_default", marks=pytest.mark.slow)
            for network in model.NETWORKS
            if network != "cnn"
        ),
    ],
    indirect=["exported"],
)
def test_saved_model_cli_answers_as_predict_does(
    signature: str, exported: Path, tmp_path: Path
) -> None:
    images = some_images(13)
    expected = predict.restore(exported).probabilities(images)
    if signature == "pixels":
        images = (images / 255).astype(np.float32).reshape(13, 784)
    probabilities, digits = with_saved_model_cli(
        exported / "export", signature, images, tmp_path
    )
    np.testing.assert_allclose(probabilities, expected, atol=1e-5, rtol=0)
    assert digits.tolist() == expected.argmax(axis=1).tolist()


@pytest.mark.parametrize("exported", model.NETWORKS, indirect=True)
def test_tflite_files_answer_as_predict_does(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    images = some_images(13)
    expected = predict.restore(exported).probabilities(images)
    path = exported / "export" / "digits.tflite"
    probabilities, digits = with_litert(path, images, tmp_path)
    assert (probabilities.dtype, digits.dtype) == (np.float32, np.int64)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5, rtol=0)
    assert digits.tolist() == expected.argmax(axis=1).tolist()
    path = exported / "export" / "digits-int8.tflite"
    integer, digits = with_litert(path, images, tmp_path)
    assert (integer.dtype, digits.dtype) == (np.float32, np.int64)
    np.testing.assert_allclose(integer, expected, atol=0.1, rtol=0)
    # Steps of 1/256 tell that it computes in integers.
    np.testing.assert_array_equal(integer * 256, np.rint(integer * 256))


def test_the_integer_model_is_small_and_as_accurate(
    exported: Path, tiny_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ai_edge_litert")
    _, test = input_data.load_test("mnist", tiny_dir)
    images = np.rint(test.images * 255).astype(np.uint8).reshape(-1, 28, 28)
    sizes, right = [], []
    for name in ("digits.tflite", "digits-int8.tflite"):
        path = exported / "export" / name
        sizes.append(path.stat().st_size)
        _, digits = with_litert(path, images, tmp_path)
        right.append(np.count_nonzero(digits == test.labels))
    assert sizes[1] < 0.3 * sizes[0]
    assert right[1] >= right[0] - 1
    assert right[0] == checkpoints.read_config(exported).test_accuracy * TEST


@pytest.mark.parametrize("exported", ["mlp_1024_512_256"], indirect=True)
def test_a_saved_model_has_no_trace_of_training(exported: Path) -> None:
    folder = str(exported / "export" / "1")
    with tf.Graph().as_default(), tf.Session() as session:
        loaded = tf.saved_model.loader.load(session, ["serve"], folder)
        names = {variable.op.name for variable in tf.global_variables()}
    assert sorted(loaded.signature_def) == ["pixels", "serving_default"]
    layers = range(1, 5)
    kinds = ("w_variable", "b_variable")
    assert names == {f"full_connection_{n}/{kind}" for n in layers for kind in kinds}
    functions = (node for f in loaded.graph_def.library.function for node in f.node_def)
    operations = {node.op for node in (*loaded.graph_def.node, *functions)}
    assert "MatMul" in operations
    unwanted = re.compile(".*(Random|If|Switch|Grad|Adam|CrossEntropy|Py).*")
    assert not [name for name in operations if unwanted.match(name)]


# ------------------------------------------------------------------- what is printed


def test_a_process_prints_what_it_wrote_and_nothing_else(
    save_dir: Path, run_script: Callable[..., CompletedProcess], tmp_path: Path
) -> None:
    shutil.rmtree(save_dir / "export")
    done = run_script("export.py", "--save_dir", save_dir, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = f"{save_dir.relative_to(tmp_path)}/export"
    first, second, third, fourth = done.stdout.splitlines()
    size = r"\d\.\d MB"
    assert re.fullmatch(rf"wrote {folder}/1, {size}", first)
    assert re.fullmatch(rf"wrote {folder}/digits\.tflite, {size}", second)
    assert re.fullmatch(rf"wrote {folder}/digits-int8\.tflite, {size}", third)
    assert fourth == f"next: saved_model_cli show --all --dir {folder}/1"
    assert re.fullmatch(r"data: .* is not MNIST.*\n", done.stderr) or (
        "not MNIST" in done.stderr and done.stderr.count("\n") == 1
    )
    assert sorted(os.listdir(save_dir / "export")) == NAMES


def test_other_programs_can_check_the_files(save_dir: Path) -> None:
    folder = save_dir / "export"
    run = checkpoints.read_config(save_dir)
    first, *rest = (folder / "SHA256SUMS").read_text().splitlines()
    step = run.best.rpartition("-")[2]
    assert first == (
        f"# written by export.py: mlp_128, {step} steps, test accuracy "
        f"{run.test_accuracy:.4f}"
    )
    assert len(rest) == sum(path.is_file() for path in folder.rglob("*")) - 1
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    with contextlib.suppress(FileNotFoundError):  # the tool is not everywhere
        subprocess.run(check, cwd=folder, check=True, capture_output=True)


# ------------------------------------------------------------------------ the page


def test_the_body_of_the_page_is_a_request_of_tensorflow_serving(
    exported: Path, mnist_dir: Path
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    body = json.loads(re.search(r"curl \S+ -d '(.*?)'", page, re.DOTALL)[1])
    images = np.array(body["instances"])
    _, test = input_data.load_test("mnist", mnist_dir)
    np.testing.assert_allclose(images.reshape(1, 784) / 255, test.images[:1], atol=1e-6)
    assert test.labels[0] == 7
    # Where a request names no signature, Serving takes this one.
    answer = with_session(exported / "export" / "1", "serving_default", images)
    shown = re.search(r'\{"predictions": \[(\{.*\})\]\}', page)[1]
    assert set(re.findall(r'"(\w+)":', shown)) == answer.keys()
    assert answer["probabilities"].shape == (1, 10)
    assert answer["digits"] == answer["probabilities"].argmax()


def python_of_a_fresh_environment(folder: Path) -> Path:
    """Return the interpreter of an environment with LiteRT and what that needs."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    command = [python, "-m", "pip", "install", "--retries=0", "--timeout=9", "numpy"]
    done = subprocess.run(
        [*command, "ai-edge-litert>=2,<3"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"pip cannot install it: {done.stderr.strip().splitlines()[-1]}")
    return python


@pytest.mark.parametrize("fresh", [False, True], ids=["blocked", "fresh environment"])
def test_the_code_of_the_page_needs_no_tensorflow(
    fresh: bool, exported: Path, tmp_path: Path
) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[1]
    assert len(code.splitlines()) <= 12
    if fresh:
        python = python_of_a_fresh_environment(tmp_path / "venv")
        code = f"import importlib.util\n{code}"
        code += "assert importlib.util.find_spec('tensorflow') is None\n"
    else:
        pytest.importorskip("ai_edge_litert")
        python, code = sys.executable, WITHOUT_TENSORFLOW + code
    shutil.copytree(exported / "export", tmp_path / "save_model" / "export")
    done = subprocess.run(
        [str(python), "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 13:16] = 255
    expected = predict.restore(exported).probabilities(image)[0]
    first, second = done.stdout.splitlines()
    assert first == f"predict={expected.argmax()}"
    values = [float(part) for part in re.findall(r"\d: (\d\.\d{4})", second)]
    np.testing.assert_allclose(values, expected, atol=0.1)


# --------------------------------------------------------------------- wrong input


def refused(
    patch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    save_dir: Path,
    *flags: object,
) -> str:
    """Run export.py; return the one line that it must end with."""
    assert run_export(patch, save_dir, *flags) == 1
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if "not MNIST" not in line]
    assert len(lines) == 1, err
    return lines[0]


def test_a_folder_without_a_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    line = refused(monkeypatch, capsys, tmp_path / "none")
    assert "none holds no trained model: run python train.py first" in line
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_run_is_refused(
    save_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    before = whole(save_dir / "export")
    run = checkpoints.read_config(save_dir)
    run = dataclasses.replace(run, step=31, test_accuracy=None, temperature=None)
    checkpoints.write_config(run)
    line = refused(monkeypatch, capsys, save_dir)
    assert "is at step 31 of 60, and its probabilities are not calibrated yet" in line
    assert line.endswith(f"python train.py --resume --save_dir {save_dir}")
    assert whole(save_dir / "export") == before


def test_a_damaged_checkpoint_is_refused(
    save_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    before = whole(save_dir / "export")
    best = checkpoints.read_config(save_dir).best
    (save_dir / f"{best}.index").write_bytes(b"")
    line = refused(monkeypatch, capsys, save_dir)
    assert f"{best}.index is damaged" in line
    assert whole(save_dir / "export") == before


@pytest.mark.parametrize(
    "name", ["model.config", "2/saved_model.pb", "1/saved_model.pb", "digits.tflite"]
)
def test_a_folder_with_files_of_others_is_not_touched(
    name: str,
    save_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    path = save_dir / "export" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    line = refused(monkeypatch, capsys, save_dir)
    assert f"{path} was not written by export.py, or was changed since" in line
    assert path.read_text() == "mine"


@pytest.mark.parametrize("sums", [None, "", "mine\n", "\xff", "# written by exp"])
def test_a_folder_that_export_did_not_sign_is_not_touched(
    sums: str | None,
    save_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    path = save_dir / "export" / "SHA256SUMS"
    path.unlink()
    if sums is not None:
        path.write_text(sums, encoding="latin-1")
    before = {p: p.read_bytes() for p in files_of(save_dir)}
    assert "was not written by export.py" in refused(monkeypatch, capsys, save_dir)
    assert {p: p.read_bytes() for p in files_of(save_dir)} == before


@pytest.mark.parametrize("kind", ["file", "link"])
def test_an_export_that_is_no_folder_is_not_touched(
    kind: str,
    save_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    path = save_dir / "export"
    path.rename(tmp_path / "elsewhere")
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_text("mine")
    line = refused(monkeypatch, capsys, save_dir)
    assert f"{path} was not written by export.py" in line
    assert path.is_symlink() or path.read_text() == "mine"
    assert sorted(os.listdir(tmp_path / "elsewhere")) == NAMES


def test_data_that_are_not_there_are_named(
    save_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    line = refused(monkeypatch, capsys, save_dir, "--data_dir", save_dir / "none")
    assert "none does not exist: --data_dir names a folder with the files" in line
    run = checkpoints.read_config(save_dir)
    settings = dataclasses.replace(run.settings, data_dir=save_dir / "gone")
    checkpoints.write_config(dataclasses.replace(run, settings=settings))
    line = refused(monkeypatch, capsys, save_dir)
    assert "gone, which had the data of this run, does not exist: name" in line


def test_the_range_of_values_is_that_of_the_data_asked_for(
    save_dir: Path, tmp_path: Path
) -> None:
    run = checkpoints.read_config(save_dir)
    own = export.training_images(run, None)
    assert own.shape == (143, 28, 28)  # validation images among them
    other = write_set(tmp_path / "other", train=1201, seed=1)
    images = export.training_images(run, other)
    assert images.shape == (1000, 28, 28)
    assert images.dtype == np.uint8
    _, data = input_data.load("mnist", other, 0)
    where = [0, 1200]
    np.testing.assert_allclose(
        images[[0, -1]].reshape(2, 784) / 255, data.train.images[where], atol=1e-6
    )


def test_a_tensorflow_without_the_converter_is_told_in_one_line(
    save_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    class Lite:
        def __getattr__(self, name: str) -> None:
            raise ImportError("No module named 'tensorflow.lite'")

    before = whole(save_dir / "export")
    monkeypatch.setattr(tf.compat.v2, "lite", Lite())
    line = refused(monkeypatch, capsys, save_dir)
    assert f"TensorFlow {tf.__version__} has no TFLite converter" in line
    assert "nothing was written; install the versions of requirements.txt" in line
    assert whole(save_dir / "export") == before


def test_two_exports_do_not_mix(
    save_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with files.locked(save_dir / export.LOCK) as held:
        assert held
        line = refused(monkeypatch, capsys, save_dir)
    assert "another process writes " in line


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows mounts nothing")
def test_a_full_disk_leaves_the_old_export(
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        save_dir = Path(shutil.copytree(exported, disk / "net"))
        before = whole(save_dir / "export")
        model_size = (save_dir / "export" / "digits.tflite").stat().st_size
        # No room for a folder; for a SavedModel; for a TFLite file beside it.
        for room in (0, model_size // 2, model_size * 3 // 2):
            remount(disk, f"size={occupied(disk) + room}")
            line = refused(monkeypatch, capsys, save_dir)
            assert re.search(r"cannot write .*export \(.*No space left on dev", line)
            assert line.endswith(": nothing was changed")
            assert whole(save_dir / "export") == before
            assert not (save_dir / export.UNFINISHED).exists()
        remount(disk, "ro")
        line = refused(monkeypatch, capsys, save_dir)
        assert re.search(r"cannot write .*export \(Read-only file system\)", line)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system that can be remounted; skip where mounting is refused."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20m", "none", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting is refused here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


def occupied(disk: Path) -> int:
    """Return the bytes in use."""
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


# ------------------------------------------------------------------------- killing


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def whole(folder: Path) -> str:
    """Return SHA256SUMS of an export in which every file has its checksum."""
    text = (folder / "SHA256SUMS").read_text()
    sums = dict(line.split("  ")[::-1] for line in text.splitlines()[1:])
    found = {
        p.relative_to(folder).as_posix(): files.sha256(p) for p in files_of(folder)
    }
    del found["SHA256SUMS"]
    assert found == sums
    return text


CALLS = [  # each of them may be the last that a process makes
    (Path, "mkdir"),
    (Path, "write_bytes"),
    (Path, "write_text"),
    (files, "flush"),
    (files, "exchange"),
    (os, "replace"),
    (os, "unlink"),
    (os, "rmdir"),
]


def write_instead(patch: pytest.MonkeyPatch, text: str) -> None:
    """Let an export consist of a text, which takes no time."""

    def write_saved_model(_: object, folder: Path) -> None:
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_text(text)
        (folder / "variables" / "variables.index").write_text(text)

    patch.setattr(export, "write_saved_model", write_saved_model)
    patch.setattr(export, "to_tflite", lambda *_: text.encode())


def killed_at(call: int, save_dir: Path, exchanges: bool) -> bool:
    """Export in a process that ends before its nth call; return whether it did."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    made = 0

    def counted(function: Callable) -> Callable:
        def wrapper(*args: object, **options: object) -> object:
            nonlocal made
            made += 1
            if made == call:
                os._exit(9)
            return function(*args, **options)

        return wrapper

    try:
        patch = pytest.MonkeyPatch()
        if not exchanges:
            patch.setattr(files, "exchange", lambda *_: False)
        for owner, name in CALLS:
            patch.setattr(owner, name, counted(getattr(owner, name)))
        write_instead(patch, "new")
        export.export(networks.find(save_dir), np.zeros((1, 28, 28)))
        os._exit(0)
    finally:
        os._exit(8)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("exchanges", [True, False])
def test_an_export_killed_at_any_call_leaves_the_old_one_whole(
    exchanges: bool, save_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if exchanges and sys.platform != "linux":
        pytest.skip("only Linux exchanges two folders")
    folder = save_dir / "export"
    saved = networks.find(save_dir)
    write_instead(monkeypatch, "old")
    shutil.rmtree(folder)
    old = whole(export.export(saved, np.zeros((1, 28, 28))))
    call, outcomes = 1, []
    while killed_at(call, save_dir, exchanges):
        if not exchanges:
            export.recover(folder)
        outcomes.append(whole(folder) == old)
        export.export(saved, np.zeros((1, 28, 28)))  # the next one is not disturbed
        assert whole(folder) == old
        assert not list(save_dir.glob(".export.[!l]*"))
        call += 1
    assert call > 20
    assert whole(folder) != old  # of the one that came to its end
    # First the old one, and from one call on the new one.
    assert outcomes == sorted(outcomes, reverse=True)
    assert outcomes[0] > outcomes[-1]


def test_ctrl_c_waits_for_the_converter() -> None:
    reached = []

    @export.signals_afterwards()
    def convert() -> None:
        signal.raise_signal(signal.SIGINT)
        reached.append("end")

    with pytest.raises(KeyboardInterrupt):
        convert()
    assert reached == ["end"]


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_real_process_that_is_stopped_leaves_the_old_export(
    signum: int, exported: Path, tmp_path: Path
) -> None:
    save_dir = Path(shutil.copytree(exported, tmp_path / "copy"))
    before = whole(save_dir / "export")
    command = [sys.executable, str(ROOT / "export.py"), "--save_dir", str(save_dir)]
    begun = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.monotonic() - begun
    after = whole(save_dir / "export")
    for part in range(10):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds * (part + 0.5) / 10)
        process.send_signal(signum)
        _, error = process.communicate()
        assert "Traceback" not in error
        if process.returncode:
            assert process.returncode == (130 if signum == signal.SIGINT else -signum)
        assert whole(save_dir / "export") in (before, after)
