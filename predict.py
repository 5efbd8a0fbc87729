"""Classify test images, or digits in pictures, with the network that train.py saved.

    python predict.py --index 1

prints ``predict=2, correct=2`` with the probability of each digit, and shows both.

    python predict.py --image photo.jpg

prints the digits that are written in a picture, and writes it with a box around each.

From another script: ``predict.restore(save_dir).probabilities(images)``.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import input_data
import model
from common import cli
from common.paths import SAVE_DIR, from_here
from common.session import available_cores, cpu_has_bfloat16, session_config, tf
from saving import networks
from saving.networks import SavedNetwork
from saving.run import Run, existing_data_dir

BATCH = 500  # images; larger batches are no faster
GRID = 100  # images that a grid shows at most
SHAPES = ((model.PIXELS,), (28, 28), (28, 28, 1))  # of an image


class ImagesError(cli.UserError, ValueError):
    """Images of a form that no network takes; the text says what is accepted."""


class Classifier:
    """A trained network in its own Session, for any number of threads.

    TensorFlow does not survive a fork: once a process has restored a network, those
    that fork from it can use none (`cli.UserError`); start them by "spawn" instead.

    Attributes:
        name: of the network, as in model.ARCHITECTURES.
        folder: that it was saved in.
        step: the training step after which it was saved; None if that is not known.
        run: the training run that it came from; None if another script trained it.
    """

    _process: int | None = None  # the first in which a network was restored

    def __init__(self, saved: SavedNetwork) -> None:
        """Rebuild a network and restore it from its checkpoint."""
        Classifier._process = Classifier._process or os.getpid()
        self._refuse_fork()
        self.name, self.step, self.run = saved.name, saved.step, saved.run
        self.folder = saved.checkpoint.parent
        with tf.Graph().as_default() as graph:
            self._pixels = tf.placeholder(tf.float32, [None, model.PIXELS], "images")
            self._probabilities = probabilities_of(self._pixels, saved)
            bfloat16 = saved.bfloat16 and cpu_has_bfloat16()
            options = session_config(available_cores(), bfloat16)
            self._session = tf.Session(graph=graph, config=options)
            networks.restore(self._session, saved, tf.trainable_variables())

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the probability of each digit.

        Args:
            images: array of shape (n, 784), (n, 28, 28) or (n, 28, 28, 1), or one image
                without n: float, values in [0, 1], ink is 1; or uint8, ink is 255.

        Returns:
            Float32 array of shape (n, 10), rows sum to 1; (1, 10) for one image.

        Raises:
            ImagesError: a ValueError; the images have another form.
            cli.UserError: this process was forked from one that restored a network.
        """
        self._refuse_fork()
        images = as_rows(images)
        parts = [np.zeros((0, model.CLASSES), np.float32)]
        for start in range(0, len(images), BATCH):
            feed = {self._pixels: images[start : start + BATCH]}
            parts.append(self._session.run(self._probabilities, feed))
        return np.concatenate(parts)

    def _refuse_fork(self) -> None:
        """Raise an error where a Session would wait for its threads without end."""
        if os.getpid() != self._process:
            raise cli.UserError(
                f"process {os.getpid()} was forked from one that had restored a "
                "network, and TensorFlow does not survive a fork: call predict.restore "
                'after the fork alone, or start processes by "spawn"'
            )


def probabilities_of(pixels: tf.Tensor, saved: SavedNetwork) -> tf.Tensor:
    """Build a saved network, without what only training needs.

    Args:
        pixels: float32 tensor of shape [batch_size, 784], values in [0, 1].
        saved: the network, whose variables are to be restored.

    Returns:
        The probability of each digit, float32 tensor of shape [batch_size, 10].
    """
    with tf.variable_scope("", custom_getter=model.zeros_to_restore):
        images = model.as_images(pixels)
        logits = model.inference(images, saved.name, saved.architecture)
    return model.probabilities(logits, saved.temperature)


def as_rows(images: np.ndarray) -> np.ndarray:
    """Return what `Classifier.probabilities` accepts as float array (n, 784)."""
    images = np.asarray(images)
    found = f"images of shape {images.shape}, {images.dtype}"
    if images.shape in SHAPES or images.shape[1:] in SHAPES:
        rows = images.reshape(-1, model.PIXELS)
        if rows.dtype == np.uint8:
            return np.multiply(rows, 1 / 255, dtype=np.float32)
        if rows.dtype.kind == "f":
            low, high = rows.min(initial=0), rows.max(initial=0)
            if low >= 0 and high <= 1:  # NaN is neither
                return rows
            found += f", values {low:g} to {high:g}"
    raise ImagesError(
        f"{found}; accepted are float from 0 to 1 and uint8, of shape (784,), "
        "(28, 28) or (28, 28, 1) for one image, (n, ...) for n"
    )


def restore(save_dir: str | os.PathLike = SAVE_DIR) -> Classifier:
    """Return the network in `save_dir` that is best on validation until now.

    It is rebuilt from config.json, not from today's constants. A checkpoint of another
    script is read as well: give its folder or its own path.

    Raises:
        cli.UserError: there is no network, it is damaged, or its shapes differ from
            those of the network that model.py builds; or this process was forked from
            one that restored a network.
    """
    save_dir = from_here(save_dir)
    while True:
        saved = networks.find(save_dir)
        try:
            network = Classifier(saved)
            break
        except cli.UserError:
            # Unless train.py has just replaced that checkpoint by a better one.
            if networks.find(save_dir) == saved:
                raise
    networks.warn_if_not_calibrated(saved)
    return network


def indices(text: str) -> range:
    """Return the indices that an argument names: "3", or "0-9" for ten of them."""
    first, dash, last = text.partition("-")
    try:
        numbers = range(int(first), int(last if dash else first) + 1)
    except ValueError:
        numbers = range(0)
    if not numbers:
        raise argparse.ArgumentTypeError(
            f"{text!r}; it must be a number from 0, as 7, or a range, as 0-9"
        )
    return numbers


def count(text: str) -> int:
    """Return the number of images that an argument names, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r}; it must be a whole number, 1 or more"
        )
    return int(text)


def load_test_images(
    run: Run | None, data_dir: Path | None
) -> tuple[input_data.Source, input_data.DataSet]:
    """Return the test images of the data set that the network was trained on.

    Args:
        run: the training run; None, of another script, means MNIST.
        data_dir: another folder, with any data set of MNIST's form; None for the same.
    """
    dataset = run.data.name if run else "mnist"
    if data_dir and dataset != "pictures":
        dataset = "mnist"
    return input_data.load_test(dataset, existing_data_dir(run, data_dir))


def print_predictions(
    chosen: list[int], probabilities: np.ndarray, labels: np.ndarray
) -> None:
    """Print each answer, the truth and the probability of each digit."""
    for index, row, label in zip(chosen, probabilities, labels, strict=True):
        heading = f"index {index}: " if len(chosen) > 1 else ""
        print(f"{heading}predict={row.argmax()}, correct={label}")
        print("  ".join(f"{digit}: {p:.4f}" for digit, p in enumerate(row)))


def _marked_names(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ./ before files whose names look like a flag."""
    return [
        f"./{text}"
        if text[:1] == "-" and "." in text and os.path.exists(text)
        else text
        for text in arguments
    ]


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the arguments, or those of the command line, say."""
    parser = cli.ArgumentParser(description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--index",
        type=indices,
        nargs="+",
        default=[range(1)],
        help="test images, from 0: one, several (3 5 8) or a range (0-9)",
    )
    which.add_argument(
        "--first",
        type=count,
        metavar="N",
        help="print the labels of the first N test images, and the predictions below",
    )
    which.add_argument(
        "--image",
        nargs="+",
        metavar="FILE",
        help='pictures of handwritten digits; "-" is standard input',
    )
    parser.add_argument(
        "--json", action="store_true", help="with --image: one object a line"
    )
    parser.add_argument("--save_dir", type=from_here, default=SAVE_DIR)
    parser.add_argument("--data_dir", type=from_here, help="default: as at training")
    given = cli.command_line() if arguments is None else arguments
    args = parser.parse_args(_marked_names(given))
    if args.json and not args.image:
        parser.error("--json goes with --image")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Classify test images, or read pictures.

    Args:
        arguments: flags and their values; None for those of the command line.
    """
    args = read_arguments(arguments)
    network = restore(args.save_dir)
    if args.image:
        from handwriting import printing  # and scipy, which test images do not need

        if not printing.read_files(args.image, network, network.folder, args.json):
            sys.exit(1)
        return
    _, test = load_test_images(network.run, args.data_dir)
    ranges = [range(args.first)] if args.first else args.index
    last = max(numbers[-1] for numbers in ranges)
    if args.first and last >= test.num_examples:
        raise cli.UserError(
            f"--first is {args.first}; it must be 1 to {test.num_examples}, the number "
            "of test images"
        )
    if last >= test.num_examples:
        raise cli.UserError(
            f"there is no test image {last}: --index goes from 0 to "
            f"{test.num_examples - 1}"
        )
    chosen = [index for numbers in ranges for index in numbers]
    images, labels = test.images[chosen], test.labels[chosen]
    probabilities = network.probabilities(images)
    if args.first:
        print("labels      ", *labels)
        print("predictions ", *probabilities.argmax(axis=1))
    else:
        print_predictions(chosen, probabilities, labels)
    from common import plots  # and matplotlib, once the answer is printed

    written = plots.show_or_save(
        lambda figure: plots.predictions(
            figure, images[:GRID], labels[:GRID], probabilities[:GRID]
        ),
        network.folder / "prediction.png",
    )
    if written:
        print(f"wrote {written}")


if __name__ == "__main__":
    cli.run(main, input_data.DataError)
