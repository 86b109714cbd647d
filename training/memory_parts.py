"""A replay memory in parts that fill at their own pace, one for each actor."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.priorities import importance_weights
from replay.room import check_room
from replay_memory import ReplayMemory, check_identity, make_memory, make_part
from storage.arrays import ArrayFile
from storage.checkpoints import MEMORY_KIND
from storage.state import State, prefixed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from replay.batch import Batch
    from replay.n_step import Horizon
    from settings.config import Config


# From which one batch is drawn: each costs as much as several transitions.
MOST_PARTS = 8


class MemoryParts:
    """Draws from several memories as if they were one, and is otherwise what `ReplayMemory` is.

    Each part is appended to on its own. A transition is drawn with the probability that its mass
    has of those in all parts, so each part is drawn from in proportion to what it holds. Its index
    here is its index in its part, times the number of parts, plus the number of its part.

    Attributes:
        parts: the memories.
    """

    device_frames = None

    def __init__(self, parts: Sequence[ReplayMemory]):
        """Takes empty memories that differ in nothing."""
        self.parts = tuple(parts)

    def __len__(self) -> int:
        """Returns the number of transitions held."""
        return sum(map(len, self.parts))

    @property
    def capacity(self) -> int:
        """Transitions held at most."""
        return sum(part.capacity for part in self.parts)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes now."""
        return sum(part.nbytes for part in self.parts)

    @property
    def max_nbytes(self) -> int:
        """Bytes that it takes at most."""
        return sum(part.max_nbytes for part in self.parts)

    @property
    def is_short(self) -> bool:
        """Whether a part had to give up transitions early; see `ReplayMemory.is_short`."""
        return any(part.is_short for part in self.parts)

    @property
    def can_sample(self) -> bool:
        """Whether there is a transition to draw."""
        return any(part.can_sample for part in self.parts)

    def empty_batch(self, size: int) -> Batch:
        """Returns a batch of arrays that `sample` can fill, for `size` transitions."""
        return self.parts[0].empty_batch(size)

    def sample(
        self,
        batch_size: int,
        rng: np.random.Generator,
        importance_exponent: float = 0.0,
        out: Batch | None = None,
        horizon: Horizon | None = None,
    ) -> Batch:
        """Returns transitions drawn with replacement from all parts; see `ReplayMemory.sample`.

        Those of a part lie side by side in a batch. With one part they are those that it would
        draw itself. With more than `MOST_PARTS`, a batch comes from so many at most, which are
        drawn first; the probability of each transition is the same.

        Raises:
            ValueError: no transition can be drawn yet.
        """
        batch = self.empty_batch(batch_size) if out is None else out
        masses = np.array([part.mass for part in self.parts])
        if not masses.any():
            raise ValueError("the memory holds no whole transition to sample yet")
        for first in range(0, len(batch.indices), batch_size):
            rows = batch.rows(first, first + batch_size)
            drawn = np.zeros(batch_size)
            end = 0
            for number, count in _counts(batch_size, masses, rng):
                part, start, end = self.parts[number], end, end + count
                of_part = rows.rows(start, end)
                of_part.indices[:] = part.draw(count, rng)
                drawn[start:end] = part.masses(of_part.indices)
                part.fill(of_part, horizon)
                of_part.indices[:] = of_part.indices * len(self.parts) + number
            rows.weights[:] = importance_weights(drawn, importance_exponent)
        return batch

    def update_priorities(self, indices: np.ndarray, td_errors: np.ndarray) -> None:
        """Takes the |TD errors| of transitions; see `ReplayMemory.update_priorities`.

        New transitions then get the highest priority that there has been in any part.
        """
        within, numbers = np.divmod(indices, len(self.parts))
        for number in np.unique(numbers):
            is_here = numbers == number
            self.parts[number].update_priorities(within[is_here], td_errors[is_here])
        highest = max(part.highest_mass for part in self.parts)
        for part in self.parts:
            part.highest_mass = highest

    def get_state(self) -> State:
        """Returns all that it holds, for a file of `MEMORY_KIND`; see `ReplayMemory.get_state`."""
        states = [part.get_state() for part in self.parts]
        arrays: dict[str, Any] = {}
        for number, state in enumerate(states):
            arrays |= prefixed(_prefix(number), state.arrays)
        numbers = [state.attributes["numbers"] for state in states]
        return State({"memory": self._identity, "numbers": numbers}, arrays)

    def load(self, path: Path) -> None:
        """Takes what `get_state` returned from a file; see `ReplayMemory.load`.

        Raises:
            ArrayFileError: the file is missing, damaged or of another memory; this one stays as it
                was.
            OSError: the file cannot be read.
        """
        with ArrayFile(path, MEMORY_KIND) as file:
            check_identity(file, self._identity)
            for number, part in enumerate(self.parts):
                part.load_from(file.attributes["numbers"][number], file.under(_prefix(number)))

    @property
    def _identity(self) -> dict[str, Any]:
        return {**self.parts[0].identity, "parts": len(self.parts)}


Memory = ReplayMemory | MemoryParts


def _counts(
    batch_size: int, masses: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Yields from which parts, by their numbers, to draw how many transitions of a batch.

    Args:
        batch_size: how many together.
        masses: [parts] float64, what parts are drawn from in proportion to.
        rng: draws them.
    """
    shares = masses / masses.sum()
    if len(masses) <= MOST_PARTS:
        counts = rng.multinomial(batch_size, shares)
    else:
        sizes = np.diff(np.arange(MOST_PARTS + 1) * batch_size // MOST_PARTS)
        chosen = rng.choice(len(masses), MOST_PARTS, p=shares)
        counts = np.zeros(len(masses), np.int64)
        np.add.at(counts, chosen, sizes)
    for number in np.flatnonzero(counts):
        yield int(number), int(counts[number])


def _prefix(number: int) -> str:
    """Returns what the names of a part's arrays begin with in a file."""
    return f"part {number}"


def make_run_memory(config: Config, state_shape: tuple[int, int, int]) -> Memory:
    """Returns the memory of a run, still empty: in parts where there are actors.

    Args:
        config: the settings.
        state_shape: (H, W, k).

    Raises:
        MemoryError: it could need more than the machine, the container or the GPU has left.
    """
    if not config.actors:
        return make_memory(config, state_shape)
    check_room(config, state_shape)
    of_part = replace(
        config, memory_size=config.memory_size // config.actors, actors=0, ray=None,
        actors_in_step=False,
    )  # fmt: skip
    return MemoryParts([make_part(of_part, state_shape) for _ in range(config.actors)])
