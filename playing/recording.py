"""Games as video files, one after the other."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from playing.video import VideoWriter, gif_writer, mp4_writer
from storage.files import check_folder

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path
    from types import TracebackType

    import numpy as np


class Recording:
    """Writes each game as an MP4 and a GIF file. The files appear when the game has ended."""

    def __init__(self, folder: Path, environment_id: str, pictures_per_second: Fraction):
        """Checks that files can be written.

        Args:
            folder: of the files; it is made where it is missing.
            environment_id: the beginning of the files' names.
            pictures_per_second: the speed of the game.

        Raises:
            OSError: no files can be written in the folder.
        """
        check_folder(folder, "--record")
        self._start = folder / environment_id.replace("/", "-")
        self._rate = pictures_per_second
        self._games = 0  # that have begun
        self._writers: list[VideoWriter] = []  # of the game in progress
        self._files = ExitStack()

    def add(self, picture: np.ndarray) -> None:
        """Adds a picture, [height, width, 3] uint8 RGB, to the game in progress.

        Raises:
            OSError: a file cannot be written.
            VideoError: a video cannot be made.
        """
        if not self._writers:
            self._games += 1
            for open_writer, ending in ((mp4_writer, "mp4"), (gif_writer, "gif")):
                path = self._start.with_name(f"{self._start.name}_game_{self._games}.{ending}")
                self._writers.append(self._files.enter_context(open_writer(path, self._rate)))
        for writer in self._writers:
            writer.add(picture)

    def end_game(self) -> None:
        """Finishes the files of the game.

        Raises:
            OSError: a file cannot be written.
            VideoError: a video cannot be made.
        """
        self._writers = []
        self._files.close()

    def __enter__(self) -> Recording:
        """Does nothing, as the first picture starts the first files."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Removes the files of a game that has not ended."""
        self._files.__exit__(kind, error, traceback)
