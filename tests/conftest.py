"""Fixtures: a tiny data set, real MNIST where it is found, scripts as processes."""

import gzip
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import write_set

import mnist_files
from common.paths import ROOT

os.environ.pop("DISPLAY", None)  # no test opens a window
# No test finds what this machine's user has: a copy of MNIST, a mirror, a proxy.
os.environ["KERAS_HOME"] = os.devnull
for name in (
    "TF_CONFIG",
    "MNIST_MIRROR",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
):
    os.environ.pop(name, None)
# A shell lets what it starts in the background ignore Ctrl-C; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
