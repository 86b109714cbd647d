"""Batches that a thread puts together while the learner works on the batch before."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from storage.state import State
from system.devices import joins_updates
from training.memory_parts import Memory, make_run_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

    from replay.batch import Batch
    from replay.n_step import Horizon
    from settings.config import Config


class _Most(NamedTuple):
    """The most that one call of the learner makes and learns from."""

    updates: int
    transitions: int


# Larger calls save no time on a processor, and take long to compile where updates are compiled one
# by one. On a GPU with JAX, which compiles one update for all, each call is a turn of the host's.
# Sent from the host, 1,024 transitions take 58 MB; on the device, 4,096 take 231 MB for a moment.
ON_PROCESSOR, FROM_HOST, ON_DEVICE = _Most(8, 256), _Most(128, 1_024), _Most(128, 4_096)


@dataclass
class _Room:
    """Arrays for the batches of one call."""

    arrays: Batch
    wait: Callable[[], None] | None = None  # until nobody reads them any more, if somebody does


class Prefetcher:
    """Draws the next batches when the last are taken, and unpacks them in the background.

        learner:    takes batch 1 | learns from 1 ............ | takes batch 2 | learns from 2 ...
        memory:     draws batch 2 | unpacks 2 ....             | draws batch 3 | unpacks 3 ....
                                                      changes: priorities, new transitions

    Where one call makes several updates, the batches of all of them are drawn and taken together.

    All that changes the memory goes through here as well, and waits until no batch is being put
    together. So the order of calls fixes which transitions an update sees, and timing does not: a
    batch is drawn from what the memory held when the batch before was taken, or when `prepare` was
    called.
    """

    def __init__(
        self,
        memory: Memory,
        batch_size: int,
        rng: np.random.Generator,
        most_updates: int = 1,
        in_background: bool = True,
    ):
        """Starts with nothing drawn.

        Args:
            memory: must only be changed through this object from here on.
            batch_size: B, transitions in each update.
            rng: draws the batches; nothing else may draw with it.
            most_updates: updates whose batches are taken together, at most.
            in_background: whether to use a thread. The batches are the same without it.
        """
        self.memory = memory
        self._batch_size = batch_size
        self._rng = rng
        self._thread = ThreadPoolExecutor(max_workers=1) if in_background else None
        # One for the learner and one to be filled.
        most = most_updates * batch_size
        self._rooms = [_Room(memory.empty_batch(most)) for _ in range(2)]
        self._taken = self._rooms[0]
        self._next: Future[Batch] | None = None

    def take(
        self,
        importance_exponent: float,
        updates: int = 1,
        following: int = 1,
        horizon: Horizon | None = None,
    ) -> Batch:
        """Returns batches, one after the other, and draws the next ones.

        Args:
            importance_exponent: of the batches drawn now; see `ReplayMemory.sample`.
            updates: U, batches to take; as many as were drawn, if some were.
            following: batches to draw for the next call; 0 leaves that to `prepare`.
            horizon: of the returns in the batches drawn now; see `ReplayMemory.sample`.

        Returns:
            [U·B] transitions, in arrays that are filled again after the next call; see `keep`.

        Raises:
            ValueError: the memory holds no transition to draw.
        """
        self.prepare(importance_exponent, updates, horizon)
        assert self._next is not None
        # Where this fails, the next call draws anew.
        drawn, self._next = self._next, None
        self._taken = self._rooms[0]
        batches = drawn.result()
        assert len(batches.indices) == updates * self._batch_size
        if following:
            self.prepare(importance_exponent, following, horizon)
        return batches

    def keep(self, wait: Callable[[], None]) -> None:
        """Keeps the batches that were taken last as they are until a function returns.

        Args:
            wait: returns when nobody reads them any more. What draws into their arrays calls it.
        """
        self._taken.wait = wait

    def prepare(
        self, importance_exponent: float, updates: int = 1, horizon: Horizon | None = None
    ) -> None:
        """Draws the batches that are taken next, unless some are drawn already.

        Args:
            importance_exponent: of these batches.
            updates: batches to draw.
            horizon: of the returns in them.
        """
        if self._next is not None:
            return
        self._rooms.reverse()
        arguments = importance_exponent, updates, self._rooms[0], horizon
        if self._thread:
            self._next = self._thread.submit(self._draw, *arguments)
        else:
            self._next = Future()
            try:
                self._next.set_result(self._draw(*arguments))
            except ValueError as error:
                self._next.set_exception(error)  # as a thread does, for the call that takes it

    def _draw(
        self, importance_exponent: float, updates: int, room: _Room, horizon: Horizon | None
    ) -> Batch:
        """Fills the first rows of a room with batches, each drawn on its own."""
        if room.wait:
            room.wait()
            room.wait = None
        rows = room.arrays.rows(0, updates * self._batch_size)
        return self.memory.sample(self._batch_size, self._rng, importance_exponent, rows, horizon)

    def append(
        self,
        frames: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminals: np.ndarray,
        ends: np.ndarray,
        *,
        part: int = 0,
    ) -> None:
        """Remembers one step of all streams of a part; see `ReplayMemory.append`.

        Where the frames lie on the device, no batch may have been drawn that is not taken yet.
        """
        self._settle()
        # A batch holds the places of its frames, which other frames may take now.
        assert self._next is None or not self.memory.device_frames
        self.memory.parts[part].append(frames, actions, rewards, terminals, ends)

    def end_episodes(self, part: int | None = None) -> None:
        """Cuts off the episodes of all streams, or of those of a part."""
        self._settle()
        for memory in self.memory.parts if part is None else [self.memory.parts[part]]:
            memory.end_episodes()

    def update_priorities(self, indices: np.ndarray, td_errors: np.ndarray) -> None:
        """Takes the |TD errors| of transitions; see `ReplayMemory.update_priorities`."""
        self._settle()
        self.memory.update_priorities(indices, td_errors)

    def load(self, path: Path) -> None:
        """Takes what a memory saved in place of all that this one holds; see `ReplayMemory.load`.

        No batch may have been drawn that is not taken yet.

        Raises:
            ArrayFileError: the file is damaged, or of another memory; the memory stays as it was.
            OSError: the file cannot be read.
        """
        assert self._next is None
        self.memory.load(path)

    def get_state(self) -> State:
        """Returns the state of the generator that draws the next batch.

        A batch that is drawn but not taken is no part of it; between two turns of the loop there is
        none.
        """
        self._settle()
        return State(dict(self._rng.bit_generator.state), {})

    def set_state(self, state: State) -> None:
        """Takes what `get_state` returned."""
        self._rng.bit_generator.state = state.attributes

    def close(self) -> None:
        """Ends the thread."""
        if self._thread:
            self._thread.shutdown()

    def _settle(self) -> None:
        """Waits until no batch is being put together."""
        if self._next:
            wait([self._next])


def updates_in_a_call(config: Config) -> int:
    """Returns the most updates that one call makes here, a power of two.

    Drawn uniformly, the batches of a turn do not depend on it: they are all drawn before the turn's
    steps are remembered. By priority, all batches of a call are drawn before it is made, so what an
    update says of its transitions counts from a later call on.
    """
    return most_updates(config, joins_updates())


def most_updates(config: Config, joins: bool) -> int:
    """Returns the most updates that are worth making in a call, a power of two.

    Args:
        config: the settings.
        joins: see `system.devices.joins_updates`.
    """
    most = (ON_DEVICE if config.memory_on_device else FROM_HOST) if joins else ON_PROCESSOR
    fitting = max(1, min(most.updates, most.transitions // config.batch_size))
    return 1 << (fitting.bit_length() - 1)


def make_prefetcher(
    config: Config, state_shape: tuple[int, int, int], rng: np.random.Generator
) -> Prefetcher:
    """Returns a prefetcher with the replay memory that the settings describe, still empty.

    Args:
        config: the settings.
        state_shape: (H, W, k).
        rng: draws the batches.

    Raises:
        MemoryError: it could need more than the machine, the container or the GPU has left.
    """
    memory = make_run_memory(config, state_shape)
    return Prefetcher(memory, config.batch_size, rng, updates_in_a_call(config))
