"""Replay memories of any shape, made without a `Config`."""

from __future__ import annotations

from replay.device_frames import DeviceFrames
from replay.frames import make_frame_store
from replay.n_step import Horizon
from replay.sampling import PrioritizedSampler, Sampler, UniformSampler
from replay.states import DeviceStates, HostStates, States
from replay_memory import ReplayMemory


def a_memory(
    capacity: int,
    streams: int,
    frame_shape: tuple[int, int],
    stack_size: int,
    n_step: int,
    discount: float,
    *,
    frames_per_step: int = 1,
    codec: str = "zstd",
    priority_exponent: float = 0.0,
    newest_share: float = 1.0,
    game: str = "",
    on_device: bool = False,
) -> ReplayMemory:
    """Returns an empty memory, put together as `replay_memory.make_memory` does."""
    rows, shape = capacity // streams, (*frame_shape, stack_size)
    states: States
    if on_device:
        device_frames = DeviceFrames(rows * frames_per_step, streams, frame_shape)
        states = DeviceStates(device_frames, shape, frames_per_step)
    else:
        height, width = frame_shape
        frames = make_frame_store(codec, rows * frames_per_step, streams, height * width)
        states = HostStates(frames, shape, frames_per_step)
    sampler: Sampler = UniformSampler()
    if priority_exponent:
        sampler = PrioritizedSampler(rows * streams, priority_exponent)
    horizon = Horizon(n_step, discount)
    return ReplayMemory(
        capacity, streams, horizon, states=states, sampler=sampler, newest_share=newest_share,
        game=game,
    )  # fmt: skip
