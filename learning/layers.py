"""Layers that Keras does not have, such as noisy, normalised and whitening ones."""

from __future__ import annotations

import math
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops
from keras.initializers import RandomUniform

from system.devices import is_jax

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

FIRST_NOISE = 0.5  # sigma_0 of Fortunato et al. 2018, section 3.2
VARIANCE_EPSILON = 1e-8  # added to the variance of a layer's outputs, against division by 0
COSINES = 64  # of the embedding, Dabney et al. 2018b, section "Evaluation"
# Of pixels that are whitened. The first is added to deviations: pixels from 0 to 255 that never
# change have none, and a small one must not make what is rare too large.
DEVIATION_FLOOR, MOST_DEVIATIONS = 8.0, 5.0


@keras.saving.register_keras_serializable("dqn_atari")
class Whitening(layers.Layer):
    """Subtracts from each pixel its mean and divides by its deviation, clipped to [-5, 5].

    As Burda et al. 2019, section 2.4, do with their inputs. What seldom changes, such as the
    background, becomes 0, and what is small and seldom anywhere, such as a ball, becomes large. All
    frames of a state have the same mean and deviation. Until they are given, it scales from 0-255
    to 0-1.
    """

    def build(self, input_shape: Any) -> None:
        """Makes room for the mean and for what to multiply by, neither of which is trained."""
        shape = (*input_shape[1:3], 1)
        scale = keras.initializers.Constant(1 / 255)
        # Bfloat16 would round the mean to whole numbers.
        options: dict[str, Any] = {"shape": shape, "trainable": False, "autocast": False}
        self.mean = self.add_weight(initializer="zeros", name="mean", **options)
        self.scale = self.add_weight(initializer=scale, name="scale", **options)

    def set_statistics(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Takes the mean and the deviation of each pixel, [H, W] float, on the scale of 0-255."""
        self.mean.assign(mean[..., None])
        self.scale.assign(1 / (deviation[..., None] + DEVIATION_FLOOR))

    @property
    def has_statistics(self) -> bool:
        """Whether they were given: there is no game whose pixels are all black."""
        return bool(ops.convert_to_numpy(self.mean).any())

    def call(self, states: Any) -> Any:
        """Returns [B, H, W, k] in what the layer computes in, for states [B, H, W, k] uint8."""
        return _whitening(self.compute_dtype)(states, self.mean.value, self.scale.value)


@cache
def _whitening(dtype: str) -> Callable[[Any, Any, Any], Any]:
    """Returns the function that whitens states, which all layers share: it compiles once a shape.

    Each operation alone would be a pass over all pixels. XLA, by which JAX compiles anyway, makes
    one pass of them. Not all builds of TensorFlow for other systems than Linux have XLA.
    """

    def whitened(states: Any, mean: Any, scale: Any) -> Any:
        deviations = (ops.cast(states, "float32") - mean) * scale
        return ops.cast(ops.clip(deviations, -MOST_DEVIATIONS, MOST_DEVIATIONS), dtype)

    if is_jax():
        return whitened
    import tensorflow as tf

    return tf.function(whitened, autograph=False, jit_compile=sys.platform == "linux")


@keras.saving.register_keras_serializable("dqn_atari")
class NoisyDense(layers.Layer):
    """A dense layer whose weights and biases have noise, the size of which it learns.

    Fortunato et al. 2018, equations 8 to 11, with factorised noise: y = (w + sigma_w * e) x + b +
    sigma_b * e_out, where e is the outer product of e_out and e_in. The noise is an input: the
    caller decides when to draw it, and zeros make a plain dense layer.
    """

    def __init__(self, units: int, seed: int, use_bias: bool = True, **options: Any):
        """Takes the number of units, the seed of the first weights, and whether to have biases."""
        super().__init__(**options)
        self.units, self.seed, self.use_bias = units, seed, use_bias

    def build(self, input_shape: Any) -> None:
        """Makes the weights for the shapes of the inputs and of the noise."""
        inputs = input_shape[0][-1]
        bound = 1 / math.sqrt(inputs)  # Fortunato et al. 2018, section 3.2
        noise = keras.initializers.Constant(FIRST_NOISE * bound)
        shape = (inputs, self.units)
        self.kernel = self.add_weight(
            shape=shape, initializer=RandomUniform(-bound, bound, self.seed), name="kernel"
        )
        biases = RandomUniform(-bound, bound, self.seed + 1)
        if self.use_bias:
            self.bias = self.add_weight(shape=shape[1:], initializer=biases, name="bias")
        self.kernel_noise = self.add_weight(shape=shape, initializer=noise, name="kernel_noise")
        if self.use_bias:
            self.bias_noise = self.add_weight(shape=shape[1:], initializer=noise, name="bias_noise")

    def call(self, inputs: tuple[Any, Any]) -> Any:
        """Returns [B, units] or [B, N, units] float32.

        Args:
            inputs: [B, inputs] or [B, N, inputs] float32; and the noise e_in and e_out, standard
                normal, [B, inputs + units], or [1, inputs + units] for the whole batch.
        """
        x, noise = inputs
        noise = ops.sign(noise) * ops.sqrt(ops.abs(noise))
        if len(x.shape) == 3:
            noise = ops.expand_dims(noise, 1)
        at_inputs, at_outputs = noise[..., : x.shape[-1]], noise[..., x.shape[-1] :]
        plain, noisy = ops.matmul(x, self.kernel), ops.matmul(x * at_inputs, self.kernel_noise)
        if self.use_bias:
            plain, noisy = plain + self.bias, noisy + self.bias_noise
        return plain + noisy * at_outputs

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make the layer anew."""
        return {
            **super().get_config(),
            "units": self.units,
            "seed": self.seed,
            "use_bias": self.use_bias,
        }


@keras.saving.register_keras_serializable("dqn_atari")
class WholeLayerNormalization(layers.Layer):
    """Scales all outputs of a layer for a state together to mean 0 and standard deviation 1.

    Ba et al. 2016, equation 3, without the gain and bias of equation 4. The mean and the deviation
    are taken over all units, in a convolution over all places and filters. Keras's
    LayerNormalization takes them over the filters at each place.
    """

    def __init__(self, divided: bool = True, **options: Any):
        """Takes whether to divide by the deviation after subtracting the mean."""
        super().__init__(**options)
        self.divided = divided

    def call(self, x: Any) -> Any:
        """Returns (x - mean) / sqrt(variance + 1e-8), or x - mean, [B, ...] as `x` is."""
        # A dense layer may have several rows of outputs for a state, such as one for each quantile.
        units = [1, 2, 3] if len(x.shape) == 4 else [-1]
        if not self.divided:
            return x - ops.mean(x, axis=units, keepdims=True)
        exact = ops.cast(x, "float32")
        centred = exact - ops.mean(exact, axis=units, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=units, keepdims=True)
        return ops.cast(centred * ops.rsqrt(variance + VARIANCE_EPSILON), x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make the layer anew."""
        return {**super().get_config(), "divided": self.divided}


@keras.saving.register_keras_serializable("dqn_atari")
class SpectralConv2D(layers.Conv2D):
    """A convolution whose kernel is divided by its largest singular value, Miyato et al. 2018.

    Power iteration estimates that value (algorithm 1 there), with one iteration for each update,
    which starts from the vector of the iteration before. Keras's own wrapper overwrites the trained
    kernel with the divided one, which the JAX backend does not see.
    """

    def build(self, input_shape: Any) -> None:
        """Makes the weights and the first estimate of the left singular vector."""
        super().build(input_shape)
        self.singular_vector = self.add_weight(
            shape=(self.filters,), initializer="ones", trainable=False, name="singular_vector"
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns the convolution; in training, also improves the singular vector."""
        matrix = ops.reshape(self.kernel, (-1, self.filters))
        right = ops.stop_gradient(_unit(ops.matmul(matrix, self.singular_vector)))
        left = ops.stop_gradient(_unit(ops.matmul(right, matrix)))
        if training:
            self.singular_vector.assign(left)
        largest = ops.sum(right * ops.matmul(matrix, left))
        outputs = self.convolution_op(inputs, self.kernel / largest)
        return self.activation(outputs + self.bias if self.use_bias else outputs)

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Saves the singular vector as well, which Keras's convolutions would leave out."""
        layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: dict[str, Any]) -> None:
        """Loads all that `save_own_variables` saved."""
        layers.Layer.load_own_variables(self, store)


def _unit(vector: Any) -> Any:
    """Returns a vector, [N] float32, scaled to length 1."""
    return vector / ops.maximum(ops.norm(vector), 1e-12)


@keras.saving.register_keras_serializable("dqn_atari")
class CosineEmbedding(layers.Layer):
    """Cosines of fractions, Dabney et al. 2018b, equation 4: cos(pi i f) for i from 0 to 63."""

    def call(self, fractions: Any) -> Any:
        """Returns [B, N, 64] float32 for [B, N] float32."""
        frequencies = math.pi * ops.arange(COSINES, dtype="float32")
        return ops.cos(ops.expand_dims(fractions, -1) * frequencies)


@keras.saving.register_keras_serializable("dqn_atari")
class Fork(layers.Layer):
    """Returns its inputs, and divides their gradient by the square root of 2.

    Wang et al. 2016, section 4.2, does so where two streams send their gradients to one layer.
    """

    def call(self, inputs: Any) -> Any:
        """Returns the inputs."""
        scaled = inputs / math.sqrt(2)
        return scaled + ops.stop_gradient(inputs - scaled)


@keras.saving.register_keras_serializable("dqn_atari")
class Duel(layers.Layer):
    """Joins a state's value and its actions' advantages, Wang et al. 2016, equation 9."""

    def call(self, inputs: tuple[Any, Any]) -> Any:
        """Returns V + A - mean A over the actions.

        Args:
            inputs: the value, [B, 1] or [B, 1, N], and the advantages, [B, A] or [B, A, N].
        """
        value, advantages = inputs
        return value + advantages - ops.mean(advantages, axis=1, keepdims=True)
