"""Games played by a trained agent to be watched."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np

from agent import make_agent
from atari.games import FRAMES_PER_SECOND
from playing.recording import Recording
from playing.rollouts import play_games
from playing.spectator import Spectator
from playing.window import Window
from preprocessing import make_environments, state_shape
from settings.config import Config

# Screen pixels for each of a picture; what the network sees is to be shown as it is.
WINDOW_SCALE, WINDOW_SCALE_WITH_OVERLAY = 1.5, 1.0


def play(config: Config) -> int:
    """Plays greedy games and prints each score and what they come to. Writes nothing but videos.

    Args:
        config: the settings; the weights are those of `--continue`, else the newest of the run.

    Returns:
        The exit status, 0.

    Raises:
        EnvironmentIdError: there is no such game.
        NoDisplayError: a window is asked for, and there is no display.
        OSError: a video cannot be written.
        VideoError: a video cannot be made.
        WeightsError: the weights cannot be loaded.
    """
    with ExitStack() as to_close:
        scores = _play(config, to_close)
    print(
        f"{len(scores)} games: mean score {np.mean(scores):.2f}, "
        f"standard deviation {np.std(scores):.2f}, "
        f"lowest {min(scores):g}, highest {max(scores):g}"
    )
    return 0


def _play(config: Config, to_close: ExitStack) -> list[float]:
    """Plays the games and prints their scores; returns these. See `play`."""
    speed = Fraction(FRAMES_PER_SECOND, config.frame_skip)
    window = recording = None
    if config.render:
        scale = WINDOW_SCALE_WITH_OVERLAY if config.overlay else WINDOW_SCALE
        window = Window(f"{config.environment}: playing", (scale, scale))
        to_close.callback(window.close)
        window.wait_until_open()
    if config.video_folder is not None:
        recording = Recording(Path(config.video_folder), config.environment, speed)
        to_close.push(recording)
    is_watched = bool(window or recording)
    environments_seed, agent_seed = np.random.SeedSequence(config.seed).spawn(2)
    environments = make_environments(
        config,
        # One game at a time is what a person can watch.
        1 if is_watched else min(config.envs, config.games_to_play),
        np.random.default_rng(environments_seed),
        shown=is_watched,
        for_scores=True,
    )
    to_close.callback(environments.close)
    agent = make_agent(
        config,
        state_shape(config.screen, config.frame_stack_size),
        environments.num_actions,
        np.random.default_rng(agent_seed),
    )
    weights = Path(config.continue_from or config.weights_path)
    agent.load_weights(weights, config.channels_first)
    print(f"{config.environment}: {config.games_to_play} greedy games with {weights}", flush=True)
    spectator = Spectator(
        environments,
        agent,
        window=window,
        recording=recording,
        pictures_per_second=speed,
        overlay=config.overlay,
    )
    scores = []
    for game in play_games(
        agent,
        environments,
        config.frame_stack_size,
        config.games_to_play,
        np.random.default_rng(agent_seed),
        before_step=spectator.before_step if is_watched else None,
        after_step=spectator.after_step if is_watched else None,
    ):
        scores.append(game.score)
        print(f"game {len(scores)}: score {game.score:g}", flush=True)
    return scores
