"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from system.errors import OneLineError


@contextmanager
def replacing(path: Path, suffix: str = "") -> Iterator[Path]:
    """Gives the path of a file to write, which takes the place of `path` once it is whole.

    The new file lies beside the old one, is flushed to the disk and then renamed over it; so that
    a power cut does not take the new name back, the folder is flushed, too. Where the writing
    fails, the new file is removed, and the old one stays as it was.

    Args:
        path: the file to write or to replace.
        suffix: how the name of the new file must end, for writers that look at it.

    Raises:
        OSError: the file cannot be written; whatever the body raises passes through.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}{suffix}")
    try:
        yield new
        with new.open("rb") as written:
            os.fsync(written.fileno())
        new.replace(path)
    except OSError as error:
        # A write that fails does not say where, and the name of the new file says nothing to users.
        if error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # mostly, as it is there no more
            new.unlink()
    flush_folder(path.parent)


def check_folder(folder: Path, flag: str) -> None:
    """Makes a folder if need be.

    Args:
        folder: to write in.
        flag: what names it on the command line.

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


def flush_folder(folder: Path) -> None:
    """Has the disk take in the names of a folder's files, on systems that can be asked to."""
    # Windows opens no folder, and some file systems flush none; the file is whole all the same.
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
    """Holds a lock that ends with this process, however that ends.

    On systems without such locks, and on file systems that know none, nothing is held.

    Args:
        path: the file of the lock, there only while it is held or after its holder was killed. It
            holds the number of the process.
        what: what the lock is for, to be told to those that find it held.

    Raises:
        LockedError: another process holds it.
        OSError: the file cannot be made.
    """
    with _open_locked(path, what) as file:
        # A full disk is no reason not to train.
        with suppress(OSError):
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file
                path.unlink()


def _open_locked(path: Path, what: str) -> FileIO:
    """Returns the file of a lock that is held until it is closed; raises what `locked` does."""
    while True:
        file = path.open("a+b", buffering=0)
        if not _try_lock(file.fileno()):
            file.seek(0)
            holder = file.read().decode(errors="replace").strip() or "of unknown number"
            file.close()
            raise LockedError(
                f"{what} is being trained by process {holder}: wait for it, stop it, or give "
                "another --out"
            )
        # Its last holder may have removed it after it was opened here.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _try_lock(descriptor: int) -> bool:
    """Locks a file until it is closed; returns whether nobody else holds it, as far as is known."""
    try:
        import fcntl
    except ImportError:  # on Windows
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems know no locks
        return True
    return True
