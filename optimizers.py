"""The optimisers that the settings describe, and the norm of the gradients that they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from config import Config


class Observed:
    """An optimiser that keeps the norm of all gradients together, before any are shortened.

    It is kept in a variable, which is how a value leaves a compiled Keras step on every backend.

    Attributes:
        gradient_norm: that of the last update, a float32 scalar, which no later one depends on.
    """

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the optimiser's variables."""
        super().build(variables)  # type: ignore[misc]
        self.gradient_norm = self.add_variable((), name="gradient_norm")  # type: ignore[attr-defined]

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Makes an update of gradients."""
        squares = [ops.sum(ops.square(each)) for each in grads if each is not None]
        self.gradient_norm.assign(ops.sqrt(ops.sum(ops.stack(squares))))
        super().apply(grads, trainable_variables)  # type: ignore[misc]


class ObservedAdam(Observed, keras.optimizers.Adam):
    """Adam, observed."""


class ObservedRMSprop(Observed, keras.optimizers.RMSprop):
    """RMSProp, observed."""


def make_optimizer(config: Config) -> keras.optimizers.Optimizer:
    """Returns the optimiser that the settings describe; observed, if they ask for TensorBoard.

    XLA rounds an update in another way where the gradients are used for anything else. So where it
    compiles updates, on JAX and on GPUs, they are always observed: the weights are then the same.
    """
    compiled = keras.backend.backend() == "jax" or bool(keras.distribution.list_devices("gpu"))
    observed = config.tensorboard or compiled
    common: dict[str, Any] = {
        "learning_rate": config.learning_rate,
        "epsilon": config.optimizer_epsilon,
        "global_clipnorm": config.gradient_clip or None,
    }
    if config.optimizer == "rmsprop":
        rmsprop = ObservedRMSprop if observed else keras.optimizers.RMSprop
        return rmsprop(
            rho=config.rmsprop_decay,
            momentum=config.rmsprop_momentum,
            centered=config.rmsprop_centered,
            **common,
        )
    adam = ObservedAdam if observed else keras.optimizers.Adam
    return adam(beta_1=config.adam_beta_1, beta_2=config.adam_beta_2, **common)
