"""A batch of transitions, as the replay memory gives it and the agent takes it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

ALIGNMENT = 64  # bytes, of the arrays of a batch


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
        s_tm1=_aligned_zeros(shape, dtype),
        a_tm1=_aligned_zeros((size,), np.int32),
        r_t=_aligned_zeros((size,), np.float32),
        discount_t=_aligned_zeros((size,), np.float32),
        s_t=_aligned_zeros(shape, dtype),
        indices=_aligned_zeros((size,), np.int64),
        weights=_aligned_zeros((size,), np.float32),
    )


def _aligned_zeros(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Returns zeros that start where TensorFlow can take them as they are, without a copy."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.zeros(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)
