"""How a script is run, and what is told when it stops."""

import sys
from pathlib import Path

import pytest

from common.cli import UserError
from tensorflow_1 import running


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a script may be; what running one changes is restored."""
    monkeypatch.setattr(sys, "argv", ["tf1.py"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    return tmp_path / "their.py"


def run(script: Path, text: str, *arguments: str) -> int:
    """Write a script and run it in this process."""
    script.write_text(text, encoding="utf-8")
    code = running.compiled(script)
    return running.run(code, script, arguments, {"cv2": "opencv-python-headless"})


def test_a_script_is_the_main_module(
    script: Path, capsys: pytest.CaptureFixture
) -> None:
    text = "import sys\nif __name__ == '__main__': print(sys.argv[1:], sys.path[0])"
    assert run(script, text, "--steps", "3") == 0
    assert capsys.readouterr().out == f"['--steps', '3'] {script.parent}\n"
    with pytest.raises(SystemExit, match="7"):
        run(script, "exit(7)")


def test_a_traceback_is_the_scripts_own(
    script: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run(script, "def f():\n    return 1 / 0\nf()\n") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "Traceback (most recent call last):",
        f'  File "{script}", line 3, in <module>',
    ]
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert run(script, "raise KeyboardInterrupt") == 130


@pytest.mark.parametrize(
    ("line", "mark"),
    [
        ("print 'x'", "print or exec without brackets"),
        ("try: pass\nexcept ValueError, e: pass", "except X, e"),
        ("for i in xrange(3): pass", "xrange"),
        ("raw_input()", "raw_input"),
        ("import cPickle", "cPickle"),
        ("import urllib2", "urllib2"),
        ("{}.iteritems()", "iteritems"),
        ("import urllib; urllib.urlretrieve('x')", "urlretrieve"),
    ],
)
def test_python_2_is_told_with_its_line(script: Path, line: str, mark: str) -> None:
    with pytest.raises(UserError) as error:
        run(script, f"x = 1\n{line}\n")
    text = str(error.value)
    assert text.startswith(("their.py line 2 is", "their.py line 3 is"))
    assert f"Python 2 ({mark}): translate it with `pip install fissix`" in text


def test_python_2_in_a_module_beside_is_told_too(script: Path) -> None:
    (script.parent / "beside_theirs.py").write_text("\nprint 1\n")
    with pytest.raises(UserError, match=r"beside_theirs.py line 2 is Python 2"):
        run(script, "import beside_theirs")


@pytest.mark.parametrize(
    "line", ["undefined", "[].no_such", "import no_such_module", "f'{'"]
)
def test_other_errors_are_not_called_python_2(
    script: Path, line: str, capsys: pytest.CaptureFixture
) -> None:
    if line == "f'{'":
        with pytest.raises(UserError, match="is no Python script"):
            run(script, line)
    else:
        assert run(script, line) == 1
        assert "Traceback" in capsys.readouterr().err


def test_a_missing_package_is_named(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"their.py line 1 imports cv2, .*: pip inst"):
        run(script, "import cv2")


def test_a_script_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        running.compiled(tmp_path / "none.py")
    (tmp_path / "null.py").write_bytes(b"x = 1\0")
    with pytest.raises(UserError, match="is no Python script"):
        running.compiled(tmp_path / "null.py")
