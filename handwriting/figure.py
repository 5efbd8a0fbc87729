"""Draw what was read in a picture: a box around each digit, and what the network saw.

Pillow draws it, ten times as fast as Matplotlib: a call may have thousands of pictures.
"""

import functools
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.plots import BLUE, ORANGE
from handwriting.reading import Reading

FONT = "fonts/ttf/DejaVuSans.ttf"  # of Matplotlib, which has letters of many scripts

# All but the first are in pixels.
TITLE_LETTERS = 80  # in a line
WIDTH = 960
PAGE_HEIGHT = (240, 960)  # least and greatest
PAGE_ENLARGED = 8  # times, at most
MARGIN = 12
TITLE_FONT = 18
TITLE_LINE = 24  # from one line to the next
ANSWER_FONT = 13  # of the answers on the page
CROWDED = 20  # digits on a page, from which on answers are written smaller
CROWDED_FONT = 10
BOX_LINE = 2
LABEL_MARGIN = 2  # around an answer on the page
IMAGES = 96  # below the page, at most; the first ones are shown
IMAGE_FONT = 16  # of the answer above each
ENLARGED = 4  # times, those images
COLUMNS = 8  # of images
CELL_HEIGHT = 24 + 28 * ENLARGED  # of an image with its answer


def draw_reading(
    picture: Image.Image, digits: list[Reading], title: str
) -> Image.Image:
    """Return a picture with its digits boxed, and below it what the network saw.

    Args:
        picture: the picture.
        digits: in it, at least one.
        title: what was read.
    """
    title = textwrap.fill(title, TITLE_LETTERS)
    page_top = 2 * MARGIN + TITLE_LINE * (title.count("\n") + 1)
    least, greatest = PAGE_HEIGHT
    across, down = (WIDTH - 2 * MARGIN) / picture.width, greatest / picture.height
    scale = min(across, down, PAGE_ENLARGED)
    images_top = page_top + max(least, round(scale * picture.height)) + MARGIN
    rows = -(-len(digits[:IMAGES]) // COLUMNS)  # rounded up
    height = images_top + rows * CELL_HEIGHT + MARGIN
    figure = Image.new("RGB", (WIDTH, height), "white")
    for number, line in enumerate(title.splitlines()):
        place = (WIDTH / 2, MARGIN + number * TITLE_LINE)
        _write(figure, place, line, TITLE_FONT, "ma")
    _draw_page(figure, picture, digits, page_top, scale)
    _draw_images(figure, digits[:IMAGES], images_top)
    return figure


def _draw_page(
    figure: Image.Image,
    picture: Image.Image,
    digits: list[Reading],
    top: int,
    scale: float,
) -> None:
    """Draw a picture with a box and an answer for each digit.

    Args:
        figure: to draw on.
        picture: the picture.
        digits: in it.
        top: of the picture in the figure.
        scale: pixels of the figure for one of the picture.
    """
    size = [max(1, round(side * scale)) for side in picture.size]
    left = (WIDTH - size[0]) // 2
    enlarged = {"resample": Image.Resampling.NEAREST}
    reduced = {"resample": Image.Resampling.BICUBIC, "reducing_gap": 2}
    kind = enlarged if scale > 1 else reduced
    figure.paste(picture.convert("RGB").resize(size, **kind), (left, top))
    draw = ImageDraw.Draw(figure)
    font = ANSWER_FONT if len(digits) < CROWDED else CROWDED_FONT
    for one in digits:
        colour = BLUE if one.is_sure else ORANGE
        x0, y0, x1, y1 = (round(side * scale) for side in one.box)
        box = (left + x0, top + y0, left + x1, top + y1)
        draw.rectangle(box, outline=colour, width=BOX_LINE)
        above = box[0] + 1, box[1] - LABEL_MARGIN
        _write(figure, above, _label(one), font, "ls", "white", colour)


def _draw_images(figure: Image.Image, digits: list[Reading], top: int) -> None:
    """Draw what the network saw, in rows from `top` on."""
    wide = WIDTH // COLUMNS
    for number, one in enumerate(digits):
        row, column = divmod(number, COLUMNS)
        pixels = np.uint8(255 * (1 - one.image))
        image = Image.fromarray(pixels.repeat(ENLARGED, 0).repeat(ENLARGED, 1))
        middle, bottom = column * wide + wide // 2, top + (row + 1) * CELL_HEIGHT
        figure.paste(image, (middle - image.width // 2, bottom - image.height))
        place = (middle, bottom - image.height)
        colour = "black" if one.is_sure else ORANGE
        _write(figure, place, _label(one), IMAGE_FONT, "mb", colour)


def _write(
    figure: Image.Image,
    place: tuple[float, float],
    text: str,
    size: int,
    anchor: str,
    colour: str = "black",
    paper: str | None = None,
) -> None:
    """Write a line of text.

    Args:
        figure: to write on.
        place: of the anchor.
        text: the line.
        size: of the font.
        anchor: which point of the text stands there, as Pillow names it.
        colour: of the letters.
        paper: colour of a rectangle behind them; None for none.
    """
    draw = ImageDraw.Draw(figure)
    if paper:
        left, top, right, bottom = draw.textbbox(place, text, _font(size), anchor)
        around = LABEL_MARGIN
        behind = left - around, top - around, right + around, bottom + around
        draw.rectangle(behind, fill=paper)
    draw.text(place, text, colour, _font(size), anchor)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path(), FONT), size)


def _label(one: Reading) -> str:
    """Return an answer and its probability as they stand in the figure."""
    return f"{one.answer} {one.probability:.2f}"
