"""An actor: a process on Ray that plays by a copy of the online network, on its processor."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster.version import code_version
from settings.config import Config
from storage.state import State, prefixed, under
from system.libraries import set_variables
from system.quiet_imports import loading_libraries, set_tensorflow_variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.chunks import Chunk

# Of the seeds that are made of the run's: `random_generators` has the first three.
ACTOR_SEED = 4


class Actor:
    """Plays when it is asked to, and sends what it has played. It never learns.

    Each method is a call over Ray. They come one after the other, in the order of the learner.
    """

    def __init__(self, settings: Mapping[str, Any], number: int):
        """Loads what takes long; nothing is made before `prepare`.

        Args:
            settings: those of the run, by the names of `Config`'s fields.
            number: of this actor in the run.
        """
        set_variables()
        set_tensorflow_variables()
        with loading_libraries(held_back=False):
            import agent  # noqa: F401
            import preprocessing  # noqa: F401
        self._config, self._number = Config(**settings), number

    def prepare(self, life: int) -> tuple[str, str]:
        """Makes environments and network.

        Args:
            life: how many actors of this number there have been before in the run.

        Returns:
            The version of the program, and the machine with the process.
        """
        from agent import make_agent
        from learning.random_actions import RandomActions
        from preprocessing import FrameStack, make_environments, state_shape

        config = self._config
        environments_rng, agent_rng = generators(config, self._number, life)
        self._environments = make_environments(config, config.envs, environments_rng, shown=False)
        states = state_shape(config.screen, config.frame_stack_size)
        self._agent = make_agent(config, states, self._environments.num_actions, agent_rng)
        self._random_actions = RandomActions(
            self._environments.num_actions, config.envs, config.random_action_steps
        )
        shape = self._environments.frame_shape
        self._stack = FrameStack(config.envs, shape, config.frame_stack_size)
        return code_version(), f"{socket.gethostname()}, process {os.getpid()}"

    def play(
        self, turns: int, epsilon: float, starts: bool, weights: Sequence[np.ndarray] | None
    ) -> Chunk:
        """Plays a chunk.

        Args:
            turns: T, steps of all environments.
            epsilon: the probability of a random action.
            starts: whether new games start first, everywhere.
            weights: of the online network from now on; None for those that it has.

        Raises:
            EmulatorError: an emulator failed.
            FloatingPointError: the values of the actions are not finite.
        """
        from cluster.chunks import pack

        environments, stack = self._environments, self._stack
        if weights is not None:
            self._agent.online.set_weights(weights)
        if starts:
            stack.push(environments.reset(), np.ones(environments.count, bool))
        frames = np.empty((turns, environments.count, *environments.frame_shape), np.uint8)
        actions = np.empty((turns, environments.count), np.int64)
        steps = []
        for turn in range(turns):
            frames[turn] = stack.newest
            actions[turn] = self._agent.act(
                stack.states, epsilon, explore=True, random_actions=self._random_actions
            )
            step = environments.step(actions[turn])
            stack.push(step.frames, step.ends)
            steps.append(step)
        return pack(frames, actions, steps)

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Returns what all later turns depend on, as `State` has it."""
        of_games, of_agent = self._environments.get_state(), self._agent.get_state()
        attributes = {"environments": of_games.attributes, "agent": of_agent.attributes}
        arrays = prefixed("environments", of_games.arrays) | prefixed("agent", of_agent.arrays)
        arrays |= prefixed("random actions", self._random_actions.get_state().arrays)
        return attributes, {**arrays, "states": self._stack.states.copy()}

    def set_state(self, attributes: dict[str, Any], arrays: dict[str, np.ndarray]) -> bool:
        """Takes what `get_state` returned; returns whether the games are where they were."""
        self._agent.set_state(State(attributes["agent"], under("agent", arrays)))
        self._stack.set_states(arrays["states"])
        if random_actions := under("random actions", arrays):  # earlier programs kept none
            self._random_actions.set_state(State({}, random_actions))
        of_games = State(attributes["environments"], under("environments", arrays))
        self._environments.set_state(of_games)
        return np.array_equal(self._environments.frames, self._stack.newest)


def generators(config: Config, number: int, life: int) -> list[np.random.Generator]:
    """Returns the generators that draw for the environments and the agent of an actor.

    Those of the first actor are those of a run without actors. One that takes the place of another
    does not play the same games again.
    """
    if number == life == 0:
        seeds = np.random.SeedSequence(config.seed).spawn(2)
    else:
        seeds = np.random.SeedSequence(config.seed, spawn_key=(ACTOR_SEED, number, life)).spawn(2)
    return [np.random.default_rng(seed) for seed in seeds]
