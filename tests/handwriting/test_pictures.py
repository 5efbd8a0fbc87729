"""predict.py --image: what is found in a picture, and what cannot be read."""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

import predict
from common import cli, plots
from handwriting import find_digits, pictures

Run = Callable[..., tuple[int, str, str]]
# Strokes of digits in a box of 60 x 100, drawn by hand.
STROKES = {
    0: [[(30, 5), (55, 50), (30, 95), (5, 50), (30, 5)]],
    1: [[(30, 5), (30, 95)]],
    4: [[(40, 5), (5, 60), (55, 60)], [(42, 40), (42, 95)]],
    5: [[(10, 15), (10, 45), (50, 60), (40, 95), (5, 90)], [(10, 5), (52, 5)]],
    7: [[(5, 5), (55, 5), (20, 95)]],
}


class DrawnDigits:
    """Names the drawn digits by their inked share of four parts of the image."""

    def __init__(self) -> None:
        """Keep what each digit looks like when it is drawn on a page of its own."""
        pages = [draw([[digit]]) for digit in STROKES]
        self.known = np.stack([find_digits.find_digits(page)[0][1] for page in pages])

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return 0.9 for the nearest of the drawn digits."""
        result = np.full((len(images), 10), 0.1 / 9, np.float32)
        for row, image in zip(result, images, strict=True):
            distance = ((self.known - image) ** 2).sum(axis=(1, 2))
            row[list(STROKES)[int(distance.argmin())]] = 0.9
        return result


def draw(
    lines: list[list[int]],
    ink: int = 0,
    paper: int = 255,
    pen: int = 9,
    pitch: int = 160,
) -> Image.Image:
    """Return a page with lines of drawn digits."""
    across = max(map(len, lines))
    page = Image.new("L", (100 * across + 60, pitch * len(lines) + 43), paper)
    pencil = ImageDraw.Draw(page)
    for row, digits in enumerate(lines):
        for column, digit in enumerate(digits):
            for stroke in STROKES[digit]:
                places = [
                    (51 + 100 * column + x, 41 + pitch * row + y) for x, y in stroke
                ]
                pencil.line(places, fill=ink, width=pen, joint="curve")
    return page


@pytest.fixture(scope="module")
def network() -> DrawnDigits:
    """A network that knows the drawn digits."""
    return DrawnDigits()


def read(image: Image.Image, network: DrawnDigits) -> list[str]:
    return [
        "".join(str(one.digit) for one in line)
        for line in pictures.read(image, network)
    ]


@pytest.fixture
def predict_image(
    network: DrawnDigits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> Run:
    """Run predict.py --image; gives its status, stdout and stderr."""

    def run(*flags: object) -> tuple[int, str, str]:
        monkeypatch.setattr(predict, "restore", lambda _: network)
        flags = ("--save_dir", tmp_path / "save", "--image", *flags)
        monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, flags)])
        monkeypatch.chdir(tmp_path)
        return cli.status(predict.main), *capsys.readouterr()

    return run


def test_lines_are_read_top_to_bottom_and_left_to_right(network: DrawnDigits) -> None:
    page = draw([[4, 0, 7], [5], [1, 1, 5, 7]])
    assert read(page, network) == ["407", "5", "1157"]
    assert read(page.rotate(5, fillcolor=255, expand=True), network) == [
        "407",
        "5",
        "1157",
    ]


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (90, 160), (160, 90)])
def test_either_polarity_is_read(ink: int, paper: int, network: DrawnDigits) -> None:
    assert read(draw([[5, 0], [7, 4]], ink, paper), network) == ["50", "74"]


def test_small_digits_on_a_wide_page_are_found(network: DrawnDigits) -> None:
    written = draw([[4, 0, 7], [5, 1, 1]], pen=11)
    small = written.resize([side * 15 // 90 for side in written.size], Image.LANCZOS)
    page = Image.new("L", (3901, 797), 255)
    page.paste(small, (211, 101))
    assert read(page, network) == ["407", "511"]


def test_rows_of_digits_are_no_ruled_lines(network: DrawnDigits) -> None:
    rows = [[5, 0, 7, 5, 0, 7, 7, 0, 5, 5], [7] * 10, [0, 5] * 5]
    page = draw(rows, pen=13, pitch=190)
    page = page.resize((page.width // 2, page.height // 2), Image.LANCZOS)
    desk = Image.new("L", (1601, 1103), 255)
    desk.paste(page, (19, 23))
    assert read(desk, network) == ["".join(map(str, row)) for row in rows]


@pytest.mark.parametrize("pen", [2, 5, 9, 15])
def test_strokes_come_out_as_thick_as_those_of_mnist(pen: int) -> None:
    ((_, image),) = find_digits.find_digits(draw([[0]], pen=pen))
    # Along a row through the middle there are two strokes.
    assert 1.2 < image[14].sum() / 2 < 4.5


def test_a_digit_is_20_pixels_long_and_its_mass_in_the_middle() -> None:
    for digit in STROKES:
        ((_, image),) = find_digits.find_digits(draw([[digit]]))
        assert image.shape == (28, 28)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1
        rows, columns = np.nonzero(image > 0.5)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20, 21)
        y, x = np.indices(image.shape)
        mass = np.array([(image * y).sum(), (image * x).sum()]) / image.sum()
        np.testing.assert_allclose(mass, 14, atol=0.6)


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


def test_a_28x28_image_comes_out_nearly_as_it_went_in() -> None:
    image = np.zeros((28, 28), np.float32)
    image[4:24, 12:15] = 1
    image[4:7, 8:15] = 1
    grey = (image * 255).astype(np.uint8)
    for picture in (grey, 255 - grey):
        ((box, digit),) = find_digits.find_digits(Image.fromarray(picture))
        assert np.abs(np.array(box) - (8, 4, 15, 24)).max() <= 1
        shifted = [
            np.abs(np.roll(image, (y, x), (0, 1)) - digit).mean()
            for y in range(-3, 4)
            for x in range(-3, 4)
        ]
        assert min(shifted) < 0.3 * image.mean()


def test_uneven_light_rules_and_specks_are_not_read(network: DrawnDigits) -> None:
    page = np.asarray(draw([[5, 7], [4, 0]]), float)
    for row in range(12, len(page), 48):
        page[row : row + 2] = np.minimum(page[row : row + 2], 120)
    rng = np.random.default_rng(0)
    for y, x in rng.integers(0, 200, (6, 2)):
        page[y : y + 2, x : x + 2] = 0
    page *= np.linspace(1, 0.4, page.shape[1])
    page += rng.normal(0, 3, page.shape)
    image = Image.fromarray(page.clip(0, 255).astype(np.uint8))
    assert read(image, network) == ["57", "40"]


def test_a_dark_hand_at_the_edge_is_not_read(network: DrawnDigits) -> None:
    page = draw([[7, 5, 0]])
    pencil = ImageDraw.Draw(page)
    pencil.polygon([(0, 203), (120, 203), (90, 165), (0, 170)], fill=20)
    assert read(page, network) == ["750"]


def test_two_strokes_of_a_digit_are_one_digit(network: DrawnDigits) -> None:
    # The 5's bar is drawn apart from its body.
    assert read(draw([[5, 5]], pen=6), network) == ["55"]


def test_two_digits_that_touch_are_two(network: DrawnDigits) -> None:
    page = draw([[7, 0]])
    ImageDraw.Draw(page).line([(85, 120), (160, 91)], fill=0, width=9)
    assert len(find_digits.find_digits(page)) == 2


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def kinds() -> dict[str, bytes]:
    """Return a 7 as every file type and mode."""
    grey = draw([[7]])
    rgb = grey.convert("RGB")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown turned by 90 degrees to the right
    clear = Image.new("RGBA", grey.size, (0, 0, 0, 0))
    clear.putalpha(ImageOps.invert(grey))
    light = Image.new("RGBA", grey.size, (255, 255, 255, 0))
    light.putalpha(ImageOps.invert(grey))
    later = Image.new("RGB", rgb.size, "red")
    return {
        "grey.png": saved(grey, "PNG"),
        "colour.png": saved(rgb, "PNG"),
        "bits.png": saved(grey.convert("1"), "PNG"),
        "palette.png": saved(rgb.convert("P"), "PNG"),
        "transparent.png": saved(clear, "PNG"),
        "light-on-transparent.png": saved(light, "PNG"),
        "16-bit.png": saved(wide, "PNG"),
        "photo.jpg": saved(rgb, "JPEG"),
        "turned.jpg": saved(rgb.rotate(90, expand=True), "JPEG", exif=turned),
        "cmyk.jpg": saved(rgb.convert("CMYK"), "JPEG"),
        "16-bit.tif": saved(wide, "TIFF"),
        "float.tif": saved(Image.fromarray(np.asarray(grey, np.float32)), "TIFF"),
        "page.webp": saved(rgb, "WEBP"),
        "page.bmp": saved(rgb, "BMP"),
        "page.gif": saved(rgb, "GIF"),
        "page.ppm": saved(rgb, "PPM"),
        "frames.gif": saved(rgb, "GIF", save_all=True, append_images=[later]),
    }


@pytest.mark.parametrize("name", kinds())
def test_every_kind_of_picture_is_read(
    name: str, network: DrawnDigits, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(kinds()[name])
    image = pictures.open_picture(str(tmp_path / name))
    assert image.size == draw([[7]]).size
    assert read(image, network) == ["7"]


def test_bad_files_are_told_in_one_line_each_and_the_others_read(
    predict_image: Run,
    tmp_path: Path,
) -> None:
    whole = kinds()
    huge = saved(Image.new("1", (20000, 20000)), "PNG")
    bad = {
        "text.png": (b"no picture", "10 bytes that are no picture"),
        "empty.png": (b"", "empty file"),
        "half.jpg": (whole["photo.jpg"][:2000], "damaged"),
        "half.png": (whole["grey.png"][:-300], "damaged"),
        "huge.png": (huge, "over 89 million pixels"),
        "one.png": (saved(Image.new("L", (1, 1)), "PNG"), "1 x 1 pixels"),
        "black.png": (saved(Image.new("L", (70, 50)), "PNG"), "one colour"),
        "missing.png": (None, "No such file"),
        "folder.png": (None, "directory"),
    }
    (tmp_path / "folder.png").mkdir()
    for name, (data, _) in bad.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
    (tmp_path / "good.png").write_bytes(whole["grey.png"])
    status, out, err = predict_image(*bad, "good.png")
    assert status == 1
    assert out.startswith("good.png: 7\n7: 0.9000\nwrote ")
    lines = err.splitlines()
    assert len(lines) == len(bad)
    for line, (name, (_, told)) in zip(lines, bad.items(), strict=True):
        assert line.startswith(f"predict.py: {name}: ")
        assert told in line


@pytest.mark.skipif(sys.platform != "linux", reason="names must be Unicode elsewhere")
def test_a_name_that_is_not_utf_8_is_printed_with_a_mark(
    predict_image: Run, tmp_path: Path
) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    draw([[7]]).save(tmp_path / name)
    status, out, _ = predict_image(name)
    assert status == 0
    assert out.startswith("caf\N{REPLACEMENT CHARACTER}.png: 7\n")
    assert out.encode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_rights_is_told(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(kinds()["grey.png"])
    path.chmod(0)
    with pytest.raises(cli.UserError, match="Permission denied"):
        pictures.open_picture(str(path))


def test_a_blank_page_has_no_digit(predict_image: Run, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(225, 5, (181, 263)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    Image.new("L", (263, 181), 255).save(tmp_path / "white.png")
    status, out, err = predict_image("photo.png", "white.png")
    assert (status, err) == (0, "")
    assert out == "photo.png: no digit found\nwhite.png: no digit found\n"


def test_json_has_an_object_a_line(predict_image: Run, tmp_path: Path) -> None:
    draw([[5, 7], [0]]).save(tmp_path / "page.png")
    Image.new("L", (99, 99), 255).save(tmp_path / "white.png")
    status, out, _ = predict_image("page.png", "white.png", "--json")
    assert status == 0
    page, white = map(json.loads, out.splitlines())
    assert (page["file"], page["digits"], page["lines"]) == (
        "page.png",
        "570",
        ["57", "0"],
    )
    assert page["probabilities"] == [0.9, 0.9, 0.9]
    assert [len(box) for box in page["boxes"]] == [4, 4, 4]
    assert page["boxes"][0][0] < page["boxes"][1][0]
    with Image.open(page["picture"]) as annotated:
        assert min(annotated.size) > 100
    assert (white["digits"], white["boxes"], white["picture"]) == ("", [], None)


def test_a_picture_is_read_from_standard_input(
    predict_image: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(kinds()["photo.jpg"]))
    monkeypatch.setattr(sys, "stdin", stream)
    status, out, _ = predict_image("-")
    assert status == 0
    assert out.startswith("-: 7\n")
    assert "stdin-read.png" in out


def test_pictures_of_one_name_are_annotated_apart(
    predict_image: Run,
    tmp_path: Path,
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        draw([[4]]).save(tmp_path / folder / "4.png")
    status, out, _ = predict_image("a/4.png", "b/4.png")
    assert status == 0
    assert len({line for line in out.splitlines() if "wrote" in line}) == 2


def test_an_unsure_answer_is_marked_with_the_runner_up() -> None:
    probabilities = np.full(10, 0.02, np.float32)
    probabilities[[7, 1]] = 0.45, 0.39
    unsure = pictures.Reading(
        (1, 2, 9, 12), np.zeros((28, 28), np.float32), probabilities
    )
    assert pictures.with_probability(unsure) == "7?: 0.4500 (or 1: 0.3900)"
    figure = plots.reading(Image.new("L", (40, 30)), [unsure], 0.5, "7")
    texts = [
        text.get_text() for axes in figure.findobj(plots.Axes) for text in axes.texts
    ]
    assert texts == ["7? 0.45"]


@pytest.mark.filterwarnings("error")
def test_a_page_of_many_digits_with_an_odd_name_is_drawn(tmp_path: Path) -> None:
    answers = np.full(10, 0.1, np.float32)
    digit = pictures.Reading((1, 2, 9, 12), np.zeros((28, 28), np.float32), answers)
    page = Image.new("L", (40, 30))
    figure = plots.reading(page, [digit] * 150, 0.6, f"$_$ 手書き.png: {'0' * 150}")
    plots.save(figure, tmp_path / "page.png")
    drawn = [axes for axes in figure.findobj(plots.Axes) if axes.axison or axes.images]
    assert len(drawn) == 1 + plots.THUMBNAILS
