"""What is learnt as a run goes on: updates, copies to the target network, and what they tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from storage.state import State
from training.schedules import make_horizon, make_importance, make_learning_rate
from training.update_schedule import Call, UpdateSchedule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent import Agent, Update, Updates
    from settings.config import Config
    from training.episode_tracker import EpisodeTracker
    from training.prefetching import Prefetcher

DEAD_RELUS_EVERY = 10_000  # steps from one measurement of the dead ReLUs to the next


class Learning:
    """Makes the updates and copies that are due. They may go on while the run does.

    Attributes:
        schedule: tells what is due.
        loss: of the newest update that was read.
        dead_relus: their share, as it was measured last; None before.
        after_update: sees each update.
        step: of the updates that were read last.
    """

    def __init__(self, config: Config, agent: Agent, batches: Prefetcher, episodes: EpisodeTracker):
        """Takes what learns, what is drawn from, and what adds up for the log."""
        self._agent, self._batches, self._episodes = agent, batches, episodes
        self._batch_size, self._by_priority = config.batch_size, config.priority_exponent > 0
        self._importance, self._horizon = make_importance(config), make_horizon(config)
        self._learning_rate, self._rate = make_learning_rate(config), config.learning_rate
        self.schedule = UpdateSchedule(config)
        self._unread: list[tuple[int, Updates]] = []  # each with its step
        self.step, self.loss = 0, 0.0
        self.dead_relus: float | None = None
        self._dead_relus_step = -1  # when they were measured
        self.after_update: Callable[[Update], None] | None = None

    def prepare(self, step: int, count: int) -> list[Call]:
        """Returns what is due, and has the batches of its first updates drawn.

        Their frames are unpacked while the agent acts.

        Args:
            step: of the run.
            count: the step, or the game, up to which updates are due.
        """
        memory = self._batches.memory
        can_learn = len(memory) >= self._batch_size and memory.can_sample
        due = self.schedule.due(count, can_learn)
        if first := next((call.updates for call in due if call.updates), 0):
            self._batches.prepare(self._importance(step), first, self._horizon(step))
        return due

    def make(self, due: Sequence[Call], step: int) -> None:
        """Makes the updates and copies that are due at a step of the run."""
        updates = [call.updates for call in due if call.updates]
        for call in due:
            if call.updates:
                del updates[0]
                self._update(step, call.updates, updates[0] if updates else 0)
            if call.copies:
                self._agent.copy_to_target()

    def _update(self, step: int, count: int, following: int) -> None:
        """Makes updates in one call, and has those `following` drawn and unpacked meanwhile."""
        batches = self._batches.take(self._importance(step), count, following, self._horizon(step))
        if (rate := self._learning_rate(step)) != self._rate:
            self._agent.set_learning_rate(rate)
            self._rate = rate
        updates = self._agent.learn(batches)
        self._batches.keep(updates.wait)
        self._unread.append((step, updates))
        if self.after_update or self._by_priority:
            self.read()
        if self._by_priority:
            td_errors = np.concatenate([update.td_errors for update in updates])
            self._batches.update_priorities(batches.indices, td_errors)
        if step // DEAD_RELUS_EVERY > self._dead_relus_step // DEAD_RELUS_EVERY:
            self.dead_relus, self._dead_relus_step = self._agent.dead_relus(batches), step

    def read(self) -> None:
        """Adds up what the updates tell that have not been read yet; waits until they are made.

        Raises:
            FloatingPointError: one of them is not finite; `step` is its step.
        """
        while self._unread:
            self.step, updates = self._unread.pop(0)
            for update in updates:
                self._episodes.add_update(update)
                if self.after_update:
                    self.after_update(update)
            self.loss = updates[-1].loss

    def get_state(self) -> State:
        """Returns what it has told and noted; all updates must have been read."""
        attributes = {
            "updated until": self.schedule.count,
            "loss": self.loss,
            "dead relus": self.dead_relus,
            "dead relus step": self._dead_relus_step,
        }
        return State(attributes, {})

    def set_state(self, state: State) -> None:
        """Takes what `get_state` returned."""
        attributes = state.attributes
        self.schedule.count, self.loss = attributes["updated until"], attributes["loss"]
        self.dead_relus = attributes["dead relus"]
        self._dead_relus_step = attributes["dead relus step"]
