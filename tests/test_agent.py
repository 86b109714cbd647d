"""The agent: its update by hand, on two backends, and what it does with weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest

import agent as agents
from agent import Agent
from learning.compiled import Models, compiled_calls
from learning.distributions import Mean
from learning.learner import Actor, Algorithm, Learner
from learning.targets import huber
from replay.batch import ALIGNMENT, Batch, empty_batch
from settings.config import Config
from settings.presets import PLAIN
from system.root import ROOT
from tests.helpers import update_on_a_backend

if TYPE_CHECKING:
    from pathlib import Path

HELPERS = ROOT / "tests" / "helpers"


def tiny_network(weights: list[float]) -> keras.Model:
    """Returns Q(s, a) = weights[a] × s, small enough to work out by hand."""
    network = keras.Sequential(
        [
            keras.Input((1, 1, 1), name="states"),
            keras.layers.Flatten(),
            keras.layers.Dense(2, use_bias=False),
        ]
    )
    network.set_weights([np.array([weights])])
    return network


def tiny_update(
    double: bool, weights: tuple[float, float] = (1, 1)
) -> tuple[Learner, dict[str, np.ndarray]]:
    """Makes one step of gradient descent (rate 0.1) on two transitions; returns what it found.

    First:  s = 1, q = [1, 2], a = 0, r = 0.5, goes on (discount 0.5) to s' = 2, where the online
            network has [2, 4] and the target network [6, 2].
    Second: s = 2, q = [2, 4], a = 1, r = -1, and the return ends.
    """
    algorithm = Algorithm(Mean(huber), double=double)
    learner = Learner(tiny_network([1, 2]), tiny_network([3, 1]), algorithm)
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(learner.trainable_variables)
    actor = Actor(learner.online, algorithm.distribution, 0, noisy=False)
    calls = compiled_calls(Models(learner, optimizer, actor, actor, None))
    found = calls.update(
        {
            "s_tm1": np.array([1, 2], np.float32).reshape(1, 2, 1, 1, 1),
            "a_tm1": np.array([[0, 1]], np.int32),
            "r_t": np.array([[0.5, -1]], np.float32),
            "discount_t": np.array([[0.5, 0]], np.float32),
            "s_t": np.array([2, 9], np.float32).reshape(1, 2, 1, 1, 1),
            "weights": np.array([weights], np.float32),
        },
        None,
    )()
    return learner, {name: each[0] for name, each in found.items()}


def test_double_dqn_update_is_what_it_is_by_hand() -> None:
    learner, found = tiny_update(double=True)
    # Targets 0.5 + 0.5·2 = 1.5 (the target network's value of the online network's action) and -1;
    # TD errors 0.5 and -5; Huber 0.125 and 4.5; gradients -0.5·1 and, clipped, 1·2, halved.
    np.testing.assert_allclose(found["td_errors"], [0.5, 5])
    assert found["loss"] == pytest.approx((0.125 + 4.5) / 2)
    np.testing.assert_allclose(learner.online.get_weights()[0], [[1.025, 1.9]], rtol=1e-6)
    # The first target leaves action 1 the best, the second makes action 0 the best; Q is 1 and 4.
    assert found["accuracy"] == 0.5
    assert found["mean_q"] == 2.5


def test_plain_dqn_update_is_what_it_is_by_hand() -> None:
    learner, found = tiny_update(double=False)
    # Target 0.5 + 0.5·6 = 3.5, TD error 2.5, Huber 2; clipped gradient -1·1, halved.
    np.testing.assert_allclose(found["td_errors"], [2.5, 5])
    assert found["loss"] == pytest.approx((2 + 4.5) / 2)
    np.testing.assert_allclose(learner.online.get_weights()[0], [[1.05, 1.9]], rtol=1e-6)


def tiny_batch() -> dict[str, np.ndarray]:
    """Returns two transitions without rewards, in which the returns end: s = 1 and 5, a = 0."""
    states = np.array([1, 5], np.float32).reshape(2, 1, 1, 1)
    return {
        "s_tm1": states,
        "a_tm1": np.array([0, 0], np.int32),
        "r_t": np.zeros(2, np.float32),
        "discount_t": np.zeros(2, np.float32),
        "s_t": states,
        "weights": np.ones(2, np.float32),
    }


def test_spread_is_that_over_the_states_of_each_action() -> None:
    learner = Learner(tiny_network([1, -2]), tiny_network([3, 1]), Algorithm(Mean(huber)))
    # Q of the first action is 1 and 5, of the second -2 and -10: deviations of 2 and 4.
    assert float(learner(tiny_batch())["q_spread"]) == pytest.approx(3)


def test_loss_leaves_both_networks_as_they_are() -> None:
    algorithm = Algorithm(Mean(huber), target_averaging=0.5)
    learner = Learner(tiny_network([1, -2]), tiny_network([3, 1]), algorithm)
    learner(tiny_batch())
    np.testing.assert_array_equal(learner.online.get_weights()[0], [[1, -2]])
    np.testing.assert_array_equal(learner.target.get_weights()[0], [[3, 1]])


def test_importance_weights_weigh_loss_and_gradient_but_not_the_td_errors() -> None:
    learner, found = tiny_update(double=True, weights=(2, 0))
    np.testing.assert_allclose(found["td_errors"], [0.5, 5])
    assert found["loss"] == pytest.approx(0.125)
    np.testing.assert_allclose(learner.online.get_weights()[0], [[1.05, 2]], rtol=1e-6)


def test_an_update_leaves_the_target_network_alone() -> None:
    learner, _ = tiny_update(double=True)
    np.testing.assert_array_equal(learner.target.get_weights()[0], [[3, 1]])


def test_update_is_the_same_on_tensorflow_and_jax(tmp_path: Path) -> None:
    results = {"tensorflow": update_on_a_backend.results(tmp_path)}
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # compiling takes longer than running
    command = [sys.executable, HELPERS / "update_on_a_backend.py", tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    results["jax"] = json.loads(done.stdout)
    assert not results["jax"]["tensorflow"]
    for backend in results:
        # Updates joined in one call are those made one by one, to the last bit.
        assert results[backend]["joins"], backend
        for algorithm, found in results[backend]["same"].items():
            assert found["resumes"], (backend, algorithm)
            # The second of three updates has a learning rate of 0.
            assert found["changes"] == [True, False, True], (backend, algorithm)
    for algorithm, expected in results["tensorflow"]["same"].items():
        for name, values in expected.items():
            found = results["jax"]["same"][algorithm][name]
            np.testing.assert_allclose(found, values, atol=1e-4, err_msg=f"{algorithm} {name}")


def make_agent(seed: int = 0, **settings: Any) -> Agent:
    # Normalised without biases, a room would look like every other that is as bright everywhere.
    config = Config(**{**PLAIN, "learning_rate": 1e-3, "batch_size": 16, **settings})
    return agents.make_agent(config, (84, 84, 4), 3, np.random.default_rng(seed))


def some_states(count: int) -> np.ndarray:
    return np.random.default_rng(9).integers(256, size=(count, 84, 84, 4), dtype=np.uint8)


def test_epsilon_zero_takes_the_best_action_everywhere() -> None:
    agent, states = make_agent(), some_states(6)
    np.testing.assert_array_equal(agent.act(states, 0.0), agent.values(states).argmax(axis=1))


def test_epsilon_is_the_share_of_random_actions() -> None:
    agent, states = make_agent(), some_states(1).repeat(64, axis=0)
    best = agent.values(states[:1]).argmax()
    others = np.mean([(agent.act(states, 0.6) != best).mean() for _ in range(40)])
    # A random action is the best one in a third of cases.
    assert others == pytest.approx(0.6 * 2 / 3, abs=0.04)
    every = np.concatenate([agent.act(states, 1.0) for _ in range(10)])
    assert np.bincount(every, minlength=3).min() > 640 / 3 * 0.75


def test_same_seed_same_agent() -> None:
    states = some_states(2)
    first, second, other = make_agent(1), make_agent(1), make_agent(2)
    np.testing.assert_array_equal(first.values(states), second.values(states))
    assert not np.allclose(first.values(states), other.values(states))
    np.testing.assert_array_equal(first.act(states, 0.5), second.act(states, 0.5))


def two_rooms(rng: np.random.Generator) -> Batch:
    """Returns a batch from a task with a known answer.

    In a dark room action 0 leads to a bright one without reward; there action 1 gives 1 and ends
    the game. All else ends it with nothing. So Q is [0.5, 0, 0] in the dark and [0, 1, 0] in the
    light, for a discount of 0.5.
    """
    bright = rng.random(16) < 0.5
    actions = rng.integers(3, size=16).astype(np.int32)
    states = np.where(bright[:, None, None, None], 200, 20) * np.ones((16, 84, 84, 4))
    goes_on = ~bright & (actions == 0)
    return Batch(
        s_tm1=states.astype(np.uint8),
        a_tm1=actions,
        r_t=(bright & (actions == 1)).astype(np.float32),
        discount_t=np.where(goes_on, 0.5, 0).astype(np.float32),
        s_t=np.full((16, 84, 84, 4), 200, np.uint8),
        indices=np.arange(16),
        weights=np.ones(16, np.float32),
    )


def test_it_learns_values_that_are_known() -> None:
    agent, rng = make_agent(), np.random.default_rng(0)
    for update in range(400):
        agent.learn(two_rooms(rng))
        if update % 20 == 0:
            agent.copy_to_target()
    rooms = np.ones((2, 84, 84, 4), np.uint8) * np.array([20, 200], np.uint8)[:, None, None, None]
    np.testing.assert_allclose(agent.values(rooms), [[0.5, 0, 0], [0, 1, 0]], atol=0.1)


def test_loaded_weights_decide_and_are_what_is_learnt_from(tmp_path: Path) -> None:
    trained, fresh = make_agent(1), make_agent(2)
    for _ in range(3):
        trained.learn(two_rooms(np.random.default_rng(0)))
    trained.copy_to_target()
    trained.save_weights(tmp_path / "weights.h5")
    fresh.load_weights(tmp_path / "weights.h5")
    states = some_states(4)
    np.testing.assert_array_equal(fresh.values(states), trained.values(states))
    # Only if the target network has them too is the next update the same.
    batch = two_rooms(np.random.default_rng(1))
    np.testing.assert_allclose(fresh.learn(batch)[0].td_errors, trained.learn(batch)[0].td_errors)


def test_copying_makes_the_target_network_the_online_one() -> None:
    agent, batch = make_agent(), two_rooms(np.random.default_rng(0))
    first = agent.learn(batch)[0].td_errors
    for _ in range(30):
        agent.learn(batch)
    agent.copy_to_target()
    values = agent.values(batch.s_t)
    expected = batch.r_t + batch.discount_t * values.max(axis=1)
    taken = agent.values(batch.s_tm1)[np.arange(16), batch.a_tm1]
    found = agent.learn(batch)[0].td_errors
    np.testing.assert_allclose(found, np.abs(expected - taken), atol=1e-5)
    assert not np.allclose(found, first)


def misaligned(array: np.ndarray) -> np.ndarray:
    """Returns a copy that starts one element behind where TensorFlow asks arrays to start."""
    room = np.empty(array.nbytes + 2 * ALIGNMENT, np.uint8)
    first = -room.ctypes.data % ALIGNMENT + array.itemsize
    copy = room[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[:] = array
    return copy


def test_a_batch_can_be_learnt_from_where_it_lies_or_copied() -> None:
    # Tensors can have the memory of arrays that start at such places.
    arrays = empty_batch(16, (84, 84, 4))
    assert not any(array.ctypes.data % ALIGNMENT for array in arrays.arrays.values())
    batch = two_rooms(np.random.default_rng(0))
    for name, array in arrays.arrays.items():
        array[:] = batch.arrays[name]
    shifted = Batch(*map(misaligned, batch.arrays.values()))
    assert all(array.ctypes.data % ALIGNMENT for array in shifted.arrays.values())
    found = [[make_agent().learn(each)[0].loss for _ in range(2)] for each in (arrays, shifted)]
    assert found[0] == found[1]


def test_averaging_moves_the_target_network_with_each_update() -> None:
    agent, batch = make_agent(target_averaging=0.25), two_rooms(np.random.default_rng(0))
    agent.learn(batch)
    online, target = agent.online.get_weights(), agent.learner.target.get_weights()
    agent.learn(batch)
    for before, aim, after in zip(target, online, agent.learner.target.get_weights(), strict=True):
        np.testing.assert_allclose(after, before + 0.25 * (aim - before), atol=1e-7)


def test_noise_explores_and_a_played_game_has_none() -> None:
    agent, same = make_agent(noisy=True), some_states(1).repeat(64, axis=0)
    explored = agent.act(same, 0.0, explore=True)
    assert len(set(explored)) > 1  # each state has noise of its own
    assert not np.array_equal(explored, agent.act(same, 0.0, explore=True))
    assert set(agent.act(same, 0.0)) == {agent.values(same[:1]).argmax()}


def test_clipped_gradients_are_no_longer_than_asked() -> None:
    steps = []
    for clip in (0.0, 1e-3):
        # The step of plain RMSProp that keeps nothing and hardly divides is the gradient's own.
        agent = make_agent(
            optimizer="rmsprop", rmsprop_decay=0.999999, optimizer_epsilon=1.0, gradient_clip=clip,
            learning_rate=1.0,
        )  # fmt: skip
        before = agent.online.get_weights()
        agent.learn(two_rooms(np.random.default_rng(0)))
        moves = [new - old for new, old in zip(agent.online.get_weights(), before, strict=True)]
        steps.append(np.sqrt(sum((move**2).sum() for move in moves)))
    assert steps[0] > 1e-2
    assert steps[1] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("distribution", ["c51", "qr", "iqn"])
def test_values_are_the_means_of_the_distributions(distribution: str) -> None:
    agent, states = make_agent(distribution=distribution, atoms=11, value_range=5.0), some_states(2)
    if distribution == "iqn":
        fractions = np.tile((np.arange(32, dtype=np.float32) + 0.5) / 32, (2, 1))
        expected = np.mean(agent.online({"states": states, "fractions": fractions}), axis=-1)
    else:
        outputs = np.array(agent.online(states))
        chances = np.exp(outputs) / np.exp(outputs).sum(axis=-1, keepdims=True)
        c51 = (chances * np.linspace(-5, 5, 11)).sum(axis=-1)
        expected = c51 if distribution == "c51" else outputs.mean(axis=-1)
    np.testing.assert_allclose(agent.values(states), expected, rtol=1e-4, atol=1e-5)
