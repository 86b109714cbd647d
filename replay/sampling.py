"""Ways to draw transitions: uniformly, or in proportion to their priorities.

A transition is known by its index, which counts all transitions ever remembered. The memory holds
those of a range of indices. To add a way to draw, write a `Sampler` and name it in `sampler_class`
and `make_sampler`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from replay.priorities import Priorities
from storage.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from settings.config import Config
    from storage.arrays import ArrayFile

MOST_TRIES = 100  # draws that may hit what cannot be drawn, before all transitions are looked at


class Sampler(Protocol):
    """A way to draw transitions.

    Each transition has a mass. It is drawn with the probability that this is of the sum of all.

    Attributes:
        highest: the mass of new transitions.
    """

    highest: float

    @property
    def nbytes(self) -> int:
        """Bytes that it takes when the memory is full."""

    @staticmethod
    def most_bytes(capacity: int) -> int:
        """Returns an upper bound of its bytes in a memory of this capacity, in transitions."""

    @property
    def identity(self) -> dict[str, Any]:
        """What a sampler must have in common with a file to load it, by name."""

    def add(self, indices: np.ndarray) -> None:
        """Lets new transitions be drawn, [N] int64."""

    def remove(self, indices: np.ndarray) -> None:
        """Forgets transitions, [N] int64, that the memory no longer holds."""

    def update(self, indices: np.ndarray, td_errors: np.ndarray) -> None:
        """Takes the |TD errors|, [B] float32, of transitions that the memory holds, [B] int64.

        Raises:
            ValueError: a TD error is not finite.
        """

    def draw(self, count: int, rng: np.random.Generator, held: range) -> np.ndarray:
        """Returns the indices of `count` transitions, [count] int64, drawn with replacement.

        Args:
            count: transitions.
            rng: draws them.
            held: the indices that the memory holds; at least one.
        """

    def probabilities(self, indices: np.ndarray) -> np.ndarray | None:
        """Returns the probabilities to draw one of these and no other, [N] float64.

        None stands for equal ones.
        """

    def masses(self, indices: np.ndarray) -> np.ndarray:
        """Returns the masses of transitions, [N] float64."""

    def total(self, held: range) -> float:
        """Returns the sum of the masses of all transitions that the memory holds."""

    def get_state(self) -> State:
        """Returns what it holds, with copies of arrays."""

    def load(self, attributes: Mapping[str, Any], file: ArrayFile) -> None:
        """Takes the attributes that `get_state` returned, and the arrays from a file."""


class UniformSampler:
    """Draws every transition with the same probability."""

    nbytes = 0
    highest = 1.0

    @staticmethod
    def most_bytes(capacity: int) -> int:
        """Returns 0: it keeps nothing."""
        return 0

    @property
    def identity(self) -> dict[str, Any]:
        """The priority exponent, 0."""
        return {"priority exponent": 0.0}

    def add(self, indices: np.ndarray) -> None:
        """Does nothing."""

    def remove(self, indices: np.ndarray) -> None:
        """Does nothing."""

    def update(self, indices: np.ndarray, td_errors: np.ndarray) -> None:
        """Does nothing."""

    def draw(self, count: int, rng: np.random.Generator, held: range) -> np.ndarray:
        """Returns indices, [count] int64; see `Sampler`."""
        return rng.integers(held.start, held.stop, size=count)

    def probabilities(self, indices: np.ndarray) -> None:
        """Returns None: all are equal."""

    def masses(self, indices: np.ndarray) -> np.ndarray:
        """Returns ones, [N] float64."""
        return np.ones(len(indices))

    def total(self, held: range) -> float:
        """Returns how many are held."""
        return len(held)

    def get_state(self) -> State:
        """Returns nothing: it keeps nothing."""
        return State({}, {})

    def load(self, attributes: Mapping[str, Any], file: ArrayFile) -> None:
        """Does nothing."""


class PrioritizedSampler:
    """Draws transitions in proportion to their priorities, Schaul et al. 2016; see `Priorities`.

    The transition of an index has the place in `Priorities` that is the index modulo the capacity.
    """

    def __init__(self, capacity: int, exponent: float):
        """Starts without transitions.

        Args:
            capacity: transitions that the memory holds at most.
            exponent: alpha, above 0, which would be uniform, to 1.

        Raises:
            ValueError: the exponent is out of range.
            MemoryError: the machine has no room for it.
        """
        if not 0 < exponent <= 1:
            raise ValueError(f"priority exponent {exponent} is not above 0 and at most 1")
        self._capacity, self._exponent = capacity, exponent
        self._priorities = Priorities(capacity, exponent)

    @property
    def highest(self) -> float:
        """The highest priority that there has been, which new transitions get."""
        return self._priorities.highest

    @highest.setter
    def highest(self, value: float) -> None:
        self._priorities.highest = value

    @property
    def nbytes(self) -> int:
        """Bytes that it takes when the memory is full."""
        return self._priorities.nbytes

    @staticmethod
    def most_bytes(capacity: int) -> int:
        """Returns an upper bound of the bytes; see `Sampler`."""
        # A leaf takes 8 bytes, and the sums above all leaves a 31st part of that.
        return int(capacity * 8.5)

    @property
    def identity(self) -> dict[str, Any]:
        """The priority exponent, alpha."""
        return {"priority exponent": self._exponent}

    def add(self, indices: np.ndarray) -> None:
        """Gives new transitions, [N] int64, the highest priority that there has been."""
        self._priorities.add(indices % self._capacity)

    def remove(self, indices: np.ndarray) -> None:
        """Lets transitions, [N] int64, never be drawn."""
        self._priorities.remove(indices % self._capacity)

    def update(self, indices: np.ndarray, td_errors: np.ndarray) -> None:
        """Sets the priorities of transitions by their |TD errors|; see `Sampler`."""
        self._priorities.update(indices % self._capacity, td_errors)

    def draw(self, count: int, rng: np.random.Generator, held: range) -> np.ndarray:
        """Returns indices, [count] int64; see `Sampler`."""
        places = self._priorities.draw(count, rng)
        newest = held.stop - 1
        return newest - (newest - places) % self._capacity

    def probabilities(self, indices: np.ndarray) -> np.ndarray:
        """Returns the probabilities to draw one of these and no other, [N] float64."""
        values = self._priorities.values[indices % self._capacity]
        return values / values.sum()

    def masses(self, indices: np.ndarray) -> np.ndarray:
        """Returns the priorities of transitions, [N] float64."""
        return self._priorities.values[indices % self._capacity]

    def total(self, held: range) -> float:
        """Returns the sum of all priorities."""
        return self._priorities.total

    def get_state(self) -> State:
        """Returns all priorities; see `Sampler`."""
        attributes = {"highest priority": self._priorities.highest}
        return State(attributes, {"priorities": self._priorities.values.copy()})

    def load(self, attributes: Mapping[str, Any], file: ArrayFile) -> None:
        """Takes what `get_state` returned."""
        self._priorities.load(file.read("priorities"), attributes["highest priority"])


def sampler_class(config: Config) -> type[Sampler]:
    """Returns the way to draw that the settings choose."""
    return PrioritizedSampler if config.priority_exponent else UniformSampler


def make_sampler(config: Config, capacity: int) -> Sampler:
    """Returns the sampler that the settings choose.

    Args:
        config: the settings.
        capacity: transitions that the memory holds at most.

    Raises:
        MemoryError: the machine has no room for it.
    """
    if config.priority_exponent:
        return PrioritizedSampler(capacity, config.priority_exponent)
    return UniformSampler()


def draw(
    sampler: Sampler,
    count: int,
    rng: np.random.Generator,
    held: range,
    is_drawable: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Returns the indices of drawable transitions, [count] int64, drawn with replacement.

    Draws from all that are held, and draws again in place of those that are not drawable. So the
    others keep their proportions.

    Args:
        sampler: the way to draw.
        count: transitions.
        rng: draws them.
        held: the indices that the memory holds.
        is_drawable: returns for indices, [N] int64, which can be drawn, [N] bool.

    Raises:
        ValueError: no transition can be drawn.
    """
    drawn = np.zeros(0, np.int64)
    for _ in range(MOST_TRIES if held else 0):
        more = sampler.draw(count - len(drawn), rng, held)
        drawn = np.concatenate([drawn, more[is_drawable(more)]])
        if len(drawn) == count:
            return drawn
    # Hardly any is drawable: look at all.
    indices = np.arange(held.start, held.stop)
    drawable = indices[is_drawable(indices)]
    if not len(drawable):
        raise ValueError("the memory holds no whole transition to sample yet")
    return rng.choice(drawable, count, p=sampler.probabilities(drawable))
