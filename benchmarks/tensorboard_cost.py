"""Measures what --tensorboard costs: steps a second with it and without, in turns in one run.

    python3 -m benchmarks.tensorboard_cost

Two runs of the same settings and seed (Pong, the defaults) take turns of so many steps each, in
one process, so that other work on the machine slows both. Each turn with curves is compared with
the one without beside it; which comes first changes. Curves are written as in a run, every 1,000
steps.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from typing import TYPE_CHECKING

from settings.config import Config
from storage.episode_log import RewardLog
from training.run import assemble, make_evaluations, make_tensorboard_log
from training.run_files import RunFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

WARM_UP = 500  # steps
MEMORY, FIRST_UPDATE, EPSILON = 100_000, 5_000, 0.1


def steps_of(config: Config) -> Iterator[int]:
    """Trains and logs as a run does; yields the steps done."""
    trainer = assemble(config)
    tensorboard = make_tensorboard_log(config, trainer)
    with RewardLog(config.log_path) as log:
        files = RunFiles(config, trainer, make_evaluations(config, trainer), log, tensorboard)
        for _ in trainer.pretrain():
            pass
        for episodes in trainer.train():
            files.log(episodes)
            yield trainer.step


def speed(run: Iterator[int], steps: int) -> float:
    """Goes on for so many steps; returns the steps per second."""
    started, first = time.perf_counter(), next(run)
    step = first
    while step < first + steps:
        step = next(run)
    return (step - first) / (time.perf_counter() - started)


def main() -> None:
    """Prints the speeds of each turn, and the ratio of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=24, metavar="N")
    parser.add_argument("--steps", type=int, default=1_000, metavar="N", help="of a turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = {}
        for with_curves in (False, True):
            config = Config(
                environment="PongNoFrameskip-v4",
                memory_size=MEMORY,
                pretrain_transitions=FIRST_UPDATE,
                epsilon_start=EPSILON,
                epsilon_end=EPSILON,
                seed=1,
                tensorboard=with_curves,
                out=tempfile.mkdtemp(dir=folder),
            )
            runs[with_curves] = steps_of(config)
            speed(runs[with_curves], WARM_UP)
        ratios = []
        for turn in range(options.turns):
            order = (False, True) if turn % 2 else (True, False)
            speeds = {kind: speed(runs[kind], options.steps) for kind in order}
            ratios.append(speeds[True] / speeds[False])
            print(
                f"turn {turn + 1}: {speeds[True]:.0f} and {speeds[False]:.0f} steps/s", flush=True
            )
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"with --tensorboard / without: median {middle:.3f}, quartiles {low:.3f} and {high:.3f}")


if __name__ == "__main__":
    main()
