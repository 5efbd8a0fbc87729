"""Event files for TensorBoard: each run has a folder of its own in save_model/logs/.

    tensorboard --logdir save_model/logs

Events wait in memory until the run is saved, and are written before the checkpoint is.
So a run that is killed leaves no gap: the file holds all steps up to the newest
checkpoint, and at most some later ones. Those are cut off when the run is resumed,
which takes these steps again. The file itself is never replaced, so that TensorBoard
can follow it.

No result depends on these files. Where one cannot be written, a line on stderr says so,
and the run goes on without it.
"""

import io
import itertools
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from common import files
from common.session import tf
from saving.run import Evaluation, Run

LOGS = "logs"  # folder in save_model/
FILE = "train.tfevents"  # of a run; TensorBoard knows it by "tfevents"
SCORES = (  # of an evaluation
    "training_loss",
    "training_accuracy",
    "validation_loss",
    "validation_accuracy",
)
MISTAKES = 20  # misread test images that are shown, at most
FRAME = 16  # bytes that a record has beside its event: its length, two checksums


def with_folder(run: Run) -> Run:
    """Return the run with a folder for its events: the first unused NETWORK-NUMBER.

    A run that has one, because it is resumed, keeps it.
    """
    if run.logs:
        return run
    logs = run.settings.save_dir / LOGS
    names = (f"{run.settings.network}-{n}" for n in itertools.count(1))
    return replace(
        run, logs=next(name for name in names if not os.path.lexists(logs / name))
    )


class Log:
    """The event file of a run, and the events that are not written yet."""

    def __init__(self, run: Run, graph: tf.Graph) -> None:
        """Continue the file at the run's step, or begin one with the graph.

        Args:
            run: at the step from which it trains; `logs` is the name of its folder.
            graph: of the run, complete.
        """
        self._path = run.settings.save_dir / LOGS / run.logs / FILE
        self._events: list[tf.Event] = []
        self._works = False
        with files.optional(self._path):
            self._begun = _cut(self._path, run)
            if not self._begun:
                self._add(0, file_version="brain.Event:2")
                self._add(0, graph_def=graph.as_graph_def(True).SerializeToString())
            self._works = True

    def _add(self, step: int, **content: object) -> None:
        self._events.append(tf.Event(wall_time=time.time(), step=step, **content))

    def add_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add a point to each curve that is named; there may be none."""
        values = [
            tf.Summary.Value(tag=name, simple_value=value)
            for name, value in scalars.items()
        ]
        if values:
            self._add(step, summary=tf.Summary(value=values))

    def add_evaluation(self, row: Evaluation) -> None:
        """Add the losses and accuracies of a row of history.csv."""
        scores = {name: getattr(row, name) for name in SCORES}
        self.add_scalars(
            row.step,
            {f"evaluation/{k}": v for k, v in scores.items() if v is not None},
        )

    def add_mistakes(
        self, step: int, images: np.ndarray, answers: np.ndarray, labels: np.ndarray
    ) -> None:
        """Add the first misread test images, named by what is right and what was read.

        Args:
            step: the last of the run.
            images: uint8 array of shape (n, 784).
            answers: int array of shape (n,), what was read.
            labels: int array of shape (n,), what is right.
        """
        values = [
            tf.Summary.Value(
                tag=f"mistakes/test image {i}: {labels[i]} read as {answers[i]}",
                image=_png(images[i].reshape(28, 28)),
            )
            for i in np.flatnonzero(answers != labels)[:MISTAKES]
        ]
        if values:
            self._add(step, summary=tf.Summary(value=values))

    def write(self) -> None:
        """Write what was added since the last time; call it before a run is saved."""
        events, self._events = self._events, []
        if not (events and self._works):
            return
        self._works = False  # after an error the file may end within a record
        with files.optional(self._path):
            if not self._begun:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "r+b" if self._begun else "wb") as file:
                file.seek(0, os.SEEK_END)
                file.write(_records(events))
            files.flush(self._path)
            self._begun = self._works = True


def _png(image: np.ndarray) -> tf.Summary.Image:
    """Return a picture of a uint8 array of shape (height, width)."""
    png = io.BytesIO()
    Image.fromarray(image).save(png, "PNG")
    height, width = image.shape
    return tf.Summary.Image(
        height=height, width=width, colorspace=1, encoded_image_string=png.getvalue()
    )


def _records(events: list[tf.Event]) -> bytes:
    """Return events as an event file has them, with their lengths and checksums."""
    with tempfile.TemporaryDirectory() as folder:  # TensorFlow appends to no file
        path = Path(folder) / FILE
        with tf.io.TFRecordWriter(str(path)) as writer:
            for event in events:
                writer.write(event.SerializeToString())
        return path.read_bytes()


def _cut(path: Path, run: Run) -> bool:
    """Cut off what the run will add again; return whether the graph is left.

    That is what follows its step, and an incomplete record. Where its last step is done
    it is the misread images as well: what is left to do is the test.
    """
    if not path.exists():
        return False
    size, has_graph = 0, False
    try:
        for record in tf.io.tf_record_iterator(str(path)):
            event = tf.Event.FromString(record)
            is_test = any(value.HasField("image") for value in event.summary.value)
            if event.step > run.step or (is_test and run.step == run.total_steps):
                break
            has_graph = has_graph or bool(event.graph_def)
            size += FRAME + len(record)
    except tf.errors.DataLossError:  # the end of what is intact
        pass
    if has_graph:
        os.truncate(path, size)
    return has_graph
