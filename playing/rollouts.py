"""Whole games played without learning, which scoring, watching, recording and evaluating read.

A game begins with up to 30 no-ops and is cut off after 108,000 frames, as in Mnih et al. 2015,
"Evaluation procedure", and van Hasselt et al. 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from atari.published_scores import published_scores
from preprocessing import AtariEnvironments, FrameStack, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent import Agent

MOST_SIDE_BY_SIDE = 32  # environments that play for scores


class Game(NamedTuple):
    """The result of a whole game."""

    score: float
    length: int  # steps
    cut_off: bool  # ended by the limit of frames, not by the game


class Turn(NamedTuple):
    """One step of all environments."""

    states: np.ndarray  # [n, H, W, k] uint8, which the agent acted on; the next turn changes them
    actions: np.ndarray  # [n] int64
    step: Step  # what the environments gave for the actions
    games: list[Game]  # that ended with this step
    # [height, width, 3] uint8 RGB, of the first environment where it is shown, else None:
    screen: np.ndarray | None  # before the step
    last_screen: np.ndarray | None  # of the game that ended with this step; None if none did


def play_games(
    agent: Agent,
    environments: AtariEnvironments,
    stack_size: int,
    games: int,
    rng: np.random.Generator,
    epsilon: float = 0.0,
) -> Iterator[Turn]:
    """Plays whole games, side by side in all environments.

    It starts exactly `games` games and finishes all of them. To take the first games that finish,
    of more that were started, would favour short ones.

    Args:
        agent: acts.
        environments: made `for_scores`, so that lives and no-ops do not end an episode.
        stack_size: k, frames in a state.
        games: how many to play.
        rng: draws the random actions. The agent's own generator stays as it is.
        epsilon: probability of a random action.

    Yields:
        Each step of all environments, until the last game ends.
    """
    count = environments.count
    stack = FrameStack(count, environments.frame_shape, stack_size)
    stack.push(environments.reset(), np.ones(count, bool))
    playing = np.arange(count) < games
    started = int(playing.sum())
    scores, lengths = np.zeros(count), np.zeros(count, np.int64)
    while playing.any():
        screen = environments.picture() if environments.shown else None
        actions = agent.act(stack.states, epsilon, rng=rng)
        step = environments.step(actions)
        scores += step.points
        lengths += 1
        ended = []
        for index in np.flatnonzero(step.ends & playing):
            ended.append(Game(float(scores[index]), int(lengths[index]), not step.terminals[index]))
            playing[index] = started < games
            started += int(playing[index])
        scores[step.ends] = 0
        lengths[step.ends] = 0
        last_screen = environments.last_picture if environments.shown and step.ends[0] else None
        yield Turn(stack.states, actions, step, ended, screen, last_screen)
        stack.push(step.frames, step.ends)


def game_statistics(games: Sequence[Game], environment_id: str) -> dict[str, Any]:
    """Returns statistics of games, by the names of the fields of `Evaluation`.

    Args:
        games: at least one.
        environment_id: whose published scores the mean is compared with.
    """
    scores = np.array([game.score for game in games])
    mean = float(scores.mean())
    published = published_scores(environment_id)
    return {
        "games": len(games),
        "mean": mean,
        "median": float(np.median(scores)),
        "deviation": float(scores.std(ddof=1)) if len(games) > 1 else 0.0,
        "lowest": float(scores.min()),
        "highest": float(scores.max()),
        "length": float(np.mean([game.length for game in games])),
        "cut_off": sum(game.cut_off for game in games),
        "human_normalised": published.human_normalised(mean) if published else None,
    }
