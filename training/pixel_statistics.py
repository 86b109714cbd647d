"""The mean and the deviation of each pixel, by which networks whiten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from keras import ops

from replay.device_frames import states_at

if TYPE_CHECKING:
    from replay.batch import Batch
    from training.memory_parts import Memory

MOST_BATCHES, BATCH_SIZE = 64, 64


def pixel_statistics(memory: Memory) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the standard deviation of each pixel, each [H, W] float32.

    They are those of frames that are drawn from the memory, the newest ones of states: as many as
    it holds transitions, about, and at most 8,192. Older ones are black where an episode has just
    started.

    Raises:
        ValueError: the memory holds no transition to draw.
    """
    rng = np.random.default_rng(0)
    shape = memory.parts[0].state_shape[:2]
    total, total_of_squares = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    batches = min(max(1, len(memory) // BATCH_SIZE // 2), MOST_BATCHES)
    for _ in range(batches):
        for frames in _newest_frames(memory.sample(BATCH_SIZE, rng)):
            pixels = frames.astype(np.int64)
            total += pixels.sum(axis=0)
            total_of_squares += np.square(pixels).sum(axis=0)
    count = 2 * batches * BATCH_SIZE
    mean = total / count
    variance = total_of_squares / count - np.square(mean)
    # Rounding may leave less than 0.
    return mean.astype(np.float32), np.sqrt(np.maximum(variance, 0)).astype(np.float32)


def _newest_frames(batch: Batch) -> list[np.ndarray]:
    """Returns the newest frames of the states of a batch, two times [B, H, W] uint8."""
    if batch.frames is None:
        return [batch.s_tm1[..., -1], batch.s_t[..., -1]]
    array = batch.frames.array
    return [
        ops.convert_to_numpy(states_at(places[:, -1:], array))[..., 0]
        for places in (batch.s_tm1, batch.s_t)
    ]
