"""The replay memory, held against one that stores whole states in plain lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.batch import Batch, empty_batch
from replay.n_step import Horizon
from replay.states import AT_A_TIME
from replay_memory import LEAST_NEWEST
from tests.helpers.memories import a_memory
from tests.helpers.plays import random_play

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from replay_memory import ReplayMemory

DISCOUNT = 0.5  # a power of two, so that returns are exact
CODECS = ("none", "lz4", "zstd")


@dataclass
class NaiveMemory:
    """Remembers all that ever happened in one stream, and looks up what may be drawn of it."""

    rows: int
    stack_size: int
    n_step: int
    frames_per_step: int = 1
    frames: list[list[int]] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    terminals: list[bool] = field(default_factory=list)
    ends: list[bool] = field(default_factory=list)

    def state(self, time: int) -> list[int] | None:
        """Returns the frames of the state at a time, or None where one has been overwritten."""
        start = time
        while start > 0 and not self.ends[start - 1]:
            start -= 1
        steps_seen = -(-self.stack_size // self.frames_per_step)
        oldest = max(start, time - steps_seen + 1)
        if oldest < len(self.frames) - self.rows:
            return None
        seen = list(chain(*self.frames[oldest : time + 1]))[-self.stack_size :]
        return [0] * (self.stack_size - len(seen)) + seen

    def transition(self, time: int) -> tuple | None:
        """Returns (state, action, return, discount, next state), or None if not drawable."""
        state = self.state(time)
        if state is None:
            return None
        total, at = 0.0, time
        while at < time + self.n_step:
            if self.terminals[at]:
                total += DISCOUNT ** (at - time) * self.rewards[at]
                return state, self.actions[time], total, 0.0, None
            if self.ends[at] or at == len(self.frames) - 1:
                break
            total += DISCOUNT ** (at - time) * self.rewards[at]
            at += 1
        if at == time:
            return None
        return state, self.actions[time], total, DISCOUNT ** (at - time), self.state(at)


@dataclass
class NaiveStreams:
    """Naive memories side by side, with the priorities of all their transitions by index.

    Attributes:
        picture: makes the frame of a number; 0 is black.
    """

    streams: list[NaiveMemory]
    picture: Callable[[int], np.ndarray]
    exponent: float = 0.0
    priorities: list[float] = field(default_factory=list)
    highest: float = 1.0

    @property
    def time(self) -> int:
        return len(self.streams[0].frames)

    def remember(self, memory: ReplayMemory, step: Sequence) -> None:
        """Appends (action, reward, (terminal, end)) of each stream to the memory and to itself."""
        count = len(self.streams)
        new = self.streams[0].frames_per_step
        frames = [
            [((self.time * new + number) * count + stream) + 1 for number in range(new)]
            for stream in range(count)
        ]
        actions, rewards, kinds = zip(*step, strict=True)
        terminals, ends = (np.array(flags, bool) for flags in zip(*kinds, strict=True))
        pictures = np.stack([self.shown(numbers) for numbers in frames])
        memory.append(pictures, np.array(actions), np.array(rewards, np.float32), terminals, ends)
        for stream, each in enumerate(self.streams):
            each.frames.append(frames[stream])
            each.actions.append(actions[stream])
            each.rewards.append(rewards[stream])
            each.terminals.append(bool(terminals[stream]))
            each.ends.append(bool(ends[stream]))
        self.priorities += [self.highest] * count

    def learn(self, memory: ReplayMemory, indices: np.ndarray, td_errors: np.ndarray) -> None:
        """Gives the TD errors of transitions to the memory and to itself."""
        memory.update_priorities(indices, td_errors)
        for index, td_error in zip(indices.tolist(), td_errors.tolist(), strict=True):
            self.priorities[index] = (td_error + 1e-6) ** self.exponent
            self.highest = max(self.highest, self.priorities[index])

    def drawable(self) -> dict[int, tuple]:
        """Returns all transitions that can be drawn, by index."""
        found = {}
        for stream, each in enumerate(self.streams):
            for time in range(max(0, self.time - each.rows), self.time):
                transition = each.transition(time)
                if transition is not None:
                    found[time * len(self.streams) + stream] = transition
        return found

    def check(self, batch: Batch, drawable: dict[int, tuple], importance_exponent: float) -> None:
        """Asserts that a batch is made of these transitions, with the weights due to them."""
        assert set(batch.indices.tolist()) <= drawable.keys()
        for position, index in enumerate(batch.indices.tolist()):
            state, action, total, discount, next_state = drawable[index]
            assert (batch.s_tm1[position] == self.shown(state)).all()
            assert batch.a_tm1[position] == action
            assert batch.r_t[position] == total
            assert batch.discount_t[position] == discount
            if next_state is not None:
                assert (batch.s_t[position] == self.shown(next_state)).all()
        if self.exponent:
            priorities = np.array(self.priorities)[batch.indices]
            weights = (priorities.min() / priorities) ** importance_exponent
            np.testing.assert_allclose(batch.weights, weights, rtol=1e-6)
        else:
            assert (batch.weights == 1).all()

    def shown(self, state: list[int]) -> np.ndarray:
        """Returns a state as it is given to the learner, [H, W, k]."""
        return np.stack([self.picture(number) for number in state], axis=-1)


def small_picture(number: int) -> np.ndarray:
    """Returns a frame of 2×3 pixels that are all different, and differ from frame to frame."""
    return ((number + np.arange(6)) % 255 + 1 if number else np.zeros(6)).reshape(2, 3).astype("u1")


GOES_ON, LIFE, OVER, CUT = (False, False), (True, False), (True, True), (False, True)
KINDS = [
    [GOES_ON],  # an episode longer than any memory
    [GOES_ON] * 6 + [LIFE, OVER, CUT],
    [GOES_ON, LIFE, OVER, CUT],
    [OVER, CUT],  # episodes of one step
]


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, int, int, int, int, list]:
    """Draws a memory's shape and the steps of its streams, with every kind of end."""
    streams = draw(st.integers(1, 3))
    stack_size = draw(st.integers(1, 4))
    n_step = draw(st.integers(1, 4))
    rows = draw(st.integers(stack_size + n_step, 14))
    kinds = st.sampled_from(draw(st.sampled_from(KINDS)))
    rewards = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 300.0])
    step = st.tuples(*[st.tuples(st.integers(0, 5), rewards, kinds)] * streams)
    steps = draw(st.lists(step, min_size=1, max_size=40))
    frames_per_step = draw(st.sampled_from([1, 1, stack_size, (stack_size + 1) // 2]))
    return streams, stack_size, n_step, rows, frames_per_step, steps


@pytest.mark.parametrize("exponent", [0.0, 0.5])
@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=40, deadline=None)
@given(history=histories(), seed=st.integers(0, 2**32 - 1))
def test_it_draws_what_a_memory_of_whole_states_would(
    codec: str, exponent: float, history: tuple, seed: int
) -> None:
    """Also while it is being filled, and learnt from."""
    streams, stack_size, n_step, rows, frames_per_step, steps = history
    memory = a_memory(
        rows * streams, streams, (2, 3), stack_size, n_step, DISCOUNT,
        frames_per_step=frames_per_step, codec=codec, priority_exponent=exponent,
    )  # fmt: skip
    shape = (rows, stack_size, n_step, frames_per_step)
    naive = NaiveStreams([NaiveMemory(*shape) for _ in range(streams)], small_picture, exponent)
    rng = np.random.default_rng(seed)
    batches = [empty_batch(size, memory.state_shape) for size in (1, 5, AT_A_TIME + 1)]
    drawable: dict[int, tuple] = {}
    for number, step in enumerate(steps):
        naive.remember(memory, step)
        assert len(memory) == streams * min(number + 1, rows)
        drawable = naive.drawable()
        assert memory.can_sample == bool(drawable)
        if drawable:
            out = batches[number % 3]
            batch = memory.sample(len(out.indices), rng, 0.7, out)
            naive.check(batch, drawable, 0.7)
            naive.learn(memory, batch.indices, rng.uniform(0.5, 2, len(batch.indices)))
    if not drawable:
        with pytest.raises(ValueError, match="no whole transition"):
            memory.sample(1, rng)
        return
    # The least likely transition is so likely that every one of them must be among so many.
    batch = memory.sample(1000, rng)
    assert set(batch.indices.tolist()) == drawable.keys()
    naive.check(batch, drawable, 0.0)


@pytest.mark.parametrize("exponent", [0.0, 0.6])
@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_frames_that_pack_badly_leave_room_for_fewer(codec: str, exponent: float) -> None:
    rng = np.random.default_rng(5)
    memory = a_memory(400, 1, (84, 84), 4, 3, DISCOUNT, codec=codec, priority_exponent=exponent)
    noise = {0: np.zeros((84, 84), np.uint8)}

    def picture(number: int) -> np.ndarray:
        return noise.setdefault(number, rng.integers(256, size=(84, 84), dtype=np.uint8))

    alone = NaiveMemory(400, 4, 3)
    naive = NaiveStreams([alone], picture, exponent)
    lengths = []
    for number in range(900):
        kind = ([GOES_ON] * 9 + [LIFE, OVER, CUT])[rng.integers(12)]
        naive.remember(memory, [(int(rng.integers(4)), 1.0, kind)])
        lengths.append(len(memory))
        assert memory.is_short == (len(memory) < min(400, number + 1))
        if memory.is_short:
            alone.rows = len(memory)
        if number % 50 == 49:
            batch = memory.sample(30, rng, 0.5)
            naive.check(batch, naive.drawable(), 0.5)
            naive.learn(memory, batch.indices, rng.uniform(0, 5, 30))
            # News of those that had to go comes too late.
            gone = np.arange(max(0, number - 399), number + 1 - len(memory))
            memory.update_priorities(gone, np.full(len(gone), 10.0))
    assert memory.is_short
    assert any(later < earlier for earlier, later in pairwise(lengths))
    assert 100 < min(lengths[400:]) <= max(lengths[400:]) < 400
    assert f"({len(memory)} of 400 transitions, as frames pack badly, " in repr(memory)
    assert memory.nbytes <= memory.max_nbytes
    # What is left can all be drawn, and what was given up cannot.
    naive.learn(memory, np.arange(900 - len(memory), 900), np.ones(len(memory)))
    batch = memory.sample(10_000, rng)
    assert set(batch.indices.tolist()) == naive.drawable().keys()


def test_a_memory_that_packs_well_is_not_short() -> None:
    memory = a_memory(400, 1, (84, 84), 4, 3, DISCOUNT)
    nothing = np.zeros(1)
    for _ in range(900):
        frame = np.zeros((1, 84, 84), np.uint8)
        memory.append(frame, nothing, nothing, nothing > 0, nothing > 0)
    assert not memory.is_short
    assert repr(memory) == f"ReplayMemory(400 of 400 transitions, {memory.nbytes:,} bytes)"


def append_all(memory: ReplayMemory, kinds: list[tuple[float, bool, bool]], first: int = 1) -> None:
    """Appends these (reward, terminal, end) to a memory of one stream, with frames 1, 2, 3 …"""
    for number, (reward, terminal, end) in enumerate(kinds, start=first):
        memory.append(
            np.full((1, 1, 1), number % 256, np.uint8),
            np.array([0]),
            np.array([reward]),
            np.array([terminal]),
            np.array([end]),
        )


def filled(
    kinds: list[tuple[float, bool, bool]], n_step: int = 1, rows: int = 16, exponent: float = 0.0
) -> ReplayMemory:
    """Returns a memory of one stream to which these have been appended."""
    memory = a_memory(rows, 1, (1, 1), 4, n_step, DISCOUNT, priority_exponent=exponent)
    append_all(memory, kinds)
    return memory


def drawn(memory: ReplayMemory) -> dict[int, tuple[list[int], float, float, list[int]]]:
    """Returns (state, return, discount, next state) of all that can be drawn, by index."""
    batch = memory.sample(500, np.random.default_rng(1))
    return {
        int(index): (s_tm1.ravel().tolist(), float(r), float(discount), s_t.ravel().tolist())
        for s_tm1, r, discount, s_t, index in zip(
            batch.s_tm1, batch.r_t, batch.discount_t, batch.s_t, batch.indices, strict=True
        )
    }


def test_state_never_crosses_episode_start() -> None:
    memory = filled([(0, *GOES_ON), (0, *OVER), (0, *GOES_ON), (0, *GOES_ON)])
    assert drawn(memory)[2][0] == [0, 0, 0, 3]


def test_state_goes_on_over_a_lost_life() -> None:
    memory = filled([(0, *GOES_ON), (0, *LIFE), (0, *GOES_ON), (0, *GOES_ON)])
    assert drawn(memory)[2][0] == [0, 1, 2, 3]


def test_next_state_of_a_cut_episode_is_never_the_next_episodes_first() -> None:
    memory = filled(
        [(1, *GOES_ON), (1, *GOES_ON), (1, *CUT), (1, *GOES_ON), (1, *GOES_ON)], n_step=3
    )
    transitions = drawn(memory)
    assert 2 not in transitions  # its next state was never seen
    assert transitions[1] == ([0, 0, 1, 2], 1.0, 0.5, [0, 1, 2, 3])
    assert transitions[0] == ([0, 0, 0, 1], 1.5, 0.25, [0, 1, 2, 3])


def test_return_stops_at_a_terminal_end() -> None:
    memory = filled([(1, *GOES_ON), (1, *OVER), (100, *GOES_ON), (100, *GOES_ON)], n_step=3)
    transitions = drawn(memory)
    assert transitions[0][1:3] == (1.5, 0.0)
    assert transitions[1][1:3] == (1.0, 0.0)


def test_newest_steps_bootstrap_from_the_newest_state() -> None:
    memory = filled([(1, *GOES_ON)] * 4, n_step=3)
    transitions = drawn(memory)
    assert transitions[0][1:3] == (1.75, 0.125)
    assert transitions[1][1:3] == (1.5, 0.25)
    assert transitions[2][1:3] == (1.0, 0.5)
    assert 3 not in transitions


def test_returns_can_look_further_ahead_than_the_memory_was_made_for() -> None:
    kinds = [(float(number), *(LIFE if number % 5 == 4 else GOES_ON)) for number in range(12)]
    made_for_it = a_memory(12, 1, (1, 1), 4, 6, 0.25)
    append_all(made_for_it, kinds)
    made_for_less = filled(kinds, n_step=2, rows=12)
    for_both = [
        memory.sample(50, np.random.default_rng(3), horizon=horizon)
        for memory, horizon in ((made_for_it, None), (made_for_less, Horizon(6, 0.25)))
    ]
    for one, other in zip(*for_both, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rewards_keep_their_sign_and_fraction() -> None:
    memory = filled([(-1, *GOES_ON), (-0.25, *GOES_ON), (0, *GOES_ON)])
    transitions = drawn(memory)
    assert transitions[0][1] == -1.0
    assert transitions[1][1] == -0.25


def test_oldest_is_overwritten_and_states_that_need_it_are_not_drawn() -> None:
    memory = filled([(0, *GOES_ON)] * 19, rows=16)
    assert len(memory) == 16
    transitions = drawn(memory)
    # Frames 4 to 19 are left. The states of 4, 5 and 6 reach back further, 19 has no next state.
    assert sorted(state[-1] for state, *_ in transitions.values()) == list(range(7, 19))


def test_an_index_stays_with_its_transition_until_it_is_overwritten() -> None:
    kinds = [(float(number), *GOES_ON) for number in range(16)]
    before = drawn(filled(kinds))
    after = drawn(filled([*kinds, (0, *GOES_ON), (0, *GOES_ON)]))
    assert all(after[index] == before[index] for index in after.keys() & before.keys() - {15, 0, 1})
    assert len(after.keys() & before.keys()) > 8


def chi_square_is_likely(counts: np.ndarray, expected: np.ndarray) -> bool:
    """Returns whether counts are at most five standard deviations further off than is usual."""
    chi_square = ((counts - expected) ** 2 / expected).sum()
    freedom = len(counts) - 1
    return bool(chi_square < freedom + 5 * np.sqrt(2 * freedom))


def wrapped_around(rng: np.random.Generator, exponent: float, codec: str) -> ReplayMemory:
    """Returns a memory of indices 66 to 105 in which there is every kind of end."""
    memory = a_memory(40, 2, (1, 1), 4, 3, DISCOUNT, codec=codec, priority_exponent=exponent)
    for step in islice(random_play(rng, 2, (1, 1)), 53):
        memory.append(*step)
    return memory


def test_sampling_is_uniform_over_what_can_be_drawn() -> None:
    rng = np.random.default_rng(7)
    memory = wrapped_around(rng, 0.0, "zstd")
    draws = 200_000
    counts = np.bincount(memory.sample(draws, rng).indices - 66, minlength=40)
    counts = counts[counts > 0]
    assert 20 < len(counts) < 40
    assert chi_square_is_likely(counts, np.full(len(counts), draws / len(counts)))


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_sampling_by_priority_keeps_to_the_exact_probabilities(exponent: float) -> None:
    rng = np.random.default_rng(7)
    memory = wrapped_around(rng, exponent, "zstd")
    can_be_drawn = np.zeros(40, bool)
    can_be_drawn[memory.sample(1000, rng).indices - 66] = True
    assert 20 < can_be_drawn.sum() < 40
    # What cannot be drawn has priorities like the others.
    td_errors = rng.exponential(size=40)
    memory.update_priorities(np.arange(66, 106), td_errors)
    batches, size = 1_000, 64
    counts = np.zeros(40, np.int64)
    for _ in range(batches):
        counts += np.bincount(memory.sample(size, rng).indices - 66, minlength=40)
    assert not counts[~can_be_drawn].any()
    priorities = (td_errors[can_be_drawn] + 1e-6) ** exponent
    expected = batches * size * priorities / priorities.sum()
    assert chi_square_is_likely(counts[can_be_drawn], expected)


@pytest.mark.parametrize("exponent", [0.0, 0.5])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_only_the_newest_share_of_all_transitions_is_drawn(
    tmp_path: Path, share: float, exponent: float
) -> None:
    streams, rows, times = 1_000, 120, 160
    memory, other = (
        a_memory(
            rows * streams, streams, (1, 1), 1, 1, DISCOUNT,
            codec="none", priority_exponent=exponent, newest_share=share,
        )
        for _ in range(2)
    )  # fmt: skip
    step = np.zeros(streams)
    for time in range(1, times + 1):
        # Its action tells at which time a transition was remembered.
        actions = np.full(streams, time)
        memory.append(np.zeros((streams, 1, 1), np.uint8), actions, step, step > 0, step > 0)
        if time not in (40, 80, 120, 160):
            continue
        drawn = memory.sample(20_000, np.random.default_rng(time)).a_tm1
        # The newest one has no next state yet.
        newest = min(max(LEAST_NEWEST // streams, int(share * time)), rows, time)
        assert (drawn.min(), drawn.max()) == (time - newest + 1, time - 1)
        assert len(memory) == min(time, rows) * streams
        assert memory.mass == pytest.approx(newest * streams)
    memory.save(tmp_path / "memory")
    other.load(tmp_path / "memory")
    again = other.sample(20_000, np.random.default_rng(times)).a_tm1
    np.testing.assert_array_equal(again, drawn)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_the_few_that_can_be_drawn_among_many_that_cannot_keep_their_proportions(
    exponent: float,
) -> None:
    kinds = [CUT] * 3000
    few = np.array([400, 1000, 2500])
    for time in few:
        kinds[time] = OVER
    memory = filled([(0.0, *kind) for kind in kinds], rows=3000, exponent=exponent)
    td_errors = np.full(3000, 4.0)
    td_errors[few] = [1, 2, 4]
    memory.update_priorities(np.arange(3000), td_errors)
    counts = np.bincount(memory.sample(7000, np.random.default_rng(0)).indices, minlength=3000)
    assert counts.sum() == counts[few].sum() == 7000
    wanted = np.array([1000, 2000, 4000]) if exponent else np.full(3, 7000 / 3)
    assert chi_square_is_likely(counts[few], wanted)


def test_what_cannot_be_drawn_is_not_however_high_its_priority() -> None:
    kinds = [GOES_ON] * 20
    kinds[8] = kinds[12] = CUT
    memory = filled([(0.0, *kind) for kind in kinds], rows=16, exponent=1.0)
    # Of the times 4 to 19, the states of 4 to 6 reach back before 4, and no state is known to come
    # after 8, 12 and 19.
    hidden = [4, 5, 6, 8, 12, 19]
    memory.update_priorities(np.array(hidden), np.full(6, 1e6))
    rng = np.random.default_rng(2)
    drawn = set(memory.sample(2000, rng).indices.tolist())
    assert drawn == set(range(4, 20)) - set(hidden)
    # New transitions take the places of old ones that were most likely to be drawn.
    memory.update_priorities(np.arange(7, 19), np.full(12, 1e6))
    append_all(memory, [(0.0, *GOES_ON)] * 6)
    drawn = set(memory.sample(2000, rng).indices.tolist())
    assert drawn == set(range(13, 25))


def test_same_generator_draws_the_same_batch() -> None:
    memory = filled([(float(number), *GOES_ON) for number in range(12)])
    first, second = (memory.sample(8, np.random.default_rng(3)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_shapes_and_types_are_as_documented() -> None:
    memory = a_memory(64, 2, (84, 84), 4, 3, 0.99)
    for _ in range(10):
        nothing = np.zeros(2)
        memory.append(np.zeros((2, 84, 84), np.uint8), nothing, nothing, nothing > 0, nothing > 0)
    batch = memory.sample(5, np.random.default_rng(0))
    assert batch.s_tm1.shape == batch.s_t.shape == (5, 84, 84, 4)
    assert [a.dtype for a in batch.arrays.values()] == [
        np.uint8, np.int32, np.float32, np.float32, np.uint8, np.int64, np.float32,
    ]  # fmt: skip
    assert (batch.weights == 1).all()


@pytest.mark.parametrize("size", [1, AT_A_TIME - 1, AT_A_TIME, AT_A_TIME + 1, 3 * AT_A_TIME + 5])
def test_arrays_given_are_filled_and_returned(size: int) -> None:
    memory = filled([(float(number), *GOES_ON) for number in range(12)], exponent=0.5)
    new = memory.sample(size, np.random.default_rng(3), 0.5)
    out = empty_batch(size, memory.state_shape)
    for array in out.arrays.values():
        array[:] = 77
    given = memory.sample(size, np.random.default_rng(3), 0.5, out)
    for name, array in given.arrays.items():
        assert array is out.arrays[name]
        np.testing.assert_array_equal(array, new.arrays[name])


def test_capacity_is_rounded_down_to_whole_rows() -> None:
    assert a_memory(103, 4, (1, 1), 4, 1, 0.99).capacity == 100


def test_too_small_a_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 14"):
        a_memory(13, 2, (1, 1), 4, 3, 0.99)


def test_it_tells_when_nothing_can_be_drawn_any_more() -> None:
    memory = filled([(0.0, *GOES_ON)] * 6, rows=6)
    assert memory.can_sample
    append_all(memory, [(0.0, *CUT)] * 6)
    assert not memory.can_sample
    with pytest.raises(ValueError, match="no whole transition"):
        memory.sample(1, np.random.default_rng(0))
    append_all(memory, [(0.0, *GOES_ON)] * 2)
    assert memory.can_sample
    assert memory.sample(9, np.random.default_rng(0)).indices.tolist() == [12] * 9


def test_empty_memory_says_so() -> None:
    with pytest.raises(ValueError, match="no whole transition"):
        a_memory(100, 2, (1, 1), 4, 3, 0.99).sample(1, np.random.default_rng(0))
