"""plots.py and session.py among backends and streams that they did not choose."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib import pyplot

from common import plots
from common.paths import ROOT

# ------------------------------------------------------------------------ backends


def run(code: str, *path: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run code in a process that finds the project's modules, and those in `path`."""
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [*path, ROOT]))
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


SHOW = """
import os
from pathlib import Path
from common import plots
draw = lambda figure: figure.subplots().plot([1, 2])
print(plots.show_or_save(draw, Path("figure.png").resolve()))
print(os.environ["MPLBACKEND"])
"""


@pytest.mark.parametrize(
    "backend",
    [
        "nosuch",  # as a notebook's are where they are not installed
        "module://matplotlib_inline.backend_inline",  # set by a notebook's kernel
        "nbagg",  # %matplotlib notebook
        "TkAgg",  # without a display
    ],
)
def test_a_process_without_windows_writes_the_png_whatever_the_backend(
    backend: str, tmp_path: Path
) -> None:
    code = f"import os; os.chdir({str(tmp_path)!r})\n{SHOW}"
    done = run(code, MPLBACKEND=backend)
    assert done.stderr == ""
    assert done.stdout == f"figure.png\n{backend}\n"
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_backend_that_others_chose_is_kept() -> None:
    code = "import common.plots, matplotlib; print(matplotlib.get_backend().lower())"
    assert run(code, MPLBACKEND="svg").stdout == "svg\n"
    chosen = f"import matplotlib; matplotlib.use('pdf'); {code}"
    assert run(chosen, MPLBACKEND="svg").stdout == "pdf\n"


@pytest.mark.parametrize("error", [ImportError, RuntimeError])  # webagg's is the latter
def test_a_toolkit_that_is_missing_counts_as_no_display(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def figure(**_: object) -> None:
        raise error("no module named PyQt6")

    monkeypatch.setattr(plots.matplotlib, "get_backend", lambda: "QtAgg")
    monkeypatch.setattr(pyplot, "figure", figure)
    path = tmp_path / "figure.png"
    assert plots.show_or_save(lambda figure: figure.subplots(), path) == str(path)
    assert path.exists()


def test_ipython_without_a_notebook_shows_no_picture(tmp_path: Path) -> None:
    code = f"import os; os.chdir({str(tmp_path)!r}); from IPython import start_ipython"
    code += f"\nstart_ipython(['-c', {SHOW!r}])"
    done = run(code, IPYTHONDIR=str(tmp_path), MPLBACKEND="svg")
    assert done.stdout == "figure.png\nsvg\n"


def test_a_window_leaves_the_figures_of_others_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots.matplotlib, "get_backend", lambda: "TkAgg")
    shown = []
    monkeypatch.setattr(pyplot, "show", lambda: shown.extend(pyplot.get_fignums()))
    others = pyplot.figure().number
    try:
        path = tmp_path / "figure.png"
        assert plots.show_or_save(lambda figure: figure.subplots(), path) is None
        # Ours too: pyplot.show does not wait at IPython's prompt, where it stays.
        assert [others, others + 1] == shown == pyplot.get_fignums()
    finally:
        pyplot.close("all")
    assert not path.exists()


# ------------------------------------------------- stderr while TensorFlow is imported

# Stands for TensorFlow, whose import takes seconds.
FAKE = """
import os, signal, sys, threading
from types import SimpleNamespace

ConfigProto = None
logging = SimpleNamespace(set_verbosity=lambda level: None, ERROR=40)
os.environ.get("FAKE_INTERRUPT") and signal.raise_signal(signal.SIGINT)
NOISE = b"2026-01-01 00:00:00.0: I tensorflow/core/util/port.cc:153] oneDNN is on\\n"
try:
    os.write(2, NOISE)
    threads = [
        threading.Thread(target=lambda n=n: os.write(2, b"of thread %d\\n" % n))
        for n in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
except OSError:  # closed
    pass
if sys.stderr:
    print("of Python", file=sys.stderr)
"""


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """A folder with a module that is imported in TensorFlow's place."""
    package = tmp_path / "fake" / "tensorflow" / "compat"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "v1.py").write_text(FAKE)
    return package.parents[1]


def test_what_others_write_meanwhile_is_kept(fake: Path) -> None:
    done = run("import common.session", fake)
    lines = [*(f"of thread {n}" for n in range(5)), "of Python"]
    assert sorted(done.stderr.splitlines()) == sorted(lines)


def test_a_stream_in_the_place_of_stderr_gets_what_is_written_to_it(fake: Path) -> None:
    # As in a notebook; this one cannot even be flushed.
    code = "import sys; from types import SimpleNamespace\n"
    code += "sys.stderr = SimpleNamespace(write=sys.stdout.write)\n"
    code += "import common.session"
    done = run(code, fake)
    assert done.stdout == "of Python\n"
    assert len(done.stderr.splitlines()) == 5


@pytest.mark.parametrize("closed", ["2", "0, 2", "0, 1, 2"])
def test_stderr_may_be_closed(closed: str, fake: Path, tmp_path: Path) -> None:
    again = f"[os.close(n) for n in ({closed},)]; os.execv(sys.executable, [...])"
    code = "import common.session; open('done', 'w').close()"
    again = again.replace("...", f"sys.executable, '-c', {code!r}")
    done = run(f"import os, sys; os.chdir({str(tmp_path)!r}); {again}", fake)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "done").exists()


def test_stderr_may_be_closed_behind_a_stream_in_its_place(fake: Path) -> None:
    code = "import os, sys; sys.stderr = sys.stdout; os.close(2)\n"
    done = run(f"{code}import common.session", fake)
    assert (done.returncode, done.stdout) == (0, "of Python\n")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_stderr_may_be_on_a_full_disk(fake: Path) -> None:
    code = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 2)\n"
    assert run(f"{code}import common.session; print('6')", fake).stdout == "6\n"


def test_no_folder_needs_to_be_writable(fake: Path) -> None:
    code = "import tempfile; tempfile._candidate_tempdir_list = list\n"
    done = run(f"{code}import common.session; print('6')", fake)
    assert (done.returncode, done.stdout) == (0, "6\n")


def test_ctrl_c_stops_a_script_without_a_traceback_and_a_prompt_not_at_all(
    fake: Path,
) -> None:
    code = "import common.session"
    done = run(code, fake, FAKE_INTERRUPT="1")
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "")
    prompt = f"import sys; sys.ps1 = '>>> '\ntry:\n    {code}\n"
    prompt += "except KeyboardInterrupt:\n    print('goes on')"
    assert run(prompt, fake, FAKE_INTERRUPT="1").stdout == "goes on\n"


def test_importing_again_changes_nothing(fake: Path) -> None:
    code = "import importlib, common.session as session, common.plots as plots\n"
    code += "import matplotlib; before = session.tf, matplotlib.get_backend()\n"
    code += "importlib.reload(session), importlib.reload(plots)\n"
    code += "print(before == (session.tf, matplotlib.get_backend()))"
    assert run(code, fake, MPLBACKEND="nosuch").stdout == "True\n"
