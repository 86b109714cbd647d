"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from system.console import warn
from system.errors import OneLineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path

NAME_LETTERS = 40  # of a file's name in that of the new file; a name has at most 255 bytes
# What a file system answers that cannot flush; what is written there is as safe as it can be.
CANNOT_FLUSH = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


@contextmanager
def replacing(path: Path, suffix: str = "") -> Iterator[Path]:
    """Yields the path of a file to write, which replaces `path` when it is whole.

    The new file lies beside the old one, is flushed to the disk and then renamed to the old name.
    The folder is flushed as well, so that a power cut does not undo the renaming. Where writing
    fails, the new file is removed and the old one stays as it was.

    Args:
        path: the file to write or to replace.
        suffix: the end of the new file's name, for writers that choose by it.

    Raises:
        OSError: the file cannot be written.
    """
    new = path.with_name(f".{path.name[:NAME_LETTERS]}.{os.getpid()}{suffix}")
    try:
        yield new
        # Windows flushes only what is open for writing.
        with new.open("r+b") as written:
            flush(written.fileno())
        new.replace(path)
    except OSError as error:
        # A failed write names no file, and the new file's name would tell users nothing.
        if error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # it is there only where writing failed
            new.unlink()
    flush_folder(path.parent)


def check_folder(folder: Path, flag: str) -> None:
    """Makes a folder where it is missing, and checks that files can be written in it.

    Args:
        folder: the folder.
        flag: the flag that gave it, for the error.

    Raises:
        OSError: no file can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            error.errno, f"{flag} is no folder to write in ({error.strerror})", str(folder)
        ) from error


def flush(descriptor: int) -> None:
    """Flushes an open file to the disk, on file systems that can do that.

    Raises:
        OSError: what was written may be lost.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_FLUSH:
            raise


def flush_folder(folder: Path) -> None:
    """Flushes the names of a folder's files to the disk, on systems that can do that."""
    # Windows cannot open a folder, and some file systems cannot flush one; the files are whole.
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


class LockedError(OneLineError):
    """Another process holds a lock, said in one line."""


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Holds a lock, which also ends when this process is killed.

    File systems without locks hold nothing, which is said; nor does Windows.

    Args:
        path: the lock's file, with the number of this process in it. It is there while the lock is
            held, and stays only where its holder was killed.
        what: what the lock protects, for the error of a second process.

    Raises:
        LockedError: another process holds it.
        OSError: the file cannot be made.
    """
    with _open_locked(path, what) as file:
        # A run can train on a full disk.
        with suppress(OSError):
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file
                path.unlink()


def _open_locked(path: Path, what: str) -> FileIO:
    """Returns the file of a lock, which is held until the file is closed.

    Raises:
        LockedError: another process holds it.
        OSError: the file cannot be made.
    """
    while True:
        file = path.open("a+b", buffering=0)
        if not _try_lock(file):
            file.seek(0)
            holder = file.read().decode(errors="replace").strip() or "of unknown number"
            file.close()
            raise LockedError(
                f"{what} is being trained by process {holder}: wait for it, stop it, or give "
                "another --out"
            )
        # The last holder may have removed the file after it was opened here.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _try_lock(file: FileIO) -> bool:
    """Locks a file until it is closed; returns False where another process holds the lock."""
    try:
        import fcntl
    except ImportError:  # on Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        warn(
            f"{file.name} cannot be locked on this file system ({error.strerror}): see to it that "
            "no other run writes the same files"
        )
    return True
