"""What is ink and what is not: printed lines, shadows, specks, hands; stroke width."""

import numpy as np
import pytest
from drawing import draw, read
from PIL import Image, ImageDraw, ImageOps
from scipy import ndimage

from handwriting import find_digits, ink


def test_rows_of_digits_are_no_ruled_lines() -> None:
    rows = [[5, 0, 7, 5, 0, 7, 7, 0, 5, 5], [7] * 10, [0, 5] * 5]
    page = draw(rows, pen=13, pitch=190)
    page = page.resize((page.width // 2, page.height // 2), Image.LANCZOS)
    desk = Image.new("L", (1601, 1103), 255)
    desk.paste(page, (19, 23))
    assert read(desk) == ["".join(map(str, row)) for row in rows]


@pytest.mark.parametrize("margin", [0, 12, 25])
def test_stems_in_a_strip_as_high_as_its_digits_are_no_printed_lines(
    margin: int,
) -> None:
    page = ImageOps.invert(draw([[4, 1, 7, 5, 1, 4, 0]]))
    strip = ImageOps.expand(page.crop(page.getbbox()), margin)
    assert read(ImageOps.invert(strip)) == ["4175140"]


def test_uneven_light_rules_and_specks_are_not_read() -> None:
    page = np.asarray(draw([[5, 7], [4, 0]]), float)
    for row in range(12, len(page), 48):
        page[row : row + 2] = np.minimum(page[row : row + 2], 120)
    rng = np.random.default_rng(0)
    for y, x in rng.integers(0, 200, (6, 2)):
        page[y : y + 2, x : x + 2] = 0
    page *= np.linspace(1, 0.4, page.shape[1])
    page += rng.normal(0, 3, page.shape)
    image = Image.fromarray(page.clip(0, 255).astype(np.uint8))
    assert read(image) == ["57", "40"]


@pytest.mark.parametrize("angle", [0, 4])
def test_lines_across_a_narrow_page_are_not_read(angle: int) -> None:
    page = draw([[4], [7], [0]], pen=13)
    wide = Image.new("L", (page.width + 90, page.height), 255)
    wide.paste(page, (40, 0))
    for y in range(127, page.height, 160):  # through the digits, from side to side
        ImageDraw.Draw(wide).line([(0, y), (wide.width, y)], fill=120, width=3)
    ink = ImageOps.invert(wide).rotate(angle, Image.BICUBIC, expand=True)
    assert read(ImageOps.invert(ink)) == ["4", "7", "0"]


@pytest.mark.parametrize("pitch", [31, 80])
def test_a_page_of_nothing_but_squares_has_no_digit(pitch: int) -> None:
    page = np.full((403, 611), 235, np.uint8)
    page[pitch // 2 :: pitch] = page[:, pitch // 3 :: pitch] = 160
    assert read(Image.fromarray(page)) == []


def test_faint_ink_across_the_edge_of_a_shadow_is_read() -> None:
    page = np.asarray(draw([[5, 0, 7]], ink=205, pen=7), float)
    across = np.arange(page.shape[1])
    page = page * (1 - 0.4 / (1 + np.exp((across - 190) / 9)))
    page += np.random.default_rng(0).normal(0, 5, page.shape)
    assert read(Image.fromarray(page.clip(0, 255).astype(np.uint8))) == ["507"]


@pytest.mark.parametrize("pen", [4, 7])
def test_faint_ink_is_read_under_strong_noise(pen: int) -> None:
    page = np.asarray(draw([[5, 0, 7, 4]], ink=205, pen=pen), float)
    page += np.random.default_rng(0).normal(0, 26, page.shape)
    assert read(Image.fromarray(page.clip(0, 255).astype(np.uint8))) == ["5074"]


def test_a_dark_hand_at_the_edge_is_not_read() -> None:
    page = draw([[7, 5, 0]])
    pencil = ImageDraw.Draw(page)
    pencil.polygon([(0, 203), (120, 203), (90, 165), (0, 170)], fill=20)
    assert read(page) == ["750"]


def test_two_digits_that_touch_are_two() -> None:
    page = draw([[7, 0]])
    ImageDraw.Draw(page).line([(85, 120), (160, 91)], fill=0, width=9)
    assert len(find_digits.find_digits(page)) == 2


def test_a_piece_of_a_digit_is_no_pair() -> None:
    page = draw([[7, 1, 0]])
    pencil = ImageDraw.Draw(page)
    pencil.rectangle([(225, 0), (360, page.height)], fill=255)
    # A 3 that is broken in two; its upper half is as wide as two digits.
    pencil.line([(245, 84), (249, 54), (285, 44), (318, 60), (322, 80)], 0, 9, "curve")
    pencil.line([(275, 92), (322, 108), (310, 138), (275, 136)], 0, 9, "curve")
    *_, (box, _) = find_digits.find_digits(page)
    assert box == pytest.approx((241, 40, 327, 143), abs=3)


@pytest.mark.parametrize("palest", [90, 150, 190])
def test_a_stroke_that_gets_paler_is_not_lost(palest: int) -> None:
    page = np.asarray(draw([[5, 7, 4]], pen=11), float)
    # From black at the top of the digits to nearly as pale as the paper at the bottom.
    darkest = np.interp(np.arange(len(page)), [45, 130], [0, palest])[:, None]
    page = darkest + page / 255 * (255 - darkest)
    page += np.random.default_rng(0).normal(0, 2, page.shape)
    assert read(Image.fromarray(page.clip(0, 255).astype(np.uint8))) == ["574"]


def test_one_dark_spot_does_not_break_a_digit() -> None:
    page = draw([[0, 7]], ink=170, pen=9)
    pencil = ImageDraw.Draw(page)
    pencil.ellipse([(74, 43), (88, 57)], fill=0)
    assert read(page) == ["07"]


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 8])
def test_the_width_of_a_bar_is_measured_to_half_a_pixel(width: int) -> None:
    bar = np.zeros((61, 43), bool)
    bar[5:56, 9 : 9 + width] = True
    half = ink.half_stroke_width(ndimage.distance_transform_edt(bar))
    assert ink.stroke_width(half) == pytest.approx(width, abs=0.5)


def printed(*lines: tuple[slice, slice]) -> np.ndarray:
    """Return a picture's ink, bool (240, 500), that is at these rows and columns."""
    picture = np.zeros((240, 500), bool)
    for line in lines:
        picture[line] = True
    return picture


def test_a_printed_line_goes_on_behind_a_digit() -> None:
    digit = np.s_[90:150, 60:160]
    page = printed(*(np.s_[row : row + 3, :] for row in (30, 120, 210)), digit)
    rest = page & ~ink.printed_lines(page, 90)
    assert rest[digit].all()
    assert not rest[:, :50].any()
    assert not rest[:, 170:].any()


def test_a_row_of_strokes_is_not_followed_beyond_them() -> None:
    rows = (40, 120, 200)
    dash = [np.s_[row : row + 3, 400:420] for row in rows]
    page = printed(*(np.s_[row : row + 3, :200] for row in rows), *dash)
    rest = page & ~ink.printed_lines(page, 90)
    assert all(rest[one].all() for one in dash)


def test_stems_that_touch_the_frame_are_no_printed_lines() -> None:
    stems = printed(*(np.s_[:66, x : x + 4] for x in range(30, 500, 90)))
    assert not ink.printed_lines(stems, 90).any()


def test_nothing_is_left_where_printed_lines_cross() -> None:
    across = [np.s_[row : row + 3, :] for row in (30, 90, 150, 210)]
    down = [np.s_[:, x : x + 3] for x in range(20, 500, 60)]
    page = printed(*across, *down)
    assert not (page & ~ink.printed_lines(page, 90)).any()
