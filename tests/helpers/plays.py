"""Plays to remember: of real games, and made up at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from atari.games import find_game
from preprocessing import AtariEnvironments

if TYPE_CHECKING:
    from collections.abc import Iterator


class Step(NamedTuple):
    """What `ReplayMemory.append` takes."""

    frames: np.ndarray  # [streams, H, W(, p)] uint8
    actions: np.ndarray  # [streams] int64
    rewards: np.ndarray  # [streams] float32
    terminals: np.ndarray  # [streams] bool
    ends: np.ndarray  # [streams] bool


def real_play(environment: str, streams: int, steps: int, seed: int) -> list[Step]:
    """Returns the steps of a game that is played at random."""
    rng = np.random.default_rng(seed)
    environments = AtariEnvironments(find_game(environment), streams, rng)
    play, frames = [], environments.reset()
    for _ in range(steps):
        actions = rng.integers(environments.num_actions, size=streams)
        step = environments.step(actions)
        play.append(Step(frames.copy(), actions, step.rewards, step.terminals, step.ends))
        frames = step.frames
    environments.close()
    return play


def random_play(
    rng: np.random.Generator, streams: int, frame_shape: tuple[int, ...]
) -> Iterator[Step]:
    """Yields steps without end: noise for frames, (H, W) or (H, W, p), and every kind of end."""
    while True:
        kinds = rng.choice(4, size=streams, p=[0.7, 0.1, 0.1, 0.1])  # goes on, life, over, cut
        yield Step(
            rng.integers(256, size=(streams, *frame_shape), dtype=np.uint8),
            rng.integers(18, size=streams),
            rng.normal(size=streams).astype(np.float32),
            (kinds == 1) | (kinds == 2),
            kinds >= 2,
        )
