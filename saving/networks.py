"""The trained network that a folder holds: train.py's, or another script's.

The variables' names are those of the TensorFlow 1 script that this project follows. A
checkpoint of that script, or of one like it, fits as it is.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import model
from common import cli
from common.cli import UserError
from common.paths import shown
from common.session import tf
from saving import checkpoints
from saving.run import Run, step_of

STEP = "global_step"  # the name that tf.train.create_global_step gives it
NAMED = 3  # differences that an error names; more are counted


class SavedNetwork(NamedTuple):
    """A trained network on the disk."""

    name: str  # as in model.ARCHITECTURES
    architecture: dict[str, Any]
    checkpoint: Path  # as Saver.save was given it: without .index
    step: int | None  # of training; None if the checkpoint does not say
    temperature: float = 1.0  # for model.probabilities
    bfloat16: bool = False  # whether it was trained with bfloat16 kernels
    run: Run | None = None  # None if another script trained it


def find(path: Path) -> SavedNetwork:
    """Return the network of a folder, or of a checkpoint of another script.

    Of train.py's checkpoints the best is taken, of another script's the newest.

    Raises:
        UserError: there is none, it is damaged, or it fits no network of model.py; or
            it is not clear which one is the newest.
    """
    if _files(path) and (path.parent / checkpoints.CONFIG).exists():
        raise UserError(
            f"{path} is in a folder of train.py, whose best checkpoint is taken: name "
            f"the folder, --save_dir {path.parent}"
        )
    if not (path / checkpoints.CONFIG).exists():
        checkpoint = _newest(path) if path.is_dir() else path
        if checkpoint and _files(checkpoint):
            return _of_another_script(checkpoint)
    run = checkpoints.read_config(path)
    name = run.best or run.newest_checkpoint
    return SavedNetwork(
        name=run.settings.network,
        architecture=run.architecture,
        checkpoint=path / name,
        step=step_of(name),
        temperature=run.temperature or 1.0,
        bfloat16=run.bfloat16,
        run=run,
    )


def restore(
    session: tf.Session, saved: SavedNetwork, variables: Sequence[tf.Variable]
) -> None:
    """Restore the variables, after comparing shapes and, of a run, checksums.

    Raises:
        UserError: the checkpoint is damaged, or of another network than `variables`.
    """
    path = saved.checkpoint
    if saved.run:
        checkpoints.restore(session, saved.run, path.name, variables)
    else:
        checkpoints.read(session, path, _files(path), variables)


def warn_if_not_calibrated(saved: SavedNetwork) -> None:
    """Say on stderr that a network's probabilities are not calibrated, and why."""
    if saved.run is None:
        cli.warn(
            f"{shown(saved.checkpoint)} is another script's and fits {saved.name}; its "
            "probabilities are not calibrated"
        )
    elif saved.run.temperature is None:  # an older version's, or it is not finished
        cli.warn(
            "the probabilities are not calibrated yet; that is done by: python "
            f"train.py --resume{cli.save_dir_flag(saved.checkpoint.parent)}"
        )


def _of_another_script(checkpoint: Path) -> SavedNetwork:
    """Return the network of model.py that a checkpoint fits."""
    with checkpoints.reading(checkpoint, _files(checkpoint)) as readable:
        reader = tf.train.load_checkpoint(readable)
        saved = reader.get_variable_to_shape_map()
        step = int(reader.get_tensor(STEP)) if STEP in saved else None
    shapes = {name: _variable_shapes(name) for name in model.ARCHITECTURES}
    differences = {name: _differences(saved, shapes[name]) for name in shapes}
    # By how many variables fit: the fully connected networks have fewer that could not.
    nearest = max(shapes, key=lambda name: len(shapes[name]) - len(differences[name]))
    if differences[nearest]:
        raise UserError(
            f"{checkpoint} is another script's and fits no network of model.py: of "
            f"{nearest}, the nearest, {_listed(differences[nearest])}"
        )
    return SavedNetwork(nearest, model.ARCHITECTURES[nearest], checkpoint, step)


def _newest(folder: Path) -> Path | None:
    """Return the newest checkpoint that a folder holds, as Saver.save was given it."""
    state = tf.train.get_checkpoint_state(str(folder))
    if state:
        # The folder may have been moved since, perhaps from Windows.
        prefix = folder / re.split(r"[/\\]", state.model_checkpoint_path)[-1]
        if _files(prefix):
            return prefix
    found = sorted(folder.glob("*.index"))
    if len(found) > 1:
        names = ", ".join(path.stem for path in found)
        raise UserError(
            f"{folder} holds several checkpoints of another script, {names}: name one "
            f"of them, as --save_dir {found[-1].with_suffix('')}"
        )
    return found[0].with_suffix("") if found else None


def _files(prefix: Path) -> list[str]:
    """Return the names of the files of a checkpoint."""
    names = re.compile(re.escape(prefix.name) + r"(\.index|\.data-\d+-of-\d+)")
    if not prefix.parent.is_dir():
        return []
    found = [path.name for path in prefix.parent.iterdir()]
    files = [name for name in found if names.fullmatch(name)]
    return files if f"{prefix.name}.index" in files else []


def _variable_shapes(network: str) -> dict[str, list[int]]:
    """Return the shapes of a network's variables by name."""
    with tf.Graph().as_default():
        images = model.as_images(tf.zeros([1, model.PIXELS]))
        model.inference(images, network, model.ARCHITECTURES[network])
        return {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}


def _differences(saved: dict[str, list[int]], built: dict[str, list[int]]) -> list[str]:
    """Return what of a network's variables is missing or has another shape."""
    return [
        f"{name} {shape} has shape {saved[name]}"
        if name in saved
        else f"{name} {shape} is missing"
        for name, shape in built.items()
        if saved.get(name) != shape
    ]


def _listed(differences: list[str]) -> str:
    """Return the first differences, and how many more there are."""
    text = ", ".join(differences[:NAMED])
    more = len(differences) - NAMED
    return f"{text} and {more} more differ" if more > 0 else text
