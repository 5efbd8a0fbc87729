"""Measure the network that train.py saved on test images.

    python evaluate.py

prints accuracy, loss, calibration, a table of the digits and the most confident
mistakes, and writes them to save_model/ as report.json and, drawn, report.png.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import input_data
import predict
from common import cli, files, plots
from common.calibration import BINS, calibration_error
from common.paths import SAVE_DIR, from_here, shown
from model import CLASSES

MISTAKES = 10  # shown at most
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # probabilities

Report = dict[str, Any]  # what report.json holds


def measure(labels: np.ndarray, probabilities: np.ndarray) -> Report:
    """Return accuracy, loss, calibration and mistakes of a network's answers.

    Args:
        labels: uint8 array of shape (n,), the truth.
        probabilities: float array of shape (n, 10), rows sum to 1.

    Returns:
        Counts and lists by name. The interval is that of E. B. Wilson, "Probable
        Inference, the Law of Succession, and Statistical Inference", 1927. The loss is
        the mean cross-entropy in nats, of probabilities of 2.2e-16 at the least. A
        digit that was never answered has no precision, one that is not in the set no
        recall: None.
    """
    # Only here: they take a second to import, in which Ctrl-C would give a traceback.
    from scipy.stats import binomtest
    from sklearn import metrics

    answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = int(metrics.accuracy_score(labels, answers, normalize=False))
    interval = binomtest(right, len(labels)).proportion_ci(method="wilson")
    digits = range(CLASSES)
    precision, recall, _, _ = metrics.precision_recall_fscore_support(
        labels, answers, labels=digits, zero_division=np.nan
    )
    images = np.bincount(labels, minlength=CLASSES).tolist()
    # In float64, so that nothing a float32 can hold is clipped before 2.2e-16.
    exact = probabilities / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    return {
        "images": len(labels),
        "right": right,
        "accuracy": right / len(labels),
        "interval_95": [float(interval.low), float(interval.high)],
        "loss": float(metrics.log_loss(labels, exact, labels=digits)),
        "confidence": float(confidence.mean(dtype=np.float64)),
        "thresholds": list(thresholds(answers == labels, confidence)),
        "calibration_bins": BINS,
        "calibration_error": calibration_error(answers == labels, confidence),
        "digits": [
            {"digit": digit, "images": n, "precision": p, "recall": r}
            for digit, n, p, r in zip(
                digits, images, _known(precision), _known(recall), strict=True
            )
        ],
        "confusion": metrics.confusion_matrix(labels, answers, labels=digits).tolist(),
        "mistakes": list(mistakes(labels, answers, confidence)),
    }


def _known(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def thresholds(right: np.ndarray, confidence: np.ndarray) -> Iterator[dict[str, float]]:
    """Yield how many wrong and right answers have a probability below each threshold.

    Args:
        right: bool array of shape (n,), whether an answer is right.
        confidence: float array of shape (n,), the probability of the answer.
    """
    for threshold in THRESHOLDS:
        below = confidence < threshold
        yield {
            "probability": threshold,
            "mistakes": int(np.count_nonzero(below & ~right)),
            "right": int(np.count_nonzero(below & right)),
        }


def mistakes(
    labels: np.ndarray, answers: np.ndarray, confidence: np.ndarray
) -> Iterator[dict[str, int | float]]:
    """Yield the wrong answers of the highest probability, highest first."""
    wrong = np.flatnonzero(answers != labels)
    for index in wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]:
        yield {
            "index": int(index),
            "truth": int(labels[index]),
            "answer": int(answers[index]),
            "probability": float(confidence[index]),
        }


def accuracy_line(report: Report) -> str:
    """Return the accuracy with its counts and interval."""
    low, high = report["interval_95"]
    accuracy = cli.accuracy_text(report["right"], report["images"])
    return f"test accuracy {accuracy}, 95 % interval {low:.4f} to {high:.4f}"


def print_report(report: Report) -> None:
    """Print the numbers, a line a digit and a line a mistake."""
    print(accuracy_line(report))
    print(f"loss {report['loss']:.4f} nats")
    print(
        f"mean confidence {report['confidence']:.4f}, "
        f"calibration error {report['calibration_error']:.4f}"
    )
    print_thresholds(report)
    header = "".join(f"{digit:>6}" for digit in range(CLASSES))
    print(f"\n{'answered as':>45}\ndigit  images  precision  recall {header}")
    for row, counts in zip(report["digits"], report["confusion"], strict=True):
        shares = [row["precision"], row["recall"]]
        precision, recall = ("-" if x is None else f"{x:.4f}" for x in shares)
        print(
            f"{row['digit']:>5}{row['images']:>8}{precision:>11}{recall:>8} "
            + "".join(f"{count:>6}" for count in counts)
        )
    if not report["mistakes"]:
        print("\nno mistakes")
        return
    print("\nmost confident mistakes\nindex  truth  answer  probability")
    for row in report["mistakes"]:
        print("{index:>5}{truth:>7}{answer:>8}{probability:>13.4f}".format(**row))


def print_thresholds(report: Report) -> None:
    """Print how many answers are less probable than each threshold."""
    rows = report["thresholds"]
    right, images = report["right"], report["images"]
    print(f"\n{'probability below':<27}" + "".join(f"{p:>7}" for p in THRESHOLDS))
    for what, count in (("mistakes", images - right), ("right", right)):
        name = f"of {count} {what}{' answers' if what == 'right' else ''}"
        print(f"{name:<27}" + "".join(f"{row[what]:>7}" for row in rows))


def write_json(report: Report, path: Path) -> str | None:
    """Write the report; return the path to print, None where that failed."""
    with files.optional(path):
        files.write(path, (json.dumps(report, indent=1) + "\n").encode())
        return shown(path)
    return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, draw.

    Args:
        arguments: flags and their values; None for those of the command line.
    """
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--save_dir", type=from_here, default=SAVE_DIR)
    parser.add_argument(
        "--data_dir",
        type=from_here,
        help="a data set of the form of MNIST; default: as at training",
    )
    args = parser.parse_args(arguments)
    network = predict.restore(args.save_dir)
    run = network.run
    source, test = predict.load_test_images(run, args.data_dir)
    trained_on = run.data.name if run else None
    origin = f"trained on {trained_on}" if run else "of another script"
    steps = "" if network.step is None else f", {network.step} steps"
    what = f"{network.name} {origin}{steps}; tested on {source.name}"
    print(what + (f" in {args.data_dir}" if args.data_dir else ""))
    probabilities = network.probabilities(test.images)
    report = {
        "network": network.name,
        "steps": network.step,
        "trained_on": trained_on,
        "tested_on": source._asdict(),
        **measure(test.labels, probabilities),
    }
    print_report(report)
    title = f"{what}\n{accuracy_line(report)}"
    drawn_from = report, test.images, test.labels, probabilities, title
    png = plots.save(lambda: plots.report(*drawn_from), network.folder / "report.png")
    path = network.folder / "report.json"
    table = write_json(report, path)
    if png and table:
        table = path.name  # in the same folder
    if png or table:
        print(f"\nwrote {' and '.join(filter(None, (png, table)))}")


if __name__ == "__main__":
    cli.run(main, input_data.DataError)
