"""Measure how far probabilities are from the truth, before and after calibration.

    python benchmarks/calibration.py --data_dir data

Trains each recipe and each network with three seeds and keeps, on MNIST's test images,
the calibration error and the loss with and without the temperature that train.py found.
Runs that are done are not repeated. The results are calibration.json and calibration.md
in benchmarks/results/. `--recipe best` takes most of the time: hours without bfloat16.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
from runner import ROOT, RUNS, Found, Results, fill, train

ROWS = (
    "--recipe fast",
    "--recipe default",
    "--recipe article",
    "--network mlp_512",
    "--network mlp_1024_512_256",
    "--network mlp_128",
    "--network sigmoid_30",
    "--network sigmoid_30 --optimizer sgd --loss quadratic --learning_rate 3 "
    "--batch_size 10 --epochs 10 --keep_prob 1 --label_smoothing 0 --augment 0 "
    "--schedule constant --warmup 0 --validation_size 10000",
    "--dataset mnist_5k",
    "--recipe best",
)
SEEDS = (1, 2, 3)


def measure(flags: str, seed: int, data_dir: Path) -> Found:
    """Train with the flags; return what the temperature changes."""
    fixed = ("--overwrite", f"--seed={seed}", f"--data_dir={data_dir}")
    train(RUNS / "calibration", *flags.split(), *fixed)
    return measured(RUNS / "calibration", data_dir)


def measured(save_dir: Path, data_dir: Path) -> Found:
    """Return error and loss of a trained network, with and without temperature."""
    # TensorFlow, which train.py in its own process should not wait for.
    import evaluate
    import input_data
    import predict

    network = predict.restore(save_dir)
    _, test = input_data.load_test("mnist", data_dir)
    temperature = network.run.temperature
    after = network.probabilities(test.images).astype(np.float64)
    before = np.maximum(after, 1e-300) ** temperature
    before /= before.sum(axis=1, keepdims=True)
    found = {"temperature": temperature}
    for when, probabilities in (("before", before), ("after", after)):
        report = evaluate.measure(test.labels, probabilities)
        found[f"error {when}"] = report["calibration_error"]
        found[f"loss {when}"] = report["loss"]
        found[f"confidence {when}"] = report["confidence"]
    return found


def table(results: Results) -> str:
    """Return what is done as Markdown: means over the seeds."""
    lines = [
        "| flags of `train.py` | seeds | temperature | calibration error, before "
        "| after | loss in nats, before | after |",
        "|---|---|---|---|---|---|---|",
    ]
    for flags in (flags for flags in ROWS if results.get(flags)):
        runs = list(results[flags].values())

        def mean(name: str, runs: list[Found] = runs) -> float:
            return statistics.mean(run[name] for run in runs)

        numbers = "error before", "error after", "loss before", "loss after"
        cells = [f"{mean(name):.4f}" for name in numbers]
        lines.append(
            f"| `{flags}` | {len(runs)} | {mean('temperature'):.3f} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    data_dir = parser.parse_args().data_dir.resolve()
    fill(
        "calibration",
        [(flags, seed) for flags in ROWS for seed in SEEDS],
        lambda flags, seed: measure(flags, seed, data_dir),
        table,
    )


if __name__ == "__main__":
    main()
