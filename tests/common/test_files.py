"""files.py: file systems without flushing or locks; their errors raised by hand."""

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

from common import cli, files, paths


@pytest.fixture(autouse=True)
def nothing_said() -> Iterator[None]:
    """What is said once is said in each test."""
    files._said.clear()
    yield
    files._said.clear()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF])
def test_a_file_system_that_cannot_flush_is_named_once(
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def fsync(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "file").write_text("6")
    for path in (tmp_path / "file", tmp_path, tmp_path / "file"):
        files.flush(path)
    assert capsys.readouterr().err.count("cannot flush") == 1


def test_a_disk_that_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        files.flush(tmp_path)


def test_windows_opens_no_folder_and_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    original = os.open

    def refuse_folders(path: Path, flags: int) -> int:
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        assert flags & os.O_RDWR  # a handle for reading alone cannot be flushed
        return original(path, flags)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "open", refuse_folders)
    (tmp_path / "file").write_text("6")
    files.flush(tmp_path)
    files.flush(tmp_path / "file")
    assert capsys.readouterr().err == ""


def test_a_file_that_a_reader_holds_on_windows_is_replaced_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, refusals = os.replace, iter([True, True, False])

    def replace(source: Path, target: Path) -> None:
        if next(refusals):
            raise PermissionError(errno.EACCES, "used by another process")
        original(source, target)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(sys, "platform", "win32")
    (tmp_path / "new").write_text("6")
    files.move(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "6"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOLCK, "No locks available"),
        OSError(errno.EINVAL, "Invalid argument"),
        NotImplementedError("no flock"),
    ],
)
def test_a_file_system_without_locks_is_named_once(
    error: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    for _ in range(2):
        with files.locked(tmp_path / "lock") as held:
            assert held
    assert capsys.readouterr().err.count("has no locks") == 1


def test_a_folder_without_rights_is_an_error_and_no_lack_of_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with (
        pytest.raises(PermissionError, match="Permission denied"),
        files.locked(tmp_path / "lock"),
    ):
        pass


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / ("n" * 251 + ".txt")  # no longer name is possible
    files.write(path, b"old")
    original = Path.write_bytes

    def full_disk(self: Path, data: bytes) -> None:
        original(self, data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space"):
        files.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(30, "Read-only file system", "part"), "Read-only file system"),
        (MemoryError(), "MemoryError"),
        (ValueError("two\nlines"), "ValueError: two�lines"),
        (cli.UserError("no network"), "no network"),
    ],
)
def test_an_optional_file_costs_one_line(
    error: Exception, told: str, capsys: pytest.CaptureFixture
) -> None:
    with files.optional(Path("a", "page.png")):
        raise error
    path = Path("a", "page.png")
    assert capsys.readouterr().err.endswith(f": cannot write {path}: {told}\n")


def test_paths_to_print_are_short_where_they_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.shown(tmp_path / "new" / "a.png") == os.path.join("new", "a.png")
    assert paths.shown(tmp_path.parent / "a.png") == str(tmp_path.parent / "a.png")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the call")
def test_two_folders_exchange_their_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    assert files.exchange(tmp_path / "a", tmp_path / "b")
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*")}
    assert found == {"a/b", "b/a"}
    assert not files.exchange(tmp_path / "a", tmp_path / "none")
    assert (tmp_path / "a" / "b").exists()
