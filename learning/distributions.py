"""What a network says of the return of each action: its mean, or how it is distributed.

All three see a return as N atoms, each with a value and a probability; they differ in which of the
two the network gives, and so in the loss. A mean is one atom.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from keras import ops

from learning.targets import (
    LOSSES,
    categorical_projection,
    cross_entropy,
    entropy,
    quantile_huber,
)
from settings.config import Config


class Distribution(Protocol):
    """How to read what a network gives, [B, A] or [B, A, N] float32, and what it costs."""

    @property
    def outputs(self) -> int:
        """N, how many numbers a network gives for each action; 1 stands for [B, A]."""

    @property
    def fractions(self) -> bool:
        """Whether the network takes the fractions of the quantiles that it is to give."""

    def atoms(self, outputs: Any) -> tuple[Any, Any]:
        """Returns the values and the probabilities of all atoms, [B, A, N] float32 each."""

    def loss(self, outputs: Any, fractions: Any, atoms: Any, probabilities: Any) -> tuple[Any, Any]:
        """Compares what a network gave for the actions taken with the targets.

        Args:
            outputs: [B] or [B, N] float32.
            fractions: [B, N] float32, which quantiles these are, where they were asked for.
            atoms: [B, M] float32, the values of the targets.
            probabilities: [B, M] float32, theirs.

        Returns:
            The losses, [B] float32, and how far off the network was, [B] float32: the |TD error|,
            or what stands for it as a priority.
        """


def values(distribution: Distribution, outputs: Any) -> Any:
    """Returns the means of the returns, [B, A] float32."""
    atoms, probabilities = distribution.atoms(outputs)
    return ops.sum(atoms * probabilities, axis=-1)


@dataclass(frozen=True)
class Mean:
    """The mean alone: [B, A] float32 is what deep Q-networks give, Mnih et al. 2013."""

    td_loss: Callable[[Any], Any]  # of TD errors, [B] float32
    outputs: ClassVar[int] = 1
    fractions: ClassVar[bool] = False

    def atoms(self, outputs: Any) -> tuple[Any, Any]:
        """Returns the one atom of each action."""
        atoms = ops.expand_dims(outputs, -1)
        return atoms, ops.ones_like(atoms)

    def loss(self, outputs: Any, fractions: Any, atoms: Any, probabilities: Any) -> tuple[Any, Any]:
        """Returns the loss of the TD errors, and these; see `Distribution`."""
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
        """Returns the cross-entropy, and the divergence of Kullback and Leibler.

        The latter is the priority of Rainbow, Hessel et al. 2018, section "The integrated agent".
        """
        support = ops.convert_to_tensor(self.support)
        target = categorical_projection(atoms, probabilities, support)
        losses = cross_entropy(target, ops.log_softmax(outputs, axis=-1))
        return losses, ops.maximum(losses - entropy(target), 0)


@dataclass(frozen=True)
class Quantiles:
    """The values of equally likely quantiles, [B, A, N].

    QR-DQN, Dabney et al. 2018a, and with fractions that are drawn, IQN, Dabney et al. 2018b.
    """

    outputs: int
    fractions: bool = False  # whether they are drawn

    def atoms(self, outputs: Any) -> tuple[Any, Any]:
        """Returns the quantiles, all with the same probability."""
        return outputs, ops.ones_like(outputs) / outputs.shape[-1]

    def loss(self, outputs: Any, fractions: Any, atoms: Any, probabilities: Any) -> tuple[Any, Any]:
        """Returns the quantile regression loss, and the size of the means' difference."""
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
    """Returns the fractions in the middle of `count` equal parts, [count] float32.

    Dabney et al. 2018a, lemma 2.
    """
    return ((np.arange(count) + 0.5) / count).astype(np.float32)
