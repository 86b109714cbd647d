"""Games played by a trained agent, for their scores or to be watched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent import Agent, make_agent
from config import Config
from preprocessing import AtariEnvironments, FrameStack, make_environments, state_shape
from window import Window

EMULATOR_FRAMES_PER_SECOND = 60


def play_games(
    agent: Agent,
    environments: AtariEnvironments,
    stack_size: int,
    games: int,
    epsilon: float = 0.0,
    window: Window | None = None,
    pictures_per_second: float = 0.0,
) -> Iterator[float]:
    """Plays whole games, side by side in all environments.

    Exactly so many games are started, and all of them finished: taking the first that finish would
    favour short ones.

    Args:
        agent: who plays.
        environments: where; lives and no-ops must not end their episodes.
        stack_size: frames in a state.
        games: how many to play.
        epsilon: probability of a random action.
        window: shows the first environment.
        pictures_per_second: its speed, 0 for as fast as can be.

    Yields:
        The score of each game, in the order that they end in.
    """
    count = environments.count
    stack = FrameStack(count, environments.frame_shape, stack_size)
    stack.push(environments.reset(), np.ones(count, bool))
    playing = np.arange(count) < games
    started = int(playing.sum())
    scores = np.zeros(count)
    while playing.any():
        step = environments.step(agent.act(stack.states, epsilon))
        stack.push(step.frames, step.ends)
        scores += step.points
        if window:
            window.show(environments.picture(), pictures_per_second)
        for index in np.flatnonzero(step.ends & playing):
            yield float(scores[index])
            playing[index] = started < games
            started += int(playing[index])
        scores[step.ends] = 0


def play(config: Config) -> int:
    """Plays greedy games and prints each score and what they come to. Writes nothing.

    Args:
        config: the settings; the weights are those of `--continue`, else the newest of the run.

    Returns:
        The exit status, 0.

    Raises:
        EnvironmentIdError: there is no such game.
        NoDisplayError: a window is asked for, and there is no display.
        WeightsError: the weights cannot be loaded.
    """
    window = Window(f"{config.environment}: playing") if config.render else None
    environments_seed, agent_seed = np.random.SeedSequence(config.seed).spawn(2)
    environments = make_environments(
        config,
        # One game at a time is what a person can watch.
        1 if window else min(config.envs, config.episodes),
        np.random.default_rng(environments_seed),
        shown=window is not None,
        for_scores=True,
    )
    agent = make_agent(
        config,
        state_shape(config.screen, config.frame_stack_size),
        environments.num_actions,
        np.random.default_rng(agent_seed),
    )
    weights = Path(config.continue_from or config.weights_path)
    agent.load_weights(weights, config.channels_first)
    print(f"{config.environment}: {config.episodes} greedy games with {weights}", flush=True)
    scores = []
    for score in play_games(
        agent,
        environments,
        config.frame_stack_size,
        config.episodes,
        window=window,
        pictures_per_second=EMULATOR_FRAMES_PER_SECOND / config.frame_skip,
    ):
        scores.append(score)
        print(f"game {len(scores)}: score {score:g}", flush=True)
    environments.close()
    print(
        f"{len(scores)} games: mean score {np.mean(scores):.2f}, "
        f"standard deviation {np.std(scores):.2f}, "
        f"lowest {min(scores):g}, highest {max(scores):g}"
    )
    return 0
