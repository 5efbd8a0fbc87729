"""What config.json holds of a run, as records."""

import platform
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import augment
import input_data
import model
from common.cli import UserError
from common.paths import DATA_DIR, ROOT, absolute
from common.session import available_cores, cpu_has_bfloat16, tf
from common.settings import FOLDERS, RULES, CommandLine, Settings, checked

FORMAT = 4  # of config.json; 1 had no number, 2 no temperature, 3 no logs


@dataclass(frozen=True)
class Evaluation:
    """A row of history.csv. Losses are means, in nats for cross-entropy."""

    step: int
    epoch: float
    learning_rate: float
    training_loss: float
    training_accuracy: float
    validation_loss: float | None  # None: no validation images
    validation_accuracy: float | None


@dataclass(frozen=True)
class DataSummary:
    """Which data a run is trained on."""

    name: str  # as in input_data.Source
    sha256: str
    train: int  # images
    validation: int
    test: int


@dataclass(frozen=True)
class Run:
    """A training run: what it was started with, and how far it is.

    Checkpoints go by their names, ``model.ckpt-STEP``.
    """

    settings: Settings
    # What the constants of train.py were, where a recipe or a flag said otherwise.
    overridden: dict[str, Any]
    architecture: dict[str, Any]
    affine: dict[str, float]
    threads: int  # of one operation
    bfloat16: bool
    data: DataSummary
    versions: dict[str, str]
    step: int = 0
    history: tuple[Evaluation, ...] = ()
    # SHA-256 of each file of each checkpoint, oldest first.
    checkpoints: dict[str, dict[str, str]] = field(default_factory=dict)
    # SHA-256 of files of checkpoints that are not kept any more, by name.
    retired: dict[str, str] = field(default_factory=dict)
    best: str | None = None  # the checkpoint that is best on validation
    # Of the best one, when all steps are done: accuracy, and for model.probabilities.
    test_accuracy: float | None = None
    temperature: float | None = None
    logs: str | None = None  # its folder in save_model/logs/; None until it has one

    @property
    def total_steps(self) -> int:
        """The length of the run."""
        return self.settings.length.steps(self.data.train, self.settings.batch_size)

    @property
    def steps_per_epoch(self) -> float:
        """Steps in which as many images are seen as there are."""
        return self.data.train / self.settings.batch_size

    @property
    def finished(self) -> bool:
        """Whether all steps are done and the best checkpoint is tested."""
        return self.test_accuracy is not None

    @property
    def newest_checkpoint(self) -> str:
        """The name of the newest checkpoint; UserError where there is none yet."""
        if not self.checkpoints:
            raise UserError("the training run has not reached its first checkpoint yet")
        return list(self.checkpoints)[-1]

    @property
    def checkpoint_files(self) -> dict[str, str]:
        """SHA-256 of all files of all checkpoints, by name."""
        return {k: v for files in self.checkpoints.values() for k, v in files.items()}

    @property
    def validation_accuracy(self) -> float | None:
        """The accuracy of the best checkpoint on the validation images."""
        if self.best is None:
            return None
        by_step = {row.step: row.validation_accuracy for row in self.history}
        return by_step.get(step_of(self.best))


def step_of(checkpoint: str) -> int:
    """Return the step after which a checkpoint was saved."""
    return int(checkpoint.rpartition("-")[2])


def append_history(run: Run, row: Evaluation, checkpoint: str | None) -> Run:
    """Return the run with one more evaluation, whose checkpoint may be the best yet.

    Of equal accuracies the later one is the better; without validation the last is.

    Args:
        run: until now.
        row: the evaluation.
        checkpoint: the name of its checkpoint; None if that is lost.
    """
    best, accuracy = run.validation_accuracy, row.validation_accuracy
    is_best = checkpoint and (best is None or accuracy >= best)
    return replace(
        run,
        history=(*run.history, row),
        best=checkpoint if is_best else run.best,
    )


def new_run(command: CommandLine, data: DataSummary) -> Run:
    """Return the run that a command line begins.

    Raises:
        UserError: no training images are left, or fewer than a batch needs.
    """
    settings = command.settings
    if data.train == 0:
        raise UserError(
            f"VALIDATION_SIZE is {settings.validation_size}; it must be less than the "
            "number of training images"
        )
    if settings.batch_size > data.train:
        raise UserError(
            f"BATCH_SIZE is {settings.batch_size}; it must be 1 to {data.train}, the "
            "number of training images"
        )
    return Run(
        settings=settings,
        overridden=overridden_constants(command),
        architecture=model.ARCHITECTURES[settings.network],
        affine=augment.AFFINE,
        **_of_this_machine(settings),
        data=data,
        # Not by the package's name: tensorflow-cpu and tf-nightly are TensorFlow too.
        versions={
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
        },
    )


def _of_this_machine(settings: Settings) -> dict[str, Any]:
    """Return what a run uses of this machine, by its name in Run."""
    bfloat16 = {"on": True, "off": False}.get(settings.bfloat16, cpu_has_bfloat16())
    return {"threads": settings.threads or available_cores(), "bfloat16": bfloat16}


def on_this_machine(run: Run, settings: Settings) -> Run:
    """Return the run of another machine with this one's data folder, threads, CPU."""
    own = {name: getattr(settings, name) for name in ("data_dir", "threads")}
    settings = replace(run.settings, **own)
    return replace(run, settings=settings, **_of_this_machine(settings))


def overridden_constants(command: CommandLine) -> dict[str, Any]:
    """Return the constants of train.py that a recipe or a flag replaced."""
    now, constants = vars(command.settings), vars(command.constants)
    return {
        name: constants[name]
        for name in RULES
        if now[name] != constants[name] and name != "save_dir"  # a run may be moved
    }


def existing_data_dir(run: Run | None, named: Path | None = None) -> Path:
    """Return the folder of a run's data, or the one that was named now.

    Args:
        run: the training run; None, of another script, means MNIST.
        named: another folder, with any data set of MNIST's form.

    Raises:
        UserError: it is gone. Nothing is downloaded to a folder of a run that nobody
            named now.
    """
    if named:
        if not named.exists():
            raise UserError(
                f"{named} does not exist: --data_dir names a folder with the files of "
                "MNIST, or of a data set of the same form"
            )
        return named
    if run is None:
        return DATA_DIR
    if run.data.name == "digits":  # of format 2
        raise UserError(
            f"{run.settings.save_dir} holds a network for the digits of scikit-learn, "
            "which this version does not have any more: name other data with "
            "--data_dir, or train again with --overwrite"
        )
    data_dir = run.settings.data_dir
    if run.data.name != "mnist_5k" and not data_dir.is_dir():
        raise UserError(
            f"{data_dir}, which had the data of this run, does not exist: name their "
            "folder with --data_dir"
        )
    return data_dir


def summarize(source: input_data.Source, data: input_data.Datasets) -> DataSummary:
    """Return what a data set is, with the sizes of its splits."""
    sizes = {split: getattr(data, split).num_examples for split in data._fields}
    return DataSummary(*source, **sizes)


# --------------------------------------------------------------------- config.json


def to_json(run: Run) -> dict[str, Any]:
    """Return a run as config.json has it."""
    values = asdict(run)
    values["settings"] = _plain(vars(run.settings))
    del values["settings"]["save_dir"]  # the folder that config.json is in
    values["overridden"] = _plain(run.overridden)
    return {"format": FORMAT, **values}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return settings as JSON has them: numbers and texts."""
    result = dict(values)
    for name in values.keys() & {*FOLDERS}:
        path = values[name]
        # Relative within the project, so that a project can be moved.
        inside = path.is_relative_to(ROOT)
        result[name] = str(path.relative_to(ROOT) if inside else path)
    if "length" in values:
        result["length"] = str(values["length"])
    return result


def _settings(values: dict[str, Any], save_dir: Path) -> dict[str, Any]:
    """Return settings as `_plain` was given them; `save_dir` is where they are read."""
    result = {name: checked(name, value) for name, value in values.items()}
    if "data_dir" in result:
        result["data_dir"] = absolute(result["data_dir"], ROOT)
    return result | {"save_dir": save_dir}


def from_json(values: dict[str, Any], save_dir: Path) -> Run:
    """Return the run that config.json in `save_dir` describes.

    Raises:
        UserError: it has another format than this version reads.
        LookupError, TypeError, AttributeError: it is no configuration.
    """
    values = dict(values)
    found = values.pop("format", 1)
    if found == 1:
        values = _from_format_1(values)
    elif found == 2:
        values = _from_format_2(values)
    elif found not in (3, FORMAT):  # 3 lacks what has a default value
        raise UserError(
            f"{save_dir} was written by another version of this project (config.json "
            f"has format {found}; formats 1 to {FORMAT} are read): use that version, "
            "or name another folder with --save_dir"
        )
    settings = _settings(values.pop("settings"), save_dir)
    overridden = values.pop("overridden")
    if overridden.get("length") == "auto":
        # LENGTH was auto by default. Today's default has taken its place, so that
        # nobody has edited it.
        overridden = overridden | {"length": "2750 steps"}
    overridden = _settings(overridden, save_dir)
    del overridden["save_dir"]
    return Run(
        settings=Settings(**settings),
        overridden=overridden,
        data=DataSummary(**values.pop("data")),
        history=tuple(Evaluation(**row) for row in values.pop("history")),
        **values,
    )


def _from_format_2(old: dict[str, Any]) -> dict[str, Any]:
    """Return the values of format 3 for those of format 2."""
    values = dict(old)
    for key in ("settings", "overridden"):
        if old[key].get("dataset") == "digits":  # scikit-learn's, which have gone
            values[key] = {**old[key], "dataset": "auto"}
    return values


def _from_format_1(old: dict[str, Any]) -> dict[str, Any]:
    """Return the values of format 3 for those of format 1."""
    settings, constants = (
        _settings_from_format_1(old[key]) for key in ("constants", "file")
    )
    kept = "architecture", "affine", "versions", "step", "history"
    kept += "checkpoints", "best"
    values = {
        **{key: old[key] for key in kept},
        "settings": settings,
        "overridden": {
            name: value for name, value in constants.items() if value != settings[name]
        },
        "threads": old["resolved"]["threads"],
        "bfloat16": old["resolved"]["bfloat16"],
        "data": old["dataset"],
        "test_accuracy": old["test_accuracy"] if old["finished"] else None,
    }
    return _from_format_2(values)


def _settings_from_format_1(constants: dict[str, Any]) -> dict[str, Any]:
    """Return settings with one length for the two constants that there were."""
    renamed = dict(constants)
    del renamed["save_dir"]
    renamed["min_eval_steps"] = renamed.pop("eval_steps")
    steps, epochs = renamed.pop("steps"), renamed.pop("epochs")
    renamed["length"] = f"{epochs} epochs" if epochs else f"{steps} steps"
    return renamed
