"""A game of another emulator, played again by an emulator that has pictures."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from atari.emulators import SAME_SEED, GymnasiumEmulators
from preprocessing import game_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atari.histories import History
    from settings.config import Config


class MirroredGame:
    """Plays the game of another emulator again, from its history, and has pictures of it.

    The C++ emulators of training have no pictures in colour. With the same seed and actions this
    emulator gets into the same state, to the last bit.
    """

    def __init__(self, config: Config):
        """Makes the emulator with the game, rules and frame skip of the settings."""
        self._emulator = GymnasiumEmulators(game_of(config), 1, config.frame_skip, config.screen)
        self._history: History | None = None  # of this emulator

    def follow(self, history: History) -> Iterator[np.ndarray]:
        """Plays on to the end of a history. A later call goes on where this one is left.

        Args:
            history: of the other emulator. The game starts anew unless this history continues what
                has been played so far.

        Yields:
            The screens, [height, width, 3] uint8 RGB: of the start, if the game starts anew, and
            after each step.
        """
        alone = np.ones(1, bool)
        if self._history is None or not _begins_with(history, self._history):
            self._emulator.reset(np.array([history.seed]), alone)
            self._history = history.until(0)
            yield self._emulator.picture()
        for step in range(len(self._history.actions), len(history.actions)):
            self._emulator.step(history.actions[step : step + 1])
            if history.starts[step + 1]:
                self._emulator.reset(np.array([SAME_SEED]), alone)
            self._history = history.until(step + 1)
            yield self._emulator.picture()

    def close(self) -> None:
        """Frees the emulator."""
        self._emulator.close()


def _begins_with(history: History, earlier: History) -> bool:
    """Returns whether a history continues an earlier one."""
    beginning = history.until(len(earlier.actions))
    return beginning.seed == earlier.seed and all(map(np.array_equal, beginning[1:], earlier[1:]))


def pictures_of(config: Config, history: History, most: int) -> Iterator[np.ndarray]:
    """Plays a game again.

    Args:
        config: the settings of the game's environments.
        history: of the game.
        most: how many pictures, at most.

    Yields:
        The first `most` screens, [height, width, 3] uint8 RGB: of the start and after each step.
    """
    with closing(MirroredGame(config)) as game:
        yield from islice(game.follow(history), most)
