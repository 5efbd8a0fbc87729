"""Where the project's folders are, and how paths are completed."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA_DIR = ROOT / "data"  # where MNIST is looked for unless told otherwise
SAVE_DIR = ROOT / "save_model"  # what train.py writes to unless told otherwise


def absolute(path: str | os.PathLike, base: Path) -> Path:
    """Return a path as an absolute one: ``~`` is the home folder, else from `base`."""
    return Path(os.path.abspath(base / os.path.expanduser(path)))


def shown(path: Path) -> str:
    """Return a path to print: relative within the current folder, else absolute."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):  # it is elsewhere; there is no such folder any more
        return str(path)


def from_here(path: str) -> Path:
    """Return a path of the command line as an absolute one; a type for argparse."""
    return absolute(path, Path.cwd())
