"""Open pictures of handwriting safely, and read the digits in them with a network."""

import io
import json
import os
import sys
import warnings
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from common import plots
from common.cli import UserError
from handwriting import find_digits

# Not what Pillow opens besides: reading EPS, for one, starts another program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
ACCEPTED = "accepted are JPEG, PNG, WebP, BMP, TIFF, GIF and PPM"
SMALLEST = 5  # pixels of a picture's shorter side
# Probability under which an answer in a picture is marked "?"; label smoothing keeps
# the most certain answers at 0.96.
UNSURE = 0.6


class Classifier(Protocol):
    """What is asked for the digits; predict.Classifier is one."""

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return float32 (n, 10) of float32 (n, 28, 28)."""


class Reading(NamedTuple):
    """A digit that was found and what the network says of it."""

    box: find_digits.Box  # left, top, right, bottom in pixels of the picture
    image: np.ndarray  # float32 (28, 28), what the network saw
    probabilities: np.ndarray  # float32 (10,)

    @property
    def digit(self) -> int:
        """The most probable digit."""
        return int(self.probabilities.argmax())

    @property
    def probability(self) -> float:
        """Of that digit."""
        return float(self.probabilities.max())

    @property
    def runner_up(self) -> int:
        """The second most probable digit."""
        return int(self.probabilities.argsort()[-2])


def read(image: Image.Image, network: Classifier) -> list[list[Reading]]:
    """Return what is written in a picture, by line of text."""
    lines = find_digits.find_lines(image)
    images = [digit for line in lines for _, digit in line]
    if not images:
        return []
    answers = iter(network.probabilities(np.stack(images)))
    return [[Reading(*digit, next(answers)) for digit in line] for line in lines]


def open_picture(file: str) -> Image.Image:
    """Return the picture in a file, or on standard input if `file` is "-".

    Args:
        file: JPEG, PNG, WebP, BMP, TIFF, GIF (the first frame is taken) or PPM, of any
            mode.

    Returns:
        The picture upright, as mode L or RGB; what was transparent is white.

    Raises:
        UserError: it cannot be read, it has too many pixels or too few, or all of them
            have one colour that is not white.
    """
    try:
        # From memory, so that errors of the disk are not taken for damaged pictures.
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {os.strerror(error.errno)}") from error
    try:
        picture = _decoded(data)
    except UnidentifiedImageError as error:
        found = f"{len(data):,} bytes that are" if data else "an empty file,"
        raise UserError(f"{file}: {found} no picture; {ACCEPTED}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS / 1e6:.0f} million"
        raise UserError(f"{file}: over {limit} pixels; make it smaller") from error
    except Exception as error:  # whatever damaged bytes lead a decoder of Pillow to
        raise UserError(f"{file}: damaged picture: {error}; save it again") from error
    if min(picture.size) < SMALLEST:
        size = "{} x {}".format(*picture.size)
        raise UserError(f"{file}: {size} pixels; at least {SMALLEST} x {SMALLEST}")
    colours = np.ravel(picture.getextrema()).reshape(-1, 2)
    # White is a blank page; anything else went wrong when it was taken or saved.
    if (colours[:, 0] == colours[:, 1]).all() and colours.min() < 255:
        raise UserError(f"{file}: all pixels have one colour; take or save it again")
    return picture


def _decoded(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            picture.load()
            picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):  # 16 bits or more: white is the lightest
        values = np.clip(np.nan_to_num(np.asarray(picture, np.float32)), 0, None)
        values *= 255 / max(values.max(), 1)
        return Image.fromarray(values.round().astype(np.uint8))
    if picture.has_transparency_data:
        return _on_paper(picture.convert("RGBA"))
    if picture.mode == "LAB":  # which Pillow converts to nothing else
        return picture.getchannel("L")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _on_paper(picture: Image.Image) -> Image.Image:
    """Return a picture over white, or over black if all that is drawn is light."""
    pixels = np.asarray(picture)
    drawn = pixels[pixels[..., 3] > 127, :3]
    light = len(drawn) < pixels[..., 3].size / 2 and drawn.size and drawn.min() > 160
    paper = Image.new("RGBA", picture.size, "black" if light else "white")
    return Image.alpha_composite(paper, picture).convert("RGB")


def heading(file: str, lines: list[list[Reading]]) -> str:
    """Return what was read in a file."""
    text = "|".join("".join(str(one.digit) for one in line) for line in lines)
    return f"{file}: {text or 'no digit found'}"


def with_probability(one: Reading) -> str:
    """Return an answer with its probability, and what else it may be if unsure."""
    if one.probability >= UNSURE:
        return f"{one.digit}: {one.probability:.4f}"
    other = one.runner_up
    return (
        f"{one.digit}?: {one.probability:.4f} (or {other}: "
        f"{one.probabilities[other]:.4f})"
    )


def reading_as_json(file: str, lines: list[list[Reading]], written: str | None) -> str:
    """Return a picture's digits as one line of JSON."""
    found = [one for line in lines for one in line]
    return json.dumps(
        {
            "file": file,
            "digits": "".join(str(one.digit) for one in found),
            "lines": ["".join(str(one.digit) for one in line) for line in lines],
            "probabilities": [round(one.probability, 4) for one in found],
            "boxes": [one.box for one in found],
            "picture": written,
        }
    )


def read_files(
    files: list[str], network: Classifier, save_dir: Path, as_json: bool
) -> bool:
    """Read pictures, print the digits and write them with boxes to `save_dir`.

    Returns:
        Whether all could be read; what could not is told on stderr.
    """
    names: list[str] = []
    failed = False
    for file in files:
        # As it can be printed: a name need not be UTF-8.
        shown = os.fsencode(file).decode("utf-8", "replace")
        try:
            image = open_picture(file)
        except UserError as error:
            print(f"predict.py: {error}", file=sys.stderr)
            failed = True
            continue
        lines = read(image, network)
        written = None
        if lines:
            stem = "stdin" if file == "-" else Path(shown).stem
            names.append(stem)
            again = f"-{names.count(stem)}" if names.count(stem) > 1 else ""
            found = [one for line in lines for one in line]
            title = heading(Path(shown).name, lines)
            figure = plots.reading(image, found, UNSURE, title)
            written = plots.save(figure, save_dir / f"{stem}-read{again}.png")
        if as_json:
            print(reading_as_json(shown, lines, written), flush=True)
            continue
        print(heading(shown, lines))
        for line in lines:
            print("  ".join(map(with_probability, line)))
        if written:
            print(f"wrote {written}", flush=True)
    return not failed
