"""The replay memory: every frame once, states and n-step returns put together when sampled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """B transitions to learn from, in the notation of `s_tm1, a_tm1, r_t, discount_t, s_t`."""

    s_tm1: np.ndarray  # [B, H, W, k] uint8
    a_tm1: np.ndarray  # [B] int32
    r_t: np.ndarray  # [B] float32, n-step rewards, discounted to the first step
    discount_t: np.ndarray  # [B] float32, gamma**n, or 0 where the return ended
    s_t: np.ndarray  # [B, H, W, k] uint8, n steps on; without meaning where discount_t is 0
    indices: np.ndarray  # [B] int64, where the transitions lie, for `update_priorities`
    weights: np.ndarray  # [B] float32, importance weights, 1 where sampling is uniform


class ReplayMemory:
    """A ring of the newest transitions of n streams, one for each environment.

    A row is one step of all streams: the frame that each decision was made on, the action, the
    reward that it led to, and whether the return or the episode ended with it.

        row:       0     1     2     3     4        the state at row 4 (k = 4) is [1 2 3 4];
        frame:     A     B     C     D     E        after an episode's end in row 2 it is
        action:    a0    a1    a2    a3    (a4)     [black black D E]
        reward:    r1    r2    r3    r4    (r5)

    A transition can be drawn if its state and a state to bootstrap from are both in memory. The
    n-step return is cut short, and bootstrapped from where it was cut, at the newest row and where
    an episode was cut off; only the last step before such a place has nothing to bootstrap from.
    """

    def __init__(
        self,
        capacity: int,
        streams: int,
        frame_shape: tuple[int, int],
        stack_size: int,
        n_step: int,
        discount: float,
    ):
        """Makes an empty memory.

        Args:
            capacity: transitions held at most, all streams together; rounded down to whole rows.
            streams: environments that are remembered side by side.
            frame_shape: (height, width) of a frame.
            stack_size: k, frames in a state.
            n_step: rewards in a return.
            discount: gamma, for each step.

        Raises:
            ValueError: there is no room for one state and its return in each stream.
            MemoryError: the machine has no room for it.
        """
        rows = capacity // streams
        if rows < stack_size + n_step:
            raise ValueError(
                f"a memory of {capacity} transitions is too small for {streams} streams: "
                f"at least {streams * (stack_size + n_step)}"
            )
        self.capacity = rows * streams
        self._rows, self._streams = rows, streams
        self._stack_size, self._n_step = stack_size, n_step
        self._discounts = (discount ** np.arange(n_step + 1)).astype(np.float32)
        self._frames = np.zeros((rows, streams, *frame_shape), np.uint8)
        self._actions = np.zeros((rows, streams), np.int32)
        self._rewards = np.zeros((rows, streams), np.float32)
        self._terminals = np.zeros((rows, streams), bool)
        self._ends = np.zeros((rows, streams), bool)
        # Frames before this one in its episode, as far as a state can reach back.
        self._history = np.zeros((rows, streams), np.int32)
        self._next_history = np.zeros(streams, np.int32)
        self._next_row = 0
        self._filled_rows = 0
        self._has_drawable = False

    def __len__(self) -> int:
        """Returns the number of transitions held."""
        return self._filled_rows * self._streams

    def __repr__(self) -> str:
        """Returns how full it is and how large."""
        filled = f"{len(self):,} of {self.capacity:,} transitions"
        return f"ReplayMemory({filled}, {self.nbytes:,} bytes)"

    @property
    def nbytes(self) -> int:
        """Bytes that it takes when it is full."""
        arrays = (self._frames, self._actions, self._rewards, self._terminals, self._ends)
        return sum(array.nbytes for array in arrays) + self._history.nbytes

    @property
    def can_sample(self) -> bool:
        """Whether there is a transition to draw, which takes a few steps."""
        if not self._has_drawable:
            self._has_drawable = bool(self._drawable(np.arange(len(self))).any())
        return self._has_drawable

    def append(
        self,
        frames: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminals: np.ndarray,
        ends: np.ndarray,
    ) -> None:
        """Remembers one step of all streams in place of the oldest.

        Args:
            frames: [streams, H, W] uint8, the newest frame of the state that was acted on.
            actions: [streams] int, what was done.
            rewards: [streams] float, what it gave.
            terminals: [streams] bool, whether nothing later counts for the return.
            ends: [streams] bool, whether the next frame starts another episode. An end that is not
                terminal is a cut, such as a time limit.
        """
        row = self._next_row
        self._frames[row] = frames
        self._actions[row] = actions
        self._rewards[row] = rewards
        self._terminals[row] = terminals
        self._ends[row] = ends
        self._history[row] = self._next_history
        reach = np.minimum(self._next_history + 1, self._stack_size - 1)
        self._next_history = np.where(ends, 0, reach).astype(np.int32)
        self._next_row = (row + 1) % self._rows
        self._filled_rows = min(self._filled_rows + 1, self._rows)

    def sample(self, batch_size: int, rng: np.random.Generator) -> Batch:
        """Returns transitions drawn uniformly, with replacement, from all that can be drawn.

        Args:
            batch_size: B.
            rng: what to draw with.

        Raises:
            ValueError: no transition can be drawn yet.
        """
        ages, streams = self._draw(batch_size, rng)
        returns, discounts, steps = self._returns(ages, streams)
        # A return that ended has no next state; its own state stands in.
        next_ages = np.where(discounts > 0, ages - steps, ages)
        rows = self._row(ages)
        return Batch(
            s_tm1=self._states(ages, streams),
            a_tm1=self._actions[rows, streams],
            r_t=returns,
            discount_t=discounts,
            s_t=self._states(next_ages, streams),
            indices=rows * self._streams + streams,
            weights=np.ones(batch_size, np.float32),
        )

    def update_priorities(self, indices: np.ndarray, td_errors: np.ndarray) -> None:
        """Takes the |TD error| of the transitions last learnt from.

        Uniform sampling has no use for it; it is for a memory that samples by priority.

        Args:
            indices: [B] int64, `Batch.indices`.
            td_errors: [B] float32, absolute.
        """

    def _draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ages in rows and the streams of `count` transitions that can be drawn.

        Draws from all, and draws again what falls on one that cannot be drawn: so each of the
        others is as likely as any.
        """
        picked = np.zeros(0, np.int64)
        for _ in range(100):
            drawn = rng.integers(max(1, len(self)), size=count - len(picked))
            picked = np.concatenate([picked, drawn[self._drawable(drawn)]])
            if len(picked) == count:
                return np.divmod(picked, self._streams)
        # Nearly nothing can be drawn: look at all.
        everything = np.arange(len(self))
        drawable = everything[self._drawable(everything)]
        if not len(drawable):
            raise ValueError("the memory holds no whole transition to sample yet")
        return np.divmod(rng.choice(drawable, count), self._streams)

    def _drawable(self, transitions: np.ndarray) -> np.ndarray:
        """Returns which transitions, counted from the newest row on, can be drawn, [N] bool."""
        ages, streams = np.divmod(transitions, self._streams)
        reach = self._history[self._row(ages), streams]
        _, _, steps = self._returns(ages, streams)
        return (ages + reach < self._filled_rows) & (steps > 0)

    def _returns(
        self, ages: np.ndarray, streams: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the n-step returns that start at these transitions.

        Sutton and Barto 2018, equation 7.1, cut where there is nothing to go on with.

        Args:
            ages: [N] int64, rows since, 0 for the newest.
            streams: [N] int64.

        Returns:
            The sums of rewards [N] float32, the discounts of the state that follows [N] float32
            (0 after a terminal end) and the numbers of steps summed [N] int64 (0 where not even the
            first step's outcome is known).
        """
        returns = np.zeros(len(ages), np.float32)
        steps = np.zeros(len(ages), np.int64)
        ended = np.zeros(len(ages), bool)
        going_on = np.ones(len(ages), bool)
        for step in range(self._n_step):
            rows = self._row(ages - step)
            terminal = self._terminals[rows, streams]
            # The state after this step has to be known, unless none counts after it.
            followed = ~self._ends[rows, streams] & (ages > step)
            going_on &= (ages >= step) & (terminal | followed)
            returns += np.where(going_on, self._discounts[step] * self._rewards[rows, streams], 0)
            steps += going_on
            ended |= going_on & terminal
            going_on &= ~terminal
        discounts = np.where(ended, np.float32(0), self._discounts[steps])
        return returns, discounts, steps

    def _states(self, ages: np.ndarray, streams: np.ndarray) -> np.ndarray:
        """Returns the states at these transitions, [N, H, W, k] uint8."""
        reach = self._history[self._row(ages), streams]
        states = np.empty((len(ages), *self._frames.shape[2:], self._stack_size), np.uint8)
        for back in range(self._stack_size):
            frames = self._frames[self._row(ages + back), streams]
            frames[reach < back] = 0
            states[..., self._stack_size - 1 - back] = frames
        return states

    def _row(self, ages: np.ndarray) -> np.ndarray:
        """Returns the rows that are so many rows old."""
        return (self._next_row - 1 - ages) % self._rows
