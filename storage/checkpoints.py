"""The whole state of a run as folders, written in the background and read back.

    Pong-v0_checkpoint/
        000007/run        settings, counters, random generators, networks, optimiser, games
        000007/memory     the replay memory, unless it is left out
        000008/...        the newest
        .000009.4711/     being written by process 4711, or left by one that was killed

Each is written under a hidden name, flushed, checked and then renamed, so that a folder with a
number is whole. Both files are in the format of `storage/arrays.py`, with checksums.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storage.arrays import ArrayFile, ArrayFileError, save
from storage.files import flush_folder
from storage.loans import end_loans
from storage.state import State
from system.errors import OneLineError

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 4  # of what the files hold
# The oldest that can be read. Version 2 has no spread of Q and no dead ReLUs; settings of version 3
# have other names.
OLDEST_VERSION = 2
RUN_KIND, MEMORY_KIND = "run", "replay memory"


class CheckpointError(OneLineError):
    """No checkpoint can be used, said in one line."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole.

    Attributes:
        path: its folder.
        attributes: those of the run's state.
    """

    path: Path
    attributes: dict[str, Any]

    @property
    def version(self) -> int:
        """The version of the format."""
        return self.attributes["version"]

    @property
    def memory_path(self) -> Path | None:
        """The file of the replay memory, or None where it was left out."""
        return self.path / "memory" if self.attributes["memory saved"] else None

    def read(self) -> State:
        """Returns the state of the run, without the replay memory.

        Raises:
            ArrayFileError: the file has been damaged or removed since it was found.
            OSError: it cannot be read.
        """
        with ArrayFile(self.path / "run", RUN_KIND) as file:
            return State(file.attributes, {name: file.read(name) for name in file.names})


def newest(folder: Path, with_memory: bool = True) -> tuple[Checkpoint | None, list[str]]:
    """Returns the newest checkpoint in a folder that is whole, and what is wrong with newer ones.

    Args:
        folder: that of a run's checkpoints; it may be missing.
        with_memory: whether the replay memory has to be whole as well.

    Returns:
        None where there is no checkpoint; and a line on each that cannot be used, the newest first.

    Raises:
        CheckpointError: there are checkpoints, and none is whole.
    """
    problems: list[str] = []
    for path in reversed(_numbered(folder)):
        try:
            with ArrayFile(path / "run", RUN_KIND) as file:
                checkpoint = Checkpoint(path, file.attributes)
            if not OLDEST_VERSION <= checkpoint.version <= VERSION:
                raise ArrayFileError(
                    f"{path} is of format version {checkpoint.version}, and only versions "
                    f"{OLDEST_VERSION} to {VERSION} can be read"
                )
            if with_memory and checkpoint.memory_path:
                with ArrayFile(checkpoint.memory_path, MEMORY_KIND):
                    pass
            return checkpoint, problems
        except (ArrayFileError, OSError) as error:
            problems.append(str(error))
    if problems:
        raise CheckpointError(
            f"no checkpoint in {folder} can be used, the newest because {problems[0]}: "
            "--weights-only goes on from the weights alone"
        )
    return None, []


class CheckpointWriter:
    """Writes checkpoints, one at a time, in a thread of its own; keeps the newest of them."""

    def __init__(self, folder: Path, keep: int):
        """Removes what killed processes left half written.

        Args:
            folder: that of the run's checkpoints; the first one makes it.
            keep: whole checkpoints that stay; while the next is written, one more is there.
        """
        self._folder, self._keep = folder, keep
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None
        for left in folder.glob(".*"):
            shutil.rmtree(left, ignore_errors=True)

    def start(self, run: State, memory: State | None) -> None:
        """Starts to write a checkpoint. `finish` must have been called since the one before.

        Args:
            run: the state of the run. Arrays that are not lent must not change from now on.
            memory: that of the replay memory, likewise; or None to leave it out.
        """
        assert self._writing is None
        self._writing = self._thread.submit(self._write, run, memory)

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint was started and `finish` has not been called since."""
        return self._writing is not None

    @property
    def is_done(self) -> bool:
        """Whether a checkpoint was started and `finish` would not have to wait."""
        return self._writing is not None and self._writing.done()

    def finish(self) -> None:
        """Waits until the checkpoint that was started is whole.

        Raises:
            OSError: it could not be written; older checkpoints stay.
        """
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def close(self) -> None:
        """Waits for the checkpoint that is being written, and ends the thread."""
        if self._writing:
            wait([self._writing])
        self._thread.shutdown()

    def _write(self, run: State, memory: State | None) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
            before = _numbered(self._folder)
            number = 1 + int(before[-1].name) if before else 1
            path = self._folder / f"{number:06}"
            new = self._folder / f".{path.name}.{os.getpid()}"
            try:
                new.mkdir()
                attributes = {
                    **run.attributes,
                    "version": VERSION,
                    "memory saved": memory is not None,
                }
                save(new / "run", RUN_KIND, attributes, run.arrays)
                if memory:
                    save(new / "memory", MEMORY_KIND, *memory)
                new.rename(path)
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
            flush_folder(self._folder)
            for old in [*before, path][: -self._keep]:
                _remove(old)
        finally:
            if memory:
                end_loans(memory.arrays.values())


def _remove(checkpoint: Path) -> None:
    """Removes a checkpoint, as far as it can be removed.

    A network file system keeps the files that another process has open, such as a plotter: the next
    `CheckpointWriter` removes what is left.
    """
    with suppress(OSError):
        # Under a hidden name first: what has a number is whole.
        hidden = checkpoint.rename(checkpoint.with_name(f".{checkpoint.name}.{os.getpid()}"))
        shutil.rmtree(hidden, ignore_errors=True)


def _numbered(folder: Path) -> list[Path]:
    """Returns the checkpoints in a folder, whole or damaged, the oldest first."""
    return sorted(
        (path for path in folder.glob("*") if path.name.isdecimal() and path.is_dir()),
        key=lambda path: int(path.name),
    )
