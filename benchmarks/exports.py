"""Compare what export.py wrote with predict.py, on all test images.

    python export.py && pip install -r tests/requirements.txt
    python benchmarks/exports.py --data_dir data

The SavedModel is run by saved_model_cli, the TFLite files by LiteRT's interpreter, each
in a process of its own. Times are of one image at a time: predict.py and the two files
take turns, 500 images each, for five rounds. All use float32, on as many threads as
there are cores. Writes benchmarks/results/exports.md. Some minutes on two cores.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from runner import RESULTS, ROOT

import evaluate
import export
import predict
from common.paths import SAVE_DIR
from common.session import available_cores
from saving import networks

ROUNDS = 5
TIMED = 500  # images a round

Answers = tuple[np.ndarray, np.ndarray]  # probabilities (n, 10), digits (n,)
Call = Callable[[np.ndarray], np.ndarray]  # uint8 (n, 28, 28) to probabilities (n, 10)


def with_saved_model_cli(folder: Path, images: np.ndarray) -> Answers:
    """Return the answers of a SavedModel."""
    with tempfile.TemporaryDirectory() as place:
        np.save(Path(place) / "images.npy", images)
        command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
        command += ["run", "--dir", str(folder), "--tag_set", "serve"]
        command += ["--signature_def", "serving_default", "--outdir", place]
        command += ["--inputs", f"images={place}/images.npy"]
        subprocess.run(command, check=True, capture_output=True)
        probabilities = np.load(Path(place) / "probabilities.npy")
        return probabilities, np.load(Path(place) / "digits.npy")


def with_litert(path: Path, images: np.ndarray) -> Answers:
    """Return the answers of a TFLite file, from a process without TensorFlow."""
    with tempfile.TemporaryDirectory() as place:
        np.save(Path(place) / "images.npy", images)
        code = (
            "import sys, numpy; sys.modules['tensorflow'] = None\n"
            "from ai_edge_litert.interpreter import Interpreter\n"
            "path, place = sys.argv[1:]\n"
            "read = Interpreter(path).get_signature_runner()\n"
            "images = numpy.load(f'{place}/images.npy')\n"
            "numpy.savez(f'{place}/answers.npz', **read(images=images))\n"
        )
        command = [sys.executable, "-c", code, str(path), place]
        subprocess.run(command, check=True, capture_output=True)
        answers = np.load(Path(place) / "answers.npz")
        return answers["probabilities"], answers["digits"]


def timed_in_turn(calls: dict[str, Call], images: np.ndarray) -> dict[str, float]:
    """Return the median milliseconds an image of each call, one image at a time."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            begun = time.perf_counter()
            for index in range(TIMED):
                call(images[index : index + 1])
            seconds = time.perf_counter() - begun
            times[name].append(1000 * seconds / TIMED)
    return {name: statistics.median(values) for name, values in times.items()}


def litert_call(path: Path) -> Call:
    """Return the interpreter of a TFLite file as a function."""
    read = Interpreter(str(path), num_threads=available_cores()).get_signature_runner()
    return lambda images: read(images=images)["probabilities"]


def row(
    name: str,
    size: str,
    labels: np.ndarray,
    answers: Answers,
    expected: np.ndarray,
    milliseconds: float | None,
) -> str:
    """Return a line of the table."""
    probabilities, digits = answers
    report = evaluate.measure(labels, probabilities)
    equal = np.count_nonzero(digits == expected.argmax(axis=1))
    cells = [
        name,
        size,
        f"{np.count_nonzero(digits == labels) / len(labels):.4f}",
        f"{equal:,} of {len(labels):,}",
        f"{np.abs(probabilities - expected).max():.1g}",
        f"{report['calibration_error']:.4f}",
        "" if milliseconds is None else f"{milliseconds:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    parser.add_argument("--save_dir", type=Path, default=SAVE_DIR)
    args = parser.parse_args()
    saved = networks.find(args.save_dir.resolve())
    network = predict.Classifier(saved._replace(bfloat16=False))
    _, test = predict.load_test_images(saved.run, args.data_dir.resolve())
    images = np.rint(test.images * 255).astype(np.uint8).reshape(-1, 28, 28)
    folder = args.save_dir.resolve() / export.EXPORT
    saved_model, *tflite = (
        folder / name for name in (export.SAVED_MODEL, export.FLOAT, export.INTEGER)
    )
    calls = {"predict.py": network.probabilities}
    calls |= {path.name: litert_call(path) for path in tflite}
    milliseconds = timed_in_turn(calls, images)
    expected = network.probabilities(images)
    labels, name = test.labels, saved.checkpoint.name
    weights = saved.checkpoint.with_name(f"{name}.data-00000-of-00001")
    answers = {
        "`predict.py`": (
            (expected, expected.argmax(axis=1)),
            export.megabytes(weights),
            milliseconds["predict.py"],
        ),
        "`1`, by saved_model_cli": (
            with_saved_model_cli(saved_model, images),
            export.megabytes(saved_model),
            None,
        ),
    }
    for path in tflite:
        found = with_litert(path, images)
        name = f"`{path.name}`, by LiteRT"
        answers[name] = found, export.megabytes(path), milliseconds[path.name]
    head = ["what", "size", "test accuracy", "answers as `predict.py`'s"]
    head += ["largest difference of a probability", "calibration error"]
    head += ["milliseconds an image"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += [
        row(name, size, labels, found, expected, time)
        for name, (found, size, time) in answers.items()
    ]
    text = "\n".join(lines) + "\n"
    (RESULTS / "exports.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
