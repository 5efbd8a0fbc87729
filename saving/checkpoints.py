"""What save_model/ holds: checkpoints and config.json, and how they stay intact.

A save writes each part to the disk before it begins the next one:

1. ``model.ckpt-STEP.*``, under a name that config.json does not mention;
2. ``config.json``: a complete new file is renamed over the old one;
3. ``history.csv`` and ``checkpoint``, which are made from config.json;
4. last, it deletes the checkpoints that config.json no longer mentions.

So at whatever moment a run dies, with or without power, config.json is intact, and so
is every checkpoint that it mentions. A run is resumed from config.json alone. It holds
the checksums of the checkpoints and its own, so that nothing damaged or exchanged is
read.
"""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock

from common.cli import UserError
from common.session import tf
from saving.run import Evaluation, Run, from_json, to_json

CONFIG = "config.json"
HISTORY = "history.csv"
PREFIX = "model.ckpt"
ASIDE = "replaced."  # before the name of a checkpoint that is about to be replaced
KEPT = 3  # newest checkpoints that stay, 1 or more; the best stays as well

Files = dict[str, str]  # SHA-256 of each file of a checkpoint, by name


@contextlib.contextmanager
def lock(save_dir: Path) -> Iterator[None]:
    """Hold the folder, created if missing, for this process alone.

    The operating system releases it when the process ends, however it ends.

    Raises:
        UserError: another process holds it, or it is no folder.
    """
    if save_dir.exists() and not save_dir.is_dir():
        raise UserError(f"SAVE_DIR is {save_dir}, a file; it must be a folder")
    save_dir.mkdir(parents=True, exist_ok=True)
    holder = save_dir / ".lock.pid"
    held = filelock.FileLock(save_dir / ".lock")
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        pid = holder.read_text(errors="replace").strip() if holder.exists() else "?"
        raise UserError(
            f"process {pid} is training in {save_dir}: wait for it, or name another "
            "folder with --save_dir"
        ) from None
    with held:
        holder.write_text(str(os.getpid()))
        yield


# ------------------------------------------------------------------------- writing


def save(session: tf.Session, saver: tf.train.Saver, run: Run) -> Run:
    """Write a checkpoint of the session as the newest of the run.

    Args:
        session: holds the variables.
        saver: saves all of them.
        run: `step` is the global step; its folder is held by `lock`.

    Returns:
        The run with the checkpoints that are kept.

    Raises:
        UserError: the disk is full or cannot be written to. What the folder held is
            unchanged.
    """
    save_dir, name = run.settings.save_dir, checkpoint_name(run.step)
    try:
        _free_name(save_dir, name)
        saver.save(
            session,
            str(save_dir / PREFIX),
            run.step,
            write_meta_graph=False,
            write_state=False,
        )
        paths = sorted(save_dir.glob(f"{name}.*"))
        for path in paths:
            _flush(path)
        new = {path.name: _sha256(path) for path in paths}
        run = dataclasses.replace(run, checkpoints=_kept(run) | {name: new})
        write_config(run)
    except (tf.errors.OpError, OSError) as error:
        with contextlib.suppress(UserError):
            clean(read_config(save_dir))
        raise UserError(
            f"cannot save to {save_dir} ({_reason(error)}): stopped at step "
            f"{run.step}; what it held before is unchanged"
        ) from None
    write_derived(run)
    clean(run)
    return run


def _kept(run: Run) -> dict[str, Files]:
    """Return the checkpoints of a run that stay when another one is added."""
    newest_first = list(run.checkpoints)[::-1]
    newest = newest_first[: KEPT - 1]
    return {
        name: files
        for name, files in run.checkpoints.items()
        if name in newest or name == run.best
    }


def write_config(run: Run) -> None:
    """Replace config.json."""
    values = to_json(run)
    signed = {"sha256": _signature(values)} | values
    text = json.dumps(signed, indent=1) + "\n"
    _replace_file(run.settings.save_dir / CONFIG, text)


def write_derived(run: Run) -> None:
    """Make history.csv, and ``checkpoint`` for tf.train.latest_checkpoint.

    Raises:
        UserError, OSError: the disk is full or cannot be written to.
    """
    save_dir = run.settings.save_dir
    if run.history:
        text = io.StringIO()
        columns = [field.name for field in dataclasses.fields(Evaluation)]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(vars(row) for row in run.history)
        _replace_file(save_dir / HISTORY, text.getvalue())
    if names := list(run.checkpoints):
        try:
            tf.train.update_checkpoint_state(str(save_dir), names[-1], names)
        except tf.errors.OpError as error:
            reason = _reason(error)
            raise UserError(f"cannot write to {save_dir} ({reason})") from None


def checkpoint_name(step: int) -> str:
    """Return the name of the checkpoint that is saved after a step."""
    return f"{PREFIX}-{step}"


def prepare(run: Run) -> None:
    """Tidy the folder for a run that begins or is resumed.

    A folder without a configuration gets that of the run, so that the first checkpoint
    in it is known to be the run's own. Another configuration stays until the first
    checkpoint of this run is complete.
    """
    save_dir = run.settings.save_dir
    if not (save_dir / CONFIG).exists():
        write_config(run)
    with contextlib.suppress(UserError):
        clean(read_config(save_dir))


def clean(run: Run) -> None:
    """Delete what `run` does not mention and what killed runs left incomplete."""
    save_dir = run.settings.save_dir
    mentioned = {file for files in run.checkpoints.values() for file in files}
    patterns = f"{PREFIX}-*", f"{ASIDE}{PREFIX}-*", f"{CONFIG}.part", f"{HISTORY}.part"
    found = {path for pattern in patterns for path in save_dir.glob(pattern)}
    _remove(path for path in found if path.name not in mentioned)


def _free_name(save_dir: Path, name: str) -> None:
    """Rename a checkpoint of the run to be replaced, which still answers from it."""
    try:
        old = read_config(save_dir)
        if name not in old.checkpoints:
            return
        verify(old, name)
    except UserError:
        return  # nothing answers from a damaged checkpoint
    files = old.checkpoints[name]
    for file in files:
        shutil.copyfile(save_dir / file, save_dir / f"{ASIDE}{file}")
        _flush(save_dir / f"{ASIDE}{file}")
    renamed = {
        (f"{ASIDE}{key}" if key == name else key): (
            {f"{ASIDE}{file}": checksum for file, checksum in files.items()}
            if key == name
            else value
        )
        for key, value in old.checkpoints.items()
    }
    best = f"{ASIDE}{name}" if old.best == name else old.best
    write_config(dataclasses.replace(old, checkpoints=renamed, best=best))


def _replace_file(path: Path, text: str) -> None:
    """Write a file under another name, then rename it: it is never half-written."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    _flush(part)
    os.replace(part, path)
    _flush(path.parent)


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _signature(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _reason(error: Exception) -> str:
    """Return the part of an error's message that its reader can use."""
    # TensorFlow's own comes after its stack trace, and ends with the name of the node.
    in_graph = re.search(r"([^;\n]+)\n\s*\[\[", str(error))
    text = in_graph[1] if in_graph else getattr(error, "strerror", None) or str(error)
    return text.strip().splitlines()[0]


# ------------------------------------------------------------------------- reading


def read_config(save_dir: Path) -> Run:
    """Return the run that `save` or `write_config` wrote.

    Raises:
        UserError: there is none, it was changed since, or its format is unknown.
    """
    path = save_dir / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("sha256") == _signature(values):
            return from_json(values, save_dir)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{save_dir} holds no trained model: run python train.py first, or name "
            "another folder with --save_dir"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise UserError(
        f"{path} is damaged or was edited: its checksum differs. Train again with "
        "--overwrite, or name another folder with --save_dir"
    )


def verify(run: Run, name: str) -> None:
    """Compare the files of a checkpoint with the checksums in `run`.

    Raises:
        UserError: a file is missing or differs; the text names it.
    """
    for file, checksum in run.checkpoints[name].items():
        path = run.settings.save_dir / file
        if not path.is_file():
            raise UserError(f"{path} is missing")
        if _sha256(path) != checksum:
            raise UserError(
                f"{path} is damaged or belongs to another run (checksum differs)"
            )


def restore(
    session: tf.Session, run: Run, name: str, variables: Sequence[tf.Variable]
) -> None:
    """Restore the variables from a checkpoint, after comparing bytes and shapes.

    Saver.restore compares no shapes: a network whose kernels were edited from 5x5 to
    3x3 would get 5x5 ones and answer without a word.

    Raises:
        UserError: the checkpoint is damaged, or of another network than `variables`.
    """
    try:
        verify(run, name)
    except UserError as error:
        raise UserError(
            f"{error}: python train.py --resume continues from the newest intact "
            "checkpoint"
        ) from None
    prefix = str(run.settings.save_dir / name)
    try:
        saved = dict(tf.train.list_variables(prefix))
        _compare_shapes(prefix, saved, variables)
        tf.train.Saver(variables).restore(session, prefix)
    except (tf.errors.OpError, ValueError, IndexError) as error:
        raise UserError(f"cannot read {prefix} ({_reason(error)})") from None


def _compare_shapes(
    prefix: str, saved: dict[str, list[int]], variables: Sequence[tf.Variable]
) -> None:
    for variable in variables:
        shape = variable.shape.as_list()
        found = saved.get(variable.op.name, "none")
        if found != shape:
            raise UserError(
                f"{prefix} is of another network: {variable.op.name} has shape {found} "
                f"in it, but model.py builds {shape}; undo what was changed in "
                "model.py, or train again"
            )
