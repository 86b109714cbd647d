"""States to act on, on the device and on the host, side by side."""

from __future__ import annotations

import numpy as np

from preprocessing import FrameStack
from replay.device_stack import DeviceStack

SHAPE = 5, 6


def differences(frames_per_step: int, size: int, steps: int = 12) -> list[str]:
    """Returns where stacks on the device and on the host differ, from step to step.

    Half-way that on the device gives way to one that takes the states of the other.
    """
    rng = np.random.default_rng(size)
    shape = (*SHAPE, frames_per_step)
    host, device = FrameStack(3, shape, size), DeviceStack(3, shape, size)
    found = []
    for number in range(steps):
        frames = rng.integers(256, size=(3, *shape), dtype=np.uint8)
        starts = rng.random(3) < (0.3 if number else 1)
        for stack in (host, device):
            stack.push(frames, starts)
        if number == steps // 2:
            device = DeviceStack(3, shape, size)
            device.set_states(host.states)
        states, newest = np.array(device.states), np.array(device.newest)
        if states.dtype != np.uint8 or not np.array_equal(states, host.states):
            found.append(f"the states of step {number}")
        if not np.array_equal(newest.reshape(host.newest.shape), host.newest):
            found.append(f"the newest frames of step {number}")
    return found
