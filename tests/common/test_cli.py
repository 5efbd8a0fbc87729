"""cli.py: errors, signals, streams and exit statuses on the command line."""

import gc
import os
import signal
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common import cli
from common.paths import ROOT


@pytest.fixture(autouse=True)
def environment_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes buffer their output, as they do unless told otherwise."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


def run(code: str, *arguments: str, redirect: str = "") -> subprocess.CompletedProcess:
    """Run code in the project's folder, in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    if redirect:
        command = ["sh", "-c", f'exec "$@" {redirect}', "sh", *command]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_behind_the_output_gets_one_line() -> None:
    code = "from common import cli; cli.run(lambda: print('6'))"
    done = run(code, redirect=">/dev/full")
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


def test_a_killed_process_has_logged_each_line(tmp_path: Path) -> None:
    code = "import time; from common import cli\n"
    code += "cli.run(lambda: (print('epoch 1'), cli.warn('go'), time.sleep(60)))"
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdout=log, stderr=subprocess.PIPE
        )
    assert process.stderr.readline() == b"-c: go\n"
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    assert (tmp_path / "log").read_text() == "epoch 1\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk", "utf-8"])
def test_letters_that_an_encoding_lacks_are_escaped(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    text = "caf\\xe9 \\u624b\\U0001f600"
    code = "from common import cli\n"
    code += f"cli.run(lambda: (print('{text}'), cli.warn('{text}'), print('7')))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    text = text.encode().decode("unicode_escape")
    expected = text.encode(encoding, "backslashreplace").decode(encoding)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding).split(os.linesep) == [expected, "7", ""]
    assert done.stderr.decode(encoding) == f"-c: {expected}{os.linesep}"


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize(
    ("redirect", "out"),
    [(">&-", ""), ("2>&-", "6\n7\n"), (">&- 2>&-", ""), ("2>/dev/full", "6\n7\n")],
)
def test_a_stream_that_takes_nothing_stops_nothing(redirect: str, out: str) -> None:
    code = "import sys; from common import cli\n"
    code += "def main():\n"
    code += "    print('6')\n"
    code += "    cli.warn('unsure')\n"
    code += "    print('7', file=sys.stdout or sys.exit(5))\n"
    code += "    sys.exit(3)\n"
    code += "cli.run(main)"
    done = run(code, redirect=redirect)
    assert (done.returncode, done.stdout) == (3, out)
    assert "Traceback" not in done.stderr


def test_the_streams_of_a_notebook_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Cell:
        """All that print needs of a stream."""

        text = ""

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None:
            pass

    out, err = Cell(), Cell()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    cli.run(lambda: (print("6"), cli.warn("unsure")))  # and no SystemExit
    assert (sys.stdout, sys.stderr) == (out, err)
    assert (out.text, err.text.partition(": ")[2]) == ("6\n", "unsure\n")
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(
    ("doc", "shown"), [("Six.\n\n    more\n", "Six."), (None, "usage")]
)
def test_help_shows_the_first_line_of_a_docstring_if_there_is_one(
    doc: str | None, shown: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):  # -OO deletes docstrings
        cli.ArgumentParser(description=doc).parse_args(["--help"])
    printed = capsys.readouterr().out
    assert shown in printed
    assert "more" not in printed


def test_a_warning_is_one_line_whatever_it_names(
    capsys: pytest.CaptureFixture,
) -> None:
    cli.warn("a\nb\x1b[31m\r\u2028\u202e.png: no picture")
    assert capsys.readouterr().err.endswith(": a�b�[31m���.png: no picture\n")


@pytest.mark.parametrize("script", ["train.py", "input_data.py"])
def test_scripts_run_without_their_docstrings(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-OO", script, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "remove_undocumented" in done.stderr:
        pytest.skip("this TensorFlow needs docstrings itself")
    assert done.returncode == 0, done.stderr
    assert "--data_dir" in done.stdout


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with cli.noted_signals() as noted:
            os.kill(os.getpid(), signal.SIGINT)
        assert noted == []
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_signals_are_not_asked_for_outside_the_main_thread() -> None:
    with ThreadPoolExecutor() as pool:
        noted = pool.submit(lambda: cli.noted_signals().__enter__()).result()
    assert noted == []


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
