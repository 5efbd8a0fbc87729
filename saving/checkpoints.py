"""What save_model/ holds: checkpoints and config.json, and how they stay whole.

A save writes, each part complete on the disk before the next one is begun:

1. ``model.ckpt-STEP.*``, under a name that config.json does not mention;
2. ``config.json``, by renaming a whole file over the old one;
3. ``history.csv`` and ``checkpoint``, which are made from config.json;
4. last, checkpoints that config.json no longer mentions are deleted.

So whatever moment a run dies at, with or without power, config.json is whole and so is
every checkpoint that it names. It alone is what a run goes on from: it holds the
network, the constants, the data set, the history and the checksums of the checkpoints,
and its own: nothing that was damaged or exchanged is read as if it had not been.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock

from common.cli import UserError
from common.session import tf

CONFIG = "config.json"
HISTORY = "history.csv"
PREFIX = "model.ckpt"
ASIDE = "replaced."  # before the name of a checkpoint that is about to be replaced
KEPT = 3  # newest checkpoints that stay; the best stays as well

Run = dict[str, Any]  # what config.json holds of a run
Row = dict[str, float | None]  # a row of history.csv, by column


@contextlib.contextmanager
def lock(save_dir: Path) -> Iterator[None]:
    """Hold the folder, made if need be, for this process; a dead one holds nothing.

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


def save(session: tf.Session, saver: tf.train.Saver, save_dir: Path, run: Run) -> None:
    """Write a checkpoint of the session and make it the last of the run.

    Args:
        session: holds the variables.
        saver: saves all of them.
        save_dir: the folder, held by `lock`.
        run: the run; `step` is the global step, `best` the name of the checkpoint
            that is best on validation. Its `checkpoints` are brought up to date.

    Raises:
        UserError: the disk is full or cannot be written to. What the folder held is as
            it was.
    """
    name = name_of(run["step"])
    try:
        _make_way(save_dir, name)
        saver.save(
            session,
            str(save_dir / PREFIX),
            run["step"],
            write_meta_graph=False,
            write_state=False,
        )
        files = sorted(save_dir.glob(f"{name}.*"))
        for path in files:
            _flush(path)
        older = run["checkpoints"]
        newest = list(older)[1 - KEPT :]
        checkpoints = {
            kept: older[kept] for kept in older if kept in newest or kept == run["best"]
        }
        checkpoints[name] = {path.name: _sha256(path) for path in files}
        write_config(save_dir, run | {"checkpoints": checkpoints})
    except (tf.errors.OpError, OSError) as error:
        with contextlib.suppress(UserError):
            clean(save_dir, read_config(save_dir))
        raise UserError(
            f"cannot save to {save_dir} ({_reason(error)}): stopped at step "
            f"{run['step']}; what it held before is as it was"
        ) from None
    run["checkpoints"] = checkpoints
    write_derived(save_dir, run)
    clean(save_dir, run)


def write_config(save_dir: Path, run: Run) -> None:
    """Replace config.json."""
    signed = {"sha256": _signature(run)} | run
    _write_whole(save_dir / CONFIG, json.dumps(signed, indent=1) + "\n")


def write_derived(save_dir: Path, run: Run) -> None:
    """Make history.csv, and ``checkpoint`` for tf.train.latest_checkpoint.

    Raises:
        UserError, OSError: the disk is full or cannot be written to.
    """
    if run["history"]:
        text = io.StringIO()
        writer = csv.DictWriter(text, run["history"][0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(run["history"])
        _write_whole(save_dir / HISTORY, text.getvalue())
    if names := list(run["checkpoints"]):
        try:
            tf.train.update_checkpoint_state(str(save_dir), names[-1], names)
        except tf.errors.OpError as error:
            reason = _reason(error)
            raise UserError(f"cannot write to {save_dir} ({reason})") from None


def name_of(step: int) -> str:
    """Return the name of the checkpoint that is saved after a step."""
    return f"{PREFIX}-{step}"


def add(run: Run, row: Row, name: str | None) -> None:
    """Append a row to the history; its checkpoint is the best until now, or is not.

    Of equal accuracies the later one is the better; without validation the last is.

    Args:
        run: brought up to date.
        row: of the history.
        name: of its checkpoint; None if that is lost.
    """
    run["history"].append(row)
    accuracy, best = row["validation_accuracy"], run["validation_accuracy"]
    if name and (best is None or accuracy >= best):
        run["best"] = name
        run["validation_accuracy"] = accuracy


def prepare(save_dir: Path, run: Run) -> None:
    """Leave the folder tidy for a run that begins or goes on.

    Where there is no configuration that of the run is written, so that whatever
    checkpoint it writes first is known to be its own; where there is, it stays until
    the first checkpoint is whole.
    """
    if not (save_dir / CONFIG).exists():
        write_config(save_dir, run)
    with contextlib.suppress(UserError):
        clean(save_dir, read_config(save_dir))


def clean(save_dir: Path, run: Run) -> None:
    """Delete what `run` does not mention and what killed runs left half-written."""
    mentioned = {file for files in run["checkpoints"].values() for file in files}
    patterns = f"{PREFIX}-*", f"{ASIDE}{PREFIX}-*", f"{CONFIG}.part", f"{HISTORY}.part"
    found = {path for pattern in patterns for path in save_dir.glob(pattern)}
    _remove(path for path in found if path.name not in mentioned)


def _make_way(save_dir: Path, name: str) -> None:
    """Free the name of a checkpoint that the run to be replaced still answers from."""
    try:
        old = read_config(save_dir)
        if name not in old["checkpoints"]:
            return
        verify(save_dir, old, name)
    except UserError:
        return  # nothing answers from what is damaged
    files = old["checkpoints"][name]
    for file in files:
        shutil.copyfile(save_dir / file, save_dir / f"{ASIDE}{file}")
        _flush(save_dir / f"{ASIDE}{file}")
    aside = f"{ASIDE}{name}", {f"{ASIDE}{file}": files[file] for file in files}
    # In the same place: the last one stays the last.
    pairs = old["checkpoints"].items()
    old["checkpoints"] = dict(aside if pair[0] == name else pair for pair in pairs)
    if old["best"] == name:
        old["best"] = f"{ASIDE}{name}"
    write_config(save_dir, old)


def _write_whole(path: Path, text: str) -> None:
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


def _remove(paths: Iterator[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _signature(run: Run) -> str:
    return hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()


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
        UserError: there is none, or it was changed since.
    """
    path = save_dir / CONFIG
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        signature = run.pop("sha256")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{save_dir} holds no trained model: run python train.py first, or name "
            "another folder with --save_dir"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        signature = None
    if signature is None or signature != _signature(run):
        raise UserError(
            f"{path} is damaged or was edited: its checksum differs. Train again with "
            "--overwrite, or name another folder with --save_dir"
        )
    return run


def verify(save_dir: Path, run: Run, name: str) -> None:
    """Compare the files of a checkpoint with the checksums in `run`.

    Raises:
        UserError: a file is missing or differs; the text names it.
    """
    for file, checksum in run["checkpoints"][name].items():
        path = save_dir / file
        if not path.is_file():
            raise UserError(f"{path} is missing")
        if _sha256(path) != checksum:
            raise UserError(f"{path} is damaged or of another run (other checksum)")


def restore(
    session: tf.Session,
    save_dir: Path,
    run: Run,
    name: str,
    variables: Sequence[tf.Variable],
) -> None:
    """Restore the variables from a checkpoint, after comparing bytes and shapes.

    Saver.restore compares no shapes: a network whose kernels were edited from 5x5 to
    3x3 would get 5x5 ones and answer without a word.

    Raises:
        UserError: the checkpoint is damaged, or of another network than `variables`.
    """
    verify(save_dir, run, name)
    prefix = str(save_dir / name)
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


def last(run: Run) -> str:
    """Return the name of the newest checkpoint; UserError where there is none yet."""
    if not run["checkpoints"]:
        raise UserError("the training run has not reached its first checkpoint yet")
    return list(run["checkpoints"])[-1]


def whole(save_dir: Path, run: Run) -> Run:
    """Return the run as it was at its newest checkpoint that is whole.

    Damaged ones are told on stderr and forgotten, with the history since.

    Raises:
        UserError: every checkpoint is damaged.
    """
    checkpoints = {}
    for name, files in run["checkpoints"].items():
        try:
            verify(save_dir, run, name)
            checkpoints[name] = files
        except UserError as error:
            print(f"train.py: {error}", file=sys.stderr)
    if checkpoints == run["checkpoints"]:
        return run
    if not checkpoints:
        raise UserError(
            f"no checkpoint in {save_dir} is whole: begin anew with --overwrite"
        )
    names = {int(name.rpartition("-")[2]): name for name in checkpoints}
    step = list(names)[-1]
    rows = [row for row in run["history"] if row["step"] <= step]
    best = run["best"]
    if best and best not in checkpoints and int(best.rpartition("-")[2]) <= step:
        print(
            f"train.py: the best checkpoint until then, {best}, is lost; the best one "
            "that is left takes its place",
            file=sys.stderr,
        )
    run = run | {"step": step, "finished": False, "checkpoints": checkpoints}
    run |= {"history": [], "best": None, "validation_accuracy": None}
    for row in rows:
        add(run, row, names.get(row["step"]))
    print(f"train.py: going on from step {step}, {last(run)}", file=sys.stderr)
    return run
