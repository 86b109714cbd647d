"""The training loop: act, step, remember and learn; and all that it holds, to go on from later."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent import Agent, Update
from preprocessing import AtariEnvironments, FrameStack, History, Step
from settings.config import Config
from storage.checkpoints import State, prefixed, under
from storage.episode_log import Episode
from training.diagnosis import Diagnosis
from training.prefetching import Prefetcher, updates_in_a_call
from training.schedules import LinearSchedule, make_horizon

COPY = 0  # of the online to the target network, in place of a number of updates
RECENT_GAMES = 100  # whose mean score is shown
DEAD_RELUS_EVERY = 10_000  # steps from one measurement of the dead ReLUs to the next


@dataclass(frozen=True)
class Origin:
    """Where a run starts to count: at zero, or where the log that it goes on from ends."""

    episode: int = 0
    step: int = 0
    seconds: float = 0.0
    scores: tuple[float, ...] = ()  # of the newest games, oldest first


class Training:
    """The loop itself. Whoever runs it sees the episodes, and writes, shows and stops."""

    def __init__(
        self,
        config: Config,
        environments: AtariEnvironments,
        agent: Agent,
        batches: Prefetcher,
        epsilon: LinearSchedule,
        origin: Origin,
    ):
        """Puts the parts together; nothing happens yet.

        Args:
            config: the settings of the run.
            environments: what to step.
            agent: what acts and learns.
            batches: the memory, with one stream for each environment, and what is drawn from it.
            epsilon: the schedule of exploration.
            origin: where to count from.
        """
        self._config = config
        self._environments = environments
        self.agent = agent
        self.memory = batches.memory
        self._batches = batches
        self._most_updates = updates_in_a_call(config)
        self._epsilon = epsilon
        # Over the whole run, as what the weights make up for matters most at its end.
        self._importance = LinearSchedule(config.importance_exponent, 1.0, config.steps)
        self._horizon = make_horizon(config)
        # Gathering stops when the memory is full.
        self.pretrain_steps = min(config.pretrain_transitions, self.memory.capacity)
        self.gathered = 0  # of them
        # At random, or the network decides everything.
        self._pretrain_epsilon = 0.0 if config.continue_from else 1.0
        self.step = origin.step
        self.episode = origin.episode  # the number of the next that ends
        self.epsilon = epsilon(self._count)
        self.loss = 0.0
        self.after_update: Callable[[Update], None] | None = None  # sees each
        self._earlier_seconds = origin.seconds
        self._started = time.monotonic()
        self.lost: list[str] = []  # what `set_state` could not bring back, and why
        self.scores = deque(origin.scores, maxlen=RECENT_GAMES)
        count = environments.count
        self._stack = FrameStack(count, environments.frame_shape, config.frame_stack_size)
        self._is_playing = False  # whether there are games to go on with
        self._rewards = np.zeros(count)
        self._scores = np.zeros(count)
        self._lengths = np.zeros(count, np.int64)
        self._first_actions = np.zeros(count, np.int64)
        self._same_action = np.zeros(count, bool)  # none but the first has been taken
        # Sums over all updates: their number, loss, accuracy, mean Q and its spread; and what they
        # were when each environment's episode began, so that the difference is the episode's.
        self._sums = np.zeros(5)
        self._sums_before = np.zeros((count, 5))
        self.dead_relus: float | None = None  # their share, as it was measured last
        self._dead_relus_step = -1  # when that was
        self.diagnosis = Diagnosis(config)

    def pretrain(self) -> Iterator[int]:
        """Fills the memory up to `--pretrain` transitions, without learning.

        Acts at random, or with `--continue` lets the network decide everything.

        Yields:
            How many transitions there are, after each step of all environments.
        """
        if self.gathered < self.pretrain_steps:
            self._start_episodes()
        while self.gathered < self.pretrain_steps:
            self._act(self._pretrain_epsilon)
            self.gathered += self._environments.count
            # Training starts with new games.
            self._is_playing = self.gathered < self.pretrain_steps
            yield self.gathered

    def run(self) -> Iterator[list[Episode]]:
        """Trains until `--steps` or `--games`.

        Yields:
            The episodes that ended, after each step of all environments.
        """
        self._start_episodes()
        while not self.is_over:
            self.epsilon = self._epsilon(self._count)
            if self._by_games:
                before = self.episode
                actions, step = self._act(self.epsilon)
                self.step += self._environments.count
                self._learn(self._due(before, before + int(step.ends.sum())))
            else:
                before = self.step
                self.step += self._environments.count
                due = self._due(before, self.step)
                self._prepare(due)
                actions, step = self._act(self.epsilon, due)
            yield self._finish_episodes(actions, step)

    @property
    def phase(self) -> str:
        """What the agent is doing: "exploring", while epsilon falls, or "training" after that."""
        last = self._epsilon.first_step + self._epsilon.steps
        return "exploring" if self._count < last else "training"

    @property
    def seconds(self) -> float:
        """How long the run has taken, resumes included."""
        return self._earlier_seconds + time.monotonic() - self._started

    @property
    def decides_pretraining(self) -> bool:
        """Whether the network acts in pretraining, and not chance."""
        return self._pretrain_epsilon == 0

    @property
    def is_over(self) -> bool:
        """Whether all `--steps` or `--games` are done."""
        return self.step >= self._config.steps or 0 < self._config.games <= self.episode

    def first_history(self) -> History:
        """Returns what the game in progress in the first environment has come from."""
        return self._environments.history(0)

    @property
    def _by_games(self) -> bool:
        return self._config.count_by == "games"

    @property
    def _count(self) -> int:
        """How far the run is, in steps or games, as schedules count."""
        return self.episode if self._by_games else self.step

    def get_state(self) -> State:
        """Returns all that the rest of the run depends on, but for the replay memory.

        To be called between two turns of the loop only.

        Raises:
            FloatingPointError: the network has weights that are not finite.
        """
        attributes, arrays = {}, {}
        attributes["training"] = {
            "gathered": self.gathered,
            "pretrain epsilon": self._pretrain_epsilon,
            "step": self.step,
            "episode": self.episode,
            "explored from": self._epsilon.first_step,
            "loss": self.loss,
            "seconds": self.seconds,
            "scores": list(self.scores),
            "dead relus": self.dead_relus,
            "dead relus step": self._dead_relus_step,
            "diagnosis": self.diagnosis.get_state(),
            "is playing": self._is_playing,
        }
        arrays = {f"training/{name}": array.copy() for name, array in self._arrays.items()}
        attributes["batches"] = self._batches.get_state()
        for name, part in (("agent", self.agent), ("environments", self._environments)):
            attributes[name], of_part = part.get_state()
            arrays |= prefixed(name, of_part)
        return State(attributes, arrays)

    def set_state(self, state: State) -> None:
        """Takes what `get_state` returned in a run of the same settings.

        The games in progress are played again up to where they were. Where the emulators play them
        in another way, as those of another version may, new ones will be started.
        """
        attributes, arrays = state
        numbers = attributes["training"]
        self.gathered = numbers["gathered"]
        self._pretrain_epsilon = numbers["pretrain epsilon"]
        self.step, self.episode = numbers["step"], numbers["episode"]
        self._epsilon = replace(self._epsilon, first_step=numbers["explored from"])
        self.epsilon = self._epsilon(self._count)
        self.loss = numbers["loss"]
        self._earlier_seconds = numbers["seconds"]
        self.scores.extend(numbers["scores"])
        if "diagnosis" in numbers:  # it is not where the checkpoint is of version 2
            self.dead_relus = numbers["dead relus"]
            self._dead_relus_step = numbers["dead relus step"]
            self.diagnosis.set_state(numbers["diagnosis"])
        for name, array in self._arrays.items():
            saved = arrays[f"training/{name}"]
            # In version 2 there is no sum of Q's spread, which is the last.
            array[..., : saved.shape[-1]] = saved
        self._batches.set_state(attributes["batches"])
        self.agent.set_state(attributes["agent"], under("agent", arrays))
        frames = self._environments.set_state(
            attributes["environments"], under("environments", arrays)
        )
        self._is_playing = numbers["is playing"]
        if self._is_playing and not np.array_equal(frames, self._stack.newest):
            self._give_up_games("which these emulators play in another way")

    def explore_anew(self) -> None:
        """Lets the schedule of exploration start here."""
        self._epsilon = replace(self._epsilon, first_step=self._count)
        self.epsilon = self._epsilon(self._count)

    def pretrain_anew(self) -> None:
        """Lets the network gather `--pretrain` transitions once more, in new games."""
        self.gathered, self._pretrain_epsilon = 0, 0.0
        if self._is_playing:
            self._give_up_games("as pretraining begins with new ones")

    def _give_up_games(self, why: str) -> None:
        self._is_playing = False
        self.lost.append(f"the games in progress, {why}")

    def close(self) -> None:
        """Frees the emulators and the thread."""
        self._environments.close()
        self._batches.close()

    @property
    def _arrays(self) -> dict[str, np.ndarray]:
        """What is kept of each environment, and the sums over all updates."""
        return {
            "states": self._stack.states,
            "rewards": self._rewards,
            "scores": self._scores,
            "lengths": self._lengths,
            "first actions": self._first_actions,
            "same action": self._same_action,
            "sums": self._sums,
            "sums before": self._sums_before,
        }

    def _start_episodes(self) -> None:
        """Starts an episode in every environment, unless there are some to go on with."""
        if self._is_playing:
            return
        self._batches.end_episodes()
        frames = self._environments.reset()
        self._stack.push(frames, np.ones(self._environments.count, bool))
        for totals in (self._rewards, self._scores, self._lengths):
            totals[:] = 0
        self._sums_before[:] = self._sums
        self._is_playing = True

    def _act(self, epsilon: float, due: Sequence[int] = ()) -> tuple[np.ndarray, Step]:
        """Takes one step in all environments and remembers it.

        Args:
            epsilon: probability of a random action.
            due: updates and copies, made while the emulators work.

        Returns:
            The actions, [n] int64, and what came of them.
        """
        frames = self._stack.newest.copy()
        actions = self.agent.act(self._stack.states, epsilon, explore=True)
        self._environments.send(actions)
        self._learn(due)
        step = self._environments.receive()
        self._batches.append(frames, actions, step.rewards, step.terminals, step.ends)
        self._stack.push(step.frames, step.ends)
        return actions, step

    def _due(self, before: int, now: int) -> list[int]:
        """Returns what is due as the count goes from `before` to `now`.

        In order: for each call how many updates it is to make, or `COPY`. Updates that follow one
        another are joined, to calls of a power of two of them, so that few are compiled.
        """
        calls, updates = [], 0
        can_learn = self._can_learn()
        for count in range(before + 1, now + 1):
            if count % self._config.train_every == 0 and can_learn:
                updates += self._config.updates
            copies = (
                count % self._config.target_update_period == 0 and not self._config.target_averaging
            )
            while updates and (copies or count == now):
                size = min(self._most_updates, 1 << (updates.bit_length() - 1))
                calls.append(size)
                updates -= size
            if copies:
                calls.append(COPY)
        return calls

    def _prepare(self, due: Sequence[int]) -> None:
        """Draws the batches of the first call that is due.

        Its frames are unpacked while the agent acts.
        """
        first = next((updates for updates in due if updates != COPY), 0)
        if first:
            horizon = self._horizon(self.step)
            self._batches.prepare(self._importance(self.step), first, horizon)

    def _learn(self, due: Sequence[int]) -> None:
        """Makes the updates and copies that are due."""
        following = [updates for updates in due if updates != COPY]
        for updates in due:
            if updates == COPY:
                self.agent.copy_to_target()
            else:
                del following[0]
                self._update(updates, following[0] if following else 0)

    def _update(self, updates: int, following: int) -> None:
        """Makes updates in one call, and has those `following` drawn and unpacked meanwhile."""
        importance, horizon = self._importance(self.step), self._horizon(self.step)
        batches = self._batches.take(importance, updates, following, horizon)
        made = self.agent.learn(batches)
        for update in made:
            self._sums += 1, update.loss, update.accuracy, update.mean_q, update.q_spread
            self.loss = update.loss
            if self.after_update:
                self.after_update(update)
        td_errors = np.concatenate([update.td_errors for update in made])
        self._batches.update_priorities(batches.indices, td_errors)
        if self.step // DEAD_RELUS_EVERY > self._dead_relus_step // DEAD_RELUS_EVERY:
            self.dead_relus = self.agent.dead_relus(batches)
            self._dead_relus_step = self.step

    def _can_learn(self) -> bool:
        return len(self.memory) >= self._config.batch_size and self.memory.can_sample

    def _finish_episodes(self, actions: np.ndarray, step: Step) -> list[Episode]:
        """Returns the episodes that ended with this step, and counts anew for those after them."""
        starts = self._lengths == 0
        self._first_actions[starts] = actions[starts]
        self._same_action |= starts
        self._same_action &= actions == self._first_actions
        self._rewards += step.rewards
        self._scores += step.points
        self._lengths += 1
        episodes = []
        for index in np.flatnonzero(step.ends):
            updates, *sums = self._sums - self._sums_before[index]
            means = (round(total / max(1, updates), 8) for total in sums)
            loss, accuracy, mean_q, q_spread = means
            episodes.append(
                Episode(
                    number=self.episode,
                    reward=float(self._rewards[index]),
                    steps=self.step,
                    epsilon=round(self.epsilon, 10),
                    loss=loss,
                    accuracy=accuracy,
                    score=float(self._scores[index]),
                    length=int(self._lengths[index]),
                    mean_q=mean_q,
                    # Without an update there is none, and 0 would say that all states are alike.
                    q_spread=q_spread if updates else None,
                    dead_relus=None if self.dead_relus is None else round(self.dead_relus, 8),
                    frames=self.step * self._config.frame_skip,
                    seconds=round(self.seconds, 1),
                    only_action=self._only_action(int(index)),
                )
            )
            self.diagnosis.note(episodes[-1])
            self.episode += 1
            self.scores.append(float(self._scores[index]))
        for totals in (self._rewards, self._scores, self._lengths):
            totals[step.ends] = 0
        self._sums_before[step.ends] = self._sums
        return episodes

    def _only_action(self, index: int) -> str | None:
        """Returns the name of the action if an environment has seen no other in a whole game."""
        if self._same_action[index] and self._lengths[index] > 1:
            return self._environments.action_names[self._first_actions[index]]
        return None
