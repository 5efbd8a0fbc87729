"""Where the project's folders are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAVE_DIR = ROOT / "save_model"  # what train.py writes to unless told otherwise
