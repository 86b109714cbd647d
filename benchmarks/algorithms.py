"""Measures one update of each option and of each preset, relative to plain DQN.

    python3 -m benchmarks.algorithms
    python3 -m benchmarks.algorithms --only "--preset rainbow" --rounds 5
    python3 -m benchmarks.algorithms --only "--normalization whole" --batch 64 --precision bfloat16

All agents are in one process and take turns, so that a machine whose speed drifts is the same for
all; the ratio is the median over the rounds of an agent's time to that of plain DQN in the same
round. States are of random pixels, 84×84×4, and there are 6 actions, as in Pong and in Space
Invaders. The options are added to plain DQN with the network of 2013, batches of 32 and float32,
unless another size or precision is given; "nature" and "impala" are plain DQN with that network.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.random_batches import ACTIONS, random_batch
from preprocessing import state_shape
from settings.config import Config
from settings.presets import PLAIN as PLAIN_SETTINGS
from settings.presets import PRESETS
from system.quiet_imports import loading_libraries

if TYPE_CHECKING:
    from replay.batch import Batch

with loading_libraries():
    from agent import Agent, make_agent

PLAIN = "plain DQN"
OPTIONS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "--double": {"double": True},
    "--dueling": {"dueling": True},
    "--noisy": {"noisy": True},
    "--distribution c51": {"distribution": "c51"},
    "--distribution qr --atoms 200": {"distribution": "qr", "atoms": 200},
    "--distribution iqn": {"distribution": "iqn"},
    "--munchausen": {"munchausen": True},
    "--value-rescaling": {"value_rescaling": True},
    "--loss mse": {"loss": "mse"},
    "--loss log-cosh": {"loss": "log-cosh"},
    "--optimizer rmsprop": {"optimizer": "rmsprop"},
    "--optimizer rmsprop --rmsprop-centered": {"optimizer": "rmsprop", "rmsprop_centered": True},
    "--gradient-clip 10": {"gradient_clip": 10.0},
    "--target-averaging 0.005": {"target_averaging": 0.005},
    "--no-hidden-biases": {"hidden_biases": False},
    "--normalization whole": {"normalization": "whole"},
    "--normalization whole --no-hidden-biases": {"normalization": "whole", "hidden_biases": False},
    "--normalization whole --no-hidden-biases --whitening": {
        "normalization": "whole",
        "hidden_biases": False,
        "whitening": True,
    },
    "--normalization layer": {"normalization": "layer"},
    "--normalization spectral": {"normalization": "spectral"},
    "--network-width 2": {"network_width": 2},
    "--network nature": {"network": "nature"},
    "--network impala": {"network": "impala"},
}


def contenders(only: list[str] | None, common: dict[str, Any]) -> dict[str, Config]:
    """Returns the settings of what is measured, plain DQN first.

    Args:
        only: names; None for all.
        common: settings of plain DQN and of all options.
    """
    plain = {**PLAIN_SETTINGS, "double": False, **common}
    configs = {name: Config(**{**plain, **options}) for name, options in OPTIONS.items()}
    configs |= {f"--preset {name}": Config(**preset.settings) for name, preset in PRESETS.items()}
    return {name: each for name, each in configs.items() if only is None or name in [PLAIN, *only]}


def milliseconds(agent: Agent, batch: Batch, updates: int) -> float:
    """Returns the time of an update, the mean of some."""
    started = time.perf_counter()
    for _ in range(updates):
        agent.learn(batch)
    return 1e3 * (time.perf_counter() - started) / updates


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="measure this; again for more"
    )
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    parser.add_argument("--updates", type=int, default=5, metavar="N", help="in each round")
    parser.add_argument("--batch", type=int, default=32, metavar="N")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    common = {"batch_size": options.batch, "precision": options.precision}
    rng = np.random.default_rng(1)
    agents = {}
    for name, config in contenders(options.only, common).items():
        shape = state_shape(config.screen, config.frame_stack_size)
        agent, batch = (
            make_agent(config, shape, ACTIONS, rng),
            random_batch(config.batch_size, shape),
        )
        milliseconds(agent, batch, 2)  # compiles
        agents[name] = agent, batch
    taken = np.array(
        [
            [milliseconds(agent, batch, options.updates) for agent, batch in agents.values()]
            for _ in range(options.rounds)
        ]
    )
    ratios = np.median(taken / taken[:, :1], axis=0)
    print("| | ms an update | relative to plain DQN |")
    print("| --- | --- | --- |")
    for name, median, ratio in zip(agents, np.median(taken, axis=0), ratios, strict=True):
        print(f"| `{name}` | {median:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
