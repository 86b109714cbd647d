"""What a thread puts together ahead of time is what would have come without it."""

from __future__ import annotations

import dataclasses
import threading
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from preprocessing import make_environments
from replay.batch import Batch
from settings.config import Config
from tests.helpers.memories import a_memory
from tests.helpers.plays import Step, random_play, real_play
from training.prefetching import Prefetcher, make_prefetcher
from training.run import assemble
from training.trainer import Trainer

if TYPE_CHECKING:
    from pathlib import Path

    from storage.episode_log import Episode

IN_BACKGROUND = pytest.mark.parametrize("in_background", [True, False])


def prefetcher(
    in_background: bool,
    exponent: float = 0.0,
    batch_size: int = 32,
    steps: int = 20,
    most_updates: int = 1,
) -> Prefetcher:
    """Returns one of a memory of 60 steps in two streams, to which so many have been appended."""
    memory = a_memory(120, 2, (84, 84), 4, 3, 0.99, priority_exponent=exponent)
    rng = np.random.default_rng(5)
    batches = Prefetcher(memory, batch_size, rng, most_updates, in_background)
    for step in islice(random_play(np.random.default_rng(1), 2, (84, 84)), steps):
        batches.append(*step)
    return batches


def copied(batch: Batch) -> Batch:
    return Batch(*(array.copy() for array in batch.arrays.values()))


def assert_same(one: Batch, other: Batch) -> None:
    for ours, theirs in zip(one.arrays.values(), other.arrays.values(), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


# ---------------------------------------------------------------- the same batches


@pytest.fixture(scope="module")
def play() -> list[Step]:
    """Gives 200 steps of two games of Breakout."""
    return real_play("Breakout-v0", 2, 200, seed=3)


@pytest.mark.parametrize("exponent", [0.0, 0.6])
def test_a_thread_changes_no_batch(exponent: float, play: list[Step]) -> None:
    """Two updates for each step, as a run makes them, until the memory has wrapped around twice."""
    taken: dict[bool, list[Batch]] = {True: [], False: []}
    for in_background, batches in taken.items():
        prefetching = prefetcher(in_background, exponent, batch_size=16)
        td_errors = np.random.default_rng(9)
        for number, step in enumerate(play):
            prefetching.append(*step)
            for half in (0.0, 0.5):
                batch = prefetching.take((number + half) / len(play))
                batches.append(copied(batch))
                prefetching.update_priorities(batch.indices, td_errors.exponential(size=16))
        prefetching.close()
    for one, other in zip(taken[True], taken[False], strict=True):
        assert_same(one, other)
    assert len({batch.indices.tobytes() for batch in taken[True]}) == 400
    assert any((batch.weights < 1).any() for batch in taken[True]) == (exponent > 0)


@IN_BACKGROUND
def test_a_batch_is_what_the_memory_held_when_the_one_before_was_taken(in_background: bool) -> None:
    """It is drawn and put together before anything that follows, as an eager reader would."""
    prefetching = prefetcher(in_background, exponent=0.6)
    twin = prefetcher(in_background, exponent=0.6).memory
    rng = np.random.default_rng(5)
    expected = twin.sample(32, rng, 0.1)
    td_errors = np.random.default_rng(9)
    # Each step reaches the twin only after it has been asked for the batch of the next update.
    for number, step in enumerate(islice(random_play(td_errors, 2, (84, 84)), 90)):
        batch = prefetching.take(0.1 + number / 100)
        assert_same(batch, expected)
        expected = twin.sample(32, rng, 0.1 + number / 100)
        errors = td_errors.exponential(size=32)
        prefetching.update_priorities(batch.indices, errors)
        twin.update_priorities(batch.indices, errors)
        prefetching.append(*step)
        twin.append(*step)
    prefetching.close()


@IN_BACKGROUND
def test_what_is_appended_after_a_batch_was_drawn_is_not_in_it(in_background: bool) -> None:
    prefetching = prefetcher(in_background, batch_size=200)
    held, newest = 20, []
    for number, step in enumerate(islice(random_play(np.random.default_rng(2), 2, (84, 84)), 80)):
        batch = prefetching.take(0.0)
        newest.append(batch.indices.max() - 2 * held)
        held = 20 + number  # steps in memory when the next batch was drawn
        prefetching.append(*step)
    # The newest step of all has no next state, if it is not terminal; the one before it does.
    assert -4 <= max(newest) < 0
    assert np.median(newest) > -8
    prefetching.close()


@IN_BACKGROUND
def test_a_batch_that_is_prepared_later_is_what_the_memory_held_then(in_background: bool) -> None:
    prefetching = prefetcher(in_background, exponent=0.6)
    twin = prefetcher(in_background, exponent=0.6).memory
    rng, td_errors = np.random.default_rng(5), np.random.default_rng(9)
    for number, step in enumerate(islice(random_play(td_errors, 2, (84, 84)), 90)):
        exponent = number / 100
        expected = twin.sample(32, rng, exponent)
        prefetching.prepare(exponent)
        prefetching.prepare(0.99)  # there is one already
        prefetching.append(*step)
        twin.append(*step)
        batch = prefetching.take(0.99, following=0)
        assert_same(batch, expected)
        errors = td_errors.exponential(size=32)
        prefetching.update_priorities(batch.indices, errors)
        twin.update_priorities(batch.indices, errors)
    prefetching.close()


@IN_BACKGROUND
def test_a_batch_stays_as_it_is_until_the_next_one_is_taken(in_background: bool) -> None:
    prefetching = prefetcher(in_background, exponent=0.6, batch_size=64, steps=60)
    for step in islice(random_play(np.random.default_rng(2), 2, (84, 84)), 60):
        batch = prefetching.take(0.5)
        before = copied(batch)
        prefetching.append(*step)  # waits until the next batch has been put together
        assert_same(batch, before)
        prefetching.update_priorities(batch.indices, np.ones(64, np.float32))
        prefetching.append(*step)
        assert_same(batch, before)
    prefetching.close()


@IN_BACKGROUND
def test_the_importance_exponent_is_of_the_batch_that_is_drawn_now(in_background: bool) -> None:
    prefetching = prefetcher(in_background, exponent=1.0)
    values = np.arange(1.0, 41)  # the priorities of all that there are
    prefetching.update_priorities(np.arange(40), values - 1e-6)
    exponents = [0.0, 1.0, 0.3, 0.0, 0.5, 0.7]
    # The first call draws two batches.
    for given, used in zip(exponents, [0.0, *exponents], strict=False):
        batch = prefetching.take(given)
        drawn = values[batch.indices]
        np.testing.assert_allclose(batch.weights, (drawn.min() / drawn) ** used, rtol=1e-5)
        assert (batch.weights < 1).any() == (used > 0)
    prefetching.close()


@IN_BACKGROUND
def test_a_loaded_memory_is_drawn_from(in_background: bool, tmp_path: Path) -> None:
    saved = prefetcher(False, exponent=0.6, steps=40)
    saved.memory.save(tmp_path / "memory")
    prefetching = prefetcher(in_background, exponent=0.6, steps=10)
    prefetching.prepare(0.5)
    with pytest.raises(AssertionError):  # a batch of what was there before is still to be taken
        prefetching.load(tmp_path / "memory")
    prefetching.take(0.5, following=0)
    prefetching.load(tmp_path / "memory")
    prefetching.set_state(saved.get_state())
    assert_same(prefetching.take(0.5), saved.take(0.5))
    prefetching.close()


# ---------------------------------------------------------------- errors and ends


@IN_BACKGROUND
def test_nothing_to_draw_comes_out_of_take(in_background: bool) -> None:
    prefetching = prefetcher(in_background, steps=0)
    for _ in range(2):
        with pytest.raises(ValueError, match="no whole transition"):
            prefetching.take(0.0)
    for step in islice(random_play(np.random.default_rng(1), 2, (84, 84)), 20):
        prefetching.append(*step)
    assert_same(prefetching.take(0.0), prefetcher(False).take(0.0))
    prefetching.close()


@IN_BACKGROUND
def test_an_error_comes_when_its_batch_is_taken(in_background: bool) -> None:
    memory = a_memory(4, 1, (1, 1), 1, 1, 0.99)
    prefetching = Prefetcher(memory, 2, np.random.default_rng(0), in_background=in_background)
    no, yes = np.zeros(1, bool), np.ones(1, bool)

    def append(end: np.ndarray, times: int) -> None:
        for _ in range(times):
            prefetching.append(np.ones((1, 1, 1), np.uint8), np.zeros(1), np.zeros(1), no, end)

    append(no, 4)
    prefetching.take(0.0)
    append(yes, 4)  # nothing is known to follow any of these
    batch = prefetching.take(0.0)  # drawn before
    before = copied(batch)
    assert batch.indices.max() < 3
    append(yes, 1)
    assert_same(batch, before)
    with pytest.raises(ValueError, match="no whole transition"):
        prefetching.take(0.0)
    append(no, 3)
    assert prefetching.take(0.0).indices.min() >= 9
    prefetching.close()


def test_its_thread_ends_when_it_is_closed() -> None:
    before = set(threading.enumerate())
    idle, busy = prefetcher(False), prefetcher(True)
    busy.take(0.0)
    assert len(set(threading.enumerate()) - before) == 1
    idle.take(0.0)
    assert len(set(threading.enumerate()) - before) == 1
    for prefetching in (idle, busy):
        prefetching.close()
    assert set(threading.enumerate()) <= before


# ---------------------------------------------------------------- a run


@pytest.mark.parametrize(("state_frames", "frames_per_step"), [("skipped", 1), ("raw", 3)])
def test_the_memory_is_as_the_settings_say(
    state_frames: str, frames_per_step: int, tmp_path: Path
) -> None:
    config = Config(
        environment="Breakout-v0",
        envs=2,
        memory_size=301,
        frame_stack_size=3,
        n_step=2,
        discount=0.9,
        frame_codec="lz4",
        priority_exponent=0.5,
        batch_size=40,
        frame_skip=3,
        state_frames=state_frames,
    )
    prefetching = make_prefetcher(config, (84, 84, 3), np.random.default_rng(5))
    memory = a_memory(
        301,
        2,
        (84, 84),
        3,
        2,
        0.9,
        frames_per_step=frames_per_step,
        codec="lz4",
        priority_exponent=0.5,
        game="Breakout-v0",
    )
    assert prefetching.memory.max_nbytes == memory.max_nbytes
    play = random_play(np.random.default_rng(1), 2, (84, 84, frames_per_step))
    for step in islice(play, 20):
        prefetching.append(*step)
        memory.append(*step)
    assert_same(prefetching.take(0.3), memory.sample(40, np.random.default_rng(5), 0.3))
    prefetching.close()
    # Only a memory of the same game, size and kind can be loaded.
    prefetching.memory.save(tmp_path / "memory")
    memory.load(tmp_path / "memory")


@IN_BACKGROUND
def test_batches_that_are_taken_together_are_those_taken_one_by_one(in_background: bool) -> None:
    together, alone = prefetcher(in_background, most_updates=4), prefetcher(False)
    for updates, following in ((1, 4), (4, 2), (2, 0), (4, 4)):
        batches = copied(together.take(0.5, updates, following))
        assert len(batches.indices) == updates * 32
        for first in range(0, updates * 32, 32):
            assert_same(batches.rows(first, first + 32), alone.take(0.5))
    together.close()


def test_a_batch_that_is_kept_stays_as_it_is_until_nobody_reads_it_any_more() -> None:
    batches, waits = prefetcher(in_background=False), []
    batch = batches.take(0.0, following=0)
    then = copied(batch)

    def wait() -> None:
        assert_same(copied(batch), then)
        waits.append(len(waits))

    batches.keep(wait)
    batches.take(0.0, following=0)
    assert not waits  # it has arrays of its own
    batches.take(0.0, following=0)
    assert waits == [0]
    assert (batch.indices != then.indices).any()
    batches.take(0.0, following=1)
    assert waits == [0]


def trained(in_background: bool, exponent: float) -> tuple[Trainer, list[Episode]]:
    """Returns a run whose memory wraps around, and its episodes but for their seconds.

    In the background, batches are unpacked while the agent acts and learns, and the emulators work
    while it learns. Else all of this is done one after the other.
    """
    config = Config(
        environment="Breakout-v0",
        envs=2,
        frame_skip=20,
        memory_size=160,
        batch_size=16,
        pretrain_transitions=80,
        steps=200,
        train_every=4,
        target_update_period=100,
        explore_steps=2_000,
        random_action_steps=3,
        priority_exponent=exponent,
        seed=11,
    )
    trainer = assemble(config)
    if not in_background:
        trainer.close()
        rng = trainer.batches._rng
        batches = Prefetcher(trainer.memory, config.batch_size, rng, 8, in_background=False)
        seed = np.random.SeedSequence(config.seed).spawn(3)[0]
        # Emulators that do nothing before they are waited for.
        environments = make_environments(
            config, config.envs, np.random.default_rng(seed), shown=True
        )
        trainer = Trainer(config, environments, trainer.agent, batches)
    for _ in trainer.pretrain():
        pass
    episodes = [episode for finished in trainer.train() for episode in finished]
    trainer.close()
    return trainer, [dataclasses.replace(episode, seconds=None) for episode in episodes]


@pytest.mark.parametrize("exponent", [0.0, 0.6])
def test_training_is_the_same_whatever_is_done_in_the_background(exponent: float) -> None:
    (ours, log), (theirs, other_log) = (trained(each, exponent) for each in (True, False))
    assert log == other_log
    assert len(log) > 1
    assert ours.learning.loss == theirs.learning.loss > 0
    for one, other in zip(
        ours.agent.online.get_weights(), theirs.agent.online.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
