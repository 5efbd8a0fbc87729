"""mnist_files.py: arrays from the bytes of files, whatever these are."""

import gzip
import io
import os
import pickle
import pickletools
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import idx_bytes, separable
from hypothesis import given, settings
from hypothesis import strategies as st

import mnist_files

IMAGES, LABELS = 0x0803, 0x0801


# ------------------------------------------------------------------------------ IDX


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


# ---------------------------------------------------------------------- one file of all

SIZES = (31, 12, 7)  # images for training, validation and test


def sets() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return small sets of images and labels for training, validation and test."""
    rng = np.random.default_rng(0)
    return [separable(size, rng) for size in SIZES]


def joined() -> list[np.ndarray]:
    """Return the four arrays of these sets: validation is part of training."""
    train, validation, test = sets()
    return [*map(np.concatenate, zip(train, validation, strict=True)), *test]


def npz_bytes(compressed: bool = False, **arrays: np.ndarray) -> bytes:
    """Return an npz file of the four arrays, some of them replaced."""
    names = ("x_train", "y_train", "x_test", "y_test")
    file = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(file, **dict(zip(names, joined(), strict=True)) | arrays)
    return file.getvalue()


def assert_right(found: tuple[np.ndarray, ...]) -> None:
    assert [array.dtype for array in found] == [np.uint8] * 4
    for array, expected in zip(found, joined(), strict=True):
        assert (array == expected).all()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("labels", [np.uint8, np.int64])
def test_reads_the_npz_of_keras(compressed: bool, labels: type) -> None:
    y_train = joined()[1].astype(labels)
    assert_right(mnist_files.parse_npz(npz_bytes(compressed, y_train=y_train)))


def scaled_sets(form: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the sets with rows of 784 floats and int64 labels, as write-ups have."""
    scale = {"value / 256": 256, "value / 255": 255, "floats": 1}.get(form)
    return [
        (
            (images.reshape(-1, 784) / scale).astype(np.float32) if scale else images,
            labels.astype(np.int64),
        )
        for images, labels in sets()
    ]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", ["value / 256", "value / 255", "floats", "bytes"])
@pytest.mark.parametrize("packed", [False, True])
def test_reads_the_pickle_of_the_sigmoid_write_up(
    protocol: int, form: str, packed: bool
) -> None:
    if protocol == 2:  # what Python 2 wrote: text and bytes are one
        data = python_2_pickle(scaled_sets(form))
    else:
        data = pickle.dumps(tuple(scaled_sets(form)), protocol)
    data = gzip.compress(data, 1) if packed else data
    assert_right(mnist_files.parse_pickle(data))


def python_2_pickle(found: list[tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Return what cPickle.dump(..., 2) of Python 2.7 with NumPy 1.16 wrote."""

    def array(values: np.ndarray) -> bytes:
        code = values.dtype.str[1:].encode()
        data = values.tobytes()
        shape = b"".join(b"J" + struct.pack("<i", size) for size in values.shape)
        shape = b"(" + shape + b"t"
        order = values.dtype.str[:1].encode()
        return (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
            b"\x87R(K\x01" + shape + b"cnumpy\ndtype\nU\x02" + code + b"K\x00K\x01\x87R"
            b"(K\x03U\x01"
            + order
            + b"NNN"
            + 2 * b"J\xff\xff\xff\xff"
            + b"K\x00tb\x89T"
            + struct.pack("<i", len(data))
            + data
            + b"tb"
        )

    pairs = b"".join(array(a) + array(b) + b"\x86" for a, b in found)
    return b"\x80\x02" + pairs + b"\x87."


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        """Note which file the command makes."""
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        """Return the call that a pickle makes."""
        return os.system, (f"touch {self.path}",)


def bomb_of_puts() -> bytes:
    return b"\x80\x04Nr\xff\xff\xff\x7f."


HOSTILE_PICKLES = {
    "empty": (b"", "no pickle of MNIST"),
    "text": (b"<html>404</html>", "no pickle of MNIST"),
    "cut": (pickle.dumps(tuple(sets()))[:-1000], "no pickle of MNIST"),
    "two sets": (pickle.dumps(tuple(sets()[:2])), "no pickle of MNIST"),
    "numbers": (pickle.dumps(((1, 2), (3, 4), (5, 6)), 4), "it has int and int"),
    "objects": (
        pickle.dumps(((np.array([{}, []], object), 1),) * 3),
        "type 'O8'|instruction",
    ),
    "dictionary": (pickle.dumps({1: 2}), "instruction EMPTY_DICT"),
    "huge memo": (bomb_of_puts(), "over 10000 instructions"),
    "many instructions": (b"\x80\x04" + b"N" * 20_000 + b".", "over 10000 instruct"),
    "eval": (b"cbuiltins\neval\n(U\x031/0tR.", "names builtins.eval; nothing but"),
    "control characters": (b"cos\x0b\nsystem\n(tR.", r"names os\\x0b\.system; nothing"),
    "import": (b"cnumpy\nload\n(U\x03abctR.", "names numpy.load; nothing but"),
    "huge array": (
        b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85R.",
        "no pickle of MNIST",
    ),
    "lie about its size": (
        pickle.dumps(tuple(sets()), 3).replace(b"K\x1fK\x1cK\x1c", b"K\x1fK\x1cK\x1d"),
        "cannot reshape array of size 24304",
    ),
}


@pytest.mark.parametrize("name", HOSTILE_PICKLES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_hostile_pickle_is_refused(name: str, packed: bool) -> None:
    data, message = HOSTILE_PICKLES[name]
    data = gzip.compress(data) if packed else data
    with pytest.raises(mnist_files.DataError, match=message) as error:
        mnist_files.parse_pickle(data)
    assert "\n" not in str(error.value)


def test_a_pickle_runs_no_command(tmp_path: Path) -> None:
    data = pickle.dumps(Evil(tmp_path / "ran"))
    with pytest.raises(mnist_files.DataError, match=r"names \w+\.system; nothing"):
        mnist_files.parse_pickle(data)
    images = np.empty(1, object)
    images[0] = Evil(tmp_path / "ran")
    with pytest.raises(mnist_files.DataError):
        mnist_files.parse_pickle(pickle.dumps(((images, images),) * 3))
    with pytest.raises(mnist_files.DataError, match="Object arrays cannot be loaded"):
        mnist_files.parse_npz(npz_bytes(x_train=images))
    assert not (tmp_path / "ran").exists()


def test_bombs_take_no_memory() -> None:
    zeros = io.BytesIO()
    with zipfile.ZipFile(zeros, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            with archive.open(f"{name}.npy", "w") as member:
                for _ in range(300):
                    member.write(bytes(1_000_000))
    packed = gzip.compress(b"\x80\x04" + bytes(600_000_000), 1)
    tracemalloc.start()
    with pytest.raises(mnist_files.DataError, match="it unpacks to 1200000000 bytes"):
        mnist_files.parse_npz(zeros.getvalue())
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    with pytest.raises(mnist_files.DataError, match="holds over 500000000 bytes"):
        mnist_files.parse_pickle(packed)
    assert tracemalloc.get_traced_memory()[1] < 1_200_000_000
    tracemalloc.stop()


HOSTILE_NPZ = {
    "empty": (b"", "no npz file"),
    "not a zip": (b"PK\3\4 and more", "no npz file"),
    "cut": (npz_bytes()[:-30], "no npz file"),
    "names missing": (npz_bytes().replace(b"x_train", b"z_train"), "x_train"),
    "numbers that are no bytes": (
        npz_bytes(x_train=np.full((43, 28, 28), 256)),
        "numbers from 256 to 256",
    ),
    "floats that are no bytes": (
        npz_bytes(x_train=np.full((43, 28, 28), 0.3001)),
        "numbers from 0.3001 to 0.3001",
    ),
    "not a number": (npz_bytes(x_train=np.full((43, 28, 28), np.nan)), "from nan"),
    "negative": (npz_bytes(y_test=np.full(7, -1)), "numbers from -1 to -1"),
    "text": (npz_bytes(y_test=np.array(["7"] * 7)), "arrays of numbers are accepted"),
    "one-hot": (npz_bytes(y_test=np.eye(7)), r"float64 \(7, 7\); images of shape"),
    "no images": (npz_bytes(x_test=np.zeros((0, 28, 28))), "images of shape"),
    "too many": (npz_bytes(y_test=np.zeros(1_000_001, np.uint8)), "up to 1000000"),
}


@pytest.mark.parametrize("name", HOSTILE_NPZ)
def test_a_hostile_npz_is_refused(name: str) -> None:
    data, message = HOSTILE_NPZ[name]
    with pytest.raises(mnist_files.DataError, match=message) as error:
        mnist_files.parse_npz(data)
    assert "\n" not in str(error.value)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[Callable, bytes]:
    """Draw a reader and bytes for it: any, or a file with some bytes changed."""
    parse, whole = draw(st.sampled_from(WHOLE))
    if draw(st.booleans()):
        return parse, draw(st.binary(max_size=2000))
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, 400) | st.integers(0, len(data) - 1))
        data[place : place + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return parse, bytes(data)


WHOLE = (
    (mnist_files.parse_npz, npz_bytes()),
    (mnist_files.parse_npz, npz_bytes(compressed=True)),
    (mnist_files.parse_pickle, pickle.dumps(tuple(sets()))),
    (mnist_files.parse_pickle, python_2_pickle(scaled_sets("value / 256"))),
    (mnist_files.parse_pickle, gzip.compress(pickle.dumps(tuple(sets())))),
)


def assert_read_or_refused(parse: Callable, data: bytes) -> None:
    told = ""
    tracemalloc.start()
    try:
        assert [array.dtype for array in parse(data)] == [np.uint8] * 4
    except mnist_files.DataError as error:
        told = str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(told.splitlines()) <= 1
    assert peak < 30_000_000


@given(damaged())
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_sets_or_an_error(drawn: tuple[Callable, bytes]) -> None:
    assert_read_or_refused(*drawn)


@pytest.mark.slow
@given(damaged())
@settings(max_examples=20_000, deadline=None)
def test_ten_thousand_files_for_each_reader(drawn: tuple[Callable, bytes]) -> None:
    assert_read_or_refused(*drawn)


def test_the_instructions_let_through_are_those_of_a_real_file() -> None:
    """Every one is an instruction, and each is there for some file above."""
    known = {opcode.name for opcode in pickletools.opcodes}
    assert set(mnist_files._OPCODES.split()) <= known
