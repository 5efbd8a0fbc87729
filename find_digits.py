"""Find the handwritten digits in a picture, each as an image of MNIST's kind.

    lines = find_lines(Image.open("photo.png"))
    boxes_and_images = find_digits(Image.open("photo.png"))

No network is asked. Where the steps are from:

- paper: a grey closing, so that ink is what a black top-hat leaves (F. Meyer,
  "Contrast feature extraction", 1978); light ink is dark ink of the negative. Both
  polarities and several widths of strokes are tried, and what most looks like digits
  is kept.
- threshold: 5 times the noise, then half way to each connected part's darkest point.
- printed lines: straight runs over a third of the picture, at up to 6 degrees; where a
  stroke crosses one, the ink is higher than the line is thick and stays.
- stroke or not: thickness along the ridge of the distance transform, after B. Epshtein
  et al., "Detecting Text in Natural Scenes with Stroke Width Transform", 2010.
- 28x28: the longer side scaled to 20 pixels and the centre of mass put in the middle,
  as MNIST was made (Y. LeCun et al., "Gradient-Based Learning Applied to Document
  Recognition", 1998, section III); strokes are first grown or shrunk, by the signed
  distance to their edge, to thicknesses that MNIST has.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

# Pixels of the longer side at which digits are looked for: at most the first, and where
# they are SMALL then, or none are found, the second.
WORKING = (1600, 4000)
SMALL = 20  # pixels of height
ENLARGED = 300  # at least so many: a native 28x28 picture then has strokes to measure
CONTRAST = 0.08  # of ink against paper at least; black on white is 1
SMALLEST = 8  # pixels of a digit's longer side in the working copy
# Of a digit's 20 pixels; the 10th and 90th percentile of MNIST's training images.
STROKE = (1.9, 3.6)

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, the last two open
Digit = tuple[Box, np.ndarray]


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


def find_digits(image: Image.Image) -> list[Digit]:
    """Return the digits of a picture in reading order.

    Args:
        image: of any size and mode.

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
        grey = _grey(image.resize(size, Image.BICUBIC, reducing_gap=2))
        found, groups = _read(grey)
        heights = [bottom - top for top, _, bottom, _ in map(_bounds, groups)]
        if factor >= 1 or (groups and np.median(heights) >= SMALL):
            break
    return [
        [
            (
                _scaled_box(_bounds(group), factor, image.size),
                _mnist_image(found, group, angle),
            )
            for group in line
        ]
        for line, angle in _lines(groups)
    ]


def _grey(image: Image.Image) -> np.ndarray:
    """Return float32 (h, w) in [0, 1]."""
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


def _read(grey: np.ndarray) -> tuple[Ink, list[list[Part]]]:
    """Return the ink of a picture and its parts by digit.

    Which polarity and how wide the strokes are, is tried on a smaller copy.
    """
    step = max(1, round(max(grey.shape) / 800))
    small = ndimage.uniform_filter(grey, step)[::step, ::step] if step > 1 else grey
    shorter, longer = sorted(small.shape)
    share = _paper_is_light(small, int(max(0.5 * shorter, 0.15 * longer)))
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
        top, left, bottom, right = _bounds(group)
        main = max(group, key=lambda part: part.area)
        total += (bottom - top) * (right - left) * main.contrast
    return total


def _read_as(
    grey: np.ndarray, size: int, dark: bool, ruled: bool = True
) -> tuple[Ink, list[list[Part]]]:
    """Return the ink and its parts by digit if ink is `dark`, or else light."""
    picture = grey if dark else 1 - grey
    ink = _ink(picture, _paper(picture, size | 1), dark, ruled)
    return ink, _grouped(ink.parts, ink.labels)


def _paper_is_light(grey: np.ndarray, size: int) -> float:
    """Return the share of light pixels around ink; most are paper."""
    above, below = _paper(grey, size), 1 - _paper(1 - grey, size)
    inked = above - below > CONTRAST
    around = ndimage.maximum_filter(inked.view(np.uint8), size // 2) > 0
    middle = ndimage.maximum_filter(grey, size) + ndimage.minimum_filter(grey, size)
    return float(np.mean(grey[around] > middle[around] / 2)) if around.any() else 1.0


def _ink(picture: np.ndarray, paper: np.ndarray, dark: bool, ruled: bool) -> Ink:
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


def _bounds(group: Sequence[Part]) -> Box:
    """Return top, left, bottom, right."""
    return (
        min(part.top for part in group),
        min(part.left for part in group),
        max(part.bottom for part in group),
        max(part.right for part in group),
    )


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
    top, left, bottom, right = _bounds(group)
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
    (top, left, bottom, right), box = _bounds(group), _bounds(other)
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
    top, left, bottom, right = _bounds([*group, *other])
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
    boxes = np.array([_bounds(group) for group in groups], float)
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


def _scaled_box(bounds: Box, factor: float, size: tuple[int, int]) -> Box:
    top, left, bottom, right = bounds
    return (
        max(0, int(left / factor)),
        max(0, int(top / factor)),
        min(size[0], int(np.ceil(right / factor))),
        min(size[1], int(np.ceil(bottom / factor))),
    )


def _mnist_image(ink: Ink, group: Sequence[Part], angle: float) -> np.ndarray:
    """Return a digit as MNIST has it: float32 (28, 28).

    The longer side fills 20 pixels with the aspect kept, and the centre of mass is in
    the middle of 28x28.
    """
    top, left, bottom, right = _bounds(group)
    margin = max(4, (max(bottom - top, right - left)) // 8)
    inside = np.s_[
        max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin
    ]
    mask = np.isin(ink.labels[inside], [part.label for part in group])
    near = ndimage.binary_dilation(mask, iterations=2)
    level = np.percentile(ink.strength[inside][mask], 60)
    soft = np.clip(ink.strength[inside] / level, 0, 1) * near
    soft = np.pad(soft, margin)
    if abs(angle) > 0.1:
        soft = ndimage.rotate(soft, np.degrees(angle), order=1)
    canvas = _resized(soft, 100)
    canvas /= canvas.max()
    solid = canvas > 0.5
    distance = ndimage.distance_transform_edt(solid)
    ridge = distance[(distance == ndimage.maximum_filter(distance, 3)) & solid]
    stroke = (2 * np.median(ridge) - 0.5) / 5
    wanted = np.clip(stroke, *STROKE)
    if wanted != stroke:
        signed = distance - ndimage.distance_transform_edt(~solid)
        canvas = np.clip(0.5 + signed + (wanted - stroke) * 2.5, 0, 1)
    return _centred(_resized(canvas, 20))


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    """Return the ink, cropped, with a longer side of `side`, and a fifth as margin."""
    ink = image > 0.4 * image.max()
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    top, bottom = rows[0], rows[-1] + 1
    left, right = columns[0], columns[-1] + 1
    scale = side / max(bottom - top, right - left)
    margin = side // 5
    half = margin + side / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    box = (x - half / scale, y - half / scale, x + half / scale, y + half / scale)
    pad = int(
        np.ceil(max(0, -min(box), box[2] - image.shape[1], box[3] - image.shape[0]))
    )
    padded = Image.fromarray(np.pad(image, pad).astype(np.float32))
    new = side + 2 * margin
    result = padded.resize((new, new), Image.BICUBIC, box=[b + pad for b in box])
    return np.clip(np.asarray(result), 0, 1)


def _centred(image: np.ndarray) -> np.ndarray:
    """Return (28, 28) with the centre of mass at pixel (14, 14), as MNIST has it."""
    y, x = ndimage.center_of_mass(image)
    shift = np.round([14 - y, 14 - x]).astype(int)
    return ndimage.shift(image, shift, order=0).astype(np.float32)
