"""Kills runs, damages their files, fills their disk and starts them in odd places: what is lost?

    python3 -m benchmarks.faults kills      100 SIGKILLs at random times in one run of Pong
    python3 -m benchmarks.faults damage     1,000 files with one damaged byte
    python3 -m benchmarks.faults disk       a full disk at ten moments (as root, on Linux)
    python3 -m benchmarks.faults growth     memory and speed over 30 minutes of training
    python3 -m benchmarks.faults outside    what a process inherits and others wrote (on Linux)
    python3 -m benchmarks.faults            all of them

Each prints a row of one table: what was tried, how often, and what came of it; `outside` prints a
table of its cases.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from benchmarks import outside, outside_files
from benchmarks.run_notes import PROGRAM
from storage.arrays import ArrayFile
from storage.checkpoints import CheckpointError, newest
from storage.episode_log import LogError, cut_back, read_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GAME = "Pong-v4"
# Many updates and a memory that is soon full, so that there is much to lose.
FAULT_FLAGS = (
    "-m 8000 -b 8 -pre 2000 --train-every 8 -u 800 -exs 20000 --seed 1 --checkpoint-every 0.02"
)
GROWTH_FLAGS = "-m 100000 -st 1000000000 --seed 1 --checkpoint-every 1 --eval-every 0"
LONGEST = 20.0  # seconds that a process lives before it is killed; half of them start it


class Run:
    """A run of the program in a folder."""

    def __init__(self, folder: Path, flags: str, *more_flags: str):
        """Takes the folder, which is made, and flags."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.flags = [*flags.split(), *more_flags]
        self.weights = folder / f"{GAME}_weights.h5"
        self.log = folder / f"{GAME}_log.txt"
        self.checkpoints = folder / f"{GAME}_checkpoint"

    def start(self) -> subprocess.Popen:
        """Starts it, or goes on with what there is."""
        command = [sys.executable, str(PROGRAM), "-env", GAME, *self.flags, "--no-progress"]
        if self.checkpoints.is_dir() and any(self.checkpoints.iterdir()):
            command += ["--continue", str(self.weights)]
        return subprocess.Popen(
            [*command, "--out", str(self.folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def lines(self) -> list[str]:
        """Returns the lines of the log, but for the seconds."""
        return re.sub(r" Seconds: \S+", "", self.log.read_text()).splitlines()

    def is_same(self, other: Run) -> bool:
        """Returns whether log and weights are those of another run, to the last bit."""
        same = self.weights.read_bytes() == other.weights.read_bytes()
        return same and self.lines() == other.lines()


def kills(folder: Path, count: int, steps: int) -> str:
    """Kills a run at random times of its life, each time it goes on, and compares the end."""
    whole, killed = (
        Run(folder / name, FAULT_FLAGS, f"-st={steps}") for name in ("whole", "killed")
    )
    assert whole.start().wait() == 0
    rng = np.random.default_rng(1)
    moments: Counter[str] = Counter()
    while sum(moments.values()) < count:
        process = killed.start()
        try:
            _, errors = process.communicate(timeout=rng.uniform(0, LONGEST))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            half_written = list(killed.checkpoints.glob(".*"))
            moments["while a checkpoint was written" if half_written else "at another time"] += 1
            continue
        if process.returncode:
            return f"ended with status {process.returncode}: {errors}"
        break
    while process.returncode != 0:
        process = killed.start()
        _, errors = process.communicate()
        if process.returncode:
            return f"ended with status {process.returncode}: {errors}"
    outcome = "the same" if killed.is_same(whole) else "NOT THE SAME"
    times = ", ".join(f"{number} {moment}" for moment, number in moments.items())
    games = len(whole.lines())
    return (
        f"{sum(moments.values())} kills ({times}) in {steps:,} steps: weights and {games} lines of "
        f"the log are {outcome} as without"
    )


def damage(folder: Path, count: int) -> str:
    """Damages one byte of a file of a run at a time, and reads it."""
    run = Run(folder / "damage", FAULT_FLAGS, "-st=16000", "--keep=1")
    assert run.start().wait() == 0
    [checkpoint] = (each for each in run.checkpoints.iterdir() if each.name.isdecimal())
    files = {
        "weights": (run.weights, read_weights(run.weights)),
        "run": (checkpoint / "run", read_checkpoint(run.checkpoints)),
        "memory": (checkpoint / "memory", read_checkpoint(run.checkpoints)),
        "log": (run.log, read_episodes(run.log)),
    }
    rng = np.random.default_rng(2)
    outcomes: Counter[str] = Counter()
    for number in range(count):
        kind = list(files)[number % len(files)]
        path, reader = files[kind]
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[rng.integers(len(damaged))] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            outcomes[f"{kind}: {reader()}"] += 1
        except Exception as error:  # what users would see as a traceback
            outcomes[f"{kind}: TRACEBACK of {type(error).__name__}"] += 1
        path.write_bytes(content)
    return "; ".join(f"{outcome} {number}" for outcome, number in sorted(outcomes.items()))


def read_weights(path: Path) -> Callable[[], str]:
    """Returns a function that says what loading the weights comes to."""
    from learning.networks import nips_network
    from storage.weights import WeightsError, load

    network = nips_network((84, 84, 4), 6, 0)
    load(path, network)
    whole = network.get_weights()

    def read() -> str:
        network.set_weights([np.zeros_like(array) for array in whole])
        try:
            load(path, network)
        except WeightsError:
            return "found"
        same = all(map(np.array_equal, network.get_weights(), whole))
        return "harmless" if same else "NOT FOUND"

    return read


def read_checkpoint(folder: Path) -> Callable[[], str]:
    """Returns a function that says what looking for a checkpoint comes to."""

    def content() -> list[bytes]:
        checkpoint, _ = newest(folder)
        assert checkpoint
        assert checkpoint.memory_path
        arrays = list(checkpoint.read().arrays.values())
        with ArrayFile(checkpoint.memory_path, "replay memory") as file:
            arrays += [file.read(name) for name in file.names]
        return [array.tobytes() for array in arrays]

    whole = content()

    def read() -> str:
        try:
            return "harmless" if content() == whole else "NOT FOUND"
        except CheckpointError:
            return "found"

    return read


def read_episodes(path: Path) -> Callable[[], str]:
    """Returns a function that says what going on with a log comes to."""
    from storage.episode_log import RewardLog

    with RewardLog(path) as log:
        position = log.position

    def read() -> str:
        try:
            read_log(path)
        except LogError:
            return "found"
        return "found" if cut_back(path, *position) else "NOT FOUND"

    return read


def disk(folder: Path, moments: int) -> str:
    """Fills the disk of a run at different moments, and frees it again or not."""
    outcomes: Counter[str] = Counter()
    for number in range(moments):
        stays_full = number % 2 == 1
        with small_disk(folder / f"disk {number}") as place:
            run = Run(place, FAULT_FLAGS, "-st=12000")
            process = run.start()
            wait_until(process, functools.partial(reached, run, number))
            filler = place / "filler"
            fill(filler)
            wait_for_warning = process.stderr.readline() if process.stderr else ""
            if not stays_full:
                filler.unlink()
            _, errors = process.communicate()
            errors = wait_for_warning + errors
            checkpoint, _ = newest(run.checkpoints)
            filler.unlink(missing_ok=True)
            good = (
                "Traceback" not in errors
                and "the run goes on" in errors
                and process.returncode == int(stays_full)
                and (checkpoint is not None or number == 0)
            )
            what = "stays full" if stays_full else "is freed"
            if good:
                outcomes[f"disk {what}: warned, went on, status {process.returncode}"] += 1
            else:
                outcomes[f"disk {what}: WRONG ({process.returncode}, {errors!r})"] += 1
            if stays_full and checkpoint:
                again = run.start()
                _, errors = again.communicate()
                outcomes["resumed afterwards" if not again.returncode else f"LOST: {errors}"] += 1
    return "; ".join(f"{outcome} {number}" for outcome, number in sorted(outcomes.items()))


def reached(run: Run, number: int) -> bool:
    """Returns whether a run has written the checkpoint of this number; 0 is its start."""
    names = os.listdir(run.checkpoints) if run.checkpoints.is_dir() else []
    return max((int(name) for name in names if name.isdecimal()), default=0) >= number


def wait_until(process: subprocess.Popen, moment: Callable[[], bool]) -> None:
    """Returns when something is so, or a process has ended."""
    while not moment() and process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Gives a file system of a few megabytes, in memory."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Writes a file until nothing more fits."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def growth(folder: Path, minutes: float, precision: str) -> str:
    """Trains with our defaults, but for a memory that is soon full; looks at size and speed."""
    run = Run(folder / "growth", GROWTH_FLAGS, f"--precision={precision}")
    process = run.start()
    watched = psutil.Process(process.pid)
    # The first minutes fill the memory, and compile what is compiled.
    first = 60 * min(5.0, minutes / 3)
    started, samples = time.monotonic(), []
    while (passed := time.monotonic() - started) < 60 * minutes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return f"ended with status {process.returncode}"
        if passed > first:
            samples.append((passed / 3600, watched.memory_info().rss / 2**20))
    process.send_signal(signal.SIGTERM)
    process.communicate()
    hours, sizes = np.array(samples).T
    slope, _ = np.polyfit(hours, sizes, 1)
    episodes = read_log(run.log).episodes
    seconds = [episode.seconds or 0.0 for episode in episodes]
    steps = [episode.steps for episode in episodes]

    def speed(start: float) -> float:
        return float(np.diff(np.interp([start, start + first], seconds, steps))[0]) / first

    # Means of as long as the first minutes are: of those after them, and of the last.
    early, late = speed(first), speed(seconds[-1] - first)
    score = np.mean([episode.score or 0.0 for episode in episodes[-20:]])
    return (
        f"{minutes:g} minutes in {precision}, {steps[-1]:,} steps: {sizes[0]:.0f} MiB after "
        f"{first / 60:g} minutes, {sizes[-1]:.0f} at the end, highest {sizes.max():.0f}; slope "
        f"{slope:+.1f} MiB an hour; {early:.0f} steps/s in the {first / 60:g} minutes after those, "
        f"{late:.0f} in the last {first / 60:g} ({late / early - 1:+.1%}); mean score of the last "
        f"20 games {score:.1f}"
    )


def main() -> None:
    """Does what is asked for, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    trials_to_choose = ("kills", "damage", "disk", "growth", "outside", "all")
    parser.add_argument("what", nargs="?", choices=trials_to_choose, default="all")
    parser.add_argument("--kills", type=int, default=100, metavar="N")
    parser.add_argument("--steps", type=int, default=150_000, metavar="N", help="of the killed run")
    parser.add_argument("--files", type=int, default=1_000, metavar="N")
    parser.add_argument("--moments", type=int, default=10, metavar="N")
    parser.add_argument("--minutes", type=float, default=30, metavar="N")
    parser.add_argument("--precision", default="float32", help="of the run of these minutes")
    options = parser.parse_args()
    trials: dict[str, Callable[[Path], str]] = {
        "kills": functools.partial(kills, count=options.kills, steps=options.steps),
        "damage": functools.partial(damage, count=options.files),
        "disk": functools.partial(disk, moments=options.moments),
        "growth": functools.partial(growth, minutes=options.minutes, precision=options.precision),
    }
    if options.what in ("outside", "all"):
        with tempfile.TemporaryDirectory() as folder_of_cases:
            cases = outside.CASES + outside_files.CASES
            print(outside.table(Path(folder_of_cases), cases), end="\n\n")
    if options.what == "outside":
        return
    print("| fault | outcome |\n| --- | --- |")
    for name, trial in trials.items():
        if options.what in (name, "all"):
            folder = Path(tempfile.mkdtemp())
            try:
                print(f"| {name} | {trial(folder)} |", flush=True)
            finally:
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
