"""cli.py: errors, signals and exit statuses on the command line."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from common.paths import ROOT


def run(code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run code in the project's folder, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_behind_the_output_gets_one_line() -> None:
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


@pytest.mark.parametrize(
    ("stop", "status", "error"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('nothing to do')", 1, "nothing to do\n"),
        ("cli.UserError('no')", 0, ""),
        ("raise_(cli.UserError('no'))", 1, "-c: no\n"),
        ("raise_(KeyboardInterrupt())", 130, "\n-c: stopped by Ctrl-C\n"),
    ],
)
def test_every_way_to_stop_has_its_status(stop: str, status: int, error: str) -> None:
    code = "import sys; from common import cli\n"
    code += "def raise_(error): raise error\n"
    code += f"cli.run(lambda: {stop})"
    done = run(code)
    assert (done.returncode, done.stderr, done.stdout) == (status, error, "")


def test_a_reader_that_leaves_gets_no_traceback() -> None:
    code = "from common import cli; cli.run(lambda: print('6' * 10**6))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


WRITER = """
import sys, time
from common import cli
from common.session import tf

def main():
    global writer
    with tf.Graph().as_default():
        writer = tf.summary.FileWriter(sys.argv[1])
        for step in (1, 2):
            value = tf.Summary.Value(tag="loss", simple_value=0.5)
            writer.add_summary(tf.Summary(value=[value]), step)
            time.sleep(0.5)  # its thread hands the event on, TensorFlow holds it

cli.run(main)
"""


def test_events_that_an_open_writer_holds_are_written_at_exit(tmp_path: Path) -> None:
    done = run(WRITER, str(tmp_path))
    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.iterdir()
    assert records(written.read_bytes()) == 3  # the version of the file, two steps


def records(data: bytes) -> int:
    """Return how many records a TFRecord file has: length, CRC, content, CRC each."""
    count = 0
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        data = data[8 + 4 + size + 4 :]
        count += 1
    return count
