"""What a replay memory keeps of each step beside its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from replay.n_step import Horizon, n_step_returns
from storage.state import State

if TYPE_CHECKING:
    from storage.arrays import ArrayFile

STEP = np.dtype(
    [
        ("reward", np.float32),
        ("action", np.uint8),
        ("terminal", np.bool_),
        ("end", np.bool_),
        ("reach", np.uint8),  # frames of its state before the newest that are of its episode
    ]
)  # 8 bytes


class Steps:
    """The newest steps of some streams; all streams take one at each time 0, 1, 2 and so on.

    Attributes:
        time: of the next steps.
    """

    def __init__(self, rows: int, streams: int, stack_size: int, frames_per_step: int):
        """Makes room, which the system gives as it is filled.

        Args:
            rows: steps of each stream that are held at most.
            streams: how many there are.
            stack_size: k, frames in a state, at most 255.
            frames_per_step: p, frames that each step brings, at most k.
        """
        self.time = 0
        self._steps = np.zeros((rows, streams), STEP)
        self._stack_size, self._frames_per_step = stack_size, frames_per_step
        self._next_reach = np.full(streams, frames_per_step - 1, np.uint8)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes when it is full."""
        return self._steps.nbytes

    def append(
        self, actions: np.ndarray, rewards: np.ndarray, terminals: np.ndarray, ends: np.ndarray
    ) -> None:
        """Takes the next step of each stream; see `ReplayMemory.append`."""
        step = self._steps[self.time % len(self._steps)]
        step["reward"], step["action"] = rewards, actions
        step["terminal"], step["end"] = terminals, ends
        step["reach"] = self._next_reach
        reach = np.minimum(self._next_reach + self._frames_per_step, self._stack_size - 1)
        self._next_reach = np.where(ends, self._frames_per_step - 1, reach).astype(np.uint8)
        self.time += 1

    def end_episodes(self) -> None:
        """Cuts off the episodes of all streams after their newest step."""
        if self.time:
            self._steps["end"][(self.time - 1) % len(self._steps)] = True
            self._next_reach[:] = self._frames_per_step - 1

    def at(self, times: np.ndarray, streams: np.ndarray) -> np.ndarray:
        """Returns the steps at these times of these streams, [...] `STEP`.

        Where a time is past the newest step, this is some other step.
        """
        return self._steps[times % len(self._steps), streams]

    def is_known(self, steps: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Returns whether the outcome of steps is known, [...] bool.

        The state after a step has to be known, unless the step is terminal.

        Args:
            steps: [...] `STEP`, what `at` returned for these times.
            times: [...] int64.
        """
        followed = ~steps["end"] & (times < self.time - 1)
        return np.where(steps["terminal"], times < self.time, followed)

    def returns(
        self, times: np.ndarray, streams: np.ndarray, horizon: Horizon
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns what `n_step_returns` does, for transitions at times [N] of streams [N]."""
        later = times + np.arange(horizon.n_step)[:, None]  # [n, N]
        steps = self.at(later, streams)
        known = self.is_known(steps, later)
        return n_step_returns(steps["reward"], steps["terminal"], known, horizon.discounts)

    def get_state(self) -> State:
        """Returns copies of the steps and of what the next ones need."""
        arrays = {"steps": self._filled.copy(), "next reach": self._next_reach.copy()}
        return State({}, arrays)

    def load(self, time: int, file: ArrayFile) -> None:
        """Takes what `get_state` returned at this time from a file."""
        self.time = time
        file.read_into("steps", self._filled)
        file.read_into("next reach", self._next_reach)

    @property
    def _filled(self) -> np.ndarray:
        """The bytes of the steps that have been written, a row for each time."""
        return self._steps.view(np.uint8)[: self.time]
