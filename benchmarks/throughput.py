"""Times the whole training loop against that of Stable-Baselines3's DQN, in turns.

    pip install -r benchmarks/requirements.txt
    python3 -m benchmarks.throughput                  5 rounds of 3,000 steps each
    python3 -m benchmarks.throughput --rounds 3 --steps 1000
    python3 -m benchmarks.throughput --contenders "ours, unpacked frames" "ours, our defaults"
    python3 -m benchmarks.throughput --growth         how it grows, from our defaults
    python3 -m benchmarks.throughput --threads        other shares of the cores

All play PongNoFrameskip-v4 with an epsilon of 0.1. The peers' setting is the network of 2015,
batches of 32, an update every 4 steps, uniform replay of 100,000 transitions, one-step targets from
the target network alone. Each measurement is a process of its own; what is timed starts 500 steps
after the first update.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from settings.presets import PLAIN
from system.quiet_imports import hide_package
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

GAME = "PongNoFrameskip-v4"
# Before the first update the memory learns how to pack frames, once in a run.
MEMORY, FIRST_UPDATE, WARM_UP, EPSILON = 100_000, 5_000, 500, 0.1
PEERS = {
    **PLAIN,
    "pretrain_transitions": FIRST_UPDATE,
    "network": "nature",
    "double": False,
    "n_step": 1,
    "batch_size": 32,
    "train_every": 4,
}
# The preset of what was recommended before layers were normalised.
PLAIN_LOOP = {**PLAIN, "pretrain_transitions": FIRST_UPDATE}
GROWTH: dict[str, tuple[Any, ...]] = {
    "envs": (1, 2, 4, 8, 16, 32),
    "batch_size": (32, 64, 128, 256, 512),
    "memory_size": (10_000, 100_000, 1_000_000),
    "network": ("nips", "nature", "impala"),
}


# Where the cores are shared out otherwise: threads of the emulators, of the networks within
# operations, and of operations side by side; None as the program has it.
THREADS: dict[str, tuple[int | None, int | None, int | None]] = {
    "1 thread for emulators": (1, None, None),
    "1 thread within operations": (None, 1, None),
    "1 thread for operations side by side": (None, None, 1),
    "1 thread for emulators, 1 within operations": (1, 1, None),
    "1 thread for emulators, 1 side by side": (1, None, 1),
    "1 thread for each": (1, 1, 1),
    "2 threads for each": (2, 2, 2),
}


def ours(steps: int, **settings: object) -> float:
    """Returns the steps per second of this program's loop."""
    from system.cores import share_cores

    share_cores()
    from settings.config import Config
    from training.run import assemble

    common: dict[str, Any] = {
        "environment": GAME,
        "memory_size": MEMORY,
        "pretrain_transitions": FIRST_UPDATE,
        "epsilon_start": EPSILON,
        "epsilon_end": EPSILON,
        "seed": 1,
    }
    config = Config(**{**common, **settings})
    trainer = assemble(config)
    for _ in trainer.pretrain():
        pass
    started, from_step = 0.0, 0
    for _ in trainer.train():
        if not started and trainer.step >= WARM_UP:
            started, from_step = time.perf_counter(), trainer.step
        if trainer.step >= WARM_UP + steps:
            break
    return (trainer.step - from_step) / (time.perf_counter() - started)


def shared_otherwise(
    steps: int, for_emulators: int | None, within: int | None, side_by_side: int | None
) -> float:
    """Returns the steps per second with other numbers of threads; see `THREADS`."""
    from atari import emulators

    if for_emulators:
        vars(emulators)["emulator_threads"] = lambda _: for_emulators
    for variable, threads in {
        "TF_NUM_INTRAOP_THREADS": within,
        "TF_NUM_INTEROP_THREADS": side_by_side,
    }.items():
        if threads:
            os.environ[variable] = str(threads)
    return ours(steps)


def stable_baselines3(steps: int) -> float:
    """Returns the steps per second of Stable-Baselines3's loop at the peers' setting."""
    # It looks for TensorBoard, and that for TensorFlow, which crashes beside PyTorch.
    hide_package("tensorflow")
    import ale_py
    import gymnasium
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    class Clock(BaseCallback):
        started = ended = 0.0

        def _on_step(self) -> bool:
            if self.num_timesteps == FIRST_UPDATE + WARM_UP:
                self.started = time.perf_counter()
            self.ended = time.perf_counter()
            return True

    gymnasium.register_envs(ale_py)
    clock = Clock()
    agent = DQN(
        "CnnPolicy",
        VecFrameStack(make_atari_env(GAME, n_envs=1, seed=1), 4),
        learning_rate=1e-4,
        buffer_size=MEMORY,
        learning_starts=FIRST_UPDATE,
        batch_size=32,
        train_freq=4,
        gradient_steps=1,
        target_update_interval=1_000,
        exploration_initial_eps=EPSILON,
        exploration_final_eps=EPSILON,
        seed=1,
    )
    agent.learn(FIRST_UPDATE + WARM_UP + steps, callback=clock)
    return steps / (clock.ended - clock.started)


CONTENDERS: dict[str, Callable[[int], float]] = {
    "Stable-Baselines3, peers' setting": stable_baselines3,
    "ours, peers' setting": lambda steps: ours(steps, **PEERS),
    "ours, peers' setting, 1 environment": lambda steps: ours(steps, **PEERS | {"envs": 1}),
    "ours, peers' setting, bfloat16": lambda steps: ours(
        steps, **{**PEERS, "precision": "bfloat16"}
    ),
    "ours, plain": lambda steps: ours(steps, **PLAIN_LOOP),
    "ours, plain, bfloat16": lambda steps: ours(steps, **PLAIN_LOOP | {"precision": "bfloat16"}),
    "ours, our defaults": lambda steps: ours(steps),
    "ours, our defaults, bfloat16": lambda steps: ours(steps, precision="bfloat16"),
    "ours, unpacked frames": lambda steps: ours(steps, frame_codec="none"),
    "ours, drawn uniformly": lambda steps: ours(steps, priority_exponent=0.0),
}
GROWN: dict[str, Callable[[int], float]] = {
    f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}": partial(
        ours, **{name: value}
    )
    for name, values in GROWTH.items()
    for value in values
}

SHARED = {
    name: partial(shared_otherwise, for_emulators=emulators, within=within, side_by_side=side)
    for name, (emulators, within, side) in THREADS.items()
}
ALL = CONTENDERS | GROWN | SHARED


def measure(name: str, steps: int) -> float:
    """Returns the steps per second of a contender, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.throughput"]
    command += ["--measure", name, "--steps", str(steps)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def spread(values: list[float], form: str) -> str:
    """Returns the lowest, middle and highest of some values as columns of a table."""
    chosen = (min(values), statistics.median(values), max(values))
    return " | ".join(format(value, form) for value in chosen)


def main() -> None:
    """Prints a table of steps per second, and of each contender's ratio to the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--steps", type=int, default=3_000, metavar="N")
    parser.add_argument("--contenders", nargs="+", choices=ALL, default=[*CONTENDERS])
    parser.add_argument("--growth", action="store_true", help="how it grows, in place of these")
    parser.add_argument("--threads", action="store_true", help="other shares of the cores")
    parser.add_argument("--measure", choices=ALL, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(ALL[options.measure](options.steps))
        return
    chosen = options.contenders
    if options.growth or options.threads:
        chosen = ["ours, our defaults", *(GROWN if options.growth else SHARED)]
    speeds: dict[str, list[float]] = {name: [] for name in chosen}
    for number in range(options.rounds):
        for name in speeds:
            speeds[name].append(measure(name, options.steps))
            print(f"round {number + 1}: {name}: {speeds[name][-1]:.0f} steps/s", flush=True)
    first = next(iter(speeds))
    print("\n| steps/s | min | median | max | ratio min | median | max |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, values in speeds.items():
        ratios = [value / base for value, base in zip(values, speeds[first], strict=True)]
        print(f"| {name} | {spread(values, '.0f')} | {spread(ratios, '.2f')} |")


if __name__ == "__main__":
    main()
