"""Pictures in scipy.misc, which SciPy 1.3 dropped, on Pillow."""

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from PIL import Image
from scipy.special import comb, factorial, logsumexp

__all__ = [
    "bytescale",
    "comb",
    "factorial",
    "imread",
    "imresize",
    "imrotate",
    "imsave",
    "logsumexp",
    "toimage",
]

Size = int | float | Sequence[int]
RESAMPLING = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "cubic": 3}


def bytescale(
    data: np.ndarray,
    cmin: float | None = None,
    cmax: float | None = None,
    high: int = 255,
    low: int = 0,
) -> np.ndarray:
    """Return values stretched from `cmin`..`cmax` to uint8 from `low` to `high`.

    By default these are the least and the largest value. uint8 stays as it is.
    """
    if data.dtype == np.uint8:
        return data
    data = np.asarray(data, np.float64)
    cmin = data.min() if cmin is None else cmin
    cmax = data.max() if cmax is None else cmax
    scaled = (data - cmin) * (high - low) / (cmax - cmin or 1) + low
    return (scaled.clip(low, high) + 0.5).astype(np.uint8)


def toimage(
    arr: np.ndarray,
    high: int = 255,
    low: int = 0,
    cmin: float | None = None,
    cmax: float | None = None,
    **_: object,
) -> Image.Image:
    """Return an array (rows, columns) or (rows, columns, 3 or 4) as a picture.

    Channels may come first. Values are stretched as `bytescale` does.
    """
    arr = np.asarray(arr)
    if arr.ndim == 3 and arr.shape[2] not in (3, 4) and arr.shape[0] in (3, 4):
        arr = np.moveaxis(arr, 0, 2)
    if arr.ndim not in (2, 3) or arr.shape[2:] not in ((), (3,), (4,)):
        raise ValueError(f"array of shape {arr.shape} is no picture")
    return Image.fromarray(bytescale(arr, cmin, cmax, high, low))


def imsave(name: str | BinaryIO, arr: np.ndarray, format: str | None = None) -> None:
    """Write an array as a picture; the name's ending is its format."""
    toimage(arr).save(name, format)


def imread(
    name: str | BinaryIO, flatten: bool = False, mode: str | None = None
) -> np.ndarray:
    """Return a picture as uint8 array; flattened, as float32 levels of grey."""
    picture = Image.open(name)
    if mode or picture.mode == "P":
        picture = picture.convert(mode or "RGB")
    if flatten:
        return np.asarray(picture.convert("F"))
    return np.array(picture)


def imresize(
    arr: np.ndarray, size: Size, interp: str = "bilinear", mode: str | None = None
) -> np.ndarray:
    """Return a picture in another size, uint8.

    Args:
        arr: as `toimage` takes it.
        size: (rows, columns); a float is a factor, an int a percentage.
        interp: nearest, lanczos, bilinear, bicubic or cubic.
        mode: Pillow's, to convert to.
    """
    picture = toimage(arr)
    if mode:
        picture = picture.convert(mode)
    if isinstance(size, Sequence):
        rows, columns = size
    else:
        factor = size / 100 if isinstance(size, int) else size
        rows, columns = int(picture.height * factor), int(picture.width * factor)
    return np.array(picture.resize((columns, rows), RESAMPLING[interp]))


def imrotate(arr: np.ndarray, angle: float, interp: str = "bilinear") -> np.ndarray:
    """Return a picture turned by `angle` degrees, counter-clockwise, uint8."""
    return np.array(toimage(arr).rotate(angle, RESAMPLING[interp]))
