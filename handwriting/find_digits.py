"""Find the handwritten digits in a picture, each as an image in MNIST's form.

    lines = find_lines(Image.open("photo.png"))
    boxes_and_images = find_digits(Image.open("photo.png"))

No network is used. ink.py finds the ink. This file decides which parts of the ink form
digits, and in which order they are read. mnist_image.py gives each digit MNIST's form.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from handwriting.ink import (
    Bounds,
    Ink,
    Part,
    bounds,
    find_ink,
    grey_levels,
    printed_lines,
    share_of_light_paper,
    weighted_median,
)
from handwriting.mnist_image import already_mnist_image, mnist_image

# Working copies, in which digits are looked for. Sizes in pixels of a copy.
WORKING_SIDES = (1600, 4000)  # longer side; the second copy is made for small digits
SMALL_DIGIT = 20  # median height; smaller digits are looked for in the second copy
MIN_WORKING_SIDE = 300  # a 28x28 picture must be enlarged for strokes to be measured
MIN_DIGIT = 8  # longer side, and height with all parts

# Trials on a smaller copy: is ink dark or light, and how wide is it at most?
TRIAL_SIDE = 800  # pixels, about, of the longer side
WIDEST = 0.5
INK_WIDTHS = (WIDEST, 0.2, 0.08)  # greatest width of ink, share of the shorter side
STRIP_WIDTH = 0.3  # share of the longer side; a narrower strip counts as this wide
MIN_WINDOW = 12  # pixels; ink is never assumed to be narrower
MIN_PAPER = 0.27  # share of the pixels around ink; at 0.33 some tight crops are lost
NARROW_PENALTY = 0.08  # exponent: a narrow window takes thick strokes apart
MARGIN = 0.6  # around a picture cropped to one digit, share of its shorter side
FILLED_SIDE = 0.9  # share of each side of such a picture that its digit fills
MARGIN_WEIGHT = (
    0.9  # with a margin, more writing must be found than without, by 1 / 0.9
)
STROKE_LENGTH = 1.6  # median longer sides; no straight stroke of a digit is longer

# A part that may be a digit or the main part of one.
MAX_HOLES = 4  # a drawn 8 has two, and careless strokes add some
MIN_PAPER_AROUND = 0.75  # share of its rim
MAX_WIDTH = 6  # heights of the part
MAX_HEIGHT = 15  # widths of the part
# A part that consists of strokes. A filled part has more ink than FILLED_SHARE of its
# box and FILLED_ALLOWANCE of a bar: its longer side times its stroke width.
STROKE_OF_LONGER_SIDE = 0.65  # greatest stroke width, share of the longer side
STROKE_OF_SIDE = 0.9  # the same, share of height and of width
BAR_ASPECT = 1.8  # height divided by width; a taller part may be one stroke, as a 1 is
FILLED_SHARE = 0.8
FILLED_ALLOWANCE = 0.3

# A part compared with the others.
MIN_ENCLOSED = 0.35  # height of a digit in a box or circle, share of the box's height
PAPER_SHARE = 0.33  # of the lightest paper's lightness, at least
CONTRAST_SHARE = 0.35  # of the median contrast, at least
WIDE_ASPECT = 1.6  # width divided by height from which a part hardly counts for medians
WIDE_WEIGHT = 1e-6  # weight of such a part; it counts only where nothing else does
SMALLEST_PIECE = 0.08  # typical heights; dust and remains of printed lines are smaller

# A group compared with the typical digit.
MIN_HEIGHT = 0.4  # typical heights
MIN_MAIN_PART = 0.4  # height of the tallest part, share of the group's height
DASH_ASPECT = 2.2  # width divided by height; a dash is wider
DASH_HEIGHT = 0.7  # typical heights; a dash is shorter

# A part and the group that it may belong to. Their overlap from left to right is a
# share of the narrower one's width.
MIN_OVERLAP = 0.25
MAX_GROUP_WIDTH = 1.4  # typical heights, or heights of the group if that is more
MAX_GROUP_HEIGHT = 1.35  # typical heights; only a torn digit is taller
MAX_VERTICAL_GAP = 0.35  # typical heights, or one stroke width if that is more
TALL = 0.75  # typical heights; a taller part may be a digit on its own
TALL_OVERLAP = 0.7  # a tall part and a tall group overlap at least by this
LARGE_OVERLAP = 0.5  # with more overlap, a wider gap is accepted
WIDE_GAP = 0.35  # typical heights
NARROW_GAP = 0.1  # typical heights, or one stroke width if that is more
# The bar of a 5 that does not touch the rest, and lies to the right of its top.
BAR_OF_5_ASPECT = 1.3  # width divided by height, at least
BAR_OF_5_GAP = 0.3  # typical heights to the rest, at most
BAR_OF_5_BELOW = 0.25  # heights of the rest from its top to the bar's middle, at most
# The two halves of a large digit that is torn apart.
TORN_GAP = 0.6  # stroke widths
HALF_ASPECT = 1.3  # height divided by width of each half, at most
TORN_ASPECT = 2.3  # height divided by width of both together, at most

# Lines of text.
STEEPEST = 45  # degrees
STEP = 3  # degrees from one slope that is tried to the next
MIN_DIGITS = 3  # fewer digits do not show how their line slopes
NEW_LINE = 0.5  # median heights from digit to digit, across the line

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, the last two open
Digit = tuple[Box, np.ndarray]
Group = list[Part]  # the parts of one digit


class Trial(NamedTuple):
    """A guess at what the ink of a picture is like."""

    dark: bool  # darker than the paper, or else lighter
    width: float  # greatest width, share of the picture's shorter side
    margin: float  # of paper around the picture, share of its shorter side
    weight: float  # by which the writing that is found counts


class Line(NamedTuple):
    """A line of text."""

    groups: list[Group]  # from left to right
    angle: float  # slope in radians, positive if the line goes down to the right


def find_digits(image: Image.Image) -> list[Digit]:
    """Return the digits of a picture in reading order.

    Args:
        image: of any size, mode L or RGB, as `pictures.open_picture` returns it.

    Returns:
        A list of tuples (box, digit): the box (left, top, right, bottom) in pixels of
        `image`, and a float32 array of shape (28, 28), values in [0, 1], 1 is ink.
    """
    return [digit for line in find_lines(image) for digit in line]


def find_lines(image: Image.Image) -> list[list[Digit]]:
    """Return the digits of a picture by line of text, each as `find_digits` does."""
    digit = already_mnist_image(image)
    if digit is not None:
        return [[(_box_of_ink(digit), digit)]]
    for working_side in WORKING_SIDES:
        factor = _scale_factor(max(image.size), working_side)
        size = tuple(max(1, round(side * factor)) for side in image.size)
        copy = image.resize(size, Image.BICUBIC, reducing_gap=2)
        ink, groups, margin = _find_groups(grey_levels(copy))
        # A larger copy shows no more than the picture itself.
        if factor >= 1 or (groups and _median_height(groups) >= SMALL_DIGIT):
            break
    return [
        [
            (
                _box_in_picture(group, margin, factor, image.size),
                mnist_image(ink, group, angle),
            )
            for group in line
        ]
        for line, angle in _lines(groups)
    ]


def _box_of_ink(digit: np.ndarray) -> Box:
    """Return the box of a digit in an image of MNIST's form."""
    rows, columns = np.nonzero(digit > 0.5)
    left, right = int(columns.min()), int(columns.max())
    return left, int(rows.min()), right + 1, int(rows.max()) + 1


def _scale_factor(longer_side: int, working_side: int) -> float:
    """Return the factor from a picture's sides to those of its working copy."""
    return min(max(1, MIN_WORKING_SIDE / longer_side), working_side / longer_side)


def _median_height(groups: Sequence[Group]) -> float:
    """Return the median height of digits in pixels."""
    return float(np.median([bounds(group).height for group in groups]))


def _find_groups(grey: np.ndarray) -> tuple[Ink, list[Group], int]:
    """Return the ink of a picture, its parts by digit, and the margin around it.

    Pixels of the ink and the parts count from the corner of the margin, which is 0
    pixels wide unless the picture is cropped to one digit.

    Dark ink, light ink and several widths of it are tried on a smaller copy, and a
    margin of paper, in case the picture is cropped to one digit. The trial whose ink
    looks most like digits is used.
    """
    step = max(1, round(max(grey.shape) / TRIAL_SIDE))
    small = ndimage.uniform_filter(grey, step)[::step, ::step] if step > 1 else grey
    best = -1.0
    for trial in _trials(small):
        framed, _ = _with_margin(small, trial)
        window = _window(framed.shape, trial.width)
        # Printed lines are looked for once it is known how long strokes are.
        ink, groups = _groups_of_ink(framed, window, trial.dark, longest_stroke=np.inf)
        score = trial.weight * _size_and_contrast(groups)
        if score > best and (not trial.margin or _is_one_digit(groups, small.shape)):
            longest = np.inf if trial.margin else _longest_stroke(groups)
            best, chosen = score, (trial, window, longest, ink, groups)
    trial, window, longest_stroke, ink, groups = chosen
    framed, margin = _with_margin(grey, trial)
    if step == 1 and not printed_lines(ink.mask, longest_stroke).any():
        return ink, groups, margin
    ink, groups = _groups_of_ink(
        framed, window * step, trial.dark, longest_stroke * step
    )
    return ink, groups, margin


def _trials(grey: np.ndarray) -> list[Trial]:
    """Return what is tried on a picture."""
    light_paper = share_of_light_paper(grey, _window(grey.shape, WIDEST))
    trials = []
    # A digit that is cropped to its ink leaves most of the picture's frame to paper.
    middle = (grey.min() + grey.max()) / 2
    on_light = bool(_frame_level(grey) > middle)
    if _reaches_all_sides((grey < middle) == on_light):
        trials.append(Trial(on_light, WIDEST, MARGIN, MARGIN_WEIGHT))
    for dark, paper in ((True, light_paper), (False, 1 - light_paper)):
        if paper > MIN_PAPER:
            trials += [
                Trial(dark, width, 0, paper * (width / WIDEST) ** NARROW_PENALTY)
                for width in INK_WIDTHS
            ]
    return trials


def _reaches_all_sides(ink: np.ndarray) -> bool:
    """Return whether there is ink, bool (h, w), near each side of the picture."""
    rows, columns = (int(np.ceil((1 - FILLED_SIDE) * side)) for side in ink.shape)
    sides = ink[:rows], ink[-rows:], ink[:, :columns], ink[:, -columns:]
    return all(side.any() for side in sides)


def _is_one_digit(groups: Sequence[Group], shape: tuple[int, int]) -> bool:
    """Return whether there is but one digit, and it fills a picture of this shape."""
    if len(groups) != 1:
        return False
    box = bounds(groups[0])
    return box.height > FILLED_SIDE * shape[0] and box.width > FILLED_SIDE * shape[1]


def _with_margin(grey: np.ndarray, trial: Trial) -> tuple[np.ndarray, int]:
    """Return a picture with a trial's margin of blank paper, and its size in pixels."""
    margin = int(trial.margin * min(grey.shape))
    if not margin:
        return grey, 0
    return np.pad(grey, margin, constant_values=_frame_level(grey)), margin


def _frame_level(grey: np.ndarray) -> float:
    """Return the median grey level at a picture's frame, which is that of its paper."""
    return float(np.median([*grey[0], *grey[-1], *grey[:, 0], *grey[:, -1]]))


def _window(shape: tuple[int, int], width: float) -> int:
    """Return the greatest width of ink in pixels, for a share of a picture's size."""
    shorter, longer = sorted(shape)
    return int(max(width * shorter, STRIP_WIDTH * width * longer, MIN_WINDOW))


def _longest_stroke(groups: Sequence[Group]) -> float:
    """Return how long a stroke of these digits may be, in pixels; 0 without digits."""
    if not groups:
        return 0
    boxes = [bounds(group) for group in groups]
    # A group that is wider than a digit may hang together by a printed line.
    sides = [min(box.longer_side, MAX_GROUP_WIDTH * box.height) for box in boxes]
    return STROKE_LENGTH * np.median(sides)


def _groups_of_ink(
    grey: np.ndarray, window: int, dark: bool, longest_stroke: float
) -> tuple[Ink, list[Group]]:
    """Return the ink of a picture and its parts by digit; arguments of `find_ink`."""
    ink = find_ink(grey, window, dark, longest_stroke)
    return ink, _group_parts(ink.parts, ink.labels)


def _size_and_contrast(groups: Sequence[Group]) -> float:
    """Return the area of all digits' boxes in pixels, each times its contrast.

    It is greatest where most of the writing was found, and found whole.
    """
    total = 0.0
    for group in groups:
        box = bounds(group)
        main = max(group, key=lambda part: part.area)
        total += box.height * box.width * main.contrast
    return total


def _looks_like_a_digit(part: Part) -> bool:
    """Return whether a part alone may be a digit or the main part of one."""
    return (
        part.longer_side >= MIN_DIGIT
        and part.holes <= MAX_HOLES
        and _consists_of_strokes(part)
        and part.width < MAX_WIDTH * part.height
        and part.height < MAX_HEIGHT * part.width
        and part.paper_around > MIN_PAPER_AROUND
        and not part.at_frame
    )


def _consists_of_strokes(part: Part) -> bool:
    """Return whether a part is drawn with strokes, rather than filled."""
    widest = part.max_stroke_width
    is_bar = part.height > BAR_ASPECT * part.width
    return (
        widest < STROKE_OF_LONGER_SIDE * part.longer_side
        and widest < STROKE_OF_SIDE * part.height
        and (widest < STROKE_OF_SIDE * part.width or is_bar)
        and part.area
        < FILLED_SHARE * part.height * part.width
        + FILLED_ALLOWANCE * part.longer_side * part.stroke_width
    )


def _group_parts(parts: Sequence[Part], labels: np.ndarray) -> list[Group]:
    """Return the parts by digit, without specks, dashes and faint marks."""
    bodies = [part for part in parts if _looks_like_a_digit(part)]
    bodies = [part for part in bodies if not _is_drawn_around(part, bodies)]
    if not bodies:
        return []
    lightness = PAPER_SHARE * max(part.paper_lightness for part in bodies)
    bodies = [part for part in bodies if part.paper_lightness > lightness]
    contrast = CONTRAST_SHARE * _typical_contrast(bodies)
    bodies = [part for part in bodies if part.contrast > contrast]
    typical = _typical_height(bodies)
    body_labels = {part.label for part in bodies}
    pieces = [
        part
        for part in parts
        if part.label not in body_labels
        and part.contrast > contrast
        and part.paper_lightness > lightness
        and SMALLEST_PIECE * typical < part.longer_side < typical
    ]
    return [
        group
        for group in _merged(bodies + pieces, typical, labels)
        if _is_as_large_as_a_digit(group, typical)
        and any(part.label in body_labels for part in group)
    ]


def _is_drawn_around(part: Part, others: Sequence[Part]) -> bool:
    """Return whether a part is a box or a circle around one of the others."""
    box = part.bounds
    return part.holes > 0 and any(
        other.height > MIN_ENCLOSED * part.height
        and box.top < other.bounds.top
        and box.left < other.bounds.left
        and other.bounds.bottom < box.bottom
        and other.bounds.right < box.right
        for other in others
    )


def _typical_contrast(parts: Sequence[Part]) -> float:
    """Return the median contrast; parts with much ink and upright ones count for more.

    A page may have far more pieces of printed lines than digits, but not more ink.
    """
    contrasts = np.array([part.contrast for part in parts])
    areas = np.array([part.area for part in parts])
    return weighted_median(contrasts, areas * contrasts * _upright(parts))


def _typical_height(parts: Sequence[Part]) -> float:
    """Return the median height in pixels; large and upright parts count for more."""
    heights = np.array([part.height for part in parts])
    sizes = np.array([part.longer_side for part in parts])
    return weighted_median(heights, sizes**2 * _upright(parts))


def _upright(parts: Sequence[Part]) -> np.ndarray:
    """Return a weight for each part, float64 (n,): 1, or nearly 0 if it is wide."""
    upright = [part.width < WIDE_ASPECT * part.height for part in parts]
    return np.array(upright) + WIDE_WEIGHT


def _merged(parts: Sequence[Part], typical: float, labels: np.ndarray) -> list[Group]:
    """Return the parts by digit. Each joins the first group that it belongs to."""
    groups: list[Group] = []
    for part in sorted(parts, key=lambda part: -part.area):
        group = next(
            (one for one in groups if _belongs_to(one, part, typical, labels)), None
        )
        if group is None:
            groups.append([part])
        else:
            group.append(part)
    return groups


def _belongs_to(group: Group, part: Part, typical: float, labels: np.ndarray) -> bool:
    """Return whether a part belongs to the digit that a group of larger parts forms.

    Args:
        group: parts, the largest first.
        part: none of these.
        typical: height of a digit in pixels.
        labels: int32 array of shape (h, w), of the ink.
    """
    one, two, both = bounds(group), part.bounds, bounds([*group, part])
    stroke = group[0].stroke_width
    overlap = _overlap(one, two)
    vertical_gap = max(one.top, two.top) - min(one.bottom, two.bottom)
    if _look_like_a_5(one, two):
        return _distance(group, part, labels) < BAR_OF_5_GAP * typical
    if (
        overlap < MIN_OVERLAP
        or both.width > MAX_GROUP_WIDTH * max(typical, both.height)
        or vertical_gap > max(MAX_VERTICAL_GAP * typical, stroke)
    ):
        return False
    fits = both.height < MAX_GROUP_HEIGHT * typical
    if min(one.height, two.height) > TALL * typical:
        return overlap > TALL_OVERLAP and fits
    gap = _distance(group, part, labels)
    if not fits:
        return gap < TORN_GAP * stroke and _look_like_torn_halves(one, two, both)
    if overlap > LARGE_OVERLAP:
        return gap < WIDE_GAP * typical
    return gap < max(stroke, NARROW_GAP * typical)


def _overlap(one: Bounds, two: Bounds) -> float:
    """Return the overlap from left to right, as a share of the narrower box's width."""
    common = min(one.right, two.right) - max(one.left, two.left)
    return common / min(one.width, two.width)


def _look_like_a_5(rest: Bounds, bar: Bounds) -> bool:
    """Return whether one box may be the bar of a 5, and the other the rest."""
    middle = (bar.top + bar.bottom) / 2
    return (
        bar.width > BAR_OF_5_ASPECT * bar.height
        and rest.height > bar.width
        and (bar.left + bar.right) / 2 > rest.right - rest.width / 4
        and rest.top - bar.width < middle < rest.top + BAR_OF_5_BELOW * rest.height
    )


def _look_like_torn_halves(one: Bounds, two: Bounds, both: Bounds) -> bool:
    """Return whether two boxes look like the halves of one large digit."""
    squat = all(box.height < HALF_ASPECT * box.width for box in (one, two))
    return squat and both.height < TORN_ASPECT * both.width


def _distance(group: Group, part: Part, labels: np.ndarray) -> float:
    """Return the shortest distance from a part's ink to a group's ink, in pixels."""
    box = bounds([*group, part])
    window = labels[box.top : box.bottom, box.left : box.right]
    in_group = np.isin(window, [member.label for member in group])
    to_group = ndimage.distance_transform_edt(~in_group)
    return float(to_group[window == part.label].min())


def _is_as_large_as_a_digit(group: Group, typical: float) -> bool:
    """Return whether a group is no dash and not much shorter than a typical digit."""
    box = bounds(group)
    is_dash = (
        box.width > DASH_ASPECT * box.height and box.height < DASH_HEIGHT * typical
    )
    return (
        box.height >= MIN_DIGIT
        and box.height > MIN_HEIGHT * typical
        and max(part.height for part in group) > MIN_MAIN_PART * box.height
        and not is_dash
    )


def _lines(groups: list[Group]) -> list[Line]:
    """Return the digits by line of text, from top to bottom.

    All lines have one slope: the one that puts the digits on few lines.
    """
    if not groups:
        return []
    boxes = [bounds(group) for group in groups]
    x = np.array([(box.left + box.right) / 2 for box in boxes])
    y = np.array([(box.top + box.bottom) / 2 for box in boxes])
    height = _median_height(groups)
    slopes = range(-STEEPEST, STEEPEST + 1, STEP) if len(groups) >= MIN_DIGITS else [0]
    best = min(slopes, key=lambda slope: _cost_of_lines(x, y, height, slope))
    angle = np.radians(best)
    along, across = _turned(x, y, angle)
    numbers = _line_numbers(across, height)
    lines = []
    for number in range(numbers.max() + 1):
        on_line = np.flatnonzero(numbers == number)
        in_order = [groups[k] for k in sorted(on_line, key=lambda k: along[k])]
        lines.append(Line(in_order, angle if len(on_line) >= MIN_DIGITS else 0.0))
    return lines


def _turned(
    x: np.ndarray, y: np.ndarray, angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far points lie along and across a slope in radians, in pixels."""
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    return along, across


def _line_numbers(across: np.ndarray, height: float) -> np.ndarray:
    """Return the line of each digit, counted from 0 at the top: int array (n,)."""
    order = np.argsort(across)
    starts_line = np.diff(across[order]) > NEW_LINE * height
    numbers = np.zeros(len(across), int)
    numbers[order] = np.concatenate([[0], np.cumsum(starts_line)])
    return numbers


def _cost_of_lines(x: np.ndarray, y: np.ndarray, height: float, degrees: int) -> float:
    """Return how badly a slope puts digits on lines; 1 for each line.

    Spread within the lines counts in squared heights, halved. The steepest slope costs
    as much as one more line.
    """
    _, across = _turned(x, y, np.radians(degrees))
    numbers = _line_numbers(across, height)
    count = numbers.max() + 1
    lines = [across[numbers == number] for number in range(count)]
    spread = sum(np.sum((line - line.mean()) ** 2) for line in lines)
    return count + spread / height**2 / 2 + abs(degrees) / STEEPEST


def _box_in_picture(
    group: Group, margin: int, factor: float, size: tuple[int, int]
) -> Box:
    """Return a digit's box in the picture that was scaled by `factor`.

    Args:
        group: the parts of the digit in the working copy.
        margin: pixels that were added around the working copy.
        factor: from the picture to the working copy.
        size: width and height of the picture in pixels.
    """
    box = bounds(group)
    return (
        max(0, int((box.left - margin) / factor)),
        max(0, int((box.top - margin) / factor)),
        min(size[0], int(np.ceil((box.right - margin) / factor))),
        min(size[1], int(np.ceil((box.bottom - margin) / factor))),
    )
