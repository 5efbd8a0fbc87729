"""Train the handwritten-digit recogniser: a graph, a Session, a checkpoint.

    python train.py

Edit the constants below, or give any of them as a flag: --batch_size 10.

How a run flows:

1. `main` loads the data and resumes the run that SAVE_DIR holds, or begins another.
2. `build_graph` makes the graph: distortion, network, loss, optimizer, evaluation.
3. `train` opens a Session, in which `run_steps` feeds a batch a step.
4. At an epoch's end it evaluates; then, and every CHECKPOINT_SECONDS, it saves.
5. `finish` calibrates the best checkpoint and tests it, once.
"""

import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import input_data
import model
from augment import augment
from common import cli, files, plots
from common.calibration import fit_temperature
from common.cluster import Cluster, joined
from common.session import session_config, tf
from common.settings import CommandLine, Settings, read_command_line
from saving import checkpoints, resume, summaries
from saving.run import (
    Evaluation,
    Run,
    append_history,
    existing_data_dir,
    from_json,
    new_run,
    on_this_machine,
    summarize,
    to_json,
)

# ---------------------------------------------------------------------- constants
DATASET = "auto"  # mnist, mnist_5k (5,000 of it), or auto: mnist where available
DATA_DIR = "data"  # folder of the MNIST files, downloaded if missing
SAVE_DIR = "save_model"  # folder for checkpoints, history, curves and logs
VALIDATION_SIZE = 5000  # first training images, kept for validation
NETWORK = "cnn"  # cnn, mlp_512, mlp_1024_512_256, mlp_128 or sigmoid_30
OPTIMIZER = "adam"  # adam, rmsprop or sgd
LOSS = "cross_entropy"  # cross_entropy or quadratic
SEED = 1  # of initial weights, order, dropout, augmentation
LENGTH = "2750 steps"  # of the run, in steps or in epochs: "5 epochs"
BATCH_SIZE = 64  # images a step
LEARNING_RATE = "auto"  # of the optimizer, the highest; auto: see AUTO_RATES
SCHEDULE = "linear"  # linear or cosine: falls to 0 at the end; or constant
WARMUP = 0.05  # share of the steps in which the rate rises from 0
KEEP_PROB = 0.5  # share of the units that dropout keeps
LABEL_SMOOTHING = 0.1  # share of the target spread over all digits
AUGMENT = 1.0  # strength of the random affine; 0: off
BFLOAT16 = "auto"  # on, off or auto: where the CPU has it
THREADS = 0  # of one operation; 0: as many as cores
MIN_EVAL_STEPS = 100  # steps; shorter epochs are evaluated several at a time
CHECKPOINT_SECONDS = 60  # between checkpoints within an epoch
# LEARNING_RATE by data set.
AUTO_RATES = {"mnist": 2e-3, "mnist_5k": 1e-3, "own": 1e-3, "pictures": 1e-3}
# For --recipe: the constants that each one replaces.
RECIPES = {
    "article": {
        "LENGTH": "10000 steps",
        "BATCH_SIZE": 10,
        "LEARNING_RATE": 1e-4,
        "SCHEDULE": "constant",
        "WARMUP": 0.0,
        "LABEL_SMOOTHING": 0.0,
        "AUGMENT": 0.0,
        "BFLOAT16": "off",
    },
    "fast": {
        "LENGTH": "480 steps",
        "LEARNING_RATE": 3e-3,
        "KEEP_PROB": 0.8,
        "AUGMENT": 0.0,
    },
    "default": {},
    "best": {
        "LENGTH": "30 epochs",
        "BATCH_SIZE": 50,
        "LEARNING_RATE": 1e-3,
        "SCHEDULE": "cosine",
        "VALIDATION_SIZE": 0,
    },
}
# --------------------------------------------------------------------------------

EVAL_BATCH = 500  # images; larger batches are no faster and take more memory
CALIBRATION = 5000  # images at most
LOG_STEPS = 10  # from one point of TensorBoard's curves of the batches to the next


# -------------------------------------------------------------------------- graph


class Graph(NamedTuple):
    """What the Session is fed, and what it runs."""

    images: tf.Tensor  # float32 of shape [batch_size, 784], values in [0, 1]
    labels: tf.Tensor  # int32 of shape [batch_size], 0 to 9
    keep_prob: tf.Tensor  # float32 scalar; 1, no dropout, unless fed
    augment: tf.Tensor  # float32 scalar; 0, no distortion, unless fed
    train_op: tf.Operation
    loss: tf.Tensor  # what is minimised, mean over the batch
    learning_rate: tf.Tensor
    gradient_norm: tf.Tensor
    evaluation: tuple[tf.Tensor, tf.Tensor]  # sum of losses, what images are read as
    logits: tf.Tensor  # float32 of shape [batch_size, 10]
    all_finite: tf.Tensor  # whether every variable is
    saver: tf.train.Saver


def build_graph(run: Run, workers: Cluster) -> Graph:
    """Build the graph of a run in the default graph."""
    settings = run.settings
    tf.set_random_seed(settings.seed)
    global_step = tf.train.create_global_step()
    pixels = tf.placeholder(tf.float32, [None, model.PIXELS], "images")
    labels = tf.placeholder(tf.int32, [None], "labels")
    keep_prob = tf.placeholder_with_default(1.0, [], "keep_prob")
    strength = tf.placeholder_with_default(0.0, [], "augment")

    images = model.as_images(pixels)
    share = workers.index, workers.size  # of the random numbers of a batch
    key = model.random_key(settings.seed, global_step, 0, *share)
    images = augment(images, run.affine, strength, key)
    key = model.random_key(settings.seed, global_step, 1, *share)
    logits = model.inference(images, settings.network, run.architecture, keep_prob, key)
    loss = model.loss(logits, labels, settings.loss, settings.label_smoothing)
    rate = model.learning_rate(
        global_step,
        run.total_steps,
        settings.learning_rate,
        settings.schedule,
        settings.warmup,
    )
    train_op, gradient_norm = model.training(
        loss, settings.optimizer, rate, global_step, workers.average
    )
    weights = [v for v in tf.global_variables() if v.dtype.is_floating]
    return Graph(
        pixels,
        labels,
        keep_prob,
        strength,
        train_op,
        workers.average(loss),
        rate,
        gradient_norm,
        model.evaluation(logits, labels, settings.loss),
        logits,
        tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in weights]),
        tf.train.Saver(max_to_keep=None),  # saving/checkpoints.py deletes old ones
    )


# ------------------------------------------------------------------------ the loop


def run_steps(
    session: tf.Session,
    graph: Graph,
    settings: Settings,
    data: input_data.DataSet,
    steps: range,
    workers: Cluster,
) -> Iterator[tuple[int, dict[str, float]]]:
    """Run the training steps with these numbers, from 1; yield each when it is done.

    Every LOG_STEPS, what TensorBoard shows of the batch comes with the number, by name.

    Raises:
        cli.UserError: the loss is no longer a finite number.
    """
    part = workers.part(settings.batch_size)
    feed = {graph.keep_prob: settings.keep_prob, graph.augment: settings.augment}
    logged = {
        "batch/loss": graph.loss,
        "batch/learning_rate": graph.learning_rate,
        "batch/gradient_norm": graph.gradient_norm,
    }
    with tqdm(
        total=steps.stop - 1,
        initial=steps.start - 1,
        unit="step",
        disable=None if workers.leads else True,
        leave=False,
    ) as bar:
        for step in steps:
            feed[graph.images], feed[graph.labels] = input_data.batch(
                data, settings.seed, step - 1, settings.batch_size, part
            )
            fetches = logged if step % LOG_STEPS == 0 else {}
            fetches = (graph.train_op, graph.loss, fetches)
            _, loss, scalars = workers.run(session, fetches, feed)
            if not math.isfinite(loss):
                raise not_finite(f"the loss is {loss}", step, settings)
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            bar.update()
            yield step, scalars


def is_evaluated(step: int, run: Run) -> bool:
    """Return whether a step is the last of the run or of an epoch.

    Epochs shorter than MIN_EVAL_STEPS are evaluated several at a time.
    """
    batch_size, images = run.settings.batch_size, run.data.train
    epochs = math.ceil(run.settings.min_eval_steps * batch_size / images)
    before = (step - 1) * batch_size // (epochs * images)
    after = step * batch_size // (epochs * images)
    return after > before or step == run.total_steps


def sum_of_losses_and_answers(
    session: tf.Session, graph: Graph, images: np.ndarray, labels: np.ndarray
) -> tuple[float, np.ndarray]:
    """Evaluate uint8 images without dropout and distortion, in batches."""
    total, answers = 0.0, [np.zeros(0, np.int32)]
    for start in range(0, len(images), EVAL_BATCH):
        batch = slice(start, start + EVAL_BATCH)
        pixels = input_data.scaled(images[batch])
        feed = {graph.images: pixels, graph.labels: labels[batch]}
        batch_loss, batch_answers = session.run(graph.evaluation, feed)
        total += float(batch_loss)
        answers.append(batch_answers)
    return total, np.concatenate(answers)


def evaluate(
    session: tf.Session, graph: Graph, run: Run, data: input_data.Datasets
) -> Evaluation:
    """Evaluate as many training images as there are for validation, and those.

    Without validation images, EVAL_BATCH training images are evaluated.
    """
    values = {}
    sample = slice(data.validation.num_examples or EVAL_BATCH)
    for split, images, labels in (
        ("training", data.train.images[sample], data.train.labels[sample]),
        ("validation", data.validation.images, data.validation.labels),
    ):
        loss, answers = sum_of_losses_and_answers(session, graph, images, labels)
        count, right = len(images), np.count_nonzero(answers == labels)
        values[f"{split}_loss"] = loss / count if count else None
        values[f"{split}_accuracy"] = right / count if count else None
    return Evaluation(
        step=run.step,
        epoch=run.step / run.steps_per_epoch,
        learning_rate=float(session.run(graph.learning_rate)),
        **values,
    )


def save(
    session: tf.Session,
    graph: Graph,
    run: Run,
    data: input_data.Datasets,
    log: summaries.Log,
    evaluated: bool,
) -> Run:
    """Save the run at its step, after an evaluation where one is due.

    Raises:
        cli.UserError: a weight is no longer finite, or the disk refused.
    """
    if not session.run(graph.all_finite):
        raise not_finite("weights are no longer finite", run.step, run.settings)
    if evaluated:
        row = evaluate(session, graph, run, data)
        run = append_history(run, row, checkpoints.checkpoint_name(run.step))
        log.add_evaluation(row)
    log.write()
    return checkpoints.save(session, graph.saver, run)


def train(run: Run, data: input_data.Datasets, workers: Cluster) -> Run:
    """Train to the end of the run, with all workers; return it.

    Worker 0 saves on the way, and returns the finished run.

    Raises:
        cli.UserError: the numbers are no longer finite, or saving failed.
        SystemExit: Ctrl-C or SIGTERM, after the step was finished and saved.
    """
    with (
        tf.Graph().as_default(),
        workers.session(session_config(run.threads, run.bfloat16)) as session,
        cli.noted_signals() as signals,
    ):
        graph = build_graph(run, workers)
        session.run(tf.global_variables_initializer())
        if workers.leads and run.checkpoints:
            name = run.newest_checkpoint
            checkpoints.restore(session, run, name, tf.global_variables())
            print(f"resuming from step {run.step} of {run.total_steps}")
        workers.start(session, tf.global_variables(), signals)
        if workers.leads:
            return train_and_save(session, graph, run, data, workers)
        return train_with_worker_0(session, graph, run, data, workers)


def train_and_save(
    session: tf.Session,
    graph: Graph,
    run: Run,
    data: input_data.Datasets,
    workers: Cluster,
) -> Run:
    """Take the steps that are left; evaluate and save on the way; finish the run."""
    log = summaries.Log(run, session.graph)
    started = saved = time.monotonic()
    steps = range(run.step + 1, run.total_steps + 1)
    loop = run_steps(session, graph, run.settings, data.train, steps, workers)
    for step, scalars in loop:
        log.add_scalars(step, scalars)
        evaluated = is_evaluated(step, run)
        due = time.monotonic() - saved >= run.settings.checkpoint_seconds
        if not (evaluated or due or workers.signal):
            continue
        if workers.signal or step == run.total_steps:
            workers.meeting.expect_the_end()
        run = save(session, graph, replace(run, step=step), data, log, evaluated)
        saved = time.monotonic()
        if evaluated:
            tqdm.write(evaluation_line(run, saved - started), file=sys.stdout)
        if workers.signal and step < run.total_steps:
            raise stopped(workers.signal, run)
    return finish(session, graph, run, data, log)


def train_with_worker_0(
    session: tf.Session,
    graph: Graph,
    run: Run,
    data: input_data.Datasets,
    workers: Cluster,
) -> Run:
    """Take the steps that are left, which worker 0 saves; return when it is done."""
    steps = range(run.step + 1, run.total_steps + 1)
    loop = run_steps(session, graph, run.settings, data.train, steps, workers)
    for step, _ in loop:
        if workers.signal and step < run.total_steps:
            workers.meeting.wait_for_the_end()
            name = signal.Signals(workers.signal).name
            cli.warn(f"stopped by {name} at step {step}, which worker 0 has saved")
            raise SystemExit(128 + workers.signal)
    workers.meeting.wait_for_the_end()
    return run


def finish(
    session: tf.Session,
    graph: Graph,
    run: Run,
    data: input_data.Datasets,
    log: summaries.Log,
) -> Run:
    """Calibrate and, once, test the best checkpoint; return the finished run."""
    checkpoints.restore(session, run, run.best, tf.trainable_variables())
    temperature = fit_temperature(*logits_for_calibration(session, graph, data))
    images, labels = data.test.images, data.test.labels
    _, answers = sum_of_losses_and_answers(session, graph, images, labels)
    log.add_mistakes(run.step, images, answers, labels)
    log.write()
    accuracy = np.count_nonzero(answers == labels) / len(labels)
    run = replace(run, test_accuracy=accuracy, temperature=temperature)
    return checkpoints.write_config(run)


def logits_for_calibration(
    session: tf.Session, graph: Graph, data: input_data.Datasets
) -> tuple[np.ndarray, np.ndarray]:
    """Return the network's logits of the validation images, and their labels.

    Without validation images those are training images, as they are: distorted ones
    give a temperature that is further off.
    """
    split = data.validation if data.validation.num_examples else data.train
    images = input_data.scaled(split.images[:CALIBRATION])
    labels = split.labels[:CALIBRATION]
    logits = [
        session.run(graph.logits, {graph.images: images[start : start + EVAL_BATCH]})
        for start in range(0, len(images), EVAL_BATCH)
    ]
    return np.concatenate(logits), labels


def write_history(run: Run) -> None:
    """Write the history of a finished run, and draw its curves."""
    with files.optional(run.settings.save_dir / checkpoints.HISTORY):
        checkpoints.write_derived(run)
    title = (
        f"{run.settings.network} on {run.data.name}, {run.step} steps, "
        f"test accuracy {run.test_accuracy:.4f}"
    )
    rows = [vars(row) for row in run.history]
    path = run.settings.save_dir / checkpoints.CURVES
    plots.save(lambda: plots.curves(rows, title), path)


# ----------------------------------------------------------------- what is printed


def evaluation_line(run: Run, seconds: float) -> str:
    """Return what is printed of the newest evaluation."""
    row = run.history[-1]
    epochs = run.total_steps / run.steps_per_epoch
    validation = "no validation"
    if row.validation_accuracy is not None:
        count = run.data.validation
        right = round(row.validation_accuracy * count)
        validation = f"validation accuracy {cli.accuracy_text(right, count)}"
    return (
        f"epoch {epochs_text(row.epoch):>4}/{epochs_text(epochs)}  "
        f"loss {row.training_loss:.4f}  {validation}  {seconds:.1f} s"
    )


def epochs_text(epochs: float) -> str:
    """Return a number of epochs in three digits, or in as many as it has."""
    return f"{epochs:.3g}" if epochs < 999.5 else f"{epochs:.0f}"


def not_finite(what: str, step: int, settings: Settings) -> cli.UserError:
    """Return the error of a run whose numbers are no longer finite."""
    return cli.UserError(
        f"{what} at step {step}: stopped; these weights were not saved. LEARNING_RATE "
        f"is {settings.learning_rate:g}; try a smaller one, with --overwrite"
    )


def stopped(signum: int, run: Run) -> SystemExit:
    """Say how to resume; return the exit status that the shell knows the signal by."""
    cli.warn(
        f"stopped by {signal.Signals(signum).name} at step {run.step} of "
        f"{run.total_steps}, saved; resume with: python train.py --resume"
        f"{cli.save_dir_flag(run.settings.save_dir)}"
    )
    return SystemExit(128 + signum)


# ---------------------------------------------------------------------------- main


def begin_or_resume(command: CommandLine) -> tuple[Run, input_data.Datasets]:
    """Return the run that the command line asks for, and its data."""
    run = resume.run_to_resume(command)
    settings = run.settings if run else command.settings
    source, data = input_data.load(
        resume.data_set_of(run) if run else settings.dataset,
        existing_data_dir(run) if run else settings.data_dir,
        settings.validation_size,
        dtype=np.uint8,
    )
    found = summarize(source, data)
    if run is None:
        resume.refuse_fallback(command, found)
        run = new_run(command.with_auto_rate(AUTO_RATES[found.name]), found)
    else:
        resume.compare_data(run, found)
    return summaries.with_folder(run), data


def lead(command: CommandLine, workers: Cluster) -> None:
    """Train and save; print the test accuracy and what to run next."""
    save_dir = command.settings.save_dir
    with checkpoints.lock(save_dir):
        run, data = begin_or_resume(command)
        workers.refuse_uneven(run.settings.batch_size)
        workers.meeting.send_run(to_json(run))
        checkpoints.prepare(run)
        if run.finished:
            print(f"already finished at step {run.step}")
        else:
            run = train(run, data, workers)
        write_history(run)  # again for a finished run, which may have lost it
    if run.data.name != "mnist":
        print(input_data.NOT_MNIST[run.data.name], file=sys.stderr)
    right = round(run.test_accuracy * run.data.test)
    print(f"test accuracy {cli.accuracy_text(right, run.data.test)}")
    print(f"next: python predict.py --index 1{cli.save_dir_flag(save_dir)}")


def follow(command: CommandLine, workers: Cluster) -> None:
    """Train the run of worker 0 with it; save and print nothing."""
    run = from_json(workers.meeting.receive_run(), command.settings.save_dir)
    run = on_this_machine(run, command.settings)
    source, data = input_data.load(
        resume.data_set_of(run),
        run.settings.data_dir,
        run.settings.validation_size,
        dtype=np.uint8,
    )
    resume.compare_data(run, summarize(source, data))
    workers.meeting.ready()
    if run.finished:
        workers.meeting.wait_for_the_end()
    else:
        train(run, data, workers)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, alone or as one of the workers that TF_CONFIG names.

    Args:
        arguments: flags and their values; None for those of the command line.
    """
    command = read_command_line(globals(), RECIPES, __doc__, arguments)
    with joined(command.settings, command.startup_seconds) as workers:
        if workers.leads:
            lead(command, workers)
        else:
            follow(command, workers)


if __name__ == "__main__":
    cli.run(main, input_data.DataError)
