"""The seeds of emulators and the actions since, which together are the emulators' state.

ale-py's batch of C++ emulators does not give their memory. But an emulator that gets the same seed
and the same actions, and starts games at the same steps, is in the same state to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from atari.emulators import SAME_SEED, Emulation, Emulators
from storage.state import State


class History(NamedTuple):
    """What was done with one emulator since it got its seed."""

    seed: int
    actions: np.ndarray  # [T] uint8
    starts: np.ndarray  # [T + 1] bool, whether a game was started before each action and at the end

    def until(self, step: int) -> History:
        """Returns the history up to a step."""
        return History(self.seed, self.actions[:step], self.starts[: step + 1])


class Histories:
    """The histories of n emulators that step together.

    The age of an emulator is the number of its steps since it got its seed.

        age:      0   1   2   3   4
        actions:    a   b   c   d        row t is the action between ages t and t + 1
        starts:   -   -   x   -   -      a game was started after b, with the same seed
    """

    def __init__(self, count: int, most_steps: int):
        """Makes empty histories.

        Args:
            count: n.
            most_steps: the largest age that an emulator reaches.
        """
        self._emulators = np.arange(count)
        self._seeds = np.zeros(count, np.int64)
        self._ages = np.zeros(count, np.int64)
        self._actions = np.zeros((most_steps, count), np.uint8)
        self._starts = np.zeros((most_steps + 1, count), bool)

    @property
    def ages(self) -> np.ndarray:
        """Steps of each emulator since its seed, [n] int64; not to be written to."""
        return self._ages

    def start(self, seeds: np.ndarray, mask: np.ndarray) -> None:
        """Records the start of games.

        Args:
            seeds: [n] int64, the new seed of each emulator, or `SAME_SEED`.
            mask: [n] bool, which emulators start a game.
        """
        seeded = mask & (seeds != SAME_SEED)
        self._seeds[seeded] = seeds[seeded]
        self._ages[seeded] = 0
        self._starts[:, seeded] = False
        self._starts[self._ages, self._emulators] = mask & ~seeded

    def step(self, actions: np.ndarray) -> None:
        """Records a step of all emulators with these actions, [n] int."""
        self._actions[self._ages, self._emulators] = actions
        self._ages += 1

    def history(self, index: int) -> History:
        """Returns a copy of the history of one emulator."""
        age = self._ages[index]
        actions, starts = self._actions[:age, index], self._starts[: age + 1, index]
        return History(int(self._seeds[index]), actions.copy(), starts.copy())

    def get_state(self) -> State:
        """Returns all histories: copies of arrays."""
        # What earlier seeds left in the rows above an age is left out: a resumed run does not have
        # it, and has to return the same.
        rows = np.arange(self._ages.max() + 1)[:, None]
        arrays = {
            "seeds": self._seeds.copy(),
            "ages": self._ages.copy(),
            "actions": self._actions[: len(rows) - 1] * (rows[:-1] < self._ages),
            "starts": self._starts[: len(rows)] & (rows <= self._ages),
        }
        return State({}, arrays)

    def set_state(self, state: State) -> None:
        """Takes what `get_state` returned."""
        arrays = state.arrays
        self._seeds[:] = arrays["seeds"]
        self._ages[:] = arrays["ages"]
        longest = int(self._ages.max())
        self._actions[:longest] = arrays["actions"]
        self._starts[: longest + 1] = arrays["starts"]

    def replay(self, emulators: Emulators) -> Emulation:
        """Plays the histories again, in emulators of the same game and number.

        Returns:
            What the emulators gave last.
        """
        emulation = emulators.reset(self._seeds, np.ones(len(self._seeds), bool))
        # All histories end at the same time. An emulator with a shorter one idles before it gets
        # its seed once more.
        longest = int(self._ages.max())
        for time in range(longest + 1):
            ages = time - (longest - self._ages)
            is_seeded = (ages == 0) & (time > 0)
            is_started = is_seeded | ((ages > 0) & self._starts[ages.clip(0), self._emulators])
            if is_started.any():
                seeds = np.where(is_seeded, self._seeds, SAME_SEED)[is_started]
                emulation = emulators.reset(seeds, is_started)
            if time < longest:
                actions = self._actions[ages.clip(0), self._emulators].astype(np.int64)
                emulation = emulators.step(np.where(ages < 0, 0, actions))
        return emulation
