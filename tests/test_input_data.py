"""input_data.py, mnist_files.py: reading, refusing, downloading, batching."""

import gzip
import http.server
import re
import shutil
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import TEST, TRAIN, idx_bytes, write_set
from hypothesis import given, settings
from hypothesis import strategies as st

import input_data
import mnist_files
from common import paths
from common.paths import ROOT

IMAGES, LABELS = 0x0803, 0x0801
TRAIN_IMAGES = "train-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"


# ------------------------------------------------------------------ reading IDX files


def test_reads_exact_bytes_of_a_hand_written_file() -> None:
    pixels = bytes(range(256)) * 10
    body = pixels[: 3 * 28 * 28]
    data = b"\x00\x00\x08\x03\x00\x00\x00\x03\x00\x00\x00\x1c\x00\x00\x00\x1c" + body
    array, _ = mnist_files.parse_idx(data, IMAGES)
    assert array.shape == (3, 28, 28)
    assert array.dtype == np.uint8
    assert array.tobytes() == body
    assert array[1, 2, 3] == (784 + 2 * 28 + 3) % 256
    labels, sha256 = mnist_files.parse_idx(
        b"\0\0\x08\x01\0\0\0\x05\x09\0\1\2\3", LABELS
    )
    assert labels.tolist() == [9, 0, 1, 2, 3]
    # printf '\0\0\10\1\0\0\0\5\11\0\1\2\3' | sha256sum
    assert sha256.startswith("6850c44c9b7b2c4d")


def test_reads_gzip_of_several_members() -> None:
    data = idx_bytes(np.arange(7, dtype=np.uint8))
    packed = gzip.compress(data[:9]) + gzip.compress(data[9:])
    assert mnist_files.parse_idx(packed, LABELS)[0].tolist() == list(range(7))


@st.composite
def nearly_idx(draw: st.DrawFn) -> bytes:
    """Draw files that look like IDX up to some point, plain or compressed."""
    dims = draw(
        st.lists(st.sampled_from([0, 1, 2, 3, 28, 10**6, 2**32 - 1]), max_size=4)
    )
    magic = draw(st.sampled_from([IMAGES, LABELS, 0x0802, 0]))
    header = struct.pack(f">{len(dims) + 1}I", magic, *dims)
    size = draw(st.sampled_from([0, 1, 2, 783, 784, 1568]))
    data = header + draw(st.binary(max_size=20)) + bytes(size)
    if draw(st.booleans()):
        data = gzip.compress(data, mtime=0)
        data += draw(st.binary(max_size=4))
    return data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data


def assert_parsed_or_refused(data: bytes, magic: int) -> None:
    """Check the one exception and the memory that parsing any bytes may cost."""
    tracemalloc.start()
    try:
        array, _ = mnist_files.parse_idx(data, magic)
        assert array.dtype == np.uint8
        assert array.shape[1:] == ((28, 28) if magic == IMAGES else ())
    except ValueError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    unpacked = 1032 * len(data) if data.startswith(b"\x1f\x8b") else len(data)
    assert peak < 300_000 + 4 * unpacked


@given(st.binary(max_size=2000) | nearly_idx(), st.sampled_from([IMAGES, LABELS]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_arrays_or_a_value_error(data: bytes, magic: int) -> None:
    assert_parsed_or_refused(data, magic)


@pytest.mark.slow
@given(st.binary(max_size=2000) | nearly_idx(), st.sampled_from([IMAGES, LABELS]))
@settings(max_examples=10_000, deadline=None)
def test_ten_thousand_files_give_arrays_or_a_value_error(
    data: bytes, magic: int
) -> None:
    assert_parsed_or_refused(data, magic)


def images_file(count: int = 2, side: int = 28) -> bytes:
    return idx_bytes(np.zeros((count, side, side), np.uint8))


MALFORMED = {
    "empty": (b"", IMAGES, "magic number 0x00000000"),
    "cut within the magic number": (b"\0\0\x08", IMAGES, "magic number"),
    "cut within the header": (images_file()[:10], IMAGES, "ends within its header"),
    "truncated": (images_file()[:-1], IMAGES, "holds|promises 1568"),
    "too long": (images_file() + b"\0", IMAGES, "more than 1568 bytes"),
    "truncated gzip": (gzip.compress(images_file())[:-4], IMAGES, "damaged gzip"),
    "gzip with a flipped bit": (
        gzip.compress(images_file())[:-6] + b"\xff" + gzip.compress(images_file())[-5:],
        IMAGES,
        "damaged gzip",
    ),
    "gzip header alone": (b"\x1f\x8b", IMAGES, "damaged gzip"),
    "web page": (b"<!DOCTYPE html><html>404</html>", IMAGES, "looks like a web page"),
    "labels for images": (idx_bytes(np.zeros(5, np.uint8)), IMAGES, "0x00000801"),
    "images for labels": (images_file(), LABELS, "expected 0x00000801"),
    "floats": (struct.pack(">HBBI", 0, 13, 1, 0), LABELS, "magic number 0x00000d01"),
    "27 pixels": (images_file(side=27), IMAGES, "27x27"),
    "no images": (images_file(count=0), IMAGES, "claims 0 items"),
    "promises too much": (
        struct.pack(">IIII", IMAGES, 60000, 28, 28) + bytes(784),
        IMAGES,
        "promises 47040000 bytes",
    ),
    "claims four billion": (struct.pack(">II", LABELS, 2**32 - 1), LABELS, "claims"),
    "label 10": (idx_bytes(np.array([3, 10, 4], np.uint8)), LABELS, "label 10 at pla"),
    "gzip bomb": (
        gzip.compress(idx_bytes(np.zeros(9, np.uint8)) + bytes(50_000_000)),
        LABELS,
        "more than 9 bytes",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_bytes_are_named(name: str) -> None:
    data, magic, message = MALFORMED[name]
    with pytest.raises(mnist_files.DataError, match=message):
        mnist_files.parse_idx(data, magic)


@pytest.mark.parametrize("form", ["{}.gz", "{}", "dotted", "dotted.gz"])
def test_finds_every_form_of_a_file_name(
    form: str, tiny_is_mnist: Path, tmp_path: Path
) -> None:
    for name in mnist_files.FILES:
        packed = (tiny_is_mnist / f"{name}.gz").read_bytes()
        target = form.format(name).replace("dotted", name.replace("-idx", ".idx"))
        data = packed if target.endswith(".gz") else gzip.decompress(packed)
        (tmp_path / target).write_bytes(data)
    arrays, is_mnist, _ = mnist_files.load_arrays(tmp_path)
    assert is_mnist
    assert [len(array) for array in arrays.values()] == [TRAIN, TRAIN, TEST, TEST]


def test_real_mnist_is_known_by_its_checksums(mnist_dir: Path) -> None:
    source, splits = input_data.load("mnist", mnist_dir, 5000, 0)
    assert source.name == "mnist"
    assert [split.num_examples for split in splits] == [55000, 5000, 10000]
    # Published counts of the ten digits among the test images.
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(splits.test.labels).tolist() == counts
    assert splits.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert splits.validation.labels[:5].tolist() == [5, 0, 4, 1, 9]
    # The published mean of the training pixels is 0.1307 (of all 60,000).
    assert splits.train.images.mean() == pytest.approx(0.1307, abs=2e-4)


def test_another_checksum_is_somebodys_own_set(
    tiny_dir: Path, capsys: pytest.CaptureFixture
) -> None:
    source, splits = input_data.load("auto", tiny_dir, 13, 0)
    assert source.name == "own"
    assert splits.train.num_examples == TRAIN - 13
    assert capsys.readouterr().err.count("not MNIST") == 1


def test_own_set_is_never_filled_up_with_mnist(tiny_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dir, tmp_path / "own")
    (tmp_path / "own" / f"{TEST_LABELS}.gz").unlink()
    with pytest.raises(
        mnist_files.DataError, match=f"{TEST_LABELS} is missing"
    ) as error:
        input_data.load("auto", tmp_path / "own", 13, 0)
    assert not isinstance(error.value, mnist_files.DataNotFoundError)
    # Now only the training files tell what the set is.
    (tmp_path / "own" / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(mnist_files.DataError, match="images-idx3-ubyte is missing"):
        input_data.load_test("own", tmp_path / "own")


def test_counts_must_agree(tiny_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dir, tmp_path / "odd")
    labels = idx_bytes(np.zeros(TRAIN + 1, np.uint8))
    (tmp_path / "odd" / "train-labels-idx1-ubyte.gz").write_bytes(labels)
    message = f"{TRAIN} images .* {TRAIN + 1} labels"
    with pytest.raises(mnist_files.DataError, match=message):
        mnist_files.load_arrays(tmp_path / "odd")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(mnist_files.DataError, match="is a file; the data"):
        mnist_files.load_arrays(tmp_path / "file")


# ----------------------------------------------------------------------- downloading


class Mirror(http.server.BaseHTTPRequestHandler):
    """Answers /FAULT/name.gz from `folder`, with the fault that the path names."""

    folder: Path
    asked: list[str]

    def do_GET(self) -> None:
        """Answer one request."""
        fault, name = self.path.strip("/").split("/")
        self.asked.append(self.path)
        data = (self.folder / name).read_bytes()
        if fault == "404":
            self.send_error(404)
            return
        if fault == "html":
            data = b"<html>log in to the network first</html>"
        if fault == "other":
            data = gzip.compress(
                bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28])
            )
        if fault == "flipped":
            payload = bytearray(gzip.decompress(data))
            payload[-1] ^= 1
            data = gzip.compress(payload)
        self.send_response(200)
        if fault != "endless":
            size = 10**12 if fault == "huge" else len(data)
            self.send_header("Content-Length", str(size))
        self.end_headers()
        if fault == "endless":
            data = bytes(20_000_000)
        elif fault in ("truncate", "stall"):
            data = data[: len(data) // 2]
        try:
            self.wfile.write(data)
            if fault == "stall":
                self.wfile.flush()
                time.sleep(1.5)
        except OSError:
            pass

    def log_message(self, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def mirror(
    tiny_is_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, list[str]]]:
    """A server on this machine: its address and the paths it was asked for."""
    handler = type("Here", (Mirror,), {"folder": tiny_is_mnist, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(mnist_files, "STALL_SECONDS", 0.3)
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()


FAULTS = {
    "404": "404 Not Found",
    "html": "web page",
    "other": "28x28|promises",
    "flipped": "checksum is not that of MNIST",
    "truncate": r"it sent \d+ of \d+ bytes",
    "stall": "timed out",
    "huge": "more than the",
    "endless": "more than the",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_mirror_is_passed_over(
    fault: str,
    mirror: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, asked = mirror
    mirrors = (f"{address}/{fault}/", f"{address}/right/")
    monkeypatch.setattr(mnist_files, "MIRRORS", mirrors)
    data = mnist_files.download(TRAIN_IMAGES, mirrors)
    assert [part.split("/")[1] for part in asked] == [fault, "right"]
    assert mnist_files.parse_idx(data, IMAGES)[0].shape == (TRAIN, 28, 28)


def test_every_answer_is_told_when_all_mirrors_fail(
    mirror: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = mirror
    mirrors = [f"{address}/{fault}/" for fault in FAULTS]
    mirrors.append("http://127.0.0.1:9/nobody/")
    monkeypatch.setattr(mnist_files, "MIRRORS", tuple(mirrors))
    with pytest.raises(mnist_files.DataNotFoundError) as error:
        mnist_files.download(TRAIN_IMAGES, mirrors)
    message = str(error.value)
    assert message.count("127.0.0.1") == len(FAULTS) + 1
    for pattern in (*FAULTS.values(), "refused", "--dataset digits"):
        assert re.search(pattern, message), pattern
    assert "\n" not in message


def test_missing_and_damaged_files_are_fetched_and_the_bad_kept(
    mirror: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    address, asked = mirror
    monkeypatch.setattr(mnist_files, "MIRRORS", (f"{address}/right",))
    (tmp_path / f"{TEST_LABELS}.gz").write_bytes(b"<html>")
    (tmp_path / TEST_LABELS).write_bytes(b"half")
    arrays, is_mnist, _ = mnist_files.load_arrays(tmp_path)
    assert is_mnist
    assert len(arrays) == len(asked) == 4
    assert (
        sorted(path.suffix for path in tmp_path.iterdir()) == [".bad"] * 2 + [".gz"] * 4
    )
    assert (tmp_path / f"{TEST_LABELS}.gz.bad").read_bytes() == b"<html>"
    assert (tmp_path / f"{TEST_LABELS}.bad").read_bytes() == b"half"
    assert "looks like a web page" in capsys.readouterr().err
    asked.clear()
    assert mnist_files.load_arrays(tmp_path).is_mnist
    assert asked == []


@pytest.mark.parametrize("name", mnist_files.FILES)
def test_one_missing_file_is_fetched_to_the_others(
    name: str,
    mirror: tuple[str, list[str]],
    tiny_is_mnist: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    address, asked = mirror
    monkeypatch.setattr(mnist_files, "MIRRORS", (f"{address}/right",))
    shutil.copytree(tiny_is_mnist, tmp_path / "data")
    (tmp_path / "data" / f"{name}.gz").unlink()
    arrays, is_mnist, sha256 = mnist_files.load_arrays(tmp_path / "data")
    assert len(asked) == 1
    assert is_mnist
    assert list(arrays) == list(mnist_files.FILES)
    assert sha256 == mnist_files.load_arrays(tiny_is_mnist).sha256


def test_source_url_may_serve_another_set(
    mirror: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, _ = mirror
    splits = input_data.read_data_sets(
        tmp_path, validation_size=0, source_url=f"{address}/right/"
    )
    assert splits.train.num_examples == TRAIN


def test_auto_falls_back_to_digits_but_mnist_does_not(
    mirror: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    address, _ = mirror
    monkeypatch.setattr(mnist_files, "MIRRORS", (f"{address}/404/",))
    source, splits = input_data.load("auto", tmp_path, 5000, 0)
    assert source.name == "digits"
    assert [split.num_examples for split in splits] == [1197, 300, 300]
    assert "NOT MNIST" in capsys.readouterr().err
    with pytest.raises(mnist_files.DataNotFoundError):
        input_data.load("mnist", tmp_path, 5000, 0)


def test_embedded_digits_look_like_mnist() -> None:
    splits = input_data.load("digits", Path("nowhere"), 300, 0)[1]
    assert [split.num_examples for split in splits] == [1197, 300, 300]
    # Drawn alike from all ten: 30 of each, or as near as their numbers allow.
    assert set(np.bincount(splits.test.labels)) <= set(range(28, 33))
    images = splits.train.images.reshape(-1, 28, 28)
    assert images.dtype == np.float32
    assert images.max() == 1
    border = np.ones((28, 28), bool)
    border[3:25, 3:25] = False
    assert not images[:, border].any()
    assert input_data.load_test("digits", Path("nowhere"))[1].images.tolist() == (
        splits.test.images.tolist()
    )


def run_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *flags: object
) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["input_data.py", *map(str, flags)])
    input_data.main()
    return capsys.readouterr().out.splitlines()


def test_script_prints_the_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(paths, "SAVE_DIR", tmp_path / "save_model")
    lines = run_main(monkeypatch, capsys, "--dataset", "digits")
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["train", "1197"],
        ["validation", "300"],
        ["test", "300"],
    ]
    assert sum(map(int, lines[2].split()[2:12])) == 1197
    assert lines[2].endswith("float32  0 to 1")
    assert (tmp_path / "save_model" / "digits.png").exists()


def test_script_prints_one_image_as_numbers(
    tiny_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(paths, "SAVE_DIR", tmp_path / "save_model")
    lines = run_main(monkeypatch, capsys, "--data_dir", tiny_dir, "--index", 13)
    packed = (tiny_dir / f"{TRAIN_IMAGES}.gz").read_bytes()
    pixels = gzip.decompress(packed)[16 + 13 * 784 : 16 + 14 * 784]
    assert [int(value) for line in lines[:28] for value in line.split()] == list(pixels)
    assert lines[28] == "label 3"
    with pytest.raises(mnist_files.DataError, match="index is 143; it must be 0 to"):
        run_main(monkeypatch, capsys, "--data_dir", tiny_dir, "--index", TRAIN)


def test_script_shows_a_set_with_an_empty_split(
    tiny_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(paths, "SAVE_DIR", tmp_path / "save_model")
    flags = ("--data_dir", tiny_dir, "--validation_size")
    for size, empty in ((0, 3), (TRAIN, 2)):
        lines = run_main(monkeypatch, capsys, *flags, size)
        assert lines[empty].split()[1] == "0"
        assert lines[empty].endswith("none")
    with pytest.raises(mnist_files.DataError, match="validation size is 144; it must"):
        run_main(monkeypatch, capsys, *flags, TRAIN + 1)


# ----------------------------------------------------- the contract of TensorFlow 1


def test_arrays_have_the_forms_of_tensorflow_1(tiny_dir: Path) -> None:
    splits = input_data.read_data_sets(str(tiny_dir), validation_size=13)
    assert splits._fields == ("train", "validation", "test")
    assert splits.train.images.shape == (TRAIN - 13, 784)
    assert splits.train.images.dtype == np.float32
    assert 0 <= splits.train.images.min() < splits.train.images.max() <= 1
    assert splits.train.labels.dtype == np.uint8
    assert splits.train.labels.shape == (TRAIN - 13,)
    assert splits.test.num_examples == TEST
    raw = input_data.read_data_sets(
        tiny_dir, one_hot=True, dtype=np.uint8, reshape=False, validation_size=13
    )
    assert raw.validation.images.shape == (13, 28, 28, 1)
    assert raw.validation.images.dtype == np.uint8
    assert raw.validation.labels.dtype == np.float64
    assert raw.validation.labels.shape == (13, 10)
    assert (raw.validation.labels.argmax(1) == splits.validation.labels).all()
    # The first training images are for validation, in the file's order.
    assert splits.validation.labels.tolist() == [i % 10 for i in range(13)]
    np.testing.assert_allclose(
        splits.validation.images,
        raw.validation.images.reshape(13, 784) / 255,
        rtol=1e-6,
    )


def test_bad_arguments_are_refused(tiny_dir: Path) -> None:
    with pytest.raises(TypeError, match="float64; it must be float32 or uint8"):
        input_data.read_data_sets(tiny_dir, dtype=np.float64)
    with pytest.raises(
        ValueError, match="validation size is 5000; it must be 0 to 143"
    ):
        input_data.read_data_sets(tiny_dir)


def test_next_batch_goes_through_every_example_once_an_epoch(tiny_dir: Path) -> None:
    data = input_data.read_data_sets(tiny_dir, validation_size=13, seed=5).train
    everything = sorted(map(bytes, data.images))
    epochs = []
    for _ in range(2):
        batches = [data.next_batch(26) for _ in range(5)]
        epochs.append([bytes(image) for images, _ in batches for image in images])
        assert sorted(epochs[-1]) == everything
        truth = dict(zip(map(bytes, data.images), data.labels, strict=True))
        for images, labels in batches:
            assert [truth[bytes(image)] for image in images] == labels.tolist()
    assert epochs[0] != epochs[1]


def test_next_batch_wraps_around_at_an_epochs_end(tiny_dir: Path) -> None:
    data = input_data.read_data_sets(tiny_dir, validation_size=13).test
    images, labels = data.next_batch(TEST - 7, shuffle=False)
    assert (images == data.images[: TEST - 7]).all()
    assert data.epochs_completed == 0
    images, labels = data.next_batch(11, shuffle=False)
    assert labels.tolist() == [*data.labels[-7:], *data.labels[:4]]
    assert data.epochs_completed == 1
    # As in TensorFlow 1, the epoch counts once a batch goes past its end.
    data.next_batch(TEST - 4, shuffle=False)
    assert data.epochs_completed == 1
    data.next_batch(1)
    assert data.epochs_completed == 2
    assert len(data.next_batch(3 * TEST)[0]) == 3 * TEST


def test_seed_decides_the_batches(tiny_dir: Path) -> None:
    first, again, other, none = (
        input_data.read_data_sets(tiny_dir, validation_size=0, seed=seed).train
        for seed in (3, 3, 4, None)
    )
    labels = first.next_batch(50)[1].tolist()
    assert again.next_batch(50)[1].tolist() == labels
    assert other.next_batch(50)[1].tolist() != labels
    assert none.next_batch(50)[1].tolist() != labels
    second = first.next_batch(31)[1].tolist()
    assert again.batch(0, 50)[1].tolist() == labels
    assert again.next_batch(31)[1].tolist() == second


def test_fake_data_needs_no_files() -> None:
    data = input_data.read_data_sets("nowhere", fake_data=True, one_hot=True).train
    images, labels = data.next_batch(3, fake_data=True)
    assert images == [[1] * 784] * 3
    assert labels == [[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]] * 3
    assert data.num_examples == 10000


TENSORFLOW_1_SCRIPT = """
from six.moves import xrange
import input_data

mnist = input_data.read_data_sets("MNIST_data", one_hot=True, validation_size=13)
for i in xrange(7):
    batch_xs, batch_ys = mnist.train.next_batch(50)
print(batch_xs.shape, batch_ys.shape, mnist.train.epochs_completed)
print(mnist.test.images.shape, mnist.test.labels.sum())
"""


def test_a_tensorflow_1_script_runs_without_tensorflow(tmp_path: Path) -> None:
    write_set(tmp_path / "MNIST_data")
    for script in ("input_data.py", "mnist_files.py"):
        shutil.copy(ROOT / script, tmp_path)
    (tmp_path / "tutorial.py").write_text(TENSORFLOW_1_SCRIPT)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "tutorial.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"(50, 784) (50, 10) 2\n({TEST}, 784) {TEST}.0\n"
    assert "tensorflow" not in done.stderr
