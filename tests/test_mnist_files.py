"""mnist_files.py: reading, refusing, downloading."""

import gzip
import http.server
import re
import shutil
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import TEST, TRAIN, idx_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

import input_data
import mnist_files

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
        assert array.ndim == (3 if magic == IMAGES else 1)
        assert array.size > 0
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


def test_reads_images_of_any_size_and_any_label() -> None:
    images = np.arange(5 * 3 * 7, dtype=np.uint8).reshape(5, 3, 7)
    assert (mnist_files.parse_idx(idx_bytes(images), IMAGES)[0] == images).all()
    labels = idx_bytes(np.array([3, 26, 255], np.uint8))
    assert mnist_files.parse_idx(labels, LABELS)[0].tolist() == [3, 26, 255]


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
    "no pixels": (images_file(side=0), IMAGES, "images of 0x0 pixels"),
    "no images": (images_file(count=0), IMAGES, "claims 0 items"),
    "promises too much": (
        struct.pack(">IIII", IMAGES, 60000, 28, 28) + bytes(784),
        IMAGES,
        "promises 47040000 bytes",
    ),
    "claims four billion": (struct.pack(">II", LABELS, 2**32 - 1), LABELS, "claims"),
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


STALL_SECONDS = 2  # long enough for a busy machine to answer


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
                time.sleep(2 * STALL_SECONDS)
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
    monkeypatch.setattr(mnist_files, "STALL_SECONDS", STALL_SECONDS)
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()


FAULTS = {
    "404": "404 Not Found",
    "html": "web page",
    "other": "header promises 784",
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


def test_source_url_may_serve_another_and_larger_set(
    mirror: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, _ = mirror
    smaller = {
        name: idx._replace(payload_bytes=9, sha256="another")
        for name, idx in mnist_files.FILES.items()
    }
    monkeypatch.setattr(mnist_files, "FILES", smaller)
    splits = input_data.read_data_sets(
        tmp_path, validation_size=0, source_url=f"{address}/right/"
    )
    assert splits.train.num_examples == TRAIN


# What TensorFlow 1's scripts name as the place of MNIST, and what stands for none.
DEFAULTS = [
    None,
    "",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
    "https://yann.lecun.com/exdb/mnist",
]


@pytest.mark.parametrize("source_url", DEFAULTS)
def test_the_addresses_of_tensorflow_1_stand_for_the_mirrors(
    source_url: str | None,
    mirror: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    address, asked = mirror
    monkeypatch.setattr(mnist_files, "MIRRORS", (f"{address}/right/",))
    splits = input_data.read_data_sets(
        tmp_path, validation_size=0, source_url=source_url
    )
    assert splits.train.num_examples == TRAIN
    assert len(asked) == 4


def test_maybe_download_fetches_what_is_missing_and_nothing_else(
    mirror: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, asked = mirror
    mirrors = (f"{address}/flipped/", f"{address}/right/")
    monkeypatch.setattr(mnist_files, "MIRRORS", mirrors)
    filename, folder = f"{TEST_LABELS}.gz", tmp_path / "new" / "folder"
    dead = input_data.SOURCE_URL + filename
    for _ in range(2):
        path = input_data.maybe_download(filename, str(folder), dead)
        assert path == str(folder / filename)
        with open(path, "rb") as file:
            assert len(input_data.extract_labels(file)) == TEST
    # The first one's checksum is wrong; the second time the file is there.
    assert [part.split("/")[1] for part in asked] == ["flipped", "right"]
    assert [entry.name for entry in folder.iterdir()] == [filename]


def test_maybe_download_takes_other_files_from_their_full_address(
    mirror: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, asked = mirror
    url = f"{address}/right/{TEST_LABELS}.gz"
    path = Path(input_data.maybe_download("anything.bin", tmp_path, url))
    sent = path.read_bytes()
    assert len(mnist_files.parse_idx(sent, LABELS)[0]) == TEST
    name = "emnist-letters-test-labels-idx1-ubyte.gz"
    for fault, answer in (("html", "web page"), ("404", "404 Not Found")):
        url = f"{address}/{fault}/{TEST_LABELS}.gz"
        with pytest.raises(mnist_files.DataNotFoundError, match=f"{name}.*{answer}"):
            input_data.maybe_download(name, tmp_path, url)
    with pytest.raises(mnist_files.DataNotFoundError, match="no address is given"):
        input_data.maybe_download(name, tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    assert len(asked) == 3


def test_auto_falls_back_to_digits_but_mnist_does_not(
    mirror: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    address, _ = mirror
    monkeypatch.setattr(mnist_files, "MIRRORS", (f"{address}/404/",))
    source, splits = input_data.load("auto", tmp_path, 5000)
    assert source.name == "digits"
    assert [split.num_examples for split in splits] == [1197, 300, 300]
    assert "NOT MNIST" in capsys.readouterr().err
    with pytest.raises(mnist_files.DataNotFoundError):
        input_data.load("mnist", tmp_path, 5000)
