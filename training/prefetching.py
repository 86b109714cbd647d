"""Batches that a thread puts together while the learner works on the one before."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import numpy as np

from replay import device_frames
from replay.batch import Batch
from replay.device_frames import DeviceFrames
from replay.n_step import Horizon
from replay_memory import ReplayMemory
from settings.config import Config
from system.devices import has_gpu, spare_gpu_memory
from system.memory import available_memory, mebibytes

# What the program comes to take beside the memory once all is set up, and for each transition of a
# batch, as measured with the larger network and frames of 84×84. Both grow with the frames.
LEARNER_BYTES, LEARNER_TRANSITION_BYTES = 256 << 20, 1 << 20
LEARNER_FRAME_PIXELS = 84 * 84
# What one call learns from at most: beyond, a call saves nothing and takes long to compile.
MOST_UPDATES, MOST_TRANSITIONS = 8, 256


class Prefetcher:
    """Draws batches when those before are taken, and unpacks them in the background.

        learner:    takes batch 1 | learns from 1 ............ | takes batch 2 | learns from 2 ...
        memory:     draws batch 2 | unpacks 2 ....             | draws batch 3 | unpacks 3 ....
                                                      changes: priorities, new transitions

    Where one call makes several updates, the batches of all of them are drawn and taken together.

    Whatever changes the memory goes through here as well, and waits until no batch is being put
    together. So which transitions an update sees is fixed by the order of calls, and not by timing:
    a batch is what the memory held when the batch before was taken, one call ago, or when
    `prepare` was called.
    """

    def __init__(
        self,
        memory: ReplayMemory,
        batch_size: int,
        rng: np.random.Generator,
        most_updates: int = 1,
        in_background: bool = True,
    ):
        """Starts with nothing drawn.

        Args:
            memory: from here on to be changed through this object only.
            batch_size: B.
            rng: what to draw with; nobody else may draw with it.
            most_updates: whose batches are taken together at most.
            in_background: whether to use a thread. The batches are the same without it.
        """
        self.memory = memory
        self._batch_size = batch_size
        self._rng = rng
        self._thread = ThreadPoolExecutor(max_workers=1) if in_background else None
        # One for the learner and one to be filled.
        most = most_updates * batch_size
        self._arrays = [memory.empty_batch(most) for _ in range(2)]
        self._next: Future[Batch] | None = None

    def take(
        self,
        importance_exponent: float,
        updates: int = 1,
        following: int = 1,
        horizon: Horizon | None = None,
    ) -> Batch:
        """Returns batches, one after the other, and draws those to follow.

        Args:
            importance_exponent: of what is drawn now; see `ReplayMemory.sample`.
            updates: U, how many to take; as many as were drawn, if some were.
            following: how many to draw at once for the next call; 0 leaves that to `prepare`.
            horizon: of the returns of what is drawn now; see `ReplayMemory.sample`.

        Returns:
            [U·B] transitions, in arrays that are filled anew after the next call.

        Raises:
            ValueError: the memory holds no transition to draw.
        """
        self.prepare(importance_exponent, updates, horizon)
        assert self._next is not None
        # Where this fails, the next call draws anew.
        drawn, self._next = self._next, None
        batches = drawn.result()
        assert len(batches.indices) == updates * self._batch_size
        if following:
            self.prepare(importance_exponent, following, horizon)
        return batches

    def prepare(
        self, importance_exponent: float, updates: int = 1, horizon: Horizon | None = None
    ) -> None:
        """Draws what is taken next, if that has not been done yet.

        Args:
            importance_exponent: of these batches.
            updates: how many.
            horizon: of their returns.
        """
        if self._next is not None:
            return
        self._arrays.reverse()
        arguments = importance_exponent, updates, self._arrays[0], horizon
        if self._thread:
            self._next = self._thread.submit(self._draw, *arguments)
        else:
            self._next = Future()
            try:
                self._next.set_result(self._draw(*arguments))
            except ValueError as error:
                self._next.set_exception(error)  # as a thread does, for the call that takes it

    def _draw(
        self, importance_exponent: float, updates: int, arrays: Batch, horizon: Horizon | None
    ) -> Batch:
        """Fills the first rows of arrays with batches, each drawn as if it were alone."""
        size = self._batch_size
        for first in range(0, updates * size, size):
            rows = arrays.rows(first, first + size)
            self.memory.sample(size, self._rng, importance_exponent, rows, horizon)
        return arrays.rows(0, updates * size)

    def append(
        self,
        frames: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminals: np.ndarray,
        ends: np.ndarray,
    ) -> None:
        """Remembers one step of all streams; see `ReplayMemory.append`.

        Where the frames lie on the device, nothing may have been drawn that is still to be taken.
        """
        self._settle()
        # A batch holds the places of its frames, which now may be given to others.
        assert self._next is None or not self.memory.device_frames
        self.memory.append(frames, actions, rewards, terminals, ends)

    def end_episodes(self) -> None:
        """Lets other episodes follow in all streams; see `ReplayMemory.end_episodes`."""
        self._settle()
        self.memory.end_episodes()

    def update_priorities(self, indices: np.ndarray, td_errors: np.ndarray) -> None:
        """Takes the |TD error| of transitions; see `ReplayMemory.update_priorities`."""
        self._settle()
        self.memory.update_priorities(indices, td_errors)

    def get_state(self) -> dict[str, Any]:
        """Returns what the next batch will be drawn with.

        One that has been drawn ahead is no part of it; between two turns of the loop there is none.
        """
        self._settle()
        return dict(self._rng.bit_generator.state)

    def set_state(self, numbers: dict[str, Any]) -> None:
        """Takes what `get_state` returned."""
        self._rng.bit_generator.state = numbers

    def close(self) -> None:
        """Ends the thread."""
        if self._thread:
            self._thread.shutdown()

    def _settle(self) -> None:
        """Waits until no batch is being put together."""
        if self._next:
            wait([self._next])


def updates_in_a_call(config: Config) -> int:
    """Returns how many updates one call makes at most, a power of two.

    By priority it is one, as the TD errors of an update count for the batches after it.
    """
    if config.priority_exponent:
        return 1
    fitting = max(1, min(MOST_UPDATES, MOST_TRANSITIONS // config.batch_size))
    return 1 << (fitting.bit_length() - 1)


def make_prefetcher(
    config: Config, state_shape: tuple[int, int, int], rng: np.random.Generator
) -> Prefetcher:
    """Returns the replay memory that the settings describe, to be drawn from with `rng`.

    Raises:
        MemoryError: it could come to need more than the machine, the container or the GPU has left.
    """
    _check_room(config, state_shape)
    height, width, stack_size = state_shape
    frames = None
    if config.memory_on_device:
        rows = config.memory_size // config.envs * config.frames_per_step
        frames = DeviceFrames(rows, config.envs, (height, width))
    memory = ReplayMemory(
        config.memory_size,
        config.envs,
        (height, width),
        stack_size,
        config.n_step,
        config.discount,
        frames_per_step=config.frames_per_step,
        codec=config.frame_codec,
        priority_exponent=config.priority_exponent,
        game=config.environment,
        device_frames=frames,
    )
    return Prefetcher(memory, config.batch_size, rng, updates_in_a_call(config))


class _Room(NamedTuple):
    """Memory that a replay memory may not have enough of."""

    where: str
    spare: int  # bytes
    needed: Callable[[int], int]  # bytes there at most, by transitions


def _check_room(config: Config, state_shape: tuple[int, int, int]) -> None:
    """Raises MemoryError where the replay memory does not fit, naming the largest that does."""
    height, width, stack_size = state_shape
    learner = LEARNER_BYTES + config.batch_size * LEARNER_TRANSITION_BYTES
    learner = learner * height * width // LEARNER_FRAME_PIXELS

    def on_host(capacity: int) -> int:
        return ReplayMemory.most_bytes(
            capacity,
            config.envs,
            (height, width),
            stack_size,
            None if config.memory_on_device else config.frame_codec,
            config.priority_exponent > 0,
            config.frames_per_step,
        )

    def on_device(capacity: int) -> int:
        rows = capacity // config.envs * config.frames_per_step
        return device_frames.most_bytes(rows, config.envs, (height, width))

    def together(capacity: int) -> int:
        return on_host(capacity) + on_device(capacity)

    # Where room is needed, what there is, and what a memory of so many transitions takes of it.
    rooms = [_Room("this machine", available_memory() - learner, on_host)]
    if config.memory_on_device and not has_gpu():
        # The device is the machine itself.
        rooms = [rooms[0]._replace(needed=together)]
    elif config.memory_on_device and (spare := spare_gpu_memory()) is not None:
        rooms.append(_Room("the GPU", spare - learner, on_device))
    largest = min(
        bisect.bisect_right(range(config.memory_size), each.spare, key=each.needed) - 1
        for each in rooms
    )
    smallest = max(config.batch_size, config.envs * (stack_size + config.n_step))
    fits = f"give at most --memory {largest}" if largest >= smallest else "no memory fits"
    for where, room, needed in rooms:
        if (most := needed(config.memory_size)) > room:
            raise MemoryError(
                f"--memory {config.memory_size} can come to take {mebibytes(most)}, and {where} "
                f"has {mebibytes(max(0, room))} to spare: {fits}"
            )
