"""What every script's command line shares: one-line errors and exit statuses.

Exit status: 0 done, 1 the user has something to mend, 2 a bad flag, 130 Ctrl-C,
143 SIGTERM.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

# How a value is read from text, the test it must pass, and what it may be in words.
Rule = tuple[Callable[[str], Any], Callable[[Any], bool], str]


STOPPING = (signal.SIGINT, signal.SIGTERM)


class UserError(Exception):
    """A mistake its user can mend; its text says what, where and how."""


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that reports a bad flag in one line."""

    def error(self, message: str) -> NoReturn:
        """Print `message` on stderr and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")


def checked(key: str, value: object, rule: Rule) -> Any:  # noqa: ANN401
    """Return `value` converted by `rule`.

    Raises:
        UserError: `value` is not what the rule accepts.
    """
    convert, accepts, accepted = rule
    try:
        result = convert(str(value))
        if accepts(result):
            return result
    except ValueError:
        pass
    raise UserError(f"{key.upper()} is {value}; it must be {accepted}")


def read_settings(
    constants: Mapping[str, object],
    rules: Mapping[str, Rule],
    exclusive: Sequence[str],
    recipes: Mapping[str, Mapping[str, object]],
    switches: Mapping[str, str],
    description: str,
) -> SimpleNamespace:
    """Return the constants named by `rules`, each overridden by recipe and flag.

    Args:
        constants: the script's UPPER_CASE constants by name, the only defaults.
        rules: the accepted values of each constant, in the order of --help.
        exclusive: constants of which one flag at most may be given.
        recipes: for --recipe, by name: constants with other values.
        switches: flags without a value, of which one at most may be given, and what
            --help says of them.
        description: first line of --help.

    Returns:
        The settings under their lower-case names, the switches, `given`, the set of
        lower-case names that were flags or of the recipe, and `constants`, what the
        settings would be without any.

    Raises:
        UserError: a constant holds a value that it may not.
    """
    parser = ArgumentParser(description=description)
    one_of = parser.add_mutually_exclusive_group()
    for name, (_, _, accepted) in rules.items():
        (one_of if name in exclusive else parser).add_argument(
            f"--{name.lower()}",
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=f"{accepted} (now {constants[name]})".replace("%", "%%"),
        )
    parser.add_argument(
        "--recipe", choices=recipes, default="default", help=_listed(recipes)
    )
    one_of = parser.add_mutually_exclusive_group()
    for name, text in switches.items():
        one_of.add_argument(f"--{name}", action="store_true", help=text)
    flags = vars(parser.parse_args())
    settings = {name: flags.pop(name) for name in switches}
    recipe = {key.lower(): value for key, value in recipes[flags.pop("recipe")].items()}
    if any(key.lower() in flags for key in exclusive):
        recipe = {key: recipe[key] for key in recipe if key.upper() not in exclusive}
    flags = recipe | flags
    constants = {key.lower(): constants[key] for key in rules}
    rules = {key.lower(): rule for key, rule in rules.items()}
    constants = {key: checked(key, constants[key], rules[key]) for key in rules}
    try:
        given = {key: checked(key, flags[key], rules[key]) for key in flags}
    except UserError as error:
        parser.error(str(error))
    return SimpleNamespace(
        **settings, **(constants | given), given=set(given), constants=constants
    )


def _listed(recipes: Mapping[str, Mapping[str, object]]) -> str:
    """Return what --help says of the recipes."""
    return "; ".join(
        f"{name}: " + (", ".join(f"{k} {v}" for k, v in values.items()) or "as above")
        for name, values in recipes.items()
    )


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Note the first Ctrl-C or SIGTERM in the list given; a second one acts at once."""
    noted: list[int] = []

    def restore() -> None:
        for signum, handler in before.items():
            signal.signal(signum, handler)

    def note(signum: int, _: object) -> None:
        noted.append(signum)
        restore()

    before = {signum: signal.signal(signum, note) for signum in STOPPING}
    try:
        yield noted
    finally:
        restore()


def run(main: Callable[[], None], *mistakes: type[Exception]) -> NoReturn:
    """Call `main` and exit; UserError, OSError and `mistakes` are told in one line."""
    script = os.path.basename(sys.argv[0])
    try:
        main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\n{script}: stopped by Ctrl-C", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output is gone (`| head`); Python's own flush at exit
        # would complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (UserError, OSError, *mistakes) as error:
        print(f"{script}: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
