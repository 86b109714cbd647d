"""Games played by an agent for their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from agent import Agent
from preprocessing import AtariEnvironments, FrameStack


class Game(NamedTuple):
    """A whole game that was played."""

    score: float
    length: int  # steps
    cut_off: bool  # ended by the limit of frames, and not by the game


def play_games(
    agent: Agent,
    environments: AtariEnvironments,
    stack_size: int,
    games: int,
    rng: np.random.Generator,
    epsilon: float = 0.0,
    after_step: Callable[[], None] | None = None,
) -> Iterator[Game]:
    """Plays whole games, side by side in all environments.

    Exactly so many games are started, and all of them finished: taking the first that finish would
    favour short ones.

    Args:
        agent: who plays.
        environments: where; lives and no-ops must not end their episodes.
        stack_size: frames in a state.
        games: how many to play.
        rng: draws the random actions, so that the agent's own generator stays as it is.
        epsilon: probability of a random action.
        after_step: is called after each step, before the games that ended with it are given.

    Yields:
        The games, in the order that they end in.
    """
    count = environments.count
    stack = FrameStack(count, environments.frame_shape, stack_size)
    stack.push(environments.reset(), np.ones(count, bool))
    playing = np.arange(count) < games
    started = int(playing.sum())
    scores, lengths = np.zeros(count), np.zeros(count, np.int64)
    while playing.any():
        step = environments.step(agent.act(stack.states, epsilon, rng=rng))
        stack.push(step.frames, step.ends)
        scores += step.points
        lengths += 1
        if after_step:
            after_step()
        for index in np.flatnonzero(step.ends & playing):
            yield Game(float(scores[index]), int(lengths[index]), not step.terminals[index])
            playing[index] = started < games
            started += int(playing[index])
        scores[step.ends] = 0
        lengths[step.ends] = 0
