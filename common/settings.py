"""The constants of train.py as settings: types, accepted values, flags."""

import argparse
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import input_data
import model
from common.cli import ArgumentParser, UserError
from common.paths import ROOT, absolute, from_here

UNITS = ("steps", "epochs")


@dataclass(frozen=True)
class Length:
    """How long a run is, as "2750 steps" or "5 epochs"."""

    count: float
    unit: str  # one of UNITS

    @classmethod
    def parse(cls, text: str) -> "Length":
        """Read a length; ValueError where `text` is none."""
        count, unit = text.split()
        unit = unit if unit.endswith("s") else f"{unit}s"  # "1 epoch"
        length = cls(float(count), unit)
        if unit == "steps":
            accepted = 1 <= length.count <= 1e9 and length.count.is_integer()
        else:
            accepted = unit == "epochs" and 0 < length.count <= 1e6
        if not accepted:
            raise ValueError(text)
        return length

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.count!r}".removesuffix(".0") + f" {self.unit}"

    def steps(self, num_examples: int, batch_size: int) -> int:
        """Return the number of training steps on so many training images."""
        if self.unit == "steps":
            return int(self.count)
        return math.ceil(self.count * num_examples / batch_size)


def _number_or_auto(text: str) -> float | str:
    """Return a number, or "auto"; ValueError for anything else."""
    return text if text == "auto" else float(text)


def _folder(text: str) -> Path:
    """Return a path; ValueError for the empty one, which pathlib takes for "."."""
    if not text:
        raise ValueError(text)
    return Path(text)


def _seconds(text: str) -> float:
    """Return a number of seconds above 0; a type for argparse."""
    try:
        if 0 < float(text) < math.inf:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")


class Rule(NamedTuple):
    """Which values a setting accepts."""

    read: Callable[[str], Any]  # from text; ValueError where it cannot be read
    accepts: Callable[[Any], bool]
    accepted: str  # the same in words


def _one_of(names: Collection[str]) -> Rule:
    return Rule(str, names.__contains__, f"one of {', '.join(names)}")


RULES = {
    "dataset": _one_of(input_data.DATASETS),
    "data_dir": Rule(_folder, bool, "a folder"),
    "save_dir": Rule(_folder, bool, "a folder"),
    "validation_size": Rule(
        int, lambda v: v >= 0, "a whole number of images, 0 or more"
    ),
    "network": _one_of(model.NETWORKS),
    "optimizer": _one_of(model.OPTIMIZERS),
    "loss": _one_of(model.LOSSES),
    "seed": Rule(int, lambda v: 0 <= v < 2**31, "a whole number from 0 to 2147483647"),
    "length": Rule(Length.parse, bool, 'a length such as "2750 steps" or "5 epochs"'),
    "batch_size": Rule(int, lambda v: v >= 1, "a whole number of images, 1 or more"),
    "learning_rate": Rule(
        _number_or_auto,
        lambda v: v == "auto" or 0 < v < math.inf,
        "a number above 0, or auto",
    ),
    "schedule": _one_of(model.SCHEDULES),
    "warmup": Rule(float, lambda v: 0 <= v <= 1, "a share from 0 to 1"),
    "keep_prob": Rule(float, lambda v: 0 < v <= 1, "a share above 0, up to 1"),
    "label_smoothing": Rule(float, lambda v: 0 <= v < 1, "a share from 0 to below 1"),
    "augment": Rule(float, lambda v: 0 <= v <= 5, "a number from 0 to 5"),
    "bfloat16": _one_of(("auto", "on", "off")),
    "threads": Rule(int, lambda v: 0 <= v <= 1024, "a whole number from 0 to 1024"),
    "min_eval_steps": Rule(int, lambda v: v >= 1, "a whole number of steps, 1 or more"),
    "checkpoint_seconds": Rule(
        float, lambda v: v >= 0, "a number of seconds, 0 or more"
    ),
}


@dataclass(frozen=True)
class Settings:
    """The constants at the top of train.py; meanings and units stand there."""

    dataset: str
    data_dir: Path
    save_dir: Path
    validation_size: int
    network: str
    optimizer: str
    loss: str
    seed: int
    length: Length
    batch_size: int
    learning_rate: float | str  # "auto" until the data set is known
    schedule: str
    warmup: float
    keep_prob: float
    label_smoothing: float
    augment: float
    bfloat16: str
    threads: int
    min_eval_steps: int
    checkpoint_seconds: float


FOLDERS = ("data_dir", "save_dir")
STARTUP_SECONDS = 300.0
SWITCHES = {
    "resume": "resume the run that SAVE_DIR holds, from its newest checkpoint",
    "overwrite": "replace the run that SAVE_DIR holds, even if it was interrupted",
}


def checked(name: str, value: object) -> Any:  # noqa: ANN401
    """Return the value of a setting, converted to its type.

    Raises:
        UserError: the setting does not accept it.
    """
    rule = RULES[name]
    try:
        result = rule.read(str(value))
        if rule.accepts(result):
            return result
    except ValueError:
        pass
    raise UserError(f"{name.upper()} is {value}; it must be {rule.accepted}")


# -------------------------------------------------------------------- command line


class CommandLine(NamedTuple):
    """What train.py was asked to do."""

    settings: Settings  # the constants, each overridden by recipe and flag
    constants: Settings  # the constants alone
    given: frozenset[str]  # the settings that a recipe or a flag gives
    resume: bool
    overwrite: bool
    startup_seconds: float

    def with_auto_rate(self, rate: float) -> "CommandLine":
        """Return what was asked for, with this learning rate where it says auto."""
        if self.settings.learning_rate != "auto":
            return self
        return self._replace(settings=replace(self.settings, learning_rate=rate))


def read_command_line(
    constants: Mapping[str, object],
    recipes: Mapping[str, Mapping[str, object]],
    description: str,
    arguments: Sequence[str] | None = None,
) -> CommandLine:
    """Return the script's constants, overridden by recipe and flags.

    Args:
        constants: the script's UPPER_CASE constants by name, the only defaults.
        recipes: for --recipe, by name: constants with other values.
        description: what --help begins with; of a docstring, its first line.
        arguments: flags and their values; None for those of the command line.

    Raises:
        UserError: a constant holds a value that it does not accept.
    """
    parser = _parser(constants, recipes, description)
    flags = vars(parser.parse_args(arguments))
    switches = {name: flags.pop(name) for name in (*SWITCHES, "startup_seconds")}
    recipe = {key.lower(): value for key, value in recipes[flags.pop("recipe")].items()}
    for unit in UNITS:
        if unit in flags:
            flags["length"] = f"{flags.pop(unit)} {unit}"
    values = {name: checked(name, constants[name.upper()]) for name in RULES}
    try:
        given = {name: checked(name, value) for name, value in (recipe | flags).items()}
    except UserError as error:
        parser.error(str(error))
    # A constant's path is relative to the project, a flag's to where the user is.
    for name in FOLDERS:
        values[name] = absolute(values[name], ROOT)
        if name in given:
            given[name] = from_here(given[name])
    return CommandLine(
        Settings(**values | given), Settings(**values), frozenset(given), **switches
    )


def _parser(
    constants: Mapping[str, object],
    recipes: Mapping[str, Mapping[str, object]],
    description: str,
) -> ArgumentParser:
    parser = ArgumentParser(description=description)
    lengths = parser.add_mutually_exclusive_group()
    for name, rule in RULES.items():
        now = str(constants[name.upper()]).replace("%", "%%")  # argparse formats it
        (lengths if name == "length" else parser).add_argument(
            f"--{name}",
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=f"{rule.accepted} (now {now})",
        )
    for unit in UNITS:
        lengths.add_argument(
            f"--{unit}",
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=f'short for --length "VALUE {unit}"',
        )
    parser.add_argument(
        "--recipe", choices=recipes, default="default", help=_listed(recipes)
    )
    parser.add_argument(
        "--startup_seconds",
        metavar="VALUE",
        type=_seconds,
        default=STARTUP_SECONDS,
        help=f"to wait for the other workers of TF_CONFIG (now {STARTUP_SECONDS})",
    )
    one_of = parser.add_mutually_exclusive_group()
    for name, text in SWITCHES.items():
        one_of.add_argument(f"--{name}", action="store_true", help=text)
    return parser


def _listed(recipes: Mapping[str, Mapping[str, object]]) -> str:
    """Return what --help says of the recipes."""
    return "; ".join(
        f"{name}: " + (", ".join(f"{k} {v}" for k, v in values.items()) or "as above")
        for name, values in recipes.items()
    )
