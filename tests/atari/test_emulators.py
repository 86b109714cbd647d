"""Both kinds of emulators play the same games, and a failure is said in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from atari.emulators import (
    SAME_SEED,
    Emulation,
    EmulatorError,
    Emulators,
    GymnasiumEmulators,
    VectorEmulators,
)
from atari.games import find_game

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = VectorEmulators, GymnasiumEmulators


@pytest.mark.parametrize("game", ["Breakout-v4", "Pooyan-v0", "Tetris-v0"])
def test_both_emulators_begin_the_next_game_of_a_seed_alike(game: str) -> None:
    """Some games press keys of their own at a start, and some have no FIRE."""
    everywhere, same = np.ones(2, bool), np.full(2, SAME_SEED)
    fast, shown = (kind(find_game(game), 2, 4, "resize") for kind in KINDS)
    starts = []
    for seeds in (np.array([3, 4]), same, same, np.array([5, SAME_SEED]), same):
        emulations = [emulators.reset(seeds, everywhere) for emulators in (fast, shown)]
        starts.append(emulations[0].frames.tobytes())
        emulations += [emulators.step(np.array([1, 2])) for emulators in (fast, shown)]
        for one, other in (emulations[:2], emulations[2:]):
            np.testing.assert_array_equal(one.frames, other.frames)
            np.testing.assert_array_equal(one.lives, other.lives)
    assert len(set(starts)) > 2
    fast.close()
    shown.close()


def raw_emulators(**settings: object) -> Iterator[Emulators]:
    for kind in KINDS:
        emulators = kind(find_game("Breakout-v4"), 2, 16, "resize", raw=True, **settings)
        yield emulators
        emulators.close()


def test_nothing_of_a_new_game_is_seen_in_the_step_that_ends_one() -> None:
    """The C++ emulators start a game that is over anew by themselves."""
    actions = np.random.default_rng(2).integers(4, size=(200, 2))
    played = []
    for emulators in raw_emulators():
        given = [emulators.reset(np.array([4, 9]), np.ones(2, bool))]
        seeds = iter(range(10, 100))
        for row in actions:
            given.append(emulators.step(row))
            over = given[-1].over
            if over.any():
                fresh = np.array([next(seeds) for _ in range(over.sum())])
                given.append(emulators.reset(fresh, over))
        played.append(given)
    assert len(played[0]) == len(played[1])
    ended = [(each, index) for each in played[0] for index in np.flatnonzero(each.over)]
    assert len(ended) > 2
    for fast, shown in zip(*played, strict=True):
        for name, one, other in zip(Emulation._fields, fast, shown, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)
    assert all(each.lives[index] == 0 for each, index in ended)
    # Some end well before the last frame, and what is missing is like the last.
    frames = np.stack([each.frames[index] for each, index in ended])
    missing = (frames == frames[..., -1:]).all(axis=(1, 2)).sum(axis=-1)
    assert missing.max() > 4


def test_first_frame_of_a_game_stands_for_all() -> None:
    for emulators in raw_emulators():
        frames = emulators.reset(np.array([4, 9]), np.ones(2, bool)).frames
        assert (frames == frames[..., :1]).all()
        assert frames.shape == (2, 84, 84, 16)


def test_an_emulator_that_fails_is_named() -> None:
    shown = GymnasiumEmulators(find_game("Breakout-v4"), 1, 4, "resize")
    shown.reset(np.zeros(1, int), np.ones(1, bool))
    with pytest.raises(EmulatorError, match=r"^emulator 1 of 1 of Breakout has failed \(IndexErr"):
        shown.step(np.array([99]))
    shown.close()
    fast = VectorEmulators(find_game("Pong-v0"), 8, 4, "resize")
    with pytest.raises(
        EmulatorError, match=r"^one of 8 emulators of Pong has failed \(Runtime.*\)$"
    ):
        fast.step(np.zeros(8, np.int64))
    fast.close()


@pytest.mark.parametrize("action", [-1, 6])
def test_an_action_that_the_game_has_not_got_is_said_and_not_waited_for(action: int) -> None:
    emulators = VectorEmulators(find_game("Pong-v0"), 8, 4, "resize")
    emulators.reset(np.arange(8), np.ones(8, bool))
    with pytest.raises(EmulatorError, match=rf"Pong has failed \(IndexError .* {action}, .*\)$"):
        emulators.step(np.array([0, 0, action, 0, 0, 0, 0, 0]))
    emulators.step(np.zeros(8, np.int64))
    emulators.close()


@pytest.mark.parametrize("kind", [VectorEmulators, GymnasiumEmulators])
def test_a_failure_of_many_lines_is_said_in_one(
    kind: type[VectorEmulators | GymnasiumEmulators],
) -> None:
    emulators = kind(find_game("Pong-v0"), 1, 4, "resize")
    with pytest.raises(EmulatorError, match="of Pong has failed") as failure:
        emulators.reset(np.array([2**40]), np.ones(1, bool))
    assert "\n" in str(failure.value.__cause__)
    assert "\n" not in str(failure.value)
    emulators.close()
