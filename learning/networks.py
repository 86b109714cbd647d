"""The convolutional networks: functions from the shapes of a game to a `keras.Model`.

    states ──► convolutions ──► features ──► dense ──► an output (or N) for each action

The inputs of a network, by name:

| input           | shape              | what                                                      |
| --------------- | ------------------ | --------------------------------------------------------- |
| states          | [B, H, W, k] uint8 | frames, oldest first                                      |
| fractions       | [B, N] float32     | those of the quantiles, if `NetworkOptions.fractions`     |
| <layer>_noise   | [B, width] float32 | for each noisy layer: standard normal, or zeros for none  |

A network whose only input is states takes them without a name. A seed fixes the first weights.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
from keras import layers

from learning.initializers import INITIALIZERS
from learning.layers import CosineEmbedding, Duel, Fork, NoisyDense, Whitening
from learning.normalizations import NORMALIZATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from keras.initializers import Initializer


@dataclass(frozen=True)
class NetworkOptions:
    """The options that every network has."""

    outputs: int = 1  # N, atoms or quantiles for each action; 1 makes [B, A], not [B, A, 1]
    fractions: bool = False  # whether the fractions are an input, Dabney et al. 2018b
    dueling: bool = False  # Wang et al. 2016
    noisy: bool = False  # Fortunato et al. 2018
    width: int = 1  # factor on the filters of every convolution
    normalization: str = "none"  # of `NORMALIZATIONS`
    biases: bool = True  # of the layers before the values
    initializer: str = "glorot"  # of `INITIALIZERS`
    value_scale: float = 1.0  # factor on the first weights of the values
    hidden_activation: str = "relu"  # of the dense layer
    input_scaling: bool = True  # from 0–255 to 0–1
    whitening: bool = False  # of pixels, in place of that; Burda et al. 2019, section 2.4


def nature_network(
    state_shape: tuple[int, int, int],
    num_actions: int,
    seed: int,
    options: NetworkOptions = NetworkOptions(),
) -> keras.Model:
    """Returns the network of Mnih et al. 2015, "Methods: Model architecture".

    | layer                                  | output (84×84×4, 4 actions) | parameters |
    | -------------------------------------- | --------------------------- | ---------- |
    | convolution, 32 filters, 8×8, stride 4 | 20×20×32                    | 8,224      |
    | convolution, 64 filters, 4×4, stride 2 | 9×9×64                      | 32,832     |
    | convolution, 64 filters, 3×3, stride 1 | 7×7×64                      | 36,928     |
    | dense, 512 units                       | 512                         | 1,606,144  |
    | dense, a value for each action         | 4                           | 2,052      |
    | total                                  |                             | 1,686,180  |

    Args:
        state_shape: (height, width, frames).
        num_actions: A.
        seed: of the first weights.
        options: how it differs from the table.

    Returns:
        A model whose outputs are Q values, [B, A] float32, or N for each action, [B, A, N].
    """
    network = _Builder("nature", state_shape, seed, options)
    for filters, kernel, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
        network.convolution(filters, kernel, stride)
    return network.finish(num_actions, units=512)


def nips_network(
    state_shape: tuple[int, int, int],
    num_actions: int,
    seed: int,
    options: NetworkOptions = NetworkOptions(),
) -> keras.Model:
    """Returns the network of Mnih et al. 2013, section 4.1.

    | layer                                  | output (84×84×4, 4 actions) | parameters |
    | -------------------------------------- | --------------------------- | ---------- |
    | convolution, 16 filters, 8×8, stride 4 | 20×20×16                    | 4,112      |
    | convolution, 32 filters, 4×4, stride 2 | 9×9×32                      | 8,224      |
    | dense, 256 units                       | 256                         | 663,808    |
    | dense, a value for each action         | 4                           | 1,028      |
    | total                                  |                             | 677,172    |

    The arguments and the result are those of `nature_network`.
    """
    network = _Builder("nips", state_shape, seed, options)
    for filters, kernel, stride in ((16, 8, 4), (32, 4, 2)):
        network.convolution(filters, kernel, stride)
    return network.finish(num_actions, units=256)


def impala_network(
    state_shape: tuple[int, int, int],
    num_actions: int,
    seed: int,
    options: NetworkOptions = NetworkOptions(),
) -> keras.Model:
    """Returns the large network of Espeholt et al. 2018, figure 3, without its LSTM.

    | layer                                       | output (84×84×4, 4 actions) | parameters |
    | ------------------------------------------- | --------------------------- | ---------- |
    | convolution, 16 filters, and max pooling    | 42×42×16                    | 592        |
    | 2 residual blocks of 2 × 16 filters         | 42×42×16                    | 9,280      |
    | convolution, 32 filters, and max pooling    | 21×21×32                    | 4,640      |
    | 2 residual blocks of 2 × 32 filters         | 21×21×32                    | 36,992     |
    | convolution, 32 filters, and max pooling    | 11×11×32                    | 9,248      |
    | 2 residual blocks of 2 × 32 filters         | 11×11×32                    | 36,992     |
    | dense, 256 units                            | 256                         | 991,488    |
    | dense, a value for each action              | 4                           | 1,028      |
    | total                                       |                             | 1,090,260  |

    All convolutions have a 3×3 kernel and stride 1, max pooling is over 3×3 with stride 2. Only the
    residual blocks are normalised. The arguments and the result are those of `nature_network`.
    """
    network = _Builder("impala", state_shape, seed, options)
    for filters in (16, 32, 32):
        network.convolution(filters, 3, 1, padding="same", activation=None, normalized=False)
        network.hidden = layers.MaxPooling2D(3, 2, padding="same")(network.hidden)
        for _ in range(2):
            shortcut = network.hidden
            for _ in range(2):
                network.hidden = layers.ReLU()(network.hidden)
                network.convolution(filters, 3, 1, padding="same", activation=None)
            network.hidden = layers.Add()([shortcut, network.hidden])
    network.hidden = layers.ReLU()(network.hidden)
    return network.finish(num_actions, units=256)


NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "nips": nips_network,
    "nature": nature_network,
    "impala": impala_network,
}


class _Builder:
    """Puts a network together, layer by layer, with the options.

    Attributes:
        hidden: the outputs of the newest layer.
    """

    def __init__(
        self, name: str, state_shape: tuple[int, int, int], seed: int, options: NetworkOptions
    ):
        self._name = name
        self._options = options
        self._normalization = NORMALIZATIONS[options.normalization]
        # The layers must not start with the same numbers.
        self._seeds = itertools.count(seed)
        states = keras.Input(state_shape, dtype="uint8", name="states")
        self._inputs = {"states": states}
        # Scaling takes time, and makes no difference if a later normalisation removes all factors.
        is_moot = self._homogeneous and self._normalization.removes_scale
        scale = 1 / 255 if options.input_scaling and not is_moot else 1
        scaling = Whitening(name="whitening") if options.whitening else layers.Rescaling(scale)
        self.hidden = scaling(states)

    def convolution(
        self,
        filters: int,
        kernel: int,
        stride: int,
        padding: str = "valid",
        activation: str | None = "relu",
        normalized: bool = True,
    ) -> None:
        """Adds a convolution, with its normalisation and activation."""
        normalization = self._normalization if normalized else NORMALIZATIONS["none"]
        self.hidden = normalization.convolution(
            filters * self._options.width,
            kernel,
            stride,
            padding,
            use_bias=self._options.biases,
            kernel_initializer=self._initializer(),
        )(self.hidden)
        # A later layer divides by the deviation of all, see `_homogeneous`.
        divided = not self._homogeneous or activation is None
        self.hidden = normalization.normalized(self.hidden, divided)
        if activation:
            self.hidden = layers.Activation(activation)(self.hidden)

    def finish(self, num_actions: int, units: int) -> keras.Model:
        """Adds a hidden dense layer and the outputs for each action; returns the network."""
        features = layers.Flatten()(self.hidden)
        if self._options.fractions:
            features = self._at_fractions(features)
        if self._options.dueling:
            features = Fork()(features)
            value = self._outputs(features, units, 1, "state_")
            advantages = self._outputs(features, units, num_actions, "")
            with computing_in("float32"):
                outputs = Duel()([value, advantages])
        else:
            outputs = self._outputs(features, units, num_actions, "")
        inputs = self._inputs if len(self._inputs) > 1 else self._inputs["states"]
        return keras.Model(inputs, outputs, name=self._name)

    def _outputs(self, features: Any, units: int, rows: int, prefix: str) -> Any:
        """Returns the outputs of a stream with one hidden layer, [B, rows(, N)] float32."""
        hidden = self._dense(features, units, f"{prefix}hidden", biases=self._options.biases)
        hidden = self._normalization.normalized(hidden)
        hidden = layers.Activation(self._options.hidden_activation)(hidden)
        name, scale = f"{prefix}values", self._options.value_scale
        # TD errors are differences of values, which bfloat16 would round to few digits.
        with computing_in("float32"):
            if self._options.fractions:
                return layers.Permute((2, 1))(self._dense(hidden, rows, name, scale))
            outputs = self._dense(hidden, rows * self._options.outputs, name, scale)
            if self._options.outputs > 1:
                outputs = layers.Reshape((rows, self._options.outputs))(outputs)
            return outputs

    def _initializer(self, scale: float = 1.0) -> Initializer:
        """Returns the initializer of a layer's kernel, with a factor on its weights."""
        return INITIALIZERS[self._options.initializer](next(self._seeds), scale)

    @property
    def _homogeneous(self) -> bool:
        """Whether a factor on the outputs of any layer becomes the same factor on the features.

        That is so without biases, as a ReLU and subtracting the mean keep a positive factor. A
        hidden dense layer that is divided by its deviation then removes all factors before it.
        """
        return not self._options.biases

    def _dense(self, x: Any, units: int, name: str, scale: float = 1.0, biases: bool = True) -> Any:
        """Returns the outputs of a dense layer, noisy if the options say so, [B, (N,) units]."""
        if not self._options.noisy:
            return layers.Dense(
                units, use_bias=biases, kernel_initializer=self._initializer(scale), name=name
            )(x)
        noise = keras.Input((x.shape[-1] + units,), name=f"{name}_noise")
        self._inputs[noise.name] = noise
        seed = next(self._seeds)
        next(self._seeds)  # a noisy layer takes two
        return NoisyDense(units, seed, biases, name=name)([x, noise])

    def _at_fractions(self, features: Any) -> Any:
        """Returns the product of the features and an embedding of the fractions, [B, N, F] float32.

        Dabney et al. 2018b, section "Implementation".
        """
        fractions = keras.Input((None,), name="fractions")
        self._inputs["fractions"] = fractions
        # With fractions rounded to few digits, cosines of high frequency would be noise.
        with computing_in("float32"):
            cosines = CosineEmbedding()(fractions)
        embedding = layers.Dense(
            features.shape[-1],
            activation="relu",
            kernel_initializer=self._initializer(),
            name="embedding",
        )(cosines)
        return layers.Multiply()([layers.Reshape((1, features.shape[-1]))(features), embedding])


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Lets the layers made in this context compute in "float32" or "bfloat16".

    Their weights stay float32, and so do the outputs of a network.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
