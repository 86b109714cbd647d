"""A window that shows a game, in a process of its own.

The process keeps the desktop's libraries away from the run, as some of them clash with those of
TensorFlow. The run does not wait for a slow window.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from playing.window_process import ClosedError, Newest, Shown, send
from system.errors import OneLineError
from system.root import ROOT

if TYPE_CHECKING:
    import numpy as np

COMMAND = (sys.executable, "-m", "playing.window_process")  # to be run in `ROOT`
# Screen pixels for each pixel of the game, across and down: the games' pixels are wider than high.
GAME_SCALE = (3.9, 3.0)
SECONDS_TO_CLOSE = 1.0


class NoDisplayError(OneLineError):
    """Says in one line why no window can be opened."""


class Window:
    """A window on the desktop. After the user has closed it, `show` does nothing."""

    def __init__(self, title: str, scale: tuple[float, float] = GAME_SCALE):
        """Starts the window's process. The window appears with the first picture.

        Args:
            title: of the window.
            scale: screen pixels for each pixel of a picture, across and down.
        """
        self._scale = scale
        self._due = 0.0  # when the next picture may be shown
        self._newest: Newest[Shown] = Newest()
        self._problem: str | None = None
        self._is_started = threading.Event()  # set when the process has started, or failed
        self._process = subprocess.Popen(
            [*COMMAND, title],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
        self._sender = threading.Thread(target=self._send_all, daemon=True)
        self._sender.start()

    @property
    def is_open(self) -> bool:
        """Whether it takes pictures: it has neither failed, nor has the user closed it."""
        return self._problem is None and self._process.poll() is None

    @property
    def problem(self) -> str | None:
        """Why it cannot be opened, in one line; None as long as no problem is known."""
        return self._problem

    def wait_until_open(self) -> None:
        """Waits until it can show pictures.

        Raises:
            NoDisplayError: no window can be opened.
        """
        self._is_started.wait()
        if self._problem:
            raise NoDisplayError(self._problem)

    def show(self, picture: np.ndarray, pictures_per_second: float = 0.0) -> None:
        """Shows a picture as soon as the window has shown the one before.

        A picture that the window has not taken by then is replaced by the next.

        Args:
            picture: [height, width, 3] uint8 RGB; must not be changed afterwards.
            pictures_per_second: waits so that no more are shown. 0 never waits.
        """
        if not self.is_open:
            return
        if pictures_per_second:
            time.sleep(max(0.0, self._due - time.monotonic()))
            self._due = time.monotonic() + 1 / pictures_per_second
        height, width, _ = picture.shape
        across, down = self._scale
        self._newest.put(Shown(picture, (round(width * across), round(height * down))))

    def close(self) -> None:
        """Closes the window."""
        self._newest.close()
        try:
            self._process.wait(SECONDS_TO_CLOSE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._sender.join()

    def _send_all(self) -> None:
        """Sends the pictures to the process. Runs in a thread, which may wait for the window."""
        assert self._process.stdin
        assert self._process.stdout
        answer = self._process.stdout.readline().decode()
        if answer != "\n":
            status = self._process.wait()
            self._problem = answer.strip() or f"the window's process has ended with status {status}"
        self._is_started.set()
        # OSError: the window has been closed.
        with suppress(OSError), self._process.stdin as stream, suppress(ClosedError):
            while True:
                shown = self._newest.take()
                if shown:
                    send(shown, stream)
