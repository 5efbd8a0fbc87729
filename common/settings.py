"""The constants of train.py as flags: what they may be, and what they come to."""

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import data_sources
import input_data
import model
from common.cli import ArgumentParser, UserError
from common.session import available_cores, cpu_has_bfloat16
from optimization import LOSSES, OPTIMIZERS

# How a value is read from text, the test it must pass, and what it may be in words.
Rule = tuple[Callable[[str], Any], Callable[[Any], bool], str]
POSITIVE = "a whole number, 1 or more"
RULES: dict[str, Rule] = {
    "DATASET": (str, lambda v: v in data_sources.DATASETS, "auto, mnist or digits"),
    "DATA_DIR": (str, bool, "a folder"),
    "SAVE_DIR": (str, bool, "a folder"),
    "VALIDATION_SIZE": (int, lambda v: v >= 0, "a whole number of images, 0 or more"),
    "NETWORK": (str, model.NETWORKS.__contains__, ", ".join(model.NETWORKS)),
    "OPTIMIZER": (str, OPTIMIZERS.__contains__, ", ".join(OPTIMIZERS)),
    "LOSS": (str, LOSSES.__contains__, ", ".join(LOSSES)),
    "SEED": (int, lambda v: 0 <= v < 2**31, "a whole number from 0 to 2147483647"),
    "STEPS": (int, lambda v: v >= 1, POSITIVE),
    "EPOCHS": (float, lambda v: 0 <= v <= 1e6, "a number from 0 to 1000000"),
    "BATCH_SIZE": (int, lambda v: v >= 1, POSITIVE),
    "LEARNING_RATE": (float, lambda v: 0 < v < math.inf, "a number above 0"),
    "SCHEDULE": (str, lambda v: v in ("cosine", "constant"), "cosine or constant"),
    "WARMUP": (float, lambda v: 0 <= v <= 1, "a share from 0 to 1"),
    "KEEP_PROB": (float, lambda v: 0 < v <= 1, "a share above 0, up to 1"),
    "LABEL_SMOOTHING": (float, lambda v: 0 <= v < 1, "a share from 0 to below 1"),
    "AUGMENT": (float, lambda v: 0 <= v <= 5, "a number from 0 to 5"),
    "BFLOAT16": (str, lambda v: v in ("auto", "on", "off"), "auto, on or off"),
    "THREADS": (int, lambda v: 0 <= v <= 1024, "a whole number from 0 to 1024"),
    "EVAL_STEPS": (int, lambda v: v >= 1, POSITIVE),
    "CHECKPOINT_SECONDS": (float, lambda v: v >= 0, "a number of seconds, 0 or more"),
}
SWITCHES = {
    "resume": "go on with the run that SAVE_DIR holds, from its last checkpoint",
    "overwrite": "replace the run that SAVE_DIR holds, even if it was interrupted",
}
# Of these one flag at most may be given; a recipe's value of one gives way to a flag.
LENGTHS = {"steps", "epochs"}


def read_settings(
    constants: Mapping[str, object],
    recipes: Mapping[str, Mapping[str, object]],
    description: str,
) -> SimpleNamespace:
    """Return the constants that RULES names, each overridden by recipe and flag.

    Args:
        constants: the script's UPPER_CASE constants by name, the only defaults.
        recipes: for --recipe, by name: constants with other values.
        description: first line of --help.

    Returns:
        The settings under their lower-case names, folders as absolute paths; the
        switches; `given`, the set of lower-case names that were flags or of the recipe;
        and `constants`, what the settings would be without any.

    Raises:
        UserError: a constant holds a value that it may not.
    """
    parser = _parser(constants, recipes, description)
    flags = vars(parser.parse_args())
    switches = {name: flags.pop(name) for name in SWITCHES}
    recipe = {key.lower(): value for key, value in recipes[flags.pop("recipe")].items()}
    if LENGTHS & flags.keys():
        recipe = {key: recipe[key] for key in recipe.keys() - LENGTHS}
    values = {key.lower(): checked(key, constants[key]) for key in RULES}
    try:
        given = {key: checked(key, value) for key, value in (recipe | flags).items()}
    except UserError as error:
        parser.error(str(error))
    settings = SimpleNamespace(
        **switches, **(values | given), given=set(given), constants=values
    )
    if "steps" in given:
        settings.epochs = 0.0
    # A flag's path is relative to where the user is, a constant's to the project.
    for key in ("data_dir", "save_dir"):
        base = Path.cwd() if key in given else input_data.ROOT
        setattr(settings, key, base / getattr(settings, key))
    return settings


def checked(key: str, value: object) -> Any:  # noqa: ANN401
    """Return the value of a constant or flag, converted by its rule.

    Raises:
        UserError: `value` is not what the rule accepts.
    """
    convert, accepts, accepted = RULES[key.upper()]
    try:
        result = convert(str(value))
        if accepts(result):
            return result
    except ValueError:
        pass
    raise UserError(f"{key.upper()} is {value}; it must be {accepted}")


def _parser(
    constants: Mapping[str, object],
    recipes: Mapping[str, Mapping[str, object]],
    description: str,
) -> ArgumentParser:
    parser = ArgumentParser(description=description)
    one_of = parser.add_mutually_exclusive_group()
    for name, (_, _, accepted) in RULES.items():
        (one_of if name.lower() in LENGTHS else parser).add_argument(
            f"--{name.lower()}",
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=f"{accepted} (now {constants[name]})".replace("%", "%%"),
        )
    parser.add_argument(
        "--recipe", choices=recipes, default="default", help=_listed(recipes)
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


def resolve(settings: SimpleNamespace, num_examples: int) -> dict[str, int | bool]:
    """Check the sizes against the training images; return what the constants come to.

    Returns:
        `steps`, the length of the run; `threads`; and `bfloat16`, whether it is used.
    """
    if num_examples == 0:
        raise UserError(
            f"VALIDATION_SIZE is {settings.validation_size}; it must be less than the "
            "number of training images"
        )
    if settings.batch_size > num_examples:
        raise UserError(
            f"BATCH_SIZE is {settings.batch_size}; it must be 1 to {num_examples}, the "
            "number of training images"
        )
    steps = settings.steps
    if settings.epochs:
        steps = math.ceil(settings.epochs * num_examples / settings.batch_size)
    bfloat16 = {"on": True, "off": False}.get(settings.bfloat16, cpu_has_bfloat16())
    threads = settings.threads or available_cores()
    return {"steps": steps, "threads": threads, "bfloat16": bfloat16}
