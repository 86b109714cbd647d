"""The training loop: act, send, learn what is due, receive, remember, count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from learning.random_actions import RandomActions
from preprocessing import AtariEnvironments, FrameStack, Step
from replay.device_stack import DeviceStack
from storage.state import State, prefixed, under
from training.loop import TrainingLoop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent import Agent
    from atari.histories import History
    from settings.config import Config
    from storage.episode_log import Episode
    from training.prefetching import Prefetcher


class Trainer(TrainingLoop):
    """Trains an agent in the environments of this process.

    Attributes:
        environments, stack: what it steps; the states that the agent acts on.
        random_actions: what the environments do at random.
    """

    def __init__(
        self, config: Config, environments: AtariEnvironments, agent: Agent, batches: Prefetcher
    ):
        """Puts the parts together; the memory has one stream for each environment."""
        super().__init__(config, environments.action_names, agent, batches)
        self.environments = environments
        # The states to act on are where the memory's frames are.
        stack = DeviceStack if self.memory.device_frames else FrameStack
        self.stack = stack(environments.count, environments.frame_shape, config.frame_stack_size)
        self.random_actions = RandomActions(
            environments.num_actions, environments.count, config.random_action_steps
        )

    def pretrain(self) -> Iterator[int]:
        """Fills the memory, without learning; see `TrainingLoop`."""
        if self.gathered < self.pretrain_steps:
            self._start_episodes()
        while self.gathered < self.pretrain_steps:
            actions = self._act(self.pretrain_epsilon)
            self.environments.send(actions)
            self._remember(actions, self.environments.receive())
            self.gathered += self.environments.count
            # Training starts with new games.
            self.is_playing = self.gathered < self.pretrain_steps
            yield self.gathered

    def train(self) -> Iterator[list[Episode]]:
        """Trains until `--steps` or `--games`; see `TrainingLoop`.

        The emulators work while the agent learns. What is learnt is due by the steps up to this
        one, or by the games that ended before it. Updates may go on until the agent acts again.
        """
        self._start_episodes()
        while not self.is_over:
            self._measure_pixels()
            self.epsilon = self.epsilon_schedule(self.count)
            self.step += self.environments.count
            due = self.learning.prepare(self.step, self.count)
            actions = self._act(self.epsilon)
            self.environments.send(actions)
            self.read_updates()
            self.learning.make(due, self.step)
            step = self.environments.receive()
            self._remember(actions, step)
            yield self._count_episodes(actions, step)
        self.learning.make(self.learning.prepare(self.step, self.count), self.step)
        self.read_updates()

    def get_games(self) -> State:
        """Returns the state of environments, stack and random actions; see `TrainingLoop`."""
        attributes, of_environments = self.environments.get_state()
        arrays = {
            "training/states": np.array(self.stack.states),
            **prefixed("environments", of_environments),
            **prefixed("random actions", self.random_actions.get_state().arrays),
        }
        return State({"environments": attributes}, arrays)

    def set_games(self, state: State) -> str:
        """Takes what `get_games` returned, and plays the games again; see `TrainingLoop`."""
        attributes, arrays = state
        states = arrays["training/states"]
        self.stack.set_states(states)
        of_environments = under("environments", arrays)
        self.environments.set_state(State(attributes["environments"], of_environments))
        if random_actions := under("random actions", arrays):  # earlier programs kept none
            self.random_actions.set_state(State({}, random_actions))
        frames = self.environments.frames
        is_same = np.array_equal(frames, states[..., -frames.shape[-1] :])
        return "" if is_same else "which these emulators play in another way"

    def first_history(self) -> History:
        """Returns the history of the first environment; see `TrainingLoop`."""
        return self.environments.history(0)

    def _start_episodes(self) -> None:
        """Starts an episode in every environment, unless there are some to go on with."""
        if self.is_playing:
            return
        self.batches.end_episodes()
        self.stack.push(self.environments.reset(), np.ones(self.environments.count, bool))
        self.episodes.start()
        self.is_playing = True

    def _act(self, epsilon: float) -> np.ndarray:
        """Returns the actions of a turn; that an update has gone wrong is told by its figures."""
        try:
            return self.agent.act(
                self.stack.states, epsilon, explore=True, random_actions=self.random_actions
            )
        except FloatingPointError:
            self.read_updates()
            raise

    def _remember(self, actions: np.ndarray, step: Step) -> None:
        self.batches.append(self.stack.newest, actions, step.rewards, step.terminals, step.ends)
        self.stack.push(step.frames, step.ends)

    def close(self) -> None:
        """Frees the emulators and the thread that draws."""
        self.environments.close()
        self.batches.close()
