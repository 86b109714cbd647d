"""Learns from frames on the device and from plain ones; prints whether all is the same, as JSON.

Run by a test as a process of its own, because a process has one backend.
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent import Agent, Updates, make_agent
from replay.device_frames import DeviceFrames, states_at
from settings.config import Config
from system.devices import has_gpu
from tests.helpers.memories import a_memory
from tests.helpers.plays import random_play
from tests.helpers.stacks import differences
from training.restoring import state_of
from training.run import assemble

if TYPE_CHECKING:
    from replay.batch import Batch
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


class WaitingAgent(Agent):
    """An agent that goes on only when its updates are made."""

    def learn(self, batches: Batch) -> Updates:
        """Makes updates; see `Agent.learn`."""
        made = super().learn(batches)
        made.wait()
        return made


def run(on_device: bool, waits: bool) -> list[Any]:
    """Returns what a short run has learnt, with several calls in a turn, and its newest loss."""
    config = Config(
        environment="Breakout-v0",
        envs=2,
        network="nips",
        memory_size=200,
        memory_on_device=on_device,
        pretrain_transitions=60,
        steps=12,
        batch_size=BATCH,
        train_every=1,
        updates=8,
        target_update_period=5,
        epsilon_end=0.5,
        explore_steps=12,
        seed=3,
    )
    trainer = assemble(config)
    if waits:
        trainer.agent.__class__ = WaitingAgent
    for _ in trainer.pretrain():
        pass
    for _ in trainer.train():
        pass
    trainer.close()
    arrays = state_of(trainer).arrays
    return [trainer.learning.loss, {name: array.tobytes() for name, array in arrays.items()}]


def weights_are_at_hand() -> bool:
    """Returns whether weights can be read and changed between two calls, and calls take them."""
    changed, batch = agent(), memory(True)
    for step in islice(random_play(np.random.default_rng(0), 2, SHAPE), 30):
        batch.append(*step)
    before = changed.online.get_weights()
    changed.learn(batch.sample(BATCH, np.random.default_rng(0)))
    after = changed.online.get_weights()
    states = np.ones((1, *SHAPE, 4), np.uint8)
    values = changed.values(states)
    changed.online.set_weights([np.zeros_like(array) for array in after])
    zeros = changed.values(states)
    changed.online.set_weights(after)
    is_trained = any((ours != theirs).any() for ours, theirs in zip(before, after, strict=True))
    return is_trained and not zeros.any() and (changed.values(states) == values).all().item()


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
    found["stacks"] = differences(1, 4) + differences(3, 4)
    weights = learnt(plain, agent()), learnt(device, agent())
    found["weights"] = all(np.array_equal(*both) for both in zip(*weights, strict=True))
    overlapped = run(on_device=False, waits=False)
    found["overlaps"] = run(on_device=False, waits=True) == overlapped
    found["overlaps on the device"] = run(on_device=True, waits=False) == overlapped
    found["at hand"] = weights_are_at_hand()
    try:
        DeviceFrames(10**9, 8, (84, 84))
    except MemoryError as error:
        found["error"] = str(error)
    found["gpu"], found["tensorflow"] = has_gpu(), "tensorflow" in sys.modules
    print(json.dumps(found))
