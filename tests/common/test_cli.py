"""cli.py: what is left of an error on the command line."""

import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_behind_the_output_is_told_in_one_line() -> None:
    code = "from common import cli; cli.run(lambda: print('6'))"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "-c: [Errno 28] No space left on device\n"
