"""Which run train.py begins or resumes, and which one it leaves alone."""

import dataclasses

import augment
import model
from common import cli
from common.cli import UserError
from common.settings import RULES, CommandLine
from saving import checkpoints
from saving.run import DataSummary, Run, append_history, step_of

# The settings that may differ when a run is resumed: its length, for it may grow, and
# what does not touch the numbers.
MAY_CHANGE = {"length", "save_dir", "data_dir", "checkpoint_seconds"}


def run_to_resume(command: CommandLine) -> Run | None:
    """Return the run in SAVE_DIR to be resumed, None where a new one begins.

    A finished run may be replaced: editing a constant and running again is the everyday
    use. An interrupted one is never replaced unasked.

    Raises:
        UserError: there is nothing to resume, or something that --overwrite would lose,
            or a setting differs from those that the run was started with.
    """
    save_dir = command.settings.save_dir
    if not (save_dir / checkpoints.CONFIG).exists():
        if command.resume:
            raise UserError(f"{save_dir} holds no run to resume: leave out --resume")
        return None
    if command.overwrite:
        return None
    run = checkpoints.read_config(save_dir)
    if command.resume:
        return _with_settings_of(newest_intact(run), command)
    if run.step and not run.finished:
        raise UserError(
            f"{save_dir} holds a run that was interrupted at step {run.step} of "
            f"{run.total_steps}: resume it with --resume, replace it with "
            "--overwrite, or name another folder with --save_dir"
        )
    return None


def _with_settings_of(run: Run, command: CommandLine) -> Run:
    """Return the run with those settings of the command line that may change.

    Raises:
        UserError: a flag, or a constant edited since, says otherwise than the run.
    """
    _refuse_edited_architecture(run)
    was_constant = vars(run.settings) | run.overridden
    edited = {
        name
        for name, value in vars(command.constants).items()
        if name in command.given or value != was_constant[name]
    }
    now, was = vars(command.settings), vars(run.settings)
    # A run has a rate of its own.
    if command.settings.learning_rate == "auto":
        edited.discard("learning_rate")
    refused = [n for n in RULES if n in edited - MAY_CHANGE and now[n] != was[n]]
    if refused:
        name, flags = refused[0], " ".join(f"--{n} {was[n]}" for n in refused)
        raise UserError(
            f"{name.upper()} is {now[name]}, but the run was started with "
            f"{was[name]}: a resumed run keeps its constants; resume it with {flags}; "
            "for another run give --overwrite or another --save_dir"
        )
    changed = {name: now[name] for name in edited & MAY_CHANGE | {"save_dir"}}
    settings = dataclasses.replace(run.settings, **changed)
    constants = vars(command.constants)
    overridden = {name: v for name, v in run.overridden.items() if name not in changed}
    overridden |= {
        name: constants[name]
        for name in changed
        if name != "save_dir" and constants[name] != changed[name]
    }
    resumed = dataclasses.replace(run, settings=settings, overridden=overridden)
    if resumed.total_steps < run.total_steps:
        raise UserError(
            f"LENGTH is {settings.length}, but the run is {run.total_steps} steps "
            "long: a resumed run may only get longer"
        )
    if resumed.total_steps > run.step or run.temperature is None:
        resumed = dataclasses.replace(resumed, test_accuracy=None, temperature=None)
    return resumed


def _refuse_edited_architecture(run: Run) -> None:
    """Raise UserError where the constants of the graph were edited since."""
    for what, file, now, was in (
        (
            "architecture",
            "model.py",
            model.ARCHITECTURES[run.settings.network],
            run.architecture,
        ),
        ("affine", "augment.py", augment.AFFINE, run.affine),
    ):
        if now != was:
            raise UserError(
                f"the {what} in {file} is {now}, but the run was started with {was}: "
                "a resumed run keeps its constants"
            )


def compare_data(run: Run, data: DataSummary) -> None:
    """Refuse to resume a run with other data.

    Raises:
        UserError: the data differ from those the run was started with.
    """
    now, was = vars(data), vars(run.data)
    differing = [
        f"{key} {str(now[key])[:12]} instead of {str(was[key])[:12]}"
        for key in was
        if now[key] != was[key]
    ]
    if differing:
        raise UserError(
            "the data differ from those this run was started with "
            f"({', '.join(differing)}): name the folder of the same data with "
            "--data_dir"
        )


def refuse_fallback(command: CommandLine, data: DataSummary) -> None:
    """Refuse to replace a finished run on other data when "auto" fell back to mnist_5k.

    Raises:
        UserError: there is such a run.
    """
    save_dir = command.settings.save_dir
    fell_back = command.settings.dataset == "auto" and data.name == "mnist_5k"
    if command.overwrite or not fell_back:
        return
    if not (save_dir / checkpoints.CONFIG).exists():
        return
    was = checkpoints.read_config(save_dir)
    if was.finished and was.data.name != data.name:
        raise UserError(
            f"{save_dir} holds a finished run on {was.data.name}, which is not in "
            f"{command.settings.data_dir}: name its folder with --data_dir, or replace "
            "the run with --overwrite"
        )


def newest_intact(run: Run) -> Run:
    """Return the run as it was at its newest intact checkpoint.

    Damaged ones are named on stderr and forgotten, with the history since.

    Raises:
        UserError: every checkpoint is damaged.
    """
    intact = {
        name: files for name, files in run.checkpoints.items() if _is_intact(run, name)
    }
    if intact == run.checkpoints:
        return run
    if not intact:
        raise UserError(
            f"no checkpoint in {run.settings.save_dir} is intact: start again with "
            "--overwrite"
        )
    names = {step_of(name): name for name in intact}
    step = list(names)[-1]
    if run.best and run.best not in intact and step_of(run.best) <= step:
        cli.warn(
            f"the best checkpoint until then, {run.best}, is lost; the best one that "
            "is left takes its place"
        )
    resumed = dataclasses.replace(
        run,
        step=step,
        checkpoints=intact,
        history=(),
        best=None,
        test_accuracy=None,
        temperature=None,
    )
    for row in run.history:
        if row.step <= step:
            resumed = append_history(resumed, row, names.get(row.step))
    cli.warn(f"resuming from step {step}, {resumed.newest_checkpoint}")
    return resumed


def _is_intact(run: Run, checkpoint: str) -> bool:
    """Return whether a checkpoint is intact; say on stderr why it is not."""
    try:
        checkpoints.verify(run, checkpoint)
    except UserError as error:
        cli.warn(str(error))
        return False
    return True


def data_set_of(run: Run) -> str:
    """Return the DATASET that gives a run its data again, whatever "auto" is now."""
    return "mnist_5k" if run.data.name == "mnist_5k" else "mnist"
