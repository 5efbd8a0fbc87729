"""Time training steps on 1, 2 and 4 workers, and predict them for more.

    python benchmarks/cluster.py

The workers are processes of this machine, connected over its loopback interface, each
on a core of its own where there is one. The groups take turns. A model fitted to the
times predicts those of up to 1,024 workers on networks of 1, 10 and 100 Gbit/s.
Writes benchmarks/results/cluster.json, cluster.md and docs/cluster.png. About five
minutes on two cores.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from runner import RESULTS, ROOT
from tqdm import tqdm

from common import plots
from common.plots import Figure

GROUPS = (1, 2, 4)  # workers
SHARES = (10, 25, 50, 100)  # images that each worker has of a step's batch
PREDICTED = 50  # images that each has in the predictions: 51,200 on 1,024 workers
STEPS = 10  # timed at once
ROUNDS = 5
NETWORKS = (1, 10, 100)  # Gbit/s
MORE = (8, 16, 32, 64, 128, 256, 512, 1024)  # workers
HOP = 50e-6  # seconds that a network adds to each message: assumed
GRADIENTS = 4 * 3_274_634  # bytes

Times = dict[str, dict[str, list[float]]]  # milliseconds by workers and images each


class Model(NamedTuple):
    """What a step takes, fitted to measurements; seconds."""

    fixed: float  # whatever the batch is: mostly the optimizer
    image: float  # for each image
    byte: float  # for each byte sent, on loopback
    hop: float  # for each message of a collective, on loopback

    def step(self, workers: int, share: float, gigabits: float | None = None) -> float:
        """Return the seconds of a step.

        Args:
            workers: how many.
            share: images that each has.
            gigabits: of the network a second; None for loopback.
        """
        seconds = self.fixed + self.image * share
        if workers == 1:
            return seconds
        byte, hop = self.byte, self.hop
        if gigabits:
            byte, hop = byte + 8e-9 / gigabits, hop + HOP
        hops = 2 * (workers - 1)
        return seconds + bytes_sent(workers) * byte + hops * hop


def bytes_sent(workers: int) -> float:
    """Return the bytes that each worker of a ring sends in a step."""
    return 2 * (workers - 1) / workers * GRADIENTS


# -------------------------------------------------------------------------- workers


def work(index: int, addresses: Sequence[str]) -> None:
    """Be a worker: answer lines on standard input with seconds.

    ``train IMAGES STEPS``, with the images of each worker, or ``empty STEPS``: steps in
    which only a few bytes are averaged.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[index % len(cores)]})
    from contenders import plain_run

    import input_data
    import train
    from common.cluster import Cluster
    from common.session import session_config, tf

    _, data = input_data.load("mnist_5k", ROOT, 500)
    run = plain_run(data)
    cluster = Cluster(addresses, index)
    config = session_config(1, run.bfloat16)
    with tf.Graph().as_default(), cluster.session(config) as session:
        graph = train.build_graph(run, cluster)
        session.run(tf.global_variables_initializer())
        cluster.start(session, tf.global_variables(), [])
        print("ready", flush=True)
        for line in sys.stdin:
            kind, *numbers = line.split()
            *share, steps = map(int, numbers)
            begun = time.perf_counter()
            if kind == "train":
                size = share[0] * cluster.size
                settings = replace(run.settings, batch_size=size)
                count = range(1, steps + 1)
                args = settings, data.train, count, cluster
                for _ in train.run_steps(session, graph, *args):
                    pass
            else:
                for _ in range(steps):
                    cluster.run(session, (), {})
            print(time.perf_counter() - begun, flush=True)
        os._exit(0)  # TensorFlow's server does not end


class Group:
    """Workers that train together."""

    def __init__(self, count: int) -> None:
        """Start them."""
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        for each in sockets:
            each.close()
        self.processes = [
            subprocess.Popen(
                [sys.executable, __file__, str(index), *addresses],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for index in range(count)
        ]
        if {process.stdout.readline() for process in self.processes} != {"ready\n"}:
            raise SystemExit(f"{count} workers did not start")

    def ask(self, question: str) -> float:
        """Return the seconds in which all have done it."""
        for process in self.processes:
            process.stdin.write(f"{question}\n")
            process.stdin.flush()
        return max(float(process.stdout.readline()) for process in self.processes)


def loopback_bytes() -> int:
    """Return how many bytes this machine has sent to itself since it was started."""
    lines = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()
    [counters] = [line.split()[1:] for line in lines if line.strip().startswith("lo:")]
    return int(counters[8])


def measure() -> tuple[Times, dict[str, float]]:
    """Return the milliseconds of steps, and the bytes that a worker sends in one."""
    groups = {count: Group(count) for count in GROUPS}
    times: Times = {str(count): {} for count in GROUPS}
    sent: dict[str, float] = {}
    for group in groups.values():
        for share in SHARES:
            group.ask(f"train {share} {STEPS}")  # allocates
    for _ in tqdm(range(ROUNDS), unit="round", disable=None):
        for count, group in groups.items():
            row = times[str(count)]
            seconds = group.ask(f"empty {10 * STEPS}")
            row.setdefault("empty", []).append(100 * seconds / STEPS)
            for share in SHARES:
                before = loopback_bytes()
                seconds = group.ask(f"train {share} {STEPS}")
                row.setdefault(str(share), []).append(1000 * seconds / STEPS)
                sent[str(count)] = (loopback_bytes() - before) / STEPS / count
    return times, sent


# ---------------------------------------------------------------------------- model


def fit(times: Times) -> Model:
    """Fit the model to the medians of one and of two workers."""
    seconds = {
        count: {name: statistics.median(values) / 1000 for name, values in row.items()}
        for count, row in times.items()
    }
    image, fixed = np.polyfit(SHARES, [seconds["1"][str(s)] for s in SHARES], 1)
    hop = seconds["2"]["empty"] / 2  # n workers send 2 (n - 1) messages in turn
    added = statistics.mean(seconds["2"][str(s)] - seconds["1"][str(s)] for s in SHARES)
    byte = (added - seconds["2"]["empty"]) / bytes_sent(2)
    return Model(float(fixed), float(image), byte, hop)


def tables(times: Times, sent: Mapping[str, float], model: Model) -> str:
    """Return measurements, the model and its predictions as Markdown."""
    medians = {
        count: {name: statistics.median(values) for name, values in row.items()}
        for count, row in times.items()
    }
    head = [f"{share} images each" for share in SHARES]
    lines = [
        f"| workers | {' | '.join(head)} | nothing to train | MB sent by each |",
        "|---" * (len(SHARES) + 3) + "|",
    ]
    for count, row in medians.items():
        cells = [f"{row[str(share)]:.1f}" for share in SHARES]
        cells += [f"{row['empty']:.2f}", f"{sent[count] / 1e6:.1f}"]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Milliseconds of a step, medians of {ROUNDS}, on "
        f"{len(os.sched_getaffinity(0))} cores. Fitted: a step takes "
        f"{1000 * model.fixed:.1f} ms and {1000 * model.image:.3f} ms for each of a "
        f"worker's images; a message {1000 * model.hop:.2f} ms, and its bytes as long "
        f"as on {8e-9 / model.byte:.1f} Gbit/s.",
        "",
        "| workers | " + " | ".join(f"{g} Gbit/s" for g in NETWORKS) + " |",
        "|---" * (len(NETWORKS) + 1) + "|",
    ]
    for count in (1, 2, 4, *MORE):
        cells = [
            f"{count * PREDICTED / model.step(count, PREDICTED, g):,.0f} "
            f"({model.step(1, PREDICTED) / model.step(count, PREDICTED, g):.0%})"
            for g in NETWORKS
        ]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Predicted images a second, {PREDICTED} images on each worker in a step, and "
        "as a share of that many times one worker's.",
        "",
        "| workers | " + " | ".join(f"{g} Gbit/s" for g in NETWORKS) + " |",
        "|---" * (len(NETWORKS) + 1) + "|",
    ]
    for count in (1, 2, 4, *MORE):
        cells = [f"{1000 * model.step(count, 1000 / count, g):.0f}" for g in NETWORKS]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    lines += ["", "Predicted milliseconds of a step of 1,000 images in all."]
    return "\n".join(lines) + "\n"


def chart(model: Model) -> Figure:
    """Return a chart of the images a second on more and more workers."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    counts = [1, 2, 4, *MORE]
    one = PREDICTED / model.step(1, PREDICTED)
    axes.plot(counts, [one * n for n in counts], "--", color="grey", label="ideal")
    for gigabits in NETWORKS:
        rates = [n * PREDICTED / model.step(n, PREDICTED, gigabits) for n in counts]
        axes.plot(counts, rates, marker="o", label=f"{gigabits} Gbit/s")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.set_xlabel(f"workers, {PREDICTED} images each")
    axes.set_ylabel("images a second, predicted")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def main() -> None:
    """Measure, fit, and write the tables and the chart."""
    if len(sys.argv) > 1:
        work(int(sys.argv[1]), sys.argv[2:])
    times, sent = measure()
    model = fit(times)
    text = json.dumps({"milliseconds": times, "bytes": sent}, indent=1)
    (RESULTS / "cluster.json").write_text(text + "\n")
    (RESULTS / "cluster.md").write_text(tables(times, sent, model))
    plots.save(lambda: chart(model), ROOT / "docs" / "cluster.png")
    print(tables(times, sent, model), end="")


if __name__ == "__main__":
    main()
