"""Train the handwritten-digit recogniser: a graph, a Session, a checkpoint.

    python train.py

Edit the constants below, or give any of them as a flag: --batch_size 10. What is
written goes to save_model/; classify a test image with it by ``python predict.py``.
"""

import importlib.metadata
import math
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import checkpoint
import cli
import input_data
import model
import plots
from graph_mode import available_cores, cpu_has_bfloat16, session_config, tf

# ---------------------------------------------------------------------- constants
DATASET = "auto"  # mnist, digits (scikit-learn's, offline) or auto: what can be had
DATA_DIR = "data"  # folder of the MNIST files, downloaded if missing
SAVE_DIR = "save_model"  # folder for checkpoints, history and curves
VALIDATION_SIZE = 5000  # first training images, kept for validation
SEED = 1  # of initial weights, order, dropout, augmentation
STEPS = 2750  # training steps; 2750 are 5 epochs of MNIST
EPOCHS = 0.0  # passes over the training images; 0: STEPS counts
BATCH_SIZE = 100  # images a step
LEARNING_RATE = 1e-3  # of Adam, the highest of the run
SCHEDULE = "cosine"  # cosine: falls to 0 at the end; or constant
WARMUP = 0.05  # share of the steps in which the rate rises from 0
KEEP_PROB = 0.5  # share of the fc units that dropout keeps
LABEL_SMOOTHING = 0.1  # share of the target spread over all digits
AUGMENT = 1.0  # strength of the random affine; 0: off
BFLOAT16 = "auto"  # on, off or auto: where the CPU has it
THREADS = 0  # of one operation; 0: as many as cores
EVAL_STEPS = 100  # steps; shorter epochs are evaluated several at a time
# --------------------------------------------------------------------------------

POSITIVE = "a whole number, 1 or more"
RULES: dict[str, cli.Rule] = {
    "DATASET": (str, lambda v: v in input_data.DATASETS, "auto, mnist or digits"),
    "DATA_DIR": (str, bool, "a folder"),
    "SAVE_DIR": (str, bool, "a folder"),
    "VALIDATION_SIZE": (int, lambda v: v >= 0, "a whole number of images, 0 or more"),
    "SEED": (int, lambda v: 0 <= v < 2**31, "a whole number from 0 to 2147483647"),
    "STEPS": (int, lambda v: v >= 1, POSITIVE),
    "EPOCHS": (float, lambda v: 0 <= v <= 1e6, "a number from 0 to 1000000"),
    "BATCH_SIZE": (int, lambda v: v >= 1, POSITIVE),
    "LEARNING_RATE": (float, lambda v: 0 < v < math.inf, "a number above 0"),
    "SCHEDULE": (str, lambda v: v in ("cosine", "constant"), "cosine or constant"),
    "WARMUP": (float, lambda v: 0 <= v <= 1, "a share from 0 to 1"),
    "KEEP_PROB": (float, lambda v: 0 < v <= 1, "a share above 0, up to 1"),
    "LABEL_SMOOTHING": (float, lambda v: 0 <= v < 1, "a share from 0 to below 1"),
    "AUGMENT": (float, lambda v: 0 <= v <= 5, "a number from 0 to 5"),
    "BFLOAT16": (str, lambda v: v in ("auto", "on", "off"), "auto, on or off"),
    "THREADS": (int, lambda v: 0 <= v <= 1024, "a whole number from 0 to 1024"),
    "EVAL_STEPS": (int, lambda v: v >= 1, POSITIVE),
}
EVAL_BATCH = 500  # images; larger ones are no faster and take more memory


def read_settings() -> SimpleNamespace:
    """Return the run's settings: the constants and flags, checked and resolved."""
    settings = cli.read_settings(
        globals(), RULES, ("STEPS", "EPOCHS"), __doc__.splitlines()[0]
    )
    if "steps" in settings.given:
        settings.epochs = 0.0
    # A flag's path is relative to where the user is, a constant's to the project.
    for key in ("data_dir", "save_dir"):
        base = Path.cwd() if key in settings.given else input_data.ROOT
        setattr(settings, key, base / getattr(settings, key))
    settings.bfloat16 = settings.bfloat16 == "on" or (
        settings.bfloat16 == "auto" and cpu_has_bfloat16()
    )
    settings.threads = settings.threads or available_cores()
    del settings.given
    return settings


def resolve_lengths(settings: SimpleNamespace, num_examples: int) -> None:
    """Turn epochs into steps and check the sizes against the training images."""
    if num_examples == 0:
        raise cli.UserError(
            f"VALIDATION_SIZE is {settings.validation_size}; it must be less than the "
            "number of training images"
        )
    if settings.batch_size > num_examples:
        raise cli.UserError(
            f"BATCH_SIZE is {settings.batch_size}; it must be 1 to {num_examples}, the "
            "number of training images"
        )
    if settings.epochs:
        settings.steps = math.ceil(settings.epochs * num_examples / settings.batch_size)


class Graph(NamedTuple):
    """The tensors and operations that a training Session runs."""

    feeds: model.Inputs
    train_op: tf.Operation
    loss: tf.Tensor  # what is minimised, mean over the batch
    learning_rate: tf.Tensor
    evaluation: tuple[tf.Tensor, tf.Tensor]  # sum of losses, number of right answers
    finite: tf.Tensor  # whether every variable is
    saver: tf.train.Saver


def build_graph(settings: SimpleNamespace) -> Graph:
    """Build the training graph in the default graph."""
    tf.set_random_seed(settings.seed)
    global_step = tf.train.create_global_step()
    feeds = model.inputs()
    logits = model.inference(feeds, model.ARCHITECTURE, settings.seed, global_step)
    losses = model.cross_entropy(logits, feeds.labels, settings.label_smoothing)
    loss = tf.reduce_mean(losses)
    rate = model.learning_rate(
        global_step,
        settings.steps,
        settings.learning_rate,
        settings.schedule,
        settings.warmup,
    )
    train_op = tf.train.AdamOptimizer(rate).minimize(loss, global_step)
    weights = [v for v in tf.global_variables() if v.dtype.is_floating]
    return Graph(
        feeds,
        train_op,
        loss,
        rate,
        model.evaluation(logits, feeds.labels),
        tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in weights]),
        tf.train.Saver(max_to_keep=3, save_relative_paths=True),
    )


def evaluate(
    session: tf.Session, graph: Graph, images: np.ndarray, labels: np.ndarray
) -> tuple[float, int]:
    """Return the sum of losses in nats and the number of right answers."""
    total, right = 0.0, 0
    for start in range(0, len(images), EVAL_BATCH):
        batch = slice(start, start + EVAL_BATCH)
        feed = {graph.feeds.images: images[batch], graph.feeds.labels: labels[batch]}
        batch_loss, batch_right = session.run(graph.evaluation, feed)
        total += float(batch_loss)
        right += int(batch_right)
    return total, right


# ------------------------------------------------------------------------ training


def describe(settings: SimpleNamespace, name: str, data: input_data.Datasets) -> dict:
    """Return everything that rebuilds the graph and tells how it was trained."""
    constants = dict(vars(settings))
    # Relative to the project, so that the two can move together.
    for key in ("data_dir", "save_dir"):
        constants[key] = os.path.relpath(constants[key], input_data.ROOT)
    packages = ("tensorflow", "numpy")
    return {
        "network": "cnn",
        "architecture": model.ARCHITECTURE,
        "constants": constants,
        "dataset": {
            "name": name,
            **{field: getattr(data, field).num_examples for field in data._fields},
        },
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages},
        },
    }


def steps_to_report(
    session: tf.Session,
    graph: Graph,
    settings: SimpleNamespace,
    data: input_data.DataSet,
) -> Iterator[int]:
    """Train, and yield after each step that ends an epoch or the run.

    Epochs shorter than EVAL_STEPS are put together.

    Raises:
        cli.UserError: the loss is no longer a finite number.
    """
    per_step = settings.batch_size
    epochs = math.ceil(settings.eval_steps * per_step / data.num_examples)
    span = epochs * data.num_examples
    feed = {
        graph.feeds.keep_prob: settings.keep_prob,
        graph.feeds.augment: settings.augment,
    }
    with tqdm(total=settings.steps, unit="step", disable=None, leave=False) as bar:
        for step in range(1, settings.steps + 1):
            images, labels = data.batch(step - 1, per_step)
            feed[graph.feeds.images], feed[graph.feeds.labels] = images, labels
            _, loss = session.run((graph.train_op, graph.loss), feed)
            if not math.isfinite(loss):
                raise diverged(f"the loss is {loss}", step, settings)
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            bar.update()
            if step == settings.steps or step * per_step % span < per_step:
                yield step


def diverged(what: str, step: int, settings: SimpleNamespace) -> cli.UserError:
    """Return the error of a run whose numbers are no longer finite."""
    return cli.UserError(
        f"{what} at step {step}: stopped. What {settings.save_dir} held before is as "
        f"it was. LEARNING_RATE is {settings.learning_rate:g}; try a smaller one"
    )


def report(
    session: tf.Session,
    graph: Graph,
    data: input_data.Datasets,
    step: int,
    epoch: float,
) -> dict[str, float | None]:
    """Evaluate training and validation images alike: no dropout, no augmentation.

    Returns:
        A row of history.csv. Losses are in nats; as many training images are evaluated
        as there are for validation, and without those there are no values for it.
    """
    row = {"step": step, "epoch": epoch}
    row["learning_rate"] = float(session.run(graph.learning_rate))
    size = data.validation.num_examples
    sample = slice(size or EVAL_BATCH)
    for split, images, labels in (
        ("training", data.train.images[sample], data.train.labels[sample]),
        ("validation", data.validation.images, data.validation.labels),
    ):
        loss, right = evaluate(session, graph, images, labels)
        row[f"{split}_loss"] = loss / len(images) if len(images) else None
        row[f"{split}_accuracy"] = right / len(images) if len(images) else None
    return row


def accuracy_text(accuracy: float, count: int) -> str:
    """Return an accuracy with the counts behind it: 0.9926 (4963/5000)."""
    return f"{accuracy:.4f} ({round(accuracy * count)}/{count})"


def train(settings: SimpleNamespace, name: str, data: input_data.Datasets) -> float:
    """Train, saving as it goes; return the test accuracy of the best checkpoint."""
    config = describe(settings, name, data)
    history: list[dict[str, float | None]] = []
    session_options = session_config(settings.threads, settings.bfloat16)
    with tf.Graph().as_default(), tf.Session(config=session_options) as session:
        graph = build_graph(settings)
        session.run(tf.global_variables_initializer())
        epochs = settings.steps * settings.batch_size / data.train.num_examples
        started = time.monotonic()
        for step in steps_to_report(session, graph, settings, data.train):
            epoch = step / settings.steps * epochs
            row = report(session, graph, data, step, epoch)
            if not session.run(graph.finite):
                raise diverged("weights are no longer finite", step, settings)
            history.append(row)
            accuracy = row["validation_accuracy"]
            config["step"] = step
            if accuracy is None or accuracy >= config.get("validation_accuracy", 0):
                config["checkpoint"] = f"{checkpoint.PREFIX}-{step}"
                config["validation_accuracy"] = accuracy
            checkpoint.save(session, graph.saver, settings.save_dir, config, history)
            validation = (
                "no validation"
                if accuracy is None
                else "validation accuracy "
                + accuracy_text(accuracy, data.validation.num_examples)
            )
            tqdm.write(
                f"epoch {epoch:4.3g}/{epochs:.3g}  loss {row['training_loss']:.4f}  "
                f"{validation}  {time.monotonic() - started:.1f} s",
                file=sys.stdout,
            )
        best = settings.save_dir / config["checkpoint"]
        checkpoint.restore(session, best, tf.trainable_variables())
        _, right = evaluate(session, graph, data.test.images, data.test.labels)
    config["test_accuracy"] = right / data.test.num_examples
    checkpoint.write_config(settings.save_dir, config)
    title = (
        f"{config['network']} on {name}, test accuracy {config['test_accuracy']:.4f}"
    )
    plots.save(plots.curves(history, title), settings.save_dir / "curves.png")
    return config["test_accuracy"]


def main() -> None:
    """Read the settings and the data, train, say what to run next."""
    settings = read_settings()
    settings.save_dir.mkdir(parents=True, exist_ok=True)
    name, data = input_data.load(
        settings.dataset, settings.data_dir, settings.validation_size, settings.seed
    )
    resolve_lengths(settings, data.train.num_examples)
    accuracy = train(settings, name, data)
    if name != "mnist":
        print(input_data.NOT_MNIST[name], file=sys.stderr)
    print(f"test accuracy {accuracy_text(accuracy, data.test.num_examples)}")
    elsewhere = settings.save_dir != input_data.ROOT / SAVE_DIR
    where = f" --save_dir {settings.save_dir}" if elsewhere else ""
    print(f"next: python predict.py --index 1{where}")


if __name__ == "__main__":
    cli.run(main, input_data.DataError)
