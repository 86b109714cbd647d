"""The window of a run in training, which can be opened and closed at any time."""

from __future__ import annotations

import os
import signal
from itertools import islice
from typing import TYPE_CHECKING, Any

from playing.mirrored_game import MirroredGame
from playing.window import Window
from system.console import warn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from atari.histories import History
    from settings.config import Config

# A window that opens late catches up with the game a few steps at a time, so that the run goes on.
MOST_STEPS = 16  # played again in one turn of the run


class LiveView:
    """Shows the first environment, one picture a step, and does not change the run.

    A second emulator, which has pictures, plays the game again. The signal SIGUSR1 opens the
    window, or closes it.
    """

    def __init__(self, config: Config):
        """Opens the window if `--render` asks for it.

        Raises:
            NoDisplayError: the window cannot be opened.
        """
        self._config = config
        self._window: Window | None = None
        self._game: MirroredGame | None = None
        self._is_toggled = False
        self._earlier_handler: Any = None  # of the signal
        if config.render:
            self._window = self._open()
            self._window.wait_until_open()

    def __enter__(self) -> LiveView:
        """Handles the signal from here on, on systems that have it."""
        if hasattr(signal, "SIGUSR1"):
            self._earlier_handler = signal.signal(signal.SIGUSR1, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the signal back to its earlier handler and closes the window."""
        if hasattr(signal, "SIGUSR1"):
            signal.signal(signal.SIGUSR1, self._earlier_handler)
        self._close()

    @staticmethod
    def instructions() -> str:
        """Returns a line that says how to open and close the window; empty without the signal."""
        if not hasattr(signal, "SIGUSR1"):
            return ""
        return f"kill -USR1 {os.getpid()} opens or closes a window on the first environment"

    def update(self, history: Callable[[], History]) -> None:
        """Shows the first environment as it is now. To be called after each step of the run.

        Args:
            history: returns the history of the first environment's emulator.
        """
        if self._is_toggled:
            self._is_toggled = False
            if self._config.actors:
                warn("actors play elsewhere, and no window can show it: the run goes on")
            elif self._window:
                self._close()
            else:
                self._window = self._open()
        if not self._window:
            return
        if not self._window.is_open:
            if self._window.problem:
                warn(f"{self._window.problem}; the run goes on")
            self._close()
            return
        if self._game is None:
            self._game = MirroredGame(self._config)
        pictures = list(islice(self._game.follow(history()), MOST_STEPS))
        if pictures:
            self._window.show(pictures[-1])

    def _note(self, _: int, __: FrameType | None) -> None:
        self._is_toggled = True

    def _open(self) -> Window:
        return Window(f"{self._config.environment}: training")

    def _close(self) -> None:
        if self._window:
            self._window.close()
        if self._game:
            self._game.close()
        self._window = self._game = None
