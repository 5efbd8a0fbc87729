"""What the scripts' command lines share: one-line errors, signals, exit statuses.

Exit status: 0 success, 1 an error that the user can mend, 2 a bad flag, 130 Ctrl-C,
143 SIGTERM.
"""

import argparse
import atexit
import contextlib
import gc
import os
import re
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from common.paths import SAVE_DIR

NOTEBOOK = "notebook"
STOPPING = (signal.SIGINT, signal.SIGTERM)


class UserError(Exception):
    """An error that the user can mend; its text says what, where and how."""


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that reports a bad flag in one line."""

    def __init__(self, description: str | None) -> None:
        """Take the first line of a docstring, which `python -OO` has deleted."""
        first = (description or "").partition("\n")[0]
        super().__init__(prog=program(), description=first)

    def parse_args(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """Return what the arguments say; None stands for the command line's."""
        return super().parse_args(command_line() if arguments is None else arguments)

    def error(self, message: str) -> NoReturn:
        """Print `message` on stderr and exit with status 2."""
        self.exit(2, f"{self.prog}: {one_line(message)} (--help lists the flags)\n")


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Note the first Ctrl-C or SIGTERM in the list given; a second stops at once.

    Only the main thread of a process is sent signals; in others the list stays empty.
    """
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def restore() -> None:
        for signum, handler in before.items():
            signal.signal(signum, handler)

    def note(signum: int, _: object) -> None:
        noted.append(signum)
        restore()

    # One that is ignored, as in a shell's background, stays so.
    heeded = [s for s in STOPPING if signal.getsignal(s) not in (signal.SIG_IGN, None)]
    before = {signum: signal.signal(signum, note) for signum in heeded}
    try:
        yield noted
    finally:
        restore()


def program() -> str:
    """Return the name of the script that runs, or NOTEBOOK in a kernel of its own."""
    name = os.path.basename(sys.argv[0])
    return NOTEBOOK if name.endswith("kernel_launcher.py") else name  # Colab's, too


def command_line() -> list[str]:
    """Return the arguments of the command line; a notebook's are not for us."""
    return [] if program() == NOTEBOOK else sys.argv[1:]


def warn(text: str) -> None:
    """Print a line on stderr that begins with the name of the script that runs."""
    _tell(f"{program()}: {one_line(text)}")


def _tell(text: str) -> None:
    """Print on stderr, if that is possible: no answer depends on it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def one_line(text: str) -> str:
    """Return a text with a mark for what the name of a file may have, but no line.

    That is line breaks, control characters, also those that turn the direction of
    what follows, and bytes that are not UTF-8.
    """
    pattern = "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
    return re.sub(pattern, "\N{REPLACEMENT CHARACTER}", text)


def reason(error: Exception) -> str:
    """Return what an error says, with its type unless it is of the system or ours."""
    if isinstance(error, UserError):
        return str(error)
    text = traceback.format_exception_only(error)[-1].strip()
    return getattr(error, "strerror", None) or text


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
        _tell(str(stop.code))
        return 1
    except KeyboardInterrupt:
        _tell("")  # the terminal has echoed ^C
        warn("stopped by Ctrl-C")
        return 130
    except BrokenPipeError:
        return 1  # the reader of our output is gone (`| head`)
    except (UserError, OSError, *mistakes) as error:
        warn(str(error))
        return 1
    return 0


def run(main: Callable[[], None], *mistakes: type[Exception]) -> None:
    """Call `main` and exit with its status; return if it succeeded."""
    # At its end Python searches TensorFlow for garbage, for half a second. Frozen
    # objects are not searched; everything else is a normal exit.
    atexit.register(gc.freeze)
    for name in ("stdout", "stderr"):
        _prepare(name)
    code = status(main, *mistakes)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # Drop what cannot be written, or Python tries again at its end, and
            # complains.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if code:
        sys.exit(code)


def _prepare(name: str) -> None:
    """Prepare sys.stdout or sys.stderr, so that printing neither waits nor fails."""
    if getattr(sys, name) is None:  # closed, as by >&-
        setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, for the whole run
    stream = getattr(sys, name)
    if hasattr(stream, "reconfigure"):  # a notebook's has not
        # Each line reaches a log at once; a letter that the encoding lacks is escaped.
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
