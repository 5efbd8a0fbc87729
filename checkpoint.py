"""What save_model/ holds: checkpoints, history.csv and config.json.

`config.json` names the checkpoint it belongs to and is written last, by renaming a
whole file: whatever moment a run dies at, what it says is there.
"""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli import UserError
from graph_mode import tf

CONFIG = "config.json"
HISTORY = "history.csv"
PREFIX = "model.ckpt"


def save(
    session: tf.Session,
    saver: tf.train.Saver,
    save_dir: Path,
    config: dict[str, Any],
    history: list[dict[str, float | None]],
) -> None:
    """Write a checkpoint of the session, the history, then the configuration.

    Args:
        session: holds the variables.
        saver: saves them.
        save_dir: existing folder.
        config: what `read_config` gives back; `config["step"]` is the global step.
        history: the rows of history.csv, at least one.
    """
    saver.save(session, str(save_dir / PREFIX), config["step"], write_meta_graph=False)
    text = io.StringIO()
    writer = csv.DictWriter(text, history[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    _write_whole(save_dir / HISTORY, text.getvalue())
    write_config(save_dir, config)


def write_config(save_dir: Path, config: dict[str, Any]) -> None:
    """Replace config.json."""
    _write_whole(save_dir / CONFIG, json.dumps(config, indent=2) + "\n")


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def read_config(save_dir: Path) -> dict[str, Any]:
    """Return what `save` wrote to config.json.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = save_dir / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        missing = {"architecture", "constants", "dataset", "checkpoint"} - set(config)
    except FileNotFoundError:
        raise UserError(
            f"{save_dir} holds no trained model: run python train.py first, or name "
            "another folder with --save_dir"
        ) from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): train again") from None
    if missing:
        raise UserError(f"{path} is damaged (no {sorted(missing)[0]}): train again")
    return config


def restore(
    session: tf.Session, prefix: Path, variables: Sequence[tf.Variable]
) -> None:
    """Restore the variables, after comparing every shape.

    Saver.restore alone does not compare: a network whose kernels were edited from 5x5
    to 3x3 would get 5x5 ones and answer without a word.

    Raises:
        UserError: the checkpoint is missing, damaged, or of another network.
    """
    try:
        saved = dict(tf.train.list_variables(str(prefix)))
        for variable in variables:
            name, shape = variable.op.name, variable.shape.as_list()
            if name not in saved:
                raise UserError(
                    f"{prefix} has no variable {name}: it is of another network than "
                    "model.py builds; train again"
                )
            if saved[name] != shape:
                raise UserError(
                    f"{prefix}: variable {name} has shape {saved[name]}, but model.py "
                    f"builds {shape}: restore the architecture or train again"
                )
        tf.train.Saver(variables).restore(session, str(prefix))
    except (tf.errors.OpError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"checkpoint {prefix} is damaged: {reason}") from None
