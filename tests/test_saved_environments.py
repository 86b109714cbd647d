"""A seed and the actions since bring environments to where they were, to the last bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from atari.games import find_game
from preprocessing import AtariEnvironments, Step
from storage.state import State

KINDS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "sticky actions": ("Breakout-v0", 3, {}),
    "one environment": ("Breakout-v4", 1, {"no_op_limit": 3}),
    "lost lives and many ends": ("Breakout-v0", 4, {"no_op_limit": 2, "life_loss": "penalty"}),
    "raw frames": ("Breakout-v0", 2, {"raw": True, "screen": "crop", "no_op_limit": 3}),
    "colours": ("Freeway-v0", 2, {"screen": "square"}),
}


def make(kind: str, seed: int, **more: Any) -> AtariEnvironments:
    environment, count, options = KINDS[kind]
    return AtariEnvironments(
        find_game(environment), count, np.random.default_rng(seed), **options, **more
    )


def play(environments: AtariEnvironments, actions: np.ndarray) -> list[Step]:
    return [environments.step(each) for each in actions]


def play_at_random(environments: AtariEnvironments, steps: int, seed: int) -> list[Step]:
    rng = np.random.default_rng(seed)
    return play(
        environments, rng.integers(environments.num_actions, size=(steps, environments.count))
    )


def assert_new_ones_go_on_as(
    old: AtariEnvironments, new: AtariEnvironments, frames: np.ndarray, steps: int
) -> None:
    """Compares all that both give from the state on that `old` is in, with `frames` its newest."""
    state = old.get_state()
    expected = play_at_random(old, steps, 2)
    new.set_state(state)
    np.testing.assert_array_equal(new.frames, frames)
    for number, (ours, theirs) in enumerate(
        zip(play_at_random(new, steps, 2), expected, strict=True)
    ):
        for name, our, their in zip(Step._fields, ours, theirs, strict=True):
            np.testing.assert_array_equal(our, their, err_msg=f"{name} at {number}")
    assert sum(step.ends.sum() for step in expected) > 1  # episodes to come are fixed as well
    (numbers, arrays), (old_numbers, old_arrays) = new.get_state(), old.get_state()
    assert numbers == old_numbers
    assert arrays.keys() == old_arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, old_arrays[name], err_msg=name, strict=True)
    old.close()
    new.close()


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        *((kind, (False, False)) for kind in KINDS),
        ("lost lives and many ends", (True, False)),
        ("raw frames", (False, True)),
    ],
)
def test_restored_environments_go_on_as_those_that_were_saved(
    kind: str, shown: tuple[bool, bool]
) -> None:
    old = make(kind, 0, shown=shown[0])
    rng = np.random.default_rng(1)
    before = rng.integers(old.num_actions, size=(150, old.count))
    after = rng.integers(old.num_actions, size=(150, old.count))
    old.reset()
    frames = play(old, before)[-1].frames
    numbers, arrays = old.get_state()
    expected = play(old, after)
    old.close()
    new = make(kind, 7, shown=shown[1])
    new.set_state(State(json.loads(json.dumps(numbers)), arrays))
    np.testing.assert_array_equal(new.frames, frames)
    for number, (ours, theirs) in enumerate(zip(play(new, after), expected, strict=True)):
        for name, our, their in zip(Step._fields, ours, theirs, strict=True):
            np.testing.assert_array_equal(our, their, err_msg=f"{name} at {number}")
    new.close()


def test_games_end_in_what_is_compared() -> None:
    environments = make("lost lives and many ends", 0)
    environments.reset()
    actions = np.random.default_rng(1).integers(
        environments.num_actions, size=(300, environments.count)
    )
    steps = play(environments, actions)
    environments.close()
    assert sum(step.ends.sum() for step in steps[:150]) > 1
    assert sum(step.ends.sum() for step in steps[150:]) > 1


@pytest.mark.parametrize("steps", [0, 1])
def test_a_state_at_the_start_can_be_restored(steps: int) -> None:
    old, new = make("sticky actions", 0), make("sticky actions", 1)
    old.reset()
    actions = np.full((20, old.count), 2)
    play(old, actions[:steps])
    new.set_state(old.get_state())
    for ours, theirs in zip(play(new, actions), play(old, actions), strict=True):
        np.testing.assert_array_equal(ours.frames, theirs.frames)
    old.close()
    new.close()


def test_games_that_began_far_apart_are_restored_together() -> None:
    old, new = make("sticky actions", 0), make("sticky actions", 1)
    old.reset()
    frames = play_at_random(old, 1_120, 1)[-1].frames
    ages = old.get_state().arrays["ages"]
    assert ages.min() < 150
    assert ages.max() > 1_000
    assert_new_ones_go_on_as(old, new, frames, 300)


@pytest.mark.parametrize("shown", [False, True])
def test_environments_in_use_leave_their_own_games(shown: bool) -> None:
    old = make("lost lives and many ends", 0)
    new = make("lost lives and many ends", 1, shown=shown)
    new.reset()
    play_at_random(new, 100, 3)
    old.reset()
    assert_new_ones_go_on_as(old, new, play_at_random(old, 100, 1)[-1].frames, 100)


@pytest.mark.parametrize("shown", [False, True])
def test_some_episodes_may_just_have_begun(shown: bool) -> None:
    old = make("lost lives and many ends", 0)
    new = make("lost lives and many ends", 1, shown=shown)
    old.reset()
    step = next(s for s in (play_at_random(old, 1, n)[0] for n in range(1_000)) if s.ends.any())
    assert not step.ends.all()
    assert_new_ones_go_on_as(old, new, step.frames, 200)


def test_a_state_is_a_copy() -> None:
    environments = make("sticky actions", 0)
    environments.reset()
    play(environments, np.full((5, environments.count), 2))
    _, arrays = environments.get_state()
    copies = {name: array.copy() for name, array in arrays.items()}
    play(environments, np.full((5, environments.count), 3))
    environments.reset()
    environments.close()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, copies[name])
