"""Open picture files safely, as upright images of mode L or RGB."""

import io
import os
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from common.cli import UserError

# Pillow opens more formats. They are left out, because reading EPS, for one, starts
# another program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
ACCEPTED = "JPEG, PNG, WebP, BMP, TIFF, GIF and PPM are accepted"
MIN_SIDE = 5  # pixels of a picture's shorter side
# Of a picture with transparency; levels are from 0 to 255.
OPAQUE = 127  # a pixel counts as drawn if its opacity is higher
LIGHT = 160  # what is drawn counts as light if all its levels are higher


def open_picture(file: str) -> Image.Image:
    """Return the picture in a file, or on standard input if `file` is "-".

    Args:
        file: JPEG, PNG, WebP, BMP, TIFF, GIF (only its first frame is used) or PPM, of
            any mode.

    Returns:
        The picture turned upright, of mode L or RGB. What was transparent is white, or
        black behind a light drawing.

    Raises:
        UserError: the file cannot be read, or the picture has too many or too few
            pixels, or all pixels have one colour other than white.
    """
    try:
        # Read first, decoded later: a disk error is not reported as a damaged picture.
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {os.strerror(error.errno)}") from error
    return from_bytes(data, file)


def from_bytes(data: bytes, file: str) -> Image.Image:
    """Return the picture in a file's bytes, as `open_picture` does.

    Args:
        data: content of the file.
        file: its name, for the text of errors.
    """
    try:
        picture = _decoded(data)
    except UnidentifiedImageError as error:
        found = f"not a picture ({len(data):,} bytes)" if data else "an empty file"
        raise UserError(f"{file}: {found}; {ACCEPTED}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS / 1e6:.0f} million"
        raise UserError(f"{file}: over {limit} pixels; scale it down") from error
    except Exception as error:  # damaged bytes make Pillow's decoders raise anything
        raise UserError(f"{file}: damaged picture: {error}; save it again") from error
    if min(picture.size) < MIN_SIDE:
        width, height = picture.size
        raise UserError(
            f"{file}: {width} x {height} pixels; at least {MIN_SIDE} x {MIN_SIDE} are "
            "needed; use a larger picture"
        )
    if _has_one_colour_but_white(picture):
        raise UserError(f"{file}: all pixels have one colour; take or save it again")
    return picture


def _has_one_colour_but_white(picture: Image.Image) -> bool:
    """Return whether all pixels have one colour, unless it is white: a blank page."""
    extremes = np.ravel(picture.getextrema()).reshape(-1, 2)  # channels x (low, high)
    low, high = extremes.T
    return bool((low == high).all() and low.min() < 255)


def _decoded(data: bytes) -> Image.Image:
    """Return the picture in a file's bytes, upright, of mode L or RGB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata does no harm
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            picture.load()
            picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):
        return _with_8_bits(picture)
    if picture.has_transparency_data:
        return _on_paper(picture.convert("RGBA"))
    if picture.mode == "LAB":  # Pillow cannot convert it
        return picture.getchannel("L")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def _with_8_bits(picture: Image.Image) -> Image.Image:
    """Return a picture of 16 or more bits in mode L; its highest level is white."""
    levels = np.clip(np.nan_to_num(np.asarray(picture, np.float32)), 0, None)
    levels *= 255 / max(levels.max(), 1)
    return Image.fromarray(levels.round().astype(np.uint8))


def _on_paper(picture: Image.Image) -> Image.Image:
    """Return a transparent picture on white, or on black if the drawing is light."""
    pixels = np.asarray(picture)
    opacity = pixels[..., 3]
    drawn = pixels[opacity > OPAQUE, :3]
    # A drawing covers less than half of the picture. Anything more is paper.
    is_light = 0 < len(drawn) < opacity.size / 2 and drawn.min() > LIGHT
    paper = Image.new("RGBA", picture.size, "black" if is_light else "white")
    return Image.alpha_composite(paper, picture).convert("RGB")
