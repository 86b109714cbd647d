"""A seed and the actions since bring environments to where they were, to the last bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from emulators import EmulatorError
from games import find_game
from preprocessing import AtariEnvironments, Step

KINDS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "sticky actions": ("Pong-v0", 8, {}),
    "one environment": ("Breakout-v4", 1, {"no_op_limit": 3}),
    "lost lives and many ends": ("Breakout-v0", 4, {"no_op_limit": 2, "life_loss": "penalty"}),
    "raw frames": ("Breakout-v0", 3, {"raw": True, "screen": "crop", "no_op_limit": 3}),
    "colours": ("Freeway-v0", 2, {"screen": "square"}),
}


def make(kind: str, seed: int, **more: Any) -> AtariEnvironments:
    environment, count, options = KINDS[kind]
    return AtariEnvironments(
        find_game(environment), count, np.random.default_rng(seed), **options, **more
    )


def play(environments: AtariEnvironments, actions: np.ndarray) -> list[Step]:
    return [environments.step(each) for each in actions]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shown", [(False, False), (True, False), (False, True)])
def test_restored_environments_go_on_as_those_that_were_saved(
    kind: str, shown: tuple[bool, bool]
) -> None:
    old = make(kind, 0, shown=shown[0])
    rng = np.random.default_rng(1)
    before = rng.integers(old.num_actions, size=(150, old.count))
    after = rng.integers(old.num_actions, size=(250, old.count))
    old.reset()
    frames = play(old, before)[-1].frames
    numbers, arrays = old.get_state()
    expected = play(old, after)
    old.close()
    new = make(kind, 7, shown=shown[1])
    np.testing.assert_array_equal(new.set_state(json.loads(json.dumps(numbers)), arrays), frames)
    for number, (ours, theirs) in enumerate(zip(play(new, after), expected, strict=True)):
        for name, our, their in zip(Step._fields, ours, theirs, strict=True):
            np.testing.assert_array_equal(our, their, err_msg=f"{name} at {number}")
    new.close()


def test_games_end_in_what_is_compared() -> None:
    environments = make("lost lives and many ends", 0)
    environments.reset()
    actions = np.random.default_rng(1).integers(environments.num_actions, size=(400, 4))
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
    new.set_state(*old.get_state())
    for ours, theirs in zip(play(new, actions), play(old, actions), strict=True):
        np.testing.assert_array_equal(ours.frames, theirs.frames)
    old.close()
    new.close()


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


def test_an_emulator_that_fails_is_named() -> None:
    shown = make("one environment", 0, shown=True)
    shown.reset()
    with pytest.raises(EmulatorError, match=r"^emulator 1 of 1 of Breakout has failed \(IndexErr"):
        shown.step(np.array([99]))
    shown.close()
    environments = make("sticky actions", 0)
    with pytest.raises(
        EmulatorError, match=r"^one of 8 emulators of Pong has failed \(Runtime.*\)$"
    ):
        environments.step(np.zeros(8, np.int64))
    environments.close()
