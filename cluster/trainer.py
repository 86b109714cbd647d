"""The training loop of a run with actors: ask, receive, learn what is due, remember, count."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

import ray

from cluster.actors import Actors, epsilons
from cluster.chunks import CREDITS
from cluster.connection import ClusterError
from system.console import counted
from training.loop import TrainingLoop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent import Agent
    from cluster.chunks import Turn
    from settings.config import Config
    from storage.episode_log import Episode
    from storage.state import State
    from training.prefetching import Prefetcher
    from training.update_schedule import Call

SECONDS_TO_WAIT = 1.0  # for a chunk, before the run looks around


class Weights:
    """The online network's weights in Ray's object store, by number."""

    def __init__(self, agent: Agent, every: int):
        """Takes the agent, and how many updates there are between two sets, at least."""
        self._agent, self._every = agent, every
        self._updates = every
        self._number, self._stored = -1, None

    def note(self, updates: int) -> None:
        """Notes that updates have been made."""
        self._updates += updates

    def newest(self) -> tuple[int, Any]:
        """Returns the number of the newest set, and where it is; puts it there if it is time."""
        if self._updates >= self._every:
            self._number, self._stored = self._number + 1, ray.put(self._agent.online.get_weights())
            self._updates = 0
        return self._number, self._stored


class ActorTrainer(TrainingLoop):
    """Trains an agent on what actors play.

    A step counts when it is received, and what is learnt is due by the steps up to there. Who is
    ahead waits: an actor for somebody to take its chunks, the learner for the next chunk.

    Attributes:
        actors: who plays.
    """

    def __init__(
        self,
        config: Config,
        actors: Actors,
        action_names: Sequence[str],
        agent: Agent,
        batches: Prefetcher,
    ):
        """Puts the parts together; the memory has a part for each actor."""
        super().__init__(config, action_names, agent, batches)
        self.actors = actors
        self._weights = Weights(agent, 1 if config.actors_in_step else config.weights_every)
        self._turns: deque[Turn] = deque()  # received, and not yet counted
        on_the_way = f"at most {CREDITS} chunks of {counted(actors.turns, 'turn')} of each"
        self.notes.append(
            f"{counted(config.actors, 'actor')} of {counted(config.envs, 'environment')} on Ray, "
            f"{config.ray or 'local'}, "
            f"{'one turn at a time' if config.actors_in_step else f'{on_the_way} on the way'}"
        )

    def pretrain(self) -> Iterator[int]:
        """Fills the memory, without learning; see `TrainingLoop`."""
        if self.gathered < self.pretrain_steps:
            self._start_episodes()
        while self.gathered < self.pretrain_steps:
            self._fetch([self.pretrain_epsilon] * self._config.actors)
            if self._turns:
                self._remember(self._turns.popleft())
                self.gathered += self._config.envs
                # Training starts with new games.
                self.is_playing = self.gathered < self.pretrain_steps
            yield self.gathered

    def train(self) -> Iterator[list[Episode]]:
        """Trains until `--steps` or `--games`; see `TrainingLoop`."""
        self._start_episodes()
        while not self.is_over:
            if self._measure_pixels():
                self._weights.note(self._config.weights_every)  # the statistics are among them
            self._fetch(self._epsilons())
            if not self._turns:
                yield []
                continue
            turn = self._turns.popleft()
            self.epsilon = turn.epsilon
            self.step += self._config.envs
            due = self.learning.prepare(self.step, self.count)
            self.read_updates()
            self._learn(due)
            self._remember(turn)
            yield self._count_episodes(turn.actions, turn.step, self._streams(turn.actor))
        self._learn(self.learning.prepare(self.step, self.count))
        self.read_updates()

    def get_games(self) -> State:
        """Returns the state of the actors; see `TrainingLoop`."""
        return self.actors.get_state()

    def set_games(self, state: State) -> str:
        """Takes what `get_games` returned; see `TrainingLoop`."""
        return self.actors.set_state(state)

    def first_history(self) -> NoReturn:
        """Raises ClusterError: the games are played elsewhere."""
        raise ClusterError("the games of actors are played elsewhere and cannot be shown")

    @property
    def phase(self) -> str:
        """What the agent is doing; several actors explore to the end, each in its own way."""
        return super().phase if self._config.actors == 1 else "training"

    def _epsilons(self) -> list[float]:
        """Returns the epsilon of each actor; with noisy networks all are 0."""
        count = self._config.actors
        if count == 1 or self._config.noisy:
            return [self.epsilon_schedule(self.count)] * count
        return epsilons(count)

    def _start_episodes(self) -> None:
        """Has all actors start episodes, unless there are some to go on with."""
        if self.is_playing:
            return
        self.batches.end_episodes()
        self.actors.start()
        self._turns.clear()
        self.episodes.start()
        self.is_playing = True

    def _fetch(self, epsilons: Sequence[float]) -> None:
        """Asks actors to go on, and waits a while for turns where none are left.

        That an update has gone wrong is told by its figures.
        """
        if self._turns:
            return
        try:
            self.actors.ask(epsilons, self._weights.newest)
            self._turns.extend(self.actors.receive(SECONDS_TO_WAIT))
        except FloatingPointError:
            self.read_updates()
            raise
        self.episodes.games_lost += self.actors.games_lost
        self.actors.games_lost = 0

    def _learn(self, due: Sequence[Call]) -> None:
        self.learning.make(due, self.step)
        self._weights.note(sum(call.updates for call in due))

    def _remember(self, turn: Turn) -> None:
        part, step = turn.actor, turn.step
        if turn.is_anew:
            self.batches.end_episodes(part)
            self.episodes.start(self._streams(part))
        self.batches.append(
            step.frames, turn.actions, step.rewards, step.terminals, step.ends, part=part
        )

    def _streams(self, actor: int) -> slice:
        """Returns the environments of an actor among all."""
        count = self._config.envs
        return slice(actor * count, (actor + 1) * count)

    def close(self) -> None:
        """Ends the actors and the thread that draws."""
        self.actors.close()
        self.batches.close()
