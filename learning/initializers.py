"""How first weights are drawn: uniformly, the smaller the more inputs or outputs a unit has.

In a convolution the inputs of a unit are all pixels of its kernel, over all channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras.initializers import Initializer, VarianceScaling

if TYPE_CHECKING:
    from collections.abc import Callable


def glorot(seed: int, scale: float = 1.0) -> Initializer:
    """Returns the initializer of Glorot and Bengio 2010, equation 16.

    Args:
        seed: of the weights.
        scale: times the weights.

    Returns:
        An initializer whose weights have the variance 2 scale² / (inputs + outputs).
    """
    return VarianceScaling(scale**2, "fan_avg", "uniform", seed)


def lecun(seed: int, scale: float = 1.0) -> Initializer:
    """Returns that of LeCun et al. 1998, section 4.6, as `glorot` does: scale² / inputs."""
    return VarianceScaling(scale**2, "fan_in", "uniform", seed)


def he(seed: int, scale: float = 1.0) -> Initializer:
    """Returns that of He et al. 2015, equation 10, as `glorot` does: 2 scale² / inputs."""
    return VarianceScaling(2 * scale**2, "fan_in", "uniform", seed)


INITIALIZERS: dict[str, Callable[[int, float], Initializer]] = {
    "glorot": glorot,
    "lecun": lecun,
    "he": he,
}
