"""Parse the forms in which MNIST is handed out: bytes in, arrays out.

- IDX, four files, as on the page of Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST
  database of handwritten digits";
- ``mnist.npz``, as Keras has it;
- ``mnist.pkl.gz``, as in M. Nielsen, "Neural Networks and Deep Learning", 2015.

Whatever the bytes are, nothing in them is executed, and the memory that they take is
bounded.
"""

import gzip
import hashlib
import io
import math
import pickle
import pickletools
import warnings
import zipfile
import zlib
from typing import Any, BinaryIO

import numpy as np

IMAGE_SIZE = 28  # pixels
CLASSES = 10
IMAGES, LABELS = 0x0803, 0x0801  # magic numbers of IDX: bytes in 3 dimensions, in 1
MAX_EXAMPLES = 1_000_000  # more than any set of this form; bounds what is unpacked
MAX_FILE_BYTES = MAX_EXAMPLES * IMAGE_SIZE**2 + 16
MAX_PICKLE_BYTES = 500_000_000  # uncompressed; MNIST's has 220 million
MAX_OPCODES = 10_000  # of a pickle; MNIST's has under 200

Sets = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class DataError(ValueError):
    """A data file cannot be used; the text names it and says what is wrong."""


# ------------------------------------------------------------------------------ IDX


def parse_idx(data: bytes, magic: int) -> tuple[np.ndarray, str]:
    """Return the array in an IDX file, and the SHA-256 of the file uncompressed.

    Args:
        data: the file's bytes, plain or gzip-compressed.
        magic: IMAGES or LABELS.

    Returns:
        uint8 array of shape (n, rows, columns) or labels of shape (n,), and 64
        hexadecimal digits.

    Raises:
        DataError: the bytes are anything else; never another exception, and no more
            is unpacked than the header promises.
    """
    compressed = data.startswith(b"\x1f\x8b")
    stream = gzip.GzipFile(fileobj=io.BytesIO(data)) if compressed else io.BytesIO(data)
    try:
        header = stream.read(16 if magic == IMAGES else 8)
        shape = _shape(header, magic)
        size = math.prod(shape)
        # Deflate shrinks 1,032 times at best.
        if size > len(data) * (1032 if compressed else 1):
            raise DataError(
                f"its header promises {size} bytes, more than the {len(data)} bytes "
                "of the file can hold"
            )
        payload = _read_at_most(stream, size + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"it is a damaged gzip file ({error})") from None
    if len(payload) != size:
        found = f"more than {size}" if len(payload) > size else len(payload)
        raise DataError(f"it holds {found} bytes where its header promises {size}")
    array = np.frombuffer(payload, np.uint8).reshape(shape)
    digest = hashlib.sha256(header)
    digest.update(payload)
    return array, digest.hexdigest()


def _shape(header: bytes, magic: int) -> tuple[int, ...]:
    found = int.from_bytes(header[:4], "big")
    if len(header) < 4 or found != magic:
        hint = "; it looks like a web page" if header.lstrip()[:1] == b"<" else ""
        raise DataError(f"magic number 0x{found:08x}, expected 0x{magic:08x}{hint}")
    dims = tuple(np.frombuffer(header[4 : len(header) // 4 * 4], ">u4").tolist())
    if len(dims) != magic & 0xFF:
        raise DataError("it ends within its header")
    if not 1 <= dims[0] <= MAX_EXAMPLES:
        raise DataError(f"it claims {dims[0]} items; 1 to {MAX_EXAMPLES} are read")
    if 0 in dims:
        raise DataError(f"it claims images of {dims[1]}x{dims[2]} pixels")
    return dims


def _read_at_most(stream: BinaryIO, size: int) -> bytearray:
    payload = bytearray()
    while chunk := stream.read(min(1 << 20, size - len(payload))):
        payload += chunk
    return payload


def idx_header(array: np.ndarray) -> bytes:
    """Return the header that an IDX file of this array has."""
    magic = IMAGES if array.ndim == 3 else LABELS
    return np.array([magic, *array.shape], ">u4").tobytes()


def idx_sha256(array: np.ndarray) -> str:
    """Return the SHA-256 of the uncompressed IDX file of a uint8 array."""
    digest = hashlib.sha256(idx_header(array))
    digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


# ---------------------------------------------------------------------- one file of all


def parse_npz(data: bytes) -> Sets:
    """Return the four arrays of Keras's ``mnist.npz``.

    Args:
        data: the file's bytes, a zip archive of x_train, y_train, x_test and y_test.

    Returns:
        Training images and labels, test images and labels: uint8, as `parse_idx`'s.

    Raises:
        DataError: the bytes are anything else; never another exception.
    """
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(archive.getinfo(f"{name}.npy").file_size for name in names)
            if size > MAX_FILE_BYTES:
                raise DataError(
                    f"it unpacks to {size} bytes; up to {MAX_FILE_BYTES} are accepted"
                )
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return _as_sets([arrays[name] for name in names])
    except DataError:
        raise
    except Exception as error:  # damaged bytes make the decoders raise anything
        raise DataError(f"it is no npz file of MNIST ({_first_line(error)})") from None


def parse_pickle(data: bytes) -> Sets:
    """Return the four arrays of ``mnist.pkl.gz``: training and validation are joined.

    Args:
        data: the file's bytes, gzip-compressed or not: a pickle of three pairs
            (images, labels), for training, validation and test. Images have values 0
            to 255, or these divided by 256 or 255.

    Returns:
        Training images and labels, test images and labels: uint8, as `parse_idx`'s.

    Raises:
        DataError: the bytes are anything else; never another exception.
    """
    try:
        stream = io.BytesIO(data)
        if data.startswith(b"\x1f\x8b"):
            stream = gzip.GzipFile(fileobj=stream)
        content = _read_at_most(stream, MAX_PICKLE_BYTES + 1)
        if len(content) > MAX_PICKLE_BYTES:
            raise DataError(f"it holds over {MAX_PICKLE_BYTES} bytes")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in what is no text
            _refuse_opcodes(content)
        train, validation, test = _ArrayUnpickler(io.BytesIO(content)).load()
        del content
        (a, b), (c, d), (e, f) = (
            _as_sets([getattr(array, "array", array) for array in pair])
            for pair in (train, validation, test)
        )
        return np.concatenate((a, c)), np.concatenate((b, d)), e, f
    except DataError:
        raise
    except Exception as error:  # damaged bytes make the decoders raise anything
        raise DataError(f"it is no pickle of MNIST ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    """Return what an error says in a line of bounded length."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def _as_sets(arrays: list[Any]) -> tuple[np.ndarray, ...]:
    """Return images and labels, in turn, as uint8 arrays of the shapes of IDX.

    Raises:
        DataError: they are no such arrays.
    """
    result = []
    for images, labels in zip(arrays[::2], arrays[1::2], strict=True):
        shapes = f"{_found(images)} and {_found(labels)}"
        for array in (images, labels):
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "uif":
                raise DataError(f"it has {shapes}; arrays of numbers are accepted")
        if images.shape[1:] == (IMAGE_SIZE**2,):
            images = images.reshape(-1, IMAGE_SIZE, IMAGE_SIZE)
        elif images.ndim == 4 and images.shape[3] == 1:
            images = images[..., 0]
        if images.ndim != 3 or labels.ndim != 1 or 0 in images.shape or not len(labels):
            raise DataError(
                f"it has {shapes}; images of shape (n, 28, 28) or (n, 784) and labels "
                "of shape (n,) are accepted"
            )
        if max(len(images), len(labels)) > MAX_EXAMPLES:
            raise DataError(f"it has {shapes}; up to {MAX_EXAMPLES} items are read")
        result += [_as_bytes(images), _as_bytes(labels)]
    return tuple(result)


def _found(array: object) -> str:
    """Return what stands where an array should."""
    if isinstance(array, np.ndarray):
        return f"{array.dtype} {array.shape}"
    return type(array).__name__


def _as_bytes(array: np.ndarray) -> np.ndarray:
    """Return numbers as uint8: whole ones as they are, shares times 256 or 255.

    Raises:
        DataError: they are neither.
    """
    if array.dtype == np.uint8:
        return array
    for scale in (256, 255, 1) if array.dtype.kind == "f" and array.ndim > 1 else (1,):
        result = np.empty(array.shape, np.uint8)
        for part, bytes_ in zip(_thousands(array), _thousands(result), strict=True):
            scaled = np.multiply(part, scale, dtype=np.float64)
            whole = np.rint(scaled)
            # Written so that NaN is refused.
            if not (np.abs(scaled - whole).max() < 0.01 and whole.min() >= 0):
                break
            if whole.max() > 255:
                break
            bytes_[...] = whole
        else:
            return result
    raise DataError(
        f"it has numbers from {array.min():g} to {array.max():g} ({array.dtype}); "
        "accepted are whole numbers from 0 to 255, and these divided by 256 or 255"
    )


def _thousands(array: np.ndarray) -> list[np.ndarray]:
    """Return an array in parts, so that its float64 copies stay small."""
    return [array[start : start + 1000] for start in range(0, len(array), 1000)]


# A pickle is a program. Of its instructions those for tuples of arrays are let through,
# and numpy's functions are played by the ones below.
_OPCODES = (
    "PROTO FRAME MARK STOP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG1 "
    "SHORT_BINSTRING BINSTRING SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8 "
    "SHORT_BINUNICODE BINUNICODE EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST "
    "LIST APPEND APPENDS PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL "
    "STACK_GLOBAL REDUCE BUILD"
)
_DTYPES = {"u1", "i1", "i2", "i4", "i8", "f4", "f8"}


def _refuse_opcodes(content: bytes) -> None:
    """Raise an error for instructions that no pickle of arrays has, or too many.

    Each may take memory: PUT as much as its number says, NONE eight bytes for its one.
    """
    accepted = _OPCODES.split()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name not in accepted:
            raise DataError(f"it has the instruction {opcode.name}: no pickle of MNIST")
        is_put = opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
        if count > MAX_OPCODES or (is_put and argument > MAX_OPCODES):
            raise DataError(f"it has over {MAX_OPCODES} instructions")


class _Dtype:
    """Plays numpy.dtype: a type of numbers, and their byte order."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.code = _text(code)
        if self.code not in _DTYPES:
            raise DataError(f"it has an array of type {self.code[:20]!a}; not accepted")
        self.order = "="

    def __setstate__(self, state: tuple) -> None:
        self.order = {"<": "<", ">": ">", "|": "|"}[_text(state[1])]

    def numpy(self) -> np.dtype:
        return np.dtype(self.order.replace("|", "=") + self.code)


class _Array:
    """Plays numpy.ndarray while its state is read."""

    def __init__(self, *_: object) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.array = _from_buffer(data, dtype, shape, "F" if is_fortran else "C")


def _from_buffer(
    data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str
) -> np.ndarray:
    """Play numpy's own function of this name, in pickles of protocol 5."""
    return np.frombuffer(data, dtype.numpy()).reshape(shape, order=_text(order))


def _text(value: str | bytes) -> str:
    """Return a name, which Python 2 wrote as bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else value


_PLAYED = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
}
for _core in ("numpy.core", "numpy._core"):
    _PLAYED[f"{_core}.multiarray", "_reconstruct"] = _Array
    _PLAYED[f"{_core}.numeric", "_frombuffer"] = _from_buffer


class _ArrayUnpickler(pickle.Unpickler):
    """Reads tuples of numpy's arrays, and looks nothing up in any module."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="bytes")  # what Python 2 wrote

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        """Return what plays a function; DataError for any but numpy's."""
        try:
            return _PLAYED[module, name]
        except KeyError:
            found = ascii(f"{module}.{name}"[:100]).strip("'")  # no control characters
            raise DataError(
                f"it names {found}; nothing but arrays of numpy is read"
            ) from None
