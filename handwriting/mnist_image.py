"""Bring the ink of a digit into the form of MNIST's images.

As MNIST was made (Y. LeCun et al., "Gradient-Based Learning Applied to Document
Recognition", 1998, section III): the longer side scaled to 20 pixels and the centre of
mass put in the middle of 28x28. Strokes are first grown or shrunk, by the signed
distance to their edge, to thicknesses that MNIST has.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from handwriting.ink import Ink, Part, bounds

# Of a digit's 20 pixels; the 10th and 90th percentile of MNIST's training images.
STROKE = (1.9, 3.6)


def mnist_image(ink: Ink, group: Sequence[Part], angle: float) -> np.ndarray:
    """Return a digit as MNIST has it: float32 array of shape (28, 28), ink is 1.

    Args:
        ink: of the picture.
        group: the parts that are the digit.
        angle: slope of the line that it stands on, radians; it is turned back.
    """
    top, left, bottom, right = bounds(group)
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
