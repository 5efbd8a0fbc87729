"""Train the handwritten-digit recogniser: a graph, a Session, a checkpoint.

    python train.py

Edit the constants below, or give any of them as a flag: --batch_size 10. What is
written goes to save_model/; classify a test image with it by ``python predict.py``.
"""

import math
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import data_sources
import input_data
import model
import optimization
from common import cli, plots
from common import settings as flags
from common.session import session_config, tf
from saving import checkpoints as checkpoint
from saving import resume as runs

# ---------------------------------------------------------------------- constants
DATASET = "auto"  # mnist, digits (scikit-learn's, offline) or auto: what can be had
DATA_DIR = "data"  # folder of the MNIST files, downloaded if missing
SAVE_DIR = "save_model"  # folder for checkpoints, history and curves
VALIDATION_SIZE = 5000  # first training images, kept for validation
NETWORK = "cnn"  # cnn, mlp_512, mlp_1024_512_256, mlp_128 or sigmoid_30
OPTIMIZER = "adam"  # adam, rmsprop or sgd
LOSS = "cross_entropy"  # cross_entropy or quadratic
SEED = 1  # of initial weights, order, dropout, augmentation
STEPS = 2750  # training steps; 2750 are 5 epochs of MNIST
EPOCHS = 0.0  # passes over the training images; 0: STEPS counts
BATCH_SIZE = 100  # images a step
LEARNING_RATE = 1e-3  # of the optimizer, the highest of the run
SCHEDULE = "cosine"  # cosine: falls to 0 at the end; or constant
WARMUP = 0.05  # share of the steps in which the rate rises from 0
KEEP_PROB = 0.5  # share of the units that dropout keeps
LABEL_SMOOTHING = 0.1  # share of the target spread over all digits
AUGMENT = 1.0  # strength of the random affine; 0: off
BFLOAT16 = "auto"  # on, off or auto: where the CPU has it
THREADS = 0  # of one operation; 0: as many as cores
EVAL_STEPS = 100  # steps; shorter epochs are evaluated several at a time
CHECKPOINT_SECONDS = 60  # between checkpoints within an epoch
# Whole settings for --recipe: what each has in place of the constants above.
RECIPES = {
    "article": {
        "STEPS": 10_000,
        "BATCH_SIZE": 10,
        "LEARNING_RATE": 1e-4,
        "SCHEDULE": "constant",
        "WARMUP": 0.0,
        "LABEL_SMOOTHING": 0.0,
        "AUGMENT": 0.0,
        "BFLOAT16": "off",
    },
    "fast": {"EPOCHS": 1.0, "LEARNING_RATE": 2e-3, "AUGMENT": 0.0},
    "default": {},
    "best": {"EPOCHS": 30.0, "BATCH_SIZE": 50, "VALIDATION_SIZE": 0},
}
# --------------------------------------------------------------------------------

EVAL_BATCH = 500  # images; larger ones are no faster and take more memory


class Graph(NamedTuple):
    """The tensors and operations that a training Session runs."""

    feeds: model.Inputs
    train_op: tf.Operation
    loss: tf.Tensor  # what is minimised, mean over the batch
    learning_rate: tf.Tensor
    evaluation: tuple[tf.Tensor, tf.Tensor]  # sum of losses, number of right answers
    finite: tf.Tensor  # whether every variable is
    saver: tf.train.Saver


def build_graph(settings: SimpleNamespace, run: checkpoint.Run) -> Graph:
    """Build the graph of a run in the default graph."""
    tf.set_random_seed(settings.seed)
    global_step = tf.train.create_global_step()
    feeds = model.inputs()
    network, architecture = run["network"], run["architecture"]
    logits = model.inference(feeds, network, architecture, settings.seed, global_step)
    targets = optimization.smoothed_targets(feeds.labels, settings.label_smoothing)
    loss = tf.reduce_mean(optimization.LOSSES[settings.loss](logits, targets))
    rate = optimization.learning_rate(
        global_step,
        run["resolved"]["steps"],
        settings.learning_rate,
        settings.schedule,
        settings.warmup,
    )
    optimizer = optimization.OPTIMIZERS[settings.optimizer](rate)
    train_op = optimizer.minimize(loss, global_step)
    weights = [v for v in tf.global_variables() if v.dtype.is_floating]
    return Graph(
        feeds,
        train_op,
        loss,
        rate,
        optimization.evaluation(logits, feeds.labels, settings.loss),
        tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in weights]),
        tf.train.Saver(max_to_keep=None),  # checkpoint.py deletes old ones
    )


def evaluate(
    session: tf.Session, graph: Graph, images: np.ndarray, labels: np.ndarray
) -> tuple[float, int]:
    """Return the sum of losses and the number of right answers."""
    total, right = 0.0, 0
    for start in range(0, len(images), EVAL_BATCH):
        batch = slice(start, start + EVAL_BATCH)
        feed = {graph.feeds.images: images[batch], graph.feeds.labels: labels[batch]}
        batch_loss, batch_right = session.run(graph.evaluation, feed)
        total += float(batch_loss)
        right += int(batch_right)
    return total, right


# ------------------------------------------------------------------------ training


def steps_done(
    session: tf.Session,
    graph: Graph,
    settings: SimpleNamespace,
    data: input_data.DataSet,
    steps: range,
) -> Iterator[int]:
    """Run the steps numbered by `steps`, from 1; yield the number after each one.

    Raises:
        cli.UserError: the loss is no longer a finite number.
    """
    feed = {
        graph.feeds.keep_prob: settings.keep_prob,
        graph.feeds.augment: settings.augment,
    }
    with tqdm(
        total=steps.stop - 1,
        initial=steps.start - 1,
        unit="step",
        disable=None,
        leave=False,
    ) as bar:
        for step in steps:
            images, labels = data.batch(step - 1, settings.batch_size)
            feed[graph.feeds.images], feed[graph.feeds.labels] = images, labels
            _, loss = session.run((graph.train_op, graph.loss), feed)
            if not math.isfinite(loss):
                raise diverged(f"the loss is {loss}", step, settings)
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            bar.update()
            yield step


def ends_epoch(step: int, settings: SimpleNamespace, num_examples: int) -> bool:
    """Return whether a step ends an epoch, or several shorter than EVAL_STEPS."""
    epochs = math.ceil(settings.eval_steps * settings.batch_size / num_examples)
    return step * settings.batch_size % (epochs * num_examples) < settings.batch_size


def diverged(what: str, step: int, settings: SimpleNamespace) -> cli.UserError:
    """Return the error of a run whose numbers are no longer finite."""
    return cli.UserError(
        f"{what} at step {step}: stopped, nothing of that was saved. LEARNING_RATE is "
        f"{settings.learning_rate:g}; try a smaller one, with --overwrite"
    )


def report(
    session: tf.Session,
    graph: Graph,
    data: input_data.Datasets,
    step: int,
    epoch: float,
) -> checkpoint.Row:
    """Evaluate training and validation images alike: no dropout, no augmentation.

    Returns:
        A row of history.csv. Cross-entropy is in nats. As many training images count
        as there are for validation; without those there are no values for it.
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


def short(epochs: float) -> str:
    """Return a number of epochs in three digits, or as many as it has."""
    return f"{epochs:.3g}" if epochs < 999.5 else f"{epochs:.0f}"


def report_line(
    row: checkpoint.Row, epochs: float, validation_size: int, seconds: float
) -> str:
    """Return what is printed of a row of the history."""
    accuracy = row["validation_accuracy"]
    validation = "no validation"
    if accuracy is not None:
        validation = f"validation accuracy {accuracy_text(accuracy, validation_size)}"
    return (
        f"epoch {short(row['epoch']):>4}/{short(epochs)}  "
        f"loss {row['training_loss']:.4f}  "
        f"{validation}  {seconds:.1f} s"
    )


def train(
    settings: SimpleNamespace, run: checkpoint.Run, data: input_data.Datasets
) -> None:
    """Train to the end of the run, saving on the way; test what is best on validation.

    Args:
        settings: the constants.
        run: the run that begins or goes on; brought up to date.
        data: the three splits.

    Raises:
        cli.UserError: the numbers are no longer finite, or saving failed.
        SystemExit: Ctrl-C or SIGTERM, after the step was finished and saved.
    """
    save_dir, resolved = settings.save_dir, run["resolved"]
    steps, per_epoch = resolved["steps"], data.train.num_examples / settings.batch_size
    options = session_config(resolved["threads"], resolved["bfloat16"])
    with (
        tf.Graph().as_default(),
        tf.Session(config=options) as session,
        cli.noted_signals() as signals,
    ):
        graph = build_graph(settings, run)
        session.run(tf.global_variables_initializer())
        if run["checkpoints"]:
            name = checkpoint.last(run)
            checkpoint.restore(session, save_dir, run, name, tf.global_variables())
            print(f"going on from step {run['step']} of {steps}")
        started = saved = time.monotonic()
        todo = range(run["step"] + 1, steps + 1)
        for step in steps_done(session, graph, settings, data.train, todo):
            end = step == steps or ends_epoch(step, settings, data.train.num_examples)
            due = time.monotonic() - saved >= settings.checkpoint_seconds
            if not (end or due or signals):
                continue
            if not session.run(graph.finite):
                raise diverged("weights are no longer finite", step, settings)
            run |= {"step": step, "finished": False}
            if end:
                row = report(session, graph, data, step, step / per_epoch)
                checkpoint.add(run, row, checkpoint.name_of(step))
            checkpoint.save(session, graph.saver, save_dir, run)
            saved = time.monotonic()
            if end:
                size, seconds = data.validation.num_examples, saved - started
                line = report_line(row, steps / per_epoch, size, seconds)
                tqdm.write(line, file=sys.stdout)
            if signals and step < steps:
                raise stopped(signals[0], step, settings, steps)
        best = run["best"]
        checkpoint.restore(session, save_dir, run, best, tf.trainable_variables())
        _, right = evaluate(session, graph, data.test.images, data.test.labels)
        run |= {"test_accuracy": right / data.test.num_examples, "finished": True}
        checkpoint.write_config(save_dir, run)
        checkpoint.write_derived(save_dir, run)
        plots.save(plots.curves(run["history"], title(run)), save_dir / "curves.png")


def stopped(
    signum: int, step: int, settings: SimpleNamespace, steps: int
) -> SystemExit:
    """Say how to go on; return the exit that the shell knows the signal by."""
    name = signal.Signals(signum).name
    print(
        f"train.py: stopped by {name} at step {step} of {steps}, saved; go on with: "
        f"python train.py --resume{elsewhere(settings)}",
        file=sys.stderr,
    )
    return SystemExit(128 + signum)


def title(run: checkpoint.Run) -> str:
    """Return what a figure says was run."""
    return (
        f"{run['network']} on {run['dataset']['name']}, {run['step']} steps, "
        f"test accuracy {run['test_accuracy']:.4f}"
    )


def elsewhere(settings: SimpleNamespace) -> str:
    """Return the flag that names the folder, where it is not the usual one."""
    usual = settings.save_dir == input_data.ROOT / SAVE_DIR
    return "" if usual else f" --save_dir {shlex.quote(str(settings.save_dir))}"


def begin(settings: SimpleNamespace) -> tuple[checkpoint.Run, input_data.Datasets]:
    """Return the run that begins or goes on, and its data."""
    run = runs.earlier(settings)
    if run:
        runs.keep_constants(settings, run)
    dataset = runs.data_set_of(run) if run else settings.dataset
    source, data = data_sources.load(
        dataset, settings.data_dir, settings.validation_size, settings.seed
    )
    dataset = runs.describe_data(source, data)
    resolved = flags.resolve(settings, data.train.num_examples)
    if run is None:
        return runs.describe(settings, resolved, dataset), data
    run["resolved"] = runs.keep_resolved(run, resolved, dataset)
    run["constants"] |= runs.stored(vars(settings), runs.MAY_CHANGE)
    return run, data


def main() -> None:
    """Train, say what came out and what to run next."""
    settings = flags.read_settings(globals(), RECIPES, __doc__.splitlines()[0])
    with checkpoint.lock(settings.save_dir):
        run, data = begin(settings)
        checkpoint.prepare(settings.save_dir, run)
        if not run["finished"] or run["step"] < run["resolved"]["steps"]:
            train(settings, run, data)
    name = run["dataset"]["name"]
    if name != "mnist":
        print(input_data.NOT_MNIST[name], file=sys.stderr)
    accuracy = accuracy_text(run["test_accuracy"], data.test.num_examples)
    print(f"test accuracy {accuracy}")
    print(f"next: python predict.py --index 1{elsewhere(settings)}")


if __name__ == "__main__":
    cli.run(main, input_data.DataError)
