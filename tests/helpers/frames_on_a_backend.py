"""Learns from frames on the device and from plain ones; prints whether all is the same, as JSON.

Run by a test as a process of its own, because a process has one backend.
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agent import Agent, make_agent
from replay.device_frames import DeviceFrames, states_at
from settings.config import Config
from system.devices import has_gpu
from tests.helpers.memories import a_memory
from tests.helpers.plays import random_play

if TYPE_CHECKING:
    from replay_memory import ReplayMemory

SHAPE, STREAMS, ROWS, BATCH = (44, 44), 2, 12, 8


def memory(on_device: bool) -> ReplayMemory:
    """Returns an empty memory."""
    return a_memory(
        ROWS * STREAMS, STREAMS, SHAPE, 4, 2, 0.9, codec="none", on_device=on_device
    )  # fmt: skip


def agent() -> Agent:
    """Returns an agent, the same each time."""
    config = Config(network="nips", batch_size=BATCH)
    return make_agent(config, (*SHAPE, 4), 18, np.random.default_rng(0))


def course(memory: ReplayMemory, steps: int, seed: int = 0) -> list[bytes]:
    """Returns the states that are drawn as a memory sees some steps."""
    seen = []
    for number, step in enumerate(
        islice(random_play(np.random.default_rng(seed), 2, SHAPE), steps)
    ):
        memory.append(*step)
        if memory.can_sample:
            batch = memory.sample(BATCH, np.random.default_rng(number))
            for states in (batch.s_tm1, batch.s_t):
                if batch.frames:
                    states = np.asarray(states_at(states, batch.frames.array))
                seen.append(states.tobytes())
    return seen


def learnt(memory: ReplayMemory, agent: Agent) -> list[np.ndarray]:
    """Returns weights after two calls that make two updates each, and the share of dead ReLUs."""
    for seed in range(2):
        batches = memory.sample(2 * BATCH, np.random.default_rng(seed))
        agent.learn(batches)
    share = agent.dead_relus(batches)
    return [*agent.online.get_weights(), np.array(share)]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    plain, device = memory(False), memory(True)
    found = {"states": course(plain, 30) == course(device, 30)}
    for name, each in (("plain", plain), ("device", device)):
        each.save(folder / name)
    found["files"] = (folder / "plain").read_bytes() == (folder / "device").read_bytes()
    again = memory(True)
    again.load(folder / "plain")
    found["goes on"] = course(again, 20, 1) == course(device, 20, 1) == course(plain, 20, 1)
    weights = learnt(plain, agent()), learnt(device, agent())
    found["weights"] = all(np.array_equal(*both) for both in zip(*weights, strict=True))
    try:
        DeviceFrames(10**9, 8, (84, 84))
    except MemoryError as error:
        found["error"] = str(error)
    found["gpu"], found["tensorflow"] = has_gpu(), "tensorflow" in sys.modules
    print(json.dumps(found))
