"""Pages of drawn digits, and a network that knows these digits."""

import functools
import io

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from handwriting import find_digits, reading

# Strokes of digits in a box of 60 x 100 pixels, drawn by hand.
STROKES = {
    0: [[(30, 5), (55, 50), (30, 95), (5, 50), (30, 5)]],
    1: [[(30, 5), (30, 95)]],
    4: [[(40, 5), (5, 60), (55, 60)], [(42, 40), (42, 95)]],
    5: [[(10, 15), (10, 45), (50, 60), (40, 95), (5, 90)], [(10, 5), (52, 5)]],
    7: [[(5, 5), (55, 5), (20, 95)]],
}


def draw(
    lines: list[list[int]],
    ink: int = 0,
    paper: int = 255,
    pen: int = 9,
    pitch: int = 160,
) -> Image.Image:
    """Return a page with lines of drawn digits, of mode L.

    Args:
        lines: the digits.
        ink: grey level, 0 is black.
        paper: grey level.
        pen: width of the strokes in pixels.
        pitch: pixels from line to line.
    """
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


class DrawnDigits:
    """A network that answers with the drawn digit whose image is nearest."""

    def __init__(self) -> None:
        """Remember how each digit looks when it is alone on a page."""
        pages = [draw([[digit]]) for digit in STROKES]
        self.known = np.stack([find_digits.find_digits(page)[0][1] for page in pages])

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return 0.95 for the nearest of the drawn digits."""
        result = np.full((len(images), 10), 0.1 / 9, np.float32)
        for row, image in zip(result, images, strict=True):
            distance = ((self.known - image) ** 2).sum(axis=(1, 2))
            row[list(STROKES)[int(distance.argmin())]] = 0.95
        return result


@functools.cache
def network() -> DrawnDigits:
    """Return the network that knows the drawn digits."""
    return DrawnDigits()


def read(image: Image.Image) -> list[str]:
    """Return the digits on a page, by line."""
    return [
        "".join(str(one.digit) for one in line)
        for line in reading.read(image, network())
    ]


def file_bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return a picture as the bytes of a file of the format `kind`."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def picture_files() -> dict[str, bytes]:
    """Return a drawn 7 in every file format and mode, by file name."""
    grey = draw([[7]])
    rgb = grey.convert("RGB")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: to be shown turned by 90 degrees to the right
    clear = Image.new("RGBA", grey.size, (0, 0, 0, 0))
    clear.putalpha(ImageOps.invert(grey))
    light = Image.new("RGBA", grey.size, (255, 255, 255, 0))
    light.putalpha(ImageOps.invert(grey))
    later = Image.new("RGB", rgb.size, "red")
    return {
        "grey.png": file_bytes(grey, "PNG"),
        "colour.png": file_bytes(rgb, "PNG"),
        "bits.png": file_bytes(grey.convert("1"), "PNG"),
        "palette.png": file_bytes(rgb.convert("P"), "PNG"),
        "transparent.png": file_bytes(clear, "PNG"),
        "light-on-transparent.png": file_bytes(light, "PNG"),
        "16-bit.png": file_bytes(wide, "PNG"),
        "photo.jpg": file_bytes(rgb, "JPEG"),
        "turned.jpg": file_bytes(rgb.rotate(90, expand=True), "JPEG", exif=turned),
        "cmyk.jpg": file_bytes(rgb.convert("CMYK"), "JPEG"),
        "16-bit.tif": file_bytes(wide, "TIFF"),
        "float.tif": file_bytes(Image.fromarray(np.asarray(grey, np.float32)), "TIFF"),
        "page.webp": file_bytes(rgb, "WEBP"),
        "page.bmp": file_bytes(rgb, "BMP"),
        "page.gif": file_bytes(rgb, "GIF"),
        "page.ppm": file_bytes(rgb, "PPM"),
        "frames.gif": file_bytes(rgb, "GIF", save_all=True, append_images=[later]),
    }
