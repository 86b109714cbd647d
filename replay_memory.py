"""The replay memory: every frame once, states and n-step returns put together when sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from replay.batch import Batch, empty_batch
from replay.n_step import Horizon
from replay.priorities import importance_weights
from replay.room import check_room, most_bytes
from replay.sampling import Sampler, draw, make_sampler
from replay.states import States, make_states
from replay.steps import Steps
from storage.arrays import ArrayFile, ArrayFileError, save
from storage.checkpoints import MEMORY_KIND
from storage.loans import end_loans
from storage.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from replay.device_frames import DeviceFrames
    from settings.config import Config

LEAST_NEWEST = 50_000  # transitions


class ReplayMemory:
    """The newest transitions of n streams, one for each environment.

    At each time all streams take a step: the frame that the decision was made on, the action, the
    reward that it led to, and whether the return or the episode ended with it.

        time:      0     1     2     3     4        the state at time 4 (k = 4) is [1 2 3 4];
        frame:     A     B     C     D     E        after an episode's end at time 2 it is
        action:    a0    a1    a2    a3    (a4)     [black black D E]
        reward:    r1    r2    r3    r4    (r5)

    A step may bring p frames instead of one; with p = k a state is the frames of its own step.

    A transition can be drawn if its state and a state to bootstrap from are both in memory. The
    n-step return is cut short, and bootstrapped from where it was cut, at the newest time and where
    an episode was cut off; only the last step before such a place has nothing to bootstrap from.

    Of an agent that learns fast, old transitions soon tell little. So only a share of all that were
    ever remembered is drawn from, the newest ones. As a run goes on, these become as many as the
    memory holds. The age of the oldest policy matters, as Fedus et al. 2020 found.

    It is put together from `Steps`, from `States`, which hold the frames, and from a `Sampler`.

    Attributes:
        capacity: transitions held at most.
    """

    def __init__(
        self,
        capacity: int,
        streams: int,
        horizon: Horizon,
        *,
        states: States,
        sampler: Sampler,
        newest_share: float = 1.0,
        game: str = "",
    ):
        """Makes an empty memory.

        Args:
            capacity: transitions held at most, all streams together; rounded down to whole steps.
            streams: environments that are remembered side by side.
            horizon: of the returns.
            states: empty, with room for all steps that are held.
            sampler: empty, for all transitions that are held.
            newest_share: the share of all transitions ever remembered that can be drawn, from 0 to
                1, but no fewer than `LEAST_NEWEST`, and only what is held.
            game: what is remembered; a saved memory of another game is refused.

        Raises:
            ValueError: there is no room for one state and its return in each stream.
        """
        rows, stack_size = capacity // streams, states.shape[2]
        if rows < stack_size + horizon.n_step:
            raise ValueError(
                f"a memory of {capacity} transitions is too small for {streams} streams with "
                f"states of {stack_size} frames and {horizon.n_step}-step returns: "
                f"at least {streams * (stack_size + horizon.n_step)}"
            )
        self.capacity = rows * streams
        self._rows, self._streams, self._horizon, self._game = rows, streams, horizon, game
        self._steps = Steps(rows, streams, stack_size, states.frames_per_step)
        self._states, self._sampler, self._newest_share = states, sampler, newest_share
        # The time and the reach of a transition that can be drawn as long as its state is held.
        self._newest_drawable: tuple[int, int] | None = None

    def __len__(self) -> int:
        """Returns the number of transitions held."""
        return len(self._held)

    def __repr__(self) -> str:
        """Returns how full it is and how large."""
        filled = f"{len(self):,} of {self.capacity:,} transitions"
        short = ", as frames pack badly" if self.is_short else ""
        return f"ReplayMemory({filled}{short}, {self.nbytes:,} bytes)"

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """The shape of a state, (H, W, k)."""
        return self._states.shape

    @property
    def parts(self) -> tuple[ReplayMemory]:
        """The memories that it is made of: itself."""
        return (self,)

    @property
    def mass(self) -> float:
        """The sum of `masses` of all transitions; 0 where none can be drawn."""
        return self._sampler.total(self._newest) if self.can_sample else 0.0

    @property
    def highest_mass(self) -> float:
        """That of new transitions; it never falls."""
        return self._sampler.highest

    @highest_mass.setter
    def highest_mass(self, value: float) -> None:
        self._sampler.highest = value

    @property
    def device_frames(self) -> DeviceFrames | None:
        """The frames, if they lie on the device."""
        return self._states.device_frames

    @property
    def nbytes(self) -> int:
        """Bytes that it takes now, without those on the device."""
        filled = min(self._steps.time / self._rows, 1)
        arrays = self._steps.nbytes + self._sampler.nbytes
        return int(self._states.nbytes + filled * arrays)

    @property
    def max_nbytes(self) -> int:
        """Bytes that it takes at most, without those on the device."""
        return most_bytes(
            self.capacity,
            self._streams,
            self.state_shape,
            None if self.device_frames else self._states.frames.codec,
            type(self._sampler),
            self._states.frames_per_step,
        )

    @property
    def is_short(self) -> bool:
        """Whether it had to give up transitions before it held `capacity` of them.

        That is so where frames pack worse than those of any game; `len` tells how many it holds.
        """
        return self._states.oldest > max(0, self._steps.time - self._rows)

    @property
    def can_sample(self) -> bool:
        """Whether there is a transition to draw, which takes a few steps."""
        if not self._newest_drawable or not self._states.holds(*self._newest_drawable):
            self._newest_drawable = self._find_newest_drawable()
        return self._newest_drawable is not None

    def append(
        self,
        frames: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminals: np.ndarray,
        ends: np.ndarray,
    ) -> None:
        """Remembers one step of all streams in place of the oldest.

        Args:
            frames: [streams, H, W, p] uint8, the newest frames of the state that was acted on;
                the last axis may be left out where it is 1. Where the memory's frames are on the
                device, these may be there, too.
            actions: [streams] int, what was done, from 0 to 255.
            rewards: [streams] float, what it gave.
            terminals: [streams] bool, whether nothing later counts for the return.
            ends: [streams] bool, whether the next frame starts another episode. An end that is not
                terminal is a cut, such as a time limit.
        """
        before = self._newest
        self._steps.append(actions, rewards, terminals, ends)
        self._states.append(frames)
        now = self._newest
        # A new transition may have the place of one that was given up.
        self._sampler.remove(np.arange(before.start, now.start))
        self._sampler.add(np.arange(before.stop, now.stop))

    def end_episodes(self) -> None:
        """Cuts off the episodes of all streams after their newest step: others will follow."""
        self._steps.end_episodes()

    def empty_batch(self, size: int) -> Batch:
        """Returns a batch of arrays that `sample` can fill, for `size` transitions."""
        return empty_batch(size, self.state_shape, self.device_frames)

    def sample(
        self,
        batch_size: int,
        rng: np.random.Generator,
        importance_exponent: float = 0.0,
        out: Batch | None = None,
        horizon: Horizon | None = None,
    ) -> Batch:
        """Returns transitions drawn with replacement from all that can be drawn.

        Where the frames lie on the device, the batch is good until something is appended.

        Args:
            batch_size: B.
            rng: draws them.
            importance_exponent: how far the weights make up for sampling by priority, from 0, not
                at all, to 1.
            out: what to fill; without it, a new batch. Where it has room for several batches of
                that size, they are drawn one after the other, each on its own.
            horizon: of the returns, which may look further ahead than those that the memory was
                made for; without it, these.

        Raises:
            ValueError: no transition can be drawn yet.
        """
        batch = self.empty_batch(batch_size) if out is None else out
        for first in range(0, len(batch.indices), batch_size):
            rows = batch.rows(first, first + batch_size)
            rows.indices[:] = self.draw(batch_size, rng)
            rows.weights[:] = importance_weights(self.masses(rows.indices), importance_exponent)
        self.fill(batch, horizon)
        return batch

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Returns the indices of transitions drawn with replacement, [count] int64.

        Raises:
            ValueError: no transition can be drawn yet.
        """
        return draw(self._sampler, count, rng, self._newest, self._is_drawable)

    def masses(self, indices: np.ndarray) -> np.ndarray:
        """Returns what transitions, [N] int64, are drawn in proportion to, [N] float64."""
        return self._sampler.masses(indices)

    def fill(self, batch: Batch, horizon: Horizon | None = None) -> None:
        """Writes the transitions of `Batch.indices` to a batch, all but their weights.

        Args:
            batch: what to fill.
            horizon: of the returns, as for `sample`.
        """
        times, streams = np.divmod(batch.indices, self._streams)
        returns, discounts, counts = self._steps.returns(times, streams, horizon or self._horizon)
        # A return that ended has no next state; its own state stands in.
        both_times = np.stack([times, np.where(discounts > 0, times + counts, times)])
        reach = self._steps.at(both_times, streams)["reach"]
        self._states.write(both_times, streams, reach, (batch.s_tm1, batch.s_t))
        batch.a_tm1[:] = self._steps.at(times, streams)["action"]
        batch.r_t[:] = returns
        batch.discount_t[:] = discounts

    def update_priorities(self, indices: np.ndarray, td_errors: np.ndarray) -> None:
        """Takes the |TD errors| of transitions that were learnt from as their priorities.

        Ignores transitions that can no longer be drawn. Uniform sampling ignores all.

        Args:
            indices: [B] int64, `Batch.indices`.
            td_errors: [B] float32, absolute.

        Raises:
            ValueError: a TD error is not finite.
        """
        is_new = indices >= self._newest.start
        self._sampler.update(indices[is_new], td_errors[is_new])

    @property
    def _held(self) -> range:
        """The indices of all transitions held: those of a time stream by stream, then the next."""
        return range(self._states.oldest * self._streams, self._steps.time * self._streams)

    @property
    def _newest(self) -> range:
        """The indices of those that can be drawn, if what they need is known and held."""
        held, streams = self._held, self._streams
        count = max(LEAST_NEWEST // streams, int(self._newest_share * self._steps.time)) * streams
        return range(max(held.start, held.stop - count), held.stop)

    def _is_drawable(self, indices: np.ndarray) -> np.ndarray:
        """Returns which of these transitions, [N] int64, can be drawn, [N] bool."""
        times, streams = np.divmod(indices, self._streams)
        steps = self._steps.at(times, streams)
        return self._steps.is_known(steps, times) & self._states.holds(times, steps["reach"])

    def _find_newest_drawable(self) -> tuple[int, int] | None:
        """Returns the time and the reach of the newest transition that can be drawn, if any can."""
        newest = np.arange(self._newest.start, self._newest.stop)
        drawable = newest[self._is_drawable(newest)]
        if not len(drawable):
            return None
        time, stream = np.divmod(drawable[-1], self._streams)
        return int(time), int(self._steps.at(time, stream)["reach"])

    def get_state(self) -> State:
        """Returns all that it holds, for a file of `MEMORY_KIND`.

        It can go on while that is written: the frames are lent, see `FrameStore.get_state`.
        """
        parts = [part.get_state() for part in (self._states.frames, self._steps, self._sampler)]
        numbers = {name: value for part in parts for name, value in part.attributes.items()}
        arrays = {name: array for part in parts for name, array in part.arrays.items()}
        return State({"memory": self.identity, "numbers": numbers}, arrays)

    def save(self, path: Path) -> None:
        """Writes all that it holds, packed as it is, whole or not at all.

        Raises:
            OSError: the file cannot be written; one that was there stays.
        """
        state = self.get_state()
        try:
            save(path, MEMORY_KIND, *state)
        finally:
            end_loans(state.arrays.values())

    def load(self, path: Path) -> None:
        """Takes what `save` wrote, to the last bit.

        Raises:
            ArrayFileError: the file is missing, damaged, no replay memory, or one of another game,
                size, codec or priority exponent; the memory stays as it was.
            OSError: the file cannot be read.
        """
        with ArrayFile(path, MEMORY_KIND) as file:
            check_identity(file, self.identity)
            self.load_from(file.attributes["numbers"], file)

    def load_from(self, numbers: Mapping[str, Any], file: ArrayFile) -> None:
        """Takes the numbers of `get_state` and, from a file, the arrays, of a like memory."""
        self._states.frames.load(numbers, file)
        self._steps.load(self._states.time, file)
        self._sampler.load(numbers, file)
        self._newest_drawable = None

    @property
    def identity(self) -> dict[str, Any]:
        """What a memory must have in common with a file to load it, by name."""
        return {
            "game": self._game,
            "states": list(self.state_shape),
            "frames a step": self._states.frames_per_step,
            "streams": self._streams,
            "capacity": self.capacity,
            "codec": self._states.frames.codec,
            **self._sampler.identity,
        }


def check_identity(file: ArrayFile, identity: Mapping[str, Any]) -> None:
    """Raises ArrayFileError where a file is of another memory than this is the identity of."""
    for name, ours in identity.items():
        theirs = file.attributes["memory"].get(name)
        if theirs != ours:
            raise ArrayFileError(f"{file.path} is of {name} {theirs}, this run of {ours}")


def make_memory(config: Config, state_shape: tuple[int, int, int]) -> ReplayMemory:
    """Returns the empty replay memory that the settings describe.

    Args:
        config: the settings.
        state_shape: (H, W, k).

    Raises:
        MemoryError: it could need more than the machine, the container or the GPU has left.
    """
    check_room(config, state_shape)
    return make_part(config, state_shape)


def make_part(config: Config, state_shape: tuple[int, int, int]) -> ReplayMemory:
    """Returns what `make_memory` does, without a look at what the machine has left."""
    capacity = config.memory_size // config.envs * config.envs
    return ReplayMemory(
        capacity,
        config.envs,
        Horizon(config.n_step, config.discount),
        states=make_states(config, state_shape),
        sampler=make_sampler(config, capacity),
        newest_share=config.newest_share,
        game=config.environment,
    )
