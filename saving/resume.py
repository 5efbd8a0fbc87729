"""Which run train.py begins, which one it goes on with, and which it leaves alone."""

import importlib.metadata
import os
import platform
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import data_sources
import input_data
import model
from common.cli import UserError
from saving import checkpoints as checkpoint

# Constants that a resumed run may have others of than it was started with: lengths, for
# they may grow, and what does not touch the numbers.
MAY_CHANGE = {"steps", "epochs", "save_dir", "data_dir", "checkpoint_seconds"}


def earlier(settings: SimpleNamespace) -> checkpoint.Run | None:
    """Return the run in SAVE_DIR that is to go on, None where a new one begins.

    A finished run may be replaced: editing a constant and running again is the everyday
    use. An interrupted one is not thrown away unasked.

    Raises:
        UserError: there is nothing to resume, or something that --overwrite would lose.
    """
    save_dir = settings.save_dir
    if settings.overwrite:
        return None
    if not (save_dir / checkpoint.CONFIG).exists():
        if settings.resume:
            raise UserError(f"{save_dir} holds no run to resume: leave out --resume")
        if found := sorted(save_dir.glob(f"{checkpoint.PREFIX}*.index")):
            raise UserError(
                f"{save_dir} holds checkpoints of another program ({found[0].name}): "
                "replace them with --overwrite, or name another folder with --save_dir"
            )
        return None
    run = checkpoint.read_config(save_dir)
    if settings.resume:
        return checkpoint.whole(save_dir, run)
    if run["step"] and not run["finished"]:
        raise UserError(
            f"{save_dir} holds a run that was interrupted at step {run['step']} of "
            f"{run['resolved']['steps']}: go on with --resume, replace it with "
            "--overwrite, or name another folder with --save_dir"
        )
    return None


def keep_constants(settings: SimpleNamespace, run: checkpoint.Run) -> None:
    """Give the settings the values that the run was started with.

    Raises:
        UserError: a flag, or a constant edited since, says otherwise.
    """
    was = run["constants"]
    for name, value in of_model(run["network"]).items():
        if value != run[name]:
            raise UserError(
                f"the {name} in model.py is {value}, but the run was started with "
                f"{run[name]}: a resumed run keeps its constants"
            )
    now = stored(vars(settings), was)
    edited = {
        key
        for key, value in stored(settings.constants, was).items()
        if key in settings.given or value != run["file"].get(key)
    }
    for key, value in was.items():
        if key not in MAY_CHANGE and key in edited and now[key] != value:
            raise UserError(
                f"{key.upper()} is {now[key]}, but the run was started with {value}: "
                "a resumed run keeps its constants; for another run give --overwrite "
                "or another --save_dir"
            )
        if key not in MAY_CHANGE:
            setattr(settings, key, value)
    if not edited & {"steps", "epochs"}:
        settings.steps, settings.epochs = was["steps"], was["epochs"]
    if "data_dir" not in edited:
        settings.data_dir = (input_data.ROOT / was["data_dir"]).resolve()


def data_set_of(run: checkpoint.Run) -> str:
    """Return the DATASET that gives a run its data again, whatever "auto" would now."""
    return "digits" if run["dataset"]["name"] == "digits" else "mnist"


def of_model(network: str) -> dict[str, Any]:
    """Return the constants of model.py that a network is trained with."""
    return {"architecture": model.ARCHITECTURES[network], "affine": model.AFFINE}


def keep_resolved(
    run: checkpoint.Run, resolved: dict[str, int | bool], dataset: dict[str, Any]
) -> dict[str, int | bool]:
    """Return what the constants of a resumed run come to; it may only get longer.

    Raises:
        UserError: the run would get shorter, or the data are others.
    """
    others = [
        f"{key} {str(value)[:12]} instead of {str(run['dataset'][key])[:12]}"
        for key, value in dataset.items()
        if value != run["dataset"][key]
    ]
    if others:
        raise UserError(
            f"the data are others than the run was started with ({', '.join(others)}): "
            "a resumed run needs the same; name their folder with --data_dir"
        )
    if resolved["steps"] < run["resolved"]["steps"]:
        raise UserError(
            f"STEPS is {resolved['steps']}, but the run was started with "
            f"{run['resolved']['steps']}: a resumed run may only get longer"
        )
    return run["resolved"] | {"steps": resolved["steps"]}


def stored(values: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Return the constants as config.json has them, folders relative to the project."""
    root = input_data.ROOT
    return {
        key: os.path.relpath(root / values[key], root) if "_dir" in key else values[key]
        for key in keys
    }


def describe_data(
    source: data_sources.Source, data: input_data.Datasets
) -> dict[str, Any]:
    """Return what a data set is and the sizes of its splits."""
    sizes = {split: getattr(data, split).num_examples for split in data._fields}
    return source._asdict() | sizes


def describe(
    settings: SimpleNamespace,
    resolved: dict[str, int | bool],
    dataset: dict[str, Any],
) -> checkpoint.Run:
    """Return the configuration of a run that begins.

    Args:
        settings: its constants.
        resolved: what they come to.
        dataset: as `describe_data` gives it.
    """
    return {
        "network": settings.network,
        **of_model(settings.network),
        "constants": stored(vars(settings), settings.constants),
        "file": stored(settings.constants, settings.constants),
        "resolved": resolved,
        "dataset": dataset,
        "versions": {
            "python": platform.python_version(),
            **{p: importlib.metadata.version(p) for p in ("tensorflow", "numpy")},
        },
        "step": 0,
        "finished": False,
        "best": None,
        "validation_accuracy": None,
        "test_accuracy": None,
        "history": [],
        "checkpoints": {},
    }
