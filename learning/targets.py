"""What a deep Q-network learns: TD targets and losses, as pure functions of arrays.

Everything is written in `keras.ops`, for every backend. B is the batch, A the actions, and N or M
the atoms of a distribution of returns, each with a value and a probability.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from keras import ops

if TYPE_CHECKING:
    from collections.abc import Callable

# The constants of Munchausen DQN, Vieillard et al. 2020, appendix B.1: tau, alpha and l_0.
TEMPERATURE, MUNCHAUSEN_SCALE, LOG_POLICY_FLOOR = 0.03, 0.9, -1.0
RESCALING_EPSILON = 1e-2  # Pohlen et al. 2018, section 3.2


def values_of(q: Any, a: Any) -> Any:
    """Returns the values, or the atoms, of the actions taken.

    Args:
        q: [B, A] or [B, A, N] float32, one or N for each action.
        a: [B] int, the actions.

    Returns:
        [B] or [B, N] float32.
    """
    return expected(q, ops.one_hot(a, q.shape[1], dtype=q.dtype))


def expected(q: Any, policy: Any) -> Any:
    """Returns the means of values, or of atoms, over the actions of a policy.

    Args:
        q: [B, A] or [B, A, N] float32.
        policy: [B, A] float32, the probabilities of the actions.

    Returns:
        [B] or [B, N] float32.
    """
    if len(q.shape) == 3:
        policy = ops.expand_dims(policy, -1)
    return ops.sum(q * policy, axis=1)


def greedy_policy(q: Any) -> Any:
    """Returns the policy that takes the best action, [B, A] float32 for values [B, A].

    The TD target is the target network's value of that action. If `q` are the target network's
    values as well, it is that of Mnih et al. 2015, "Methods: Algorithm"; if they are the online
    network's, it is that of Double DQN, van Hasselt et al. 2016, equation 4.
    """
    return ops.one_hot(ops.argmax(q, axis=-1), q.shape[-1], dtype=q.dtype)


def scaled_log_policy(q: Any, temperature: float = TEMPERATURE) -> Any:
    """Returns tau log pi of the softmax policy pi = softmax(q / tau), [B, A] for values [B, A].

    Vieillard et al. 2020, appendix B.1, which computes it in this way for its precision.
    """
    advantages = q - ops.max(q, axis=-1, keepdims=True)
    return advantages - temperature * ops.logsumexp(
        advantages / temperature, axis=-1, keepdims=True
    )


def munchausen_reward(
    q_tm1: Any,
    a_tm1: Any,
    temperature: float = TEMPERATURE,
    scale: float = MUNCHAUSEN_SCALE,
    floor: float = LOG_POLICY_FLOOR,
) -> Any:
    """Returns the term that Munchausen DQN adds to a reward: alpha tau log pi(a_tm1 | s_tm1).

    Vieillard et al. 2020, equation 1. As in section 4.1, tau log pi is clipped to [l_0, 0].

    Args:
        q_tm1: [B, A] float32, the target network's values of the first state.
        a_tm1: [B] int, the actions taken there.
        temperature: tau.
        scale: alpha.
        floor: l_0.

    Returns:
        [B] float32, from alpha l_0 to 0.
    """
    log_policy = values_of(scaled_log_policy(q_tm1, temperature), a_tm1)
    return scale * ops.clip(log_policy, floor, 0)


def bootstrapped(r_t: Any, discount_t: Any, values: Any, rescaled: bool = False) -> Any:
    """Returns the TD target r_t + discount_t v, for each value v of the next state.

    Args:
        r_t: [B] float32, n-step rewards, discounted to the first step.
        discount_t: [B] float32, gamma**n, or 0 where the return ended.
        values: [B, N] float32.
        rescaled: whether the values and the TD target are h(return), Pohlen et al. 2018, section
            3.2.

    Returns:
        [B, N] float32.
    """
    values = unscale(values) if rescaled else values
    target = ops.expand_dims(r_t, 1) + ops.expand_dims(discount_t, 1) * values
    return rescale(target) if rescaled else target


def rescale(x: Any, epsilon: float = RESCALING_EPSILON) -> Any:
    """Returns h(x) = sign(x) (sqrt(|x| + 1) - 1) + epsilon x, Pohlen et al. 2018, section 3.2."""
    return ops.sign(x) * (ops.sqrt(ops.abs(x) + 1) - 1) + epsilon * x


def unscale(y: Any, epsilon: float = RESCALING_EPSILON) -> Any:
    """Returns x for y = `rescale`(x), the inverse of Pohlen et al. 2018, proposition A.2.

    It is written without the difference of roots there, which loses most digits if y is small.
    """
    size = ops.abs(y)
    # z = sqrt(|x| + 1) solves epsilon z**2 + z = 1 + epsilon + |y|; this is z - 1.
    root = ops.sqrt(1 + 4 * epsilon * (size + 1 + epsilon))
    z_minus_1 = 2 * size / (root + 1 + 2 * epsilon)
    return ops.sign(y) * z_minus_1 * (z_minus_1 + 2)


def categorical_projection(atoms: Any, probabilities: Any, support: Any) -> Any:
    """Projects a distribution onto the values of a support, Bellemare et al. 2017, equation 7.

    The probability of an atom is split between the two nearest values, in proportion to how near
    they are. Atoms outside the support go to its first or last value.

    Args:
        atoms: [B, M] float32, values.
        probabilities: [B, M] float32.
        support: [N] float32, values that rise in equal steps.

    Returns:
        [B, N] float32, the probabilities of the support's values.
    """
    low, high = support[0], support[-1]
    step = (high - low) / (support.shape[0] - 1)
    atoms = ops.expand_dims(ops.clip(atoms, low, high), 1)  # [B, 1, M]
    distances = ops.abs(atoms - ops.reshape(support, (1, -1, 1))) / step  # [B, N, M]
    shares = ops.clip(1 - distances, 0, 1)
    return ops.sum(shares * ops.expand_dims(probabilities, 1), axis=-1)


def cross_entropy(probabilities: Any, log_estimates: Any) -> Any:
    """Returns -sum p log q, [B] float32, for probabilities p and logarithms log q, each [B, N].

    The loss of C51, Bellemare et al. 2017, algorithm 1.
    """
    return -ops.sum(probabilities * log_estimates, axis=-1)


def entropy(probabilities: Any) -> Any:
    """Returns -sum p log p, [B] float32, for probabilities p, [B, N]."""
    # 0 log 0 counts as 0.
    return cross_entropy(probabilities, ops.log(ops.maximum(probabilities, 1e-30)))


def quantile_huber(estimates: Any, fractions: Any, targets: Any) -> Any:
    """Returns the quantile Huber loss with its threshold at 1, Dabney et al. 2018a, equation 10.

    It is summed over the estimates and averaged over the targets, as there and in Dabney et al.
    2018b (IQN), equation 3.

    Args:
        estimates: [B, N] float32, values of quantiles.
        fractions: [N] or [B, N] float32, those of these quantiles, from 0 to 1.
        targets: [B, M] float32, equally likely values of the TD targets.

    Returns:
        [B] float32.
    """
    td_errors = ops.expand_dims(targets, 1) - ops.expand_dims(estimates, 2)  # [B, N, M]
    below = ops.cast(td_errors < 0, td_errors.dtype)
    weights = ops.abs(ops.expand_dims(fractions, -1) - below)
    return ops.sum(ops.mean(weights * huber(td_errors), axis=2), axis=1)


def huber(td_error: Any) -> Any:
    """Returns the loss of Huber 1964 with its threshold at 1, in the shape of the TD errors.

    Its gradient is the TD error clipped to [-1, 1], as in Mnih et al. 2015, "Methods: Training
    algorithm for deep Q-networks".
    """
    size = ops.abs(td_error)
    excess = ops.maximum(size - 1, 0)
    return 0.5 * ops.square(size - excess) + excess


def log_cosh(td_error: Any) -> Any:
    """Returns log(cosh(x)) of TD errors x, in their shape.

    That is about x² / 2 for a small TD error and |x| - log 2 for a large one. It is written so that
    no TD error overflows.
    """
    size = ops.abs(td_error)
    return size + ops.softplus(-2 * size) - math.log(2)


LOSSES: dict[str, Callable[[Any], Any]] = {
    "huber": huber,
    "mse": ops.square,
    "log-cosh": log_cosh,
}
