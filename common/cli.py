"""What the scripts' command lines share: one-line errors, signals, exit statuses.

Exit status: 0 success, 1 an error that the user can mend, 2 a bad flag, 130 Ctrl-C,
143 SIGTERM.
"""

import argparse
import atexit
import contextlib
import gc
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from common.paths import SAVE_DIR

STOPPING = (signal.SIGINT, signal.SIGTERM)


class UserError(Exception):
    """An error that the user can mend; its text says what, where and how."""


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that reports a bad flag in one line."""

    def error(self, message: str) -> NoReturn:
        """Print `message` on stderr and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Note the first Ctrl-C or SIGTERM in the list given; a second stops at once."""
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


def warn(text: str) -> None:
    """Print a line on stderr that begins with the name of the script that runs."""
    print(f"{os.path.basename(sys.argv[0])}: {text}", file=sys.stderr)


def accuracy_text(right: int, count: int) -> str:
    """Return an accuracy with the counts behind it: 0.9926 (4963/5000)."""
    return f"{right / count:.4f} ({right}/{count})"


def save_dir_flag(save_dir: Path) -> str:
    """Return the flag that names a folder, empty for the usual one."""
    return "" if save_dir == SAVE_DIR else f" --save_dir {shlex.quote(str(save_dir))}"


def status(main: Callable[[], None], *mistakes: type[Exception]) -> int:
    """Call `main`; return the exit status.

    UserError, OSError and `mistakes` get a one-line message on stderr.
    """
    try:
        main()
        sys.stdout.flush()
    except SystemExit as stop:
        # As Python does: nothing is success, a text is a message.
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)  # the terminal has echoed ^C
        warn("stopped by Ctrl-C")
        return 130
    except BrokenPipeError:
        return 1  # the reader of our output is gone (`| head`)
    except (UserError, OSError, *mistakes) as error:
        warn(str(error))
        return 1
    return 0


def run(main: Callable[[], None], *mistakes: type[Exception]) -> None:
    """Call `main` and exit with its status; return where it succeeded."""
    # At its end Python searches TensorFlow for garbage, for half a second. Frozen
    # objects are not searched; everything else is a normal exit.
    atexit.register(gc.freeze)
    code = status(main, *mistakes)
    try:
        sys.stdout.flush()
    except OSError:
        # Drop what cannot be written, or Python tries again at its end, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if code:
        sys.exit(code)
