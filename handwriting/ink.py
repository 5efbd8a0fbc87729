"""Find the ink in a picture: connected parts that stand out from their paper.

Where the steps come from:

- The paper is a grey-scale closing of the picture. Ink is what a black top-hat leaves:
  F. Meyer, "Contrast feature extraction", 1978. Light ink is dark ink in the negative.
- The threshold is 5 times the noise. It then rises to nearly half of the strongest
  contrast nearby on the same connected part, so that a pen may press unevenly.
- Printed lines are straight runs over a third of the picture that slope by at most
  6 degrees and are longer than any stroke of a digit. They are followed from side to
  side. Ink taller than a line's thickness belongs to a stroke and is kept.
- Stroke width is measured on the ridge of the distance transform, the medial axis of
  H. Blum, "A Transformation for Extracting New Descriptors of Shape", 1967. Using it to
  tell writing from other shapes follows B. Epshtein et al., "Detecting Text in Natural
  Scenes with Stroke Width Transform", 2010.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

# Contrast is the difference in lightness from the paper; black on white is 1.
MIN_CONTRAST = 0.05  # ink has more, however little noise there is
NOISE_FACTOR = 5  # ink stands out by at least this many times the noise
EDGE_SHARE = 0.45  # of the strongest contrast nearby: where a stroke's edge is drawn
NEARBY = 0.1  # of a part's longer side: as far as a stroke's edge is from its middle
PALEST_STROKE = 0.4  # of the part's strongest contrast; what is paler is no stroke
DARKEST_PAPER = 0.1  # lightness; on darker paper contrast is amplified no further
NOISE_BLUR = 0.7  # pixels, standard deviation of the Gaussian that removes noise
# Where noise alone reaches this contrast, strokes are looked for in a picture that is
# blurred again. Of 462 digits in pencil 454 are found so, and 443 without.
NOISY = 0.06
SECOND_BLUR = 1.0  # pixels, standard deviation
EIGHT_NEIGHBOURS = np.ones((3, 3))  # pixels that touch at a corner are connected

# Choice of the channel of a coloured picture, made on smaller copies.
LUMA = (0.299, 0.587, 0.114)  # weights of red, green, blue in lightness (ITU-R BT.601)
CHANNEL_SIDE = 500  # pixels, about, of a copy's longer side
DETAIL_WINDOW = 25  # pixels of a copy; anything larger is no fine detail
DETAIL_PERCENTILES = (0.5, 99.5)  # the range of detail, without outliers
CHANNEL_GAIN = 1.5  # a channel shows this many times the detail of the lightness

# Printed lines, looked for in a smaller copy.
LINE_SIDE = 500  # pixels, about, of the copy's longer side
LINE_THICKNESS = 0.02  # at most, share of the copy's longer side
MIN_LINE_THICKNESS = 5  # pixels of the copy; the limit above is never smaller
MAX_SLOPE = 0.1  # pixels of rise per pixel across, 6 degrees
SLOPE_STEP = 1.5  # pixels of rise over one run, from one slope tried to the next
RUNS_PER_WIDTH = 3  # a straight run is as long as the width divided by this
MIN_RUN = 3  # pixels of the copy
BRIDGED_INK = 0.85  # least share of ink in a run whose gaps are bridged
PLAIN_INK = 0.7  # least share of ink in a run as it is: digits in a row have more gaps
MIN_LINES = 3  # fewer lines count only if one of them is long
LONG_LINE = 0.85  # share of the width: longer than the bar of a 7
THICKNESS_MARGIN = 1.3  # a line's thickest place, as a multiple of its mean thickness

# Parts.
MIN_PART_SIDE = 3  # pixels of the longer side; a smaller part is a speck
MIN_PART_AREA = 6  # pixels
MIN_HOLE = 0.003  # area as a share of the longer side squared; a smaller hole is noise
SOFT_EDGE = 2  # pixels around a part that still belong to its blurred edge
RIM_GAP = 1.5  # pixels between a part and the rim in which paper is looked for
RIM_GAP_GROWTH = 0.3  # half stroke widths that are added: wide strokes have soft edges
RIM_WIDTH = 2  # pixels
LIGHT_VARIES = 4  # pixels, standard deviation of the Gaussian that follows the light
FRAME_CONTACT = 0.5  # share of the longer side that is at the picture's frame
FRAME_SIZE = 0.6  # share of the picture's shorter side; a larger part may be a digit

# Parts that are two digits which touch.
PAIR_ASPECT = (1.3, 2.6)  # width divided by height, least and greatest
MIN_PAIR_HEIGHT = 16  # pixels; the joint of a smaller pair cannot be told
PAIR_SHARE = 0.6  # of the height that half of all ink reaches, at least
MAX_JOINT = 2  # height of the joint in stroke widths
MIN_HALF_HEIGHT = 0.75  # height of each digit, share of the pair's height


class Bounds(NamedTuple):
    """A box of pixels. Bottom and right are open, as in a slice."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """The height in pixels."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """The width in pixels."""
        return self.right - self.left

    @property
    def longer_side(self) -> int:
        """The longer side in pixels."""
        return max(self.height, self.width)


class Part(NamedTuple):
    """Connected ink."""

    label: int  # of its pixels in Ink.labels
    bounds: Bounds
    area: int  # pixels
    stroke_width: float  # median, pixels
    max_stroke_width: float  # pixels
    contrast: float  # median, smoothed against noise
    paper_lightness: float  # mean, in [0, 1]; in the negative if ink is light
    paper_around: float  # share of the rim around it that is paper
    holes: int  # without tiny ones
    at_frame: bool  # it is small and lies along the picture's frame

    @property
    def height(self) -> int:
        """The height in pixels."""
        return self.bounds.height

    @property
    def width(self) -> int:
        """The width in pixels."""
        return self.bounds.width

    @property
    def longer_side(self) -> int:
        """The longer side in pixels."""
        return self.bounds.longer_side


class Ink(NamedTuple):
    """The ink of a picture, taken to be darker than paper or taken to be lighter."""

    strength: np.ndarray  # float32 (h, w), share of the strongest contrast nearby
    labels: np.ndarray  # int32 (h, w), 0 is paper
    parts: list[Part]
    mask: np.ndarray  # bool (h, w), ink with printed lines


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the least value up to which half of all weight lies; arrays are (n,)."""
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    index = np.searchsorted(cumulated, cumulated[-1] / 2)
    return float(values[order][index])


def bounds(group: Sequence[Part]) -> Bounds:
    """Return the box around all parts of a group."""
    boxes = [part.bounds for part in group]
    return Bounds(
        top=min(box.top for box in boxes),
        left=min(box.left for box in boxes),
        bottom=max(box.bottom for box in boxes),
        right=max(box.right for box in boxes),
    )


def grey_levels(image: Image.Image) -> np.ndarray:
    """Return a picture as float32 of shape (h, w), values in [0, 1], 1 is white.

    A coloured picture gives its lightness, or the channel that shows clearly more fine
    detail.
    """
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    pixels = np.asarray(image, np.float32) / 255
    if pixels.ndim == 2:
        return pixels
    lightness = pixels @ np.array(LUMA, np.float32)
    channels = [lightness, *np.moveaxis(pixels, 2, 0)]
    step = max(1, max(image.size) // CHANNEL_SIDE)
    details = [_range_of_detail(channel[::step, ::step]) for channel in channels]
    best = int(np.argmax(details))
    return channels[best] if details[best] > CHANNEL_GAIN * details[0] else lightness


def _range_of_detail(channel: np.ndarray) -> float:
    """Return how far fine detail spreads in lightness, in [0, 2]."""
    detail = channel - ndimage.uniform_filter(channel, DETAIL_WINDOW)
    low, high = np.percentile(detail, DETAIL_PERCENTILES)
    return high - low


def _paper(grey: np.ndarray, window: int) -> np.ndarray:
    """Return the lightness of the paper behind dark ink: a grey-scale closing.

    Dark places narrower than `window` pixels are filled. The picture's frame goes on
    outside. There, too, only narrow places are filled: a stroke that touches the frame,
    but not a desk, a hand or a vignette.
    """
    padded = np.pad(ndimage.gaussian_filter(grey, NOISE_BLUR), 1, mode="edge")
    for side in (padded[0], padded[-1], padded[:, 0], padded[:, -1]):
        side[:] = ndimage.grey_closing(side, window)
    padded = np.pad(padded, window - 1, mode="edge")
    dilated = ndimage.maximum_filter(padded, window, mode="nearest")
    # An even window has no middle. Its erosion must look one pixel further back.
    origin = -1 if window % 2 == 0 else 0
    closed = ndimage.minimum_filter(dilated, window, mode="nearest", origin=origin)
    return closed[window:-window, window:-window]


def share_of_light_paper(grey: np.ndarray, window: int) -> float:
    """Return the share of light pixels around anything that may be ink.

    Most pixels around ink are paper, so a share over 0.5 suggests light paper.

    Args:
        grey: float32 array of shape (h, w), values in [0, 1].
        window: pixels; anything wider is not ink.
    """
    lightest, darkest = _paper(grey, window), 1 - _paper(1 - grey, window)
    inked = lightest - darkest > MIN_CONTRAST
    around = ndimage.maximum_filter(inked.view(np.uint8), window // 2) > 0
    if not around.any():
        return 1.0
    midpoint = (
        ndimage.maximum_filter(grey, window) + ndimage.minimum_filter(grey, window)
    ) / 2
    return float(np.mean(grey[around] > midpoint[around]))


def find_ink(grey: np.ndarray, window: int, dark: bool, longest_stroke: float) -> Ink:
    """Return the ink of a picture and its parts.

    Args:
        grey: float32 array of shape (h, w), values in [0, 1].
        window: pixels; anything wider is not ink.
        dark: whether ink is darker than paper, or else lighter.
        longest_stroke: pixels; printed lines are longer. They are removed.
    """
    picture = grey if dark else 1 - grey
    paper = _paper(picture, window + 1 - window % 2)  # odd: it has a middle pixel
    contrast = paper - picture
    if dark:
        # Ink in the shadow differs less from its paper.
        contrast /= np.sqrt(np.maximum(paper, DARKEST_PAPER))
    smooth = ndimage.gaussian_filter(contrast, NOISE_BLUR)
    threshold = _ink_threshold(smooth)
    if threshold > NOISY:
        contrast = smooth
        smooth = ndimage.gaussian_filter(smooth, SECOND_BLUR)
        threshold = _ink_threshold(smooth)
    mask = smooth > threshold
    lines = printed_lines(mask, longest_stroke)
    smooth[lines] = contrast[lines] = 0
    labels, _ = ndimage.label(smooth > threshold, EIGHT_NEIGHBOURS)
    strongest = _strongest_nearby(smooth, labels)
    inked = (labels > 0) & (smooth > EDGE_SHARE * strongest)
    labels, _ = ndimage.label(inked, EIGHT_NEIGHBOURS)
    parts = _measure_parts(picture, paper, smooth, labels)
    if _cut_touching_digits(labels, parts):
        parts = _measure_parts(picture, paper, smooth, labels)
    return Ink(contrast / strongest, labels, parts, mask)


def _ink_threshold(contrast: np.ndarray) -> float:
    """Return the contrast above which a pixel is ink."""
    # Every third pixel is enough to estimate percentiles. Most pixels are paper, so the
    # lower half of the contrasts is noise.
    low, median = np.percentile(contrast[::3, ::3], (10, 50))
    return max(MIN_CONTRAST, median + NOISE_FACTOR * (median - low))


def _strongest_nearby(contrast: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the strongest contrast of the same part near each pixel: float32 (h, w).

    It is never taken to be less than a share of the part's strongest of all, and is
    infinite where there is no ink.
    """
    strongest = np.zeros_like(contrast)
    for label, place in enumerate(ndimage.find_objects(labels), start=1):
        longer_side = max(side.stop - side.start for side in place)
        if longer_side < MIN_PART_SIDE:
            continue
        box = Bounds(place[0].start, place[1].start, place[0].stop, place[1].stop)
        near = window_around(box, SOFT_EDGE)
        part = np.where(labels[near] == label, contrast[near], 0)
        nearby = ndimage.maximum_filter(part, 2 * int(NEARBY * longer_side) + 3)
        nearby[nearby > 0] = np.maximum(nearby, PALEST_STROKE * part.max())[nearby > 0]
        np.maximum(strongest[near], nearby, out=strongest[near])
    strongest[strongest == 0] = np.inf
    return strongest


def printed_lines(ink: np.ndarray, longest_stroke: float) -> np.ndarray:
    """Return where printed lines are, without strokes that cross them.

    Args:
        ink: bool array of shape (h, w).
        longest_stroke: pixels; printed lines are longer.

    Returns:
        Bool array of the same shape.
    """
    across = _lines_across(ink, longest_stroke)
    # Without them, nothing at a crossing looks like a stroke across the other line.
    return across | _lines_across((ink & ~across).T, longest_stroke).T


def _lines_across(ink: np.ndarray, longest_stroke: float) -> np.ndarray:
    """Return where printed lines go from left to right: bool (h, w).

    A single line must be long to count, because the bar of a 7 may look like one.
    """
    step = max(1, round(max(ink.shape) / LINE_SIDE))
    rows, columns = (side // step for side in ink.shape)
    # A picture hardly larger than its digits has no place for anything longer.
    if not rows or columns * step <= longest_stroke:
        return np.zeros_like(ink)
    length = max(MIN_RUN, columns // RUNS_PER_WIDTH, round(longest_stroke / step))
    blocks = ink[: rows * step, : columns * step].reshape(rows, step, columns, step)
    small = blocks.any(axis=(1, 3))
    thin = _thin_across(small)
    runs = _straight_runs(small, thin, length)
    labels, count = ndimage.label(runs, EIGHT_NEIGHBOURS)
    lengths = [place[1].stop - place[1].start for place in ndimage.find_objects(labels)]
    if not count or (count < MIN_LINES and max(lengths) < LONG_LINE * columns):
        return np.zeros_like(ink)
    one_up_and_down = np.ones((3, 1))
    near = _continued(labels, ndimage.binary_dilation(small, one_up_and_down), length)
    near = ndimage.binary_dilation(near, one_up_and_down)
    zone = ndimage.binary_dilation(runs | (near & thin), one_up_and_down)
    lines = np.zeros_like(ink)
    lines[: rows * step, : columns * step] = zone.repeat(step, 0).repeat(step, 1)
    return _without_strokes(lines & ink, ink)


def _thin_across(ink: np.ndarray) -> np.ndarray:
    """Return ink that is no thicker from top to bottom than a line: bool (h, w).

    A stroke that crosses a line leaves a gap in it, which is bridged.
    """
    thickness = max(MIN_LINE_THICKNESS, round(LINE_THICKNESS * max(ink.shape)))
    thin = ink & ~ndimage.binary_opening(ink, np.ones((thickness, 1)))
    # Closing takes ink away at the picture's frame.
    return thin | ndimage.binary_closing(thin, np.ones((1, 2 * thickness + 1)))


def _straight_runs(ink: np.ndarray, thin: np.ndarray, length: int) -> np.ndarray:
    """Return the thin ink on straight runs of `length` pixels from left to right."""
    rows, columns = ink.shape
    runs = np.zeros_like(ink)
    # At no slope is there more thin ink in a column than here.
    if _ink_nearby(thin.any(axis=0, keepdims=True), length).max() <= BRIDGED_INK:
        return runs
    x = np.arange(columns)
    # A little beyond the greatest slope, so that rounding does not leave it out.
    for slope in np.arange(-MAX_SLOPE, 1.001 * MAX_SLOPE, SLOPE_STEP / length):
        # Shear the picture so that lines of this slope are level.
        rise = np.round(slope * (x - columns / 2)).astype(int)
        y = np.arange(rows)[:, None] + rise
        outside = (y < 0) | (y >= rows)
        y = np.clip(y, 0, rows - 1)
        level = thin[y, x] & ~outside
        straight = (_ink_nearby(level, length) > BRIDGED_INK) & (
            _ink_nearby(ink[y, x], length) > PLAIN_INK
        )
        on_run = ndimage.maximum_filter1d(straight, length, axis=1) & level
        runs[y[on_run], np.broadcast_to(x, y.shape)[on_run]] = True
    return runs


def _continued(labels: np.ndarray, near_ink: np.ndarray, length: int) -> np.ndarray:
    """Return the lines on which straight runs lie, from side to side: bool (h, w).

    Digits break a printed line into runs, some of which are too short to be found. A
    line of which much is no ink is none: its run is a row of strokes.

    Args:
        labels: int32 array of shape (h, w), of the runs.
        near_ink: bool array of shape (h, w), ink and the pixels above and below.
        length: pixels; shorter runs do not show how their line slopes.
    """
    rows, columns = labels.shape
    x = np.arange(columns)
    lines = np.zeros(labels.shape, bool)
    for label, place in enumerate(ndimage.find_objects(labels), start=1):
        if place[1].stop - place[1].start < length:
            continue
        ys, xs = np.nonzero(labels[place] == label)
        slope, offset = np.polyfit(xs + place[1].start, ys + place[0].start, 1)
        y = np.round(slope * x + offset).astype(int)
        inside = (y >= 0) & (y < rows)
        line = y[inside], x[inside]
        if near_ink[line].mean() > PLAIN_INK:
            lines[line] = True
    return lines


def _ink_nearby(ink: np.ndarray, length: int) -> np.ndarray:
    """Return the share of ink in the `length` pixels around each pixel of a row."""
    share = ink.astype(np.float32)
    return ndimage.uniform_filter1d(share, length, axis=1, mode="constant")


def _without_strokes(lines: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Return printed lines without the strokes that cross them: bool (h, w)."""
    top_edges = np.diff(lines.astype(np.int8), axis=0, prepend=0) == 1
    mean_thickness = lines.sum() / max(1, top_edges.sum())
    thickness = int(np.ceil(mean_thickness * THICKNESS_MARGIN)) + 1
    strokes = ndimage.binary_opening(ink, np.ones((thickness + 1, 1)))
    # One pixel more above and below, where a line's edge is blurred.
    return ndimage.binary_dilation(lines & ~strokes, np.ones((3, 1))) & ~strokes


def _cut_touching_digits(labels: np.ndarray, parts: Sequence[Part]) -> int:
    """Cut each part that is two touching digits, in `labels`; return how many were cut.

    A single stroke joins the two digits near the middle, and each is about as tall as
    the pair.
    """
    if not parts:
        return 0
    heights, areas = np.array([(part.height, part.area) for part in parts]).T
    typical = weighted_median(heights, areas)
    first_free = int(labels.max()) + 1
    free = first_free
    for part in parts:
        if not _may_be_a_pair(part, typical):
            continue
        box = part.bounds
        window = labels[box.top : box.bottom, box.left : box.right]
        mask = window == part.label
        cut = _thinnest_column(mask)
        left, right = mask[:, :cut], mask[:, cut + 1 :]
        joint = np.flatnonzero(ndimage.binary_fill_holes(mask)[:, cut])
        is_stroke = len(joint) and np.ptp(joint) < MAX_JOINT * part.stroke_width
        lower_half = min(left.any(axis=1).sum(), right.any(axis=1).sum())
        if is_stroke and lower_half > MIN_HALF_HEIGHT * part.height:
            window[:, cut][mask[:, cut]] = 0
            window[:, cut + 1 :][right] = free
            free += 1
    return free - first_free


def _may_be_a_pair(part: Part, typical: float) -> bool:
    """Return whether a part is as wide as two digits, and hardly less tall."""
    least, greatest = (aspect * part.height for aspect in PAIR_ASPECT)
    is_tall = part.height >= max(MIN_PAIR_HEIGHT, PAIR_SHARE * typical)
    return least < part.width < greatest and is_tall


def _thinnest_column(mask: np.ndarray) -> int:
    """Return the column with the least ink in the middle 40 % of a part."""
    ink = mask.sum(axis=0)
    first = 3 * len(ink) // 10
    return first + int(np.argmin(ink[first : len(ink) - first]))


def _measure_parts(
    picture: np.ndarray, paper: np.ndarray, contrast: np.ndarray, labels: np.ndarray
) -> list[Part]:
    """Return the parts that are no specks; all arrays are of shape (h, w)."""
    areas = np.bincount(labels.ravel())
    smooth = ndimage.gaussian_filter(picture, NOISE_BLUR)
    parts = []
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        box = Bounds(rows.start, columns.start, rows.stop, columns.stop)
        if box.longer_side < MIN_PART_SIDE or areas[label] < MIN_PART_AREA:
            continue
        # With a margin that holds the rim.
        near = window_around(box, 4 + box.longer_side // 10)
        mask = labels[near] == label
        # Ink at the picture's frame ends there.
        distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        half_stroke = half_stroke_width(distance)
        midpoint = (paper[near] + picture[near]) / 2
        is_paper = smooth[near] > _extended(midpoint, mask, LIGHT_VARIES)
        parts.append(
            Part(
                label=label,
                bounds=box,
                area=int(areas[label]),
                stroke_width=stroke_width(half_stroke),
                max_stroke_width=stroke_width(float(distance.max())),
                contrast=float(np.median(contrast[near][mask])),
                paper_lightness=float(paper[near][mask].mean()),
                paper_around=_share_on_rim(is_paper, mask, half_stroke),
                holes=_count_holes(mask, MIN_HOLE * box.longer_side**2),
                at_frame=_lies_along_frame(labels, label, box),
            )
        )
    return parts


def _extended(values: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """Return values from inside a mask, averaged nearby, for pixels around it, too."""
    near = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(mask, values, 0), sigma)
    return total / np.maximum(near, np.finfo(np.float32).tiny)


def window_around(box: Bounds, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of a box and `margin` pixels around it."""
    return np.s_[
        max(0, box.top - margin) : box.bottom + margin,
        max(0, box.left - margin) : box.right + margin,
    ]


def half_stroke_width(distance: np.ndarray) -> float:
    """Return the median distance from a stroke's middle line to its edge, in pixels.

    Args:
        distance: float64 array of shape (h, w), the Euclidean distance transform: from
            each ink pixel to the nearest paper pixel, 0 on paper.
    """
    # The middle line (Blum's medial axis) is the ridge of the distance transform.
    ridge = (distance == ndimage.maximum_filter(distance, 3)) & (distance > 0)
    return float(np.median(distance[ridge]))


def stroke_width(half_width: float) -> float:
    """Return the width of a stroke whose middle line is `half_width` from paper.

    Distances are between the centres of pixels. A stroke w pixels wide has its middle
    line at (w + 1) / 2 if w is odd and at w / 2 if it is even. Half a pixel less than
    twice the distance lies between the two.
    """
    return 2 * half_width - 0.5


def _share_on_rim(is_paper: np.ndarray, mask: np.ndarray, half_stroke: float) -> float:
    """Return the share of paper on the rim around a part, 0 if there is no rim."""
    distance = ndimage.distance_transform_edt(~mask)
    gap = RIM_GAP + RIM_GAP_GROWTH * half_stroke
    rim = (distance > gap) & (distance < gap + RIM_WIDTH)
    return float(np.mean(is_paper[rim])) if rim.any() else 0.0


def _count_holes(mask: np.ndarray, min_area: float) -> int:
    """Return how many holes of more than `min_area` pixels a part has.

    Smaller ones count only if they are most of the part, as on finely squared paper.
    """
    labels, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    areas = np.bincount(labels.ravel())[2:]  # label 0 is ink, 1 is outside
    large = areas > min_area
    many = areas[~large].sum() > mask.sum()
    return len(areas) if many else int(large.sum())


def _lies_along_frame(labels: np.ndarray, label: int, box: Bounds) -> bool:
    """Return whether a part is small and much of it is at one side of the picture."""
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    sides = labels[rows, 0], labels[rows, -1], labels[0, columns], labels[-1, columns]
    contact = max(int(np.sum(side == label)) for side in sides)
    is_small = box.longer_side < FRAME_SIZE * min(labels.shape)
    return is_small and contact > FRAME_CONTACT * box.longer_side
