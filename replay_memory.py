"""The replay memory: every frame once, states and n-step returns put together when sampled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from replay import frames as frame_stores
from replay.batch import Batch, empty_batch
from replay.n_step import Horizon, n_step_returns
from replay.priorities import Priorities
from storage.arrays import ArrayFile, ArrayFileError, save
from storage.checkpoints import MEMORY_KIND
from storage.loans import end_loans

if TYPE_CHECKING:
    from replay.device_frames import DeviceFrames

# What is kept of a transition beside its frame: 8 bytes.
STEP = np.dtype(
    [
        ("reward", np.float32),
        ("action", np.uint8),
        ("terminal", np.bool_),
        ("end", np.bool_),
        ("reach", np.uint8),  # frames of its state before the newest that are of its episode
    ]
)
# States are put together for so many transitions at a time, which bounds the room that it takes.
AT_A_TIME = 64


class ReplayMemory:
    """The newest transitions of n streams, one for each environment.

    At each time all streams take a step: the frame that the decision was made on, the action, the
    reward that it led to, and whether the return or the episode ended with it.

        time:      0     1     2     3     4        the state at time 4 (k = 4) is [1 2 3 4];
        frame:     A     B     C     D     E        after an episode's end at time 2 it is
        action:    a0    a1    a2    a3    (a4)     [black black D E]
        reward:    r1    r2    r3    r4    (r5)

    A step may bring p frames instead of one; with p = k a state is the frames of its own step. The
    frames are then numbered on their own: those of time t are p t to p t + p - 1.

    A transition can be drawn if its state and a state to bootstrap from are both in memory. The
    n-step return is cut short, and bootstrapped from where it was cut, at the newest time and where
    an episode was cut off; only the last step before such a place has nothing to bootstrap from.

    Transitions are drawn uniformly, or in proportion to their priorities.

    Where the frames lie on the device, batches hold their places there, see `Batch`. These are good
    until something is appended.

    Attributes:
        capacity: transitions held at most.
        state_shape: (H, W, k).
        device_frames: the frames, if they lie on the device.
    """

    def __init__(
        self,
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
        game: str = "",
        device_frames: DeviceFrames | None = None,
    ):
        """Makes an empty memory.

        Args:
            capacity: transitions held at most, all streams together; rounded down to whole steps.
            streams: environments that are remembered side by side.
            frame_shape: (height, width) of a frame.
            stack_size: k, frames in a state, at most 255.
            n_step: rewards in a return.
            discount: gamma, for each step.
            frames_per_step: p, frames that each step brings, at most k.
            codec: how frames are packed: "none", "lz4" or "zstd".
            priority_exponent: alpha, from 0, which is uniform sampling, to 1.
            game: what is remembered; a saved memory of another game is refused.
            device_frames: where the frames are to lie on the device, and not packed: room for p of
                each step that is held.

        Raises:
            ValueError: there is no room for one state and its return in each stream, there is no
                such codec, or the exponent is out of range.
            MemoryError: the machine has no room for it.
        """
        rows = capacity // streams
        if rows < stack_size + n_step:
            raise ValueError(
                f"a memory of {capacity} transitions is too small for {streams} streams with "
                f"states of {stack_size} frames and {n_step}-step returns: "
                f"at least {streams * (stack_size + n_step)}"
            )
        if codec not in frame_stores.NAMES:
            raise ValueError(f"no codec {codec!r}: choose from {', '.join(frame_stores.NAMES)}")
        if not 0 <= priority_exponent <= 1:
            raise ValueError(f"priority exponent {priority_exponent} is not between 0 and 1")
        self.capacity = rows * streams
        self._rows, self._streams = rows, streams
        self.state_shape = (*frame_shape, stack_size)
        self._horizon = Horizon(n_step, discount)
        self._codec, self._game = None if device_frames else codec, game
        frame_bytes = frame_shape[0] * frame_shape[1]
        self._new = frames_per_step
        self.device_frames = device_frames
        self._frames = device_frames or frame_stores.make_frame_store(
            codec, rows * frames_per_step, streams, frame_bytes
        )
        self._steps = np.zeros((rows, streams), STEP)
        self._next_reach = np.full(streams, frames_per_step - 1, np.uint8)
        self._priority_exponent = priority_exponent
        # By the places of transitions in `_steps`.
        self._priorities = (
            Priorities(self.capacity, priority_exponent) if priority_exponent else None
        )
        planes = 0 if device_frames else 2 * stack_size * AT_A_TIME
        self._planes = np.zeros((planes, frame_bytes), np.uint8)
        self._drawable_until = -1  # one can be drawn until a later frame than this is the oldest

    @staticmethod
    def most_bytes(
        capacity: int,
        streams: int,
        frame_shape: tuple[int, int],
        stack_size: int,
        codec: str | None,
        prioritized: bool,
        frames_per_step: int = 1,
    ) -> int:
        """Returns the bytes that a memory takes at most, without making one.

        Those of frames on the device are not among them.

        Args:
            capacity: transitions, as for `__init__`, like the others.
            streams: environments.
            frame_shape: (height, width) of a frame.
            stack_size: frames in a state.
            codec: how frames are packed; None where they lie on the device.
            prioritized: whether the priority exponent is above 0.
            frames_per_step: frames that each step brings.
        """
        rows, frame_bytes = capacity // streams, frame_shape[0] * frame_shape[1]
        frames = unpacking = 0
        if codec:
            frames = frame_stores.most_bytes(codec, rows * frames_per_step, streams, frame_bytes)
            # The frames of both states, and the groups that they are unpacked from.
            unpacking = (1 + frame_stores.GROUP) * 2 * stack_size * AT_A_TIME * frame_bytes
        steps = rows * streams * STEP.itemsize
        # A leaf takes 8 bytes, the sums above all leaves a 31st part of that.
        priorities = rows * streams * 8.5 if prioritized else 0
        return int(frames + steps + priorities + unpacking)

    def __len__(self) -> int:
        """Returns the number of transitions held."""
        return (self._time - self._oldest) * self._streams

    def __repr__(self) -> str:
        """Returns how full it is and how large."""
        filled = f"{len(self):,} of {self.capacity:,} transitions"
        short = ", as frames pack badly" if self.is_short else ""
        return f"ReplayMemory({filled}{short}, {self.nbytes:,} bytes)"

    @property
    def nbytes(self) -> int:
        """Bytes that it takes now, without those on the device."""
        filled = min(self._time / self._rows, 1)
        arrays = self._steps.nbytes + (self._priorities.nbytes if self._priorities else 0)
        frames = 0 if self.device_frames else self._frames.nbytes
        return int(frames + filled * arrays + self._planes.nbytes)

    @property
    def max_nbytes(self) -> int:
        """Bytes that it takes at most, without those on the device."""
        height, width, stack_size = self.state_shape
        shape, prioritized = (height, width), self._priorities is not None
        return self.most_bytes(
            self.capacity, self._streams, shape, stack_size, self._codec, prioritized, self._new
        )

    @property
    def is_short(self) -> bool:
        """Whether it had to give up transitions before it held `capacity` of them.

        That is so where frames pack worse than those of any game; `len` tells how many it holds.
        """
        return self._oldest > max(0, self._time - self._rows)

    @property
    def can_sample(self) -> bool:
        """Whether there is a transition to draw, which takes a few steps."""
        if self._frames.oldest > self._drawable_until:
            held = self._all()
            for newest in held[self._drawable(held)][-1:]:
                time, stream = divmod(int(newest), self._streams)
                reach = int(self._steps["reach"][time % self._rows, stream])
                self._drawable_until = self._newest_frame(time) - reach
        return self._frames.oldest <= self._drawable_until

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
                the last axis may be left out where it is 1.
            actions: [streams] int, what was done, from 0 to 255.
            rewards: [streams] float, what it gave.
            terminals: [streams] bool, whether nothing later counts for the return.
            ends: [streams] bool, whether the next frame starts another episode. An end that is not
                terminal is a cut, such as a time limit.
        """
        before = self._oldest
        step = self._steps[self._time % self._rows]
        step["reward"], step["action"] = rewards, actions
        step["terminal"], step["end"] = terminals, ends
        step["reach"] = self._next_reach
        reach = np.minimum(self._next_reach + self._new, self.state_shape[2] - 1)
        self._next_reach = np.where(ends, self._new - 1, reach).astype(np.uint8)
        for number in range(self._new):
            self._frames.append(frames.reshape(*frames.shape[:3], self._new)[..., number])
        if self._priorities:
            # What has just been given up can't be drawn, and what is new has its place.
            gone = np.arange(before * self._streams, self._oldest * self._streams)
            self._priorities.remove(gone % self.capacity)
            new = np.arange((self._time - 1) * self._streams, self._time * self._streams)
            self._priorities.add(new % self.capacity)

    def end_episodes(self) -> None:
        """Cuts off the episodes of all streams after their newest step: others will follow."""
        if self._time:
            self._steps["end"][(self._time - 1) % self._rows] = True
            self._next_reach[:] = self._new - 1

    def empty_batch(self, size: int) -> Batch:
        """Returns arrays that `sample` can fill with so many transitions."""
        return empty_batch(size, self.state_shape, self.device_frames is not None)

    def sample(
        self,
        batch_size: int,
        rng: np.random.Generator,
        importance_exponent: float = 0.0,
        out: Batch | None = None,
        horizon: Horizon | None = None,
    ) -> Batch:
        """Returns transitions drawn with replacement from all that can be drawn.

        Args:
            batch_size: B.
            rng: what to draw with.
            importance_exponent: how far the weights make up for sampling by priority, from 0, not
                at all, to 1.
            out: a batch of that size to fill; without it, a new one.
            horizon: of the returns, which may look further ahead than those that the memory was
                made for; without it, these.

        Raises:
            ValueError: no transition can be drawn yet.
        """
        batch = self.empty_batch(batch_size) if out is None else out
        batch.indices[:] = self._draw(batch_size, rng)
        times, streams = np.divmod(batch.indices, self._streams)
        returns, discounts, steps = self._returns(times, streams, horizon or self._horizon)
        # A return that ended has no next state; its own state stands in.
        next_times = np.where(discounts > 0, times + steps, times)
        for first in range(0, batch_size, AT_A_TIME):
            part = slice(first, first + AT_A_TIME)
            self._states(
                times[part], next_times[part], streams[part], batch.s_tm1[part], batch.s_t[part]
            )
        batch.a_tm1[:] = self._steps["action"][times % self._rows, streams]
        batch.r_t[:] = returns
        batch.discount_t[:] = discounts
        batch.weights[:] = 1
        if self._priorities:
            places = batch.indices % self.capacity
            batch.weights[:] = self._priorities.weights(places, importance_exponent)
        return batch

    def update_priorities(self, indices: np.ndarray, td_errors: np.ndarray) -> None:
        """Takes the |TD error| of transitions that were learnt from as their priorities.

        Those that are no longer in memory are passed over. Uniform sampling has no use for it.

        Args:
            indices: [B] int64, `Batch.indices`.
            td_errors: [B] float32, absolute.

        Raises:
            ValueError: a TD error is not finite.
        """
        if self._priorities:
            held = indices >= self._oldest * self._streams
            self._priorities.update(indices[held] % self.capacity, td_errors[held])

    @property
    def _time(self) -> int:
        return self._frames.time // self._new

    @property
    def _oldest(self) -> int:
        """The earliest time whose transitions are held."""
        return -(-self._frames.oldest // self._new)

    def _newest_frame(self, times: Any) -> Any:
        """Returns the number of the newest frame of the states at times."""
        return times * self._new + self._new - 1

    def _draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Returns the indices of transitions that can be drawn, [count] int64.

        Draws from all, and draws again what falls on one that cannot be drawn: so the others keep
        their proportions.
        """
        if not len(self):
            raise ValueError("the memory holds no whole transition to sample yet")
        drawn = np.zeros(0, np.int64)
        for _ in range(100):
            more = self._draw_any(count - len(drawn), rng)
            drawn = np.concatenate([drawn, more[self._drawable(more)]])
            if len(drawn) == count:
                return drawn
        # Nearly nothing can be drawn: look at all.
        drawable = self._all()[self._drawable(self._all())]
        if not len(drawable):
            raise ValueError("the memory holds no whole transition to sample yet")
        chances = None
        if self._priorities:
            values = self._priorities.values[drawable % self.capacity]
            chances = values / values.sum()
        return rng.choice(drawable, count, p=chances)

    def _draw_any(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Returns the indices of `count` transitions, whether they can be drawn or not."""
        end = self._time * self._streams
        if not self._priorities:
            return rng.integers(self._oldest * self._streams, end, size=count)
        places = self._priorities.draw(count, rng)
        return end - 1 - (end - 1 - places) % self.capacity

    def _all(self) -> np.ndarray:
        """Returns the indices of all transitions held."""
        return np.arange(self._oldest * self._streams, self._time * self._streams)

    def _drawable(self, indices: np.ndarray) -> np.ndarray:
        """Returns which transitions can be drawn, [N] bool."""
        times, streams = np.divmod(indices, self._streams)
        steps = self._steps[times % self._rows, streams]
        first_frames = self._newest_frame(times) - steps["reach"]
        return self._known(steps, times) & (first_frames >= self._frames.oldest)

    def _known(self, steps: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Returns whether it is known what came of steps, given with their times, [...] bool.

        The state after a step has to be known, unless none counts after it.
        """
        followed = ~steps["end"] & (times < self._time - 1)
        return np.where(steps["terminal"], times < self._time, followed)

    def _returns(
        self, times: np.ndarray, streams: np.ndarray, horizon: Horizon
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns what `n_step_returns` does, for transitions at times [N] of streams [N]."""
        later = times + np.arange(horizon.n_step)[:, None]  # [n, N]
        steps = self._steps[later % self._rows, streams]
        known = self._known(steps, later)
        return n_step_returns(steps["reward"], steps["terminal"], known, horizon.discounts)

    def _states(
        self,
        times: np.ndarray,
        next_times: np.ndarray,
        streams: np.ndarray,
        s_tm1: np.ndarray,
        s_t: np.ndarray,
    ) -> None:
        """Writes the states at two times, each [N] int64, of streams to arrays of a batch."""
        _, width, stack_size = self.state_shape
        both = np.stack([times, next_times])
        reach = self._steps["reach"][both % self._rows, streams]
        back = np.arange(stack_size)[:, None, None]
        # Before an episode's first frame all is black; that frame stands in for what is not read.
        wanted = self._newest_frame(both) - np.minimum(back, reach)  # [k, 2, N]
        if self.device_frames:
            places = self.device_frames.places(wanted, streams)
            places = np.where(back > reach, self.device_frames.black, places)
            s_tm1[:], s_t[:] = places[::-1].transpose(1, 2, 0)
            return
        planes = self._planes[: wanted.size]
        self._frames.read(wanted.ravel(), np.broadcast_to(streams, wanted.shape).ravel(), planes)
        planes = planes.reshape(*wanted.shape, -1)
        planes[back > reach] = 0
        for number, states in enumerate((s_tm1, s_t)):
            frames = [frame.reshape(-1, width) for frame in planes[::-1, number]]
            # NumPy takes eight times as long to put a state's frames side by side.
            cv2.merge(frames, states.reshape(-1, width, stack_size))

    def get_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns all that it holds, as attributes and arrays for a file of `MEMORY_KIND`.

        It can go on while that is written: the frames are lent, see `FrameStore.get_state`.
        """
        numbers, arrays = self._frames.get_state()
        arrays["steps"] = self._filled_steps.copy()
        arrays["next reach"] = self._next_reach.copy()
        if self._priorities:
            arrays["priorities"] = self._priorities.values.copy()
            numbers["highest priority"] = self._priorities.highest
        return {"memory": self._identity, "numbers": numbers}, arrays

    def save(self, path: Path) -> None:
        """Writes all that it holds, packed as it is, whole or not at all.

        Raises:
            OSError: the file cannot be written; one that was there stays.
        """
        attributes, arrays = self.get_state()
        try:
            save(path, MEMORY_KIND, attributes, arrays)
        finally:
            end_loans(arrays.values())

    def load(self, path: Path) -> None:
        """Takes what `save` wrote, to the last bit.

        Raises:
            ArrayFileError: the file is missing, damaged, no replay memory, or one of another game,
                size, codec or priority exponent; the memory stays as it was.
            OSError: the file cannot be read.
        """
        with ArrayFile(path, MEMORY_KIND) as file:
            for name, ours in self._identity.items():
                theirs = file.attributes["memory"].get(name)
                if theirs != ours:
                    raise ArrayFileError(f"{path} is of {name} {theirs}, this run of {ours}")
            numbers = file.attributes["numbers"]
            self._frames.set_state(numbers, file)
            file.read_into("steps", self._filled_steps)
            file.read_into("next reach", self._next_reach)
            if self._priorities:
                self._priorities.load(file.read("priorities"), numbers["highest priority"])
        self._drawable_until = -1

    @property
    def _filled_steps(self) -> np.ndarray:
        """The bytes of the steps that have been written."""
        return self._steps.view(np.uint8)[: self._time]

    @property
    def _identity(self) -> dict[str, Any]:
        """What a memory must have in common with a file to load it."""
        return {
            "game": self._game,
            "states": list(self.state_shape),
            "frames a step": self._new,
            "streams": self._streams,
            "capacity": self.capacity,
            # Frames on the device are in files as if they were here, unpacked.
            "codec": self._codec or "none",
            "priority exponent": self._priority_exponent,
        }
