"""Ways to draw transitions, alone and in a memory."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from replay.sampling import (
    PrioritizedSampler,
    Sampler,
    UniformSampler,
    draw,
    make_sampler,
    sampler_class,
)  # fmt: skip
from settings.config import Config
from tests.helpers.memories import a_memory
from tests.helpers.plays import random_play

if TYPE_CHECKING:
    from replay_memory import ReplayMemory


def some_transitions(sampler: Sampler) -> range:
    """Lets a sampler of 8 transitions draw those from 20 to 27; returns their indices."""
    sampler.add(np.arange(12, 20))
    sampler.remove(np.arange(12, 20))
    sampler.add(np.arange(20, 28))
    return range(20, 28)


BOTH = pytest.mark.parametrize("make", [UniformSampler, lambda: PrioritizedSampler(8, 1.0)])


@pytest.mark.parametrize(("exponent", "kind"), [(0.0, UniformSampler), (0.5, PrioritizedSampler)])
def test_the_settings_choose(exponent: float, kind: type[Sampler]) -> None:
    config = Config(priority_exponent=exponent)
    assert sampler_class(config) is kind
    sampler = make_sampler(config, 8)
    assert type(sampler) is kind
    assert sampler.identity == {"priority exponent": exponent}
    assert sampler.nbytes <= kind.most_bytes(10**4)


@BOTH
def test_only_what_is_drawable_is_drawn(make: type[Sampler]) -> None:
    sampler = make()
    held = some_transitions(sampler)
    indices = draw(sampler, 500, np.random.default_rng(0), held, lambda each: each % 3 == 0)
    assert set(indices.tolist()) == {21, 24, 27}
    assert len(indices) == 500


@BOTH
def test_nothing_that_is_drawable_is_an_error(make: type[Sampler]) -> None:
    sampler = make()
    held = some_transitions(sampler)
    for indices in (held, range(0)):
        with pytest.raises(ValueError, match="no whole transition"):
            draw(sampler, 1, np.random.default_rng(0), indices, lambda each: each < 0)


def test_a_priority_that_has_been_overwritten_is_not_that_of_its_index() -> None:
    sampler = PrioritizedSampler(8, 1.0)
    held = some_transitions(sampler)
    sampler.update(np.array([20, 27]), np.array([0, 3], np.float32) - np.float32(1e-6))
    chances = sampler.probabilities(np.arange(20, 28))
    assert chances == pytest.approx([0, *[1 / 9] * 6, 3 / 9], abs=1e-6)
    counts = np.bincount(sampler.draw(90_000, np.random.default_rng(0), held) - 20, minlength=8)
    assert counts == pytest.approx(90_000 * chances, abs=60)


@pytest.mark.parametrize("exponent", [0.0, -0.5, 1.5])
def test_an_exponent_out_of_range_is_refused(exponent: float) -> None:
    with pytest.raises(ValueError, match="is not above 0"):
        PrioritizedSampler(8, exponent)


# ---------------------------------------------------------------- in a memory


def wrapped_around(steps: int = 100) -> ReplayMemory:
    """Returns a memory of 48 transitions, 16 of each stream, that held others before."""
    memory = a_memory(48, 3, (2, 2), 2, 2, 0.99, priority_exponent=0.5)
    for step in islice(random_play(np.random.default_rng(1), 3, (2, 2)), steps):
        memory.append(*step)
    return memory


def test_new_transitions_are_drawn_like_the_one_with_the_highest_td_error() -> None:
    memory = a_memory(48, 1, (1, 1), 2, 1, 0.99, priority_exponent=0.5)
    nothing = np.zeros(1)
    for number in range(10):
        if number == 5:
            memory.update_priorities(np.arange(5), np.array([0, 0, 15.999999, 0, 0], np.float32))
        frame = np.zeros((1, 1, 1), np.uint8)
        memory.append(frame, nothing, nothing, nothing > 0, nothing > 0)
    batch = memory.sample(100_000, np.random.default_rng(0), 1.0)
    counts = np.bincount(batch.indices, minlength=9)
    # The root of 16 is 4, that of the smallest priority 0.001; the newest, 9, has no next state.
    values = np.array([0.001, 0.001, 4, 0.001, 0.001, 4, 4, 4, 4])
    assert counts == pytest.approx(100_000 * values / values.sum(), abs=60)
    np.testing.assert_allclose(batch.weights, 0.001 / values[batch.indices], rtol=1e-5)


def test_indices_overwritten_in_the_meantime_are_passed_over() -> None:
    told, other = wrapped_around(), wrapped_around()
    # 84 steps of three streams are gone, and the places of the last of them are taken again.
    gone = np.array([0, 3, 251, 250, 249, 48])
    told.update_priorities(gone, np.full(6, 1e6, np.float32))
    held = np.array([252, 270, 299])
    mixed = np.array([251, 252, 204, 270, 299])
    told.update_priorities(mixed, np.array([1e6, 2, 1e6, 3, 4], np.float32))
    other.update_priorities(held, np.array([2, 3, 4], np.float32))
    # The priorities are the same, and so is the highest, which new transitions get.
    for step in islice(random_play(np.random.default_rng(2), 3, (2, 2)), 10):
        ours, theirs = (
            memory.sample(500, np.random.default_rng(0), 1.0) for memory in (told, other)
        )
        for one, another in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, another)
        told.append(*step)
        other.append(*step)


def test_a_priority_goes_with_its_transition_when_it_is_overwritten() -> None:
    memory = wrapped_around()
    memory.update_priorities(np.arange(252, 300), np.linspace(0, 9, 48, dtype=np.float32))
    for step in islice(random_play(np.random.default_rng(2), 3, (2, 2)), 16):
        memory.append(*step)
    # All are new and have the highest priority, so all weigh the same.
    assert (memory.sample(500, np.random.default_rng(0), 1.0).weights == 1).all()


def test_a_memory_refuses_td_errors_that_are_not_finite() -> None:
    memory = wrapped_around()
    with pytest.raises(ValueError, match="finite"):
        memory.update_priorities(np.array([299]), np.array([np.nan], np.float32))


def test_a_uniform_memory_has_no_use_for_td_errors() -> None:
    memory = a_memory(48, 3, (2, 2), 2, 2, 0.99)
    for step in islice(random_play(np.random.default_rng(1), 3, (2, 2)), 20):
        memory.append(*step)
    before = memory.sample(64, np.random.default_rng(0), 1.0)
    memory.update_priorities(before.indices, np.linspace(0, 9, 64, dtype=np.float32))
    after = memory.sample(64, np.random.default_rng(0), 1.0)
    np.testing.assert_array_equal(after.indices, before.indices)
    assert (after.weights == 1).all()
