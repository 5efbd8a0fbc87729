"""Read generated sheets of MNIST test digits, whose right answers are known.

    python benchmarks/sheets.py --data_dir data

prints a table by difficulty, and the time that reading a 12-megapixel photo takes. Both
are written to benchmarks/results/sheets.md. It takes some minutes on two cores.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pen
from PIL import Image
from runner import RESULTS, ROOT
from scipy import ndimage

import input_data
import predict
from common import cli
from handwriting import pictures, reading

SEED = 1  # of the random sheets
SHEETS = 40  # of each difficulty
PHOTO = (4000, 3000)  # pixels, across and down
REPEATS = 5  # timed readings of the photo
# Name in the table, and the words that `sheet` knows.
LEVELS = {
    "plain: black on white, 40 to 120 px": "",
    "photo: uneven light, shadow, noise, blur": "photo",
    "paper: ruled or squared, blue or black ink": "paper ink",
    "size: 15 to 30 or 150 to 300 px": "size",
    "all of it, either polarity": "photo paper ink size polarity",
    "pressure: pale starts and ends, dark crossings": "pressure",
    "pencil: thin, grey and grainy": "pencil photo",
    "European 1 and 7": "european",
    "strip: cropped to 1 to 1.5 times its digits": "strip",
    "frame: digits touch the picture's frame": "frame",
    "texture: coarse or coloured paper": "texture ink",
    "lines: digits on dark ruled or squared paper": "lines ink",
    "pairs: digits that touch": "pairs",
}
TOUCHING = 0.3  # share of the digits that touch the next one, where some do
MARGINS = (0, 0.25)  # heights of a strip's digits, around it


class Sheet(NamedTuple):
    """A generated picture, and the digits on it."""

    image: Image.Image
    lines: list[str]  # digits by line of text
    centres: list[tuple[float, float]]  # of the digits in pixels, x and y


def digit_height(rng: np.random.Generator, level: str) -> int:
    """Return the height of a sheet's digits in pixels."""
    if "size" not in level:
        return int(rng.integers(40, 121))
    return int(rng.integers(15, 31) if rng.random() < 0.5 else rng.integers(150, 301))


def stamp(digit: np.ndarray, height: int) -> np.ndarray:
    """Return a 28x28 digit, cropped to its ink, its longer side `height` pixels."""
    rows, columns = np.nonzero(digit.max(axis=1))[0], np.nonzero(digit.max(axis=0))[0]
    cropped = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = height / max(cropped.shape)
    size = tuple(max(1, round(side * scale)) for side in cropped.shape[::-1])
    large = np.asarray(Image.fromarray(np.pad(cropped, 1)).resize(size, Image.BICUBIC))
    sharpness = max(1, scale / 2)  # a pen's edge does not get softer with its size
    return np.clip(0.5 + (large - 0.5) * sharpness, 0, 1)


def written_digit(
    rng: np.random.Generator, digit: np.ndarray, label: int, height: int, level: str
) -> np.ndarray:
    """Return a 28x28 digit, `height` pixels high, in the handwriting of a level."""
    if "european" in level and label in (1, 7):
        strokes = pen.european(rng, label, height)
        return pen.draw(rng, strokes, pen.even_pen(rng))
    one = stamp(digit, height)
    if "pressure" in level:
        return pen.draw(rng, pen.skeleton(one > 0.5), pen.uneven_pen(rng))
    if "pencil" in level:
        return pen.draw(rng, pen.skeleton(one > 0.5), pen.pencil(rng))
    return one


def gap_after(
    rng: np.random.Generator, level: str, height: int, last: np.ndarray
) -> float:
    """Return the gap from a digit to the next in pixels; below 0, they touch."""
    gap = height * rng.uniform(0.15, 0.5)
    if "pairs" in level and rng.random() < TOUCHING:
        return -min(0.06 * height, last.shape[1] / 4)
    return gap


def write(
    rng: np.random.Generator,
    digits: np.ndarray,
    labels: np.ndarray,
    height: int,
    level: str,
) -> tuple[np.ndarray, list[str], list[tuple[float, float]]]:
    """Return a sheet's ink, its lines of digits, and the centres of the digits.

    The ink is float32 of shape (h, w), values in [0, 1]. A centre is (x, y) in pixels.
    """
    lines = 1 if "strip" in level else int(rng.integers(1, 5))
    across = int(rng.integers(1, min(10, 2600 // height) + 1))
    pitch = int(1.6 * height)
    ink = np.zeros(
        (pitch * lines + height, (across + 1) * int(1.45 * height)), np.float32
    )
    written, centres = [], []
    for line in range(lines):
        x = height * rng.uniform(0.3, 0.8)
        text = ""
        for _ in range(int(rng.integers(max(1, across - 3), across + 1))):
            chosen = rng.integers(len(digits))
            size = round(height * rng.uniform(0.85, 1.05))
            one = written_digit(rng, digits[chosen], labels[chosen], size, level)
            bottom = (
                height // 2 + line * pitch + height + height * rng.uniform(-0.06, 0.06)
            )
            top, left = int(bottom) - one.shape[0], int(x)
            place = ink[top : top + one.shape[0], left : left + one.shape[1]]
            np.maximum(place, one[:, : place.shape[1]], out=place)
            centres.append((left + one.shape[1] / 2, top + one.shape[0] / 2))
            x += one.shape[1] + gap_after(rng, level, height, one)
            text += str(labels[chosen])
        written.append(text)
    return ink, written, centres


def rules(
    rng: np.random.Generator, shape: tuple[int, int], height: int, level: str
) -> np.ndarray:
    """Return how dark the printed lines of a page are: float32 (h, w) in [0, 1].

    One of them is the line that the digits stand on, or goes through the digits.
    """
    printed = np.zeros(shape, np.float32)
    thick = max(1, height // 40)
    through = "lines" in level
    darkness = rng.uniform(0.3, 0.6) if through else rng.uniform(0.15, 0.4)
    squared = rng.random() < 0.5
    pitch = int(1.6 * height) if not squared else max(8, int(0.6 * height))
    first = (3 * height) // 2 - (int(rng.uniform(0, 0.8) * height) if through else 0)
    for offset in range(thick):
        printed[first % pitch + offset :: pitch] = darkness
        if squared:
            printed[:, offset::pitch] = darkness
    return printed


def light(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return the light on a page, a gradient and a shadow: float32 (h, w)."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    y, x = y / shape[0] - 0.5, x / shape[1] - 0.5
    angle, edge = rng.uniform(0, 2 * np.pi, 2)
    ramp = 1 - rng.uniform(0, 0.5) * (
        0.5 + 0.7 * (x * np.cos(angle) + y * np.sin(angle))
    )
    side = x * np.cos(edge) + y * np.sin(edge) + rng.uniform(-0.3, 0.3)
    shadow = 1 - rng.uniform(0, 0.5) / (1 + np.exp(-side * rng.uniform(10, 80)))
    return ramp * shadow


def texture(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return coarse or coloured paper, its lightness by channel: float (h, w, 3)."""
    colour = rng.uniform(0.55, 1, 3)
    blotches = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(1, 4))
    fibres = ndimage.gaussian_filter(rng.normal(size=shape), (0.7, rng.uniform(2, 8)))
    grain = sum(noise / noise.std() for noise in (blotches, fibres))
    return colour + rng.uniform(0.005, 0.03) * grain[..., None]


def cropped(rng: np.random.Generator, made: Sheet, level: str, height: int) -> Sheet:
    """Return a sheet cropped to its digits, with a margin on each side or on some.

    No digit is cut. Without a margin, it touches the frame.
    """
    ink = np.asarray(made.image.convert("L")) < 128
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    if "strip" in level:
        margin = int(rng.uniform(*MARGINS) * (box[3] - box[1]))
        box += margin * np.array([-1, -1, 1, 1])
    else:
        margins = rng.integers(0, height, 4) * (rng.random(4) < 0.5)
        box += margins * np.array([-1, -1, 1, 1])
    box = np.array([*np.maximum(box[:2], 0), *np.minimum(box[2:], ink.shape[::-1])])
    centres = [(x - box[0], y - box[1]) for x, y in made.centres]
    return Sheet(made.image.crop(tuple(map(int, box))), made.lines, centres)


def sheet(
    rng: np.random.Generator, digits: np.ndarray, labels: np.ndarray, level: str
) -> Sheet:
    """Return a generated sheet.

    Args:
        rng: source of all that is random on the sheet.
        digits: float32 array of shape (n, 28, 28), values in [0, 1], ink is 1.
        labels: int array of shape (n,).
        level: words of LEVELS that say what makes the sheet difficult.
    """
    height = digit_height(rng, level)
    ink, lines, centres = write(rng, digits, labels, height, level)
    angle = rng.uniform(-5, 5)
    if "strip" in level:
        angle /= 5  # people turn a picture before they crop it to a line
    colour = np.float32(rng.uniform(0, 0.25, 3))
    if "ink" in level and rng.random() < 0.5:
        colour = np.float32([0.1, 0.2, 0.7])  # blue
    page = np.ones((*ink.shape, 3), np.float32)
    if "paper" in level or "lines" in level:
        tint = np.float32([1, 0.7, 0.5] if rng.random() < 0.5 else [1, 1, 1])
        page -= rules(rng, ink.shape, height, level)[..., None] * tint
    page = page * (1 - ink[..., None]) + colour * ink[..., None]
    before = np.array(page.shape[1::-1]) / 2
    page = ndimage.rotate(page, angle, order=1, cval=1)
    after = np.array(page.shape[1::-1]) / 2
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    turn = np.array([[cosine, sine], [-sine, cosine]])  # of (x, y), y downwards
    centres = [tuple(turn @ (centre - before) + after) for centre in centres]
    if "polarity" in level and rng.random() < 0.5:
        page = 1 - page * 0.9
    if "photo" in level:
        page *= light(rng, page.shape[:2])[..., None]
        blur = rng.uniform(0, height / 40)
        page = ndimage.gaussian_filter(page, (blur, blur, 0))
        page += rng.normal(0, rng.uniform(0.005, 0.04), page.shape)
    if "texture" in level:
        page *= texture(rng, page.shape[:2])
        page += rng.normal(0, 0.01, page.shape)
    pixels = (np.clip(page, 0, 1) * 255).round().astype(np.uint8)
    made = Sheet(Image.fromarray(pixels), lines, centres)
    if "strip" in level or "frame" in level:
        return cropped(rng, made, level, height)
    return made


def found_and_right(made: Sheet, lines: reading.Lines) -> tuple[int, int]:
    """Return how many digits have a box of their own, and how many are read right."""
    read = [one for line in lines for one in line]
    boxes = np.array([one.box for one in read]).reshape(-1, 4)
    centres = np.array(made.centres)
    inside = (centres[:, None] > boxes[:, :2]) & (centres[:, None] < boxes[:, 2:])
    inside = inside.all(axis=2)  # (digits, boxes)
    inside &= inside.sum(axis=0) == 1  # a box around two digits counts for neither
    texts = "".join(made.lines)
    right = sum(
        any(read[box].digit == int(digit) for box in np.flatnonzero(row))
        for digit, row in zip(texts, inside, strict=True)
    )
    return int(inside.any(axis=1).sum()), right


def photo(
    rng: np.random.Generator, digits: np.ndarray, labels: np.ndarray
) -> Image.Image:
    """Return a sheet as a photo of 12 megapixels."""
    made = sheet(rng, digits, labels, "photo paper ink")
    return made.image.resize(PHOTO, Image.BICUBIC)


def seconds_of_photo(network: predict.Classifier, image: Image.Image) -> float:
    """Return the median of the seconds that opening and reading a photo takes."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        image.save(path, quality=90)
        for _ in range(REPEATS):
            start = time.perf_counter()
            reading.read(pictures.open_picture(str(path)), network)
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def read_sheets(
    network: predict.Classifier, digits: np.ndarray, labels: np.ndarray, difficulty: int
) -> np.ndarray:
    """Read the sheets of one difficulty.

    Returns:
        An int array of five counts: sheets, sheets read right; digits, digits read
        right, digits found.
    """
    level = list(LEVELS.values())[difficulty]
    count = np.zeros(5, int)
    for number in range(SHEETS):
        rng = np.random.default_rng([SEED, difficulty, number])
        made = sheet(rng, digits, labels, level)
        lines = reading.read(made.image, network)
        texts = ["".join(str(one.digit) for one in line) for line in lines]
        found, right = found_and_right(made, lines)
        count += 1, texts == made.lines, len(made.centres), right, found
    return count


def network_and_data_dir(doc: str) -> tuple[predict.Classifier, Path]:
    """Return what the command line of a benchmark names, a trained network and MNIST.

    Args:
        doc: what the benchmark does.

    Raises:
        cli.UserError: the run is not finished.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    parser.add_argument("--save_dir", type=Path, default=ROOT / "save_model")
    args = parser.parse_args()
    network = predict.restore(args.save_dir)
    if not network.run.finished:
        raise cli.UserError(
            f"{args.save_dir} holds an unfinished run; finish it with train.py --resume"
        )
    return network, args.data_dir


def main() -> None:
    """Read the sheets and a photo; print the table and write it."""
    network, data_dir = network_and_data_dir(__doc__)
    _, test = input_data.load_test("mnist", data_dir)
    digits, labels = test.images.reshape(-1, 28, 28), test.labels
    table = [
        "| sheets | whole sheets right | digits right | digits found |",
        "|---|---|---|---|",
    ]
    total = np.zeros(5, int)
    for difficulty, name in enumerate(LEVELS):
        count = read_sheets(network, digits, labels, difficulty)
        table.append(row(name, count))
        print(table[-1], flush=True)
        total += count
    table.append(row("all", total))
    print(table[-1])
    image = photo(np.random.default_rng(SEED), digits, labels)
    seconds = seconds_of_photo(network, image)
    table += ["", f"A photo of 12 megapixels is opened and read in {seconds:.1f} s."]
    print(table[-1])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sheets.md").write_text("\n".join(table) + "\n")


def row(name: str, count: np.ndarray) -> str:
    """Return a row of the table, from the counts of `read_sheets`."""
    sheets, whole, digits, right, found = map(int, count)
    return (
        f"| {name} | {whole}/{sheets} ({whole / sheets:.0%}) "
        f"| {right}/{digits} ({right / digits:.1%}) "
        f"| {found}/{digits} ({found / digits:.1%}) |"
    )


if __name__ == "__main__":
    cli.run(main, input_data.DataError)
