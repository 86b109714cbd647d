"""The learner and the actor: Keras models around the networks, for every Keras backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from learning import distributions
from learning.distributions import Distribution, midpoints
from learning.targets import (
    TEMPERATURE,
    bootstrapped,
    expected,
    greedy_policy,
    munchausen_reward,
    scaled_log_policy,
    values_of,
)

# Quantiles of an implicit quantile network: K, to act by their mean; N and N', in an update, of the
# online and the target network. Dabney et al. 2018b, section "Evaluation".
ACTING_QUANTILES, LEARNING_QUANTILES = 32, 64


@dataclass(frozen=True)
class Algorithm:
    """What the network learns, and from which TD targets."""

    distribution: Distribution
    double: bool = False  # van Hasselt et al. 2016
    munchausen: bool = False  # Vieillard et al. 2020
    rescaled: bool = False  # Pohlen et al. 2018, section 3.2
    target_averaging: float = 0.0  # Lillicrap et al. 2016, section 3; 0 for none


def ask(
    network: keras.Model,
    states: Any,
    random: keras.random.SeedGenerator | None,
    *,
    fractions: Any = None,
    noise_rows: Any = None,
    training: bool = False,
) -> Any:
    """Returns a network's outputs for states, [B, A] or [B, A, N] float32.

    Args:
        network: one of `networks.NETWORKS`.
        states: [B, H, W, k] uint8.
        random: draws the noise; None for no noise.
        fractions: [B, N] float32, those of the quantiles; by default those to act by.
        noise_rows: how often to draw noise: B times, for each state, or once for all; None for no
            noise.
        training: whether the network is trained on these states.
    """
    if len(network.inputs) == 1:
        return network(states, training=training)
    count = ops.shape(states)[0]
    inputs = {"states": states}
    for tensor in network.inputs:
        if tensor.name == "fractions":
            acting = ops.broadcast_to(midpoints(ACTING_QUANTILES), (count, ACTING_QUANTILES))
            inputs[tensor.name] = acting if fractions is None else fractions
        elif tensor.name != "states":
            width = tensor.shape[-1]
            if noise_rows is None:
                inputs[tensor.name] = ops.zeros((1, width))
            else:
                inputs[tensor.name] = keras.random.normal((noise_rows, width), seed=random)
    return network(inputs, training=training)


class Actor(keras.Model):
    """Computes the values that an agent acts by."""

    def __init__(self, network: keras.Model, distribution: Distribution, seed: int, noisy: bool):
        """Takes a network, how to read its outputs, and whether to draw noise for each state."""
        super().__init__()
        self.network = network
        self.distribution = distribution
        self.noisy = noisy
        self.random = keras.random.SeedGenerator(seed)

    def call(self, states: Any) -> Any:
        """Returns the values, [B, A] float32, of states [B, H, W, k] uint8."""
        rows = ops.shape(states)[0] if self.noisy else None
        outputs = ask(self.network, states, self.random, noise_rows=rows)
        return distributions.values(self.distribution, outputs)


class Learner(keras.Model):
    """Both networks and their loss, in `keras.ops` alone, so that every Keras backend runs it.

    It takes the arrays of a `Batch` by name, in a dict. Of plain values, Double DQN is (van Hasselt
    et al. 2016, equation 4; Schaul et al. 2016, section 3.4, for the weights)

        a_t    = argmax_a online(s_t)[a]                 without Double: argmax_a target(s_t)[a]
        y      = r_t + discount_t * target(s_t)[a_t]     the TD target
        loss   = mean(weights * huber(y - online(s_tm1)[a_tm1]))

    Each value may be a distribution of N atoms: y then stands for N atoms and their probabilities,
    and the distribution says what takes the place of the Huber loss. `bootstrapped` is the second
    line, and rescales the values if the algorithm asks for it. Munchausen adds to r_t, and has a
    mean over a soft policy in place of a_t.

    The online and the target network each draw their own noise, once for the whole batch
    (Fortunato et al. 2018, section 3.1), and their own quantiles (Dabney et al. 2018b, equation 3).
    """

    def __init__(
        self,
        online: keras.Model,
        target: keras.Model,
        algorithm: Algorithm,
        seed: int = 0,
    ):
        """Takes two networks of the same shape, of which only `online` is trained."""
        super().__init__()
        self.online = online
        self.target = target
        self.target.trainable = False
        self.algorithm = algorithm
        self.random = keras.random.SeedGenerator(seed)

    def call(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns the loss of a batch and statistics of it.

        Args:
            batch: the fields of a `Batch` by name, with states and not places.

        Returns:
            By name, float32, [] unless another shape is given:

            - "loss": the mean loss of the batch, weighted as in Schaul et al. 2016, section 3.4;
            - "td_errors": [B], absolute;
            - "accuracy": share of the states whose greedy action the TD targets do not change;
            - "mean_q": mean value of the actions taken;
            - "q_spread": standard deviation of an action's values over the states, averaged over
              the actions.
        """
        distribution = self.algorithm.distribution
        states, a_tm1 = batch["s_tm1"], batch["a_tm1"]
        fractions = self._draw_fractions(states)
        outputs_tm1 = ask(
            self.online, states, self.random, fractions=fractions, noise_rows=1, training=True
        )  # [B, A] or [B, A, N]
        atoms, probabilities = (ops.stop_gradient(target) for target in self._targets(batch))
        losses, td_errors = distribution.loss(
            values_of(outputs_tm1, a_tm1), fractions, atoms, probabilities
        )
        q_tm1 = distributions.values(distribution, outputs_tm1)
        q_a_tm1 = values_of(q_tm1, a_tm1)
        # The values with the TD target in place of the value of the action taken.
        taken = ops.one_hot(a_tm1, q_tm1.shape[-1], dtype=q_tm1.dtype)
        change = ops.sum(atoms * probabilities, axis=-1) - q_a_tm1
        targets = q_tm1 + taken * ops.expand_dims(change, -1)
        kept = ops.equal(ops.argmax(targets, axis=-1), ops.argmax(q_tm1, axis=-1))
        return {
            "loss": ops.mean(batch["weights"] * losses),
            "td_errors": td_errors,
            "accuracy": ops.mean(ops.cast(kept, "float32")),
            "mean_q": ops.mean(q_a_tm1),
            "q_spread": ops.mean(ops.std(q_tm1, axis=0)),
        }

    def _targets(self, batch: dict[str, Any]) -> tuple[Any, Any]:
        """Returns the TD targets: values and probabilities of their atoms, each [B, N] float32."""
        algorithm = self.algorithm
        r_t = batch["r_t"]
        atoms_t, probabilities_t = algorithm.distribution.atoms(
            self._ask_target(batch["s_t"])
        )  # [B, A, N] each
        q_t = ops.sum(atoms_t * probabilities_t, axis=-1)
        if algorithm.munchausen:
            q_tm1 = distributions.values(algorithm.distribution, self._ask_target(batch["s_tm1"]))
            r_t = r_t + munchausen_reward(q_tm1, batch["a_tm1"])
            log_policy = scaled_log_policy(q_t)
            policy = ops.exp(log_policy / TEMPERATURE)
            atoms_t = atoms_t - ops.expand_dims(log_policy, -1)
        else:
            if algorithm.double:
                outputs = ask(self.online, batch["s_t"], self.random, noise_rows=1)
                q_t = distributions.values(algorithm.distribution, outputs)
            policy = greedy_policy(q_t)
        atoms = expected(atoms_t, policy)
        probabilities = expected(probabilities_t, policy)
        return (
            bootstrapped(r_t, batch["discount_t"], atoms, algorithm.rescaled),
            probabilities,
        )

    def _ask_target(self, states: Any) -> Any:
        """Returns the target network's outputs for states, [B, A] or [B, A, N] float32."""
        fractions = self._draw_fractions(states)
        return ask(self.target, states, self.random, fractions=fractions, noise_rows=1)

    def _draw_fractions(self, states: Any) -> Any:
        """Returns random fractions, [B, N] float32, or None if the networks take none."""
        if not any(tensor.name == "fractions" for tensor in self.online.inputs):
            return None
        return keras.random.uniform((ops.shape(states)[0], LEARNING_QUANTILES), seed=self.random)
