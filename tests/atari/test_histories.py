"""A seed and the actions since bring an emulator to where another one is."""

from __future__ import annotations

import numpy as np
import pytest

from atari.emulators import SAME_SEED, GymnasiumEmulators, VectorEmulators
from atari.games import find_game
from atari.histories import Histories, History
from preprocessing import AtariEnvironments
from storage.state import State


def test_a_history_brings_another_emulator_to_where_one_is() -> None:
    rng = np.random.default_rng(0)
    environments = AtariEnvironments(find_game("Breakout-v0"), 3, rng, no_op_limit=3)
    environments.reset()
    for actions in np.random.default_rng(0).integers(4, size=(700, 3)):
        newest = environments.step(actions).frames[1]
    history = environments.history(1)
    environments.close()
    assert history.starts.any()
    other = GymnasiumEmulators(find_game("Breakout-v0"), 1, 4, "resize")
    alone = np.ones(1, bool)
    emulation = other.reset(np.array([history.seed]), alone)
    for action, start in zip(history.actions, history.starts[1:], strict=True):
        emulation = other.step(np.array([action]))
        if start:
            emulation = other.reset(np.array([SAME_SEED]), alone)
    np.testing.assert_array_equal(emulation.frames[0], newest)
    other.close()


def made_up(seed: int) -> Histories:
    """Returns the histories of three emulators, with seeds that were given at different steps."""
    rng = np.random.default_rng(seed)
    histories = Histories(3, 100)
    histories.start(np.array([11, 12, 13]), np.ones(3, bool))
    for step in range(20):
        histories.step(rng.integers(4, size=3))
        if step == 7:
            histories.start(np.array([SAME_SEED, 22, SAME_SEED]), np.array([True, True, False]))
    return histories


def test_a_history_begins_with_the_last_seed() -> None:
    histories = made_up(0)
    actions = np.random.default_rng(0).integers(4, size=(20, 3))
    assert histories.ages.tolist() == [20, 12, 20]
    for index, (seed, first, starts) in enumerate([(11, 0, [8]), (22, 8, []), (13, 0, [])]):
        history = histories.history(index)
        assert history.seed == seed
        np.testing.assert_array_equal(history.actions, actions[first:, index])
        assert np.flatnonzero(history.starts).tolist() == starts
        assert len(history.starts) == len(history.actions) + 1


def test_a_history_until_a_step_is_its_beginning() -> None:
    history = History(5, np.array([1, 2, 3], np.uint8), np.array([False, True, False, True]))
    seed, actions, starts = history.until(1)
    assert (seed, actions.tolist(), starts.tolist()) == (5, [1], [False, True])


def test_a_state_has_nothing_of_earlier_seeds_and_is_taken_whole() -> None:
    old, new = made_up(0), made_up(1)
    attributes, arrays = old.get_state()
    assert attributes == {}
    assert not arrays["actions"][12:, 1].any()
    new.set_state(State(attributes, arrays))
    for name, array in new.get_state()[1].items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name, strict=True)
    old.step(np.ones(3, int))
    assert len(arrays["actions"]) == 20


@pytest.mark.parametrize("kind", [VectorEmulators, GymnasiumEmulators])
def test_a_replay_gives_what_the_emulators_gave_last(
    kind: type[VectorEmulators | GymnasiumEmulators],
) -> None:
    histories, rng = Histories(2, 100), np.random.default_rng(3)
    emulators = VectorEmulators(find_game("Breakout-v0"), 2, 4, "resize")
    for seeds, mask in (([4, 9], [True, True]), ([SAME_SEED, 6], [True, True])):
        emulators.reset(np.array(seeds), np.array(mask))
        histories.start(np.array(seeds), np.array(mask))
        for actions in rng.integers(4, size=(15, 2)):
            expected = emulators.step(actions)
            histories.step(actions)
    others = kind(find_game("Breakout-v0"), 2, 4, "resize")
    found = histories.replay(others)
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(found.lives, expected.lives)
    emulators.close()
    others.close()
