"""Priorities of transitions: the larger its TD error, the more often one is drawn."""

from __future__ import annotations

import numpy as np

from replay.sum_tree import SumTree

# Keeps transitions with a TD error of 0 in the draw.
SMALLEST_PRIORITY = 1e-6  # epsilon in Schaul et al. 2016, section 3.3


class Priorities:
    """Draws places in proportion to their priorities, after Schaul et al. 2016.

    Place i is drawn with the probability P(i) = p_i**alpha / sum_k p_k**alpha (equation 1), where
    p_i = |TD error| + epsilon is the proportional priority of section 3.3.
    """

    def __init__(self, capacity: int, exponent: float):
        """Starts with priorities of 0, which are never drawn.

        Args:
            capacity: how many places there are.
            exponent: alpha, above 0, which would be uniform, to 1.
        """
        self._exponent = exponent
        self._tree = SumTree(capacity)  # p**alpha
        self.highest = 1.0  # p**alpha of new transitions: the highest there has been

    @property
    def nbytes(self) -> int:
        """Bytes that it takes when all places are filled."""
        return self._tree.nbytes

    @property
    def values(self) -> np.ndarray:
        """p**alpha of all places, [capacity] float64, not to be written to."""
        return self._tree.leaves

    def load(self, values: np.ndarray, highest: float) -> None:
        """Sets `values` and `highest`."""
        self._tree.load(values)
        self.highest = highest

    def add(self, places: np.ndarray) -> None:
        """Gives places of new transitions, [N] int64, the highest priority there has been."""
        self._tree.set(places, np.full(len(places), self.highest))

    def remove(self, places: np.ndarray) -> None:
        """Sets the priorities of places, [N] int64, to 0, so that they are never drawn."""
        self._tree.set(places, np.zeros(len(places)))

    def update(self, places: np.ndarray, td_errors: np.ndarray) -> None:
        """Sets the priorities of places, [N] int64, by their |TD errors|, [N] float32.

        Raises:
            ValueError: a TD error is not finite.
        """
        values = (td_errors.astype(np.float64) + SMALLEST_PRIORITY) ** self._exponent
        self._tree.set(places, values)
        self.highest = max(self.highest, values.max(initial=0.0))

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Returns places, [count] int64, one from each of `count` equal parts of the total.

        Source: Schaul et al. 2016, appendix B.2.1.
        """
        points = (np.arange(count) + rng.random(count)) / count * self._tree.total
        return self._tree.find(points)

    @property
    def total(self) -> float:
        """The sum of all `values`."""
        return self._tree.total

    def weights(self, places: np.ndarray, importance_exponent: float) -> np.ndarray:
        """Returns the importance weights of places, [B] int64, that were drawn together."""
        return importance_weights(self._tree.get(places), importance_exponent)


def importance_weights(values: np.ndarray, importance_exponent: float) -> np.ndarray:
    """Returns the importance weights of transitions that were drawn together.

    w_i = (N P(i))**-beta, divided by the highest weight of the batch, Schaul et al. 2016,
    section 3.4. So a transition that is drawn more often than by uniform sampling counts less.
    N and the sum of all priorities cancel out in the division.

    Args:
        values: [B] float64, p**alpha of each, above 0.
        importance_exponent: beta, from 0, no correction, to 1, a full one.

    Returns:
        [B] float64.
    """
    return (values / values.min()) ** -importance_exponent
