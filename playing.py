"""Games played by a trained agent to be watched."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent import make_agent
from config import Config
from evaluation import play_games
from preprocessing import make_environments, state_shape
from window import Window

EMULATOR_FRAMES_PER_SECOND = 60


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

    def show() -> None:
        if window:
            window.show(environments.picture(), EMULATOR_FRAMES_PER_SECOND / config.frame_skip)

    scores = []
    for game in play_games(
        agent,
        environments,
        config.frame_stack_size,
        config.episodes,
        np.random.default_rng(agent_seed),
        after_step=show,
    ):
        scores.append(game.score)
        print(f"game {len(scores)}: score {game.score:g}", flush=True)
    environments.close()
    print(
        f"{len(scores)} games: mean score {np.mean(scores):.2f}, "
        f"standard deviation {np.std(scores):.2f}, "
        f"lowest {min(scores):g}, highest {max(scores):g}"
    )
    return 0
