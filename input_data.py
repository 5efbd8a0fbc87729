"""Find, download, verify, parse and batch MNIST, the handwritten digits.

    python input_data.py

prints what the data folder holds and writes a picture of sixteen digits.

`read_data_sets` has the interface of TensorFlow 1's
``tensorflow.examples.tutorials.mnist.input_data``, so that a script written for that
module runs again with ``import input_data``. No TensorFlow in here.

Source of the data: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of
handwritten digits"; the IDX format is described on the same page.
"""

import functools
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
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent
MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
STALL_SECONDS = 15  # a mirror that sends nothing for so long is given up
DOWNLOAD_SECONDS = 600  # and so is one that takes longer for a file
IMAGE_SIZE = 28  # pixels
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 1)
CLASSES = 10
MAX_EXAMPLES = 1_000_000  # more than any set of this form; bounds what is unpacked
DIGITS_TEST = 300  # images of the embedded digits held out for the test
DIGITS_VALIDATION = 300  # at most so many for validation


# What to say of data sets that are not MNIST.
NOT_MNIST = {
    "digits": "NOT MNIST: these are the 1,797 small digits that come with scikit-learn",
    "own": "not MNIST: a data set of its form with other checksums, used as your own "
    "(Fashion-MNIST is one such)",
}


class Idx(NamedTuple):
    """What is known of one MNIST file: its payload is the file uncompressed."""

    magic: int
    payload_bytes: int
    sha256: str


FILES = {
    "train-images-idx3-ubyte": Idx(
        0x0803,
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train-labels-idx1-ubyte": Idx(
        0x0801,
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "t10k-images-idx3-ubyte": Idx(
        0x0803,
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "t10k-labels-idx1-ubyte": Idx(
        0x0801,
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}
DATASETS = ("auto", "mnist", "digits")
TEST_FILES = tuple(name for name in FILES if name.startswith("t10k"))


class DataError(ValueError):
    """A data file that cannot be used; the text names it and what is wrong."""


class DataNotFoundError(DataError):
    """MNIST is not in the data folder and could not be downloaded."""


# ------------------------------------------------------------------ reading IDX files


def parse_idx(data: bytes, magic: int) -> tuple[np.ndarray, str]:
    """Return the array in an IDX file, and the SHA-256 of the file uncompressed.

    Args:
        data: the file's bytes, plain or gzip-compressed.
        magic: 0x0803 for images, 0x0801 for labels.

    Returns:
        uint8 array of shape (n, 28, 28) or labels of shape (n,) in 0..9, and 64
        hexadecimal digits.

    Raises:
        DataError: the bytes are anything else; never another exception, and no more
            is unpacked than the header promises.
    """
    compressed = data.startswith(b"\x1f\x8b")
    stream = gzip.GzipFile(fileobj=io.BytesIO(data)) if compressed else io.BytesIO(data)
    try:
        header = stream.read(16 if magic == 0x0803 else 8)
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
    if magic == 0x0801 and array.max() >= CLASSES:
        at = int(np.argmax(array >= CLASSES))
        raise DataError(f"label {array[at]} at place {at}; labels are 0 to 9")
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
    if dims[1:] not in ((), (IMAGE_SIZE, IMAGE_SIZE)):
        raise DataError(f"images of {dims[1]}x{dims[2]} pixels, expected 28x28")
    return dims


def _read_at_most(stream: BinaryIO, size: int) -> bytearray:
    payload = bytearray()
    while chunk := stream.read(min(1 << 20, size - len(payload))):
        payload += chunk
    return payload


def _read_file(path: Path, name: str) -> tuple[np.ndarray, str]:
    limit = MAX_EXAMPLES * IMAGE_SIZE * IMAGE_SIZE + 16
    try:
        if path.stat().st_size > limit:
            raise DataError(f"it has {path.stat().st_size} bytes, at most {limit} do")
        return parse_idx(path.read_bytes(), FILES[name].magic)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _places(data_dir: Path, name: str) -> Iterator[Path]:
    """Yield the existing files that may hold `name`: different sites, other names."""
    dotted = name.replace("-idx", ".idx")
    for file_name in (f"{name}.gz", name, f"{dotted}.gz", dotted):
        if (data_dir / file_name).is_file():
            yield data_dir / file_name


# ----------------------------------------------------------------------- downloading


def download(name: str, mirrors: Sequence[str]) -> bytes:
    """Return one MNIST file, gzip-compressed, from the first mirror that has it.

    Args:
        name: a key of FILES; ``name.gz`` is fetched.
        mirrors: base addresses, tried in order. A file from MIRRORS must have MNIST's
            checksum, from elsewhere it may be another data set of the same sizes.

    Raises:
        DataNotFoundError: no mirror has it; the text says what each one answered.
    """
    idx = FILES[name]
    answers = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}.gz"
        try:
            data = _fetch(url, limit=idx.payload_bytes)
            _, sha256 = parse_idx(data, idx.magic)
            if sha256 != idx.sha256 and mirror in MIRRORS:
                raise DataError("its checksum is not that of MNIST")
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            code = f"{error.code} " if isinstance(error, urllib.error.HTTPError) else ""
            answers.append(f"{urllib.parse.urlsplit(url).netloc}: {code}{reason}")
        else:
            return bytes(data)
    raise DataNotFoundError(
        f"{name}.gz is needed and no mirror gave it ({'; '.join(answers)}). Put the "
        "four MNIST files into the data folder yourself, or train on the digits that "
        "come with scikit-learn: python train.py --dataset digits"
    )


def _fetch(url: str, limit: int) -> bytearray:
    """Return the bytes at `url`; ValueError or OSError where there are over `limit`."""
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    request = urllib.request.Request(url, headers={"User-Agent": "mnist-graph-mode"})
    data = bytearray()
    with urllib.request.urlopen(request, timeout=STALL_SECONDS) as response:
        size = int(response.headers.get("Content-Length") or 0)
        name = url.rsplit("/", 1)[-1]
        with tqdm(
            total=size or None, desc=name, unit="B", unit_scale=True, disable=None
        ) as bar:
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


def _write_whole(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees a part of it under its name."""
    for left_over in path.parent.glob(f"{path.name}.*.part"):
        if time.time() - left_over.stat().st_mtime > DOWNLOAD_SECONDS:
            left_over.unlink()
    handle, part = tempfile.mkstemp(".part", f"{path.name}.", path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
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
    _say(f"kept the bad file as {aside}")


# ---------------------------------------------------------------- the four arrays


class Arrays(NamedTuple):
    """The arrays of the files asked for, by file name, and whether they are MNIST."""

    by_name: dict[str, np.ndarray]
    is_mnist: bool


def load_arrays(
    data_dir: str | os.PathLike,
    names: Sequence[str] = tuple(FILES),
    source_url: str | None = None,
) -> Arrays:
    """Read the named files, downloading those that are missing or damaged.

    Args:
        data_dir: folder with the files under any of their usual names.
        names: keys of FILES, images before labels.
        source_url: where to download from instead of MIRRORS.

    Returns:
        uint8 arrays as `parse_idx` gives them. A set with other checksums than MNIST's
        is somebody's own: it is used, and never mixed with MNIST.

    Raises:
        DataNotFoundError: files are missing and cannot be downloaded.
        DataError: the files do not belong together.
    """
    data_dir = Path(data_dir)
    if data_dir.exists() and not data_dir.is_dir():
        raise DataError(f"{data_dir} is a file; a folder for the data is needed")
    found: dict[str, tuple[np.ndarray, str]] = {}
    bad: dict[str, list[Path]] = {name: [] for name in names}
    for name in names:
        for path in _places(data_dir, name):
            try:
                found[name] = _read_file(path, name)
                break
            except DataError as error:
                bad[name].append(path)
                _say(str(error))
    missing = [name for name in names if name not in found]
    foreign = [name for name in found if found[name][1] != FILES[name].sha256]
    if missing and foreign:
        raise DataError(
            f"{data_dir} holds a data set that is not MNIST ({foreign[0]} has another "
            f"checksum), and its {missing[0]} is missing or damaged: add it; nothing "
            "was downloaded, for MNIST's would not belong to it"
        )
    for name in missing:
        data = download(name, MIRRORS if source_url is None else [source_url])
        found[name] = parse_idx(data, FILES[name].magic)
        data_dir.mkdir(parents=True, exist_ok=True)
        for path in bad[name]:
            _keep_aside(path)
        _write_whole(data_dir / f"{name}.gz", data)
    return _together(data_dir, found)


def _together(data_dir: Path, found: dict[str, tuple[np.ndarray, str]]) -> Arrays:
    """Check that images and labels belong together."""
    for images, labels in zip(list(found)[::2], list(found)[1::2], strict=True):
        if len(found[images][0]) != len(found[labels][0]):
            raise DataError(
                f"{data_dir}: {images} has {len(found[images][0])} images and {labels} "
                f"{len(found[labels][0])} labels; they must be equally many"
            )
    is_mnist = all(sha256 == FILES[name].sha256 for name, (_, sha256) in found.items())
    return Arrays({name: array for name, (array, _) in found.items()}, is_mnist)


def _say(text: str) -> None:
    print(f"input_data: {text}", file=sys.stderr)


# ------------------------------------------------------------------------- data sets


@functools.lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    """Return the order of an epoch's examples: int64 array of shape (num_examples,).

    It depends on the arguments alone, so that a resumed run sees the same batches.
    """
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


class DataSet:
    """Images with their labels, handed out in batches.

    Attributes:
        images: float32 array of shape (n, 784), values in [0, 1]; or as asked for.
        labels: uint8 array of shape (n,); or float64 of shape (n, 10), one-hot.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        fake_data: bool = False,
        one_hot: bool = False,
        seed: int | None = None,
    ) -> None:
        """Hold the arrays; `seed` decides the order of batches, None a random one."""
        self.images = images
        self.labels = labels
        self.num_examples = 10_000 if fake_data else len(images)
        self._fake_data = fake_data
        self._one_hot = one_hot
        self._seed = seed if seed is not None else int.from_bytes(os.urandom(4), "big")
        self._handed_out = 0

    @property
    def epochs_completed(self) -> int:
        """How often `next_batch` has gone past the last example."""
        return max(0, self._handed_out - 1) // self.num_examples

    def next_batch(
        self, batch_size: int, fake_data: bool = False, shuffle: bool = True
    ) -> tuple[Any, Any]:
        """Return the next `batch_size` images and labels.

        An epoch's end is no batch's end: the batch is filled up from the next epoch,
        which has an order of its own. With `shuffle` off the order is the stored one.
        """
        if fake_data or self._fake_data:
            label = [1] + [0] * (CLASSES - 1) if self._one_hot else 0
            image = [1] * IMAGE_SIZE**2
            return [image] * batch_size, [label] * batch_size
        start = self._handed_out
        self._handed_out += batch_size
        return self._take(start, self._handed_out, shuffle)

    def batch(self, step: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the images and labels of training step `step`, counted from 0.

        The same examples as the (step + 1)th `next_batch` of a new data set gives, but
        a function of the seed and the step alone.
        """
        return self._take(step * batch_size, (step + 1) * batch_size, shuffle=True)

    def _take(self, start: int, stop: int, shuffle: bool) -> tuple[Any, Any]:
        n = self.num_examples
        parts = []
        for epoch in range(start // n, (stop - 1) // n + 1):
            places = slice(max(0, start - epoch * n), min(n, stop - epoch * n))
            order = epoch_order(self._seed, epoch, n) if shuffle else np.arange(n)
            parts.append(order[places])
        chosen = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return self.images[chosen], self.labels[chosen]


class Datasets(NamedTuple):
    """The three splits."""

    train: DataSet
    validation: DataSet
    test: DataSet


def read_data_sets(
    train_dir: str | os.PathLike,
    fake_data: bool = False,
    one_hot: bool = False,
    dtype: npt.DTypeLike = np.float32,
    reshape: bool = True,
    validation_size: int = 5000,
    seed: int | None = None,
    source_url: str | None = None,
) -> Datasets:
    """Read MNIST, or a set of its form, downloading what is missing.

    Args:
        train_dir: folder of the four files.
        fake_data: no files; batches of ones, for trying a script.
        one_hot: labels as float64 rows of ten instead of uint8 digits.
        dtype: float32 for values in [0, 1], uint8 for 0 to 255; also TensorFlow's
            names for them.
        reshape: images of shape (n, 784) instead of (n, 28, 28, 1).
        validation_size: so many of the first training images are for validation.
        seed: decides the order of the batches.
        source_url: where to download from instead of MIRRORS.

    Raises:
        TypeError: `dtype` is neither of the two.
        ValueError: `validation_size` is out of range.
        DataError: see `load_arrays`.
    """
    dtype = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
    if dtype not in (np.float32, np.uint8):
        raise TypeError(f"image dtype is {dtype}; it must be float32 or uint8")
    if fake_data:
        nothing = np.zeros((0,))
        return Datasets(
            *(DataSet(nothing, nothing, True, one_hot, seed) for _ in Datasets._fields)
        )
    arrays, is_mnist = load_arrays(train_dir, source_url=source_url)
    if not is_mnist:
        _say(f"{train_dir}: {NOT_MNIST['own']}")
    return _split(arrays.values(), validation_size, seed, one_hot, dtype, reshape)


def _data_set(
    images: np.ndarray,
    labels: np.ndarray,
    seed: int | None,
    one_hot: bool = False,
    dtype: npt.DTypeLike = np.float32,
    reshape: bool = True,
) -> DataSet:
    n = len(images)
    images = images.reshape((n, IMAGE_SIZE**2) if reshape else (n, *IMAGE_SHAPE))
    if dtype == np.float32:
        images = np.multiply(images, 1 / 255, dtype=np.float32)
    if one_hot:
        labels = np.eye(CLASSES)[labels]
    return DataSet(images, labels, one_hot=one_hot, seed=seed)


def _split(
    arrays: Iterable[np.ndarray], validation_size: int, *options: object
) -> Datasets:
    """Split four arrays; the options are those of `_data_set`."""
    train_images, train_labels, test_images, test_labels = arrays
    v = validation_size
    if not 0 <= v <= len(train_images):
        raise DataError(
            f"validation size is {v}; it must be 0 to {len(train_images)}, the number "
            "of training images"
        )
    return Datasets(
        _data_set(train_images[v:], train_labels[v:], *options),
        _data_set(train_images[:v], train_labels[:v], *options),
        _data_set(test_images, test_labels, *options),
    )


# -------------------------------------------------------- what the scripts train on


def digits_arrays() -> list[np.ndarray]:
    """Return scikit-learn's embedded digits in the form of MNIST's four arrays.

    1,797 real handwritten digits of 8x8 pixels (E. Alpaydin, C. Kaynak, "Optical
    Recognition of Handwritten Digits", UCI), scaled into the middle 20x20 of 28x28 as
    MNIST's digits are; 300 of them, drawn alike from all ten, are the test.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    # Bilinear: each of 20 rows is a mix of the two nearest of 8.
    centres = (np.arange(IMAGE_SIZE) - 3.5) * 8 / 20 - 0.5
    tent = np.maximum(0, 1 - np.abs(centres[:, np.newaxis] - np.arange(8)))
    images = tent @ images.reshape(-1, 8, 8) @ tent.T * (255 / 16)
    images = np.rint(images).astype(np.uint8)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images,
        labels.astype(np.uint8),
        test_size=DIGITS_TEST,
        random_state=0,
        stratify=labels,
    )
    return [train_images, train_labels, test_images, test_labels]


def load(
    dataset: str, data_dir: Path, validation_size: int, seed: int
) -> tuple[str, Datasets]:
    """Return the data that a script trains on and what it is.

    Args:
        dataset: "mnist" for the files in `data_dir`, downloaded if need be; "digits"
            for scikit-learn's; "auto" for the first where it can be had.
        data_dir: folder of the four files.
        validation_size: so many training images are for validation.
        seed: decides the order of the batches.

    Returns:
        "mnist", "own" (files of the same form with other checksums) or "digits"; and
        the splits, with float32 images of shape (n, 784) and uint8 labels.

    Raises:
        DataError: the data cannot be had or are damaged.
        ValueError: `validation_size` is out of range.
    """
    if dataset != "digits":
        try:
            arrays, is_mnist = load_arrays(data_dir)
            if not is_mnist:
                _say(f"{data_dir}: {NOT_MNIST['own']}")
            splits = _split(arrays.values(), validation_size, seed)
            return ("mnist" if is_mnist else "own"), splits
        except DataNotFoundError as error:
            if dataset == "mnist":
                raise
            _say(str(error))
            _say(NOT_MNIST["digits"])
    validation_size = min(validation_size, DIGITS_VALIDATION)
    return "digits", _split(digits_arrays(), validation_size, seed)


def load_test(dataset: str, data_dir: Path) -> DataSet:
    """Return the test images alone, of a data set as `load` names it."""
    if dataset == "digits":
        return _data_set(*digits_arrays()[2:], None)
    arrays, is_mnist = load_arrays(data_dir, TEST_FILES)
    if dataset == "mnist" and not is_mnist:
        _say(f"{data_dir}: {NOT_MNIST['own']}")
    return _data_set(*arrays.values(), None)


def main() -> None:
    """Print the splits and draw sixteen digits."""
    import cli
    import plots

    parser = cli.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    parser.add_argument("--dataset", choices=DATASETS, default="auto")
    args = parser.parse_args()
    name, splits = load(args.dataset, args.data_dir, validation_size=5000, seed=0)
    print(f"{name}: images of {IMAGE_SIZE}x{IMAGE_SIZE} pixels, labels 0 to 9")
    digits = "".join(f"{digit:>6}" for digit in range(CLASSES))
    print(f"{'split':<12}{'images':>6}  {digits}  {'dtype':<8} range")
    for split, data in zip(splits._fields, splits, strict=True):
        counts = np.bincount(data.labels, minlength=CLASSES)
        low, high = data.images.min(), data.images.max()
        print(
            f"{split:<12}{data.num_examples:>6}  "
            + "".join(f"{count:>6}" for count in counts)
            + f"  {data.images.dtype!s:<8} {low:g} to {high:g}"
        )
    path = ROOT / "save_model" / "digits.png"
    figure = plots.digit_grid(splits.train.images[:16], splits.train.labels[:16])
    print(f"wrote {plots.save(figure, path)}")


if __name__ == "__main__":
    import cli

    cli.run(main, DataError)
