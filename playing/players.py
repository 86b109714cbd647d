"""A trained agent with the environments that it plays in, made of the settings."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agent import Agent, make_agent
from playing.rollouts import Turn, play_games
from preprocessing import AtariEnvironments, make_environments, state_shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from settings.config import Config


class Player(NamedTuple):
    """A trained agent, its environments and its settings."""

    config: Config
    agent: Agent
    environments: AtariEnvironments
    weights: Path | None  # the file that they were loaded from; None for random play

    def play(self, games: int, rng: np.random.Generator, epsilon: float = 0.0) -> Iterator[Turn]:
        """Plays whole games; see `play_games`."""
        return play_games(
            self.agent, self.environments, self.config.frame_stack_size, games, rng, epsilon
        )


@contextmanager
def load_player(config: Config, count: int, *, shown: bool = False) -> Iterator[Player]:
    """Loads the agent that the settings describe, and closes its environments in the end.

    The weights are those of `--continue`, else the newest of the run. For `--random` the agent
    keeps its initial weights.

    Args:
        config: the settings.
        count: how many environments.
        shown: whether pictures of the first environment are needed.

    Raises:
        ConfigError: the machine cannot compute in the precision of the settings.
        EnvironmentIdError: there is no such game.
        WeightsError: the weights cannot be loaded.
    """
    environments_seed, agent_seed = np.random.SeedSequence(config.seed).spawn(2)
    rng = np.random.default_rng(environments_seed)
    with closing(make_environments(config, count, rng, shown=shown, for_scores=True)) as made:
        shape = state_shape(config.screen, config.frame_stack_size)
        agent = make_agent(config, shape, made.num_actions, np.random.default_rng(agent_seed))
        weights = None
        if not config.random_play:
            weights = Path(config.continue_from or config.weights_path)
            agent.load_weights(weights, config.channels_first)
        yield Player(config, agent, made, weights)
