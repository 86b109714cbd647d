"""Dead ReLUs: the units of a network that give 0 for every state.

No gradient passes back through such a unit, so these states no longer train the weights before it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from learning.learner import ask


def relus_of(network: keras.Model) -> list[keras.Layer]:
    """Returns the layers of a network that end in a ReLU, in the order from states to values."""
    relu = keras.activations.relu
    return [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.ReLU) or getattr(layer, "activation", None) is relu
    ]


class DeadReLUs(keras.Model):
    """Computes the share of dead ReLUs among the units of all layers, without noise.

    The units of a convolution are its filters. A filter is dead if it gives 0 at every place, for
    every state. In a network that takes fractions, a unit is dead if it gives 0 for all that the
    agent acts by. These are the dormant neurons of Sokar et al. 2023, definition 3.1, with a score
    of at most 0.
    """

    def __init__(self, network: keras.Model):
        """Takes a network that has at least one ReLU."""
        super().__init__()
        outputs = [layer.output for layer in relus_of(network)]
        inputs = network.inputs[0] if len(network.inputs) == 1 else network.input
        self.hidden = keras.Model(inputs, outputs)

    def call(self, states: Any) -> Any:
        """Returns the share, [] float32, for states [B, H, W, k] uint8."""
        # Each [B, units], [B, N, units] or [B, height, width, units]. A single one is no list.
        outputs = keras.tree.flatten(ask(self.hidden, states, random=None))
        dead = [
            ops.all(output <= 0, axis=tuple(range(len(output.shape) - 1))) for output in outputs
        ]  # each [units]
        return ops.mean(ops.cast(ops.concatenate(dead), "float32"))
