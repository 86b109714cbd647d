"""What the log says of each episode, added up while the episodes go on."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from storage.episode_log import RECENT_GAMES, Episode
from storage.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent import Update
    from preprocessing import Step


class Moment(NamedTuple):
    """Where a run is when an episode ends."""

    step: int
    frames: int
    epsilon: float
    seconds: float
    dead_relus: float | None  # share, as it was measured last


ALL = slice(None)  # streams


class EpisodeTracker:
    """Follows the episodes in n environments.

    Attributes:
        number: of the next episode that ends.
        games_lost: games that were not finished, as what played them has died.
        scores: of the newest games, oldest first.
    """

    def __init__(self, action_names: Sequence[str], count: int):
        """Takes the names of the game's actions, in order, and n."""
        self._action_names = action_names
        self.number = self.games_lost = 0
        self.scores: deque[float] = deque(maxlen=RECENT_GAMES)
        self._rewards = np.zeros(count)
        self._scores = np.zeros(count)
        self._lengths = np.zeros(count, np.int64)
        self._first_actions = np.zeros(count, np.int64)
        self._same_action = np.zeros(count, bool)  # only the first has been taken
        # Sums over all updates: their number, loss, accuracy, mean Q and its spread; and what they
        # were when each environment's episode began, so that the difference is the episode's.
        self._sums = np.zeros(5)
        self._sums_before = np.zeros((count, 5))

    def start(self, streams: slice = ALL) -> None:
        """Begins an episode in these environments."""
        for totals in (self._rewards, self._scores, self._lengths):
            totals[streams] = 0
        self._sums_before[streams] = self._sums

    def add_update(self, update: Update) -> None:
        """Adds what an update tells."""
        self._sums += 1, update.loss, update.accuracy, update.mean_q, update.q_spread

    def add_step(
        self, actions: np.ndarray, step: Step, moment: Moment, streams: slice = ALL
    ) -> list[Episode]:
        """Adds a step of some environments, and returns the episodes that ended with it.

        Args:
            actions: [n] int, what was done.
            step: what came of it.
            moment: where the run is after it.
            streams: which environments took the step.
        """
        first_actions, same_action = self._first_actions[streams], self._same_action[streams]
        starts = self._lengths[streams] == 0
        first_actions[starts] = actions[starts]
        same_action |= starts
        same_action &= actions == first_actions
        self._rewards[streams] += step.rewards
        self._scores[streams] += step.points
        self._lengths[streams] += 1
        ended = np.arange(len(self._lengths))[streams][step.ends]
        episodes = [self._end(int(index), moment) for index in ended]
        for totals in (self._rewards, self._scores, self._lengths):
            totals[ended] = 0
        self._sums_before[ended] = self._sums
        return episodes

    def _end(self, index: int, moment: Moment) -> Episode:
        """Returns what there is to say of the episode that ended in an environment."""
        updates, *sums = self._sums - self._sums_before[index]
        means = (round(total / max(1, updates), 8) for total in sums)
        loss, accuracy, mean_q, q_spread = means
        dead_relus = moment.dead_relus
        episode = Episode(
            number=self.number,
            reward=float(self._rewards[index]),
            steps=moment.step,
            epsilon=round(moment.epsilon, 10),
            loss=loss,
            accuracy=accuracy,
            score=float(self._scores[index]),
            length=int(self._lengths[index]),
            mean_q=mean_q,
            # Without an update there is none, and 0 would say that all states are alike.
            q_spread=q_spread if updates else None,
            dead_relus=None if dead_relus is None else round(dead_relus, 8),
            frames=moment.frames,
            seconds=round(moment.seconds, 1),
            only_action=self._only_action(index),
            games_lost=self.games_lost or None,
        )
        self.number += 1
        self.scores.append(float(self._scores[index]))
        return episode

    def _only_action(self, index: int) -> str | None:
        """Returns the name of the action if an environment has seen no other in a whole game."""
        if self._same_action[index] and self._lengths[index] > 1:
            return self._action_names[self._first_actions[index]]
        return None

    def get_state(self) -> State:
        """Returns all that is added up."""
        arrays = {name: array.copy() for name, array in self._arrays.items()}
        numbers = {"episode": self.number, "games lost": self.games_lost}
        return State({**numbers, "scores": list(self.scores)}, arrays)

    def set_state(self, state: State) -> None:
        """Takes what `get_state` returned."""
        self.number = state.attributes["episode"]
        self.games_lost = state.attributes.get("games lost", 0)
        self.scores.extend(state.attributes["scores"])
        for name, array in self._arrays.items():
            saved = state.arrays[name]
            # Checkpoints of version 2 have no sum of Q's spread, which is the last.
            array[..., : saved.shape[-1]] = saved

    @property
    def _arrays(self) -> dict[str, Any]:
        return {
            "rewards": self._rewards,
            "scores": self._scores,
            "lengths": self._lengths,
            "first actions": self._first_actions,
            "same action": self._same_action,
            "sums": self._sums,
            "sums before": self._sums_before,
        }
