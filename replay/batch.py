"""A batch of transitions, as the replay memory gives it and the agent takes it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from replay.device_frames import DeviceFrames

ALIGNMENT = 64  # bytes, of the arrays of a batch


class Batch(NamedTuple):
    """B transitions to learn from, in the notation of `s_tm1, a_tm1, r_t, discount_t, s_t`.

    Where the frames of the memory lie on the device, a batch has these frames, and in place of each
    state the places of its frames there, [B, k] int32, oldest first. The batch is then good until
    the next frames are appended.
    """

    s_tm1: np.ndarray  # [B, H, W, k] uint8
    a_tm1: np.ndarray  # [B] int32
    r_t: np.ndarray  # [B] float32, n-step rewards, discounted to the first step
    discount_t: np.ndarray  # [B] float32, gamma**n, or 0 where the return ended
    s_t: np.ndarray  # [B, H, W, k] uint8, n steps on; without meaning where discount_t is 0
    indices: np.ndarray  # [B] int64, which transitions these are, for `update_priorities`
    weights: np.ndarray  # [B] float32, importance weights, 1 where sampling is uniform
    frames: DeviceFrames | None = None  # that s_tm1 and s_t have the places of, if on the device

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name: all fields but `frames`."""
        arrays = self._asdict()
        del arrays["frames"]
        return arrays

    def rows(self, first: int, last: int) -> Batch:
        """Returns some of the transitions, in the same arrays."""
        arrays = (array[first:last] for array in self.arrays.values())
        return Batch._make((*arrays, self.frames))


def empty_batch(
    size: int, state_shape: tuple[int, int, int], frames: DeviceFrames | None = None
) -> Batch:
    """Returns a batch of arrays to fill with transitions.

    Args:
        size: B, transitions.
        state_shape: (H, W, k).
        frames: the frames, if they lie on the device.
    """
    shape: tuple[int, ...] = (size, *state_shape)
    dtype: type = np.uint8
    if frames:
        shape, dtype = (size, state_shape[2]), np.int32
    return Batch(
        s_tm1=_aligned_zeros(shape, dtype),
        a_tm1=_aligned_zeros((size,), np.int32),
        r_t=_aligned_zeros((size,), np.float32),
        discount_t=_aligned_zeros((size,), np.float32),
        s_t=_aligned_zeros(shape, dtype),
        indices=_aligned_zeros((size,), np.int64),
        weights=_aligned_zeros((size,), np.float32),
        frames=frames,
    )


def _aligned_zeros(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Returns zeros that start where TensorFlow can take them as they are, without a copy."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.zeros(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)
