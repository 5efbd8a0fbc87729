"""Digits are found in either polarity and any size, and read in order."""

import numpy as np
import pytest
from drawing import draw, network, read
from PIL import Image, ImageDraw, ImageOps

from handwriting import find_digits


def test_lines_are_read_top_to_bottom_and_left_to_right() -> None:
    page = draw([[4, 0, 7], [5], [1, 1, 5, 7]])
    expected = ["407", "5", "1157"]
    assert read(page) == expected
    assert read(page.rotate(5, fillcolor=255, expand=True)) == expected


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (90, 160), (160, 90)])
def test_either_polarity_is_read(ink: int, paper: int) -> None:
    assert read(draw([[5, 0], [7, 4]], ink, paper)) == ["50", "74"]


@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("height", [23, 91])
def test_a_picture_cropped_to_one_digit_is_one_digit(height: int, light: bool) -> None:
    for digit in (0, 4, 5, 7):
        page = ImageOps.invert(draw([[digit]], pen=15))
        cropped = page.crop(page.getbbox())
        width = height * cropped.width // cropped.height
        small = cropped.resize((width, height), Image.BOX)
        ((box, image),) = find_digits.find_digits(
            small if light else ImageOps.invert(small)
        )
        assert np.abs(np.array(box) - (0, 0, width, height)).max() <= 1
        answer = network().probabilities(image[None]).argmax()
        assert answer == digit


def test_small_digits_on_a_wide_page_are_found() -> None:
    written = draw([[4, 0, 7], [5, 1, 1]], pen=11)
    small = written.resize([side * 15 // 90 for side in written.size], Image.LANCZOS)
    page = Image.new("L", (3901, 797), 255)
    page.paste(small, (211, 101))
    assert read(page) == ["407", "511"]


def test_two_strokes_of_a_digit_are_one_digit() -> None:
    # The 5's bar is drawn apart from its body.
    assert read(draw([[5, 5]], pen=6)) == ["55"]


def test_a_5_may_have_its_bar_beside_its_top() -> None:
    page = draw([[7, 1, 0]])
    pencil = ImageDraw.Draw(page)
    pencil.rectangle([(140, 0), (240, page.height)], fill=255)
    pencil.line([(160, 46), (155, 80), (185, 95), (180, 130), (152, 128)], 0, 9)
    pencil.line([(190, 47), (222, 42)], 0, 9)
    (_, (box, _), _) = find_digits.find_digits(page)
    assert box[0] < 160
    assert box[2] > 220


def test_dust_near_a_digit_is_no_part_of_it() -> None:
    page = draw([[4, 0, 7]])
    ImageDraw.Draw(page).rectangle([(170, 140), (175, 145)], fill=0)
    (_, (box, _), _) = find_digits.find_digits(page)
    assert box[3] == pytest.approx(140, abs=2)


def test_boxes_and_circles_around_digits_are_not_read() -> None:
    page = draw([[5, 7, 0, 4]])
    pencil = ImageDraw.Draw(page)
    pencil.rectangle([(40, 28), (122, 150)], outline=60, width=3)
    pencil.rectangle([(140, 28), (222, 150)], outline=0, width=5)
    pencil.ellipse([(332, 16), (432, 164)], outline=30, width=5)
    assert read(page) == ["5704"]


@pytest.mark.parametrize("size", [(4001, 5), (5, 4001)])
def test_a_very_thin_strip_has_no_digit(size: tuple[int, int]) -> None:
    assert find_digits.find_digits(Image.new("L", size, 255)) == []
    noise = np.random.default_rng(0).integers(0, 256, size[::-1]).astype(np.uint8)
    find_digits.find_digits(Image.fromarray(noise))


def test_boxes_hold_the_ink_and_no_more() -> None:
    page = draw([[4, 1], [7, 5]])
    ink = np.asarray(page) < 128
    boxes = [box for box, _ in find_digits.find_digits(page)]
    assert len(boxes) == 4
    for left, top, right, bottom in boxes:
        rows, columns = np.nonzero(ink[top:bottom, left:right])
        assert rows.min() <= 2
        assert columns.min() <= 2
        assert rows.max() >= bottom - top - 3
        assert columns.max() >= right - left - 3
        ink[top:bottom, left:right] = False
    assert ink.sum() < 20
