"""Find, download, verify and parse the files of MNIST.

The forms in which it is handed out:

- IDX, four files, as on the page of Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST
  database of handwritten digits";
- ``mnist.npz``, as Keras has it;
- ``mnist.pkl.gz``, as in M. Nielsen, "Neural Networks and Deep Learning", 2015.

Whatever the bytes are, nothing in them is executed, and the memory that they take is
bounded.
"""

import contextlib
import gzip
import hashlib
import http.client
import io
import math
import os
import pickle
import pickletools
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

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


# ------------------------------------------------------------------ where they are

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
# Addresses that scripts for TensorFlow 1 name for MNIST: its two defaults.
LECUN_URL = "http://yann.lecun.com/exdb/mnist/"  # answers 404 since 2025
TENSORFLOW_URLS = (LECUN_URL, LECUN_URL.replace("http:", "https:"), MIRRORS[0])
# All of it in one file, for people to fetch by hand.
ONE_FILE_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
PACKED = {
    "mnist.npz": parse_npz,
    "mnist.pkl.gz": parse_pickle,
    "mnist.pkl": parse_pickle,
}
TORCHVISION = Path("MNIST", "raw")  # its folder within the one that it is given
STALL_SECONDS = 15  # without a byte, after which a mirror is given up
DOWNLOAD_SECONDS = 600  # for a file, after which it is given up as well


class Idx(NamedTuple):
    """One file of MNIST; its payload is the file uncompressed."""

    magic: int
    payload_bytes: int
    sha256: str


FILES = {
    "train-images-idx3-ubyte": Idx(
        IMAGES,
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train-labels-idx1-ubyte": Idx(
        LABELS,
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k-images-idx3-ubyte": Idx(
        IMAGES,
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "t10k-labels-idx1-ubyte": Idx(
        LABELS,
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
TEST_FILES = tuple(name for name in FILES if name.startswith("t10k"))


class DataNotFoundError(DataError):
    """MNIST is not in the data folder and could not be downloaded."""


# ------------------------------------------------------------- finding and reading


Found = dict[str, tuple[np.ndarray, str]]  # arrays and SHA-256, by key of FILES


def _places(data_dir: Path, name: str) -> Iterator[Path]:
    """Yield the existing files that may hold `name`: sites name it differently."""
    dotted = name.replace("-idx", ".idx")
    for folder in (data_dir, data_dir / TORCHVISION):
        for file_name in (f"{name}.gz", name, f"{dotted}.gz", dotted):
            if (folder / file_name).is_file():
                yield folder / file_name


def holds_files(data_dir: Path) -> bool:
    """Return whether a folder has any file that `load_arrays` reads."""
    places = (place for name in FILES for place in _places(data_dir, name))
    return any(places) or any((data_dir / name).is_file() for name in PACKED)


def _read_bytes(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise DataError(f"it has {size} bytes; at most {MAX_FILE_BYTES} are accepted")
    return path.read_bytes()


def _read_all(
    data_dir: Path, names: Iterable[str]
) -> tuple[Found, dict[str, list[Path]]]:
    """Return what the folder has of the named files, and where it is damaged.

    Raises:
        DataError: one of PACKED stands for them all, and is damaged.
    """
    found: Found = {}
    bad: dict[str, list[Path]] = {name: [] for name in names}
    for name in bad:
        for path in _places(data_dir, name):
            try:
                found[name] = parse_idx(_read_bytes(path), FILES[name].magic)
                break
            except DataError as error:
                bad[name].append(path)
                say(f"{path}: {error}")
    if not found and not any(bad.values()):
        found = _read_packed(data_dir, bad.keys())
    return found, bad


def _read_packed(data_dir: Path, names: Collection[str]) -> Found:
    """Return the named arrays from the first of PACKED that the folder has."""
    for file_name, parse in PACKED.items():
        path = data_dir / file_name
        if path.is_file():
            try:
                arrays = dict(zip(FILES, parse(_read_bytes(path)), strict=True))
            except DataError as error:
                raise DataError(f"{path}: {error}") from None
            return {name: (arrays[name], idx_sha256(arrays[name])) for name in names}
    return {}


def _find_elsewhere(data_dir: Path, names: Collection[str]) -> Found:
    """Return the named files from where other frameworks keep MNIST, if they do."""
    keras = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    for folder in (data_dir.parent / TORCHVISION, Path(keras) / "datasets"):
        try:
            found, _ = _read_all(folder, names)
        except (DataError, OSError) as error:
            say(str(error))
            continue
        if found and all(
            name in found and found[name][1] == FILES[name].sha256 for name in names
        ):
            say(f"found MNIST in {folder}: copying it to {data_dir}")
            return found
    return {}


# ----------------------------------------------------------------------- downloading

_DOWNLOAD_ERRORS = (OSError, http.client.HTTPException, ValueError)


def is_mnist_address(source_url: str | None) -> bool:
    """Return whether an address stands for MNIST: none, or TensorFlow 1's defaults."""
    return not source_url or f"{source_url}/".startswith(TENSORFLOW_URLS)


def mirrors_of(source_url: str | None) -> Sequence[str]:
    """Return the base addresses to download from.

    These are MIRRORS, or the one that the environment variable MNIST_MIRROR names,
    unless `source_url` is the address of another data set.
    """
    if not is_mnist_address(source_url):
        return [source_url]
    mirror = os.environ.get("MNIST_MIRROR")
    return [mirror] if mirror else MIRRORS


def maybe_download(
    filename: str, work_directory: str | os.PathLike, source_url: str | None = None
) -> str:
    """Return the path of a file in a folder; download it if it is not there.

    Args:
        filename: the file's name, ``train-images-idx3-ubyte.gz`` for example.
        work_directory: the folder, made if it is missing.
        source_url: full address of the file. MNIST's own files come from MIRRORS, with
            their checksums verified, where it is left out or TensorFlow 1's default.

    Raises:
        DataNotFoundError: nobody sent the file, or something else under its name.
    """
    path = Path(work_directory) / filename
    if not path.exists():
        name = filename.removesuffix(".gz")
        is_mnist = f"{name}.gz" == filename and name in FILES
        if is_mnist and is_mnist_address(source_url):
            data = download(name, source_url)
        elif source_url:
            data = _download_from(filename, source_url)
        else:
            raise DataNotFoundError(f"{path} is missing, and no address is given")
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_file(path, data)
        say(f"downloaded {path}, {len(data)} bytes")
    return os.path.join(work_directory, filename)


def _download_from(filename: str, url: str) -> bytes:
    """Download a file from its full address; check that an IDX file is one."""
    magic = {"idx3": IMAGES, "idx1": LABELS}.get(filename.partition("-ubyte")[0][-4:])
    try:
        data = _fetch(url, MAX_FILE_BYTES)
        if magic:
            parse_idx(data, magic)
    except _DOWNLOAD_ERRORS as error:
        raise DataNotFoundError(
            f"{filename} is missing and was not downloaded ({_answer(url, error)})"
        ) from None
    return bytes(data)


def _answer(url: str, error: Exception) -> str:
    """Return what an address answered, in a few words."""
    reason = getattr(error, "reason", None) or error
    code = f"{error.code} " if isinstance(error, urllib.error.HTTPError) else ""
    return f"{urllib.parse.urlsplit(url).netloc or url}: {code}{reason}"


def download(name: str, source_url: str | None = None) -> bytes:
    """Download one file, gzip-compressed, from the first address that has it.

    Args:
        name: a key of FILES; ``name.gz`` is fetched.
        source_url: see `mirrors_of`. From another data set's address the file may have
            another checksum than MNIST's.

    Raises:
        DataNotFoundError: no mirror has it; the text says what each one answered.
    """
    idx = FILES[name]
    known = is_mnist_address(source_url)
    answers = []
    for mirror in mirrors_of(source_url):
        url = f"{mirror.rstrip('/')}/{name}.gz"
        try:
            data = _fetch(url, idx.payload_bytes if known else MAX_FILE_BYTES)
            _, sha256 = parse_idx(data, idx.magic)
            if known and sha256 != idx.sha256:
                raise DataError("its checksum is not that of MNIST")
        except _DOWNLOAD_ERRORS as error:
            answers.append(_answer(url, error))
        else:
            return bytes(data)
    raise DataNotFoundError(
        f"{name}.gz is missing and no mirror has it ({'; '.join(answers)}): put "
        f"{ONE_FILE_URL} into the data folder, name the folder of your copy with "
        "--data_dir, or train on 5,000 images with --dataset mnist_5k"
    )


def _fetch(url: str, limit: int) -> bytearray:
    """Return the bytes at `url`; ValueError or OSError where there are over `limit`."""
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    request = urllib.request.Request(url, headers={"User-Agent": "mnist-graph-mode"})
    data = bytearray()
    with urllib.request.urlopen(request, timeout=STALL_SECONDS) as response:
        size = int(response.headers.get("Content-Length") or 0)
        name = url.rsplit("/", 1)[-1]
        with _progress_bar(name, size) as bar:
            while len(data) <= limit and (chunk := response.read1(1 << 16)):
                data += chunk
                bar.update(len(chunk))
                if time.monotonic() > deadline:
                    raise TimeoutError(f"took over {DOWNLOAD_SECONDS} s")
    if max(size, len(data)) > limit:
        raise DataError(f"it sends more than the {limit} bytes that the file can have")
    if len(data) < size:
        raise DataError(f"it sent {len(data)} of {size} bytes")
    return data


class _NoBar:
    """What stands for a progress bar where tqdm is not installed."""

    def update(self, count: int) -> None:
        """Show nothing."""


def _progress_bar(name: str, size: int) -> contextlib.AbstractContextManager:
    """Return a progress bar in bytes, silent where stderr is no terminal."""
    try:
        from tqdm import tqdm  # which a script for TensorFlow 1 may not have
    except ImportError:
        return contextlib.nullcontext(_NoBar())
    return tqdm(total=size or None, desc=name, unit="B", unit_scale=True, disable=None)


def _write_file(path: Path, data: bytes) -> None:
    """Write a file under another name, then rename it: it is never half-written."""
    for left_over in path.parent.glob(f"{path.name}.*.part"):
        if time.time() - left_over.stat().st_mtime > DOWNLOAD_SECONDS:
            left_over.unlink()
    handle, part = tempfile.mkstemp(".part", f"{path.name}.", path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            # Some network shares cannot. A file that a power failure cuts short is
            # found by its checksum, and downloaded again.
            with contextlib.suppress(OSError):
                os.fsync(file.fileno())
        os.chmod(part, 0o644)
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def _keep_aside(path: Path) -> None:
    """Rename a bad file, overwriting nothing."""
    aside = path.with_name(f"{path.name}.bad")
    count = 1
    while aside.exists():
        count += 1
        aside = path.with_name(f"{path.name}.bad{count}")
    path.rename(aside)
    say(f"kept the bad file as {aside}")


# ---------------------------------------------------------------- the four arrays


class Arrays(NamedTuple):
    """The arrays of the files, by file name, and whether they are MNIST's."""

    by_name: dict[str, np.ndarray]
    is_mnist: bool
    sha256: str  # of the checksums of all files


def load_arrays(
    data_dir: str | os.PathLike,
    names: Sequence[str] = tuple(FILES),
    source_url: str | None = None,
) -> Arrays:
    """Read the named files; download those that are missing or damaged.

    Args:
        data_dir: folder with the files under any of their usual names.
        names: keys of FILES, images before labels.
        source_url: see `mirrors_of`.

    Returns:
        uint8 arrays as `parse_idx` gives them. A data set with other checksums than
        MNIST's is the user's own: it is used, and never mixed with MNIST.

    Raises:
        DataNotFoundError: files are missing and cannot be downloaded.
        DataError: the files do not belong together.
    """
    data_dir = Path(data_dir)
    if data_dir.exists() and not data_dir.is_dir():
        raise DataError(f"{data_dir} is a file; the data need a folder")
    found, bad = _read_all(data_dir, names)
    missing = [name for name in names if name not in found]
    if missing:
        _refuse_to_mix(data_dir, found, missing)
        found |= _fetch_missing(data_dir, missing, bad, source_url)
    return _together(data_dir, {name: found[name] for name in names})


def _fetch_missing(
    data_dir: Path,
    missing: Sequence[str],
    bad: dict[str, list[Path]],
    source_url: str | None,
) -> Found:
    """Return the missing files, found elsewhere or downloaded, and keep them."""
    found = _find_elsewhere(data_dir, missing) if is_mnist_address(source_url) else {}
    if found:
        try:
            for name, (array, _) in found.items():
                idx = idx_header(array) + array.tobytes()
                _keep(data_dir, name, gzip.compress(idx, compresslevel=1), bad[name])
        except OSError as error:  # it works without a copy
            say(f"not copied to {data_dir} ({error})")
        return found
    what = "no MNIST" if len(missing) == len(FILES) else f"no {', '.join(missing)}"
    count = len(mirrors_of(source_url))
    mirrors = f"{count} mirrors" if count > 1 else "the mirror"
    say(f"{what} in {data_dir}: trying {mirrors}")
    for name in missing:
        data = download(name, source_url)
        found[name] = parse_idx(data, FILES[name].magic)
        _keep(data_dir, name, data, bad[name])
    return found


def _keep(data_dir: Path, name: str, data: bytes, bad: Iterable[Path]) -> None:
    """Write a compressed file to the data folder, and set damaged ones aside."""
    data_dir.mkdir(parents=True, exist_ok=True)
    for path in bad:
        _keep_aside(path)
    _write_file(data_dir / f"{name}.gz", data)


def _refuse_to_mix(
    data_dir: Path, found: dict[str, tuple[np.ndarray, str]], missing: Sequence[str]
) -> None:
    """Raise DataError where any file of the folder is of another set than MNIST."""
    rest, _ = _read_all(data_dir, FILES.keys() - found.keys() - set(missing))
    for name, (_, sha256) in (found | rest).items():
        if sha256 != FILES[name].sha256:
            raise DataError(
                f"{data_dir} holds a data set that is not MNIST ({name} has another "
                f"checksum), and its {missing[0]} is missing or damaged: add it; "
                "nothing was downloaded, because MNIST's file would not belong to it"
            )


def _together(data_dir: Path, found: dict[str, tuple[np.ndarray, str]]) -> Arrays:
    """Check that images and labels belong together."""
    for images, labels in zip(list(found)[::2], list(found)[1::2], strict=True):
        if len(found[images][0]) != len(found[labels][0]):
            raise DataError(
                f"{data_dir}: {images} has {len(found[images][0])} images and {labels} "
                f"{len(found[labels][0])} labels; the numbers must be equal"
            )
    is_mnist = all(sha256 == FILES[name].sha256 for name, (_, sha256) in found.items())
    checksums = "".join(sha256 for _, sha256 in found.values())
    sha256 = hashlib.sha256(checksums.encode()).hexdigest()
    return Arrays({name: array for name, (array, _) in found.items()}, is_mnist, sha256)


def say(text: str) -> None:
    """Print a note on the data on stderr."""
    print(f"data: {text}", file=sys.stderr)
