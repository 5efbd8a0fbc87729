"""figure.draw_reading: the boxes, answers and images that are drawn."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageDraw

from common import plots
from handwriting.figure import CELL_HEIGHT, IMAGES, MARGIN, WIDTH, draw_reading
from handwriting.reading import Reading


def reading(digit: int, probability: float, box: tuple[int, ...]) -> Reading:
    """Return a digit of which the network saw white paper with one dot of ink."""
    answers = np.full(10, (1 - probability) / 9, np.float32)
    answers[digit] = probability
    image = np.zeros((28, 28), np.float32)
    image[3, 5] = 1
    return Reading(box, image, answers)


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of what Pillow is told to write, in which it is noted."""
    noted = []
    write = ImageDraw.ImageDraw.text

    def note(self: ImageDraw.ImageDraw, place: tuple, text: str, *more: object) -> None:
        noted.append(text)
        write(self, place, text, *more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    return noted


def places_of(figure: Image.Image, colour: str) -> np.ndarray:
    """Return left, top, right and bottom of the pixels of a colour, the last within."""
    is_it = (np.asarray(figure) == ImageColor.getrgb(colour)).all(axis=2)
    down, across = np.nonzero(is_it)
    return np.array([across.min(), down.min(), across.max(), down.max()])


def test_boxes_stand_around_the_digits_in_the_colour_of_their_answers(
    texts: list[str],
) -> None:
    page = Image.new("L", (400, 100), 200)
    digits = [reading(7, 0.5, (20, 40, 60, 90)), reading(4, 0.99, (300, 50, 340, 80))]
    figure = draw_reading(page, digits, "two.png: 74")
    assert texts == ["two.png: 74", "7? 0.50", "4 0.99", "7? 0.50", "4 0.99"]
    scale = (WIDTH - 2 * MARGIN) / 400
    left, top, *_ = places_of(figure, "#c8c8c8")  # the page, but for its boxes
    for one, colour in zip(digits, (plots.ORANGE, plots.BLUE), strict=True):
        on_page = figure.crop((0, 0, WIDTH, top + 100 * scale))
        x0, _, x1, y1 = places_of(on_page, colour)
        assert x0 == pytest.approx(left + scale * one.box[0], abs=1.5)
        assert y1 == pytest.approx(top + scale * one.box[3], abs=1.5)
        label = 60  # an answer is as wide at most
        assert x1 - x0 == pytest.approx(max(scale * 40, label), abs=20)


def test_below_the_page_stand_the_images_that_the_network_saw() -> None:
    digits = [reading(1, 0.99, (1, 1, 9, 9))] * 9
    figure = draw_reading(Image.new("L", (40, 30)), digits, "1")
    ninth = figure.crop((0, figure.height - MARGIN - CELL_HEIGHT + 24, 120, 10**4))
    dot = places_of(ninth.crop((4, 0, 116, 112)), "black")
    assert (dot == (5 * 4, 3 * 4, 5 * 4 + 3, 3 * 4 + 3)).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(40, 30), (1, 5000), (5000, 1), (3000, 2000)])
def test_a_page_of_many_digits_with_an_odd_name_is_drawn(
    size: tuple[int, int], texts: list[str], tmp_path: Path
) -> None:
    digits = [reading(0, 0.1, (0, 0, 1, 1))] * 150
    name = f"$_$ 手書き\u202e.png: {'0' * 150}"
    figure = draw_reading(Image.new("RGB", size), digits, name)
    assert figure.width == WIDTH
    assert len(texts) == 3 + 150 + IMAGES
    assert plots.save(figure, tmp_path / "page.png", "file:///page.png")
    with Image.open(tmp_path / "page.png") as png:
        assert png.info["Source"] == "file:///page.png"
