"""A game of a few pixels with a known best score, to see whether an agent learns.

    . . . . . . .      A ball falls from a random column, a cell each step, onto the row of the
    . . . O . . .      paddle. The paddle starts anywhere and moves a cell to either side, or stays.
    . . . . . . .      Caught, the ball gives 1, else -1: the only reward of an episode. There is
    = = = . . . .      always time enough to catch it.

The idea is that of Catch in Osband et al. 2020, "Behaviour Suite", whose paddle is one cell wide.
"""

from __future__ import annotations

import numpy as np

from preprocessing import Step

COLUMNS, STEPS, PADDLE = 9, 6, 4  # the columns, the rows that a ball falls, the paddle's width
CELL = 4  # pixels
LEFT, STAY, RIGHT = range(3)
BEST_SCORE = 1.0


class FallingBall:
    """n games side by side, to be used like `AtariEnvironments`."""

    action_names = ("LEFT", "STAY", "RIGHT")
    num_actions = len(action_names)
    frame_shape = (COLUMNS * CELL, COLUMNS * CELL, 1)
    shown = False

    def __init__(self, count: int, rng: np.random.Generator):
        """Makes `count` games, whose balls and paddles start where `rng` says."""
        self.count = count
        self._rng = rng
        self._ball = np.zeros(count, np.int64)  # column
        self._paddle = np.zeros(count, np.int64)  # column of its left end
        self._steps_left = np.zeros(count, np.int64)  # until the ball is down

    def reset(self) -> np.ndarray:
        """Starts an episode in every game; returns its first frames, [n, 44, 44, 1] uint8."""
        self._start(np.ones(self.count, bool))
        return self._draw()

    def step(self, actions: np.ndarray) -> Step:
        """Takes one step in every game by `actions`, [n] int."""
        self.send(actions)
        return self.receive()

    def send(self, actions: np.ndarray) -> None:
        """Moves the paddles."""
        self._paddle = np.clip(self._paddle + actions - STAY, 0, COLUMNS - PADDLE)

    def receive(self) -> Step:
        """Lets the balls fall by a step."""
        self._steps_left -= 1
        ends = self._steps_left == 0
        caught = (self._paddle <= self._ball) & (self._ball < self._paddle + PADDLE)
        rewards = np.where(ends, np.where(caught, 1, -1), 0).astype(np.float32)
        self._start(ends)
        return Step(self._draw(), rewards, rewards.copy(), ends, ends.copy())

    def picture(self) -> np.ndarray:
        """Returns the first game's screen, [44, 44, 3] uint8 RGB."""
        return self._draw()[0].repeat(3, axis=-1)

    def close(self) -> None:
        """Has nothing to free."""

    def _start(self, mask: np.ndarray) -> None:
        """Starts an episode where `mask`, [n] bool, is set."""
        count = int(mask.sum())
        self._ball[mask] = self._rng.integers(COLUMNS, size=count)
        self._paddle[mask] = self._rng.integers(COLUMNS - PADDLE + 1, size=count)
        self._steps_left[mask] = STEPS

    def _draw(self) -> np.ndarray:
        """Returns the frames, [n, 44, 44, 1] uint8: white on black, the paddle in the last row."""
        cells = np.zeros((self.count, COLUMNS, COLUMNS), np.uint8)
        columns = np.arange(COLUMNS) - self._paddle[:, None]
        cells[:, -1] = np.where((columns >= 0) & (columns < PADDLE), 255, 0)
        cells[np.arange(self.count), COLUMNS - 1 - self._steps_left, self._ball] = 255
        return cells.repeat(CELL, axis=1).repeat(CELL, axis=2)[..., None]
