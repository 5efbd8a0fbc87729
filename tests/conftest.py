"""Data sets that the tests make, real MNIST where it is found, scripts as processes."""

import gzip
import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mnist_files

ROOT = Path(__file__).resolve().parent.parent
TRAIN, TEST = 143, 67  # images of the tiny set: odd, so that no two sizes agree

os.environ.pop("DISPLAY", None)  # no test opens a window


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


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny separable data set."""
    return write_set(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_is_mnist(tiny_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny set, whose sizes and checksums count as those of MNIST."""
    files = {}
    for name, idx in mnist_files.FILES.items():
        payload = gzip.decompress((tiny_dir / f"{name}.gz").read_bytes())
        sha256 = hashlib.sha256(payload).hexdigest()
        files[name] = mnist_files.Idx(idx.magic, len(payload), sha256)
    monkeypatch.setattr(mnist_files, "FILES", files)
    return tiny_dir


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the real MNIST files."""
    for folder in (ROOT / "data", ROOT.parent / "shared" / "mnist"):
        if (folder / "train-images-idx3-ubyte.gz").exists():
            return folder
    pytest.skip("real MNIST is neither in data/ nor in ../shared/mnist")


@pytest.fixture(scope="session")
def run_script() -> Callable[..., subprocess.CompletedProcess]:
    """Run a script of the project as a user does; gives its status and streams."""

    def run(
        script: str, *flags: object, cwd: Path = ROOT, root: Path = ROOT
    ) -> subprocess.CompletedProcess:
        command = [sys.executable, str(root / script), *map(str, flags)]
        return subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
        )

    return run
