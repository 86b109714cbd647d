"""Batches of random numbers, for where it does not matter what is learnt."""

from __future__ import annotations

import numpy as np

from replay.batch import Batch, empty_batch

STATE, ACTIONS = (84, 84, 4), 6


def random_batch(
    size: int, state_shape: tuple[int, int, int] = STATE, frames: int | None = None
) -> Batch:
    """Returns transitions, the same each time, whose arrays lie as the replay memory's do.

    Args:
        size: how many.
        state_shape: (H, W, k).
        frames: how many there are on the device, if it is there that the states' frames lie.
    """
    rng = np.random.default_rng(1)
    batch = empty_batch(size, state_shape, on_device=frames is not None)
    for states in (batch.s_tm1, batch.s_t):
        states[:] = rng.integers(frames or 256, size=states.shape, dtype=states.dtype)
    batch.a_tm1[:] = rng.integers(ACTIONS, size=size)
    batch.r_t[:] = rng.normal(size=size)
    batch.discount_t[:] = 0.97
    batch.indices[:] = np.arange(size)
    batch.weights[:] = 1
    return batch
