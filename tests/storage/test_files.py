"""What a file that is replaced promises."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.files import LockedError, locked, replacing
from system.root import ROOT


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_file_appears_only_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    with replacing(path) as new:
        new.write_text("half")
        assert not path.exists()
        new.write_text("whole")
    assert path.read_text() == "whole"


def test_old_content_stays_readable_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("old")
    with replacing(path) as new, path.open() as reader:
        new.write_text("new")
        assert path.read_text() == "old"
        assert reader.read() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_failed_writing_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "log.txt"
    path.write_text("old")
    with pytest.raises(error, match="stop"), replacing(path) as new:
        new.write_text("half")
        raise error("stop")
    assert path.read_text() == "old"
    assert names(tmp_path) == {"log.txt"}


def test_failed_writing_of_a_new_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), replacing(tmp_path / "log.txt") as new:
        new.write_text("half")
        raise ValueError("stop")
    assert names(tmp_path) == set()


def test_failure_before_anything_is_written_passes_through(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), replacing(tmp_path / "log.txt"):
        raise ValueError("stop")
    assert names(tmp_path) == set()


def test_body_that_writes_nothing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("old")
    with pytest.raises(OSError), replacing(path):
        pass
    assert path.read_text() == "old"
    assert names(tmp_path) == {"log.txt"}


def test_folder_in_the_way_is_an_os_error_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.mkdir()
    with pytest.raises(OSError), replacing(path) as new:
        new.write_text("new")
    assert path.is_dir()
    assert names(tmp_path) == {"log.txt"}


def test_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError), replacing(tmp_path / "missing" / "log.txt") as new:
        new.write_text("new")


def test_new_file_lies_beside_the_old_and_ends_as_asked(tmp_path: Path) -> None:
    with replacing(tmp_path / "weights.h5", suffix=".weights.h5") as new:
        assert new.parent == tmp_path
        assert new.name.endswith(".weights.h5")
        new.write_text("new")
    assert names(tmp_path) == {"weights.h5"}


def test_folder_is_flushed_once_the_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.txt"
    path.write_text("old")
    flushed = []

    def fsync(opened: int) -> None:
        flushed.append((os.fstat(opened).st_ino, path.read_text()))
        # Windows flushes nothing that is open for reading alone; folders it does not even open.
        is_folder = stat.S_ISDIR(os.fstat(opened).st_mode)
        assert is_folder or fcntl.fcntl(opened, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR

    monkeypatch.setattr(os, "fsync", fsync)
    with replacing(path) as new:
        new.write_text("new")
    assert flushed == [(path.stat().st_ino, "old"), (tmp_path.stat().st_ino, "new")]


@pytest.mark.parametrize("refused", ["open", "fsync"])
def test_folder_that_cannot_be_flushed_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    path = tmp_path / "log.txt"
    with replacing(path) as new:
        new.write_text("new")
        # What follows the flushing of the file itself, which Path.open and a real fsync serve.
        fsync = os.fsync

        def refuse(what: Path | int, *flags: int) -> None:
            if isinstance(what, int) and not stat.S_ISDIR(os.fstat(what).st_mode):
                return fsync(what)
            raise PermissionError(what)

        monkeypatch.setattr(os, refused, refuse)
    assert path.read_text() == "new"
    assert names(tmp_path) == {"log.txt"}


@pytest.mark.parametrize("refusal", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_that_cannot_flush_a_file_has_it_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    monkeypatch.setattr(os, "fsync", failing(refusal))
    with replacing(tmp_path / "log.txt") as new:
        new.write_text("new")
    assert (tmp_path / "log.txt").read_text() == "new"


@pytest.mark.parametrize("failure", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_what_may_be_lost_takes_no_file_s_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: int
) -> None:
    (tmp_path / "log.txt").write_text("old")
    monkeypatch.setattr(os, "fsync", failing(failure))
    with pytest.raises(OSError), replacing(tmp_path / "log.txt") as new:
        new.write_text("new")
    assert (tmp_path / "log.txt").read_text() == "old"
    assert names(tmp_path) == {"log.txt"}


def failing(number: int) -> Callable[[int], None]:
    """Returns a function in place of `os.fsync` that fails with an error number."""

    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    return fsync


@pytest.mark.parametrize("letter", ["a", "ä", "字", "🎮"])
def test_a_name_may_be_as_long_as_a_file_system_takes(tmp_path: Path, letter: str) -> None:
    name = letter * (255 // len(letter.encode()))
    with replacing(tmp_path / name, suffix=".weights.h5") as new:
        new.write_text("new")
    assert names(tmp_path) == {name}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_permissions_are_those_of_an_ordinary_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "log.txt") as new:
            new.write_text("new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "log.txt").stat().st_mode) == 0o666 & ~umask


def test_a_reader_never_sees_half_a_file_however_often_it_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    for content in ("a" * 100_000, "b", "c" * 50_000):
        with replacing(path) as new:
            new.write_text(content)
        assert path.read_text() == content
    assert names(tmp_path) == {"log.txt"}


def test_a_lock_is_held_by_one_and_names_its_process(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with (
        locked(lock, "Pong-v0 in ."),
        pytest.raises(LockedError, match=f"Pong-v0 in . is being .* by process {os.getpid()}: "),
        locked(lock, "Pong-v0 in ."),
    ):
        pass
    assert not lock.exists()
    with locked(lock, "Pong-v0 in ."):
        assert lock.read_text() == f"{os.getpid()}\n"


HOLDER = """
import sys
from pathlib import Path
from storage.files import locked
with locked(Path(sys.argv[1]), "this"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_dead_process_holds_no_lock(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    with pytest.raises(LockedError, match=f"process {process.pid}: "), locked(lock, "that"):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert lock.exists()
    with locked(lock, "that"):
        assert lock.read_text() == f"{os.getpid()}\n"
    assert not lock.exists()


def test_a_lock_that_its_holder_removed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with locked(lock, "this"):
        lock.unlink()
        with locked(lock, "that"):
            assert lock.exists()
