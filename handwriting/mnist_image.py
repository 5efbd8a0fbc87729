"""Give the ink of a digit the form of MNIST's images.

MNIST's own steps are those of Y. LeCun et al., "Gradient-Based Learning Applied to
Document Recognition", 1998, section III: the longer side is scaled to 20 pixels, and
the centre of mass is moved to the middle of 28x28 pixels. Before these steps, strokes
are made thicker or thinner if MNIST has none so thin or so thick. The signed distance
to their edge says which pixels are added or removed.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from handwriting.ink import (
    SOFT_EDGE,
    Ink,
    Part,
    bounds,
    grey_levels,
    half_stroke_width,
    stroke_width,
    window_around,
)

# The form of MNIST's images.
DIGIT_SIDE = 20  # pixels of a digit's longer side
MARGIN = 0.2  # around a digit, share of its longer side; 4 + 20 + 4 pixels are 28
MIDDLE = 14  # pixel in which the centre of mass lies, across and down
# Pixels; the 10th and 90th percentile of MNIST's training images.
STROKE_WIDTHS = (1.9, 3.6)

# A picture of 28x28 pixels that needs no preparing. Images of MNIST that are saved in
# black and white are up to 3 pixels shorter and 1 pixel off.
SIDE_TOLERANCE = 3  # pixels
MASS_TOLERANCE = 1.5  # pixels from the middle to the centre of mass, across or down
BLANK_FRAME = 0.2  # share of the strongest ink: anything paler at the frame is paper

# How the ink is prepared.
ENLARGED = 5  # times DIGIT_SIDE: the size at which stroke width is changed
MIN_ANGLE = 0.1  # radians; a smaller slope is not turned back
FULL_INK = 60  # percentile of a digit's strengths that counts as ink 1
FAINT_INK = (
    0.4  # share of the darkest ink; anything fainter does not count for the crop
)


def mnist_image(ink: Ink, group: Sequence[Part], angle: float) -> np.ndarray:
    """Return a digit in MNIST's form: float32 array of shape (28, 28), 1 is ink.

    Args:
        ink: of the picture.
        group: the parts of the digit.
        angle: slope of the digit's line of text in radians. It is turned back.
    """
    image = _cut_out(ink, group)
    if abs(angle) > MIN_ANGLE:
        image = ndimage.rotate(image, np.degrees(angle), order=1)
    image = _cropped_and_scaled(image, ENLARGED * DIGIT_SIDE)
    image = _with_stroke_width_of_mnist(image / image.max())
    return _centred(_cropped_and_scaled(image, DIGIT_SIDE))


def already_mnist_image(picture: Image.Image) -> np.ndarray | None:
    """Return a picture that has MNIST's form as it is, with paper 0 and ink 1.

    Args:
        picture: of mode L or RGB, in either polarity.

    Returns:
        float32 array of shape (28, 28), values in [0, 1]; None if the picture has
        another size, or a digit of another size or elsewhere.
    """
    if picture.size != (2 * MIDDLE, 2 * MIDDLE):
        return None
    grey = grey_levels(picture)
    frame = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = np.median(frame)
    away = grey - paper
    strongest = away.flat[np.abs(away).argmax()]
    if np.abs(frame - paper).max() >= BLANK_FRAME * abs(strongest):
        return None  # something at the frame, or nothing at all
    image = np.clip(away / strongest, 0, 1)
    rows, columns = np.nonzero(image > 0.5)
    longer_side = max(np.ptp(rows), np.ptp(columns)) + 1
    off_middle = np.abs(np.array(ndimage.center_of_mass(image)) - MIDDLE).max()
    if abs(longer_side - DIGIT_SIDE) > SIDE_TOLERANCE or off_middle > MASS_TOLERANCE:
        return None
    return image


def _cut_out(ink: Ink, group: Sequence[Part]) -> np.ndarray:
    """Return a digit's ink with soft edges: float array of shape (h, w) in [0, 1]."""
    box = bounds(group)
    # Room for soft edges and for turning.
    margin = max(4, box.longer_side // 8)
    window = window_around(box, margin)
    mask = np.isin(ink.labels[window], [part.label for part in group])
    near = ndimage.binary_dilation(mask, iterations=SOFT_EDGE)
    strength = ink.strength[window]
    full = np.percentile(strength[mask], FULL_INK)
    return np.pad(np.clip(strength / full, 0, 1) * near, margin)


def _with_stroke_width_of_mnist(image: np.ndarray) -> np.ndarray:
    """Return a digit whose strokes are as wide as some in MNIST.

    Args:
        image: float array of shape (h, w), values in [0, 1], ENLARGED times MNIST's
            size.
    """
    solid = image > 0.5  # the level at a stroke's edge
    inside = ndimage.distance_transform_edt(solid)
    width = stroke_width(half_stroke_width(inside)) / ENLARGED
    wanted = np.clip(width, *STROKE_WIDTHS)
    if wanted == width:
        return image
    signed = inside - ndimage.distance_transform_edt(~solid)
    growth = (wanted - width) * (ENLARGED / 2)  # pixels on each side of a stroke
    return np.clip(0.5 + signed + growth, 0, 1)


def _cropped_and_scaled(image: np.ndarray, side: int) -> np.ndarray:
    """Return the ink, cropped and scaled to a longer side of `side` pixels.

    Args:
        image: float array of shape (h, w), values in [0, 1].
        side: pixels.

    Returns:
        float32 array of shape (1.4 side, 1.4 side), values in [0, 1], the ink in the
        middle.
    """
    ink = image > FAINT_INK * image.max()
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    top, bottom = rows[0], rows[-1] + 1
    left, right = columns[0], columns[-1] + 1
    scale = side / max(bottom - top, right - left)
    margin = int(MARGIN * side)
    half = (margin + side / 2) / scale
    x, y = (left + right) / 2, (top + bottom) / 2
    box = (x - half, y - half, x + half, y + half)
    # Pillow resizes no box that reaches beyond the image.
    height, width = image.shape
    pad = int(np.ceil(max(0, -min(box), box[2] - width, box[3] - height)))
    padded = Image.fromarray(np.pad(image, pad).astype(np.float32))
    new = side + 2 * margin
    result = padded.resize((new, new), Image.BICUBIC, box=[edge + pad for edge in box])
    return np.clip(np.asarray(result), 0, 1)


def _centred(image: np.ndarray) -> np.ndarray:
    """Return an image of shape (28, 28) with its centre of mass at (14, 14)."""
    y, x = ndimage.center_of_mass(image)
    shift = np.round([MIDDLE - y, MIDDLE - x]).astype(int)
    return ndimage.shift(image, shift, order=0).astype(np.float32)
