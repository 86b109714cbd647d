"""A game played elsewhere, played again by an emulator that can be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from atari.emulators import SAME_SEED, GymnasiumEmulators
from atari.histories import History
from preprocessing import game_of
from settings.config import Config


class FollowedGame:
    """An emulator of its own that goes where another has gone, and has pictures of it.

    The C++ emulators of training have none in colour. A seed and what was done since bring this
    one to the same place, to the last bit.
    """

    def __init__(self, config: Config):
        """Makes the emulator for the game, rules and frame skip of the settings."""
        self._emulator = GymnasiumEmulators(game_of(config), 1, config.frame_skip, config.screen)
        self._followed: History | None = None

    def follow(self, history: History) -> Iterator[np.ndarray]:
        """Plays on until it is where a history ends; may be left before, and taken up again.

        Args:
            history: the one it has followed so far, a few steps on, or another.

        Yields:
            The screens, [height, width, 3] uint8 RGB, after the start, if it starts, and each step.
        """
        alone = np.ones(1, bool)
        if self._followed is None or not _begins_with(history, self._followed):
            self._emulator.reset(np.array([history.seed]), alone)
            self._followed = history.until(0)
            yield self._emulator.picture()
        for step in range(len(self._followed.actions), len(history.actions)):
            self._emulator.step(history.actions[step : step + 1])
            if history.starts[step + 1]:
                self._emulator.reset(np.array([SAME_SEED]), alone)
            self._followed = history.until(step + 1)
            yield self._emulator.picture()

    def close(self) -> None:
        """Frees the emulator."""
        self._emulator.close()


def _begins_with(history: History, earlier: History) -> bool:
    beginning = history.until(len(earlier.actions))
    return beginning.seed == earlier.seed and all(map(np.array_equal, beginning[1:], earlier[1:]))


def pictures_of(config: Config, history: History, most: int) -> Iterator[np.ndarray]:
    """Plays a game again.

    Args:
        config: the settings of the environments that it was played in.
        history: the game's.
        most: how many pictures, at most.

    Yields:
        The first `most` screens, [height, width, 3] uint8 RGB: one at the start, one for each step.
    """
    game = FollowedGame(config)
    try:
        yield from islice(game.follow(history), most)
    finally:
        game.close()
