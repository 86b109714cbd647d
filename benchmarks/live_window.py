"""Measures what the window of `--render` costs a run, in turns with and without it.

    xvfb-run -a python3 -m benchmarks.live_window     on a machine without a display
    python3 -m benchmarks.live_window                 on a desktop

Trains with the default settings. After each round it prints the steps a second without the window
and with it, and in the end the lowest, middle and highest of their ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import TYPE_CHECKING

from playing.training_window import LiveView
from settings.config import Config
from system.errors import OneLineError
from training.run import assemble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.trainer import Trainer

WARM_UP = 1_200  # steps after each change, which are not timed: the window catches up meanwhile


def speed(trainer: Trainer, turns: Iterator[object], view: LiveView | None, steps: int) -> float:
    """Returns the steps per second of so many steps, after a warm-up."""
    run_on(trainer, turns, view, WARM_UP)
    started = time.perf_counter()
    done = run_on(trainer, turns, view, steps)
    return done / (time.perf_counter() - started)


def run_on(trainer: Trainer, turns: Iterator[object], view: LiveView | None, steps: int) -> int:
    """Trains for so many steps or a few more; returns how many."""
    first = trainer.step
    while trainer.step < first + steps:
        next(turns)
        if view:
            view.update(lambda: trainer.environments.history(0))
    return trainer.step - first


def main() -> None:
    """Prints the speeds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environment", default="Pong-v0", metavar="ID")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--steps", type=int, default=1_000, metavar="N", help="of each turn")
    options = parser.parse_args()
    config = Config(environment=options.environment, memory_size=100_000, seed=1, render=True)
    trainer = assemble(config)
    for _ in trainer.pretrain():
        pass
    turns = trainer.train()
    run_on(trainer, turns, None, 2_000)
    ratios = []
    for number in range(1, options.rounds + 1):
        without = speed(trainer, turns, None, options.steps)
        try:
            with LiveView(config) as view:
                watched = speed(trainer, turns, view, options.steps)
        except OneLineError as error:
            sys.exit(str(error))
        ratios.append(watched / without)
        print(
            f"round {number}: {without:.0f} steps/s without the window, {watched:.0f} with it, "
            f"ratio {ratios[-1]:.2f}",
            flush=True,
        )
    trainer.close()
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"ratio: lowest {low:.2f}, median {middle:.2f}, highest {high:.2f}")


if __name__ == "__main__":
    main()
