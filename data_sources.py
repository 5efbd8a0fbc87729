"""What the scripts train and test on: MNIST, a set of its form, or embedded digits."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from common import cli
from input_data import NOT_MNIST, ROOT, DataSet, Datasets, data_set, split
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


class Source(NamedTuple):
    """What a data set is."""

    name: str  # "mnist", "own" (of its form with other checksums) or "digits"
    sha256: str  # of its files; "" for scikit-learn's digits


def load(
    dataset: str, data_dir: Path, validation_size: int, seed: int
) -> tuple[Source, Datasets]:
    """Return the data that a script trains on and what it is.

    Args:
        dataset: "mnist" for the files in `data_dir`, downloaded if need be; "digits"
            for scikit-learn's; "auto" for the first where it can be had.
        data_dir: folder of the four files.
        validation_size: so many training images are for validation.
        seed: decides the order of the batches.

    Returns:
        The source and the splits, float32 images of shape (n, 784) and uint8 labels.

    Raises:
        DataError: the data cannot be had or are damaged, or `validation_size` is out
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
    """Return the test images alone, of a data set as `load` names it, and what it is.

    Returns:
        The source, whose SHA-256 is of the two test files, and float32 images of shape
        (n, 784) with uint8 labels.

    Raises:
        DataError: the files cannot be had or are damaged.
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
    MNIST's digits are; 300 of them, drawn alike from all ten, are the test.
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


def main() -> None:
    """Print the splits and draw sixteen digits, or print and show one."""
    from common import plots  # and matplotlib, which reading data does without

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
        image = np.rint(train.images[args.index] * 255).astype(int)
        for row in image.reshape(IMAGE_SIZE, IMAGE_SIZE):
            print("".join(f"{value:4d}" for value in row))
        print(f"label {train.labels[args.index]}")
        shown = train.images[[args.index]], train.labels[[args.index]]
    else:
        raise DataError(
            f"--index is {args.index}; it must be 0 to {train.num_examples - 1}, for "
            f"there are {train.num_examples} training images"
        )
    written = plots.show_or_save(
        lambda figure: plots.digit_grid(figure, *shown),
        ROOT / "save_model" / "digits.png",
    )
    if written:
        print(f"wrote {written}")
