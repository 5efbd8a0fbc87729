"""Read the digits in pictures with a network, print them and draw them.

From a script of your own:

    lines = read(pictures.open_picture("photo.png"), network)
"""

import json
import os
import stat
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from common import cli, plots
from common.plots import Axes, Figure, Rectangle
from handwriting import find_digits, pictures

# Probability below which an answer is marked "?". Of the default network's answers for
# 5,000 validation images 26 are wrong. This marks 17 of them, and 44 right ones; 0.8
# would mark 11 and 20, 0.95 18 and 78.
UNSURE = 0.9

# The figure of what was read: the page, and below it the images that the network saw.
WIDTH = 8.0  # inches
PAGE_HEIGHT = (2.0, 8.0)  # inches, least and greatest
PAGE_SIDE = 1500  # pixels of the page's longer side, at most
MARGIN = 0.1  # inches around the page
TITLE_WIDTH = 80  # characters in a line
TITLE_FONT = 11  # points
TITLE_LINE = 0.2  # inches from one line to the next
ANSWER_FONT = 8  # points, of the answers on the page
CROWDED = 20  # digits on a page, from which on answers are written smaller
CROWDED_FONT = 6  # points
BOX_LINE = 1.2  # points
LABEL_MARGIN = 0.8  # points around an answer
IMAGES = 96  # below the page, at most; the first ones are shown
IMAGE_FONT = 10  # points, of the answer above each
COLUMNS = 8  # of images
CELL = (36, 32)  # pixels, down and across, of an image of 28x28 with its answer
STEM_BYTES = 200  # of a figure's name, at most; file systems accept 255 with the rest


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


def read_files(
    files: list[str], network: Classifier, save_dir: Path, as_json: bool
) -> bool:
    """Read pictures, print their digits and write them with boxes to `save_dir`.

    Whatever is wrong with a file is reported on stderr, and the others are read.

    Args:
        files: names; "-" is standard input.
        network: what names the digits.
        save_dir: folder of the figures.
        as_json: whether to print one object a line, rather than text.

    Returns:
        Whether all files could be read.
    """
    read_all = True
    for file in files:
        try:
            _refuse_endless(file)
            image = pictures.open_picture(file)
            lines = read(image, network)
        except cli.UserError as error:
            cli.warn(str(error))
            read_all = False
            continue
        except Exception as error:  # a fault of ours costs one answer, not all
            cli.warn(f"{file}: cannot be read ({cli.reason(error)})")
            read_all = False
            continue
        if not as_json:
            print(text_lines(file, lines), flush=True)
        written = write_figure(file, image, lines, save_dir) if lines else None
        if as_json:
            print(json_line(file, lines, written), flush=True)
        elif written:
            print(f"wrote {written}", flush=True)
    return read_all


def _refuse_endless(file: str) -> None:
    """Refuse a device, or a pipe that nobody may write to; <(...) makes one in /dev."""
    if file == "-":
        if sys.stdin is None:
            raise cli.UserError("-: standard input is closed")
        return
    try:
        mode = os.stat(file).st_mode
    except OSError:
        return  # open_picture says why
    is_pipe = stat.S_ISFIFO(mode) and not file.startswith(("/dev/", "/proc/"))
    if is_pipe or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise cli.UserError(f'{file}: a device or pipe; "-" reads standard input')


def write_figure(
    file: str, image: Image.Image, lines: Lines, save_dir: Path
) -> str | None:
    """Write the figure of a reading; return the path to print, None if that failed.

    Each picture has its own: those of one name from several folders are numbered.
    """
    if file == "-":
        name, source = "stdin", "stdin:"
    else:
        name = os.path.basename(file)
        source = Path(os.path.abspath(file)).as_uri()  # any name, in ASCII
    stem = cli.one_line(Path(name).stem).strip(".") or "picture"
    stem = stem.encode()[:STEM_BYTES].decode(errors="ignore")
    return plots.save(
        lambda: draw_reading(image, lines, heading(name, lines)),
        save_dir / f"{stem}-read.png",
        source,
    )


def heading(file: str, lines: Lines) -> str:
    """Return a file's name and its digits, "|" between lines of text."""
    text = "|".join("".join(str(one.digit) for one in line) for line in lines)
    return f"{cli.one_line(file)}: {text or 'no digit found'}"


def with_probability(one: Reading) -> str:
    """Return an answer and its probability, and the runner-up if unsure."""
    text = f"{one.answer}: {one.probability:.4f}"
    if one.is_sure:
        return text
    return f"{text} (or {one.runner_up}: {one.probabilities[one.runner_up]:.4f})"


def text_lines(file: str, lines: Lines) -> str:
    """Return a picture's digits as text, with the probability of each."""
    text = [heading(file, lines)]
    text += ["  ".join(with_probability(one) for one in line) for line in lines]
    return "\n".join(text)


def json_line(file: str, lines: Lines, written: str | None) -> str:
    """Return a picture's digits as one line of JSON.

    Args:
        file: name of the picture.
        lines: its digits.
        written: path of the figure; None if there is none.
    """
    texts = ["".join(str(one.digit) for one in line) for line in lines]
    found = [one for line in lines for one in line]
    return json.dumps(
        {
            # A name need not be UTF-8, but JSON must be.
            "file": os.fsencode(file).decode("utf-8", "replace"),
            "digits": "".join(texts),
            "lines": texts,
            "probabilities": [round(one.probability, 4) for one in found],
            "boxes": [one.box for one in found],
            "picture": written,
        }
    )


def draw_reading(image: Image.Image, lines: Lines, title: str) -> Figure:
    """Return a picture with its digits boxed, and below it what the network saw.

    Args:
        image: the picture.
        lines: the digits in it, at least one.
        title: what was read.
    """
    digits = [one for line in lines for one in line]
    title = textwrap.fill(title, TITLE_WIDTH)
    title_height = TITLE_LINE * (title.count("\n") + 1)
    least, greatest = PAGE_HEIGHT
    page_height = min(greatest, max(least, WIDTH * image.height / image.width))
    rows = -(-len(digits[:IMAGES]) // COLUMNS)  # rounded up
    images_top = MARGIN + title_height + page_height + MARGIN
    height = images_top + rows * _inches_of_cell()[0] + MARGIN
    figure = Figure(figsize=(WIDTH, height))
    # All is drawn on one set of axes, in inches: each set takes a while to make.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.text(
        WIDTH / 2,
        MARGIN,
        title,
        fontsize=TITLE_FONT,
        horizontalalignment="center",
        verticalalignment="top",
        parse_math=False,
    )
    _draw_page(axes, image, digits, MARGIN + title_height, page_height)
    _draw_images(axes, digits[:IMAGES], images_top)
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    return figure


def _draw_page(
    axes: Axes, image: Image.Image, digits: list[Reading], top: float, height: float
) -> None:
    """Draw a picture with a box and an answer for each digit.

    Args:
        axes: in inches, from the top.
        image: the picture.
        digits: in it.
        top: of the picture in inches.
        height: of the picture in inches, at most.
    """
    scale = min(1, PAGE_SIDE / max(image.size))
    size = [max(1, round(side * scale)) for side in image.size]
    small = image.convert("RGB").resize(size, reducing_gap=2)
    inch = min((WIDTH - 2 * MARGIN) / image.width, height / image.height)  # a pixel's
    left = (WIDTH - inch * image.width) / 2
    right, bottom = left + inch * image.width, top + inch * image.height
    axes.imshow(small, extent=(left, right, bottom, top), aspect="auto")
    for one in digits:
        colour = plots.BLUE if one.is_sure else plots.ORANGE
        x, y = left + inch * one.box[0], top + inch * one.box[1]
        width, height = one.box[2] - one.box[0], one.box[3] - one.box[1]
        axes.add_patch(
            Rectangle(
                (x, y),
                inch * width,
                inch * height,
                fill=False,
                edgecolor=colour,
                linewidth=BOX_LINE,
            )
        )
        axes.text(
            x,
            y,
            _label(one),
            color="white",
            fontsize=ANSWER_FONT if len(digits) < CROWDED else CROWDED_FONT,
            verticalalignment="bottom",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": LABEL_MARGIN},
        )


def _draw_images(axes: Axes, digits: list[Reading], top: float) -> None:
    """Draw what the network saw, in rows from `top` in inches on."""
    rows = -(-len(digits) // COLUMNS)
    down, across = CELL
    cells = np.zeros((rows, down, COLUMNS, across))
    high, wide = _inches_of_cell()
    for number, one in enumerate(digits):
        row, column = divmod(number, COLUMNS)
        side, margin = len(one.image), (across - len(one.image)) // 2
        cells[row, -side:, column, margin : margin + side] = one.image
        axes.text(
            (column + 0.5) * wide,
            top + row * high + high * (down - side) / down,
            _label(one),
            fontsize=IMAGE_FONT,
            color="black" if one.is_sure else plots.ORANGE,
            horizontalalignment="center",
            verticalalignment="bottom",
        )
    axes.imshow(
        cells.reshape(rows * down, COLUMNS * across),
        cmap="gray_r",
        vmin=0,
        vmax=1,
        extent=(0, WIDTH, top + rows * high, top),
        aspect="auto",
    )


def _inches_of_cell() -> tuple[float, float]:
    """Return height and width of an image with its answer."""
    down, across = CELL
    return WIDTH / COLUMNS * down / across, WIDTH / COLUMNS


def _label(one: Reading) -> str:
    """Return an answer and its probability as they stand in the figure."""
    return f"{one.answer} {one.probability:.2f}"
