"""Find, download, verify and parse the four files of MNIST.

The IDX format is described on the page of Y. LeCun, C. Cortes, C. J. C. Burges, "The
MNIST database of handwritten digits".
"""

import contextlib
import gzip
import hashlib
import http.client
import io
import math
import os
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
# Addresses that scripts for TensorFlow 1 name for MNIST: its two defaults.
LECUN_URL = "http://yann.lecun.com/exdb/mnist/"  # answers 404 since 2025
TENSORFLOW_URLS = (LECUN_URL, LECUN_URL.replace("http:", "https:"), MIRRORS[0])
STALL_SECONDS = 15  # without a byte, after which a mirror is given up
DOWNLOAD_SECONDS = 600  # for a file, after which it is given up as well
IMAGE_SIZE = 28  # pixels
CLASSES = 10
IMAGES, LABELS = 0x0803, 0x0801  # magic numbers of IDX: bytes in 3 dimensions, in 1
MAX_EXAMPLES = 1_000_000  # more than any set of this form; bounds what is unpacked
MAX_FILE_BYTES = MAX_EXAMPLES * IMAGE_SIZE**2 + 16


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


class DataError(ValueError):
    """A data file cannot be used; the text names it and says what is wrong."""


class DataNotFoundError(DataError):
    """MNIST is not in the data folder and could not be downloaded."""


# ------------------------------------------------------------------ reading IDX files


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


def _read_file(path: Path, name: str) -> tuple[np.ndarray, str]:
    size = path.stat().st_size
    try:
        if size > MAX_FILE_BYTES:
            raise DataError(
                f"it has {size} bytes; at most {MAX_FILE_BYTES} are accepted"
            )
        return parse_idx(path.read_bytes(), FILES[name].magic)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _places(data_dir: Path, name: str) -> Iterator[Path]:
    """Yield the existing files that may hold `name`: sites name it differently."""
    dotted = name.replace("-idx", ".idx")
    for file_name in (f"{name}.gz", name, f"{dotted}.gz", dotted):
        if (data_dir / file_name).is_file():
            yield data_dir / file_name


# ----------------------------------------------------------------------- downloading

_DOWNLOAD_ERRORS = (OSError, http.client.HTTPException, ValueError)


def mirrors_of(source_url: str | None) -> Sequence[str]:
    """Return where to download from: MIRRORS, unless another address is given.

    Args:
        source_url: base address; "" and TensorFlow 1's defaults count as none.
    """
    if not source_url or f"{source_url}/".startswith(TENSORFLOW_URLS):
        return MIRRORS
    return [source_url]


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
        if is_mnist and mirrors_of(source_url) is MIRRORS:
            data = download(name, MIRRORS)
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
    return f"{urllib.parse.urlsplit(url).netloc}: {code}{reason}"


def download(name: str, mirrors: Sequence[str]) -> bytes:
    """Download one MNIST file, gzip-compressed, from the first mirror that has it.

    Args:
        name: a key of FILES; ``name.gz`` is fetched.
        mirrors: base addresses, tried in order. A file from MIRRORS must have MNIST's
            checksum; from elsewhere it may be another data set of the same form.

    Raises:
        DataNotFoundError: no mirror has it; the text says what each one answered.
    """
    idx = FILES[name]
    answers = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}.gz"
        try:
            known = mirror in MIRRORS
            data = _fetch(url, idx.payload_bytes if known else MAX_FILE_BYTES)
            _, sha256 = parse_idx(data, idx.magic)
            if known and sha256 != idx.sha256:
                raise DataError("its checksum is not that of MNIST")
        except _DOWNLOAD_ERRORS as error:
            answers.append(_answer(url, error))
        else:
            return bytes(data)
    raise DataNotFoundError(
        f"{name}.gz is missing and no mirror has it ({'; '.join(answers)}). Put the "
        "four MNIST files into the data folder, or name their folder with --data_dir. "
        "python train.py --dataset digits trains on scikit-learn's digits instead"
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
    if missing:
        say(f"{data_dir} does not have {', '.join(missing)}: downloading")
    for name in missing:
        data = download(name, mirrors_of(source_url))
        found[name] = parse_idx(data, FILES[name].magic)
        data_dir.mkdir(parents=True, exist_ok=True)
        for path in bad[name]:
            _keep_aside(path)
        _write_file(data_dir / f"{name}.gz", data)
    return _together(data_dir, {name: found[name] for name in names})


def _read_all(
    data_dir: Path, names: Iterable[str]
) -> tuple[dict[str, tuple[np.ndarray, str]], dict[str, list[Path]]]:
    """Return what the folder has of the named files, and where it is damaged."""
    found: dict[str, tuple[np.ndarray, str]] = {}
    bad: dict[str, list[Path]] = {name: [] for name in names}
    for name in bad:
        for path in _places(data_dir, name):
            try:
                found[name] = _read_file(path, name)
                break
            except DataError as error:
                bad[name].append(path)
                say(str(error))
    return found, bad


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
