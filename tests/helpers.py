"""What tests of several modules share: tiny data sets, runs of train.py."""

import gzip
import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

import model
import train
from common import plots
from common.session import tf

TRAIN, TEST = 143, 67  # images of the tiny set: odd, so that no two sizes agree
SMALL = {"kernel_size": 3, "conv_1_filters": 5, "conv_2_filters": 7, "fc_units": 64}


def idx_bytes(array: np.ndarray) -> bytes:
    """Return an IDX file of unsigned bytes, packed by hand."""
    header = struct.pack(">HBB", 0, 8, array.ndim)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def separable(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy images on which each digit lights its own block, and the digits."""
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = rng.integers(0, 60, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 4)
        image[4 + 7 * row : 10 + 7 * row, 1 + 7 * column : 7 + 7 * column] += 190
    return images, labels


def write_set(folder: Path, train: int = TRAIN, seed: int = 0) -> Path:
    """Write a separable data set as gzip-compressed IDX files; return the folder."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", train), ("t10k", TEST)):
        images, labels = separable(count, rng)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            data = gzip.compress(idx_bytes(array), mtime=0)
            (folder / f"{prefix}-{kind}-ubyte.gz").write_bytes(data)
    return folder


def run_in_process(
    monkeypatch: pytest.MonkeyPatch,
    data_dir: Path,
    save_dir: Path,
    *flags: str,
    draw: bool = False,
    **constants: object,
) -> Path:
    """Run train.py's main with flags, edited constants and a small network.

    Its curves, a third of the time, are drawn only where asked for.
    """
    if not draw:
        monkeypatch.setattr(plots, "curves", lambda *_: None)
        monkeypatch.setattr(plots, "save", lambda *_: None)
    defaults = {"DATA_DIR": data_dir, "SAVE_DIR": save_dir, "THREADS": 1}
    defaults |= {"LENGTH": "6 steps", "BATCH_SIZE": 26, "VALIDATION_SIZE": 13}
    defaults |= {"MIN_EVAL_STEPS": 1}
    for name, value in (defaults | constants).items():
        monkeypatch.setattr(train, name, value)
    monkeypatch.setitem(model.ARCHITECTURES, "cnn", SMALL)
    monkeypatch.setattr(sys, "argv", ["train.py", *flags])
    train.main()
    return Path(train.SAVE_DIR)


def events(save_dir: Path, logs: str | None = None) -> list[tf.Event]:
    """Return what a run wrote for TensorBoard, equal for equal runs.

    Without the times of day and the graph's bytes, which differ from run to run.

    Args:
        save_dir: the folder of the run.
        logs: its folder in save_dir/logs/; None for that of the newest run.
    """
    logs = logs or json.loads((save_dir / "config.json").read_text())["logs"]
    path = save_dir / "logs" / logs / "train.tfevents"
    found = [tf.Event.FromString(e) for e in tf.io.tf_record_iterator(str(path))]
    for event in found:
        event.ClearField("wall_time")
        if event.graph_def:
            event.graph_def = b"a graph"
    return found


def fingerprint(save_dir: Path) -> dict[str, object]:
    """Return what tells two runs apart."""
    config = json.loads((save_dir / "config.json").read_text())
    reader = tf.train.load_checkpoint(str(save_dir / config["best"]))
    digest = hashlib.sha256()
    for name in sorted(reader.get_variable_to_shape_map()):
        digest.update(reader.get_tensor(name).tobytes())
    return {
        "weights": digest.hexdigest(),
        "history": (save_dir / "history.csv").read_text(),
        "test accuracy": config["test_accuracy"],
        "checkpoints": list(config["checkpoints"]),
    }
