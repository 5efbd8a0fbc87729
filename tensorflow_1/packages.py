"""What NumPy, Matplotlib and scikit-learn had when TensorFlow 1 was current."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

# What other packages have under names that the hooks replaced.
originals: dict[str, Any] = {}


def reshape(
    a: np.ndarray,
    shape: int | Sequence[int] | None = None,
    order: str = "C",
    *,
    newshape: int | Sequence[int] | None = None,
    **options: object,
) -> np.ndarray:
    """np.reshape, whose shape was called newshape before NumPy 2.1."""
    call = originals["numpy.reshape"]
    return call(a, shape if newshape is None else newshape, order, **options)


def fromstring(
    string: str | bytes, dtype: object = float, count: int = -1, *, sep: str = ""
) -> np.ndarray:
    """np.fromstring of bytes: np.frombuffer, copied."""
    if sep:
        return originals["numpy.fromstring"](string, dtype, count, sep=sep)
    return np.frombuffer(string, dtype, count).copy()


def asscalar(a: np.ndarray) -> float:
    """np.asscalar(a): a.item()."""
    return a.item()


def set_window_title(canvas: Any, title: str) -> None:  # noqa: ANN401
    """canvas.set_window_title(title): canvas.manager.set_window_title(title)."""
    canvas.manager.set_window_title(title)


def tostring_rgb(canvas: Any) -> bytes:  # noqa: ANN401
    """canvas.tostring_rgb(): canvas.buffer_rgba() without its last channel."""
    return np.asarray(canvas.buffer_rgba())[..., :3].tobytes()


def draggable(legend: Any, state: bool | None = None, **options: object) -> object:  # noqa: ANN401
    """legend.draggable(state): legend.set_draggable(state); None turns it over."""
    state = not legend.get_draggable() if state is None else state
    return legend.set_draggable(state, **options)


def hold(*_: object) -> None:
    """plt.hold(True): figures always are drawn over."""


def get_cmap(name: str | None = None) -> object:
    """Return a colour map by its name."""
    import matplotlib as mpl

    return mpl.colormaps[name or mpl.rcParams["image.cmap"]]


def use(backend: str, **options: object) -> None:
    """matplotlib.use(backend), but that a window needs a display."""
    files = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")
    if (
        "tensorflow_1" not in os.environ.get("MPLBACKEND", "")
        or backend.lower() in files
    ):
        originals["matplotlib.use"](backend, **options)


def tsne(*args: object, **options: object) -> object:
    """TSNE, whose max_iter was called n_iter before scikit-learn 1.5."""
    kind = originals["sklearn.manifold.TSNE"]
    if "n_iter" in options and "n_iter" not in kind._parameter_constraints:
        options["max_iter"] = options.pop("n_iter")
    return kind(*args, **options)
