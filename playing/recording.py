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


GIF_SECONDS = 180  # of a game, at most: a GIF has no use for more, and becomes large


class Recording:
    """Writes each game as an MP4 file, and its first minutes as a GIF.

    The files appear when the game has ended.
    """

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
        self._most_in_gif = int(GIF_SECONDS * pictures_per_second)
        self._games = 0  # that have begun
        self._pictures = 0  # of the game in progress
        self._writers: list[VideoWriter] = []  # likewise, its MP4 and its GIF
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
        mp4, gif = self._writers
        mp4.add(picture)
        if self._pictures < self._most_in_gif:
            gif.add(picture)
        self._pictures += 1

    def end_game(self) -> None:
        """Finishes the files of the game, and says where the GIF has not all of it.

        Raises:
            OSError: a file cannot be written.
            VideoError: a video cannot be made.
        """
        self._writers = []
        self._files.close()
        if self._pictures > self._most_in_gif:
            minutes = GIF_SECONDS // 60
            print(f"the MP4 has the whole game, the GIF its first {minutes} minutes", flush=True)
        self._pictures = 0

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
