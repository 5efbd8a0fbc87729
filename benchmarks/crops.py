"""Read pictures that are cropped tightly around MNIST test digits.

    python benchmarks/crops.py --data_dir data

prints how many strips of digits, single digits and files of 28x28 pixels are read
right, and the time that small pictures take with their figures. The table is also
written to benchmarks/results/crops.md. It takes some minutes on two cores.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import sheets
from PIL import Image
from runner import RESULTS

import input_data
import predict
from common import cli
from handwriting import pictures, printing, reading

STRIPS = 30  # of each height
STRIP_DIGITS = 8
OF_EACH = 25  # digits from 0 to 9, cropped one by one
FILES = 200  # of 28x28 pixels
BLACK = 200  # of 255, the least ink that is black in a file without grey
ENLARGED = 5  # times, the pictures that are timed

Made = list[tuple[Image.Image, str]]  # pictures, and the digits in them


def as_picture(ink: np.ndarray) -> Image.Image:
    """Return ink, float (h, w), as black on white."""
    return Image.fromarray((255 * (1 - np.clip(ink, 0, 1))).round().astype(np.uint8))


def strip(
    rng: np.random.Generator, digits: np.ndarray, labels: np.ndarray, times: float
) -> tuple[Image.Image, str]:
    """Return digits side by side in a picture `times` as high as all of them."""
    height = int(rng.integers(30, 121))
    chosen = rng.integers(len(digits), size=STRIP_DIGITS)
    ink = np.zeros((2 * height, 2 * STRIP_DIGITS * height), np.float32)
    x = 0
    for one in chosen:
        stamp = sheets.stamp(digits[one], round(height * rng.uniform(0.9, 1.05)))
        y = rng.integers(0, max(1, int(0.08 * height)))
        ink[y : y + stamp.shape[0], x : x + stamp.shape[1]] = stamp
        x += stamp.shape[1] + int(height * rng.uniform(0.15, 0.5))
    ink = cropped(ink, 0.3)
    picture = as_picture(np.pad(ink, round((times - 1) / 2 * len(ink))))
    return picture, "".join(map(str, labels[chosen]))


def cropped(ink: np.ndarray, least: float) -> np.ndarray:
    """Return a picture cropped to the ink of at least that strength."""
    rows, columns = np.nonzero(ink > least)
    return ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def single(digit: np.ndarray, margin: float) -> np.ndarray:
    """Return a digit with a margin, a share of its longer side, around its ink."""
    ink = cropped(digit, 0.1)
    return np.pad(ink, round(margin * max(ink.shape)))


def kinds(digits: np.ndarray, labels: np.ndarray) -> dict[str, Made]:
    """Return the pictures of each kind."""
    made: dict[str, Made] = {}
    for times in (1.0, 1.25, 1.5):
        generators = [
            np.random.default_rng([sheets.SEED, int(100 * times), number])
            for number in range(STRIPS)
        ]
        made[f"strip of {STRIP_DIGITS} digits, {times} times as high as they are"] = [
            strip(rng, digits, labels, times) for rng in generators
        ]
    chosen = np.concatenate(
        [np.flatnonzero(labels == digit)[:OF_EACH] for digit in range(10)]
    )
    for margin in (0, 0.08):
        made[f"one digit, {margin:.0%} margin"] = [
            (as_picture(single(digits[one], margin)), str(labels[one]))
            for one in chosen
        ]
    pairs = list(zip(digits[:FILES], labels[:FILES], strict=True))
    made["28x28 pixels, grey"] = [(as_picture(one), str(label)) for one, label in pairs]
    made["28x28 pixels, black and white"] = [
        (as_picture(one > BLACK / 255), str(label)) for one, label in pairs
    ]
    return made


def is_right(network: predict.Classifier, picture: Image.Image, text: str) -> bool:
    """Return whether a picture's one line is read right."""
    lines = reading.read(picture, network)
    return ["".join(str(one.digit) for one in line) for line in lines] == [text]


def seconds_with_figures(network: predict.Classifier, made: Made) -> float:
    """Return the seconds in which pictures, enlarged, are read and drawn."""
    with tempfile.TemporaryDirectory() as folder:
        for number, (picture, _) in enumerate(made):
            size = [ENLARGED * side for side in picture.size]
            picture.resize(size, Image.BICUBIC).save(Path(folder, f"{number}.png"))
        start = time.perf_counter()
        for number in range(len(made)):
            file = str(Path(folder, f"{number}.png"))
            picture = pictures.open_picture(file)
            lines = reading.read(picture, network)
            printing.write_figure(file, picture, lines, Path(folder, "figures"))
        return time.perf_counter() - start


def main() -> None:
    """Read the pictures; print the table and write it."""
    network, data_dir = sheets.network_and_data_dir(__doc__)
    _, test = input_data.load_test("mnist", data_dir)
    lines = ["| pictures | read right |", "|---|---|"]
    made = kinds(test.images.reshape(-1, 28, 28), test.labels)
    for kind, some in made.items():
        right = sum(is_right(network, *one) for one in some)
        lines.append(f"| {kind} | {right}/{len(some)} ({right / len(some):.1%}) |")
        print(lines[-1], flush=True)
    some = made["28x28 pixels, grey"]
    seconds = seconds_with_figures(network, some)
    side = ENLARGED * 28
    lines += ["", f"{len(some)} pictures of {side} x {side} pixels are read and drawn "]
    lines[-1] += f"in {seconds:.0f} s."
    print(lines[-1])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "crops.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    cli.run(main, input_data.DataError)
