"""Games of a trained agent that are watched in a window, recorded as videos, or just scored."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from atari.games import FRAMES_PER_SECOND
from playing.pictures import Insight, game_picture, with_insight
from playing.players import load_player
from playing.recording import Recording
from playing.saliency import saliency_map
from playing.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent import Agent
    from playing.rollouts import Turn
    from settings.config import Config

# Screen pixels for each pixel of a picture. With the overlay the network's frames keep their size.
WINDOW_SCALE, WINDOW_SCALE_WITH_OVERLAY = 1.5, 1.0


def play(config: Config) -> int:
    """Plays greedy games and prints each score and a summary. Writes nothing but videos.

    Args:
        config: the settings; `load_player` says which weights play.

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
    """Plays the games and prints their scores; returns the scores."""
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
    # A person can watch one game at a time.
    count = 1 if is_watched else min(config.envs, config.games_to_play)
    player = to_close.enter_context(load_player(config, count, shown=is_watched))
    print(
        f"{config.environment}: {config.games_to_play} greedy games with {player.weights}",
        flush=True,
    )
    spectator = Spectator(
        player.agent,
        player.environments.action_names,
        window=window,
        recording=recording,
        pictures_per_second=speed,
        overlay=config.overlay,
    )
    scores = []
    for turn in player.play(config.games_to_play, np.random.default_rng(config.seed)):
        if is_watched:
            spectator.watch(turn)
        for game in turn.games:
            scores.append(game.score)
            print(f"game {len(scores)}: score {game.score:g}", flush=True)
    return scores


class Spectator:
    """Shows the first environment's games in a window, in a video, or in both."""

    def __init__(
        self,
        agent: Agent,
        action_names: Sequence[str],
        *,
        window: Window | None,
        recording: Recording | None,
        pictures_per_second: Fraction,
        overlay: bool,
    ):
        """Starts with no game.

        Args:
            agent: the agent that plays.
            action_names: the name of each action.
            window: shows the pictures.
            recording: writes the pictures.
            pictures_per_second: speed of the game in the window.
            overlay: whether to show what the agent sees beside the game.
        """
        self._agent, self._action_names = agent, action_names
        self._window, self._recording = window, recording
        self._speed = float(pictures_per_second)
        self._overlay = overlay
        self._score = 0.0

    def watch(self, turn: Turn) -> None:
        """Shows the screen that the agent acted on and, if the game ended, its last screen."""
        insight = self._insight(turn) if self._overlay and self._is_watching else None
        self._show(turn.screen, insight)
        self._score += float(turn.step.points[0])
        if not turn.step.ends[0]:
            return
        self._show(turn.last_screen, insight)
        if self._recording:
            self._recording.end_game()
        self._score = 0.0

    @property
    def _is_watching(self) -> bool:
        return bool(self._recording or (self._window and self._window.is_open))

    def _insight(self, turn: Turn) -> Insight:
        """Returns what the agent saw in the first environment, and how it acted."""
        values = self._agent.values
        return Insight(
            state=turn.states[0].copy(),
            action_names=self._action_names,
            values=values(turn.states)[0],
            action=int(turn.actions[0]),
            saliency=saliency_map(values, turn.states[0]),
        )

    def _show(self, screen: np.ndarray | None, insight: Insight | None) -> None:
        """Shows a screen with the score so far, unless nobody watches."""
        if not self._is_watching:
            return
        assert screen is not None
        picture = game_picture(screen, self._score)
        if insight:
            picture = with_insight(picture, insight)
        if self._recording:
            self._recording.add(picture)
        if self._window:
            self._window.show(picture, self._speed)
