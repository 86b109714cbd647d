"""Random actions that are kept for several steps, so that exploration goes somewhere."""

from __future__ import annotations

import numpy as np

from storage.state import State

DURATION_EXPONENT = 2.0  # mu in Dabney et al. 2021


def duration_shares(longest: int) -> np.ndarray:
    """Returns how likely each duration from 1 to the longest is, [longest] float64."""
    shares = np.arange(1, longest + 1) ** -DURATION_EXPONENT
    return shares / shares.sum()


class RandomActions:
    """Says which environments act at random at a step, and how.

    An action at random is kept for n steps, with a probability proportional to n^-2 for each n up
    to the longest: most are over at once, and a few go far (Dabney et al. 2021, "Temporally-
    Extended epsilon-Greedy Exploration", algorithm 1). Where the longest is 1, this is
    epsilon-greedy.

    Epsilon is the share of steps at random. In the paper it is the probability that such an action
    begins, so that more steps are at random.
    """

    def __init__(self, num_actions: int, environments: int, longest: int = 1):
        """Takes what to draw from.

        Args:
            num_actions: A.
            environments: n.
            longest: the most steps that an action is kept for, from 1.
        """
        self._num_actions = num_actions
        shares = duration_shares(longest)
        self._longest, self._cumulative = longest, shares.cumsum()
        self._mean_duration = float(shares @ np.arange(1, longest + 1))
        self._actions = np.zeros(environments, np.int64)  # that are kept, while there are steps
        self._steps_left = np.zeros(environments, np.int64)

    def draw(self, epsilon: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Goes on by one step.

        Args:
            epsilon: the share of steps at random, in the mean of many.
            rng: draws the actions, and for how long they are kept.

        Returns:
            Actions, [n] int64, and where they are to be taken, [n] bool.
        """
        actions = rng.integers(self._num_actions, size=len(self._actions))
        begins = rng.random(len(actions)) < self._beginning(epsilon)
        if self._longest == 1:
            return actions, begins
        # Rounding may leave the last sum a little below 1, and below what is drawn.
        drawn = np.searchsorted(self._cumulative[:-1], rng.random(len(actions)), side="right") + 1
        is_kept = self._steps_left > 0
        begins &= ~is_kept
        self._actions[begins], self._steps_left[begins] = actions[begins], drawn[begins]
        is_random = begins | is_kept
        self._steps_left -= is_random
        return self._actions.copy(), is_random

    def _beginning(self, epsilon: float) -> float:
        """Returns the probability that an action begins where none is kept.

        With that probability p and a mean duration d, p·d of p·d + 1 - p steps are at random.
        """
        return epsilon / (1 + (self._mean_duration - 1) * (1 - epsilon))

    def get_state(self) -> State:
        """Returns the actions that are kept, and for how many steps."""
        arrays = {"actions": self._actions.copy(), "steps left": self._steps_left.copy()}
        return State({}, arrays)

    def set_state(self, state: State) -> None:
        """Takes what `get_state` returned."""
        self._actions[:] = state.arrays["actions"]
        self._steps_left[:] = state.arrays["steps left"]
