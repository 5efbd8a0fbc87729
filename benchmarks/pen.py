"""MNIST's digits as pen strokes, and strokes drawn with a pen of varying pressure.

A digit is thinned to its skeleton and drawn again. The thinning is that of T. Y. Zhang
and C. Y. Suen, "A Fast Parallel Algorithm for Thinning Digital Patterns", 1984.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

CLOCKWISE = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
ENDS_OVER = 0.25  # digit heights from a stroke's end over which its pressure rises
CROSSING_OVER = 0.06  # digit heights around a crossing in which ink lies twice
VARIES_OVER = 0.15  # digit heights, over which pressure and width vary
# A European 1, with a flag and perhaps a foot, and a 7 with a bar. Points are (x, y) in
# digit heights; the last stroke of the 1 may be left out.
EUROPEAN = {
    1: [[(0.05, 0.4), (0.42, 0), (0.4, 1)], [(0.15, 1), (0.65, 0.98)]],
    7: [[(0, 0.03), (0.6, 0), (0.25, 1)], [(0.1, 0.5), (0.58, 0.46)]],
}
CORNER = 0.15  # digit heights from the corner of the page on which they are drawn
SHAKE = 0.04  # digit heights, standard deviation of a point's place


class Pen(NamedTuple):
    """How a pen writes; widths in digit heights, pressures are ink 0 to 1."""

    widths: tuple[float, float]  # least and greatest
    pressures: tuple[float, float]  # at the palest and at the darkest place
    at_ends: float  # pressure at the ends of a stroke, as a share of the rest
    grain: float  # standard deviation of the paper's grain, as a share of the ink


def even_pen(rng: np.random.Generator) -> Pen:
    """Return a pen that writes evenly."""
    width = rng.uniform(0.06, 0.14)
    return Pen((width, width), pressures=(1, 1), at_ends=1, grain=0)


def uneven_pen(rng: np.random.Generator) -> Pen:
    """Return a ball or felt pen that is pressed unevenly."""
    thin = rng.uniform(0.04, 0.08)
    return Pen(
        widths=(thin, thin * rng.uniform(1, 1.8)),
        pressures=(rng.uniform(0.25, 0.5), 0.9),
        at_ends=rng.uniform(0.4, 0.9),
        grain=0.0,
    )


def pencil(rng: np.random.Generator) -> Pen:
    """Return a pencil: thin, grey and grainy."""
    dark = rng.uniform(0.3, 0.6)
    return Pen(
        widths=(0.03, rng.uniform(0.04, 0.07)),
        pressures=(dark * rng.uniform(0.6, 0.9), dark),
        at_ends=rng.uniform(0.7, 1),
        grain=rng.uniform(0.1, 0.3),
    )


def skeleton(ink: np.ndarray) -> np.ndarray:
    """Return strokes thinned to lines of one pixel; arrays are bool (h, w)."""
    ink = np.pad(ink, 1)
    count = -1
    while count != ink.sum():
        count = ink.sum()
        for first, second in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            around = _neighbours(ink)
            inked = around.sum(axis=0)
            can_go = (inked >= 2) & (inked <= 6) & (_strokes_from(around) == 1)
            keep = around[list(first)].all(axis=0) | around[list(second)].all(axis=0)
            ink = ink & ~(can_go & ~keep)
    return ink[1:-1, 1:-1]


def _neighbours(ink: np.ndarray) -> np.ndarray:
    """Return the eight neighbours of each pixel, from the upper one: bool (8, h, w)."""
    return np.stack([np.roll(ink, shift, (0, 1)) for shift in CLOCKWISE])


def _strokes_from(around: np.ndarray) -> np.ndarray:
    """Return how many strokes leave each pixel: int (h, w)."""
    return (~around & np.roll(around, -1, axis=0)).sum(axis=0)


def european(rng: np.random.Generator, digit: int, height: int) -> np.ndarray:
    """Return the strokes of a European 1 or 7, `height` pixels high: bool (h, w)."""
    strokes = EUROPEAN[digit]
    if digit == 1 and rng.random() < 0.5:
        strokes = strokes[:1]
    page = Image.new("1", (height, int(1.3 * height)))
    for stroke in strokes:
        points = CORNER + np.array(stroke) + rng.normal(0, SHAKE, (len(stroke), 2))
        ImageDraw.Draw(page).line([tuple(point) for point in points * height], 1, 1)
    return np.asarray(page)


def draw(rng: np.random.Generator, strokes: np.ndarray, pen: Pen) -> np.ndarray:
    """Return strokes as a pen draws them, cropped to their ink.

    Args:
        rng: source of all that varies along the strokes.
        strokes: bool array of shape (h, w), lines of one pixel.
        pen: what draws.

    Returns:
        A float array of shape (h, w), values in [0, 1], 1 is black ink.
    """
    rows = np.flatnonzero(strokes.any(axis=1))
    height = rows[-1] - rows[0] + 1
    strokes = np.pad(strokes, int(height * pen.widths[1]) + 2)
    leaving = _strokes_from(_neighbours(strokes)) * strokes
    to_end = (
        ndimage.distance_transform_edt(leaving != 1) if (leaving == 1).any() else 9e9
    )
    rise = np.clip(to_end / (ENDS_OVER * height), pen.at_ends, 1)
    low, high = pen.pressures
    pressure = rise * (low + (high - low) * _varying(rng, strokes.shape, height))
    crossing = ndimage.maximum_filter(leaving >= 3, 2 * int(CROSSING_OVER * height) + 1)
    pressure = np.where(crossing, 1 - (1 - pressure) ** 2, pressure)
    thin, thick = pen.widths
    width = height * (thin + (thick - thin) * _varying(rng, strokes.shape, height))
    away, (y, x) = ndimage.distance_transform_edt(~strokes, return_indices=True)
    ink = pressure[y, x] * np.clip(0.5 + width[y, x] / 2 - away, 0, 1)
    ink = np.clip(ink * (1 + pen.grain * rng.normal(size=ink.shape)), 0, 1)
    rows, columns = np.nonzero(ink.any(axis=1))[0], np.nonzero(ink.any(axis=0))[0]
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _varying(
    rng: np.random.Generator, shape: tuple[int, int], height: int
) -> np.ndarray:
    """Return numbers from 0 to 1 that vary smoothly over a digit: float (h, w)."""
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), VARIES_OVER * height)
    return (smooth - smooth.min()) / np.ptp(smooth)
