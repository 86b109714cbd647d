"""A batch of transitions, as the replay memory gives it and the agent takes it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """B transitions to learn from, in the notation of `s_tm1, a_tm1, r_t, discount_t, s_t`.

    Where the frames of the memory lie on the device, a batch holds in place of each state the
    places of its frames there, [B, k] int32, oldest first.
    """

    s_tm1: np.ndarray  # [B, H, W, k] uint8
    a_tm1: np.ndarray  # [B] int32
    r_t: np.ndarray  # [B] float32, n-step rewards, discounted to the first step
    discount_t: np.ndarray  # [B] float32, gamma**n, or 0 where the return ended
    s_t: np.ndarray  # [B, H, W, k] uint8, n steps on; without meaning where discount_t is 0
    indices: np.ndarray  # [B] int64, which transitions these are, for `update_priorities`
    weights: np.ndarray  # [B] float32, importance weights, 1 where sampling is uniform

    def rows(self, first: int, last: int) -> Batch:
        """Returns some of the transitions, in the same arrays."""
        return Batch(*(array[first:last] for array in self))


def empty_batch(size: int, state_shape: tuple[int, int, int], on_device: bool = False) -> Batch:
    """Returns arrays to fill with transitions.

    Args:
        size: how many.
        state_shape: (H, W, k).
        on_device: whether their frames lie on the device.
    """
    shape, dtype = (
        ((size, state_shape[2]), np.int32) if on_device else ((size, *state_shape), np.uint8)
    )
    return Batch(
        s_tm1=np.zeros(shape, dtype),
        a_tm1=np.zeros(size, np.int32),
        r_t=np.zeros(size, np.float32),
        discount_t=np.zeros(size, np.float32),
        s_t=np.zeros(shape, dtype),
        indices=np.zeros(size, np.int64),
        weights=np.zeros(size, np.float32),
    )
