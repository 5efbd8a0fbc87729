"""Find the recipes on validation images, then measure them on test images.

    python benchmarks/recipes.py search --data_dir data
    python benchmarks/recipes.py test --data_dir data
    python benchmarks/recipes.py effects --data_dir data
    python benchmarks/recipes.py embedded --data_dir data

`search` trains candidates for the recipes `fast` and `best` and keeps their validation
accuracy. `test` trains each recipe with five seeds, in turn, and keeps the test
accuracy. `effects` changes one constant at a time and keeps the validation accuracy.
`embedded` trains on the 5,000 embedded images: runs of several lengths, to choose one
on MNIST training images that are not among them, and the default, on test images.
Runs that are done are not repeated. The results are search, recipes, effects and
embedded, .json and .md, in benchmarks/results/. `effects` and `embedded` take half an
hour each, the others hours.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
from runner import ROOT, RUNS, Found, Results, fill, mean, train

FAST = tuple(
    f"--epochs {epochs} --batch_size {batch_size} --learning_rate {rate} "
    f"--label_smoothing {smoothing} --keep_prob {keep_prob} --augment {augment}"
    for epochs, batch_size, rate, smoothing, keep_prob, augment in (
        (1, 100, 2e-3, 0, 0.5, 0),
        (1, 64, 2e-3, 0, 0.5, 0),
        (1, 100, 1e-3, 0, 0.5, 0),
        (1, 100, 3e-3, 0, 0.5, 0),
        (1, 100, 2e-3, 0.1, 0.5, 0),
        (1, 100, 2e-3, 0, 0.7, 0),
        (1, 100, 2e-3, 0, 0.5, 0.5),
        (1, 64, 2e-3, 0.1, 0.5, 0),
        (1.2, 100, 2e-3, 0.1, 0.5, 0),
    )
)
BEST = tuple(
    f"--epochs {epochs} --validation_size 10000 --min_eval_steps 2000 --threads 1 "
    f"--augment {augment} --learning_rate {rate} --label_smoothing {smoothing} "
    f"--bfloat16 {bfloat16} --batch_size {batch_size}"
    for epochs, augment, rate, smoothing, bfloat16, batch_size in (
        (20, 1, 1e-3, 0.1, "auto", 100),
        (20, 1.5, 1e-3, 0.1, "auto", 100),
        (20, 1, 2e-3, 0.1, "auto", 100),
        (20, 1, 1e-3, 0, "auto", 100),
        (20, 1, 1e-3, 0.1, "off", 100),
        (20, 1, 1e-3, 0.1, "auto", 50),
        (30, 1, 1e-3, 0.1, "auto", 50),
        (45, 1, 1e-3, 0.1, "auto", 50),
        (20, 1, 1e-3, 0.1, "off", 50),
        (20, 1, 1e-3, 0.1, "auto", 32),
        (20, 1, 1e-3, 0.1, "auto", 25),
    )
)
EFFECTS = (
    "--epochs 2",  # what each row below changes
    "--epochs 2 --batch_size 50",
    "--epochs 2 --batch_size 200",
    "--epochs 2 --learning_rate 3e-4",
    "--epochs 2 --learning_rate 3e-3",
    "--epochs 2 --schedule constant",
    "--epochs 2 --warmup 0",
    "--epochs 2 --keep_prob 1",
    "--epochs 2 --label_smoothing 0",
    "--epochs 2 --augment 0",
    "--epochs 2 --bfloat16 off",
    "--epochs 2 --optimizer rmsprop",
    "--epochs 2 --optimizer sgd",
    "--epochs 2 --loss quadratic",
    "--epochs 1",
    "--epochs 5",
)
TEST = (
    "--recipe article",
    "--recipe fast",
    "--recipe default",
    "--recipe default --bfloat16 off",
    "--recipe best",
    "--recipe best --batch_size 100",
)
EMBEDDED = (
    "--dataset mnist_5k --steps 500",
    "--dataset mnist_5k --steps 900",
    "--dataset mnist_5k --steps 1400",
    "--dataset mnist_5k --steps 1400 --batch_size 50",
    "--dataset mnist_5k",
)
OTHERS = 5000  # the last training images of MNIST, none of them embedded
SEARCH_SEEDS, TEST_SEEDS = (1, 2, 3), (1, 2, 3, 4, 5)


def measure(flags: str, seed: int, data_dir: Path, split: str) -> Found:
    """Train with the flags; return seconds and the accuracy on a split."""
    fixed = ("--overwrite", f"--seed={seed}", f"--data_dir={data_dir}")
    run, seconds, _ = train(RUNS / "recipe", *flags.split(), *fixed)
    return {"accuracy": getattr(run, f"{split}_accuracy"), "seconds": seconds}


def measure_embedded(flags: str, seed: int, data_dir: Path) -> Found:
    """Train on the embedded images; return accuracies, and seconds.

    They are on their own test images and on other training images of MNIST; and, for
    the length that was chosen, on MNIST's test images.
    """
    # TensorFlow, which train.py in its own process should not wait for.
    import input_data
    import predict

    save_dir = RUNS / "recipe"
    run, seconds, _ = train(save_dir, *flags.split(), "--overwrite", f"--seed={seed}")
    network = predict.restore(save_dir)
    _, mnist = input_data.load("mnist", data_dir, 0)

    def accuracy(images: np.ndarray, labels: np.ndarray) -> float:
        return float((network.probabilities(images).argmax(axis=1) == labels).mean())

    found = {"own": run.test_accuracy, "seconds": seconds, "steps": run.step}
    images, labels = mnist.train.images[-OTHERS:], mnist.train.labels[-OTHERS:]
    found["others"] = accuracy(images, labels)
    if "--steps" not in flags:
        found["mnist"] = accuracy(mnist.test.images, mnist.test.labels)
    return found


def embedded_table(results: Results) -> str:
    """Return what is done as Markdown, seconds as medians."""
    lines = [
        "| flags | steps | seeds | own 500 test images | 5,000 other training images "
        "| MNIST's 10,000 test images | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for flags in (flags for flags in EMBEDDED if results.get(flags)):
        runs = list(results[flags].values())
        cells = [f"`{flags}`", f"{runs[0]['steps']:.0f}", f"{len(runs)}"]
        for name in ("own", "others", "mnist"):
            known = [run[name] for run in runs if name in run]
            cells.append(mean(known) if known else "not read")
        cells.append(f"{statistics.median(run['seconds'] for run in runs):.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def table(results: Results) -> str:
    """Return what is done as Markdown, seconds as medians."""
    lines = ["| flags | accuracy | seeds | seconds |", "|---|---|---|---|"]
    for flags, runs in results.items():
        if not runs:
            continue
        accuracy = mean([run["accuracy"] for run in runs.values()])
        seconds = [run["seconds"] for run in runs.values() if "seconds" in run]
        time = f"{statistics.median(seconds):.0f}" if seconds else "not kept"
        lines.append(f"| `{flags}` | {accuracy} | {len(runs)} | {time} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Search, test, or measure effects."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("search", "test", "effects", "embedded"))
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    args = parser.parse_args()
    data_dir = args.data_dir.resolve()
    if args.what == "embedded":
        fill(
            "embedded",
            [(flags, seed) for flags in reversed(EMBEDDED) for seed in SEARCH_SEEDS],
            lambda flags, seed: measure_embedded(flags, seed, data_dir),
            embedded_table,
        )
        return
    rows, seeds, split, name = {
        "search": (FAST + BEST, SEARCH_SEEDS, "validation", "search"),
        "test": (TEST, TEST_SEEDS, "test", "recipes"),
        "effects": (EFFECTS, SEARCH_SEEDS, "validation", "effects"),
    }[args.what]
    fill(
        name,
        [(flags, seed) for seed in seeds for flags in rows],
        lambda flags, seed: measure(flags, seed, data_dir, split),
        table,
    )


if __name__ == "__main__":
    main()
