"""mnist_files.py: finding, reading, downloading."""

import gzip
import http.client
import http.server
import pickle
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import TEST, TRAIN, idx_bytes

import input_data
import mnist_files
from common.paths import ROOT

IMAGES, LABELS = 0x0803, 0x0801
TRAIN_IMAGES = "train-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"


# -------------------------------------------------------------- finding and reading


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
    data = mnist_files.download(TRAIN_IMAGES)
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
        mnist_files.download(TRAIN_IMAGES)
    message = str(error.value)
    assert message.count("127.0.0.1") == len(FAULTS) + 1
    for pattern in (*FAULTS.values(), "refused", "--dataset mnist_5k"):
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


def test_auto_falls_back_to_mnist_5k_but_mnist_does_not(
    mirror: tuple[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    address, _ = mirror
    monkeypatch.setattr(mnist_files, "MIRRORS", (f"{address}/404/",) * 3)
    source, splits = input_data.load("auto", tmp_path, 5000)
    assert source.name == "mnist_5k"
    assert [split.num_examples for split in splits] == [4000, 500, 500]
    told = capsys.readouterr().err.splitlines()
    assert told == [
        f"data: no MNIST in {tmp_path}: trying 3 mirrors",
        "data: none has it: using 5,000 of its images (mnist_5k); for all 70,000 put "
        f"{mnist_files.ONE_FILE_URL} there",
    ]
    with pytest.raises(mnist_files.DataNotFoundError, match="404 Not Found"):
        input_data.load("mnist", tmp_path, 5000)


# ---------------------------------------------------- mirrors, proxies, other places


def test_a_mirror_of_ones_own_stands_for_the_others(
    mirror: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, asked = mirror
    monkeypatch.setattr(mnist_files, "MIRRORS", (f"{address}/404/",))
    monkeypatch.setenv("MNIST_MIRROR", f"{address}/right")
    assert mnist_files.load_arrays(tmp_path).is_mnist
    assert {part.split("/")[1] for part in asked} == {"right"}
    for wrong, answer in (
        (f"{address}/flipped", "checksum is not that of MNIST"),
        ("school.example", "school.example/.*unknown url type"),
        ("http://127.0.0.1:9", "refused"),
    ):
        monkeypatch.setenv("MNIST_MIRROR", wrong)
        with pytest.raises(mnist_files.DataNotFoundError, match=answer):
            mnist_files.load_arrays(tmp_path / "new")


class Proxy(http.server.BaseHTTPRequestHandler):
    """Fetches what it is asked for, and notes it; tunnels are noted and refused."""

    asked: list[str]

    def do_GET(self) -> None:
        """Fetch a file for somebody."""
        self.asked.append(self.path)
        place = urllib.parse.urlsplit(self.path)
        connection = http.client.HTTPConnection("127.0.0.1", place.port)
        connection.request("GET", place.path)
        data = connection.getresponse().read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_CONNECT(self) -> None:
        """Refuse a tunnel to a host with HTTPS."""
        self.asked.append(self.path)
        self.send_error(403, "not in school")

    def log_message(self, *args: object) -> None:
        """Print nothing."""


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_downloads_go_through_a_proxy(
    name: str,
    mirror: tuple[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, asked = mirror
    handler = type("Here", (Proxy,), {"asked": []})
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
    secure = name.replace("http", "https").replace("HTTP", "HTTPS")
    code = "import sys, mnist_files; mnist_files.maybe_download(*sys.argv[1:])"
    # Only a proxy knows a host of this name.
    url = f"{address}/right/{TEST_LABELS}.gz".replace("127.0.0.1", "school.invalid")
    command = [sys.executable, "-c", code, "labels.gz", str(tmp_path), url]
    subprocess.run(command, cwd=ROOT, check=True)
    assert handler.asked == [url]
    assert asked == [f"/right/{TEST_LABELS}.gz"]
    monkeypatch.setenv(secure, f"http://127.0.0.1:{proxy.server_port}")
    command[-3] = "more.gz"
    command[-1] = f"https://school.invalid/{TEST_LABELS}.gz"
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "403 not in school" in done.stderr.splitlines()[-1]
    assert handler.asked[-1] == "school.invalid:443"
    proxy.shutdown()
    proxy.server_close()


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    return mnist_files.load_arrays(folder).by_name


def write_npz(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(folder / "mnist.npz", **dict(zip(names, arrays.values(), strict=True)))


def write_pickle(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images, labels, test_images, test_labels = arrays.values()
    pairs = (
        (images[:100], labels[:100]),
        (images[100:], labels[100:]),
        (test_images, test_labels),
    )
    pairs = tuple(
        ((a.reshape(-1, 784) / 256).astype(np.float32), b.astype(int)) for a, b in pairs
    )
    data = gzip.compress(pickle.dumps(pairs, 3))
    (folder / "mnist.pkl.gz").write_bytes(data)


@pytest.mark.parametrize("write", [write_npz, write_pickle])
def test_one_file_of_all_is_known_by_the_same_checksums(
    write: Callable, tiny_is_mnist: Path, tmp_path: Path
) -> None:
    write(tmp_path / "data", arrays_of(tiny_is_mnist))
    files = sorted((tmp_path / "data").iterdir())
    found = mnist_files.load_arrays(tmp_path / "data")
    expected = mnist_files.load_arrays(tiny_is_mnist)
    assert found.is_mnist
    assert found.sha256 == expected.sha256
    for name, array in expected.by_name.items():
        assert (found.by_name[name] == array).all()
    test = mnist_files.load_arrays(tmp_path / "data", mnist_files.TEST_FILES)
    assert test.is_mnist
    assert list(test.by_name) == list(mnist_files.TEST_FILES)
    assert sorted((tmp_path / "data").iterdir()) == files  # nothing is copied


def test_a_damaged_file_of_all_is_named_and_nothing_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist_files, "download", pytest.fail)
    (tmp_path / "mnist.npz").write_bytes(b"half")
    with pytest.raises(
        mnist_files.DataError, match=r"mnist\.npz: it is no npz"
    ) as error:
        input_data.load("auto", tmp_path, 13)
    assert not isinstance(error.value, mnist_files.DataNotFoundError)


@pytest.mark.parametrize("framework", ["torchvision, in", "torchvision", "keras"])
def test_mnist_of_other_frameworks_is_found_once(
    framework: str,
    tiny_is_mnist: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(mnist_files, "download", pytest.fail)
    data_dir = tmp_path / "data"
    place = {
        "torchvision, in": data_dir / "MNIST" / "raw",
        "torchvision": tmp_path / "MNIST" / "raw",
        "keras": tmp_path / "keras" / "datasets",
    }[framework]
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    if framework == "keras":
        write_npz(place, arrays_of(tiny_is_mnist))
    else:
        shutil.copytree(tiny_is_mnist, place)
    found = mnist_files.load_arrays(data_dir)
    assert found.is_mnist
    assert found.sha256 == mnist_files.load_arrays(tiny_is_mnist).sha256
    told = capsys.readouterr().err
    if framework == "torchvision, in":
        assert told == ""
    else:
        assert told == f"data: found MNIST in {place}: copying it to {data_dir}\n"
        shutil.rmtree(place)
    assert mnist_files.load_arrays(data_dir).sha256 == found.sha256
    assert capsys.readouterr().err == ""


def test_what_lies_elsewhere_is_used_if_it_is_mnist(
    mirror: tuple[str, list[str]],
    tiny_is_mnist: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    address, asked = mirror
    monkeypatch.setattr(mnist_files, "MIRRORS", (f"{address}/right",))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    shutil.copytree(tiny_is_mnist, tmp_path / "MNIST" / "raw")
    labels = idx_bytes(np.zeros(TEST, np.uint8))  # of another set
    (tmp_path / "MNIST" / "raw" / f"{TEST_LABELS}.gz").write_bytes(labels)
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    (tmp_path / "keras" / "datasets" / "mnist.npz").write_bytes(b"half")
    assert mnist_files.load_arrays(tmp_path / "data").is_mnist
    assert len(asked) == 4
    assert "mnist.npz: it is no npz" in capsys.readouterr().err


def test_mnist_found_elsewhere_works_where_nothing_can_be_written(
    tiny_is_mnist: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("Permission denied")

    monkeypatch.setattr(mnist_files, "_write_file", refuse)
    shutil.copytree(tiny_is_mnist, tmp_path / "MNIST" / "raw")
    assert mnist_files.load_arrays(tmp_path / "data").is_mnist
    assert "not copied to" in capsys.readouterr().err
