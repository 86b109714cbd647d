"""Batches of random numbers, for where it does not matter what is learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from replay.batch import Batch, empty_batch

if TYPE_CHECKING:
    from replay.device_frames import DeviceFrames

STATE, ACTIONS = (84, 84, 4), 6


def random_batch(
    size: int, state_shape: tuple[int, int, int] = STATE, frames: DeviceFrames | None = None
) -> Batch:
    """Returns transitions, the same each time, whose arrays lie as the replay memory's do.

    Args:
        size: how many.
        state_shape: (H, W, k).
        frames: the frames, if they lie on the device.
    """
    rng = np.random.default_rng(1)
    batch = empty_batch(size, state_shape, frames)
    values = frames.black if frames else 256  # places, or shades of grey
    for states in (batch.s_tm1, batch.s_t):
        states[:] = rng.integers(values, size=states.shape, dtype=states.dtype)
    batch.a_tm1[:] = rng.integers(ACTIONS, size=size)
    batch.r_t[:] = rng.normal(size=size)
    batch.discount_t[:] = 0.97
    batch.indices[:] = np.arange(size)
    batch.weights[:] = 1
    return batch
