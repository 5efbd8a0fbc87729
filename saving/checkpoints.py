"""What save_model/ holds: checkpoints and config.json, and how they stay intact.

A save writes each part to the disk before it begins the next one:

1. in a folder of its own, UNFINISHED: the files of the checkpoint, and the config.json
   that names them with their checksums;
2. the checkpoint's files are moved to save_model/;
3. config.json is moved there: it replaces the old one atomically;
4. ``history.csv`` and ``checkpoint`` are made from config.json;
5. files of checkpoints that are not kept any more are deleted. config.json lists them.

So at whatever moment a run dies, with or without power, config.json is intact, and so
is every checkpoint that it mentions. A run is resumed from config.json alone. It holds
the checksums of the checkpoints and its own, so that nothing damaged or exchanged is
read. Of checkpoints, only files that config.json (here or in UNFINISHED) lists are
deleted or replaced.
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
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common import cli, files
from common.cli import UserError
from common.session import tf
from saving.run import Evaluation, Run, from_json, to_json

CONFIG = "config.json"
HISTORY = "history.csv"
CURVES = "curves.png"
STATE = "checkpoint"  # for tf.train.latest_checkpoint
PREFIX = "model.ckpt"
ASIDE = "replaced."  # before the name of a checkpoint that is about to be replaced
UNFINISHED = ".train.unfinished"  # folder of files that are not complete yet
LOCK = ".train.lock"
COLUMNS = [field.name for field in dataclasses.fields(Evaluation)]  # of HISTORY
KEPT = 3  # newest checkpoints that stay, 1 or more; the best stays as well


@contextlib.contextmanager
def lock(save_dir: Path) -> Iterator[None]:
    """Hold the folder, created if missing, for this process alone.

    Raises:
        UserError: another process holds it, it has files of another program, or it is
            no folder. Nothing was changed then.
    """
    if save_dir.exists() and not save_dir.is_dir():
        raise UserError(f"SAVE_DIR is {save_dir}, a file; it must be a folder")
    if not (save_dir / LOCK).exists():
        refuse_files_of_others(save_dir)  # before anything is touched
    save_dir.mkdir(parents=True, exist_ok=True)
    holder = save_dir / f"{LOCK}.pid"
    with files.locked(save_dir / LOCK) as held:
        if not held:
            pid = holder.read_text(errors="replace").strip() if holder.exists() else "?"
            raise UserError(
                f"process {pid} is training in {save_dir}: wait for it, or name "
                "another folder with --save_dir"
            )
        refuse_files_of_others(save_dir)
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
        with _unfinished(save_dir) as folder:
            saver.save(
                session,
                str(folder / PREFIX),
                run.step,
                write_meta_graph=False,
                write_state=False,
            )
            new = {path.name: files.sha256(path) for path in sorted(folder.iterdir())}
            kept = _kept_checkpoints(run)
            run = dataclasses.replace(run, checkpoints=kept | {name: new})
            run = _publish(run, folder)
    except (tf.errors.OpError, OSError) as error:
        raise UserError(
            f"cannot save to {save_dir} ({reason(error)}): stopped at step "
            f"{run.step}; what it held before is unchanged"
        ) from None
    try:
        write_derived(run)
    except OSError as error:
        raise UserError(
            f"cannot write to {save_dir} ({reason(error)}): stopped at step "
            f"{run.step}, saved; resume with: python train.py --resume"
            f"{cli.save_dir_flag(save_dir)}"
        ) from None
    _delete_retired(run)
    return run


def _kept_checkpoints(run: Run) -> dict[str, dict[str, str]]:
    """Return the checkpoints of a run that stay when another one is added."""
    newest_first = list(run.checkpoints)[::-1]
    newest = newest_first[: KEPT - 1]
    return {
        name: checksums
        for name, checksums in run.checkpoints.items()
        if name in newest or name == run.best
    }


@contextlib.contextmanager
def _unfinished(save_dir: Path) -> Iterator[Path]:
    """Give an empty folder for files that are not complete yet, deleted afterwards."""
    recover(save_dir)
    folder = save_dir / UNFINISHED
    folder.mkdir()
    try:
        yield folder
    finally:
        recover(save_dir)


def _publish(run: Run, folder: Path) -> Run:
    """Move files from UNFINISHED to save_model/, then the config.json that names them.

    Returns:
        The run, in which those files are retired that only the old config.json names.

    Raises:
        FileExistsError: a file of somebody else has the name of one of them.
    """
    save_dir = run.settings.save_dir
    ours = _files_of(save_dir)
    new = sorted(folder.iterdir())
    kept = run.checkpoint_files
    retired = {name: sha for name, sha in ours.items() if name not in kept}
    run = dataclasses.replace(run, retired=retired)
    values = to_json(run)
    signed = {"sha256": _signature(values)} | values
    config = folder / CONFIG
    config.write_text(json.dumps(signed, indent=1) + "\n", encoding="utf-8")
    for path in (*new, config, folder):
        files.flush(path)
    for path in new:
        target = save_dir / path.name
        if path.name not in ours and os.path.lexists(target):
            raise FileExistsError(f"{target} was not written by train.py: move it away")
        files.move(path, target)
    files.flush(save_dir)
    files.move(config, save_dir / CONFIG)
    files.flush(save_dir)
    return run


def _files_of(save_dir: Path) -> dict[str, str]:
    """Return the files that the run of config.json wrote, with their SHA-256.

    A retired file may have been deleted and its name reused.
    """
    try:
        run = read_config(save_dir)
    except UserError:
        return {}
    retired = {k: v for k, v in run.retired.items() if _is_file(save_dir / k, v)}
    return run.checkpoint_files | retired


def _is_file(path: Path, checksum: str) -> bool:
    try:
        return path.is_file() and files.sha256(path) == checksum
    except FileNotFoundError:  # deleted meanwhile
        return False


def recover(save_dir: Path) -> None:
    """Delete what a killed run left incomplete."""
    for name in _moved_too_early(save_dir):
        (save_dir / name).unlink()
    shutil.rmtree(save_dir / UNFINISHED, ignore_errors=True)


def _moved_too_early(save_dir: Path) -> set[str]:
    """Return the files that a killed run had moved here before their config.json.

    The configuration in UNFINISHED names them, and their checksums.
    """
    try:
        run = _read_config(save_dir / UNFINISHED / CONFIG, save_dir)
    except (OSError, UserError):
        return set()
    ours = _files_of(save_dir)
    return {
        name
        for name, checksum in run.checkpoint_files.items()
        if name not in ours and _is_file(save_dir / name, checksum)
    }


def _delete_retired(run: Run) -> None:
    for name, checksum in run.retired.items():
        path = run.settings.save_dir / name
        if _is_file(path, checksum):
            path.unlink()


def write_config(run: Run) -> Run:
    """Replace config.json; return the run as written."""
    with _unfinished(run.settings.save_dir) as folder:
        return _publish(run, folder)


def write_derived(run: Run) -> None:
    """Make history.csv, and ``checkpoint`` for tf.train.latest_checkpoint.

    Raises:
        OSError: the disk is full or cannot be written to.
    """
    save_dir = run.settings.save_dir
    if run.history:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(vars(row) for row in run.history)
        _replace_file(save_dir, HISTORY, text.getvalue())
    if names := list(run.checkpoints):
        state = tf.train.generate_checkpoint_state_proto(
            str(save_dir), names[-1], names
        )
        _replace_file(save_dir, STATE, str(state))


def _replace_file(save_dir: Path, name: str, text: str) -> None:
    with _unfinished(save_dir) as folder:
        part = folder / name
        part.write_text(text, encoding="utf-8")
        files.flush(part)
        files.move(part, save_dir / name)


def checkpoint_name(step: int) -> str:
    """Return the name of the checkpoint that is saved after a step."""
    return f"{PREFIX}-{step}"


def prepare(run: Run) -> None:
    """Tidy the folder for a run that begins or is resumed.

    A folder without a configuration gets that of the run, so that whatever is written
    to it is known to be the run's own. Another configuration stays until the first
    checkpoint of this run is complete.
    """
    save_dir = run.settings.save_dir
    recover(save_dir)
    if not (save_dir / CONFIG).exists():
        write_config(run)
    _delete_retired(read_config(save_dir))


def refuse_files_of_others(save_dir: Path) -> None:
    """Refuse a folder in which another program's files would be replaced.

    Raises:
        UserError: it holds such a file, or a config.json that train.py did not write.
    """
    if not save_dir.is_dir():
        return
    ours = set()
    if (save_dir / CONFIG).exists():
        read_config(save_dir)  # refused where it is another program's
        ours |= _files_of(save_dir).keys()
    if ours:
        taken = re.compile(rf"({re.escape(ASIDE)})?{re.escape(PREFIX)}-\d+\..*")
    else:
        # Checkpoints of any program, and what train.py would write.
        taken = re.compile(
            rf"{STATE}|{HISTORY}|{CURVES}|.*\.ckpt.*|.*\.(index|meta)|"
            r".*\.data-\d+-of-\d+"
        )
    ours |= _moved_too_early(save_dir)
    for name in sorted(os.listdir(save_dir)):
        is_taken = taken.fullmatch(name) or not _may_replace(save_dir / name)
        if name not in ours and is_taken:
            raise UserError(
                f"{save_dir} holds {name}, which is another program's, or was left by "
                "a killed run of an older version: nothing was changed. Move it away, "
                "or name another folder with --save_dir"
            )


def _may_replace(path: Path) -> bool:
    """Return False for a history.csv or ``checkpoint`` that another program wrote.

    Both are made from config.json, so that a damaged one of ours may be replaced: a
    history.csv with a column of ours or cut short, a ``checkpoint`` that names none.
    """
    if path.name not in (HISTORY, STATE):
        return True
    if not path.is_file():
        return False
    first = path.read_bytes().partition(b"\n")[0].decode(errors="replace")
    if path.name == HISTORY:
        cut_short = ",".join(COLUMNS).startswith(first)
        return cut_short or not set(COLUMNS).isdisjoint(first.split(","))
    named = re.fullmatch(r'model_checkpoint_path: "(.+)"', first)
    if not named or re.match(rf"({ASIDE})?{PREFIX}-", named[1]):
        return True
    return not (path.parent / f"{named[1]}.index").exists()


def _free_name(save_dir: Path, name: str) -> None:
    """Rename a checkpoint that predict.py still uses, to free its name."""
    try:
        old = read_config(save_dir)
        if name not in old.checkpoints:
            return
        verify(old, name)
    except UserError:
        return  # nothing answers from a damaged checkpoint
    renamed, best = dict(old.checkpoints), old.best
    renamed[name] = {f"{ASIDE}{file}": sha for file, sha in renamed[name].items()}
    # In the same place: the newest stays the newest.
    renamed = {
        f"{ASIDE}{key}" if key == name else key: checksums
        for key, checksums in renamed.items()
    }
    best = f"{ASIDE}{name}" if best == name else best
    with _unfinished(save_dir) as folder:
        for file in old.checkpoints[name]:
            shutil.copyfile(save_dir / file, folder / f"{ASIDE}{file}")
        _publish(dataclasses.replace(old, checkpoints=renamed, best=best), folder)


def _signature(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def reason(error: Exception) -> str:
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
    try:
        return _read_config(save_dir / CONFIG, save_dir)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{save_dir} holds no trained model: run python train.py first, or name "
            "another folder with --save_dir"
        ) from None


def _read_config(path: Path, save_dir: Path) -> Run:
    """Return the run that a configuration of `save_dir` describes.

    Raises:
        UserError: its checksum differs, or its format is unknown.
        OSError: it cannot be read.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("sha256") == _signature(values):
            return from_json(values, save_dir)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise UserError(
        f"{path} is damaged, was edited, or belongs to another program: its checksum "
        "differs. Name another folder with --save_dir, or move it and its checkpoints "
        "away"
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
        if files.sha256(path) != checksum:
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
            f"{error}: python train.py --resume"
            f"{cli.save_dir_flag(run.settings.save_dir)} continues from the newest "
            "intact checkpoint"
        ) from None
    read(
        session,
        run.settings.save_dir / name,
        list(run.checkpoints[name]),
        variables,
    )


def read(
    session: tf.Session,
    path: Path,
    names: Sequence[str],
    variables: Sequence[tf.Variable],
) -> None:
    """Restore the variables from a checkpoint after comparing shapes.

    Args:
        session: gets the values.
        path: of the checkpoint, without .index.
        names: of its files.
        variables: that are restored; it may have more.

    Raises:
        UserError: it cannot be read, or is of another network than `variables`.
    """
    with reading(path, names) as prefix:
        saved = dict(tf.train.list_variables(prefix))
        _compare_shapes(path, saved, variables)
        tf.train.Saver(variables).restore(session, prefix)


@contextlib.contextmanager
def reading(path: Path, names: Sequence[str]) -> Iterator[str]:
    """Give the prefix of a checkpoint; what TensorFlow cannot read is a UserError."""
    try:
        with _readable_prefix(path, names) as prefix:
            yield prefix
    except (tf.errors.OpError, ValueError, IndexError) as error:
        raise UserError(f"cannot read {path} ({reason(error)})") from None


@contextlib.contextmanager
def _readable_prefix(path: Path, names: Sequence[str]) -> Iterator[str]:
    """Give the prefix of a checkpoint that TensorFlow can read.

    It takes a prefix for a pattern, in which these characters have a meaning. From such
    a folder the files are copied to a temporary one.
    """
    special = "*?[]" if os.sep == "\\" else "*?[]\\"
    if not set(special) & set(str(path)):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            shutil.copyfile(path.parent / name, Path(folder) / name)
        yield str(Path(folder) / path.name)


def _compare_shapes(
    path: Path, saved: dict[str, list[int]], variables: Sequence[tf.Variable]
) -> None:
    for variable in variables:
        shape = variable.shape.as_list()
        found = saved.get(variable.op.name, "none")
        if found != shape:
            raise UserError(
                f"{path} is of another network: {variable.op.name} has shape {found} "
                f"in it, but model.py builds {shape}; undo what was changed in "
                "model.py, or train again"
            )
