"""Draw what was read in a picture: a box around each digit, and what the network saw.

Pillow draws it, several times as fast as Matplotlib: a call may have thousands of
pictures.
"""

import functools
import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.plots import BLUE, FONT, ORANGE
from handwriting.reading import Reading

# Lengths and font sizes are in pixels.
WIDTH, MARGIN = 960, 12
TITLE_FONT, TITLE_LINE = 18, 24  # the latter from one line to the next
TITLE_LETTERS = 80  # in a line
PAGE_HEIGHT = (240, 960)  # least and greatest
PAGE_TIMES = 8  # as large as the picture, at most
SMOOTH = 3  # times as large, up to which it is smoothed
BOX_LINE = 2
ANSWER_FONT, ANSWER_MARGIN = 13, 2  # of the answers on the page
CROWDED, CROWDED_FONT = 20, 10  # their font from so many digits on
IMAGES, COLUMNS = 96, 8  # of what the network saw, at most; the first ones
IMAGE_TIMES = 4  # as large as the network saw it
IMAGE_FONT, IMAGE_LINE = 16, 24  # of the answer above each
CELL_HEIGHT = IMAGE_LINE + 28 * IMAGE_TIMES  # of an image with its answer


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
    scale = min(across, down, PAGE_TIMES)
    images_top = page_top + max(least, round(scale * picture.height)) + MARGIN
    rows = -(-len(digits[:IMAGES]) // COLUMNS)  # rounded up
    height = images_top + rows * CELL_HEIGHT + MARGIN
    figure = Image.new("RGB", (WIDTH, height), "white")
    for number, line in enumerate(title.splitlines()):
        place = (WIDTH // 2, MARGIN + number * TITLE_LINE)
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
    method = Image.Resampling.BICUBIC if scale < SMOOTH else Image.Resampling.NEAREST
    resized = picture.convert("RGB").resize(size, method, reducing_gap=2)
    figure.paste(resized, (left, top))
    draw = ImageDraw.Draw(figure)
    for one in digits:
        x0, y0, x1, y1 = (round(side * scale) for side in one.box)
        draw.rectangle(  # around the ink, not on it
            (
                left + x0 - BOX_LINE,
                top + y0 - BOX_LINE,
                left + x1 + BOX_LINE - 1,
                top + y1 + BOX_LINE - 1,
            ),
            outline=_colour(one),
            width=BOX_LINE,
        )
    font = ANSWER_FONT if len(digits) < CROWDED else CROWDED_FONT
    for one in digits:  # after the boxes, which would strike them through
        x, y = left + round(one.box[0] * scale), top + round(one.box[1] * scale)
        _write_on_paper(figure, (x, y - BOX_LINE), _label(one), font, _colour(one))


def _draw_images(figure: Image.Image, digits: list[Reading], top: int) -> None:
    """Draw what the network saw, in rows from `top` on."""
    wide = WIDTH // COLUMNS
    for number, one in enumerate(digits):
        row, column = divmod(number, COLUMNS)
        pixels = np.uint8(np.round(255 * (1 - one.image)))
        image = Image.fromarray(pixels.repeat(IMAGE_TIMES, 0).repeat(IMAGE_TIMES, 1))
        middle = column * wide + wide // 2
        image_top = top + row * CELL_HEIGHT + IMAGE_LINE
        figure.paste(image, (middle - image.width // 2, image_top))
        colour = "black" if one.is_sure else ORANGE
        _write(figure, (middle, image_top), _label(one), IMAGE_FONT, "mb", colour)


def _write(
    figure: Image.Image,
    place: tuple[int, int],
    text: str,
    size: int,
    anchor: str,
    colour: str = "black",
) -> None:
    """Write a line; `anchor` is which point of it stands at `place`, for Pillow."""
    ImageDraw.Draw(figure).text(place, text, colour, _font(size), anchor)


def _write_on_paper(
    figure: Image.Image, corner: tuple[int, int], text: str, size: int, colour: str
) -> None:
    """Write in white on coloured paper, whose lower left corner is given.

    It is moved to the left where the figure ends.
    """
    draw = ImageDraw.Draw(figure)
    wide = draw.textlength(text, _font(size)) + 2 * ANSWER_MARGIN
    left, bottom = min(corner[0], WIDTH - round(wide)), corner[1]
    place = left + ANSWER_MARGIN, bottom - ANSWER_MARGIN
    paper = draw.textbbox(place, text, _font(size), "ls")
    draw.rectangle((left, paper[1] - ANSWER_MARGIN, left + wide, bottom), fill=colour)
    _write(figure, place, text, size, "ls", "white")


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, size)


def _colour(one: Reading) -> str:
    """Return the colour of a digit's box."""
    return BLUE if one.is_sure else ORANGE


def _label(one: Reading) -> str:
    """Return an answer and its probability as they stand in the figure."""
    return f"{one.answer} {one.probability:.2f}"
