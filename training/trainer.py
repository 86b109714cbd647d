"""The training loop: act, send, learn what is due, receive, remember, count."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from preprocessing import AtariEnvironments, FrameStack, Step
from replay.device_stack import DeviceStack
from training.diagnosis import Diagnosis
from training.episode_tracker import EpisodeTracker, Moment
from training.learning import Learning
from training.schedules import make_epsilon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent import Agent
    from settings.config import Config
    from storage.episode_log import Episode
    from training.prefetching import Prefetcher


class Trainer:
    """Trains an agent in environments. What reads the episodes writes, shows and stops.

    Attributes:
        environments, agent: what it steps; what acts and learns.
        batches, memory: what is drawn from the replay memory and changes it; the memory itself.
        step: of all environments together, from the start of the run.
        gathered: transitions, in pretraining.
        episodes: what is added up for the log.
        stack: the states to act on.
        learning: what makes the updates and copies that are due.
        epsilon: at this step.
        lost: what a checkpoint could not bring back, and why.
    """

    def __init__(
        self, config: Config, environments: AtariEnvironments, agent: Agent, batches: Prefetcher
    ):
        """Puts the parts together; the memory has one stream for each environment."""
        self._config = config
        self.environments, self.agent, self.batches = environments, agent, batches
        self.memory = batches.memory
        self.step = self.gathered = 0
        self.episodes = EpisodeTracker(environments.action_names, environments.count)
        self.learning = Learning(config, agent, batches, self.episodes)
        self.epsilon_schedule = make_epsilon(config)
        self.epsilon = self.epsilon_schedule(0)
        # Gathering stops when the memory is full.
        self.pretrain_steps = min(config.pretrain_transitions, self.memory.capacity)
        # At random, or the network decides everything.
        self.pretrain_epsilon = 0.0 if config.continue_from else 1.0
        # The states to act on are where the memory's frames are.
        stack = DeviceStack if self.memory.device_frames else FrameStack
        self.stack = stack(environments.count, environments.frame_shape, config.frame_stack_size)
        self.is_playing = False  # whether there are games to go on with
        self.diagnosis = Diagnosis(config)
        self.earlier_seconds, self._started = 0.0, time.monotonic()
        self.lost: list[str] = []

    def pretrain(self) -> Iterator[int]:
        """Fills the memory up to `--pretrain` transitions, without learning.

        Acts at random, or with `--continue` lets the network decide everything.

        Yields:
            How many transitions there are, after each step of all environments.
        """
        if self.gathered < self.pretrain_steps:
            self._start_episodes()
        while self.gathered < self.pretrain_steps:
            actions = self.agent.act(self.stack.states, self.pretrain_epsilon, explore=True)
            self.environments.send(actions)
            self._remember(actions, self.environments.receive())
            self.gathered += self.environments.count
            # Training starts with new games.
            self.is_playing = self.gathered < self.pretrain_steps
            yield self.gathered

    def train(self) -> Iterator[list[Episode]]:
        """Trains until `--steps` or `--games`.

        The emulators work while the agent learns. What is learnt is due by the steps up to this
        one, or by the games that ended before it. Updates may go on until the agent acts again.

        Yields:
            The episodes that ended, after each step of all environments.

        Raises:
            FloatingPointError: the network has diverged; `step` tells where.
        """
        self._start_episodes()
        while not self.is_over:
            self.epsilon = self.epsilon_schedule(self.count)
            self.step += self.environments.count
            due = self.learning.prepare(self.step, self.count)
            actions = self._act()
            self.environments.send(actions)
            self.read_updates()
            self.learning.make(due, self.step)
            step = self.environments.receive()
            self._remember(actions, step)
            yield self._count_episodes(actions, step)
        self.learning.make(self.learning.prepare(self.step, self.count), self.step)
        self.read_updates()

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

    def _start_episodes(self) -> None:
        """Starts an episode in every environment, unless there are some to go on with."""
        if self.is_playing:
            return
        self.batches.end_episodes()
        self.stack.push(self.environments.reset(), np.ones(self.environments.count, bool))
        self.episodes.start()
        self.is_playing = True

    def _act(self) -> np.ndarray:
        """Returns the actions of a turn; that an update has gone wrong is told by its figures."""
        try:
            return self.agent.act(self.stack.states, self.epsilon, explore=True)
        except FloatingPointError:
            self.read_updates()
            raise

    def _remember(self, actions: np.ndarray, step: Step) -> None:
        self.batches.append(self.stack.newest, actions, step.rewards, step.terminals, step.ends)
        self.stack.push(step.frames, step.ends)

    def _count_episodes(self, actions: np.ndarray, step: Step) -> list[Episode]:
        if step.ends.any():
            self.read_updates()
        frames = self.step * self._config.frame_skip
        moment = Moment(self.step, frames, self.epsilon, self.seconds, self.learning.dead_relus)
        episodes = self.episodes.add_step(actions, step, moment)
        for episode in episodes:
            self.diagnosis.note(episode)
        return episodes

    def close(self) -> None:
        """Frees the emulators and the thread that draws."""
        self.environments.close()
        self.batches.close()
