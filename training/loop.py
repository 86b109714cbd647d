"""What every training loop has: counters, schedules, what is learnt, and what is told of it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from training.diagnosis import Diagnosis
from training.episode_tracker import ALL, EpisodeTracker, Moment
from training.learning import Learning
from training.pixel_statistics import pixel_statistics
from training.schedules import make_epsilon

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from agent import Agent
    from atari.histories import History
    from preprocessing import Step
    from settings.config import Config
    from storage.episode_log import Episode
    from storage.state import State
    from training.prefetching import Prefetcher


PIXEL_MEASUREMENTS = 2  # of a run
LATEST_MEASUREMENT = 50_000  # step


class TrainingLoop(ABC):
    """Trains an agent. What reads the episodes writes, shows and stops.

    Attributes:
        agent: what learns.
        batches, memory: what is drawn from the replay memory and changes it; the memory itself.
        step: of all environments together, from the start of the run.
        gathered: transitions, in pretraining.
        episodes: what is added up for the log.
        learning: what makes the updates and copies that are due.
        epsilon: at this step.
        pixel_measurements: how often the statistics of pixels were measured.
        is_playing: whether there are games to go on with.
        notes: lines for the start of a run, where others than this process play.
        lost: what a checkpoint could not bring back, and why.
    """

    def __init__(
        self, config: Config, action_names: Sequence[str], agent: Agent, batches: Prefetcher
    ):
        """Puts the parts together; the memory has one stream for each environment."""
        self._config = config
        self.agent, self.batches = agent, batches
        self.memory = batches.memory
        self.step = self.gathered = 0
        self.episodes = EpisodeTracker(action_names, config.streams)
        self.learning = Learning(config, agent, batches, self.episodes)
        self.epsilon_schedule = make_epsilon(config)
        self.epsilon = self.epsilon_schedule(0)
        # Gathering stops when the memory is full.
        self.pretrain_steps = min(config.pretrain_transitions, self.memory.capacity)
        # At random, or the network decides everything.
        self.pretrain_epsilon = 0.0 if config.continue_from else 1.0
        self.pixel_measurements = 0
        self.is_playing = False
        self.diagnosis = Diagnosis(config)
        self.earlier_seconds, self._started = 0.0, time.monotonic()
        self.notes: list[str] = []
        self.lost: list[str] = []

    @abstractmethod
    def pretrain(self) -> Iterator[int]:
        """Fills the memory up to `--pretrain` transitions, without learning.

        Acts at random, or with `--continue` lets the network decide everything.

        Yields:
            How many transitions there are, after each step of all environments.
        """

    @abstractmethod
    def train(self) -> Iterator[list[Episode]]:
        """Trains until `--steps` or `--games`.

        Yields:
            The episodes that ended, after each step of all environments.

        Raises:
            FloatingPointError: the network has diverged; `step` tells where.
        """

    @abstractmethod
    def get_games(self) -> State:
        """Returns the state of what plays: of the games in progress, and of the random actions."""

    @abstractmethod
    def set_games(self, state: State) -> str:
        """Takes what `get_games` returned.

        Returns:
            Why the games in progress cannot go on; empty where they can.
        """

    @abstractmethod
    def first_history(self) -> History:
        """Returns what the game in progress in the first environment has come from."""

    @abstractmethod
    def close(self) -> None:
        """Frees what plays, and the thread that draws."""

    def read_updates(self) -> None:
        """Adds up what the updates tell that have not been read yet; waits until they are made.

        Raises:
            FloatingPointError: one of them is not finite; `step` is then its step.
        """
        try:
            self.learning.read()
        except FloatingPointError:
            self.step = self.learning.step
            raise

    @property
    def count(self) -> int:
        """How far the run is, in steps or games, as schedules count."""
        return self.episodes.number if self._config.count_by == "games" else self.step

    @property
    def phase(self) -> str:
        """What the agent is doing: "exploring", while epsilon falls, or "training" after that."""
        return "training" if self.epsilon_schedule.is_over(self.count) else "exploring"

    @property
    def seconds(self) -> float:
        """How long the run has taken, resumes included."""
        return self.earlier_seconds + time.monotonic() - self._started

    @property
    def is_over(self) -> bool:
        """Whether all `--steps` or `--games` are done."""
        return self.step >= self._config.steps or 0 < self._config.games <= self.episodes.number

    def _measure_pixels(self) -> bool:
        """Gives networks that whiten the statistics of the pixels in memory, where that is due.

        That is before the first step, and once more when exploration is over: no game may have come
        to its end before. A network that has learnt for long would no longer know what it sees, so
        it is never put off beyond `LATEST_MEASUREMENT`. Statistics that came with weights stay.

        Returns:
            Whether they got them now. No batch may have been drawn that is not taken yet.
        """
        if self.pixel_measurements == 0 and not self.agent.lacks_pixel_statistics:
            self.pixel_measurements = PIXEL_MEASUREMENTS
        if self.pixel_measurements == PIXEL_MEASUREMENTS or not self.memory.can_sample:
            return False
        is_early = self.step < LATEST_MEASUREMENT and not self.epsilon_schedule.is_over(self.count)
        if self.pixel_measurements > 0 and is_early:
            return False
        self.agent.set_pixel_statistics(*pixel_statistics(self.memory))
        self.pixel_measurements += 1
        return True

    def _count_episodes(
        self, actions: np.ndarray, step: Step, streams: slice = ALL
    ) -> list[Episode]:
        """Adds a step of some streams to what is told of a run; returns the episodes that ended."""
        if step.ends.any():
            self.read_updates()
        frames = self.step * self._config.frame_skip
        moment = Moment(self.step, frames, self.epsilon, self.seconds, self.learning.dead_relus)
        episodes = self.episodes.add_step(actions, step, moment, streams)
        for episode in episodes:
            self.diagnosis.note(episode)
        return episodes
