"""Updates and copies are due by counts alone, in order, however many counts are told at once."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from settings.config import Config
from training.prefetching import most_updates, updates_in_a_call
from training.update_schedule import UpdateSchedule


def one_by_one(config: Config, until: int, can_learn: bool) -> list[str]:
    """Returns what is due up to a count, in order, as the flags define it."""
    due = []
    for count in range(1, until + 1):
        if can_learn and count % config.train_every == 0:
            due += ["update"] * config.updates
        if count % config.target_update_period == 0 and not config.target_averaging:
            due.append("copy")
    return due


@given(
    settings=st.fixed_dictionaries(
        {
            "train_every": st.integers(1, 9),
            "updates": st.integers(1, 20),
            "target_update_period": st.integers(1, 40),
            "target_averaging": st.sampled_from([0.0, 0.1]),
            "batch_size": st.sampled_from([8, 64, 256]),
        }
    ),
    turns=st.lists(st.integers(0, 12), max_size=12),
    can_learn=st.booleans(),
)
def test_calls_make_what_is_due_in_order(
    settings: dict[str, Any], turns: list[int], can_learn: bool
) -> None:
    config = Config(**settings)
    schedule, due = UpdateSchedule(config), []
    for counts in turns:
        for call in schedule.due(schedule.count + counts, can_learn):
            assert call.updates.bit_count() <= 1
            assert call.updates <= updates_in_a_call(config)
            assert call.updates or call.copies
            due += ["update"] * call.updates + ["copy"] * call.copies
    assert due == one_by_one(config, sum(turns), can_learn)


def test_nothing_is_due_twice() -> None:
    schedule = UpdateSchedule(Config(train_every=4, target_update_period=8))
    assert schedule.due(8, can_learn=True) == [(2, True)]
    assert schedule.due(8, can_learn=True) == []


def test_what_was_due_while_there_was_nothing_to_learn_from_stays_undone() -> None:
    schedule = UpdateSchedule(Config(train_every=4, target_update_period=100))
    assert schedule.due(4, can_learn=False) == []
    assert schedule.due(8, can_learn=True) == [(1, False)]


@pytest.mark.parametrize(
    ("batch_size", "on_processor", "from_host", "on_device"),
    [(8, 8, 128, 128), (32, 8, 32, 128), (64, 4, 16, 64), (256, 1, 4, 16), (8_192, 1, 1, 1)],
)
def test_a_gpu_makes_more_updates_in_a_call_and_most_from_its_own_frames(
    batch_size: int, on_processor: int, from_host: int, on_device: int
) -> None:
    host = Config(batch_size=batch_size)
    device = Config(batch_size=batch_size, memory_on_device=True)
    assert most_updates(host, joins=False) == most_updates(device, joins=False) == on_processor
    assert most_updates(host, joins=True) == from_host
    assert most_updates(device, joins=True) == on_device
