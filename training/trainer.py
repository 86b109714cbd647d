"""The training loop: act, send, learn what is due, receive, remember, count."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from preprocessing import AtariEnvironments, FrameStack, Step
from training.diagnosis import Diagnosis
from training.episode_tracker import EpisodeTracker, Moment
from training.schedules import make_epsilon, make_horizon, make_importance
from training.update_schedule import Call, UpdateSchedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agent import Agent, Update, Updates
    from replay.n_step import Horizon
    from settings.config import Config
    from storage.episode_log import Episode
    from training.prefetching import Prefetcher

DEAD_RELUS_EVERY = 10_000  # steps from one measurement of the dead ReLUs to the next


class Trainer:
    """Trains an agent in environments. What reads the episodes writes, shows and stops.

    Attributes:
        environments, agent: what it steps; what acts and learns.
        batches, memory: what is drawn from the replay memory and changes it; the memory itself.
        step: of all environments together, from the start of the run.
        gathered: transitions, in pretraining.
        episodes: what is added up for the log.
        epsilon, loss: at this step; of the newest update that was read.
        dead_relus: their share, as it was measured last; None before.
        after_update: sees each update.
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
        self.update_schedule = UpdateSchedule(config)
        self.epsilon_schedule = make_epsilon(config)
        self._importance, self._horizon = make_importance(config), make_horizon(config)
        self.epsilon = self.epsilon_schedule(0)
        # Gathering stops when the memory is full.
        self.pretrain_steps = min(config.pretrain_transitions, self.memory.capacity)
        # At random, or the network decides everything.
        self.pretrain_epsilon = 0.0 if config.continue_from else 1.0
        count, shape = environments.count, environments.frame_shape
        self.stack = FrameStack(count, shape, config.frame_stack_size)
        self.is_playing = False  # whether there are games to go on with
        self.loss = 0.0
        self._unread: list[tuple[int, Updates]] = []  # that were made, each with its step
        self.after_update: Callable[[Update], None] | None = None
        self.dead_relus: float | None = None
        self.dead_relus_step = -1  # when they were measured
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
            due = self._due()
            actions = self._act()
            self.environments.send(actions)
            self.read_updates()
            self._learn(due)
            step = self.environments.receive()
            self._remember(actions, step)
            yield self._count_episodes(actions, step)
        self._learn(self._due())
        self.read_updates()

    def read_updates(self) -> None:
        """Adds up what the updates tell that have not been read yet; waits until they are made.

        Raises:
            FloatingPointError: one of them is not finite; `step` is then its step.
        """
        while self._unread:
            step, made = self._unread.pop(0)
            try:
                updates = made[:]
            except FloatingPointError:
                self.step = step
                raise
            for update in updates:
                self.episodes.add_update(update)
                if self.after_update:
                    self.after_update(update)
            self.loss = updates[-1].loss

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
        moment = Moment(self.step, frames, self.epsilon, self.seconds, self.dead_relus)
        episodes = self.episodes.add_step(actions, step, moment)
        for episode in episodes:
            self.diagnosis.note(episode)
        return episodes

    def _due(self) -> list[Call]:
        """Returns what is due, and has the batches of its first updates drawn.

        Their frames are unpacked while the agent acts.
        """
        can_learn = len(self.memory) >= self._config.batch_size and self.memory.can_sample
        due = self.update_schedule.due(self.count, can_learn)
        if first := next((call.updates for call in due if call.updates), 0):
            importance, horizon = self._sampling()
            self.batches.prepare(importance, first, horizon)
        return due

    def _sampling(self) -> tuple[float, Horizon]:
        """Returns how batches are drawn at this step: importance exponent, and returns."""
        return self._importance(self.step), self._horizon(self.step)

    def _learn(self, due: Sequence[Call]) -> None:
        """Makes the updates and copies that are due."""
        updates = [call.updates for call in due if call.updates]
        for call in due:
            if call.updates:
                del updates[0]
                self._update(call.updates, updates[0] if updates else 0)
            if call.copies:
                self.agent.copy_to_target()

    def _update(self, updates: int, following: int) -> None:
        """Makes updates in one call, and has those `following` drawn and unpacked meanwhile."""
        importance, horizon = self._sampling()
        batches = self.batches.take(importance, updates, following, horizon)
        made = self.agent.learn(batches)
        self.batches.keep(made.wait)
        self._unread.append((self.step, made))
        if self.after_update or self._config.priority_exponent:
            self.read_updates()
        if self._config.priority_exponent:
            td_errors = np.concatenate([update.td_errors for update in made])
            self.batches.update_priorities(batches.indices, td_errors)
        if self.step // DEAD_RELUS_EVERY > self.dead_relus_step // DEAD_RELUS_EVERY:
            self.dead_relus = self.agent.dead_relus(batches)
            self.dead_relus_step = self.step

    def close(self) -> None:
        """Frees the emulators and the thread that draws."""
        self.environments.close()
        self.batches.close()
