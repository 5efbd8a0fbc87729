"""MNIST for old scripts: their own folder, else the project's, else a download."""

import gzip
import io
import os
import urllib.request
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit
from urllib.response import addinfourl

import numpy as np

import input_data
from common import cli, paths
from mnist_files import (
    FILES,
    ONE_FILE_URL,
    TENSORFLOW_URLS,
    DataError,
    DataNotFoundError,
    download,
    holds_files,
    idx_header,
    is_mnist_address,
    load_arrays,
    say,
)

data_dir = paths.DATA_DIR  # for what a script's own folder lacks; --data_dir


class BadDataError(cli.UserError, ValueError):
    """Files that cannot be used; a script may catch ValueError."""


# ------------------------------------------------------------ TensorFlow's own reader


def read_data_sets(
    train_dir: str | os.PathLike,
    fake_data: bool = False,
    *args: object,
    source_url: str | None = None,
    **options: object,
) -> input_data.Datasets:
    """Read MNIST as `input_data.read_data_sets` does, whose arguments these are.

    A folder without MNIST gives way to the project's; where that has none either, it
    is downloaded to the script's.

    Raises:
        cli.UserError: MNIST is nowhere.
        BadDataError: the files are damaged, or smaller than `validation_size`.
    """
    own = Path(train_dir)
    usual = is_mnist_address(source_url)
    if usual and not fake_data and not holds_files(own) and holds_files(data_dir):
        say(f"no MNIST in {own}: using that in {data_dir}")
        own = data_dir
    try:
        return input_data.read_data_sets(
            own, fake_data, *args, source_url=source_url, **options
        )
    except DataNotFoundError as error:
        raise _nowhere(own, error) from None
    except DataError as error:
        raise BadDataError(str(error)) from None


def _nowhere(folder: Path, error: DataNotFoundError) -> cli.UserError:
    answers = str(error).partition(": put ")[0]
    return cli.UserError(
        f"no MNIST in {folder} nor {data_dir} ({answers}): put {ONE_FILE_URL} into one "
        "of them, or name the folder of your copy with tf1.py --data_dir DIR SCRIPT"
    )


def load_mnist(train_dir: str | os.PathLike = "MNIST-data") -> input_data.Datasets:
    """Read MNIST with all defaults of `read_data_sets`."""
    return read_data_sets(train_dir)


def load_dataset(name: str, *_: object, **__: object) -> input_data.Datasets:
    """Return a data set of tf.contrib.learn; the one there is here is mnist."""
    if name != "mnist":
        raise cli.UserError(
            f"tf.contrib.learn's data set {name} is gone; mnist is here"
        )
    return load_mnist()


def is_old_reader(path: str) -> bool:
    """Return whether a file is TensorFlow 0.x's reader, copied beside a script.

    It downloads from an address that answers no more, and reads sizes in a way that
    NumPy refuses. The project's takes its place, which is said.
    """
    if not path.endswith("input_data.py"):
        return False
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    if "def read_data_sets" not in text or "yann.lecun.com" not in text:
        return False
    say(f"{path} is TensorFlow's old reader, which works no more: using the project's")
    return True


# ------------------------------------------------------------------ other packages


def _arrays() -> list[np.ndarray]:
    """Return the four uint8 arrays, downloaded to the project's folder if need be."""
    try:
        return list(load_arrays(data_dir).by_name.values())
    except DataNotFoundError as error:
        raise _nowhere(data_dir, error) from None


def load_data(path: str = "mnist.npz") -> tuple:
    """Return what keras.datasets.mnist.load_data does.

    That is two pairs, training and test: uint8 images of shape (n, 28, 28), and uint8
    labels of shape (n,).
    """
    train_images, train_labels, test_images, test_labels = _arrays()
    return (train_images, train_labels), (test_images, test_labels)


def fetch_mldata(dataname: str, *_: object, **__: object) -> dict[str, np.ndarray]:
    """Return "MNIST original" as scikit-learn fetched it from mldata.org.

    Its `data` is a uint8 array of shape (70000, 784), `target` float64 digits. Within
    the first 60,000, and the last 10,000, the images are sorted by digit.
    """
    if not dataname.lower().startswith("mnist"):
        raise cli.UserError(f"mldata.org and its {dataname} are gone; MNIST is here")
    from sklearn.utils import Bunch  # slow, and few scripts ask for it

    data, target = [], []
    arrays = _arrays()
    for images, labels in zip(arrays[::2], arrays[1::2], strict=True):
        order = np.argsort(labels, kind="stable")
        data.append(images[order].reshape(len(images), -1))
        target.append(labels[order].astype(np.float64))
    return Bunch(data=np.concatenate(data), target=np.concatenate(target))


# ------------------------------------------------------------------------ addresses


class MnistAddresses(urllib.request.BaseHandler):
    """Answers urllib for the addresses that scripts download MNIST's files from.

    The files come from the project's folder if it has them. Where it has not, the dead
    address is answered from the mirrors; others are asked as usual.
    """

    def default_open(self, request: urllib.request.Request) -> addinfourl | None:
        """Return a file, or None: the next handler asks the network."""
        name = urlsplit(request.full_url).path.rpartition("/")[2]
        known = any(request.full_url == f"{url}{name}" for url in TENSORFLOW_URLS)
        key = name.removesuffix(".gz")
        if not known or name == key or key not in FILES:
            return None
        if holds_files(data_dir):
            array = load_arrays(data_dir).by_name[key]
            data = gzip.compress(idx_header(array) + array.tobytes(), compresslevel=1)
        elif "yann.lecun.com" in request.full_url:
            data = download(key)
        else:
            return None
        headers = Message()
        headers["Content-Length"] = str(len(data))
        answer = addinfourl(io.BytesIO(data), headers, request.full_url, 200)
        answer.msg = "OK"
        return answer


def answer_addresses() -> None:
    """Let urllib ask `MnistAddresses` first."""
    urllib.request.install_opener(urllib.request.build_opener(MnistAddresses))
