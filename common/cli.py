"""What every script's command line shares: one-line errors and exit statuses.

Exit status: 0 done, 1 the user has something to mend, 2 a bad flag, 130 Ctrl-C,
143 SIGTERM.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

STOPPING = (signal.SIGINT, signal.SIGTERM)


class UserError(Exception):
    """A mistake its user can mend; its text says what, where and how."""


class ArgumentParser(argparse.ArgumentParser):
    """An argparse parser that reports a bad flag in one line."""

    def error(self, message: str) -> NoReturn:
        """Print `message` on stderr and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")


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


def script_name() -> str:
    """Return the name of the script that runs, as errors begin with it."""
    return os.path.basename(sys.argv[0])


def warn(text: str) -> None:
    """Print a line on stderr that begins with the script's name."""
    print(f"{script_name()}: {text}", file=sys.stderr)


def status(main: Callable[[], None], *mistakes: type[Exception]) -> int:
    """Call `main`; return the exit status.

    UserError, OSError and `mistakes` are told in one line.
    """
    try:
        main()
        sys.stdout.flush()
    except SystemExit as stop:
        return stop.code
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


def run(main: Callable[[], None], *mistakes: type[Exception]) -> NoReturn:
    """Call `main` and exit with its status at once."""
    code = status(main, *mistakes)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    # Everything is written. Python would spend a second on taking TensorFlow apart.
    os._exit(code)
