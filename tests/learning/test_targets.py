"""Targets and losses: by hand, and at random as rlax, DeepMind's own library, has them."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from learning import targets

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

BATCH, ACTIONS, ATOMS = 200, 6, 11
SUPPORT = np.linspace(-4, 4, ATOMS, dtype=np.float32)
seeds = pytest.mark.parametrize("seed", [0, 1, 2])


@pytest.fixture(scope="module")
def rlax() -> ModuleType:
    """Gives rlax, which takes seconds to load, where its tests run."""
    return importlib.import_module("rlax")


def random(seed: int, *shape: int, scale: float = 3.0) -> np.ndarray:
    """Returns BATCH arrays of normally distributed numbers, [B, *shape] float32."""
    return np.random.default_rng(seed).normal(0, scale, (BATCH, *shape)).astype(np.float32)


def random_actions(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(ACTIONS, size=BATCH).astype(np.int32)


def random_discounts(seed: int) -> np.ndarray:
    """Returns discounts, [B] float32, of which every fourth is that of an ended return."""
    return np.where(np.arange(BATCH) % 4 == 0, 0, abs(random(seed, scale=0.5))).astype(np.float32)


def random_probabilities(seed: int, *shape: int) -> np.ndarray:
    weights = np.exp(random(seed, *shape))
    return weights / weights.sum(axis=-1, keepdims=True)


def from_rlax(function: Callable, *arrays: np.ndarray, **fixed: Any) -> np.ndarray:
    """Returns what an rlax function makes of each item of a batch, in double precision."""
    import jax

    wide = [x.astype(np.float64) if x.dtype == np.float32 else x for x in arrays]
    with jax.enable_x64(True):
        return np.asarray(jax.vmap(functools.partial(function, **fixed))(*wide))


def everywhere(array: np.ndarray) -> np.ndarray:
    """Returns an array that all items of a batch share, for rlax, which wants it in each."""
    return np.broadcast_to(array, (BATCH, *array.shape))


def numbers(*values: Any) -> np.ndarray:
    return np.array(values, np.float32)


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- targets of values


def q_target(r_t: Any, discount_t: Any, q_t_chooses: Any, q_t_rates: Any) -> Any:
    """Returns the targets of deep Q-learning, put together from their parts, [B] float32."""
    value = targets.expected(q_t_rates, targets.greedy_policy(q_t_chooses))
    return targets.bootstrapped(r_t, discount_t, ops.expand_dims(value, 1))[:, 0]


def test_values_of_actions_are_picked_out() -> None:
    actions = np.array([2, 0], np.int32)
    q = numbers([1, 2, 3], [4, 5, 6])
    np.testing.assert_array_equal(targets.values_of(q, actions), [3, 4])
    atoms = np.stack([q, -q], axis=-1)
    np.testing.assert_array_equal(targets.values_of(atoms, actions), [[3, -3], [4, -4]])


def test_mean_under_a_policy_is_what_it_is_by_hand() -> None:
    policy = numbers([0.25, 0.75])
    np.testing.assert_allclose(targets.expected(numbers([1, 3]), policy), [2.5])
    atoms = numbers([[1, 0], [3, 4]])
    np.testing.assert_allclose(targets.expected(atoms, policy), [[2.5, 3]])


def test_greedy_policy_takes_the_best_action_and_one_of_equals() -> None:
    policy = targets.greedy_policy(numbers([1, 5, 2], [-3, -2, -9], [7, 7, 7]))
    np.testing.assert_array_equal(policy, [[0, 1, 0], [0, 1, 0], [1, 0, 0]])


def test_targets_are_what_they_are_by_hand() -> None:
    r_t, discount_t = numbers(0.5), numbers(0.5)
    online, target = numbers([2, 4]), numbers([6, 2])
    np.testing.assert_allclose(q_target(r_t, discount_t, target, target), [0.5 + 0.5 * 6])
    np.testing.assert_allclose(q_target(r_t, discount_t, online, target), [0.5 + 0.5 * 2])


def test_target_of_an_ended_return_is_its_reward() -> None:
    found = targets.bootstrapped(numbers(3, -0.5), numbers(0, 0), numbers([7, 8], [9, -9]))
    np.testing.assert_array_equal(found, [[3, 3], [-0.5, -0.5]])


@seeds
def test_q_learning_is_that_of_rlax(rlax: Any, seed: int) -> None:
    r_t, discount_t, q_t = random(seed), random_discounts(seed + 10), random(seed + 20, ACTIONS)
    nothing, a_tm1 = np.zeros_like(q_t), random_actions(seed)
    expected = from_rlax(rlax.q_learning, nothing, a_tm1, r_t, discount_t, q_t)
    assert_close(q_target(r_t, discount_t, q_t, q_t), expected)


@seeds
def test_double_q_learning_is_that_of_rlax(rlax: Any, seed: int) -> None:
    r_t, discount_t, a_tm1 = random(seed), random_discounts(seed + 10), random_actions(seed)
    online, target, q_tm1 = (random(seed + other, ACTIONS) for other in (20, 30, 40))
    expected = from_rlax(
        rlax.double_q_learning, q_tm1, a_tm1, r_t, discount_t, target, online
    )  # TD errors
    found = q_target(r_t, discount_t, online, target) - targets.values_of(q_tm1, a_tm1)
    assert_close(found, expected)


@seeds
def test_mean_under_a_policy_is_that_of_rlax(rlax: Any, seed: int) -> None:
    q_t, policy = random(seed, ACTIONS), random_probabilities(seed + 10, ACTIONS)
    nothing, a_tm1 = np.zeros_like(q_t), random_actions(seed)
    r_t, discount_t = np.zeros(BATCH, np.float32), np.ones(BATCH, np.float32)
    expected = from_rlax(rlax.expected_sarsa, nothing, a_tm1, r_t, discount_t, q_t, policy)
    assert_close(targets.expected(q_t, policy), expected)


# ---------------------------------------------------------------- Munchausen


def test_scaled_log_policy_is_what_it_is_by_hand() -> None:
    # Values 0 and ln 3 / 2 at a temperature of 1/2: probabilities of 1/4 and 3/4.
    found = targets.scaled_log_policy(numbers([0, np.log(3) / 2]), temperature=0.5)
    np.testing.assert_allclose(found, 0.5 * np.log([[0.25, 0.75]]), rtol=1e-5)


def test_munchausen_reward_is_what_it_is_by_hand() -> None:
    q_tm1 = numbers([0, np.log(3) / 2], [0, np.log(3) / 2], [0, 5])
    found = targets.munchausen_reward(q_tm1, np.array([0, 1, 0], np.int32), 0.5, 0.9, -1.0)
    # The last action is all but impossible: its logarithm of nearly -10 is cut off at -1.
    np.testing.assert_allclose(
        found, [0.9 * 0.5 * np.log(0.25), 0.9 * 0.5 * np.log(0.75), -0.9], rtol=1e-5
    )


@seeds
@pytest.mark.parametrize("temperature", [0.03, 1.0])
def test_log_policy_is_that_of_rlax(rlax: Any, seed: int, temperature: float) -> None:
    q_tm1, a_tm1 = random(seed, ACTIONS, scale=0.3), random_actions(seed)
    log_policy = from_rlax(rlax.softmax(temperature).logprob, a_tm1, q_tm1)
    found = targets.values_of(targets.scaled_log_policy(q_tm1, temperature), a_tm1)
    assert_close(found, temperature * log_policy)
    reward = targets.munchausen_reward(q_tm1, a_tm1, temperature)
    assert_close(reward, 0.9 * np.clip(temperature * log_policy, -1, 0))


@seeds
@pytest.mark.parametrize("temperature", [0.03, 1.0])
def test_soft_value_is_the_mean_value_and_the_entropy_that_rlax_has(
    rlax: Any, seed: int, temperature: float
) -> None:
    """The value that Munchausen DQN bootstraps from: sum of pi (q - tau log pi)."""
    q_t = random(seed, ACTIONS, scale=0.3)
    policy, entropy = (
        from_rlax(function, q_t)
        for function in (rlax.softmax(temperature).probs, rlax.softmax(temperature).entropy)
    )
    soft = q_t - targets.scaled_log_policy(q_t, temperature)
    found = targets.expected(soft, ops.softmax(q_t / temperature))
    assert_close(found, (policy * q_t).sum(axis=-1) + temperature * entropy)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=6))
def test_munchausen_reward_keeps_to_its_bounds(q: list[float]) -> None:
    rewards = targets.munchausen_reward(
        np.repeat(numbers(q), len(q), axis=0), np.arange(len(q), dtype=np.int32)
    )
    assert (np.asarray(rewards) >= -0.9 - 1e-6).all()
    assert (np.asarray(rewards) <= 0).all()


# ---------------------------------------------------------------- rescaled values


def test_rescaling_is_what_it_is_by_hand() -> None:
    np.testing.assert_allclose(
        targets.rescale(numbers(0, 3, -3, 8)), [0, 1.03, -1.03, 2.08], rtol=1e-6
    )
    np.testing.assert_allclose(targets.unscale(numbers(0, 1.03, -2.08)), [0, 3, -8], rtol=1e-6)


def test_rescaled_target_is_what_it_is_by_hand() -> None:
    # A value of h(3) stands for a return of 3; with a reward of 5 that makes 8.
    found = targets.bootstrapped(numbers(5), numbers(1), numbers([1.03]), rescaled=True)
    np.testing.assert_allclose(found, [[2.08]], rtol=1e-6)


@seeds
@pytest.mark.parametrize("epsilon", [1e-3, 1e-2])
def test_rescaling_and_its_inverse_are_those_of_rlax(rlax: Any, seed: int, epsilon: float) -> None:
    x = random(seed, scale=100) ** 3 / 1e4
    assert_close(targets.rescale(x, epsilon), from_rlax(rlax.signed_hyperbolic, x, eps=epsilon))
    assert_close(targets.unscale(x, epsilon), from_rlax(rlax.signed_parabolic, x, eps=epsilon))


@settings(deadline=None)
@given(st.floats(-1e6, 1e6, width=32))
def test_unscaling_undoes_rescaling(x: float) -> None:
    found = targets.unscale(targets.rescale(numbers(x)))
    np.testing.assert_allclose(found, [x], rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- distributions


@pytest.mark.parametrize(
    ("atom", "expected"),
    [
        (0.25, [0.75, 0.25, 0]),
        (1, [0, 1, 0]),
        (1.9, [0, 0.1, 0.9]),
        (-5, [1, 0, 0]),
        (7, [0, 0, 1]),
    ],
)
def test_projection_is_what_it_is_by_hand(atom: float, expected: list[float]) -> None:
    found = targets.categorical_projection(numbers([atom]), numbers([1]), numbers(0, 1, 2))
    np.testing.assert_allclose(found, [expected], rtol=1e-5, atol=1e-6)


def test_projection_adds_up_what_falls_on_one_atom() -> None:
    atoms, probabilities = numbers([0.5, 1, 3]), numbers([0.5, 0.3, 0.2])
    found = targets.categorical_projection(atoms, probabilities, numbers(0, 1, 2))
    np.testing.assert_allclose(found, [[0.25, 0.25 + 0.3, 0.2]], rtol=1e-6)


@seeds
def test_projection_is_that_of_rlax(rlax: Any, seed: int) -> None:
    atoms, probabilities = random(seed, 7), random_probabilities(seed + 10, 7)
    expected = from_rlax(rlax.categorical_l2_project, atoms, probabilities, everywhere(SUPPORT))
    assert_close(targets.categorical_projection(atoms, probabilities, SUPPORT), expected)


@settings(deadline=None)
@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=8), st.integers(0, 2**31))
def test_projection_keeps_all_probability_and_the_mean(atoms: list[float], seed: int) -> None:
    weights = np.random.default_rng(seed).random(len(atoms)) + 0.01
    probabilities = numbers(weights / weights.sum())
    found = targets.categorical_projection(numbers(atoms), probabilities, SUPPORT)
    assert float(np.sum(found)) == pytest.approx(1, abs=1e-5)
    mean = float((numbers(atoms) * probabilities).sum())
    assert float(np.sum(found * SUPPORT)) == pytest.approx(mean, abs=1e-5)


def test_cross_entropy_and_entropy_are_what_they_are_by_hand() -> None:
    even, sure = numbers([0.5, 0.5]), numbers([1, 0])
    uneven = np.log(numbers([0.25, 0.75]))
    np.testing.assert_allclose(
        targets.cross_entropy(even, uneven), [-(np.log(0.25) + np.log(0.75)) / 2], rtol=1e-6
    )
    np.testing.assert_allclose(targets.entropy(even), [np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(targets.entropy(sure), [0], atol=1e-6)


@seeds
def test_entropy_is_that_of_rlax(rlax: Any, seed: int) -> None:
    logits = random(seed, ATOMS)
    expected = from_rlax(rlax.softmax().entropy, logits)
    assert_close(targets.entropy(ops.softmax(logits)), expected)


@seeds
def test_categorical_q_learning_is_that_of_rlax(rlax: Any, seed: int) -> None:
    """The loss of C51, put together from its parts."""
    r_t, discount_t, a_tm1 = random(seed), random_discounts(seed + 10), random_actions(seed)
    logits_tm1, logits_t = (random(seed + other, ACTIONS, ATOMS) for other in (20, 30))
    chooses = random(seed + 40, ACTIONS)
    expected = from_rlax(
        rlax.categorical_double_q_learning,
        everywhere(SUPPORT), logits_tm1, a_tm1, r_t, discount_t,
        everywhere(SUPPORT), logits_t, chooses,
    )  # fmt: skip
    probabilities = targets.expected(ops.softmax(logits_t), targets.greedy_policy(chooses))
    atoms = targets.bootstrapped(r_t, discount_t, everywhere(SUPPORT))
    target = targets.categorical_projection(atoms, probabilities, SUPPORT)
    estimates = ops.log_softmax(targets.values_of(logits_tm1, a_tm1))
    assert_close(targets.cross_entropy(target, estimates), expected)


def test_quantile_loss_is_what_it_is_by_hand() -> None:
    # Estimates 0 and 1 of the quantiles 0.1 and 0.4, and returns of 3 and -2. TD errors 3 and -2,
    # 2 and -3; Huber 2.5 and 1.5, 1.5 and 2.5; weights 0.1 and 0.9, 0.4 and 0.6.
    found = targets.quantile_huber(numbers([0, 1]), numbers(0.1, 0.4), numbers([3, -2]))
    expected = (0.1 * 2.5 + 0.9 * 1.5) / 2 + (0.4 * 1.5 + 0.6 * 2.5) / 2
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


@seeds
@pytest.mark.parametrize("shared", [True, False])
def test_quantile_loss_is_that_of_rlax(rlax: Any, seed: int, shared: bool) -> None:
    """With the same fractions for all, as in QR-DQN, and with each its own, as in IQN."""
    estimates, returns = random(seed, 5), random(seed + 10, 9)
    each = np.random.default_rng(seed).random((BATCH, 5)).astype(np.float32)
    fractions = each[0] if shared else each
    expected = from_rlax(
        rlax.quantile_regression_loss,
        estimates, everywhere(fractions) if shared else fractions, returns, huber_param=1.0,
    )  # fmt: skip
    assert_close(targets.quantile_huber(estimates, fractions, returns), expected)


@seeds
def test_quantile_q_learning_is_that_of_rlax(rlax: Any, seed: int) -> None:
    """The loss of QR-DQN with Double DQN, put together from its parts."""
    r_t, discount_t, a_tm1 = random(seed), random_discounts(seed + 10), random_actions(seed)
    tm1, chooses, rates = (random(seed + other, ACTIONS, ATOMS) for other in (20, 30, 40))
    fractions = (np.arange(ATOMS, dtype=np.float32) + 0.5) / ATOMS
    expected = from_rlax(
        rlax.quantile_q_learning,
        tm1.swapaxes(1, 2), everywhere(fractions), a_tm1, r_t, discount_t,
        chooses.swapaxes(1, 2), rates.swapaxes(1, 2), huber_param=1.0,
    )  # fmt: skip
    policy = targets.greedy_policy(ops.mean(chooses, axis=-1))
    returns = targets.bootstrapped(r_t, discount_t, targets.expected(rates, policy))
    found = targets.quantile_huber(targets.values_of(tm1, a_tm1), fractions, returns)
    assert_close(found, expected)


# ---------------------------------------------------------------- losses of TD errors


def test_huber_is_square_below_one_and_straight_above() -> None:
    loss = targets.huber(numbers(-3, -1, -0.5, 0, 0.5, 1, 3))
    np.testing.assert_allclose(loss, [2.5, 0.5, 0.125, 0, 0.125, 0.5, 2.5])


@seeds
def test_huber_is_that_of_rlax(rlax: Any, seed: int) -> None:
    td_errors = random(seed)
    assert_close(targets.huber(td_errors), from_rlax(rlax.huber_loss, td_errors))


def test_log_cosh_is_what_it_is_and_no_error_is_too_large_for_it() -> None:
    found = targets.log_cosh(numbers(0, 1, -1, 1e4, -1e4))
    near, far = np.log(np.cosh(1)), 1e4 - np.log(2)
    np.testing.assert_allclose(found, [0, near, near, far, far], rtol=1e-6, atol=1e-6)


@settings(deadline=None)
@given(st.floats(-100, 100, width=32))
def test_log_cosh_is_the_logarithm_of_the_hyperbolic_cosine(td_error: float) -> None:
    expected = np.log(np.cosh(np.float64(td_error)))
    np.testing.assert_allclose(targets.log_cosh(numbers(td_error)), [expected], 1e-6, 1e-6)


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        ("huber", lambda x: np.clip(x, -1, 1)),
        ("mse", lambda x: 2 * x),
        ("log-cosh", np.tanh),
    ],
)
def test_gradients_of_losses_are_what_they_are_by_hand(loss: str, gradient: Callable) -> None:
    td_errors = numbers(-1e4, -3, -1, -0.5, 0, 1e-3, 0.5, 1, 3, 1e4)
    variable = tf.Variable(td_errors)
    with tf.GradientTape() as tape:
        total = ops.sum(targets.LOSSES[loss](variable))
    np.testing.assert_allclose(
        tape.gradient(total, variable), gradient(td_errors), rtol=1e-5, atol=1e-7
    )
