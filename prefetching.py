"""Batches that a thread puts together while the learner works on the one before."""

from __future__ import annotations

import bisect
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from batch import Batch, empty_batch
from config import Config
from machine import available_memory, mebibytes
from replay_memory import ReplayMemory

# What the program comes to take beside the memory once all is set up, and for each transition of a
# batch, as measured with the larger network and frames of 84×84. Both grow with the frames.
LEARNER_BYTES, LEARNER_TRANSITION_BYTES = 256 << 20, 1 << 20
LEARNER_FRAME_PIXELS = 84 * 84


class Prefetcher:
    """Draws each batch when the one before is taken, and unpacks it in the background.

        learner:    takes batch 1 | learns from 1 ............ | takes batch 2 | learns from 2 ...
        memory:     draws batch 2 | unpacks 2 ....             | draws batch 3 | unpacks 3 ....
                                                      changes: priorities, new transitions

    Whatever changes the memory goes through here as well, and waits until no batch is being put
    together. So which transitions an update sees is fixed by the order of calls, and not by timing:
    a batch is what the memory held when the batch before was taken, one update ago, or when
    `prepare` was called.
    """

    def __init__(
        self,
        memory: ReplayMemory,
        batch_size: int,
        rng: np.random.Generator,
        in_background: bool = True,
    ):
        """Starts with nothing drawn.

        Args:
            memory: from here on to be changed through this object only.
            batch_size: B.
            rng: what to draw with; nobody else may draw with it.
            in_background: whether to use a thread. The batches are the same without it.
        """
        self.memory = memory
        self._batch_size = batch_size
        self._rng = rng
        self._thread = ThreadPoolExecutor(max_workers=1) if in_background else None
        # One for the learner and one to be filled.
        self._arrays = [empty_batch(batch_size, memory.state_shape) for _ in range(2)]
        self._next: Future[Batch] | None = None

    def take(self, importance_exponent: float, ahead: bool = True) -> Batch:
        """Returns a batch, whose arrays are filled anew after the next call, and draws the next.

        Args:
            importance_exponent: of the batch that is drawn now; see `ReplayMemory.sample`.
            ahead: whether to draw the next at once, or to leave that to `prepare`.

        Raises:
            ValueError: the memory holds no transition to draw.
        """
        self.prepare(importance_exponent)
        assert self._next is not None
        # Where this fails, the next call draws anew.
        drawn, self._next = self._next, None
        batch = drawn.result()
        if ahead:
            self.prepare(importance_exponent)
        return batch

    def prepare(self, importance_exponent: float) -> None:
        """Draws the next batch, if that has not been done yet.

        Args:
            importance_exponent: of that batch.
        """
        if self._next is not None:
            return
        self._arrays.reverse()
        arguments = (self._batch_size, self._rng, importance_exponent, self._arrays[0])
        if self._thread:
            self._next = self._thread.submit(self.memory.sample, *arguments)
        else:
            self._next = Future()
            try:
                self._next.set_result(self.memory.sample(*arguments))
            except ValueError as error:
                self._next.set_exception(error)  # as a thread does, for the call that takes it

    def append(
        self,
        frames: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminals: np.ndarray,
        ends: np.ndarray,
    ) -> None:
        """Remembers one step of all streams; see `ReplayMemory.append`."""
        self._settle()
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


def make_prefetcher(
    config: Config, state_shape: tuple[int, int, int], rng: np.random.Generator
) -> Prefetcher:
    """Returns the replay memory that the settings describe, to be drawn from with `rng`.

    Raises:
        MemoryError: it could come to need more than the machine, or the container, has left.
    """
    height, width, stack_size = state_shape
    streams, frame_shape = config.envs, (height, width)

    def most_bytes(capacity: int) -> int:
        prioritized = config.priority_exponent > 0
        return ReplayMemory.most_bytes(
            capacity,
            streams,
            frame_shape,
            stack_size,
            config.frame_codec,
            prioritized,
            config.frames_per_step,
        )

    learner = LEARNER_BYTES + config.batch * LEARNER_TRANSITION_BYTES
    learner = learner * height * width // LEARNER_FRAME_PIXELS
    needed, room = most_bytes(config.memory), available_memory() - learner
    if needed > room:
        largest = bisect.bisect_right(range(config.memory), room, key=most_bytes) - 1
        smallest = max(config.batch, streams * (stack_size + config.n_step))
        fits = f"give at most --memory {largest}" if largest >= smallest else "no memory fits"
        raise MemoryError(
            f"--memory {config.memory} can come to take {mebibytes(needed)}, and this machine has "
            f"{mebibytes(max(0, room))} to spare: {fits}"
        )
    memory = ReplayMemory(
        config.memory,
        streams,
        frame_shape,
        stack_size,
        config.n_step,
        config.gamma,
        frames_per_step=config.frames_per_step,
        codec=config.frame_codec,
        priority_exponent=config.priority_exponent,
        game=config.environment,
    )
    return Prefetcher(memory, config.batch, rng)
