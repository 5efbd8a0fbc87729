"""plots.save: whole figures, none of which costs an answer or another figure."""

import errno
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers import run_in_process
from matplotlib.figure import Figure
from PIL import Image

from common import plots
from saving import checkpoints


def figure() -> Figure:
    return Figure(figsize=(1, 1))


def broken() -> Figure:
    raise KeyError("font")


def blocked(folder: Path) -> Path:
    """Return a path at which no file can be written."""
    path = folder / "page.png"
    path.mkdir()
    return path


def below_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "page.png"


@pytest.mark.parametrize(
    ("draw", "place", "told"),
    [
        (figure, blocked, "Is a directory"),
        (figure, below_a_file, "File exists"),
        (figure, lambda folder: folder / ("n" * 300), "File name too long"),
        (broken, lambda folder: folder / "page.png", "KeyError: 'font'"),
        (lambda: Figure(figsize=(1e6, 1)), lambda folder: folder / "page.png", "Image"),
    ],
    ids=["a folder", "below a file", "long name", "drawing fails", "too large"],
)
def test_a_figure_that_cannot_be_written_costs_one_line(
    draw: Callable[[], Figure],
    place: Callable[[Path], Path],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    path = place(tmp_path)
    before = set(tmp_path.iterdir())
    assert plots.save(draw, path) is None
    err = capsys.readouterr().err
    assert f"cannot write {path}: " in err
    assert told in err
    assert err.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


def test_figures_of_several_sources_do_not_replace_each_other(tmp_path: Path) -> None:
    path = tmp_path / "4-read.png"
    first, second = tmp_path / "4-read.png", tmp_path / "4-read-2.png"
    for _ in range(2):
        assert plots.save(figure(), path, "file:///a/4.png") == str(first)
        assert plots.save(figure(), path, "file:///b/4.png") == str(second)
    assert sorted(tmp_path.iterdir()) == sorted([first, second])


def test_each_figure_of_one_name_is_opened_once_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    original = plots._source
    monkeypatch.setattr(plots, "_source", lambda p: opened.append(p) or original(p))
    image = Image.new("L", (9, 9))
    for folder in ("a", "b"):
        for number in range(30):
            source = f"file:///{folder}/{number}/4.png"
            assert plots.save(image, tmp_path / "4-read.png", source)
        plots._sources.cache_clear()  # as in another process
    assert len(list(tmp_path.iterdir())) == 60
    assert sorted(opened) == sorted(set(opened))
    assert len(opened) == 30


def test_what_a_user_puts_in_place_of_a_figure_stays(tmp_path: Path) -> None:
    path, source = tmp_path / "4-read.png", "file:///4.png"
    assert plots.save(figure(), path, source) == str(path)
    path.write_text("my notes")
    assert plots.save(figure(), path, source) == str(tmp_path / "4-read-2.png")
    assert path.read_text() == "my notes"


def test_a_name_that_could_not_be_written_stays_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "4-read.png"
    with monkeypatch.context() as full_disk:
        full_disk.setattr(plots.files, "write", full)
        assert plots.save(figure(), path, "file:///a/4.png") is None
    assert plots.save(figure(), path, "file:///b/4.png") == str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links")
def test_what_a_user_put_there_stays(tmp_path: Path) -> None:
    Image.new("L", (9, 9)).save(tmp_path / "4-read.png")
    (tmp_path / "4-read-2.png").write_text("my notes")
    (tmp_path / "4-read-3.png").mkdir()
    os.mkfifo(tmp_path / "4-read-4.png")
    os.symlink("nowhere", tmp_path / "4-read-5.png")
    before = set(tmp_path.iterdir())
    for _ in range(2):
        written = plots.save(figure(), tmp_path / "4-read.png", "file:///4.png")
        assert written == str(tmp_path / "4-read-6.png")
    assert set(tmp_path.iterdir()) - before == {Path(written)}
    assert (tmp_path / "4-read-2.png").read_text() == "my notes"


def test_figures_can_be_written_to_one_path_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    path = tmp_path / "prediction.png"
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda _: plots.save(figure(), path), range(40)))
    assert written == [str(path)] * 40
    assert capfd.readouterr().err == ""
    assert list(tmp_path.iterdir()) == [path]
    with Image.open(path) as png:
        png.load()


def test_curves_that_cannot_be_drawn_do_not_fail_a_run(
    tiny_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(plots, "curves", lambda *_: broken())
    save_dir = run_in_process(monkeypatch, tiny_dir, tmp_path / "save", draw=True)
    out, err = capsys.readouterr()
    assert "test accuracy" in out
    assert f"cannot write {save_dir / 'curves.png'}: KeyError: 'font'\n" in err
    assert checkpoints.read_config(save_dir).finished
