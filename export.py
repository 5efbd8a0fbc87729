"""Export the network that train.py saved, for programs that run without this project.

    python export.py

writes to save_model/export/: ``1``, a SavedModel in the layout of TensorFlow Serving;
``digits.tflite`` for LiteRT; and ``digits-int8.tflite``, the same in 8-bit integers.
Each takes images as uint8 of shape (n, 28, 28), ink is 255, and returns calibrated
probabilities. docs/export.md shows how they are used.

The folder is written beside the old one and then takes its place, so that a program
that loads it finds all of one network. Its file SHA256SUMS says which, and by it
export.py knows the files that it may replace.
"""

import contextlib
import os
import shlex
import shutil
import signal
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

import input_data
import predict
from common import cli, files
from common.cli import UserError
from common.paths import SAVE_DIR, from_here, shown
from common.session import available_cores, session_config, tf, without_noise
from model import IMAGE_SIZE, PIXELS
from saving import checkpoints, networks, resume
from saving.networks import SavedNetwork
from saving.run import Run, existing_data_dir

EXPORT = "export"  # folder in save_model/
SAVED_MODEL = "1"  # a version number, as TensorFlow Serving wants it
FLOAT, INTEGER = "digits.tflite", "digits-int8.tflite"
SUMS = "SHA256SUMS"  # for `sha256sum -c`, to which the first line is a comment
FIRST_LINE = "# written by export.py: "
UNFINISHED = ".export.unfinished"  # folder of an export that is not complete yet
REPLACED = ".export.replaced"  # the old one, while the new one takes its place
LOCK = ".export.lock"
RANGE_IMAGES = 1000  # training images that show the range of each layer's values
BATCH = 100  # images


# -------------------------------------------------------------------------- graph


class Graph(NamedTuple):
    """What an export is fed, one of the first two, and what it returns."""

    images: tf.Tensor  # uint8 of shape [n, 28, 28], ink is 255
    pixels: tf.Tensor  # float32 of shape [n, 784], values in [0, 1], ink is 1
    probabilities: tf.Tensor  # float32 of shape [n, 10]
    digits: tf.Tensor  # int64 of shape [n]


def build_graph(saved: SavedNetwork) -> Graph:
    """Build the graph of an export in the default graph."""
    images = tf.placeholder(tf.uint8, [None, IMAGE_SIZE, IMAGE_SIZE], "images")
    unit = tf.cast(images, tf.float32) * (1 / 255)  # [n, 28, 28]
    pixels = tf.reshape(unit, [-1, PIXELS], "pixels")  # [n, 784]
    probabilities = predict.probabilities_of(pixels, saved)  # [n, 10]
    return Graph(
        images,
        pixels,
        tf.identity(probabilities, "probabilities"),
        tf.argmax(probabilities, axis=1, name="digits"),
    )


# ------------------------------------------------------------------------- formats


def write_saved_model(saved: SavedNetwork, folder: Path) -> None:
    """Write a network as a SavedModel.

    Its signature ``serving_default`` takes ``images``, the other one ``pixels``.

    Raises:
        UserError: the checkpoint is damaged, or of another network.
        tf.errors.OpError: the disk is full or cannot be written to.
    """
    config = session_config(available_cores(), bfloat16=False)
    with tf.Graph().as_default(), tf.Session(config=config) as session:
        graph = build_graph(saved)
        networks.restore(session, saved, tf.trainable_variables())
        outputs = {"probabilities": graph.probabilities, "digits": graph.digits}
        signatures = {
            key: tf.saved_model.predict_signature_def(inputs, outputs)
            for key, inputs in (
                ("serving_default", {"images": graph.images}),
                ("pixels", {"pixels": graph.pixels}),
            )
        }
        builder = tf.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            [tf.saved_model.SERVING],
            signatures,
            strip_default_attrs=True,  # older TensorFlow knows no newer attributes
        )
        builder.save()


def tflite() -> ModuleType:
    """Return the part of TensorFlow that has the TFLite converter.

    Raises:
        UserError: this TensorFlow has none. It is announced that it becomes a package
            of its own.
    """
    try:
        with without_noise():
            lite = tf.compat.v2.lite
            lite.TFLiteConverter  # noqa: B018, imported when it is first asked for
    except (AttributeError, ImportError) as error:
        raise UserError(
            f"TensorFlow {tf.__version__} has no TFLite converter "
            f"({cli.reason(error)}): nothing was written; install the versions of "
            "requirements.txt, which have it"
        ) from None
    return lite


@contextlib.contextmanager
def signals_afterwards() -> Iterator[None]:
    """Let Ctrl-C or SIGTERM wait; a second one does not.

    TensorFlow's functions have finalizers, in which Python ignores a Ctrl-C.
    """
    with cli.noted_signals() as signals:
        yield
    for signum in signals:
        signal.raise_signal(signum)


@signals_afterwards()
def to_tflite(saved_model: Path, images: np.ndarray | None = None) -> bytes:
    """Return a SavedModel as a TFLite file, with the signature ``serving_default``.

    Args:
        saved_model: its folder.
        images: uint8 array of shape (n, 28, 28). If given, weights and values become
            8-bit integers: each layer's values are scaled by their range on these.
    """
    lite, signature = tflite(), "serving_default"
    converter = lite.TFLiteConverter.from_saved_model(str(saved_model), [signature])
    if images is not None:

        def batches() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
            for start in range(0, len(images), BATCH):
                yield signature, {"images": images[start : start + BATCH]}

        converter.optimizations = [lite.Optimize.DEFAULT]
        converter.representative_dataset = batches
        converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
    with without_noise(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the converter itself uses
        return converter.convert()


def training_images(run: Run | None, data_dir: Path | None) -> np.ndarray:
    """Return RANGE_IMAGES training images or fewer, uint8 of shape (n, 28, 28).

    Args:
        run: the training run; None, of another script, means MNIST.
        data_dir: another folder, with any data set of MNIST's form; None for the same.

    Raises:
        UserError, DataError: there are none.
    """
    name = "mnist" if data_dir or run is None else resume.data_set_of(run)
    data_dir = existing_data_dir(run, data_dir)
    _, data = input_data.load(name, data_dir, 0, dtype=np.uint8)
    images = data.train.images
    # Evenly spread, for a folder of pictures has one digit after the other.
    chosen = np.linspace(0, len(images) - 1, min(len(images), RANGE_IMAGES), dtype=int)
    return images[chosen].reshape(-1, IMAGE_SIZE, IMAGE_SIZE)


# ------------------------------------------------------------------------- folders


def files_in(folder: Path) -> list[Path]:
    """Return all that is in a folder and the folders below it, but no folder."""
    return sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())


def write_sums(folder: Path, saved: SavedNetwork) -> None:
    """Write which network a complete export has, and the checksum of each file."""
    what = f"{saved.name} of another script"
    if saved.run:
        accuracy = saved.run.test_accuracy
        what = f"{saved.name}, {saved.step} steps, test accuracy {accuracy:.4f}"
    lines = [FIRST_LINE + what]
    for path in files_in(folder):
        name = path.relative_to(folder).as_posix()
        lines.append(f"{files.sha256(path)}  {name}")
    (folder / SUMS).write_text("\n".join(lines) + "\n", encoding="ascii")


def refuse_files_of_others(folder: Path) -> None:
    """Refuse an export folder in which a file is not as export.py wrote it.

    Raises:
        UserError: there is such a file, or it is no folder. Nothing was changed.
    """
    if not os.path.lexists(folder):
        return
    found, ours = folder, {}
    if folder.is_dir() and not folder.is_symlink():
        with contextlib.suppress(OSError, ValueError):  # missing, not text, empty
            first, *lines = (folder / SUMS).read_text(encoding="ascii").splitlines()
            if first.startswith(FIRST_LINE):
                ours = {folder / line[66:]: line[:64] for line in lines}
                ours[folder / SUMS] = files.sha256(folder / SUMS)
        others = (
            path
            for path in files_in(folder)
            if not path.is_file() or ours.get(path) != files.sha256(path)
        )
        found = next(others, None)
    if found:
        raise UserError(
            f"{found} was not written by export.py, or was changed since: nothing was "
            "written. Move it away, and run export.py again"
        )


def recover(folder: Path) -> None:
    """Delete what a killed export left; put the old one back if it was set aside."""
    aside = folder.with_name(REPLACED)
    if aside.exists() and not folder.exists():
        files.move(aside, folder)
    shutil.rmtree(folder.with_name(UNFINISHED), ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)


def publish(unfinished: Path, folder: Path) -> None:
    """Put a complete export in the place of the old one, which is then in `unfinished`.

    There is one at every moment where the system can exchange two folders. Elsewhere
    there is none between two renames, and `recover` puts the old one back.

    Raises:
        OSError: the disk is full or cannot be written to.
    """
    for path in (*unfinished.rglob("*"), unfinished):
        files.flush(path)
    if not files.exchange(unfinished, folder):
        if folder.exists():
            files.move(folder, folder.with_name(REPLACED))
        files.move(unfinished, folder)
    files.flush(folder.parent)


def export(saved: SavedNetwork, images: np.ndarray) -> Path:
    """Write the export of a network; return its folder.

    Args:
        saved: the network; of a run, a finished one.
        images: uint8 array of shape (n, 28, 28), for the range of each layer's values.

    Raises:
        UserError: the checkpoint is damaged, the folder has files of others, another
            process exports, or the disk is full or cannot be written to. An older
            export is as it was.
    """
    folder = saved.checkpoint.parent / EXPORT
    unfinished = folder.with_name(UNFINISHED)
    try:
        with files.locked(folder.with_name(LOCK)) as held:
            if not held:
                raise UserError(f"another process writes {folder}: wait for it")
            recover(folder)
            refuse_files_of_others(folder)
            try:
                unfinished.mkdir()
                saved_model = unfinished / SAVED_MODEL
                write_saved_model(saved, saved_model)
                (unfinished / FLOAT).write_bytes(to_tflite(saved_model))
                (unfinished / INTEGER).write_bytes(to_tflite(saved_model, images))
                write_sums(unfinished, saved)
                refuse_files_of_others(folder)  # that have come meanwhile
                publish(unfinished, folder)
            finally:
                recover(folder)
    except (tf.errors.OpError, OSError) as error:
        raise UserError(
            f"cannot write {folder} ({checkpoints.reason(error)}): nothing was changed"
        ) from None
    return folder


# ---------------------------------------------------------------------------- main


def megabytes(path: Path) -> str:
    """Return the size of a file, or of all files in a folder, in MB."""
    parts = [path] if path.is_file() else files_in(path)
    return f"{sum(part.stat().st_size for part in parts) / 1e6:.1f} MB"


def main(arguments: Sequence[str] | None = None) -> None:
    """Export; print what was written, and what to run next.

    Args:
        arguments: flags and their values; None for those of the command line.
    """
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--save_dir", type=from_here, default=SAVE_DIR)
    parser.add_argument(
        "--data_dir",
        type=from_here,
        help="training images for the 8-bit integers; default: as at training",
    )
    args = parser.parse_args(arguments)
    saved = networks.find(args.save_dir)
    run = saved.run
    if run and run.temperature is None:  # it is not finished, or an older version's
        raise UserError(
            f"the run in {args.save_dir} is at step {run.step} of {run.total_steps}, "
            "and its probabilities are not calibrated yet: finish it with: python "
            f"train.py --resume{cli.save_dir_flag(args.save_dir)}"
        )
    tflite()
    networks.warn_if_not_calibrated(saved)
    folder = export(saved, training_images(run, args.data_dir))
    for name in (SAVED_MODEL, FLOAT, INTEGER):
        print(f"wrote {shown(folder / name)}, {megabytes(folder / name)}")
    saved_model = shlex.quote(shown(folder / SAVED_MODEL))
    print(f"next: saved_model_cli show --all --dir {saved_model}")


if __name__ == "__main__":
    cli.run(main, input_data.DataError)
