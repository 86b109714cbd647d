"""The convolutional networks: functions from the shapes of a game to a `keras.Model`.

Each takes uint8 states and scales them to 0–1 inside. Its first weights are fixed by a seed.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers
from keras.initializers import GlorotUniform


def nature_network(state_shape: tuple[int, int, int], num_actions: int, seed: int) -> keras.Model:
    """Returns the network of Mnih et al. 2015, "Methods: Model architecture".

    | layer           | output (84×84×4, 4 actions) | parameters |
    | --------------- | --------------------------- | ---------- |
    | 32 @ 8×8, by 4  | 20×20×32                    | 8,224      |
    | 64 @ 4×4, by 2  | 9×9×64                      | 32,832     |
    | 64 @ 3×3, by 1  | 7×7×64                      | 36,928     |
    | dense 512       | 512                         | 1,606,144  |
    | dense, a value for each action | 4            | 2,052      |
    | all             |                             | 1,686,180  |

    Args:
        state_shape: (height, width, frames).
        num_actions: A, how many values come out.
        seed: of the first weights.

    Returns:
        A model from [B, height, width, frames] uint8 to Q values, [B, A] float32.
    """
    return _convolutional_network(
        "nature", state_shape, num_actions, seed, ((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512
    )


def nips_network(state_shape: tuple[int, int, int], num_actions: int, seed: int) -> keras.Model:
    """Returns the network of Mnih et al. 2013, section 4.1.

    | layer           | output (84×84×4, 4 actions) | parameters |
    | --------------- | --------------------------- | ---------- |
    | 16 @ 8×8, by 4  | 20×20×16                    | 4,112      |
    | 32 @ 4×4, by 2  | 9×9×32                      | 8,224      |
    | dense 256       | 256                         | 663,808    |
    | dense, a value for each action | 4            | 1,028      |
    | all             |                             | 677,172    |

    Args:
        state_shape: (height, width, frames).
        num_actions: A, how many values come out.
        seed: of the first weights.

    Returns:
        A model from [B, height, width, frames] uint8 to Q values, [B, A] float32.
    """
    return _convolutional_network(
        "nips", state_shape, num_actions, seed, ((16, 8, 4), (32, 4, 2)), 256
    )


def _convolutional_network(
    name: str,
    state_shape: tuple[int, int, int],
    num_actions: int,
    seed: int,
    convolutions: tuple[tuple[int, int, int], ...],
    units: int,
) -> keras.Model:
    """Returns convolutions of (filters, size, stride), a dense layer and the values."""
    states = keras.Input(state_shape, dtype="uint8", name="states")
    hidden = layers.Rescaling(1 / 255)(states)
    for filters, size, stride in convolutions:
        hidden = layers.Conv2D(
            filters, size, stride, activation="relu", kernel_initializer=GlorotUniform(seed)
        )(hidden)
        seed += 1  # the same numbers in every layer would tie them to one another
    hidden = layers.Flatten()(hidden)
    hidden = layers.Dense(units, activation="relu", kernel_initializer=GlorotUniform(seed))(hidden)
    values = layers.Dense(num_actions, kernel_initializer=GlorotUniform(seed + 1), name="values")(
        hidden
    )
    return keras.Model(states, values, name=name)


NETWORKS: dict[str, Callable[[tuple[int, int, int], int, int], keras.Model]] = {
    "nips": nips_network,
    "nature": nature_network,
}
