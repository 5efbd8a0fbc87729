"""Train what five published write-ups trained, three seeds each, and compare.

    python benchmarks/published.py --data_dir data

Every row goes through train.py; a row that is done is not done again, so the script can
be stopped and started. It writes benchmarks/results/published.md, published.json (each
run), and docs/overfitting.png. About half an hour on two cores.
"""

import argparse
import statistics
from pathlib import Path
from typing import NamedTuple

from runner import ROOT, RUNS, Found, Results, fill, mean, train

from common import plots

SEEDS = (1, 2, 3)
# None of the write-ups has a schedule, smoothing, augmentation or bfloat16.
PLAIN = (  # where a row has nothing else
    "--learning_rate=1e-3",
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


def measure(row: Row, seed: int, data_dir: Path) -> Found:
    """Train it; return the accuracies and the seconds that it took."""
    run, seconds, _ = train(
        RUNS / f"{row.network}-{seed}",
        "--resume" if row.goes_on else "--overwrite",
        f"--network={row.network}",
        f"--seed={seed}",
        f"--data_dir={data_dir}",
        *PLAIN,
        *row.flags,
    )
    if row.network == "mlp_128" and seed == SEEDS[0]:
        title = f"{row.network}, Adam 1e-3, batch 32, seed {seed}"
        figure = plots.curves([vars(row) for row in run.history], title)
        plots.save(figure, ROOT / "docs" / "overfitting.png")
    found = {"seconds": seconds, "test": run.test_accuracy}
    accuracies = [row.validation_accuracy for row in run.history]
    if None not in accuracies:
        found |= {"first": accuracies[0], "best": max(accuracies)}
        found["last"] = accuracies[-1]
    return found


def table(results: Results) -> str:
    """Return the rows that are done, as Markdown."""
    lines = [
        "| network | settings | published | measured | difference | seconds |",
        "|---|---|---|---|---|---|",
    ]
    total = 0.0
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
        # What goes on has taken the seconds of the row above as well.
        total = total * row.goes_on + statistics.median(r["seconds"] for r in runs)
        published = row.published or "not printed"
        lines.append(
            f"| `{row.network}` | {row.settings} | {published} | {measured} "
            f"| {points} | {total:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is not done yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    data_dir = parser.parse_args().data_dir.resolve()
    rows = {row.key: row for row in ROWS}
    fill(
        "published",
        [(key, seed) for seed in SEEDS for key in rows],
        lambda key, seed: measure(rows[key], seed, data_dir),
        table,
    )


if __name__ == "__main__":
    main()
