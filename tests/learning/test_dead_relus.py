"""Dead ReLUs, by hand and in every network."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from agent import Agent, make_agent
from learning.dead_relus import DeadReLUs, relus_of
from replay.batch import Batch, empty_batch
from settings.config import Config


def share_of(network: keras.Model, states: np.ndarray) -> float:
    return float(DeadReLUs(network)(states))


def test_share_is_what_it_is_by_hand() -> None:
    """States of one pixel x: relu(x), relu(-x), relu(1 - x), relu(x - 2); then a dense ReLU."""
    states = keras.Input((1,), dtype="uint8", name="states")
    hidden = layers.Dense(4)(layers.Rescaling(1.0)(states))
    hidden = layers.Activation("relu")(hidden)
    hidden = layers.ReLU()(layers.Dense(1)(hidden))
    network = keras.Model(states, layers.Dense(2)(hidden))
    first = [np.array([[1.0, -1, -1, 1]]), np.array([0.0, 0, 1, -2])]
    second = [np.array([[1.0], [0], [0], [0]]), np.array([-1.0])]  # relu(x - 1) of x > 0
    network.set_weights([*first, *second, np.ones((1, 2)), np.zeros(2)])
    pixels = np.array([[0], [1], [2], [3]], np.uint8)
    # relu(-x) is 0 everywhere; all others are more somewhere.
    assert share_of(network, pixels) == pytest.approx(1 / 5)
    # At 0 there is relu(1 - x) alone.
    assert share_of(network, pixels[:1]) == pytest.approx(4 / 5)
    # Of 2 and 3, relu(1 - x) gives 0 too.
    assert share_of(network, pixels[2:]) == pytest.approx(2 / 5)


def test_a_filter_is_dead_only_where_it_is_so_at_every_place_of_every_state() -> None:
    states = keras.Input((2, 2, 1), name="states")
    hidden = layers.Conv2D(3, 1, activation="relu")(states)
    network = keras.Model(states, layers.Dense(2)(layers.Flatten()(hidden)))
    _, _, *rest = network.get_weights()
    # relu(x), relu(x - 4) and relu(x - 9).
    network.set_weights([np.ones((1, 1, 1, 3)), np.array([0.0, -4, -9]), *rest])
    pixels = np.zeros((3, 2, 2, 1), np.float32)
    assert share_of(network, pixels) == 1
    pixels[2, 1, 0] = 5
    assert share_of(network, pixels) == pytest.approx(1 / 3)


KINDS: dict[str, tuple[dict[str, Any], int]] = {
    "nips": ({}, 16 + 32 + 256),
    "nature, wide": ({"network": "nature", "network_width": 2}, 2 * (32 + 64 + 64) + 512),
    # The ReLU before each of 12 convolutions, that after all, and the dense layer.
    "impala": ({"network": "impala"}, 4 * 16 + 4 * 32 + 4 * 32 + 32 + 256),
    "dueling": ({"dueling": True}, 16 + 32 + 2 * 256),
    "noisy": ({"noisy": True}, 16 + 32 + 256),
    # Of 84×84 frames the features are 9·9·32, and so are those of an embedding.
    "quantiles": ({"distribution": "iqn"}, 16 + 32 + 9 * 9 * 32 + 256),
    "linear hidden layer": ({"hidden_activation": "linear"}, 16 + 32),
}


def an_agent(**settings: Any) -> Agent:
    config = Config(**{"network": "nips", "batch_size": 4, **settings})
    return make_agent(config, (84, 84, 4), 3, np.random.default_rng(0))


def batches_of(states: np.ndarray) -> Batch:
    batch = empty_batch(len(states), (84, 84, 4))
    batch.s_tm1[:] = states
    return batch


@pytest.mark.parametrize(("settings", "units"), KINDS.values(), ids=KINDS)
def test_every_network_has_its_units_counted(settings: dict[str, Any], units: int) -> None:
    agent = an_agent(**settings)
    assert sum(layer.output.shape[-1] for layer in relus_of(agent.online)) == units
    states = np.random.default_rng(1).integers(256, size=(8, 84, 84, 4), dtype=np.uint8)
    share = agent.dead_relus(batches_of(states))
    assert share is not None
    assert 0 <= share < 1
    # Of the second batch nothing is looked at.
    states[4:] = 0
    assert agent.dead_relus(batches_of(states)) == share
    # Zero weights give zeros.
    agent.online.set_weights([np.zeros_like(each) for each in agent.online.get_weights()])
    assert agent.dead_relus(batches_of(states)) == 1


def test_looking_draws_no_random_numbers() -> None:
    agent = an_agent(noisy=True, distribution="iqn")
    before = agent.get_state()
    agent.dead_relus(batches_of(np.zeros((4, 84, 84, 4), np.uint8)))
    after = agent.get_state()
    assert before[0] == after[0]
    for name, array in before[1].items():
        np.testing.assert_array_equal(array, after[1][name])
