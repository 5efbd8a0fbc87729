"""Read the digits in a picture with a network.

From a script of your own:

    lines = read(pictures.open_picture("photo.png"), network)
"""

from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from handwriting import find_digits

# Probability below which an answer is marked "?". Of the default network's answers for
# 5,000 validation images 26 are wrong. This marks 17 of them, and 44 right ones; 0.8
# would mark 11 and 20, 0.95 18 and 78.
UNSURE = 0.9


class Classifier(Protocol):
    """The network that names the digits; predict.Classifier is one."""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return float32 (n, 10), rows sum to 1, for images of float32 (n, 28, 28)."""


class Reading(NamedTuple):
    """A digit that was found in a picture, and the network's answer."""

    box: find_digits.Box  # left, top, right, bottom in pixels of the picture
    image: np.ndarray  # float32 (28, 28), in [0, 1], what the network saw
    probabilities: np.ndarray  # float32 (10,)

    @property
    def digit(self) -> int:
        """The most probable digit."""
        return int(self.probabilities.argmax())

    @property
    def probability(self) -> float:
        """The probability of that digit."""
        return float(self.probabilities.max())

    @property
    def runner_up(self) -> int:
        """The second most probable digit."""
        return int(self.probabilities.argsort()[-2])

    @property
    def is_sure(self) -> bool:
        """Whether the answer is printed without "?"."""
        return self.probability >= UNSURE

    @property
    def answer(self) -> str:
        """The most probable digit, marked "?" if the network is unsure."""
        return f"{self.digit}" if self.is_sure else f"{self.digit}?"


Lines = list[list[Reading]]  # the digits of a picture by line of text


def read(image: Image.Image, network: Classifier) -> Lines:
    """Return the digits that are written in a picture, by line of text."""
    lines = find_digits.find_lines(image)
    images = [digit for line in lines for _, digit in line]
    if not images:
        return []
    answers = iter(network.probabilities(np.stack(images)))
    return [
        [Reading(box, digit, next(answers)) for box, digit in line] for line in lines
    ]


def with_probability(one: Reading) -> str:
    """Return an answer and its probability, and the runner-up if unsure."""
    text = f"{one.answer}: {one.probability:.4f}"
    if one.is_sure:
        return text
    return f"{text} (or {one.runner_up}: {one.probabilities[one.runner_up]:.4f})"
