"""Times the plots of a long log, from the start of the program to its end, on one core.

    python3 -m benchmarks.plotting                      1,000,000 episodes, each call once
    python3 -m benchmarks.plotting --episodes 100000 --rounds 5

The log is made here, the same each time: a run of 8 environments whose scores rise, with all fields
and in a few lines `Only Action`. Times are processor seconds, of the user and of the system.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from storage.episode_log import Episode, format_episode
from system.root import ROOT

PROGRAM = ROOT / "reward_visualizer.py"
CALLS = {
    "ten plots": ("-a", "50"),
    "one picture": ("--y", "score"),
    "page": ("--dashboard", "page.html"),
}
LENGTH, DECAY = 200, 0.1  # mean steps of an episode; part of the run in which epsilon falls
STILL = 1000  # one in so many games has an only action


def write_log(path: Path, episodes: int) -> None:
    """Writes the log of a run that never was."""
    rng = np.random.default_rng(1)
    progress = np.linspace(0, 1, episodes)
    lengths = rng.poisson(LENGTH, episodes)
    columns = (
        np.round(40 * progress + rng.normal(0, 8, episodes)),
        np.cumsum(lengths),
        np.clip(1 - progress / DECAY, 0.02, 1),
        np.round(rng.gamma(2, 0.01, episodes), 8),
        np.round(rng.beta(4, 4, episodes), 8),
        lengths,
        np.round(4 * progress + rng.normal(0, 0.1, episodes), 8),
        rng.integers(STILL, size=episodes) == 0,
    )
    with path.open("w") as log:
        for number, values in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            score, steps, epsilon, loss, accuracy, length, mean_q, is_still = values
            action = "FIRE" if is_still else None
            seconds = round(steps / 500, 1)
            frames = 4 * steps
            log.write(
                format_episode(
                    Episode(
                        number, score, steps, epsilon, loss, accuracy, score, length, mean_q,
                        frames=frames, only_action=action, seconds=seconds,
                    )
                )
                + "\n"
            )  # fmt: skip


def seconds_of(arguments: tuple[str, ...], folder: Path) -> float:
    """Returns the processor seconds that one call takes."""
    core = min(os.sched_getaffinity(0))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, PROGRAM, "-f", "Pong-v4_log.txt", *arguments],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Makes the log, times the calls and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--episodes", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log(folder / "Pong-v4_log.txt", options.episodes)
        size = (folder / "Pong-v4_log.txt").stat().st_size / 2**20
        print(f"{options.episodes:,} episodes, {size:,.0f} MiB")
        for call, arguments in CALLS.items():
            times = [seconds_of(arguments, folder) for _ in range(options.rounds)]
            print(f"{call:<12} {statistics.median(times):6.1f} s")


if __name__ == "__main__":
    main()
