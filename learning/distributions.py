"""What a network says of the return of each action: its mean, or how it is distributed.

All three describe a return by N atoms, each with a value and a probability. They differ in which of
the two the network gives, and so in the loss. A mean is one atom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from keras import ops

from learning.targets import (
    LOSSES,
    categorical_projection,
    cross_entropy,
    entropy,
    quantile_huber,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from settings.config import Config


class Distribution(Protocol):
    """How to read a network's outputs, [B, A] or [B, A, N] float32, and what their loss is."""

    @property
    def outputs(self) -> int:
        """N, the number of outputs for each action. With 1 the outputs are [B, A]."""

    @property
    def fractions(self) -> bool:
        """Whether the network takes the fractions of its quantiles as an input."""

    def atoms(self, outputs: Any) -> tuple[Any, Any]:
        """Returns the values and the probabilities of all atoms, [B, A, N] float32 each."""

    def loss(self, outputs: Any, fractions: Any, atoms: Any, probabilities: Any) -> tuple[Any, Any]:
        """Compares a network's outputs for the actions taken with the TD targets.

        Args:
            outputs: [B] or [B, N] float32.
            fractions: [B, N] float32, those of the quantiles, if the network takes them; or None.
            atoms: [B, M] float32, the values of the TD targets' atoms.
            probabilities: [B, M] float32, the probabilities of these atoms.

        Returns:
            The losses, [B] float32, and the |TD errors|, [B] float32, or what takes their place as
            priorities.
        """


def values(distribution: Distribution, outputs: Any) -> Any:
    """Returns the means of the returns, [B, A] float32."""
    atoms, probabilities = distribution.atoms(outputs)
    return ops.sum(atoms * probabilities, axis=-1)


@dataclass(frozen=True)
class Mean:
    """The mean alone, [B, A] float32: the output of the deep Q-network of Mnih et al. 2013."""

    td_loss: Callable[[Any], Any]  # of TD errors, [B] float32
    outputs: ClassVar[int] = 1
    fractions: ClassVar[bool] = False

    def atoms(self, outputs: Any) -> tuple[Any, Any]:
        """Returns the one atom of each action."""
        atoms = ops.expand_dims(outputs, -1)
        return atoms, ops.ones_like(atoms)

    def loss(self, outputs: Any, fractions: Any, atoms: Any, probabilities: Any) -> tuple[Any, Any]:
        """Returns the loss of the TD errors, and their absolute values; see `Distribution`."""
        td_errors = atoms[:, 0] - outputs
        return self.td_loss(td_errors), ops.abs(td_errors)


@dataclass(frozen=True)
class Categorical:
    """C51, Bellemare et al. 2017: fixed values, and logits of their probabilities, [B, A, N]."""

    support: np.ndarray  # [N] float32, rising in equal steps
    fractions: ClassVar[bool] = False

    @property
    def outputs(self) -> int:
        """N, the number of values."""
        return len(self.support)

    def atoms(self, outputs: Any) -> tuple[Any, Any]:
        """Returns the support and the probabilities."""
        return ops.broadcast_to(self.support, ops.shape(outputs)), ops.softmax(outputs, axis=-1)

    def loss(self, outputs: Any, fractions: Any, atoms: Any, probabilities: Any) -> tuple[Any, Any]:
        """Returns the cross-entropy, and the Kullback-Leibler divergence; see `Distribution`.

        The divergence is the priority of Rainbow, Hessel et al. 2018, section "The integrated
        agent".
        """
        support = ops.convert_to_tensor(self.support)
        target = categorical_projection(atoms, probabilities, support)
        losses = cross_entropy(target, ops.log_softmax(outputs, axis=-1))
        return losses, ops.maximum(losses - entropy(target), 0)


@dataclass(frozen=True)
class Quantiles:
    """The values of equally likely quantiles, [B, A, N].

    QR-DQN, Dabney et al. 2018a; with fractions, which are drawn, IQN, Dabney et al. 2018b.
    """

    outputs: int
    fractions: bool = False

    def atoms(self, outputs: Any) -> tuple[Any, Any]:
        """Returns the values of the quantiles, and 1 / N as the probability of each."""
        return outputs, ops.ones_like(outputs) / outputs.shape[-1]

    def loss(self, outputs: Any, fractions: Any, atoms: Any, probabilities: Any) -> tuple[Any, Any]:
        """Returns the quantile regression loss, and the difference of the means, absolute."""
        td_errors = ops.mean(atoms, axis=-1) - ops.mean(outputs, axis=-1)
        if fractions is None:
            fractions = midpoints(outputs.shape[-1])
        return quantile_huber(outputs, fractions, atoms), ops.abs(td_errors)


def support(bound: float, count: int) -> np.ndarray:
    """Returns `count` values from -bound to bound in equal steps, [count] float32."""
    return np.linspace(-bound, bound, count, dtype=np.float32)


DISTRIBUTIONS: dict[str, Callable[[Config], Distribution]] = {
    "none": lambda config: Mean(LOSSES[config.loss]),
    "c51": lambda config: Categorical(support(config.value_range, config.atoms)),
    "qr": lambda config: Quantiles(config.atoms),
    "iqn": lambda config: Quantiles(config.atoms, fractions=True),
}


def midpoints(count: int) -> np.ndarray:
    """Returns the midpoints of `count` equal intervals from 0 to 1, [count] float32.

    The fractions of the quantiles of Dabney et al. 2018a, lemma 2.
    """
    return ((np.arange(count) + 0.5) / count).astype(np.float32)
