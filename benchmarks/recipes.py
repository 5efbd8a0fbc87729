"""Find the recipes on validation images, then measure them on test images.

    python benchmarks/recipes.py search --data_dir data
    python benchmarks/recipes.py test --data_dir data

`search` trains candidates for the recipes `fast` and `best` and keeps their validation
accuracy. `test` trains each recipe with five seeds, in turn, and keeps the test
accuracy. Of `best` and its candidates is kept as well what the mean over VIEWS random
distortions of each image gives (``evaluate.py --views``). What is done is not done
again. Written are search.json, search.md, recipes.json and recipes.md in
benchmarks/results/. About four hours on two cores.
"""

import argparse
import statistics
from pathlib import Path

from runner import ROOT, RUNS, Found, Results, fill, mean, train

import input_data
import predict

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
LONG = "--epochs 20 --validation_size 10000 --eval_steps 2000 --threads 1"
BEST = tuple(
    f"{LONG} --augment {augment} --learning_rate {rate} --label_smoothing {smoothing}"
    for augment, rate, smoothing in (
        (1, 1e-3, 0.1),
        (1.5, 1e-3, 0.1),
        (1, 2e-3, 0.1),
        (1, 1e-3, 0),
    )
)
TEST = (
    "--recipe article",
    "--recipe fast",
    "--recipe default",
    "--recipe default --bfloat16 off",
    "--recipe best",
)
SEARCH_SEEDS, TEST_SEEDS = (1, 2, 3), (1, 2, 3, 4, 5)
WITH_VIEWS = (*BEST, "--recipe best")
VIEWS = 32  # random distortions of each image, see evaluate.py


def measure(flags: str, seed: int, data_dir: Path, split: str) -> Found:
    """Train with the flags; return seconds and the accuracy on a split."""
    save_dir = RUNS / "recipe"
    fixed = ("--overwrite", f"--seed={seed}", f"--data_dir={data_dir}")
    run, seconds = train(save_dir, *flags.split(), *fixed)
    found = {"accuracy": run[f"{split}_accuracy"], "seconds": seconds}
    if flags in WITH_VIEWS:
        size = run["constants"]["validation_size"]
        data = getattr(input_data.load("mnist", data_dir, size, seed)[1], split)
        seen = predict.restore(save_dir).probabilities(data.images, VIEWS)
        found["views"] = float((seen.argmax(axis=1) == data.labels).mean())
    return found


def table(results: Results) -> str:
    """Return what is done as Markdown, seconds as medians."""
    lines = [
        f"| flags | accuracy | seeds | with {VIEWS} views | seeds | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for flags, runs in results.items():
        cells = [f"`{flags}`"]
        for name in ("accuracy", "views"):
            values = [run[name] for run in runs.values() if name in run]
            cells += [mean(values) if values else "-", str(len(values))]
        seconds = [run["seconds"] for run in runs.values() if "seconds" in run]
        cells.append(f"{statistics.median(seconds):.0f}" if seconds else "not kept")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Search or test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("search", "test"))
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    args = parser.parse_args()
    data_dir = args.data_dir.resolve()
    rows, seeds, split, name = {
        "search": (FAST + BEST, SEARCH_SEEDS, "validation", "search"),
        "test": (TEST, TEST_SEEDS, "test", "recipes"),
    }[args.what]
    fill(
        name,
        [(flags, seed) for seed in seeds for flags in rows],
        lambda flags, seed: measure(flags, seed, data_dir, split),
        table,
    )


if __name__ == "__main__":
    main()
