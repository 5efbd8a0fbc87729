"""Train what five published write-ups trained, three seeds each, and compare.

    python benchmarks/published.py --data_dir data

Every row goes through train.py; a row that is done is not done again, so the script can
be stopped and started. It writes benchmarks/results/published.md, published.json (each
run), and docs/overfitting.png. About half an hour on two cores.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a script sees its own folder first

import checkpoint  # noqa: E402
import plots  # noqa: E402

RUNS = ROOT / "benchmarks" / "runs"
RESULTS = ROOT / "benchmarks" / "results"
SEEDS = (1, 2, 3)
# None of the write-ups has a schedule, smoothing, augmentation or bfloat16.
PLAIN = (
    "--schedule=constant",
    "--warmup=0",
    "--label_smoothing=0",
    "--augment=0",
    "--bfloat16=off",
)


class Row(NamedTuple):
    """A network with a set of training settings, and what was published of it."""

    network: str
    settings: str  # for the table
    published: float | None  # accuracy; None: not printed
    flags: tuple[str, ...]
    goes_on: bool = False  # the row above, with more epochs
    measure: str = "test"  # or "validation": first, best and last epoch

    @property
    def key(self) -> str:
        """A name for it in published.json."""
        return f"{self.network}, {self.settings}"


def cnn(steps: int, batch_size: int, keep_prob: float, published: float) -> Row:
    """Return a row of the first write-up."""
    settings = f"Adam 1e-4, batch {batch_size}, {steps:,} steps, keep_prob {keep_prob}"
    numbers = (f"--steps={steps}", f"--batch_size={batch_size}")
    flags = (*numbers, f"--keep_prob={keep_prob}", "--learning_rate=1e-4")
    return Row("cnn", settings, published, flags)


def mlp_128(epochs: int) -> Row:
    """Return a row of the overfitting study."""
    flags = (f"--epochs={epochs}", "--batch_size=32", "--keep_prob=1")
    settings = f"Adam 1e-3, batch 32, {epochs} epochs"
    return Row("mlp_128", settings, None, flags, goes_on=epochs > 5)


ROWS = (
    cnn(1000, 50, 1.0, 0.9704),
    cnn(2000, 20, 0.5, 0.9736),
    cnn(5000, 10, 0.5, 0.9824),
    cnn(10000, 10, 0.5, 0.9872),
    Row(
        "mlp_512",
        "RMSProp 1e-3, batch 128, 20 epochs of 60,000",
        None,
        (
            "--optimizer=rmsprop",
            "--batch_size=128",
            "--epochs=20",
            "--keep_prob=1",
            "--validation_size=0",
        ),
    ),
    Row(
        "mlp_1024_512_256",
        "Adam 1e-3, batch 512, 10 epochs of 60,000, dropout 0.1",
        0.9826,
        ("--batch_size=512", "--epochs=10", "--keep_prob=0.9", "--validation_size=0"),
    ),
    mlp_128(5),
    mlp_128(20),
    mlp_128(50),
    mlp_128(200),
    Row(
        "sigmoid_30",
        "SGD 3.0, quadratic loss, batch 10, 10 epochs of 50,000",
        0.9435,
        (
            "--optimizer=sgd",
            "--loss=quadratic",
            "--learning_rate=3",
            "--batch_size=10",
            "--epochs=10",
            "--keep_prob=1",
            "--validation_size=10000",
        ),
        measure="validation",
    ),
)


def train(row: Row, seed: int, data_dir: Path) -> dict[str, float]:
    """Run train.py; return the accuracies and the seconds that it took."""
    save_dir = RUNS / f"{row.network}-{seed}"
    how = "--resume" if row.goes_on else "--overwrite"
    script = [sys.executable, str(ROOT / "train.py"), how]
    where = [f"--data_dir={data_dir}", f"--save_dir={save_dir}"]
    flags = [f"--network={row.network}", f"--seed={seed}", *row.flags, *PLAIN]
    begun = time.monotonic()
    done = subprocess.run(
        [*script, *where, *flags], capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        raise SystemExit(f"{row.key}, seed {seed}: {done.stderr}")
    run = checkpoint.read_config(save_dir)
    if row.network == "mlp_128" and seed == SEEDS[0]:
        title = f"{row.network}, Adam 1e-3, batch 32, seed {seed}"
        plots.save(plots.curves(run["history"], title), ROOT / "docs/overfitting.png")
    found = {"seconds": seconds, "test": run["test_accuracy"]}
    accuracies = [epoch["validation_accuracy"] for epoch in run["history"]]
    if None not in accuracies:
        found |= {"first": accuracies[0], "best": max(accuracies)}
        found["last"] = accuracies[-1]
    return found


def mean(values: Sequence[float]) -> str:
    """Return mean and standard deviation of accuracies, as the table prints them."""
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the rows that are done, as Markdown."""
    lines = [
        "| network | settings | published | measured | difference | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        runs = list(results.get(row.key, {}).values())
        if len(runs) < len(SEEDS):
            continue
        quantity = "best" if row.measure == "validation" else "test"
        values = [run[quantity] for run in runs]
        measured = mean(values)
        if row.measure == "validation":
            measured += " best of 10 epochs on validation; " + ", ".join(
                f"{mean([run[name] for run in runs])} {text}"
                for name, text in (
                    ("first", "after the first"),
                    ("last", "last"),
                    ("test", "test"),
                )
            )
        points = "not printed"
        if row.published:
            points = f"{100 * (statistics.mean(values) - row.published):+.2f} points"
        seconds = statistics.median(run["seconds"] for run in runs)
        published = row.published or "not printed"
        lines.append(
            f"| `{row.network}` | {row.settings} | {published} | {measured} "
            f"| {points} | {seconds:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is not done yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    data_dir = parser.parse_args().data_dir.resolve()
    RUNS.mkdir(exist_ok=True)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "published.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    jobs = [(seed, row) for seed in SEEDS for row in ROWS]
    for seed, row in tqdm(jobs, unit="run", disable=None):
        done = results.setdefault(row.key, {})
        if str(seed) in done:
            continue
        done[str(seed)] = train(row, seed, data_dir)
        path.write_text(json.dumps(results, indent=1) + "\n")
        (RESULTS / "published.md").write_text(table(results))
    print(table(results), end="")


if __name__ == "__main__":
    main()
