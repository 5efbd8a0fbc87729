"""figure.draw_reading: the boxes, answers and images that are drawn."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageDraw, ImageFont

from common import plots
from handwriting.figure import draw_reading
from handwriting.reading import Reading

WIDTH, MARGIN = 960, 12
TITLE = 24  # height of its line
IMAGE = 28 * 4  # side of what the network saw
CELL = 24 + IMAGE


class Written(NamedTuple):
    """What Pillow was told to write."""

    text: str
    place: tuple[int, int]
    colour: str
    size: int


def reading(digit: int, probability: float, box: tuple[int, ...]) -> Reading:
    """Return a digit of which the network saw white paper with one dot of ink."""
    answers = np.full(10, (1 - probability) / 9, np.float32)
    answers[digit] = probability
    image = np.zeros((28, 28), np.float32)
    image[3, 5] = 1
    return Reading(box, image, answers)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Written]:
    """Return the list in which is noted what is written."""
    noted = []
    write = ImageDraw.ImageDraw.text

    def note(
        self: ImageDraw.ImageDraw,
        place: tuple[int, int],
        text: str,
        colour: str,
        font: ImageFont.FreeTypeFont,
        anchor: str,
    ) -> None:
        noted.append(Written(text, place, colour, font.size))
        write(self, place, text, colour, font, anchor)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    return noted


def is_colour(figure: Image.Image, colour: str) -> np.ndarray:
    """Return bool (height, width), which pixels have a colour."""
    return (np.asarray(figure) == ImageColor.getrgb(colour)).all(axis=2)


def ends_of(figure: Image.Image, colour: str) -> list[int]:
    """Return left, top, right and bottom of the pixels of a colour, the last within."""
    down, across = np.nonzero(is_colour(figure, colour))
    return [across.min(), down.min(), across.max(), down.max()]


@pytest.mark.parametrize(
    ("probability", "colour"), [(0.5, plots.ORANGE), (0.99, plots.BLUE)]
)
@pytest.mark.parametrize("scale", [0.5, 1, 2, 3])
def test_a_box_stands_around_the_ink_in_the_colour_of_the_answer(
    scale: float, probability: float, colour: str
) -> None:
    size = (round((WIDTH - 2 * MARGIN) / scale), 120)
    page = np.full(size[::-1], 200, np.uint8)
    page[50:90, 20:60] = 10
    digit = reading(7, probability, (20, 50, 60, 90))
    figure = draw_reading(Image.fromarray(page), [digit], "7")
    top = 2 * MARGIN + TITLE
    left, upper, right, lower = (round(scale * side) for side in digit.box)
    ink = (left + MARGIN, upper + top, right + MARGIN, lower + top)
    within = (ink[0] + 3, ink[1] + 3, ink[2] - 3, ink[3] - 3)  # edges are smoothed
    assert is_colour(figure.crop(within), "#0a0a0a").all()
    assert not is_colour(figure.crop(ink), colour).any()
    for x, y in (ink[:2], ink[2:], (ink[0], ink[3])):  # the label is above
        corner = figure.crop((x - 2, y - 2, x + 2, y + 2))
        assert is_colour(corner, colour).sum() == 12  # two lines of 2 pixels
    assert not is_colour(figure.crop((0, ink[3] + 2, WIDTH, 10**4)), colour)[:30].any()


def test_answers_stand_above_their_boxes_and_below_the_page(
    written: list[Written],
) -> None:
    page = Image.new("L", (WIDTH - 2 * MARGIN, 300), 200)
    digits = [reading(7, 0.5, (20, 40, 60, 90)), reading(4, 0.99, (300, 50, 340, 80))]
    figure = draw_reading(page, digits, "two.png: 74")
    top = 2 * MARGIN + TITLE
    images_top = top + 300 + MARGIN + 24
    assert written == [
        ("two.png: 74", (WIDTH / 2, MARGIN), "black", 18),
        ("7? 0.50", (MARGIN + 20 + 2, top + 40 - 2 - 2), "white", 13),
        ("4 0.99", (MARGIN + 300 + 2, top + 50 - 2 - 2), "white", 13),
        ("7? 0.50", (60, images_top), plots.ORANGE, 16),
        ("4 0.99", (180, images_top), "black", 16),
    ]
    paper = figure.crop((MARGIN + 20, top + 40 - 2 - 15, MARGIN + 70, top + 40 - 2))
    assert is_colour(paper, plots.ORANGE).mean() > 0.5
    assert is_colour(paper, "white").any()


def test_an_answer_is_not_struck_through_and_ends_within_the_figure(
    written: list[Written],
) -> None:
    page = Image.new("L", (WIDTH - 2 * MARGIN, 300), 200)
    box = (925, 100, 935, 150)
    alone = draw_reading(page, [reading(1, 0.99, box)], "1")
    answer = next(one for one in written if one.colour == "white")
    x, y = answer.place
    ends = x + ImageFont.truetype(plots.FONT, answer.size).getlength(answer.text)
    assert ends == pytest.approx(WIDTH - 2, abs=1)
    higher = reading(8, 0.99, (900, 60, 935, 150))
    beside = draw_reading(page, [higher, reading(1, 0.99, box)], "81")
    where = (x - 2, y - 9, WIDTH - 2, y + 2)
    assert beside.crop(where).tobytes() == alone.crop(where).tobytes()


def test_below_the_page_stand_the_images_that_the_network_saw() -> None:
    digits = [reading(1, 0.99, (1, 1, 9, 9))] * 9
    figure = draw_reading(Image.new("L", (40, 30)), digits, "1")
    assert figure.size == (WIDTH, 48 + 240 + MARGIN + 2 * CELL + MARGIN)
    bottom = figure.height - MARGIN
    ninth = figure.crop((4, bottom - IMAGE, 4 + IMAGE, bottom))
    assert ends_of(ninth, "black") == [5 * 4, 3 * 4, 5 * 4 + 3, 3 * 4 + 3]


@pytest.mark.parametrize(
    ("size", "page_height"),
    [((28, 28), 240), ((60, 80), 640), ((3000, 200), 240), ((200, 3000), 960)],
)
def test_the_page_has_the_size_of_its_picture(
    size: tuple[int, int], page_height: int
) -> None:
    figure = draw_reading(Image.new("L", size, 200), [reading(1, 1, (1, 1, 9, 9))], "1")
    assert figure.height == 48 + page_height + MARGIN + CELL + MARGIN
    left, top, right, bottom = ends_of(figure, "#c8c8c8")
    scale = min(8, 936 / size[0], 960 / size[1])
    assert right + 1 - left == pytest.approx(scale * size[0], abs=1)
    assert bottom + 1 - top == pytest.approx(scale * size[1], abs=1)
    assert left - (WIDTH - 1 - right) in (-1, 0, 1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_a_page_of_many_digits_with_an_odd_name_is_drawn(
    mode: str, written: list[Written], tmp_path: Path
) -> None:
    digits = [reading(0, 0.1, (0, 0, 1, 1))] * 150
    name = f"$_$ 手書き.png: {'0' * 150}"
    figure = draw_reading(Image.new(mode, (300, 200)), digits, name)
    assert figure.width == WIDTH
    assert [one.size for one in written] == [18] * 3 + [10] * 150 + [16] * 96
    assert plots.save(figure, tmp_path / "page.png", "file:///page.png")
    with Image.open(tmp_path / "page.png") as png:
        assert png.info["Source"] == "file:///page.png"
