"""The optimisers, made as the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from system.devices import is_jax

if TYPE_CHECKING:
    from collections.abc import Callable

    from settings.config import Config


class FusedAdam(keras.optimizers.Adam):
    """Adam with one pass over memory for each variable, on TensorFlow.

    Kingma and Ba 2015, section 2, with the step size of its last paragraph. Keras's own makes a
    dozen passes, one for each of its operations.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable."""
        import tensorflow as tf

        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations.value + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def adam(config: Config) -> keras.optimizers.Optimizer:
    """Returns Adam with the step size, the decays and the epsilon of the settings."""
    # On JAX, XLA compiles Keras's own Adam into one pass.
    kind = keras.optimizers.Adam if is_jax() else FusedAdam
    return kind(beta_1=config.adam_beta_1, beta_2=config.adam_beta_2, **_common(config))


def rmsprop(config: Config) -> keras.optimizers.Optimizer:
    """Returns RMSProp with the step size, the decays and the epsilon of the settings."""
    return keras.optimizers.RMSprop(
        rho=config.rmsprop_decay,
        momentum=config.rmsprop_momentum,
        centered=config.rmsprop_centered,
        **_common(config),
    )


OPTIMIZERS: dict[str, Callable[[Config], keras.optimizers.Optimizer]] = {
    "adam": adam,
    "rmsprop": rmsprop,
}


def _common(config: Config) -> dict[str, Any]:
    """Returns the arguments that all optimisers take."""
    return {
        "learning_rate": config.learning_rate,
        "epsilon": config.optimizer_epsilon,
        "global_clipnorm": config.gradient_clip or None,
    }
