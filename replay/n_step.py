"""n-step returns, cut short where the next step is not known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Horizon(NamedTuple):
    """How far ahead a return looks."""

    n_step: int  # rewards in it
    discount: float  # gamma, for each step

    @property
    def discounts(self) -> np.ndarray:
        """The discount to the power of 0, 1 and so on, up to n: [n + 1] float32."""
        return (self.discount ** np.arange(self.n_step + 1)).astype(np.float32)


def n_step_returns(
    rewards: np.ndarray, terminals: np.ndarray, known: np.ndarray, discounts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the n-step returns of N transitions, Sutton and Barto 2018, equation 7.1.

    A return ends with the first terminal step. Before the first step that is not known it is cut
    short, and bootstrapped from the state there.

    Args:
        rewards: [n, N] float32, of each transition's first step and of those after it.
        terminals: [n, N] bool, whether the return ends with a step.
        known: [n, N] bool, whether the outcome of a step is known.
        discounts: [n + 1] float32, gamma to the power of 0, 1 and so on.

    Returns:
        The sums of rewards [N] float32, the discounts of the state that follows [N] float32 (0
        after a terminal step) and the numbers of steps summed [N] int64 (0 where not even the first
        step's outcome is known).
    """
    # A step counts if all up to it are known and none before it is terminal.
    goes_on = np.ones_like(known)
    goes_on[1:] = ~terminals[:-1]
    counts = np.logical_and.accumulate(known & goes_on)
    steps = counts.sum(axis=0)
    returns = np.where(counts, rewards * discounts[:-1, None], 0).sum(axis=0)
    ended = (counts & terminals).any(axis=0)
    return returns, np.where(ended, 0, discounts[steps]), steps
