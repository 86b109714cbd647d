"""Measures what a checkpoint of a full replay memory takes, while the run goes on.

    python3 -m benchmarks.checkpoint

Fills the memory of a real run (1,000,000 transitions of Space Invaders by random play take about 8
minutes), trains, and writes checkpoints one after the other. For each it prints for how long the
loop stood still, the seconds until it was whole and on the disk, and its bytes; in the end how fast
the loop is while one is written and while none is, and the seconds that going on from one takes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from settings.config import Config
from storage.checkpoints import newest
from storage.episode_log import RewardLog
from training.run import assemble, make_evaluations
from training.run_files import RunFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.trainer import Trainer


def measure(config: Config, checkpoints: int, steps_between: int) -> None:
    """Prints what so many checkpoints take, with so many steps of training between two."""
    trainer = assemble(config)
    for _ in trainer.pretrain():
        pass
    turns = trainer.train()
    run_on(trainer, turns, steps_between)
    print("| checkpoint | stood still, s | in all, s | MiB | steps/s meanwhile | steps/s without |")
    print("| --- | --- | --- | --- | --- | --- |")
    with RewardLog(config.log_path) as log:
        files = RunFiles(config, trainer, make_evaluations(config, trainer), log)
        for number in range(1, checkpoints + 1):
            without = run_on(trainer, turns, steps_between)
            stood_still, in_all, meanwhile = one_checkpoint(trainer, turns, files)
            size = sum(file.stat().st_size for file in config.checkpoint_path.rglob("*"))
            print(
                f"| {number} | {stood_still:.3f} | {in_all:.1f} | {size / 2**20:.0f} "
                f"| {meanwhile:.0f} | {without:.0f} |",
                flush=True,
            )
        files.close()
    trainer.close()
    started = time.perf_counter()
    checkpoint, _ = newest(config.checkpoint_path)
    assemble(config, checkpoint=checkpoint).close()
    print(f"going on from the last takes {time.perf_counter() - started:.1f} s")


def run_on(trainer: Trainer, turns: Iterator[object], steps: int) -> float:
    """Trains for so many steps; returns the steps a second."""
    end, first, started = trainer.step + steps, trainer.step, time.perf_counter()
    while trainer.step < end:
        next(turns)
    return (trainer.step - first) / (time.perf_counter() - started)


def one_checkpoint(
    trainer: Trainer, turns: Iterator[object], files: RunFiles
) -> tuple[float, float, float]:
    """Returns for how long a checkpoint stops the loop, takes in all, and the steps a second."""
    started = time.perf_counter()
    files.start_checkpoint()
    stood_still = time.perf_counter() - started
    first = trainer.step
    while files.is_writing():
        next(turns)
    in_all = time.perf_counter() - started
    return stood_still, in_all, (trainer.step - first) / in_all


def main() -> None:
    """Measures in a folder that is removed again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environment", default="SpaceInvaders-v4", metavar="ID")
    parser.add_argument("--transitions", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--checkpoints", type=int, default=5, metavar="N")
    parser.add_argument("--steps", type=int, default=4_000, metavar="N", help="between two")
    parser.add_argument("--folder", type=Path, help="where to, on the disk to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        config = Config(
            environment=options.environment,
            memory_size=options.transitions,
            pretrain_transitions=options.transitions,
            out=folder,
            checkpoints_kept=1,
            seed=1,
        )
        measure(config, options.checkpoints, options.steps)


if __name__ == "__main__":
    main()
