"""Find the handwritten digits in a picture, each as an image of MNIST's kind.

    lines = find_lines(Image.open("photo.png"))
    boxes_and_images = find_digits(Image.open("photo.png"))

No network is asked: ink.py finds the ink, this file says which parts of it are digits
and in what order, mnist_image.py gives them MNIST's form.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from handwriting.ink import (
    Ink,
    Part,
    bounds,
    find_ink,
    grey_levels,
    share_of_light_paper,
)
from handwriting.mnist_image import mnist_image

# Pixels of the longer side at which digits are looked for: at most the first, and where
# they are SMALL then, or none are found, the second.
WORKING = (1600, 4000)
SMALL = 20  # pixels of height
ENLARGED = 300  # at least so many: a native 28x28 picture then has strokes to measure
SMALLEST = 8  # pixels of a digit's longer side in the working copy

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, the last two open
Digit = tuple[Box, np.ndarray]


def find_digits(image: Image.Image) -> list[Digit]:
    """Return the digits of a picture in reading order.

    Args:
        image: of any size, mode L or RGB, as `pictures.open_picture` gives it.

    Returns:
        A list of tuples (box, digit): the box (left, top, right, bottom) in pixels of
        `image`, and a float32 array of shape (28, 28), values in [0, 1], ink is 1.
    """
    return [digit for line in find_lines(image) for digit in line]


def find_lines(image: Image.Image) -> list[list[Digit]]:
    """Return the same digits by line of text."""
    for working in WORKING:
        factor = np.clip(1, ENLARGED / max(image.size), working / max(image.size))
        size = tuple(max(1, round(side * factor)) for side in image.size)
        grey = grey_levels(image.resize(size, Image.BICUBIC, reducing_gap=2))
        found, groups = _read(grey)
        heights = [bottom - top for top, _, bottom, _ in map(bounds, groups)]
        if factor >= 1 or (groups and np.median(heights) >= SMALL):
            break
    return [
        [
            (
                _box(group, factor, image.size),
                mnist_image(found, group, angle),
            )
            for group in line
        ]
        for line, angle in _lines(groups)
    ]


def _read(grey: np.ndarray) -> tuple[Ink, list[list[Part]]]:
    """Return the ink of a picture and its parts by digit.

    Both polarities and several widths of strokes are tried, on a smaller copy, and
    what most looks like digits is kept.
    """
    step = max(1, round(max(grey.shape) / 800))
    small = ndimage.uniform_filter(grey, step)[::step, ::step] if step > 1 else grey
    shorter, longer = sorted(small.shape)
    share = share_of_light_paper(small, int(max(0.5 * shorter, 0.15 * longer)))
    tried = [
        (int(max(width * shorter, 0.3 * width * longer, 12)), dark)
        for dark in (True, False)
        for width in (0.5, 0.2, 0.08)
        if (share > 0.2 if dark else share < 0.8)
    ]
    # Most pixels are paper; and a narrower window takes thick strokes apart, so that it
    # must be clearly better.
    scores = [
        _likeness(_read_as(small, size, dark, ruled=False))
        * (share if dark else 1 - share)
        * (size / tried[0][0]) ** 0.08
        for size, dark in tried
    ]
    size, dark = tried[int(np.argmax(scores))]
    return _read_as(grey, size * step, dark)


def _likeness(read: tuple[Ink, list[list[Part]]]) -> float:
    """Return how much what was read looks like digits."""
    total = 0.0
    for group in read[1]:
        top, left, bottom, right = bounds(group)
        main = max(group, key=lambda part: part.area)
        total += (bottom - top) * (right - left) * main.contrast
    return total


def _read_as(
    grey: np.ndarray, size: int, dark: bool, ruled: bool = True
) -> tuple[Ink, list[list[Part]]]:
    """Return the ink and its parts by digit if ink is `dark`, or else light."""
    ink = find_ink(grey, size, dark, ruled)
    return ink, _grouped(ink.parts, ink.labels)


def _looks_like_a_digit(part: Part) -> bool:
    """Whether a part alone can be a digit: of strokes, not too long, on paper."""
    return (
        part.size >= SMALLEST
        and part.holes <= 4
        and part.thickest < 0.65 * part.size
        and (part.thickest < 0.9 * part.width or part.height > 1.8 * part.width)
        and part.thickest < 0.9 * part.height
        and part.area < 0.8 * part.height * part.width + 0.3 * part.size * part.stroke
        and part.width < 6 * part.height
        and part.height < 15 * part.width
        and part.surrounded > 0.75
        and not part.at_frame
    )


def _weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    order = np.argsort(values)
    cumulated = np.cumsum(np.asarray(weights, float)[order])
    index = np.searchsorted(cumulated, cumulated[-1] / 2)
    return float(np.asarray(values)[order][index])


def _grouped(parts: Sequence[Part], labels: np.ndarray) -> list[list[Part]]:
    """Return the parts by digit; specks, dashes and what is paler are left out."""
    bodies = [part for part in parts if _looks_like_a_digit(part)]
    if not bodies:
        return []
    light = 0.33 * max(part.paper for part in bodies)
    bodies = [part for part in bodies if part.paper > light]
    upright = np.array([part.width < 1.6 * part.height for part in bodies]) + 1e-6
    sizes = np.array([part.size for part in bodies])
    contrasts = [part.contrast for part in bodies]
    dark = 0.4 * _weighted_median(contrasts, sizes * contrasts * upright)
    bodies = [part for part in bodies if part.contrast > dark]
    heights = [part.height for part in bodies]
    sizes = np.array([part.size for part in bodies])
    upright = np.array([part.width < 1.6 * part.height for part in bodies]) + 1e-6
    typical = _weighted_median(heights, sizes**2 * upright)
    whole = {part.label for part in bodies}
    pieces = [
        part
        for part in parts
        if part.label not in whole
        and part.contrast > dark
        and part.paper > light
        and part.size < typical
        and not part.at_frame
    ]
    groups: list[list[Part]] = []
    for part in sorted(bodies + pieces, key=lambda part: -part.area):
        for group in groups:
            if _belong_together(group, [part], typical, labels):
                group.append(part)
                break
        else:
            groups.append([part])
    return [
        group
        for group in groups
        if _is_digit(group, typical) and any(part.label in whole for part in group)
    ]


def _is_digit(group: Sequence[Part], typical: float) -> bool:
    top, left, bottom, right = bounds(group)
    height, width = bottom - top, right - left
    return (
        height >= SMALLEST
        and height > 0.4 * typical
        and max(part.height for part in group) > 0.4 * height
        and not (width > 2.2 * height and height < 0.7 * typical)
    )


def _belong_together(
    group: Sequence[Part], other: Sequence[Part], typical: float, labels: np.ndarray
) -> bool:
    """Whether two groups are parts of one digit."""
    (top, left, bottom, right), box = bounds(group), bounds(other)
    height = max(bottom, box[2]) - min(top, box[0])
    width = max(right, box[3]) - min(left, box[1])
    overlap = (min(right, box[3]) - max(left, box[1])) / min(
        right - left, box[3] - box[1]
    )
    if overlap < 0.25 or width > 1.4 * max(typical, height):
        return False
    vertical = max(top, box[0]) - min(bottom, box[2])
    stroke = group[0].stroke
    if vertical > 0.35 * typical and vertical > stroke:
        return False
    heights = bottom - top, box[2] - box[0]
    if min(heights) > 0.75 * typical:
        return overlap > 0.7 and height < 1.35 * typical
    gap = _gap(group, other, labels)
    if height < 1.35 * typical:
        return (
            gap < 0.35 * typical if overlap > 0.5 else gap < max(stroke, 0.1 * typical)
        )
    squat = all(
        h < 1.3 * w
        for h, w in ((heights[0], right - left), (heights[1], box[3] - box[1]))
    )
    return squat and gap < 0.6 * stroke and height < 2.3 * width


def _gap(group: Sequence[Part], other: Sequence[Part], labels: np.ndarray) -> float:
    """Return the shortest distance between the ink of two groups in pixels."""
    top, left, bottom, right = bounds([*group, *other])
    window = labels[top:bottom, left:right]
    one = np.isin(window, [part.label for part in group])
    two = np.isin(window, [part.label for part in other])
    return float(ndimage.distance_transform_edt(~one)[two].min())


def _lines(groups: list[list[Part]]) -> list[tuple[list[list[Part]], float]]:
    """Return the digits by line of text, and the slope of that line in radians.

    A slope is looked for that puts the digits on few lines.
    """
    if not groups:
        return []
    boxes = np.array([bounds(group) for group in groups], float)
    y, x = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    height = float(np.median(boxes[:, 2] - boxes[:, 0]))
    best = None
    for degrees in range(-45, 46, 3) if len(groups) > 2 else (0,):
        angle = np.radians(degrees)
        across = y * np.cos(angle) - x * np.sin(angle)
        along = x * np.cos(angle) + y * np.sin(angle)
        order = np.argsort(across)
        breaks = np.diff(across[order]) > 0.5 * height
        line = np.zeros(len(groups), int)
        line[order] = np.concatenate([[0], np.cumsum(breaks)])
        spread = sum(
            np.sum((across[line == k] - across[line == k].mean()) ** 2)
            for k in range(line.max() + 1)
        )
        cost = (line.max() + 1) + spread / height**2 / 2 + abs(degrees) / 45
        if best is None or cost < best[0]:
            best = cost, line, along, angle
    _, line, along, angle = best
    return [
        (
            [
                groups[k]
                for k in sorted(np.flatnonzero(line == row), key=lambda k: along[k])
            ],
            angle if np.sum(line == row) > 2 else 0.0,
        )
        for row in range(line.max() + 1)
    ]


def _box(group: Sequence[Part], factor: float, size: tuple[int, int]) -> Box:
    """Return the box in a picture of `size` that was scaled by `factor`."""
    top, left, bottom, right = bounds(group)
    return (
        max(0, int(left / factor)),
        max(0, int(top / factor)),
        min(size[0], int(np.ceil(right / factor))),
        min(size[1], int(np.ceil(bottom / factor))),
    )
