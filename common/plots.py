"""Figures: drawn, shown or saved. Drawing opens no window and leaves no figure open."""

import contextlib
import functools
import io
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from common import files
from common.paths import shown


@contextlib.contextmanager
def _any_backend() -> Iterator[None]:
    """Let matplotlib be imported where MPLBACKEND names a backend that is missing.

    A notebook sets it for each process that it starts, whatever is installed there.
    The variable is restored; matplotlib uses the backend if there is one.
    """
    if "matplotlib" in sys.modules or "MPLBACKEND" not in os.environ:
        yield
        return
    name = os.environ.pop("MPLBACKEND")
    try:
        yield
    finally:
        os.environ["MPLBACKEND"] = name
    with contextlib.suppress(ValueError):  # there is no such backend
        matplotlib.rcParams["backend"] = name


with _any_backend():
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.backends import BackendFilter, backend_registry
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm
    from matplotlib.figure import Figure

Drawn = Figure | Image.Image

# Okabe and Ito's colours, told apart with any kind of colour vision.
BLUE, ORANGE, SKY = "#0072B2", "#D55E00", "#56B4E9"
# Matplotlib's own, which has the letters of many scripts. Pillow 10.1 wants a str.
FONT = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
# A legend above the axes, where it hides no point.
ABOVE = {
    "frameon": False,
    "loc": "lower center",
    "bbox_to_anchor": (0.5, 1),
    "ncols": 2,
}


def save(
    figure: Drawn | Callable[[], Drawn], path: Path, source: str | None = None
) -> str | None:
    """Write a figure as PNG, never a part of it; a notebook shows it below the cell.

    Args:
        figure: Matplotlib's figure, an image of Pillow's, or what draws either.
        path: of the PNG; its folder is created.
        source: what the figure shows, in ASCII. It is noted in the PNG. Where `path` is
            taken by anything but an earlier figure of the same source, the first of
            NAME-2.png, NAME-3.png that is not is written.

    Returns:
        The path to print; None where drawing or writing failed, which a line on stderr
        says.
    """
    with files.optional(path):
        png = _png(figure() if callable(figure) else figure, source)
        place = _not_taken(path, source) if source else path
        files.write(place, png)
        if source:
            _sources(path.absolute())[place.name] = source
        if _in_notebook():
            from IPython import display

            display.display(display.Image(png))
        return shown(place)
    return None


def _png(drawn: Drawn, source: str | None) -> bytes:
    """Return a PNG of a figure, in which the source is noted."""
    png = io.BytesIO()
    if isinstance(drawn, Image.Image):
        noted = PngInfo()
        if source:
            noted.add_text("Source", source)
        # Level 3 takes half as long as 6, the usual one.
        drawn.save(png, "PNG", pnginfo=noted, compress_level=3)
    else:
        drawn.savefig(png, format="png", dpi=120, metadata={"Source": source})
    return png.getvalue()


@functools.cache
def _sources(path: Path) -> dict[str, str | None]:
    """Return the sources of NAME.png, NAME-2.png ... as far as they were looked at.

    None is that of any other file. Thousands may have one name: none is opened for
    each of the others.
    """
    return {}


def _not_taken(path: Path, source: str) -> Path:
    """Return the first of NAME.png, NAME-2.png ... that is unused or of `source`."""
    known = _sources(path.absolute())
    numbered = (f"{path.stem}-{n}{path.suffix}" for n in itertools.count(2))
    for name in itertools.chain([path.name], numbered):
        place = path.with_name(name)
        if name not in known and os.path.lexists(place):
            known[name] = _source(place)
        if known.get(name, source) == source:
            if not os.path.lexists(place) or _source(place) == source:
                return place
            known[name] = None  # replaced meanwhile
    raise AssertionError("numbers do not end")


def _source(path: Path) -> str | None:
    """Return the source that `save` noted in a PNG; None for anything else."""
    if not path.is_file():  # opening a pipe would wait
        return None
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")  # of somebody's huge picture
        with Image.open(path, formats=["PNG"]) as png:
            return png.info.get("Source")
    return None


def show_or_save(draw: Callable[[Figure], None], path: Path) -> str | None:
    """Show a figure in a window, or write it to `path` where there is no display.

    A window stays open at a prompt whose windows do not wait (``%matplotlib qt``).

    Args:
        draw: draws into the empty figure that it is given.
        path: of the PNG.

    Returns:
        The path to print; None where a window was shown or, as `save` says, writing
        failed.
    """
    figure = _window()
    if figure is not None:
        from matplotlib import pyplot

        draw(figure)
        pyplot.show()
        return None

    def drawn() -> Figure:
        figure = Figure(layout="constrained")
        draw(figure)
        return figure

    return save(drawn, path)


def _window() -> Figure | None:
    """Return an empty figure in a window; None where windows cannot be opened."""
    from matplotlib import pyplot

    windows = set(backend_registry.list_builtin(BackendFilter.INTERACTIVE))
    windows -= {"nbagg", "notebook"}  # drawn by a notebook's page
    # The backend that MPLBACKEND names may need what is not installed, or a display.
    with contextlib.suppress(ImportError, RuntimeError):
        if matplotlib.get_backend().lower() in windows:
            return pyplot.figure(layout="constrained")
    return None


def _in_notebook() -> bool:
    """Return whether this runs in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def draw_digit(axes: Axes, image: np.ndarray, title: str, wrong: bool = False) -> None:
    """Draw a digit under its title, which is orange if the answer is wrong.

    Args:
        axes: empty ones.
        image: float array of 784 values in [0, 1], 1 is ink.
        title: the answer.
        wrong: whether the answer is wrong or unsure.
    """
    axes.imshow(image.reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
    axes.set_title(title, fontsize=10, color=ORANGE if wrong else "black")
    axes.set_axis_off()


def digit_grid(figure: Figure, images: np.ndarray, labels: Sequence[int]) -> None:
    """Draw digits with their labels, four in a row.

    Args:
        figure: an empty one.
        images: float array of shape (n, 784), values in [0, 1], 1 is ink.
        labels: n digits.
    """
    columns = min(len(images), 4)
    rows = -(-len(images) // columns)
    figure.set_size_inches(1.25 * columns + 0.5, 1.35 * rows + 0.5)
    for axes, image, label in zip(
        figure.subplots(rows, columns, squeeze=False).flat, images, labels, strict=False
    ):
        draw_digit(axes, image, str(label))


def curves(history: Sequence[Mapping[str, float | None]], title: str) -> Figure:
    """Return loss and accuracy against epochs, training and validation.

    Args:
        history: rows of history.csv.
        title: what was run.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    epochs = [row["epoch"] for row in history]
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for split, colour, marker in (
            ("training", BLUE, "o"),
            ("validation", ORANGE, "s"),
        ):
            values = [row[f"{split}_{quantity}"] for row in history]
            if None not in values:
                axes.plot(
                    epochs, values, color=colour, marker=marker, ms=4, label=split
                )
        axes.set_xlabel("epoch")
        axes.set_ylabel(quantity)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def predictions(
    figure: Figure, images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray
) -> None:
    """Draw each image with its answer, one alone beside a chart of its probabilities.

    Args:
        figure: an empty one.
        images: float array of shape (n, 784), values in [0, 1], 1 is ink.
        labels: int array of shape (n,), the truth.
        probabilities: float array of shape (n, 10).
    """
    answers = probabilities.argmax(axis=1)
    is_wrong = answers != labels
    titles = [
        f"{answer} ({row.max():.3f})" + (f", is {label}" if wrong else "")
        for answer, row, label, wrong in zip(
            answers, probabilities, labels, is_wrong, strict=True
        )
    ]
    if len(images) > 1:
        columns = min(len(images), 10)
        rows = -(-len(images) // columns)
        figure.set_size_inches(1.3 * columns, 1.5 * rows)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, *digit in zip(grid.flat, images, titles, is_wrong, strict=False):
            draw_digit(axes, *digit)
        return
    figure.set_size_inches(7, 3.2)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    draw_digit(left, images[0], f"predict={answers[0]}, correct={labels[0]}")
    colours = [ORANGE if digit == answers[0] else BLUE for digit in range(10)]
    bars = right.bar(range(10), probabilities[0], color=colours)
    right.bar_label(bars, [f"{p:.2f}" for p in probabilities[0]], fontsize=8)
    right.set(xticks=range(10), ylim=(0, 1.08), xlabel="digit", ylabel="probability")
    right.spines[["top", "right"]].set_visible(False)


def report(
    measured: Mapping[str, Any],
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    title: str,
) -> Figure:
    """Return confusion matrix, precision and recall, calibration and mistakes.

    Args:
        measured: what evaluate.measure returned for the probabilities.
        images: float array of shape (n, 784), values in [0, 1], 1 is ink.
        labels: int array of shape (n,), the truth.
        probabilities: float array of shape (n, 10).
        title: what was run.
    """
    figure = Figure(figsize=(9, 7.4), layout="constrained")
    figure.suptitle(title, fontsize=11)
    top, bottom = figure.subfigures(2, 1, height_ratios=(5, 1.25))
    panels = top.subplot_mosaic("mmd;mmc")
    _confusion(panels["m"], np.array(measured["confusion"]))
    _precision_and_recall(panels["d"], measured["digits"])
    right = probabilities.argmax(axis=1) == labels
    _calibration(panels["c"], measured, right, probabilities.max(axis=1))
    mistakes = measured["mistakes"]
    heading = "most confident mistakes" if mistakes else "no mistakes"
    bottom.suptitle(heading, fontsize=10)
    places = bottom.subplots(1, max(10, len(mistakes)))  # few are not drawn larger
    for axes in places:
        axes.set_axis_off()
    for axes, row in zip(places, mistakes, strict=False):
        text = "{answer} ({probability:.2f})\nis {truth}".format(**row)
        draw_digit(axes, images[row["index"]], text, wrong=True)
    return figure


def _confusion(axes: Axes, counts: np.ndarray) -> None:
    from sklearn.metrics import ConfusionMatrixDisplay

    ConfusionMatrixDisplay(counts).plot(
        ax=axes,
        # As light as black figures need; the root shows single mistakes beside
        # thousands of right answers.
        cmap=LinearSegmentedColormap.from_list("light", ["white", SKY]),
        im_kw={"norm": PowerNorm(0.3, vmin=0)},
        text_kw={"color": "black", "fontsize": 9},
        values_format="d",
        colorbar=False,
    )
    for text in axes.texts:
        if text.get_text() == "0":
            text.set_text("")
    axes.set(xlabel="answer", ylabel="truth")


def _precision_and_recall(axes: Axes, digits: Sequence[Mapping[str, Any]]) -> None:
    # Hollow squares, so that equal values are both seen.
    for quantity, style in (
        ("precision", {"color": BLUE, "marker": "o", "ms": 4}),
        ("recall", {"color": ORANGE, "marker": "s", "ms": 7, "mfc": "none"}),
    ):
        values = [np.nan if row[quantity] is None else row[quantity] for row in digits]
        axes.plot(values, ls="", label=quantity, **style)
    axes.set(xticks=range(10), xlabel="digit")
    axes.grid(alpha=0.3)
    axes.legend(**ABOVE)


def _calibration(
    axes: Axes, measured: Mapping[str, Any], right: np.ndarray, confidence: np.ndarray
) -> None:
    from sklearn.calibration import CalibrationDisplay

    bins, error = measured["calibration_bins"], measured["calibration_error"]
    axes.hist(
        confidence,
        bins=bins,
        range=(0, 1),
        weights=np.full(len(right), 1 / len(right)),
        color="lightgray",
        label="share of images",
    )
    CalibrationDisplay.from_predictions(
        right,
        confidence,
        n_bins=bins,
        ax=axes,
        name="accuracy",
        ref_line=False,
        color=BLUE,
        ms=4,
    )
    axes.axline((0, 0), slope=1, color="black", ls=":")
    axes.set(xlabel=f"confidence (calibration error {error:.4f})", ylabel="")
    axes.legend(**ABOVE)
