"""Time a training step and the inference of 10,000 images against other frameworks.

    pip install -r benchmarks/requirements.txt
    python benchmarks/speed.py --data_dir data

Every contender runs in a process of its own; they take turns for five rounds, so that
what else the machine does falls on all of them alike. What counts
are the ratios of the medians. The limit is what the same arithmetic takes at the speed
of a large matrix product, and the optimizer's reading and writing at that of a copy.
Writes benchmarks/results/speed-MACHINE.json (every measurement), speed-MACHINE.md and
docs/speed-MACHINE.png. About a quarter of an hour on two cores.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from contenders import (
    ADAM_BYTES,
    CONTENDERS,
    COPIED,
    FORWARD_FLOP,
    LIMIT,
    SGEMM_SIZE,
    TRAINING_FLOP,
)
from runner import RESULTS, ROOT, machine
from tqdm import tqdm

from common import plots
from common.plots import Figure
from common.session import available_cores, cpu_has_bfloat16

ROUNDS = 5
STEPS = {10: 200, 100: 40, 500: 8}  # timed at once, by batch size
OURS = "this project"
ONE_THREAD = " on 1 thread"
INFERENCE = "inference, 10,000"

Times = dict[str, dict[str, list[float]]]  # milliseconds by contender and task


class Worker(NamedTuple):
    """A contender's process."""

    process: subprocess.Popen

    def ask(self, question: str) -> float:
        """Return the number that it answers."""
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def start(name: str, threads: int, data_dir: Path) -> Worker:
    """Start a contender and let it take its first steps, which compile and allocate."""
    script = str(ROOT / "benchmarks" / "contenders.py")
    process = subprocess.Popen(
        [sys.executable, script, name, str(threads), str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if process.stdout.readline() != "ready\n":
        raise SystemExit(f"{name} did not start: try its command by hand")
    worker = Worker(process)
    round_of(name, worker)
    return worker


def round_of(name: str, worker: Worker) -> dict[str, float]:
    """Return the milliseconds that a contender takes for each task."""
    if name.startswith(LIMIT):
        flop = 2 * SGEMM_SIZE**3 / worker.ask("sgemm")  # a second
        bytes_moved = 8 * COPIED / worker.ask("copy")
        times = {
            f"training, batch {size}": size * TRAINING_FLOP / flop
            + ADAM_BYTES / bytes_moved
            for size in STEPS
        }
        times[INFERENCE] = 10_000 * FORWARD_FLOP / flop
    else:
        times = {
            f"training, batch {size}": worker.ask(f"train {size} {steps}") / steps
            for size, steps in STEPS.items()
        }
        times[INFERENCE] = worker.ask("infer")
    return {task: 1000 * seconds for task, seconds in times.items()}


def measure(data_dir: Path) -> tuple[Times, dict[str, float]]:
    """Return the milliseconds of each measurement, and the peak memory in MB."""
    cores = available_cores()
    names = [
        name
        for name, (_, options) in CONTENDERS.items()
        if cpu_has_bfloat16() or not options.get("bfloat16")
    ]
    wanted = {name: (name, cores) for name in names}
    ours = [name for name in names if name.startswith(OURS)]
    wanted |= {name + ONE_THREAD: (name, 1) for name in ours}
    workers = {
        key: start(name, threads, data_dir)
        for key, (name, threads) in tqdm(wanted.items(), desc="starting", disable=None)
    }
    times: Times = {key: {} for key in workers}
    for _ in tqdm(range(ROUNDS), unit="round", disable=None):
        for key, worker in workers.items():
            for task, value in round_of(key, worker).items():
                times[key].setdefault(task, []).append(value)
    memory = {key: worker.ask("memory") for key, worker in workers.items()}
    for worker in workers.values():
        worker.process.stdin.close()
        worker.process.wait()
    return times, memory


def best(medians: Mapping[str, Mapping[str, float]], family: str, task: str) -> float:
    """Return the milliseconds of a framework's best mode for a task."""
    return min(
        row[task]
        for name, row in medians.items()
        if name.startswith(family) and ONE_THREAD not in name
    )


def tables(times: Times, memory: Mapping[str, float]) -> str:
    """Return milliseconds, ratios and scaling as Markdown."""
    medians = {
        name: {task: statistics.median(values) for task, values in tasks.items()}
        for name, tasks in times.items()
    }
    tasks = list(next(iter(medians.values())))
    head = "| milliseconds, median of 5 | " + " | ".join(tasks) + " | peak MB |"
    lines = [head, "|---" * (len(tasks) + 2) + "|"]
    for name, row in medians.items():
        if name.startswith(LIMIT):
            continue
        cells = " | ".join(f"{row[task]:.1f}" for task in tasks)
        lines.append(f"| {name} | {cells} | {memory[name]:.0f} |")
    head = "| as fast as the best mode of | " + " | ".join(tasks) + " |"
    lines += ["", head, "|---" * (len(tasks) + 1) + "|"]
    for family in ("PyTorch", "Keras", "the article's script"):
        ratios = [
            best(medians, family, task) / best(medians, OURS, task) for task in tasks
        ]
        lines.append(f"| {family} | " + " | ".join(f"{r:.2f}" for r in ratios) + " |")
    head = "| the limit, milliseconds | " + " | ".join(tasks) + " |"
    lines += ["", head, "|---" * (len(tasks) + 1) + "|"]
    for name, row in medians.items():
        if name.startswith(LIMIT):
            kind = "bfloat16" if name.endswith("bfloat16") else "fp32"
            ours = medians[f"{OURS}, {kind}"]
            cells = [
                f"{row[task]:.1f} ({row[task] / ours[task]:.0%})" for task in tasks
            ]
            lines.append(f"| {kind} | {' | '.join(cells)} |")
    training = [task for task in tasks if task.startswith("training")]
    head = "| images a second | " + " | ".join(training) + " |"
    lines += ["", head, "|---" * (len(training) + 1) + "|"]
    for name, row in medians.items():
        if name.startswith(OURS):
            rates = [
                f"{1000 * size / row[task]:,.0f}"
                for size, task in zip(STEPS, training, strict=True)
            ]
            lines.append(f"| {name} | " + " | ".join(rates) + " |")
    return "\n".join(lines) + "\n"


def chart(times: Times) -> Figure:
    """Return a chart of the time that each contender takes for each task.

    Args:
        times: milliseconds of each measurement, by contender and task.
    """
    names = list(times)
    tasks = list(times[names[0]])
    figure = Figure(figsize=(9, 5), layout="constrained")
    grid = figure.subplots(2, 2, sharey=True)
    for axes, task in zip(grid.flat, tasks, strict=True):
        medians = [statistics.median(times[name][task]) for name in names]
        is_ours = [name.startswith(OURS) for name in names]
        colours = [plots.ORANGE if one else plots.BLUE for one in is_ours]
        bars = axes.barh(names, medians, color=colours)
        axes.bar_label(bars, [f"{value:.1f}" for value in medians], fontsize=8)
        axes.set_title(f"{task}, milliseconds", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.15)
        axes.tick_params(labelsize=8)
    grid[0, 0].invert_yaxis()
    return figure


def main() -> None:
    """Measure, and write the tables and the chart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    times, memory = measure(parser.parse_args().data_dir.resolve())
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"milliseconds": times, "peak MB": memory}, indent=1)
    name = f"speed-{machine()}"
    (RESULTS / f"{name}.json").write_text(text + "\n")
    (RESULTS / f"{name}.md").write_text(tables(times, memory))
    shown = {name: row for name, row in times.items() if ONE_THREAD not in name}
    plots.save(chart(shown), ROOT / "docs" / f"{name}.png")
    print(tables(times, memory), end="")


if __name__ == "__main__":
    main()
