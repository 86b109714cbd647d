"""A run with actors, from its start to its end."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from agent import make_agent
from cluster.connection import LOCAL, ClusterError, check_room, connected
from preprocessing import make_environments, state_shape
from training.prefetching import make_prefetcher
from training.run import random_generators, train

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.trainer import ActorTrainer
    from settings.config import Config
    from storage.checkpoints import Checkpoint


def train_with_actors(
    config: Config,
    changed: frozenset[str],
    origins: Mapping[str, str],
    checkpoint: Checkpoint | None,
    chosen: Sequence[str],
) -> int:
    """Trains with actors on Ray; see `training.run.train`.

    Raises:
        ClusterError: there is no Ray, or no cluster, it has no room for the actors, or it fails.
    """
    with connected(config.ray or LOCAL):
        from ray.exceptions import RayError

        check_room(config.actors, cpus=1, what=f"--actors {config.actors}")
        try:
            return train(config, changed, origins, checkpoint, chosen, make_trainer)
        except RayError as error:
            raise ClusterError(f"Ray has failed: {' '.join(str(error).split())}") from error


def make_trainer(config: Config) -> ActorTrainer:
    """Returns a loop with its environments in actors, at its start; Ray must be connected."""
    from cluster.actors import Actors
    from cluster.trainer import ActorTrainer

    environments_rng, agent_rng, memory_rng = random_generators(config)
    with closing(make_environments(config, 1, environments_rng, shown=False)) as game:
        names, frame_shape = game.action_names, game.frame_shape
    # Their processes load while the rest is made here.
    actors = Actors(config, frame_shape, len(names))
    states = state_shape(config.screen, config.frame_stack_size)
    agent = make_agent(config, states, len(names), agent_rng)
    batches = make_prefetcher(config, states, memory_rng)
    return ActorTrainer(config, actors, names, agent, batches)
