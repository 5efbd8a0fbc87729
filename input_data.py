"""MNIST as training, validation and test sets that hand out batches.

    python input_data.py

prints what the data folder holds and writes a picture of sixteen digits.

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

from mnist_files import CLASSES, IMAGE_SIZE, DataError, load_arrays, say

ROOT = Path(__file__).resolve().parent
# What to say of data sets that are not MNIST.
NOT_MNIST = {
    "digits": "NOT MNIST: these are the 1,797 small digits that come with scikit-learn",
    "own": "not MNIST: a data set of its form with other checksums, used as your own "
    "(Fashion-MNIST is one such)",
}


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
    """Return the data set of uint8 arrays; the options are `read_data_sets`' own."""
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


if __name__ == "__main__":
    # Only here: a script for TensorFlow 1 has none of these beside it.
    import data_sources
    from common import cli

    cli.run(data_sources.main, DataError)
