"""What a deep Q-network learns: targets, losses and TD errors, as functions of arrays alone.

Everything is written in `keras.ops`, for every backend. B is the batch, A the actions, and N or M
the atoms of a distribution of returns, each with a value and a probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras import ops

# The constants of Munchausen DQN, Vieillard et al. 2020, appendix B.1: tau, alpha and l_0.
TEMPERATURE, MUNCHAUSEN_SCALE, LOG_POLICY_FLOOR = 0.03, 0.9, -1.0
RESCALING_EPSILON = 1e-2  # Pohlen et al. 2018, section 3.2


def values_of(q: Any, a: Any) -> Any:
    """Returns what belongs to the actions taken.

    Args:
        q: [B, A] or [B, A, N] float32, a value or N of them for each action.
        a: [B] int, the actions.

    Returns:
        [B] or [B, N] float32.
    """
    return expected(q, ops.one_hot(a, q.shape[1], dtype=q.dtype))


def expected(q: Any, policy: Any) -> Any:
    """Returns the mean of what belongs to each action, under a policy.

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
    """Returns the policy that takes the best action: [B, A] float32 for values [B, A].

    Rating that action by the target network's values is the target of Mnih et al. 2015, "Methods:
    Algorithm", if `q` are these values as well, and of Double DQN, van Hasselt et al. 2016,
    equation 4, if they are the online network's.
    """
    return ops.one_hot(ops.argmax(q, axis=-1), q.shape[-1], dtype=q.dtype)


def scaled_log_policy(q: Any, temperature: float = TEMPERATURE) -> Any:
    """Returns tau log pi of the softmax policy pi = softmax(q / tau), [B, A] for values [B, A].

    Vieillard et al. 2020, appendix B.1, where it is computed like this for its precision.
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
    """Returns what Munchausen DQN adds to a reward: alpha tau log pi(a_tm1 | s_tm1), clipped.

    Vieillard et al. 2020, equation 1, and section 4.1 for the clipping to [l_0, 0] before alpha.

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
    """Returns the target r_t + discount_t v, for each of the values v that may follow.

    Args:
        r_t: [B] float32, n-step rewards, discounted to the first step.
        discount_t: [B] float32, gamma**n, or 0 where the return ended.
        values: [B, N] float32.
        rescaled: whether the values and the target are h(return), Pohlen et al. 2018, section 3.2.

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
    """Returns the x that `rescale` makes y of, Pohlen et al. 2018, proposition A.2.

    The root is multiplied out, as the difference there loses most digits where y is small.
    """
    size = ops.abs(y)
    # z = sqrt(|x| + 1) solves epsilon z**2 + z = 1 + epsilon + |y|; this is z - 1.
    root = ops.sqrt(1 + 4 * epsilon * (size + 1 + epsilon))
    z_minus_1 = 2 * size / (root + 1 + 2 * epsilon)
    return ops.sign(y) * z_minus_1 * (z_minus_1 + 2)


def categorical_projection(atoms: Any, probabilities: Any, support: Any) -> Any:
    """Returns a distribution brought onto other atoms, Bellemare et al. 2017, equation 7.

    What lies between two atoms of the support is shared out to them, the more to the nearer one;
    what lies beyond goes to the last.

    Args:
        atoms: [B, M] float32, values.
        probabilities: [B, M] float32.
        support: [N] float32, rising values in equal steps.

    Returns:
        The probabilities of the support, [B, N] float32.
    """
    low, high = support[0], support[-1]
    step = (high - low) / (support.shape[0] - 1)
    atoms = ops.expand_dims(ops.clip(atoms, low, high), 1)  # [B, 1, M]
    distances = ops.abs(atoms - ops.reshape(support, (1, -1, 1))) / step  # [B, N, M]
    shares = ops.clip(1 - distances, 0, 1)
    return ops.sum(shares * ops.expand_dims(probabilities, 1), axis=-1)


def cross_entropy(probabilities: Any, log_estimates: Any) -> Any:
    """Returns -sum p log q, [B] float32, for two distributions [B, N]: p, and q by its logarithm.

    The loss of C51, Bellemare et al. 2017, algorithm 1.
    """
    return -ops.sum(probabilities * log_estimates, axis=-1)


def entropy(probabilities: Any) -> Any:
    """Returns -sum p log p, [B] float32, for distributions [B, N]."""
    # 0 log 0 counts as 0.
    return cross_entropy(probabilities, ops.log(ops.maximum(probabilities, 1e-30)))


def quantile_huber(estimates: Any, fractions: Any, targets: Any) -> Any:
    """Returns the quantile regression loss with Huber's bend at 1, Dabney et al. 2018a, eq. 10.

    Summed over the estimates and averaged over the targets, as there and in Dabney et al. 2018b
    (IQN), equation 3.

    Args:
        estimates: [B, N] float32, values of quantiles.
        fractions: [N] or [B, N] float32, which quantiles these are, from 0 to 1.
        targets: [B, M] float32, equally likely.

    Returns:
        [B] float32.
    """
    td_errors = ops.expand_dims(targets, 1) - ops.expand_dims(estimates, 2)  # [B, N, M]
    below = ops.cast(td_errors < 0, td_errors.dtype)
    weights = ops.abs(ops.expand_dims(fractions, -1) - below)
    return ops.sum(ops.mean(weights * huber(td_errors), axis=2), axis=1)


def huber(td_error: Any) -> Any:
    """Returns the loss of Huber 1964 with its bend at 1, of the shape that is given.

    Its gradient is the TD error clipped to [-1, 1], which Mnih et al. 2015 ask for in "Methods:
    Training algorithm for deep Q-networks".
    """
    size = ops.abs(td_error)
    linear = ops.maximum(size - 1, 0)
    return 0.5 * ops.square(size - linear) + linear


def log_cosh(td_error: Any) -> Any:
    """Returns log(cosh(x)): half the square of a small error, the size less log 2 of a large one.

    Written so that no error is too large for it.
    """
    size = ops.abs(td_error)
    return size + ops.softplus(-2 * size) - math.log(2)


LOSSES: dict[str, Callable[[Any], Any]] = {
    "huber": huber,
    "mse": ops.square,
    "log-cosh": log_cosh,
}
