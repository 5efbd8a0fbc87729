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
