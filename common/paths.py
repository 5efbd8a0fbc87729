"""Where the project's folders are, and how paths are completed."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAVE_DIR = ROOT / "save_model"  # what train.py writes to unless told otherwise


def absolute(path: str | os.PathLike, base: Path) -> Path:
    """Return a path that may be relative to `base` as an absolute one."""
    return Path(os.path.abspath(base / path))
