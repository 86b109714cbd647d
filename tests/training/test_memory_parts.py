"""A memory in parts is one memory: drawn from in proportion, and saved whole."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from storage.arrays import ArrayFileError, save
from storage.checkpoints import MEMORY_KIND
from storage.loans import end_loans
from tests.helpers.memories import a_memory
from tests.helpers.plays import random_play
from training.memory_parts import MOST_PARTS, MemoryParts

if TYPE_CHECKING:
    from pathlib import Path

    from replay.batch import Batch
    from replay_memory import ReplayMemory

SHAPE = (8, 8)


def part(steps: int, seed: int, exponent: float) -> ReplayMemory:
    memory = a_memory(120, 2, SHAPE, 4, 3, 0.99, priority_exponent=exponent)
    for step in islice(random_play(np.random.default_rng(seed), 2, SHAPE), steps):
        memory.append(*step)
    return memory


def parts(*steps: int, exponent: float = 0.0) -> MemoryParts:
    return MemoryParts([part(count, seed, exponent) for seed, count in enumerate(steps)])


def assert_same(one: Batch, other: Batch) -> None:
    for ours, theirs in zip(one.arrays.values(), other.arrays.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("exponent", [0.0, 0.6])
def test_one_part_gives_what_it_would_give_alone(exponent: float) -> None:
    whole, alone = parts(50, exponent=exponent), part(50, 0, exponent)
    ours, theirs = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(3):
        # Of two updates of 16 in one call.
        batch = whole.sample(16, ours, 0.4, whole.empty_batch(32))
        assert_same(batch, alone.sample(16, theirs, 0.4, alone.empty_batch(32)))
        td_errors = np.arange(32, dtype=np.float32)
        whole.update_priorities(batch.indices, td_errors)
        alone.update_priorities(batch.indices, td_errors)


def shares(memory: MemoryParts, draws: int = 20_000) -> np.ndarray:
    indices = memory.sample(draws, np.random.default_rng(1)).indices
    return np.bincount(indices % len(memory.parts), minlength=len(memory.parts)) / draws


def test_parts_are_drawn_from_in_proportion_to_what_they_hold() -> None:
    # The third can give nothing yet: its state and the next are not both known.
    memory = parts(60, 20, 0)
    assert len(memory) == 160
    np.testing.assert_allclose(shares(memory), [0.75, 0.25, 0], atol=0.02)


def test_a_batch_of_many_parts_comes_from_few_and_all_get_their_share() -> None:
    steps = [60] + [20] * 11
    memory, rng = parts(*steps), np.random.default_rng(4)
    counts = np.zeros(12)
    for _ in range(400):
        of_batch = np.bincount(memory.sample(12, rng).indices % 12, minlength=12)
        assert of_batch.sum() == 12
        assert np.count_nonzero(of_batch) <= MOST_PARTS
        counts += of_batch
    np.testing.assert_allclose(counts / counts.sum(), np.array(steps) / sum(steps), rtol=0.25)


def test_parts_are_drawn_from_in_proportion_to_their_priorities() -> None:
    memory = parts(40, 40, exponent=1.0)
    indices = np.arange(160)
    memory.update_priorities(indices, np.where(indices % 2, 3, 1).astype(np.float32))
    np.testing.assert_allclose(shares(memory), [0.25, 0.75], atol=0.02)
    batch = memory.sample(64, np.random.default_rng(2), 1.0)
    # Drawn three times as often, so worth a third.
    np.testing.assert_allclose(batch.weights, np.where(batch.indices % 2, 1 / 3, 1), rtol=1e-5)


def test_new_transitions_of_all_parts_get_the_highest_priority_of_any() -> None:
    memory = parts(40, 40, exponent=1.0)
    memory.update_priorities(np.array([2]), np.array([7.0], np.float32))  # of the first part
    assert [each.highest_mass for each in memory.parts] == pytest.approx([7, 7], abs=1e-5)


def test_transitions_are_those_of_their_parts() -> None:
    memory = parts(50, 30)
    batch = memory.sample(200, np.random.default_rng(5))
    for number, each in enumerate(memory.parts):
        here = batch.indices % 2 == number
        assert here.any()
        expected = each.empty_batch(here.sum())
        expected.indices[:] = batch.indices[here] // 2
        each.fill(expected)
        for name in ("s_tm1", "a_tm1", "r_t", "discount_t", "s_t"):
            np.testing.assert_array_equal(getattr(batch, name)[here], getattr(expected, name))


def test_an_empty_memory_says_that_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no whole transition"):
        parts(0, 0).sample(4, np.random.default_rng(0))


@pytest.mark.parametrize("exponent", [0.0, 0.6])
def test_parts_are_saved_and_loaded_to_the_last_bit(tmp_path: Path, exponent: float) -> None:
    memory, again = parts(50, 17, exponent=exponent), parts(0, 0, exponent=exponent)
    memory.update_priorities(np.arange(34), np.arange(34, dtype=np.float32))
    state = memory.get_state()
    save(tmp_path / "memory", MEMORY_KIND, *state)
    end_loans(state.arrays.values())
    again.load(tmp_path / "memory")
    assert_same(
        memory.sample(64, np.random.default_rng(3), 0.5),
        again.sample(64, np.random.default_rng(3), 0.5),
    )
    with pytest.raises(ArrayFileError, match="is of parts 2, this run of 3"):
        parts(0, 0, 0, exponent=exponent).load(tmp_path / "memory")
