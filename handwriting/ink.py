"""Find the ink of a picture: what stands out from its paper, as connected parts.

Where the steps are from:

- paper: a grey closing, so that ink is what a black top-hat leaves (F. Meyer,
  "Contrast feature extraction", 1978); light ink is dark ink of the negative.
- threshold: 5 times the noise, then half way to each connected part's darkest point.
- printed lines: straight runs over a third of the picture, at up to 6 degrees; where a
  stroke crosses one, the ink is higher than the line is thick and stays.
- stroke or not: thickness along the ridge of the distance transform, after B. Epshtein
  et al., "Detecting Text in Natural Scenes with Stroke Width Transform", 2010.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

CONTRAST = 0.08  # of ink against paper at least; black on white is 1


class Part(NamedTuple):
    """Connected ink."""

    label: int
    top: int
    left: int
    bottom: int
    right: int
    area: int
    stroke: float  # median width, pixels
    thickest: float
    contrast: float
    paper: float  # how light it is behind
    surrounded: float  # share of the rim that is paper
    holes: int  # but for tiny ones
    at_frame: bool  # whether it lies along the picture's frame, and is small

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def size(self) -> int:
        """The longer side in pixels."""
        return max(self.height, self.width)


class Ink(NamedTuple):
    """What may be ink, under one polarity."""

    strength: np.ndarray  # float32 (h, w), contrast against the paper
    labels: np.ndarray  # int32 (h, w), 0 is paper
    parts: list[Part]


def bounds(group: Sequence[Part]) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right in pixels, the last two open."""
    return (
        min(part.top for part in group),
        min(part.left for part in group),
        max(part.bottom for part in group),
        max(part.right for part in group),
    )


def grey_levels(image: Image.Image) -> np.ndarray:
    """Return a picture as float32 of shape (h, w), values in [0, 1].

    Of a coloured one it is the channel in which fine detail stands out most, if it does
    so clearly more than in the lightness.
    """
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    pixels = np.asarray(image, np.float32) / 255
    if pixels.ndim == 3:
        planes = [
            pixels @ np.float32([0.299, 0.587, 0.114]),
            *np.moveaxis(pixels, 2, 0),
        ]
        step = max(1, max(image.size) // 500)
        spreads = []
        for plane in planes:
            small = plane[::step, ::step]
            detail = small - ndimage.uniform_filter(small, 25)
            spreads.append(np.subtract(*np.percentile(detail, (99.5, 0.5))))
        best = int(np.argmax(spreads))
        pixels = planes[best if spreads[best] > 1.5 * spreads[0] else 0]
    return pixels


def _paper(grey: np.ndarray, size: int) -> np.ndarray:
    """Return the paper behind dark ink: a grey closing, everything outside being dark.

    So valleys narrower than `size` pixels are filled, and what is dark from the frame
    inwards (a desk, a hand, a vignette) stays.
    """
    padded = np.pad(ndimage.gaussian_filter(grey, 0.7), size)
    filled = ndimage.maximum_filter(padded, size, mode="nearest")
    filled = ndimage.minimum_filter(
        filled, size, mode="nearest", origin=-(1 - size % 2)
    )
    return filled[size:-size, size:-size]


def share_of_light_paper(grey: np.ndarray, size: int) -> float:
    """Return the share of light pixels around ink, most of which are paper.

    Args:
        grey: float32 array of shape (h, w), values in [0, 1].
        size: of what may be ink, pixels.
    """
    above, below = _paper(grey, size), 1 - _paper(1 - grey, size)
    inked = above - below > CONTRAST
    around = ndimage.maximum_filter(inked.view(np.uint8), size // 2) > 0
    middle = ndimage.maximum_filter(grey, size) + ndimage.minimum_filter(grey, size)
    return float(np.mean(grey[around] > middle[around] / 2)) if around.any() else 1.0


def find_ink(grey: np.ndarray, size: int, dark: bool, ruled: bool) -> Ink:
    """Return the ink of a picture and its parts.

    Args:
        grey: float32 array of shape (h, w), values in [0, 1].
        size: pixels; what is wider is no ink.
        dark: whether ink is darker than paper, or else lighter.
        ruled: whether to look for printed lines, and take them away.
    """
    picture = grey if dark else 1 - grey
    paper = _paper(picture, size | 1)
    sharp = paper - picture
    if dark:
        sharp /= np.sqrt(np.maximum(paper, 0.1))
    strength = ndimage.gaussian_filter(sharp, 0.7)
    low, middle = np.percentile(strength[::3, ::3], (10, 50))
    threshold = max(CONTRAST, middle + 5 * (middle - low))
    if ruled:
        rules = _rules(strength > threshold)
        strength[rules] = sharp[rules] = 0
    labels, count = ndimage.label(strength > threshold, np.ones((3, 3)))
    if not count:
        return Ink(sharp, labels, [])
    peaks = np.zeros(count + 1, np.float32)
    np.maximum.at(peaks, labels[labels > 0], strength[labels > 0])
    peaks[0] = np.inf
    labels, count = ndimage.label(strength > 0.45 * peaks[labels], np.ones((3, 3)))
    parts = _parts(picture, paper, strength, labels, count)
    if (cut := _cut_pairs(labels, parts, count)) > count:
        parts = _parts(picture, paper, strength, labels, cut)
    return Ink(sharp, labels, parts)


def _rules(ink: np.ndarray) -> np.ndarray:
    """Return where printed lines are that are no strokes: bool (h, w)."""
    return _horizontal_rules(ink) | _horizontal_rules(ink.T).T


def _horizontal_rules(ink: np.ndarray) -> np.ndarray:
    """Return where lines are that go across, at up to 6 degrees.

    A line is ink that is straight over a third of the width. There must be three, or
    one over most of the width: the bar of a 7 may be long too.
    """
    step = max(1, round(max(ink.shape) / 500))
    rows, columns = (side // step for side in ink.shape)
    small = ink[: rows * step, : columns * step]
    small = small.reshape(rows, step, columns, step).any(axis=(1, 3))
    thin = max(5, round(0.02 * max(small.shape)))
    flat = small & ~ndimage.binary_opening(small, np.ones((thin, 1)))
    # What crosses a line leaves a gap in it.
    flat = ndimage.binary_closing(flat, np.ones((1, 2 * thin + 1)))
    long = max(3, columns // 3)
    found = np.zeros_like(small)
    across = np.arange(columns)
    for slope in np.arange(-0.1, 0.1001, 1.5 / long):
        shift = np.round(slope * (across - columns / 2)).astype(int)
        index = np.arange(rows)[:, None] + shift
        outside = (index < 0) | (index >= rows)
        index = np.clip(index, 0, rows - 1)
        sheared = flat[index, across] & ~outside
        # Digits in a row have more gaps than a line has.
        straight = (_share(sheared, long) > 0.85) & (
            _share(small[index, across], long) > 0.7
        )
        runs = ndimage.maximum_filter1d(straight, long, axis=1) & sheared
        found[index[runs], np.broadcast_to(across, index.shape)[runs]] = True
    labels, count = ndimage.label(found, np.ones((3, 3)))
    widths = [box[1].stop - box[1].start for box in ndimage.find_objects(labels)]
    if not count or (count < 3 and max(widths) < 0.85 * columns):
        return np.zeros_like(ink)
    zone = ndimage.binary_dilation(found, np.ones((3, 1)))
    zone = np.kron(zone, np.ones((step, step), bool))
    lines = np.zeros_like(ink)
    lines[: zone.shape[0], : zone.shape[1]] = zone
    lines &= ink
    ends = np.diff(lines.astype(np.int8), axis=0, prepend=0) == 1
    thick = int(np.ceil(lines.sum() / max(1, ends.sum()) * 1.3)) + 1
    crossing = ndimage.binary_opening(ink, np.ones((thick + 1, 1)))
    return ndimage.binary_dilation(lines & ~crossing, np.ones((3, 1))) & ~crossing


def _share(ink: np.ndarray, long: int) -> np.ndarray:
    """Return the share of ink in the `long` pixels around each one along its row."""
    return ndimage.uniform_filter1d(ink.astype(np.float32), long, axis=1)


def _cut_pairs(labels: np.ndarray, parts: Sequence[Part], count: int) -> int:
    """Cut two digits that touch apart, in `labels`; return how many labels there are.

    They are wider than a digit, and somewhere in the middle a single stroke joins a
    left and a right half that are about as high as the whole.
    """
    for part in parts:
        if not 1.3 * part.height < part.width < 2.6 * part.height or part.height < 16:
            continue
        window = labels[part.top : part.bottom, part.left : part.right]
        mask = window == part.label
        across = mask.sum(axis=0)
        first = 3 * part.width // 10
        cut = first + int(np.argmin(across[first : part.width - first]))
        rows = np.flatnonzero(ndimage.binary_fill_holes(mask)[:, cut])
        halves = mask[:, :cut].any(axis=1).sum(), mask[:, cut + 1 :].any(axis=1).sum()
        if (
            len(rows)
            and np.ptp(rows) < 2 * part.stroke
            and (min(halves) > 0.75 * part.height)
        ):
            count += 1
            window[:, cut][mask[:, cut]] = 0
            window[:, cut + 1 :][mask[:, cut + 1 :]] = count
    return count


def _parts(
    picture: np.ndarray,
    paper: np.ndarray,
    strength: np.ndarray,
    labels: np.ndarray,
    count: int,
) -> list[Part]:
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    parts = []
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        size = max(rows.stop - rows.start, columns.stop - columns.start)
        if size < 3 or areas[label] < 6:
            continue
        margin = 4 + size // 10
        box = np.s_[
            max(0, rows.start - margin) : rows.stop + margin,
            max(0, columns.start - margin) : columns.stop + margin,
        ]
        mask = labels[box] == label
        inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        ridge = inside[(inside == ndimage.maximum_filter(inside, 3)) & mask]
        outside = ndimage.distance_transform_edt(~mask)
        gap = 1.5 + 0.3 * float(np.median(ridge))
        rim = (outside > gap) & (outside < gap + 2)
        light = float(paper[box][mask].mean())
        middle = (light + float(picture[box][mask].mean())) / 2
        parts.append(
            Part(
                label,
                rows.start,
                columns.start,
                rows.stop,
                columns.stop,
                int(areas[label]),
                2 * float(np.median(ridge)) - 0.5,
                2 * float(inside.max()) - 0.5,
                float(np.median(strength[box][mask])),
                light,
                float(np.mean(picture[box][rim] > middle)) if rim.any() else 0,
                _holes(mask, 0.003 * size**2),
                size < 0.6 * min(labels.shape)
                and _contact(labels, label, rows, columns) > 0.5 * size,
            )
        )
    return parts


def _holes(mask: np.ndarray, area: float) -> int:
    """Return how many holes of more than `area` pixels a part has."""
    labels, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    return int(np.sum(np.bincount(labels.ravel())[2:] > area))  # 0 is ink, 1 outside


def _contact(labels: np.ndarray, label: int, rows: slice, columns: slice) -> int:
    """Return how many pixels of a part are at the picture's frame."""
    sides = labels[rows, 0], labels[rows, -1], labels[0, columns], labels[-1, columns]
    return max(int(np.sum(side == label)) for side in sides)
