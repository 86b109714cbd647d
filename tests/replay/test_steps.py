"""Steps, and how far the states of each reach back."""

from __future__ import annotations

import numpy as np
import pytest

from replay.n_step import Horizon
from replay.steps import STEP, Steps


def filled(kinds: str, rows: int = 10, stack_size: int = 4, frames_per_step: int = 1) -> Steps:
    """Returns steps of one stream with rewards 1, 2, 3 and so on.

    Args:
        kinds: of each step: "." goes on, "l" is a lost life, "o" the game's end and "c" a cut.
        rows: steps held.
        stack_size: frames in a state.
        frames_per_step: frames that each step brings.
    """
    steps = Steps(rows, 1, stack_size, frames_per_step)
    for number, kind in enumerate(kinds, start=1):
        steps.append(
            np.array([number % 5]), np.array([number]),
            np.array([kind in "lo"]), np.array([kind in "oc"]),
        )  # fmt: skip
    return steps


def reaches(steps: Steps) -> list[int]:
    times = np.arange(steps.time)
    return steps.at(times, np.zeros_like(times))["reach"].tolist()


@pytest.mark.parametrize(
    ("kinds", "stack_size", "frames_per_step", "expected"),
    [
        ("......", 4, 1, [0, 1, 2, 3, 3, 3]),
        ("..l...", 4, 1, [0, 1, 2, 3, 3, 3]),
        ("..o.c.", 4, 1, [0, 1, 2, 0, 1, 0]),
        ("..o...", 4, 4, [3, 3, 3, 3, 3, 3]),
        ("..o...", 4, 2, [1, 3, 3, 1, 3, 3]),
    ],
)
def test_a_state_reaches_back_to_its_episodes_start(
    kinds: str, stack_size: int, frames_per_step: int, expected: list[int]
) -> None:
    assert reaches(filled(kinds, 10, stack_size, frames_per_step)) == expected


def test_an_outcome_is_known_if_nothing_counts_after_it_or_the_next_state_is_there() -> None:
    steps, times = filled("..loc.."), np.arange(9)
    known = steps.is_known(steps.at(times, np.zeros_like(times)), times)
    assert known.tolist() == [True, True, True, True, False, True, False, False, False]


def test_returns_are_those_of_the_steps() -> None:
    returns, discounts, counts = filled("..o...").returns(
        np.array([0, 2, 3, 4]), np.zeros(4, np.int64), Horizon(3, 0.5)
    )
    assert returns.tolist() == [1 + 2 / 2 + 3 / 4, 3, 4 + 5 / 2, 5]
    assert discounts.tolist() == [0, 0, 0.25, 0.5]
    assert counts.tolist() == [3, 1, 2, 1]


def test_ended_episodes_are_cut_off_after_the_newest_step() -> None:
    steps = filled("...")
    steps.end_episodes()
    steps.append(np.zeros(1), np.zeros(1), np.zeros(1, bool), np.zeros(1, bool))
    assert reaches(steps) == [0, 1, 2, 0]
    assert steps.at(np.array([2]), np.array([0]))["end"].all()


def test_the_newest_rows_are_held() -> None:
    steps = filled("." * 13, rows=10)
    assert (steps.time, steps.nbytes) == (13, 10 * STEP.itemsize)
    assert steps.at(np.array([3, 12]), np.zeros(2, np.int64))["reward"].tolist() == [4, 13]
