"""Find the recipes on validation images, then measure them on test images.

    python benchmarks/recipes.py search --data_dir data
    python benchmarks/recipes.py test --data_dir data

`search` trains candidates that differ from a recipe by the flags named and keeps their
validation accuracy alone. `test` trains each recipe with five seeds, in turn, and keeps
the test accuracy. What is done is not done again. Written are search.json, search.md,
recipes.json and recipes.md in benchmarks/results/. Two and a half hours on two cores.
"""

import argparse
import statistics
from pathlib import Path

from runner import ROOT, RUNS, Found, Results, fill, mean, train

# Flags by candidate. Those of `best` are shorter than the recipe, 12 of its 30 epochs,
# and leave 10,000 images for validation.
SHORT = "--recipe best --validation_size 10000 --epochs 12"
SEARCH = (
    "--recipe fast",
    "--recipe fast --batch_size 64",
    "--recipe fast --learning_rate 1e-3",
    "--recipe fast --learning_rate 3e-3",
    "--recipe fast --label_smoothing 0.1",
    "--recipe fast --keep_prob 0.7",
    "--recipe fast --augment 0.5",
)
TEST = (
    "--recipe article",
    "--recipe fast",
    "--recipe default",
    "--recipe default --bfloat16 off",
    "--recipe best",
)
SEARCH_SEEDS, TEST_SEEDS = (1, 2, 3), (1, 2, 3, 4, 5)


def measure(flags: str, seed: int, data_dir: Path, accuracy: str) -> Found:
    """Train with the flags; return an accuracy and the seconds of the command."""
    fixed = ("--overwrite", f"--seed={seed}", f"--data_dir={data_dir}")
    run, seconds = train(RUNS / "recipe", *flags.split(), *fixed)
    return {"accuracy": run[f"{accuracy}_accuracy"], "seconds": seconds}


def table(results: Results) -> str:
    """Return what is done as Markdown."""
    lines = ["| flags | accuracy | seeds | seconds |", "|---|---|---|---|"]
    for flags, runs in results.items():
        accuracies, seconds = (
            [run[key] for run in runs.values()] for key in ("accuracy", "seconds")
        )
        time = f"{statistics.median(seconds):.0f}" if runs else ""
        if runs:
            lines.append(f"| `{flags}` | {mean(accuracies)} | {len(runs)} | {time} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Search or test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("search", "test"))
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    args = parser.parse_args()
    data_dir = args.data_dir.resolve()
    rows, seeds, accuracy, name = {
        "search": (SEARCH, SEARCH_SEEDS, "validation", "search"),
        "test": (TEST, TEST_SEEDS, "test", "recipes"),
    }[args.what]
    fill(
        name,
        [(flags, seed) for seed in seeds for flags in rows],
        lambda flags, seed: measure(flags, seed, data_dir, accuracy),
        table,
    )


if __name__ == "__main__":
    main()
