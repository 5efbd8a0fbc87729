"""Find the recipes on validation images, then measure them on test images.

    python benchmarks/recipes.py search --data_dir data
    python benchmarks/recipes.py test --data_dir data
    python benchmarks/recipes.py effects --data_dir data
    python benchmarks/recipes.py embedded --data_dir data
    python benchmarks/recipes.py handwriting --data_dir data [--pictures FOLDER]

`search` trains candidates for the recipes `best` and the former `fast` (today's:
candidates.py) and keeps their validation accuracy. `test` trains each recipe with five
seeds, in turn, and keeps the test accuracy. `effects` changes one constant of the
former default at a time and keeps the validation accuracy. `embedded` trains on the
5,000 embedded images: candidates, to choose one on MNIST training images that are not
among them, and the default, on test images. `handwriting` reads the sheets of sheets.py
with the first networks of `test`, and pictures whose names and lines of digits
(separated by |) are in the columns file and lines of FOLDER/labels.csv. Runs that are
done are not repeated. The results are search, recipes-MACHINE, effects, embedded and
handwriting, .json and .md, in benchmarks/results/. `embedded` and `handwriting` take
half an hour each, the others hours.
"""

import argparse
import csv
import difflib
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from runner import ROOT, RUNS, Found, Results, fill, machine, mean, train

FAST = tuple(
    f"--epochs {epochs} --batch_size {batch_size} --learning_rate {rate} "
    f"--label_smoothing {smoothing} --keep_prob {keep_prob} --augment {augment} "
    "--schedule cosine"
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
    f"--bfloat16 {bfloat16} --batch_size {batch_size} --schedule cosine"
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
# Around the default as it was when they were measured.
AROUND = "--batch_size 100 --learning_rate 1e-3 --schedule cosine"
EFFECTS = tuple(
    f"{AROUND} {changed}"
    for changed in (
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
)
TEST = ("--recipe fast", "--recipe default", "--recipe article")
LONGEST = "--recipe best"
# The recipes as they were before, trained in turn with today's, for the time.
BEFORE = (
    "--recipe fast --epochs 1 --batch_size 100 --learning_rate 2e-3 --schedule cosine "
    "--keep_prob 0.5",
    f"--recipe default {AROUND}",
)
DEFAULT_5K = "--dataset mnist_5k"
EMBEDDED = (
    DEFAULT_5K,
    "--dataset mnist_5k --steps 700",
    "--dataset mnist_5k --steps 1100",
    "--dataset mnist_5k --steps 1800",
    "--dataset mnist_5k --augment 1.5 --steps 1100",
    "--dataset mnist_5k --learning_rate 2e-3 --steps 1100",
)
WHAT = ("search", "test", "effects", "embedded", "handwriting")
OTHERS = 5000  # the last training images of MNIST, none of them embedded
SEARCH_SEEDS, TEST_SEEDS = (1, 2, 3), (1, 2, 3, 4, 5)


def folder(flags: str, seed: int) -> Path:
    """Return where the run with these flags is kept."""
    return RUNS / re.sub(r"\W+", "-", f"recipe {flags} {seed}")


def measure(flags: str, seed: int, data_dir: Path, split: str) -> Found:
    """Train with the flags; return seconds and the accuracy on a split."""
    fixed = ("--overwrite", f"--seed={seed}", f"--data_dir={data_dir}")
    run, seconds, _ = train(folder(flags, seed), *flags.split(), *fixed)
    return {"accuracy": getattr(run, f"{split}_accuracy"), "seconds": seconds}


def trained(flags: str, seed: int, data_dir: Path) -> Path:
    """Return where the run with these flags is kept; train it if it is not there."""
    # TensorFlow, which train.py in its own process should not wait for.
    from saving import checkpoints

    save_dir = folder(flags, seed)
    kept = (save_dir / "config.json").exists()
    if not (kept and checkpoints.read_config(save_dir).finished):
        measure(flags, seed, data_dir, "test")
    return save_dir


def measure_embedded(flags: str, seed: int, data_dir: Path) -> Found:
    """Train on the embedded images; return steps and accuracies.

    They are on their own test images and on other training images of MNIST; and, for
    what was chosen, on MNIST's test images.
    """
    # TensorFlow, which train.py in its own process should not wait for.
    import input_data
    import predict

    save_dir = folder(flags, seed)
    run, _, _ = train(save_dir, *flags.split(), "--overwrite", f"--seed={seed}")
    network = predict.restore(save_dir)
    _, mnist = input_data.load("mnist", data_dir, 0)

    def accuracy(images: np.ndarray, labels: np.ndarray) -> float:
        return float((network.probabilities(images).argmax(axis=1) == labels).mean())

    found = {"own": run.test_accuracy, "steps": run.step}
    images, labels = mnist.train.images[-OTHERS:], mnist.train.labels[-OTHERS:]
    found["others"] = accuracy(images, labels)
    if flags == DEFAULT_5K:
        found["mnist"] = accuracy(mnist.test.images, mnist.test.labels)
    return found


def measure_handwriting(
    flags: str, seed: int, data_dir: Path, folder_of_pictures: Path | None
) -> Found:
    """Read sheets and pictures; return how many digits there are, how many are right.

    With the network that `measure` kept, or else trained with the flags.
    """
    # TensorFlow, which train.py in its own process should not wait for.
    import sheets

    import input_data
    import predict
    from handwriting import pictures, reading

    network = predict.restore(trained(flags, seed, data_dir))
    _, test = input_data.load_test("mnist", data_dir)
    digits, labels = test.images.reshape(-1, 28, 28), test.labels
    counts = sum(
        sheets.read_sheets(network, digits, labels, difficulty)
        for difficulty in range(len(sheets.LEVELS))
    )
    found = {"sheets": int(counts[2]), "sheets right": int(counts[3])}
    if folder_of_pictures is None:
        return found
    with (folder_of_pictures / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found |= {"pictures": 0, "pictures right": 0}
    for row in rows:
        picture = pictures.open_picture(str(folder_of_pictures / row["file"]))
        lines = reading.read(picture, network)
        read = "".join(str(one.digit) for line in lines for one in line)
        written = row["lines"].replace("|", "")
        matcher = difflib.SequenceMatcher(None, written, read, autojunk=False)
        right = sum(block.size for block in matcher.get_matching_blocks())
        found["pictures"] += len(written)
        found["pictures right"] += right
    return found


def handwriting_table(results: Results) -> str:
    """Return what is done as Markdown."""
    head = "| recipe | seed | digits right on sheets | in pictures |"
    lines = [head, "|---|---|---|---|"]
    for flags, runs in results.items():
        for seed, run in runs.items():
            cells = [
                f"{run[f'{kind} right']}/{run[kind]}" if kind in run else "not read"
                for kind in ("sheets", "pictures")
            ]
            lines.append(f"| `{flags}` | {seed} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def embedded_table(results: Results) -> str:
    """Return what is done as Markdown."""
    lines = [
        "| flags | steps | seeds | own 500 test images | 5,000 other training images "
        "| MNIST's 10,000 test images |",
        "|---|---|---|---|---|---|",
    ]
    for flags in (flags for flags in EMBEDDED if results.get(flags)):
        runs = list(results[flags].values())
        cells = [f"`{flags}`", f"{runs[0]['steps']:.0f}", f"{len(runs)}"]
        for name in ("own", "others", "mnist"):
            known = [run[name] for run in runs if name in run]
            cells.append(mean(known) if known else "not read")
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


def pairs(rows: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """Return each row with each seed, all rows with the first seed first."""
    return [(row, seed) for seed in seeds for row in rows]


def main() -> None:
    """Measure what benchmarks/results/ does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    data_dir = args.data_dir.resolve()
    jobs, measure_one, as_table = {
        "search": (
            pairs(FAST + BEST, SEARCH_SEEDS),
            lambda flags, seed: measure(flags, seed, data_dir, "validation"),
            table,
        ),
        "test": (
            pairs(BEFORE + TEST, TEST_SEEDS) + pairs([LONGEST], TEST_SEEDS),
            lambda flags, seed: measure(flags, seed, data_dir, "test"),
            table,
        ),
        "effects": (
            pairs(EFFECTS, SEARCH_SEEDS),
            lambda flags, seed: measure(flags, seed, data_dir, "validation"),
            table,
        ),
        "embedded": (
            pairs([DEFAULT_5K], TEST_SEEDS) + pairs(EMBEDDED, SEARCH_SEEDS),
            lambda flags, seed: measure_embedded(flags, seed, data_dir),
            embedded_table,
        ),
        "handwriting": (
            pairs(BEFORE + TEST, [1]),
            lambda *job: measure_handwriting(*job, data_dir, args.pictures),
            handwriting_table,
        ),
    }[args.what]
    name = f"recipes-{machine()}" if args.what == "test" else args.what
    fill(name, jobs, measure_one, as_table)


if __name__ == "__main__":
    main()
