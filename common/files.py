"""Files that survive a power failure, on the file systems that people have.

Windows opens no folder, and flushes no handle that is open for reading alone. Some
network shares flush nothing, or have no locks. What is not possible is reported once.
"""

import contextlib
import ctypes
import errno
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

from common import cli

# What a file system answers that has no such operation. A failing disk answers others.
UNSUPPORTED = {
    errno.EACCES,  # Windows, for a folder
    errno.EPERM,
    errno.EBADF,  # Windows, for a handle that is open for reading
    errno.EISDIR,
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOLCK,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
}
RENAME_SECONDS = 2.0  # a reader may hold a file on Windows; after this it is an error
_said: set[str] = set()


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        cli.warn(text)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk.

    Raises:
        OSError: the disk is full or fails.
    """
    try:
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        # Windows writes the names in a folder by itself.
        if not (sys.platform == "win32" and path.is_dir()):
            folder = path if path.is_dir() else path.parent
            _say_once(
                f"the file system of {folder} cannot flush ({error.strerror}): a power "
                "failure may cost the newest checkpoints"
            )


def move(source: Path, target: Path) -> None:
    """Rename a file, replacing `target` atomically."""
    deadline = time.monotonic() + RENAME_SECONDS
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def exchange(first: Path, second: Path) -> bool:
    """Exchange the names of two folders atomically; return False if that failed.

    Linux has a call for it, renameat2, which not every file system supports.
    """
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    current_folder, exchanged = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    names = (current_folder, os.fsencode(first), current_folder, os.fsencode(second))
    return renameat2 is not None and renameat2(*names, exchanged) == 0


@contextlib.contextmanager
def optional(path: Path) -> Iterator[None]:
    """Say in one line why a file could not be made or written; no answer needs it."""
    try:
        yield
    except Exception as error:  # matplotlib raises anything
        cli.warn(f"cannot write {path}: {cli.reason(error)}")


def write(path: Path, data: bytes) -> None:
    """Write a file, never a part of it; create its folder.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another process may be writing the same file.
    part = path.with_name(f".{os.urandom(8).hex()}.part")
    try:
        part.write_bytes(data)
        move(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock file, whose lock the system releases when this process ends.

    Yields:
        Whether it is held; False if another process holds it.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        yield False
        return
    except (OSError, NotImplementedError) as error:
        # A folder that may not be written to has locks for others.
        refused = {errno.EACCES, errno.EPERM, errno.EISDIR}
        if isinstance(error, OSError) and error.errno not in UNSUPPORTED - refused:
            raise
        _say_once(
            f"the file system of {path.parent} has no locks: do not train in it with "
            "two processes at once"
        )
        yield True
        return
    with lock:
        yield True


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
