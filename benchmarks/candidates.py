"""Try settings that train.py does not have: which would pay, on validation images?

    python benchmarks/candidates.py --data_dir data

Trains the default network on one core, in runs of three lengths with something changed,
on the last 50,000 training images. Keeps what the first 10,000 tell: the accuracy, and
the loss at the best temperature, which differs less from seed to seed. The results
are candidates.json and candidates.md in benchmarks/results/; runs that are done are not
repeated. Beside another such run on a Zen 4 processor, a short run takes half a minute,
a default one two minutes, a long one ten.
"""

import argparse
import math
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from runner import ROOT, Found, Results, fill, mean
from scipy import optimize, special

import input_data
import model
from augment import AFFINE, augment
from common.session import cpu_has_bfloat16, session_config, tf

VALIDATION = 10_000  # images
WARMUP = 0.05  # share of the run in which the rate rises
EVAL_BATCH = 500
SEEDS = (1, 2, 3)
TEACHER_FROM = 0.3  # share of the run after which the teacher's answers count
TEACHER_SHARE = 0.5  # of the targets


@dataclass(frozen=True)
class Candidate:
    """How to train; the defaults are the short run's. Pairs are the first and last."""

    images: int = 40_000  # seen in training
    batch_size: tuple[int, int] = (64, 64)
    learning_rate: float = 2e-3
    schedule: str = "cosine"  # or another of model.SCHEDULES, or "late 0.2"
    beta_2: float = 0.999  # of Adam
    keep_prob: float = 0.5
    all_units: float = 0.0  # share of the run, at its start, without dropout
    augment: tuple[float, float] = (0.0, 0.0)
    label_smoothing: tuple[float, float] = (0.1, 0.1)
    layer_rates: tuple[float, float] = (1.0, 1.0)  # times, convolutions and first fc
    mixup: float = 0.0  # largest share of another image in each, and of its target
    average: float = 0.0  # decay of the average that replaces the weights at the end
    teacher: float = 0.0  # decay of the average of the weights that teaches


# In what runs something is changed; "default" is that recipe.
BASES = {
    "short": Candidate(),
    "default": Candidate(images=176_000, schedule="linear", augment=(1.0, 1.0)),
    "long": Candidate(images=1_000_000, schedule="linear", augment=(1.0, 1.0)),
}
CHANGES = (
    {},
    {"batch_size": (100, 100)},
    {"batch_size": (48, 48)},
    {"batch_size": (32, 128)},
    {"learning_rate": 3e-3},
    {"schedule": "cosine"},
    {"schedule": "linear"},
    {"schedule": "late 0.2"},
    {"schedule": "constant", "average": 0.985},
    {"beta_2": 0.99},
    {"keep_prob": 0.8},
    {"all_units": 0.25},
    {"augment": (0.5, 0.5)},
    {"augment": (1.5, 0.5)},
    {"augment": (0.5, 1.5)},
    {"label_smoothing": (0.1, 0.0)},
    {"layer_rates": (2.0, 0.7)},
    {"teacher": 0.98},
    {"mixup": 0.2},
)
LONG_CHANGES = (
    {},
    {"batch_size": (50, 50), "learning_rate": 1e-3, "schedule": "cosine"},  # as best
    {"batch_size": (100, 100), "learning_rate": 3e-3},
    {"augment": (1.5, 0.5)},
    {"keep_prob": 0.35},
    {"mixup": 0.2},
)


def candidates() -> dict[str, Candidate]:
    """Return all by the run and what is changed in it."""
    found = {}
    for run, base in BASES.items():
        for changes in LONG_CHANGES if run == "long" else CHANGES:
            changed = replace(base, **changes)
            if changed != base or not changes:
                named = ", ".join(f"{name} {value}" for name, value in changes.items())
                found[f"{run}: {named or '-'}"] = changed
    return found


# ------------------------------------------------------------------ over a run


def batch_sizes(candidate: Candidate) -> list[int]:
    """Return the size of each batch, a multiple of 8 where they grow."""
    first, last = candidate.batch_size
    sizes, seen = [], 0
    while seen < candidate.images:
        share = seen / candidate.images
        size = first if first == last else 8 * round(between((first, last), share) / 8)
        sizes.append(size)
        seen += size
    return sizes


def between(ends: tuple[float, float], done: float) -> float:
    """Return the value at a share of the run, on the line from first to last."""
    return ends[0] + (ends[1] - ends[0]) * done


# ----------------------------------------------------------------------- graph


def learning_rate(candidate: Candidate, done: tf.Tensor) -> tf.Tensor:
    """Return the learning rate at a share of the run.

    "late FALL" stays at the peak and falls to zero, as 1 minus a square root, in the
    last FALL of the run (A. Hägele et al., "Scaling Laws and Compute-Optimal Training
    Beyond Fixed Training Durations", 2024).
    """
    after = tf.maximum(0.0, done - WARMUP) / (1 - WARMUP)
    if candidate.schedule.startswith("late "):
        fall = float(candidate.schedule.removeprefix("late "))
        share = 1 - tf.sqrt(tf.maximum(0.0, after - 1 + fall) / fall)
    else:
        share = model.SCHEDULES[candidate.schedule](after)
    return candidate.learning_rate * tf.minimum(1.0, done / WARMUP + 1e-3) * share


def adam_steps(
    loss: tf.Tensor, rate: tf.Tensor, candidate: Candidate
) -> list[tf.Operation]:
    """Return an optimizer's step for each layer, with the rate of its own."""
    convolutions, first_fc = candidate.layer_rates
    times = {"layer_1": convolutions, "layer_2": convolutions}
    times |= {"full_connection_1": first_fc, "full_connection_2": 1.0}
    gradients = tf.gradients(loss, tf.trainable_variables())
    steps = []
    for scope, factor in times.items():
        pairs = zip(gradients, tf.trainable_variables(), strict=True)
        own = [(g, v) for g, v in pairs if v.op.name.startswith(scope)]
        method = tf.train.AdamOptimizer(rate * factor, beta2=candidate.beta_2)
        steps.append(method.apply_gradients(own))
    return steps


def mixed(values: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """Mix each example with a share of the next one of its batch.

    H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.
    """
    return values * (1 - shares) + tf.roll(values, 1, axis=0) * shares


def taught_targets(
    targets: tf.Tensor,
    images: tf.Tensor,
    average: tf.train.ExponentialMovingAverage,
    share: tf.Tensor,
) -> tf.Tensor:
    """Mix targets with the answers of the averaged weights.

    A. Tarvainen, H. Valpola, "Mean teachers are better role models", 2017.
    """

    def averaged(getter: object, name: str, *args: object, **options: object):  # noqa: ANN202
        return average.average(getter(name, *args, **options))

    with tf.variable_scope("", reuse=True, custom_getter=averaged):
        logits = model.inference(images, "cnn", model.ARCHITECTURES["cnn"])
    return targets * (1 - share) + tf.stop_gradient(tf.nn.softmax(logits)) * share


class Trainer:
    """The graph of a candidate, in the default graph, and what it is fed."""

    def __init__(self, candidate: Candidate, seed: int) -> None:
        """Build it."""
        self.candidate = candidate
        tf.set_random_seed(seed)
        step = tf.train.create_global_step()
        self.pixels = tf.placeholder(tf.float32, [None, model.PIXELS])
        self.labels = tf.placeholder(tf.int32, [None])
        self.keep_prob = tf.placeholder_with_default(1.0, [])
        self.strength, self.smoothing, self.done, self.taught = (
            tf.placeholder_with_default(0.0, []) for _ in range(4)
        )
        self.training = tf.placeholder_with_default(False, [])
        images, targets = self._examples(model.random_key(seed, step, 0))
        key = model.random_key(seed, step, 1)
        shape = model.ARCHITECTURES["cnn"]
        self.logits = model.inference(images, "cnn", shape, self.keep_prob, key)
        decay = candidate.average or candidate.teacher
        average = tf.train.ExponentialMovingAverage(decay) if decay else None
        weights = tf.trainable_variables()
        if average:
            average.apply(weights)
        if candidate.teacher:
            targets = taught_targets(targets, images, average, self.taught)
        loss = tf.reduce_mean(model.cross_entropy(self.logits, targets))
        rate = learning_rate(candidate, self.done)
        with tf.control_dependencies(adam_steps(loss, rate, candidate)):
            counted = tf.assign_add(step, 1)
        with tf.control_dependencies([counted]):
            self.train_op = average.apply(weights) if average else tf.no_op()
        self.to_average = tf.group(
            [tf.assign(v, average.average(v)) for v in weights] if average else []
        )

    def _examples(self, key: model.RandomKey) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the images, distorted in training, and the targets."""
        images = augment(model.as_images(self.pixels), AFFINE, self.strength, key)
        targets = model.smoothed_targets(self.labels, self.smoothing)
        if not self.candidate.mixup:
            return images, targets
        key = model.RandomKey(key.numbers + 7)  # that of no other use
        size = tf.stack([tf.shape(images)[0], 1, 1, 1])
        shares = model.uniform(size, key, 0.0, self.candidate.mixup)
        mixed_images = mixed(images, shares)
        images = tf.cond(self.training, lambda: mixed_images, lambda: images)
        return images, mixed(targets, shares[:, 0, 0])

    def settings_at(self, done: float) -> dict[tf.Tensor, float]:
        """Return what is fed beside images and labels, at a share of the run."""
        one = self.candidate
        return {
            self.training: True,
            self.keep_prob: 1.0 if done < one.all_units else one.keep_prob,
            self.strength: between(one.augment, done),
            self.smoothing: between(one.label_smoothing, done),
            self.done: done,
            self.taught: TEACHER_SHARE if done >= TEACHER_FROM else 0.0,
        }


# --------------------------------------------------------------------- measure


def measure(candidate: Candidate, seed: int, data: input_data.Datasets) -> Found:
    """Train; return accuracy and loss in nats on validation images, and seconds."""
    sizes = batch_sizes(candidate)
    seen = np.cumsum([0, *sizes])
    count = data.train.num_examples
    order = np.concatenate(
        [
            np.random.default_rng([seed, epoch]).permutation(count)
            for epoch in range(math.ceil(seen[-1] / count))
        ]
    )
    with (
        tf.Graph().as_default(),
        tf.Session(config=session_config(1, cpu_has_bfloat16())) as session,
    ):
        trainer = Trainer(candidate, seed)
        session.run(tf.global_variables_initializer())
        begun = time.monotonic()
        for start, size in zip(seen, sizes, strict=False):
            rows = order[start : start + size]
            feed = trainer.settings_at(start / seen[-1])
            feed[trainer.pixels] = input_data.scaled(data.train.images[rows])
            feed[trainer.labels] = data.train.labels[rows]
            session.run(trainer.train_op, feed)
        seconds = time.monotonic() - begun
        if candidate.average:
            session.run(trainer.to_average)
        images, labels = data.validation.images, data.validation.labels
        logits = np.concatenate(
            [
                session.run(trainer.logits, {trainer.pixels: input_data.scaled(some)})
                for some in np.split(images, len(images) // EVAL_BATCH)
            ]
        )
    found = {"accuracy": float((logits.argmax(axis=1) == labels).mean())}
    return found | {"loss": least_loss(logits, labels), "seconds": seconds}


def least_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy in nats at the temperature that makes it least."""

    def loss(log_temperature: float) -> float:
        scaled = special.log_softmax(logits / math.exp(log_temperature), axis=1)
        return -float(scaled[np.arange(len(labels)), labels].mean())

    return float(optimize.minimize_scalar(loss, bounds=(-2, 1), method="bounded").fun)


def table(results: Results) -> str:
    """Return what is done as Markdown, seconds as medians."""
    lines = [
        "| run: changed | seeds | validation accuracy | loss in nats | seconds |",
        "|---|---|---|---|---|",
    ]
    for name, runs in results.items():
        rows = list(runs.values())
        accuracy = mean([row["accuracy"] for row in rows])
        loss = statistics.mean(row["loss"] for row in rows)
        seconds = statistics.median(row["seconds"] for row in rows)
        lines.append(
            f"| {name} | {len(rows)} | {accuracy} | {loss:.4f} | {seconds:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what benchmarks/results/ does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=ROOT / "data")
    data_dir = parser.parse_args().data_dir.resolve()
    _, data = input_data.load("mnist", data_dir, VALIDATION, dtype=np.uint8)
    by_name = candidates()
    fill(
        "candidates",
        [(name, seed) for seed in SEEDS for name in by_name],
        lambda name, seed: measure(by_name[name], seed, data),
        table,
    )


if __name__ == "__main__":
    main()
