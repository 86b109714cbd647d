"""A game played elsewhere, played again by an emulator that can be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from config import Config
from emulators import GymnasiumEmulators
from preprocessing import History, game_of


class FollowedGame:
    """An emulator of its own that goes where another has gone, and has pictures of it.

    The C++ emulators of training have none in colour. A seed and the actions since bring this one
    to the same place, to the last bit.
    """

    def __init__(self, config: Config):
        """Makes the emulator for the game, rules and frame skip of the settings."""
        self._emulator = GymnasiumEmulators(game_of(config), 1, config.frame_skip, config.screen)
        self._seed: int | None = None
        self._actions = np.zeros(0, np.uint8)

    def follow(self, history: History) -> Iterator[np.ndarray]:
        """Plays on until it is where a history ends; may be left before, and taken up again.

        Args:
            history: of an episode: the one it has followed so far, a few steps on, or another.

        Yields:
            The screens, [height, width, 3] uint8 RGB, after the start, if it starts, and each step.
        """
        done = len(self._actions)
        is_same = history.seed == self._seed and np.array_equal(
            self._actions, history.actions[:done]
        )
        if not is_same:
            self._emulator.reset(np.array([history.seed]), np.ones(1, bool))
            self._seed, self._actions = history.seed, history.actions[:0]
            yield self._emulator.picture()
        for count in range(len(self._actions) + 1, len(history.actions) + 1):
            self._emulator.step(history.actions[count - 1 : count])
            self._actions = history.actions[:count]
            yield self._emulator.picture()

    def close(self) -> None:
        """Frees the emulator."""
        self._emulator.close()


def pictures_of(config: Config, history: History, most: int) -> Iterator[np.ndarray]:
    """Plays a game again.

    Args:
        config: the settings of the environments that it was played in.
        history: the seed and the actions of the game.
        most: how many pictures, at most.

    Yields:
        The first `most` screens, [height, width, 3] uint8 RGB: one at the start, one for each step.
    """
    game = FollowedGame(config)
    try:
        yield from islice(game.follow(history), most)
    finally:
        game.close()
