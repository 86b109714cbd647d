"""Networks as the default settings have them, for weights that a run with few flags can load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent import network_options
from learning.networks import NETWORKS
from settings.config import Config

if TYPE_CHECKING:
    import keras


def default_network(num_actions: int, seed: int, **settings: Any) -> keras.Model:
    """Returns a network for so many actions, with first weights of its own for each seed.

    Args:
        num_actions: those of the game.
        seed: of the first weights.
        settings: fields of `Config` that are not the defaults.
    """
    config = Config(**settings)
    return NETWORKS[config.network]((84, 84, 4), num_actions, seed, network_options(config))
