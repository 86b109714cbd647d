"""Makes updates on the backend that KERAS_BACKEND names, and prints what they gave as JSON.

A process has one backend, so a test of another runs this as a process of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from agent import Agent, make_agent
from learning.compiled import JaxCalls
from replay.batch import Batch
from settings.config import Config

SIZE = 36
# By name: the same on every backend.
SAME = {
    "c51": {"double": True, "distribution": "c51", "dueling": True, "gradient_clip": 0.1,
            "value_rescaling": True},
    "the rest": {"distribution": "qr", "atoms": 20, "munchausen": True, "target_averaging": 0.3,
                 "optimizer": "rmsprop", "rmsprop_centered": True, "normalization": "spectral"},
}  # fmt: skip
# Each backend has random numbers of its own.
NOISY = {"distribution": "iqn", "atoms": 8, "noisy": True}


def a_batch(size: int) -> Batch:
    """Returns so many transitions, the same each time."""
    rng = np.random.default_rng(5)
    return Batch(
        s_tm1=rng.integers(256, size=(size, SIZE, SIZE, 4), dtype=np.uint8),
        a_tm1=rng.integers(4, size=size).astype(np.int32),
        r_t=rng.normal(size=size).astype(np.float32),
        discount_t=np.array([0, 0.97] * (size // 2), np.float32),
        s_t=rng.integers(256, size=(size, SIZE, SIZE, 4), dtype=np.uint8),
        indices=np.arange(size),
        weights=np.linspace(0.5, 1.5, size, dtype=np.float32),
    )


def updates(weights: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Makes three updates from given weights on a fixed batch; returns what they found.

    The second has a learning rate of 0.
    """
    rng = np.random.default_rng(5)
    common = {"network": "nips", "learning_rate": 1e-3, "batch_size": 8, "double": False}
    config = Config(**{**common, **settings})
    agent = make_agent(config, (SIZE, SIZE, 4), 4, rng)
    if not weights.exists():
        agent.save_weights(weights)
    agent.load_weights(weights)
    batch = a_batch(8)
    made, changes = [], []
    for rate in (1e-3, 0.0, 2e-3):
        agent.set_learning_rate(rate)
        before = trained(agent)
        made.append(agent.learn(batch)[0])
        changes.append(trained(agent) != before)
    state = agent.get_state()
    first_course = course(agent, batch)
    agent.set_state(state)
    second_course = course(agent, batch)
    agent.set_state(state)
    return {
        "changes": changes,
        "resumes": first_course == second_course,
        "actions": agent.act(batch.s_t, 0.0, explore=True).tolist(),
        "losses": [update.loss for update in made],
        "td_errors": [update.td_errors.tolist() for update in made],
        "mean_q": [update.mean_q for update in made],
        "q_spread": [update.q_spread for update in made],
        "dead_relus": agent.dead_relus(batch),
        "values": agent.values(batch.s_tm1).tolist(),
    }


def trained(agent: Agent) -> list[Any]:
    """Returns the weights that updates change."""
    weights = agent.online.trainable_weights
    return [keras.ops.convert_to_numpy(weight).tolist() for weight in weights]


def joins(settings: dict[str, Any]) -> bool:
    """Returns whether two updates made in one call are those made one by one, to the last bit.

    They are made from one state, so it also tells whether that is all that they depend on.
    """
    batches = a_batch(16)
    config = Config(network="nips", batch_size=8, **settings)
    agent = make_agent(config, (SIZE, SIZE, 4), 4, np.random.default_rng(6))
    if keras.backend.backend() == "jax":
        # As on a GPU.
        assert isinstance(agent.calls, JaxCalls)
        agent.calls = JaxCalls(agent.calls.models, joined=True)
    first_state = agent.get_state()
    states, found = [], []
    for size in (8, 16):
        agent.set_state(first_state)
        actions = agent.act(batches.s_t, 0.3, explore=True)
        made = [agent.learn(batches.rows(first, first + size)) for first in range(0, 16, size)]
        found.append(
            [actions.tolist(), *(np.hstack(one).tolist() for call in made for one in call)]
        )
        states.append({name: array.tolist() for name, array in agent.get_state()[1].items()})
    return found[0] == found[1] and states[0] == states[1]


def course(agent: Agent, batch: Batch) -> list[Any]:
    """Returns what an agent does next; it is changed by that."""
    did: list[Any] = []
    for _ in range(2):
        did.append(agent.act(batch.s_t, 0.3, explore=True).tolist())
        did.append([np.asarray(value).tolist() for value in agent.learn(batch)[0]])
    return did


def results(folder: Path) -> dict[str, Any]:
    """Returns what all updates give, from the weights in a folder; writes those that it lacks."""
    same = {name: updates(folder / name, settings) for name, settings in SAME.items()}
    return {"same": same, "joins": joins(NOISY)}


if __name__ == "__main__":
    print(json.dumps({**results(Path(sys.argv[1])), "tensorflow": "tensorflow" in sys.modules}))
