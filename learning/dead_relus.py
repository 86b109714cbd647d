"""How many units of a network have fallen silent: their ReLU gives 0, whatever the state.

Such a unit passes no gradient back, so that what leads to it is not learnt any more from these
states.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from learning.learner import ask


def relus_of(network: keras.Model) -> list[keras.Layer]:
    """Returns the layers of a network that end in a ReLU, from its states to its values."""
    relu = keras.activations.relu
    return [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.ReLU) or getattr(layer, "activation", None) is relu
    ]


class DeadReLUs(keras.Model):
    """Gives the share of dead ReLUs, [] float32, for states [B, H, W, k] uint8.

    A unit is dead where its ReLU gives 0 for every state, everywhere: the units of a convolution
    are its filters, over all places, and where quantiles are asked for, those to act by count as
    places. These are the dormant neurons of Sokar et al. 2023, definition 3.1, whose score is at
    most 0; the share is that among the units of all layers. Noise is left out.
    """

    def __init__(self, network: keras.Model):
        """Takes a network with at least one ReLU."""
        super().__init__()
        outputs = [layer.output for layer in relus_of(network)]
        inputs = network.inputs[0] if len(network.inputs) == 1 else network.input
        self.hidden = keras.Model(inputs, outputs)

    def call(self, states: Any) -> Any:
        """Returns the share."""
        # [B, units], [B, N, units] or [B, height, width, units] each; one comes without a list.
        outputs = keras.tree.flatten(ask(self.hidden, states, random=None))
        dead = [
            ops.all(each <= 0, axis=tuple(range(len(each.shape) - 1))) for each in outputs
        ]  # [units]
        return ops.mean(ops.cast(ops.concatenate(dead), "float32"))
