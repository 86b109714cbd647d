"""Random actions that are kept: how many steps are at random, for how long, and as which action."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.random_actions import RandomActions

ACTIONS = 1_000  # so many that two draws in a row are hardly ever alike


def drawn(
    longest: int, epsilon: float, steps: int, environments: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Returns actions and where they are taken, [steps, environments], of so many steps."""
    rng = np.random.default_rng(0)
    random_actions = RandomActions(ACTIONS, environments, longest)
    actions, is_random = zip(
        *(random_actions.draw(epsilon, rng) for _ in range(steps)), strict=True
    )
    return np.array(actions), np.array(is_random)


def test_durations_are_as_likely_as_their_square_is_small() -> None:
    # 1, 1/4 and 1/9 of their sum 49/36.
    actions, is_random = drawn(longest=3, epsilon=1.0, steps=20_000)
    assert is_random.all()
    durations = [len(list(run)) for _, run in groupby(actions[:, 0])]
    shares = np.bincount(durations, minlength=4)[1:4] / len(durations)
    assert shares == pytest.approx([36 / 49, 9 / 49, 4 / 49], abs=0.015)


@pytest.mark.parametrize("longest", [1, 2, 100])
@pytest.mark.parametrize("epsilon", [0.01, 0.3])
def test_epsilon_is_the_share_of_steps_at_random(longest: int, epsilon: float) -> None:
    _, is_random = drawn(longest, epsilon, steps=3_000, environments=200)
    assert is_random.mean() == pytest.approx(epsilon, rel=0.15)


def test_environments_act_at_random_apart_from_each_other() -> None:
    actions, is_random = drawn(longest=100, epsilon=0.5, steps=500, environments=2)
    both = is_random.all(axis=1)
    assert 0.1 < both.mean() < 0.5
    assert (actions[both, 0] == actions[both, 1]).mean() < 0.1


def test_an_action_is_kept_to_its_end_when_no_other_may_begin() -> None:
    rng, random_actions = np.random.default_rng(1), RandomActions(ACTIONS, 500, longest=100)
    first, is_random = random_actions.draw(1.0, rng)
    assert is_random.all()
    counts = np.ones(500)
    for _ in range(99):
        actions, is_random = random_actions.draw(0.0, rng)
        np.testing.assert_array_equal(actions[is_random], first[is_random])
        counts += is_random
    assert counts.max() > 20
    assert not random_actions.draw(0.0, rng)[1].any()


def test_kept_for_one_step_is_epsilon_greedy_to_the_last_draw() -> None:
    ours, rng = np.random.default_rng(3), np.random.default_rng(3)
    random_actions = RandomActions(6, 8)
    for epsilon in (0.02, 0.1, 0.7):
        actions, is_random = random_actions.draw(epsilon, ours)
        np.testing.assert_array_equal(actions, rng.integers(6, size=8))
        np.testing.assert_array_equal(is_random, rng.random(8) < epsilon)


@given(
    seed=st.integers(0, 2**31), longest=st.integers(1, 200), epsilon=st.floats(0, 1),
    before=st.integers(0, 30),
)  # fmt: skip
def test_goes_on_from_its_state(seed: int, longest: int, epsilon: float, before: int) -> None:
    rng, first = np.random.default_rng(seed), RandomActions(4, 5, longest)
    for _ in range(before):
        first.draw(epsilon, rng)
    second, same_rng = RandomActions(4, 5, longest), np.random.default_rng()
    second.set_state(first.get_state())
    same_rng.bit_generator.state = rng.bit_generator.state
    for _ in range(5):
        for ours, theirs in zip(
            first.draw(epsilon, rng), second.draw(epsilon, same_rng), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
