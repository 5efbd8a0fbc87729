"""Measure how many letters could be refused, and how many digits would be with them.

    python benchmarks/not_a_digit.py --data_dir data

Letters of matplotlib's fonts, slanted and turned, are found on a page as digits are.
Four measures of the trained network say how much each looks like a digit. A threshold
on each lets a share of MNIST's validation images fall below it. The table, also written
to benchmarks/results/not_a_digit.md, tells how many letters fall below it, and how many
digits of the generated sheets. The measures are the largest probability; the energy of
W. Liu et al., "Energy-based Out-of-distribution Detection", 2020; and the distance to
the nearest digit, among logits and among the last hidden layer's units, of K. Lee et
al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", 2018.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import sheets
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from runner import RESULTS
from scipy.special import logsumexp

import input_data
import model
from common import cli
from common.session import available_cores, session_config, tf
from handwriting import find_digits, reading
from saving import checkpoints
from saving.run import Run

# Without those that look like a digit: B, b, D, g, I, i, l, O, o, q, S, s, Z, z.
LETTERS = "ACEFGHJKLMNPQRTUVWXYacdefhjkmnprtuvwxy"
FONTS = "DejaVuSans.ttf DejaVuSerif.ttf cmr10.ttf cmmi10.ttf cmss10.ttf STIXGeneral.ttf"
TIMES = 12  # each letter is written
KINDS = "", "photo paper ink size polarity", "pressure", "pencil photo"  # of sheets
SHEETS = 10  # of each kind
FITTED = 20_000  # training images to which the distances are fitted
BATCH = 500  # images
RIDGE = 1e-3  # share of the mean variance that is added to each
REFUSED = (0.003, 0.01, 0.02, 0.05)  # shares of the validation images


def letters(rng: np.random.Generator) -> np.ndarray:
    """Return what is found on pages with one letter each: float32 (n, 28, 28)."""
    folder = Path(font_manager.findfont("DejaVu Sans")).parent
    fonts = [ImageFont.truetype(folder / name, 100) for name in FONTS.split()]
    found = []
    for letter in LETTERS * TIMES:
        page = Image.new("L", (300, 300), 255)
        font = fonts[rng.integers(len(fonts))]
        ImageDraw.Draw(page).text((90, 70), letter, font=font, fill=0)
        slant = rng.uniform(-0.3, 0.3)
        shear = (1, slant, -150 * slant, 0, 1, 0)
        page = page.transform(page.size, Image.AFFINE, shear, fillcolor=255)
        page = page.rotate(rng.uniform(-10, 10), fillcolor=255)
        found += [image for _, image in find_digits.find_digits(page)]
    return np.stack(found)


def handwriting(test: input_data.DataSet) -> np.ndarray:
    """Return the digits of generated sheets: float32 (n, 28, 28)."""
    found = []
    for kind, level in enumerate(KINDS):
        for number in range(SHEETS):
            rng = np.random.default_rng([sheets.SEED, kind, number])
            page = sheets.sheet(
                rng, test.images.reshape(-1, 28, 28), test.labels, level
            )
            found += [image for _, image in find_digits.find_digits(page.image)]
    return np.stack(found)


def activations(run: Run, images: dict[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Return float32 (n, 1024) and (n, 10), the last hidden layer and the logits."""
    config = session_config(available_cores(), bfloat16=False)
    with tf.Graph().as_default() as graph, tf.Session(config=config) as session:
        pixels = tf.placeholder(tf.float32, [None, model.PIXELS])
        network = run.settings.network
        logits = model.inference(model.as_images(pixels), network, run.architecture)
        hidden = graph.get_tensor_by_name("full_connection_1/relu:0")
        checkpoints.restore(session, run, run.best, tf.trainable_variables())

        def of(some: np.ndarray) -> list[np.ndarray]:
            rows = some.reshape(-1, model.PIXELS)
            batches = [rows[k : k + BATCH] for k in range(0, len(rows), BATCH)]
            found = [session.run([hidden, logits], {pixels: one}) for one in batches]
            return [np.concatenate(layer) for layer in zip(*found, strict=True)]

        return {what: of(some) for what, some in images.items()}


def distance(
    fitted: np.ndarray, labels: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what measures the squared Mahalanobis distance to the nearest digit."""
    means = np.stack([fitted[labels == digit].mean(axis=0) for digit in range(10)])
    covariance = np.cov((fitted - means[labels]).T)
    covariance += RIDGE * np.eye(len(covariance)) * covariance.trace() / len(covariance)
    inverse = np.linalg.inv(covariance)

    def to_nearest(points: np.ndarray) -> np.ndarray:
        away = [points - mean for mean in means]
        return np.min([((one @ inverse) * one).sum(axis=1) for one in away], axis=0)

    return to_nearest


def table(measures: dict[str, dict[str, np.ndarray]]) -> list[str]:
    """Return rows of Markdown from each measure's values; digits have the greater."""
    lines = [
        "| measure | validation images refused | digits of sheets refused "
        "| letters refused |",
        "|---|---|---|---|",
    ]
    for name, values in measures.items():
        for share in REFUSED:
            least = np.quantile(values["validation"], share)
            sheet, letter = (
                np.mean(values[what] < least) for what in ("sheets", "letters")
            )
            lines.append(f"| {name} | {share:.1%} | {sheet:.1%} | {letter:.0%} |")
    return lines


def main() -> None:
    """Measure, and write the table."""
    network, data_dir = sheets.network_and_data_dir(__doc__)
    _, mnist = input_data.load("mnist", data_dir, 5000)
    train = mnist.train
    images = {
        "train": train.images[:FITTED],
        "validation": mnist.validation.images,
        "sheets": handwriting(mnist.test),
        "letters": letters(np.random.default_rng(sheets.SEED)),
    }
    layers = activations(network.run, images)
    hidden, logits = ({what: two[k] for what, two in layers.items()} for k in (0, 1))
    scale = network.run.temperature
    measures = {
        "largest probability": lambda what: network.probabilities(images[what]).max(1),
        "energy": lambda what: logsumexp(logits[what] / scale, axis=1),
    }
    for name, layer in (("logits", logits), ("hidden units", hidden)):
        measure = distance(layer["train"], train.labels[:FITTED])
        measures[f"distance of {name}"] = lambda what, layer=layer, measure=measure: (
            -measure(layer[what])
        )
    lines = table(
        {
            name: {what: value(what) for what in ("validation", "sheets", "letters")}
            for name, value in measures.items()
        }
    )
    marked = [
        f"{np.mean(measures['largest probability'](what) < reading.UNSURE):.1%}"
        for what in ("validation", "sheets", "letters")
    ]
    lines.append(f"| marked `?` today | {' | '.join(marked)} |")
    print("\n".join(lines))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "not_a_digit.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    cli.run(main, input_data.DataError)
