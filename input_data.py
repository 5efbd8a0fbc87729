"""MNIST as training, validation and test sets that hand out batches.

    python input_data.py

prints what the data folder holds and draws sixteen digits.

`read_data_sets` has the interface of TensorFlow 1's
``tensorflow.examples.tutorials.mnist.input_data``, so that a script written for that
module runs again with ``import input_data``. No TensorFlow in here.
"""

import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mnist_files import (
    CLASSES,
    IMAGE_SIZE,
    TEST_FILES,
    DataError,
    DataNotFoundError,
    load_arrays,
    say,
)

DATASETS = ("auto", "mnist", "digits")
DIGITS_TEST = 300  # of the embedded digits, held out
DIGITS_VALIDATION = 300  # of the embedded digits for validation, at most
# What to say of data sets that are not MNIST.
NOT_MNIST = {
    "digits": "NOT MNIST: these are the 1,797 small digits that come with scikit-learn",
    "own": "not MNIST: a data set of the same form with other checksums, used as your "
    "own (Fashion-MNIST, for example)",
}

# ---------------------------------------------------- the interface of TensorFlow 1


@functools.lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    """Return the order of an epoch's examples: int64 array of shape (num_examples,).

    It depends on the arguments alone, so that a resumed run sees the same batches.
    """
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


class DataSet:
    """Images with their labels, handed out in batches.

    Attributes:
        images: float32 array of shape (n, 784), values in [0, 1], unless
            `read_data_sets` was asked for another form.
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
        """The number of times that `next_batch` went past the last example."""
        return max(0, self._handed_out - 1) // self.num_examples

    def next_batch(
        self, batch_size: int, fake_data: bool = False, shuffle: bool = True
    ) -> tuple[Any, Any]:
        """Return the next `batch_size` images and labels.

        A batch that reaches the end of an epoch is filled up from the next one, whose
        order differs. Without `shuffle` the order is that of the arrays.
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
    """Read MNIST, or a data set of the same form; download what is missing.

    Args:
        train_dir: folder of the four files.
        fake_data: no files; batches of ones, for trying a script.
        one_hot: labels as float64 rows of ten instead of uint8 digits.
        dtype: float32 for values in [0, 1], uint8 for 0 to 255; also TensorFlow's
            names for them.
        reshape: images of shape (n, 784) instead of (n, 28, 28, 1).
        validation_size: the number of training images, the first, for validation.
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
    arrays, is_mnist, _ = load_arrays(train_dir, source_url=source_url)
    if not is_mnist:
        say(f"{train_dir}: {NOT_MNIST['own']}")
    return split(arrays.values(), validation_size, seed, one_hot, dtype, reshape)


def data_set(
    images: np.ndarray,
    labels: np.ndarray,
    seed: int | None,
    one_hot: bool = False,
    dtype: npt.DTypeLike = np.float32,
    reshape: bool = True,
) -> DataSet:
    """Return the data set of uint8 arrays, with the options of `read_data_sets`."""
    n = len(images)
    images = images.reshape(
        (n, IMAGE_SIZE**2) if reshape else (n, IMAGE_SIZE, IMAGE_SIZE, 1)
    )
    if dtype == np.float32:
        images = np.multiply(images, 1 / 255, dtype=np.float32)
    if one_hot:
        labels = np.eye(CLASSES)[labels]
    return DataSet(images, labels, one_hot=one_hot, seed=seed)


def split(
    arrays: Iterable[np.ndarray], validation_size: int, *options: object
) -> Datasets:
    """Split the four arrays of MNIST; the options are those of `data_set`.

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
        data_set(train_images[v:], train_labels[v:], *options),
        data_set(train_images[:v], train_labels[:v], *options),
        data_set(test_images, test_labels, *options),
    )


# ------------------------------------------------ the data that the scripts use


class Source(NamedTuple):
    """Where a data set is from."""

    name: str  # "mnist", "own" (the same form, other checksums) or "digits"
    sha256: str  # of its files; "" for scikit-learn's digits


def load(
    dataset: str, data_dir: Path, validation_size: int, seed: int
) -> tuple[Source, Datasets]:
    """Return the data that a script trains on, and their source.

    Args:
        dataset: "mnist" for the files in `data_dir`, downloaded if missing; "digits"
            for scikit-learn's; "auto" for MNIST where it is available, else digits.
        data_dir: folder of the four files.
        validation_size: the number of training images kept for validation.
        seed: decides the order of the batches.

    Returns:
        The source and the splits, float32 images of shape (n, 784) and uint8 labels.

    Raises:
        DataError: the data are not available or damaged, or `validation_size` is out
            of range.
    """
    if dataset != "digits":
        try:
            arrays, is_mnist, sha256 = load_arrays(data_dir)
            if not is_mnist:
                say(f"{data_dir}: {NOT_MNIST['own']}")
            splits = split(arrays.values(), validation_size, seed)
            return Source("mnist" if is_mnist else "own", sha256), splits
        except DataNotFoundError as error:
            if dataset == "mnist":
                raise
            say(str(error))
            say(NOT_MNIST["digits"])
    arrays = embedded_digits()
    validation_size = min(validation_size, DIGITS_VALIDATION)
    return Source("digits", ""), split(arrays, validation_size, seed)


def load_test(dataset: str, data_dir: Path) -> tuple[Source, DataSet]:
    """Return the source and the test images of a data set that `load` names.

    Returns:
        The source, whose SHA-256 is of the two test files; float32 images of shape
        (n, 784) with uint8 labels.

    Raises:
        DataError: the files are not available or damaged.
    """
    if dataset == "digits":
        test_images, test_labels = embedded_digits()[2:]
        return Source("digits", ""), data_set(test_images, test_labels, None)
    arrays, is_mnist, sha256 = load_arrays(data_dir, TEST_FILES)
    if dataset == "mnist" and not is_mnist:
        say(f"{data_dir}: {NOT_MNIST['own']}")
    source = Source("mnist" if is_mnist else "own", sha256)
    return source, data_set(*arrays.values(), None)


def embedded_digits() -> list[np.ndarray]:
    """Return scikit-learn's embedded digits in the form of MNIST's four arrays.

    1,797 real handwritten digits of 8x8 pixels (E. Alpaydin, C. Kaynak, "Optical
    Recognition of Handwritten Digits", UCI), scaled into the middle 20x20 of 28x28 as
    MNIST's digits are. 300 of them, stratified by digit, are the test set.
    """
    # Only here: scikit-learn takes a second to import, and MNIST does without it.
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


def main() -> None:
    """Print the splits and draw sixteen digits, or print and show one."""
    # Only here: a script for TensorFlow 1 has none of these beside input_data.py.
    from common import cli, plots
    from common.paths import ROOT, SAVE_DIR

    parser = cli.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    parser.add_argument("--dataset", choices=DATASETS, default="auto")
    parser.add_argument("--validation_size", type=int, default=5000)
    parser.add_argument("--index", type=int, help="print this training image, from 0")
    args = parser.parse_args()
    size = args.validation_size if args.index is None else 0
    source, splits = load(args.dataset, args.data_dir, size, seed=0)
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
