"""Makes updates on the backend that KERAS_BACKEND names, and prints what came out as JSON.

Run by a test as a process of its own, because a process has one backend.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from agent import Agent
from batch import Batch


def updates(weights: Path, double: bool) -> dict[str, list]:
    """Makes three updates from given weights on a fixed batch; returns what they found."""
    rng = np.random.default_rng(5)
    agent = Agent(
        (84, 84, 4), 4, network="nips", learning_rate=1e-3, double=double, batch_size=8, rng=rng
    )
    if not weights.exists():
        agent.save_weights(weights)
    agent.load_weights(weights)
    batch = Batch(
        s_tm1=rng.integers(256, size=(8, 84, 84, 4), dtype=np.uint8),
        a_tm1=rng.integers(4, size=8).astype(np.int32),
        r_t=rng.normal(size=8).astype(np.float32),
        discount_t=np.array([0, 0.97] * 4, np.float32),
        s_t=rng.integers(256, size=(8, 84, 84, 4), dtype=np.uint8),
        indices=np.arange(8),
        weights=np.linspace(0.5, 1.5, 8, dtype=np.float32),
    )
    made = [agent.learn(batch) for _ in range(3)]
    return {
        "losses": [update.loss for update in made],
        "td_errors": [update.td_errors.tolist() for update in made],
        "mean_q": [update.mean_q for update in made],
        "values": agent.values(batch.s_tm1).tolist(),
    }


if __name__ == "__main__":
    file = Path(sys.argv[1])
    found = {"double": updates(file, double=True), "plain": updates(file, double=False)}
    print(json.dumps(found | {"tensorflow": "tensorflow" in sys.modules}))
