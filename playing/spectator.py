"""Whoever watches an agent play: in a window, in a video, or in both."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from agent import Agent
from playing.pictures import Insight, game_picture, with_insight
from playing.recording import Recording
from playing.saliency import saliency_map
from playing.window import Window
from preprocessing import AtariEnvironments, Step


class Spectator:
    """Shows each state that the agent acts on, and the screen that each game ends with.

    `before_step` and `after_step` are for `rollouts.play_games`.
    """

    def __init__(
        self,
        environments: AtariEnvironments,
        agent: Agent,
        *,
        window: Window | None,
        recording: Recording | None,
        pictures_per_second: Fraction,
        overlay: bool,
    ):
        """Takes what is watched, and where it is shown.

        Args:
            environments: one, with pictures.
            agent: who plays in it.
            window: shows the pictures at the speed of the game.
            recording: writes them down.
            pictures_per_second: that speed.
            overlay: whether to show what the agent sees as well.
        """
        self._environments, self._agent = environments, agent
        self._window, self._recording = window, recording
        self._speed = float(pictures_per_second)
        self._overlay = overlay
        self._insight: Insight | None = None
        self._score = 0.0

    def before_step(self, states: np.ndarray, actions: np.ndarray) -> None:
        """Shows the screen that a state, [1, H, W, k] uint8, ends with, and the action chosen."""
        if not self._is_watching:
            return
        if self._overlay:
            values = self._agent.values
            self._insight = Insight(
                state=states[0].copy(),
                action_names=self._environments.action_names,
                values=values(states)[0],
                action=int(actions[0]),
                saliency=saliency_map(values, states[0]),
            )
        self._show(self._environments.picture())

    def after_step(self, step: Step) -> None:
        """Counts the score, and shows how a game has ended."""
        self._score += float(step.points[0])
        if not step.ends[0]:
            return
        last = self._environments.last_picture
        if self._is_watching and last is not None:
            self._show(last)
        if self._recording:
            self._recording.end_game()
        self._score = 0.0

    @property
    def _is_watching(self) -> bool:
        return bool(self._recording or (self._window and self._window.is_open))

    def _show(self, screen: np.ndarray) -> None:
        picture = game_picture(screen, self._score)
        if self._insight:
            picture = with_insight(picture, self._insight)
        if self._recording:
            self._recording.add(picture)
        if self._window:
            self._window.show(picture, self._speed)
