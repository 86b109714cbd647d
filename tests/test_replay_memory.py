"""The replay memory, held against one that stores whole states in plain lists."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay_memory import ReplayMemory

DISCOUNT = 0.5  # a power of two, so that returns are exact


@dataclass
class NaiveMemory:
    """Remembers all that ever happened in one stream, and looks up what may be drawn of it."""

    rows: int
    stack_size: int
    n_step: int
    frames: list[int] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    terminals: list[bool] = field(default_factory=list)
    ends: list[bool] = field(default_factory=list)

    def state(self, time: int) -> list[int] | None:
        """Returns the frames of the state at a time, or None where one has been overwritten."""
        start = time
        while start > 0 and not self.ends[start - 1]:
            start -= 1
        oldest = max(start, time - self.stack_size + 1)
        if oldest < len(self.frames) - self.rows:
            return None
        seen = self.frames[oldest : time + 1]
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


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, int, int, int, list]:
    """Draws a memory's shape and the steps of its streams, with every kind of end."""
    streams = draw(st.integers(1, 3))
    stack_size = draw(st.integers(1, 4))
    n_step = draw(st.integers(1, 4))
    rows = draw(st.integers(stack_size + n_step, 14))
    steps = draw(
        st.lists(
            st.tuples(
                *[
                    st.tuples(
                        st.integers(0, 5),
                        st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 300.0]),
                        # goes on, lost life, game over, time limit
                        st.sampled_from([(0, 0)] * 6 + [(1, 0), (1, 1), (0, 1)]),
                    )
                ]
                * streams
            ),
            min_size=1,
            max_size=40,
        )
    )
    return streams, stack_size, n_step, rows, steps


def remember(memory: ReplayMemory, naive: list[NaiveMemory], steps: list) -> None:
    for time, step in enumerate(steps):
        frames = [(time * len(naive) + stream) % 255 + 1 for stream in range(len(naive))]
        actions, rewards, kinds = zip(*step, strict=True)
        terminals, ends = (np.array(flags, bool) for flags in zip(*kinds, strict=True))
        memory.append(
            np.array(frames, np.uint8).reshape(-1, 1, 1),
            np.array(actions),
            np.array(rewards, np.float32),
            terminals,
            ends,
        )
        for stream, each in enumerate(naive):
            each.frames.append(frames[stream])
            each.actions.append(actions[stream])
            each.rewards.append(rewards[stream])
            each.terminals.append(bool(terminals[stream]))
            each.ends.append(bool(ends[stream]))


@settings(max_examples=200, deadline=None)
@given(histories())
def test_it_draws_what_a_memory_of_whole_states_would(history: tuple) -> None:
    streams, stack_size, n_step, rows, steps = history
    memory = ReplayMemory(rows * streams, streams, (1, 1), stack_size, n_step, DISCOUNT)
    naive = [NaiveMemory(rows, stack_size, n_step) for _ in range(streams)]
    remember(memory, naive, steps)
    expected = {}
    for stream, each in enumerate(naive):
        for time in range(max(0, len(steps) - rows), len(steps)):
            transition = each.transition(time)
            if transition is not None:
                expected[(time % rows) * streams + stream] = transition
    if not expected:
        with pytest.raises(ValueError, match="no whole transition"):
            memory.sample(1, np.random.default_rng(0))
        return
    batch = memory.sample(1000, np.random.default_rng(0))
    assert set(batch.indices.tolist()) == expected.keys()
    for position, index in enumerate(batch.indices.tolist()):
        state, action, total, discount, next_state = expected[index]
        assert batch.s_tm1[position].ravel().tolist() == state
        assert batch.a_tm1[position] == action
        assert batch.r_t[position] == total
        assert batch.discount_t[position] == discount
        if next_state is not None:
            assert batch.s_t[position].ravel().tolist() == next_state


def filled(kinds: list[tuple[float, bool, bool]], n_step: int = 1, rows: int = 16) -> ReplayMemory:
    """Returns a memory of one stream with frames 1, 2, 3 … and these (reward, terminal, end)."""
    memory = ReplayMemory(rows, 1, (1, 1), 4, n_step, DISCOUNT)
    for number, (reward, terminal, end) in enumerate(kinds, start=1):
        memory.append(
            np.full((1, 1, 1), number, np.uint8),
            np.array([0]),
            np.array([reward]),
            np.array([terminal]),
            np.array([end]),
        )
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


STEP, LIFE, OVER, CUT = (False, False), (True, False), (True, True), (False, True)


def test_state_never_crosses_episode_start() -> None:
    memory = filled([(0, *STEP), (0, *OVER), (0, *STEP), (0, *STEP)])
    assert drawn(memory)[2][0] == [0, 0, 0, 3]


def test_state_goes_on_over_a_lost_life() -> None:
    memory = filled([(0, *STEP), (0, *LIFE), (0, *STEP), (0, *STEP)])
    assert drawn(memory)[2][0] == [0, 1, 2, 3]


def test_next_state_of_a_cut_episode_is_never_the_next_episodes_first() -> None:
    memory = filled([(1, *STEP), (1, *STEP), (1, *CUT), (1, *STEP), (1, *STEP)], n_step=3)
    transitions = drawn(memory)
    assert 2 not in transitions  # its next state was never seen
    assert transitions[1] == ([0, 0, 1, 2], 1.0, 0.5, [0, 1, 2, 3])
    assert transitions[0] == ([0, 0, 0, 1], 1.5, 0.25, [0, 1, 2, 3])


def test_return_stops_at_a_terminal_end() -> None:
    memory = filled([(1, *STEP), (1, *OVER), (100, *STEP), (100, *STEP)], n_step=3)
    transitions = drawn(memory)
    assert transitions[0][1:3] == (1.5, 0.0)
    assert transitions[1][1:3] == (1.0, 0.0)


def test_newest_steps_bootstrap_from_the_newest_state() -> None:
    memory = filled([(1, *STEP)] * 4, n_step=3)
    transitions = drawn(memory)
    assert transitions[0][1:3] == (1.75, 0.125)
    assert transitions[1][1:3] == (1.5, 0.25)
    assert transitions[2][1:3] == (1.0, 0.5)
    assert 3 not in transitions


def test_rewards_keep_their_sign_and_fraction() -> None:
    memory = filled([(-1, *STEP), (-0.25, *STEP), (0, *STEP)])
    transitions = drawn(memory)
    assert transitions[0][1] == -1.0
    assert transitions[1][1] == -0.25


def test_oldest_is_overwritten_and_states_that_need_it_are_not_drawn() -> None:
    memory = filled([(0, *STEP)] * 19, rows=16)
    assert len(memory) == 16
    transitions = drawn(memory)
    # Frames 4 to 19 are left. The states of 4, 5 and 6 reach back further, 19 has no next state.
    assert sorted(state[-1] for state, *_ in transitions.values()) == list(range(7, 19))


def test_an_index_stays_with_its_transition_until_it_is_overwritten() -> None:
    kinds = [(float(number), *STEP) for number in range(16)]
    before = drawn(filled(kinds))
    after = drawn(filled([*kinds, (0, *STEP), (0, *STEP)]))
    assert all(after[index] == before[index] for index in after.keys() & before.keys() - {15, 0, 1})
    assert len(after.keys() & before.keys()) > 8


def test_sampling_is_uniform_over_what_can_be_drawn() -> None:
    rng = np.random.default_rng(7)
    memory = ReplayMemory(40, 2, (1, 1), 4, 3, DISCOUNT)
    for _ in range(53):
        memory.append(
            rng.integers(256, size=(2, 1, 1)),
            rng.integers(4, size=2),
            rng.normal(size=2),
            rng.random(2) < 0.1,
            rng.random(2) < 0.2,
        )
    draws = 200_000
    counts = np.bincount(memory.sample(draws, rng).indices, minlength=40)
    counts = counts[counts > 0]
    expected = draws / len(counts)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    freedom = len(counts) - 1
    # Five standard deviations above the mean of the chi-square distribution.
    assert chi_square < freedom + 5 * np.sqrt(2 * freedom)


def test_same_generator_draws_the_same_batch() -> None:
    memory = filled([(float(number), *STEP) for number in range(12)])
    first, second = (memory.sample(8, np.random.default_rng(3)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_shapes_and_types_are_as_documented() -> None:
    memory = ReplayMemory(64, 2, (84, 84), 4, 3, 0.99)
    for _ in range(10):
        nothing = np.zeros(2)
        memory.append(np.zeros((2, 84, 84), np.uint8), nothing, nothing, nothing > 0, nothing > 0)
    batch = memory.sample(5, np.random.default_rng(0))
    assert batch.s_tm1.shape == batch.s_t.shape == (5, 84, 84, 4)
    assert [a.dtype for a in batch] == [
        np.uint8, np.int32, np.float32, np.float32, np.uint8, np.int64, np.float32,
    ]  # fmt: skip
    assert (batch.weights == 1).all()


def test_frames_are_stored_once_as_bytes() -> None:
    memory = ReplayMemory(10_000, 8, (84, 84), 4, 3, 0.99)
    assert memory.nbytes < 10_000 * (84 * 84 + 20)


def test_capacity_is_rounded_down_to_whole_rows() -> None:
    assert ReplayMemory(103, 4, (1, 1), 4, 1, 0.99).capacity == 100


def test_too_small_a_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 14"):
        ReplayMemory(13, 2, (1, 1), 4, 3, 0.99)


def test_empty_memory_says_so() -> None:
    with pytest.raises(ValueError, match="no whole transition"):
        ReplayMemory(100, 2, (1, 1), 4, 3, 0.99).sample(1, np.random.default_rng(0))
