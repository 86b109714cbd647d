"""A window that shows a game, in a process of its own.

So neither what a desktop does nor its libraries, some of which do not get on with TensorFlow's,
reach the run, and a window that is slow is not waited for.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np

from playing import window_process
from playing.window_process import ClosedError, Newest, Shown
from system.errors import OneLineError
from system.root import ROOT

# Screen pixels for each of the game's, across and down: those of these games are wider than high.
GAME_SCALE = (3.9, 3.0)
SECONDS_TO_CLOSE = 1.0


class NoDisplayError(OneLineError):
    """No window can be opened, said in one line."""


class Window:
    """A window on the desktop; when the user closes it, showing goes on doing nothing."""

    def __init__(self, title: str, scale: tuple[float, float] = GAME_SCALE):
        """Starts to open it; it appears with the first picture.

        Args:
            title: of the window.
            scale: screen pixels for each of a picture, across and down.
        """
        self._scale = scale
        self._due = 0.0  # when the next picture may be shown
        self._newest: Newest[Shown] = Newest()
        self._problem: str | None = None
        self._is_started = threading.Event()  # or has failed
        self._process = subprocess.Popen(
            [sys.executable, window_process.__file__, title],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
        self._sender = threading.Thread(target=self._send_all, daemon=True)
        self._sender.start()

    @property
    def is_open(self) -> bool:
        """Whether it takes pictures: not after the user has closed it, or if it cannot be shown."""
        return self._problem is None and self._process.poll() is None

    @property
    def problem(self) -> str | None:
        """Why it cannot be opened, in one line, as far as is known."""
        return self._problem

    def wait_until_open(self) -> None:
        """Returns once it can show pictures.

        Raises:
            NoDisplayError: it cannot.
        """
        self._is_started.wait()
        if self._problem:
            raise NoDisplayError(self._problem)

    def show(self, picture: np.ndarray, pictures_per_second: float = 0.0) -> None:
        """Shows a picture, as soon as the window is done with the one before.

        Where another comes before that, it takes this one's place.

        Args:
            picture: [height, width, 3] uint8 RGB, not to be changed any more.
            pictures_per_second: how often at most; it waits to keep to that. 0 never waits.
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
        """Hands the pictures over, in a thread that may wait for the window."""
        assert self._process.stdin and self._process.stdout
        answer = self._process.stdout.readline().decode()
        if answer != "\n":
            status = self._process.wait()
            self._problem = answer.strip() or f"the window's process has ended with status {status}"
        self._is_started.set()
        # A closed window takes no pictures.
        with suppress(OSError), self._process.stdin as stream, suppress(ClosedError):
            while True:
                shown = self._newest.take()
                if shown:
                    window_process.send(shown, stream)
