"""What actors send is taken only where it is exactly what was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cluster.chunks import Chunk, ChunkError, Shape, pack, turns_of
from preprocessing import Step

SHAPE = Shape(turns=3, frames=(2, 8, 8, 1), num_actions=4)


def play(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[Step]]:
    frames = rng.integers(256, size=(3, 2, 8, 8, 1), dtype=np.uint8)
    steps = [
        Step(
            frames[0],
            rng.normal(size=2).astype(np.float32),
            rng.normal(size=2).astype(np.float32),
            rng.random(2) < 0.5,
            rng.random(2) < 0.5,
        )
        for _ in range(3)
    ]
    return frames, rng.integers(4, size=(3, 2)), steps


def test_what_was_played_arrives() -> None:
    frames, actions, steps = play(np.random.default_rng(0))
    turns = turns_of(pack(frames, actions, steps), SHAPE, 5, 0.25, is_anew=True)
    assert [(turn.actor, turn.epsilon, turn.is_anew) for turn in turns] == [
        (5, 0.25, True), (5, 0.25, False), (5, 0.25, False)
    ]  # fmt: skip
    for number, turn in enumerate(turns):
        np.testing.assert_array_equal(turn.step.frames, frames[number])
        np.testing.assert_array_equal(turn.actions, actions[number])
        for ours, theirs in zip(turn.step[1:], steps[number][1:], strict=True):
            np.testing.assert_array_equal(ours, theirs)


GOOD = pack(*play(np.random.default_rng(1)))
SHORTER = pack(*(each[:2] for each in play(np.random.default_rng(1))))


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (None, "NoneType in place of a chunk"),
        (tuple(GOOD), "tuple in place of a chunk"),
        (SHORTER, "actions that are not uint8"),
        (GOOD._replace(actions=GOOD.actions.astype(np.int64)), "actions that are not uint8"),
        (GOOD._replace(actions=GOOD.actions + np.uint8(4)), "an action that is not below 4"),
        (GOOD._replace(rewards=GOOD.rewards * np.nan), "not finite"),
        (GOOD._replace(points=GOOD.points.tolist()), "points that are not float32"),
        (GOOD._replace(ends=GOOD.ends[:, :1]), "ends that are not bool"),
        (GOOD._replace(terminals=np.array([[object()] * 2] * 3)), "terminals that are not bool"),
        (GOOD._replace(lengths=GOOD.lengths - 1), "not as long as they are said to be"),
        (GOOD._replace(lengths=-GOOD.lengths), "not as long as they are said to be"),
        (GOOD._replace(lengths=GOOD.lengths + np.array([1, -1])), "cannot be unpacked"),
        (GOOD._replace(frames=np.zeros_like(GOOD.frames)), "cannot be unpacked"),
        (GOOD._replace(frames=SHORTER.frames, lengths=SHORTER.lengths), "cannot be unpacked"),
    ],
)  # fmt: skip
def test_what_is_no_chunk_is_refused_in_one_line(chunk: Any, words: str) -> None:
    with pytest.raises(ChunkError, match=words) as error:
        turns_of(chunk, SHAPE, 3, 0.1)
    assert str(error.value).startswith("actor 3 has sent ")
    assert "\n" not in str(error.value)


def test_a_chunk_has_the_bytes_of_its_arrays() -> None:
    assert isinstance(GOOD, Chunk)
    assert GOOD.nbytes == len(GOOD.frames) + 2 * 8 + 6 * (1 + 4 + 4 + 1 + 1)
