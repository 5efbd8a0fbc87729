"""Time until 99 % of the test images are right: this project and two known examples.

    pip install -r benchmarks/requirements.txt
    python benchmarks/time_to_99.py --data_dir data

The examples are pytorch/examples' mnist and Keras's mnist_convnet, written anew from
their published settings and tested after each epoch until they are there. Ours is
``train.py --recipe fast``, whose length is set beforehand. Compared are the seconds of
training (ours with validation and saving), and those of the whole command: start-up,
data and one test on top. Three rounds in turn. Writes
benchmarks/results/time_to_99.json and time_to_99.md; about a quarter of an hour.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from runner import RESULTS, ROOT, RUNS, Found, train
from tqdm import tqdm

import input_data

ROUNDS = 3
GOAL = 0.99


def until_there(
    epoch: Callable[[], None], test: Callable[[], float], longest: int
) -> Found:
    """Train epoch by epoch until GOAL is reached; return the seconds of each part."""
    training, accuracy, epochs, tests = 0.0, 0.0, 0, []
    while accuracy < GOAL and epochs < longest:
        begun = time.perf_counter()
        epoch()
        trained = time.perf_counter()
        accuracy = test()
        training += trained - begun
        epochs += 1
        tests.append(time.perf_counter() - trained)
    return {
        "training": training,
        "tests_but_the_last": sum(tests[:-1]),
        "accuracy": accuracy,
        "epochs": epochs,
    }


def pytorch(data: input_data.Datasets, seed: int) -> Found:
    """Train pytorch/examples' mnist: Adadelta 1.0, times 0.7 an epoch, batch 64."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )
    optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)

    def tensors(split: input_data.DataSet) -> tuple[torch.Tensor, torch.Tensor]:
        images = (split.images.reshape(-1, 1, 28, 28) - 0.1307) / 0.3081
        return torch.from_numpy(images), torch.from_numpy(split.labels.astype("int64"))

    images, labels = tensors(data.train)
    test_images, test_labels = tensors(data.test)

    def epoch() -> None:
        network.train()
        for chosen in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            logits = network(images[chosen])
            nn.functional.cross_entropy(logits, labels[chosen]).backward()
            optimizer.step()
        schedule.step()

    def test() -> float:
        network.eval()
        with torch.inference_mode():
            found = torch.cat([network(x).argmax(1) for x in test_images.split(1000)])
        return (found == test_labels).double().mean().item()

    return until_there(epoch, test, 14)


def keras(data: input_data.Datasets, seed: int) -> Found:
    """Train Keras's mnist_convnet: Adam 1e-3, batch 128, nine tenths of the images.

    Without the autotuning of arrays, which makes each epoch's end wait: contenders.py.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    network.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    images = data.train.images.reshape(-1, 28, 28, 1)[:54_000]
    one_hot = keras.utils.to_categorical(data.train.labels, 10)[:54_000]
    examples = tf.data.Dataset.from_tensor_slices((images, one_hot))
    options = tf.data.Options()
    options.autotune.enabled = False
    batches = examples.shuffle(len(images)).batch(128).with_options(options)

    def epoch() -> None:
        network.fit(batches, verbose=0)

    def test() -> float:
        found = network.predict(data.test.images.reshape(-1, 28, 28, 1), verbose=0)
        return float((found.argmax(axis=1) == data.test.labels).mean())

    return until_there(epoch, test, 15)


def ours(data_dir: Path, seed: int) -> Found:
    """Run the fast recipe."""
    flags = ["--recipe=fast", "--overwrite", f"--seed={seed}", f"--data_dir={data_dir}"]
    run, command, training = train(RUNS / "fast", *flags)
    return {
        "training": training,
        "command": command,
        "accuracy": run.test_accuracy,
        "epochs": run.history[-1].epoch,
    }


PEERS = {"pytorch/examples mnist": pytorch, "Keras mnist_convnet": keras}
OURS = "`train.py --recipe fast`"


def in_new_process(name: str, data_dir: Path, seed: int) -> Found:
    """Return what this script finds of one peer, which may load its framework alone."""
    command = [sys.executable, __file__, "--peer", name, "--seed", str(seed)]
    begun = time.monotonic()
    done = subprocess.run(
        [*command, "--data_dir", str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    seconds = time.monotonic() - begun
    found = json.loads(done.stdout.splitlines()[-1])
    return found | {"command": seconds - found.pop("tests_but_the_last")}


def table(results: dict[str, list[Found]]) -> str:
    """Return medians as Markdown.

    Raises:
        SystemExit: one never came to GOAL, and has no time to it.
    """
    for name, runs in results.items():
        if min(run["accuracy"] for run in runs) < GOAL:
            raise SystemExit(f"{name} did not reach {GOAL}: {runs}")
    lines = [
        f"| median of {ROUNDS} | training, s | times ours | whole command, s "
        "| times ours | epochs | test accuracy |",
        "|---|---|---|---|---|---|---|",
    ]

    def median(name: str, key: str) -> float:
        return statistics.median(run[key] for run in results[name])

    for name in results:
        cells = [
            f"{median(name, key):.1f} | {median(name, key) / median(OURS, key):.1f}"
            for key in ("training", "command")
        ]
        cells += [f"{median(name, 'epochs'):.2g}", f"{median(name, 'accuracy'):.4f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure all in turn, or one peer once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    parser.add_argument("--peer", choices=PEERS, help="this one alone, as JSON")
    parser.add_argument("--seed", type=int, default=1, help="with --peer")
    args = parser.parse_args()
    data_dir = args.data_dir.resolve()
    if args.peer:
        _, data = input_data.load("mnist", data_dir, 0)
        print(json.dumps(PEERS[args.peer](data, args.seed)))
        return
    results: dict[str, list[Found]] = {name: [] for name in (OURS, *PEERS)}
    for seed in tqdm(range(1, ROUNDS + 1), unit="round", disable=None):
        results[OURS].append(ours(data_dir, seed))
        for name in PEERS:
            results[name].append(in_new_process(name, data_dir, seed))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "time_to_99.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "time_to_99.md").write_text(table(results))
    print(table(results), end="")


if __name__ == "__main__":
    main()
