"""The bytes that a replay memory takes, and whether they fit, before any are taken."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, NamedTuple

from replay import device_frames, frames
from replay.sampling import Sampler, sampler_class
from replay.states import unpacking_bytes
from replay.steps import STEP
from system.devices import has_gpu, spare_gpu_memory
from system.memory import available_memory, learner_bytes, mebibytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from settings.config import Config


class _Place(NamedTuple):
    """Where a replay memory may not fit."""

    name: str
    spare: int  # bytes
    needed: Callable[[int], int]  # bytes there at most, by transitions


def most_bytes(
    capacity: int,
    streams: int,
    state_shape: tuple[int, int, int],
    codec: str | None,
    sampler: type[Sampler],
    frames_per_step: int = 1,
) -> int:
    """Returns the bytes that a memory takes on the host at most, without making one.

    Args:
        capacity: transitions held at most, all streams together.
        streams: environments.
        state_shape: (H, W, k).
        codec: how frames are packed; None where they lie on the device.
        sampler: the way to draw.
        frames_per_step: frames that each step brings.
    """
    rows = capacity // streams
    most = rows * streams * STEP.itemsize + sampler.most_bytes(rows * streams)
    if codec:
        frame_bytes = state_shape[0] * state_shape[1]
        most += frames.most_bytes(codec, rows * frames_per_step, streams, frame_bytes)
        most += unpacking_bytes(state_shape)
    return most


def check_room(config: Config, state_shape: tuple[int, int, int]) -> None:
    """Checks that the replay memory that the settings describe fits.

    Raises:
        MemoryError: it could need more than the machine, the container or the GPU has left; the
            error names the largest memory that fits.
    """
    places = _places(config, state_shape)
    largest = min(
        bisect.bisect_right(range(config.memory_size), place.spare, key=place.needed) - 1
        for place in places
    )
    smallest = max(config.batch_size, config.streams * (state_shape[2] + config.n_step))
    fits = f"give at most --memory {largest}" if largest >= smallest else "no memory fits"
    other_place = ", or --memory-on-device no" if config.memory_on_device else ""
    for name, spare, needed in places:
        if (most := needed(config.memory_size)) > spare:
            raise MemoryError(
                f"--memory {config.memory_size} can come to take {mebibytes(most)}, and {name} "
                f"has {mebibytes(max(0, spare))} to spare: {fits}{other_place}"
            )


def _places(config: Config, state_shape: tuple[int, int, int]) -> list[_Place]:
    """Returns where the memory needs room, and how much of it."""
    height, width, _ = state_shape
    learner = learner_bytes(config.batch_size, height * width)
    codec = None if config.memory_on_device else config.frame_codec
    sampler = sampler_class(config)
    parts = max(1, config.actors)

    def on_host(capacity: int) -> int:
        part = capacity // parts
        frames_per_step = config.frames_per_step
        return parts * most_bytes(part, config.envs, state_shape, codec, sampler, frames_per_step)

    def on_device(capacity: int) -> int:
        rows = capacity // config.envs * config.frames_per_step
        return device_frames.most_bytes(rows, config.envs, (height, width))

    def together(capacity: int) -> int:
        return on_host(capacity) + on_device(capacity)

    host = _Place("this machine", available_memory() - learner, on_host)
    if not config.memory_on_device:
        return [host]
    if not has_gpu():
        # The device is the machine itself.
        return [host._replace(needed=together)]
    if (spare := spare_gpu_memory()) is None:
        return [host]
    return [host, _Place("the GPU", spare - learner, on_device)]
