"""Read a data set of pictures: a folder with a sub-folder for each digit, 0 to 9."""

import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from common import cli
from handwriting import find_digits, pictures
from mnist_files import CLASSES, IMAGE_SIZE, DataError

SHARES = 10  # of the files, two of which are not for training
TEST, VALIDATION = 0, 1  # the shares that these are


class Pictures(NamedTuple):
    """The pictures of a folder in the form of MNIST."""

    images: np.ndarray  # uint8 (n, 28, 28), ink is 255
    labels: np.ndarray  # uint8 (n,)
    shares: np.ndarray  # int64 (n,), 0 to SHARES - 1


def share(digit: int, name: str) -> int:
    """Return which tenth of the files one belongs to.

    It depends on the file's name alone: a picture that is added moves no other one from
    the test images to the training images.
    """
    return zlib.crc32(os.fsencode(f"{digit}/{name}")) % SHARES


def read_picture(path: Path) -> np.ndarray:
    """Return the one digit in a picture file: uint8 (28, 28), ink is 255.

    A picture of 28x28 pixels is taken as it is, dark ink on light paper inverted.
    Others are read as `predict.py --image` reads them.

    Raises:
        UserError: the file is no picture, or has no digit or several.
    """
    picture = pictures.open_picture(str(path))
    if picture.size == (IMAGE_SIZE, IMAGE_SIZE):
        image = np.array(picture.convert("L"))
        border = np.concatenate((image[[0, -1]].ravel(), image[1:-1, [0, -1]].ravel()))
        return 255 - image if border.mean() > 127 else image
    digits = find_digits.find_digits(picture)
    if len(digits) != 1:
        raise cli.UserError(f"{path}: {len(digits)} digits were found; one is needed")
    _, image = digits[0]
    return np.rint(image * 255).astype(np.uint8)


def read_folder(folder: Path) -> Pictures:
    """Read the pictures of a folder; name those that cannot be read on stderr.

    Raises:
        DataError: there is none that can be read.
    """
    files = [
        (digit, path)
        for digit in range(CLASSES)
        for path in sorted(folder.glob(f"{digit}/*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    images, labels, shares = [], [], []
    for digit, path in tqdm(files, unit="picture", disable=None, leave=False):
        try:
            images.append(read_picture(path))
        except cli.UserError as error:
            with tqdm.external_write_mode():
                cli.warn(str(error))
            continue
        labels.append(digit)
        shares.append(share(digit, path.name))
    bad = len(files) - len(images)
    if not images:
        raise DataError(f"{folder}: none of its {len(files)} pictures can be read")
    if bad:
        cli.warn(f"{folder}: {bad} of {len(files)} pictures cannot be used")
    return Pictures(np.array(images), np.array(labels, np.uint8), np.array(shares))
