"""Runs that are killed at the worst moments, as real processes, and go on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from system.root import ROOT
from tests.helpers.outcomes import assert_same

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM = ROOT / "dqn_atari.py"
COMMON = [
    *["-env", "Breakout-v0", "-m", "6000", "-b", "8", "-pre", "2000", "-u", "200", "-exs", "1000"],
    *["--seed", "5", "--checkpoint-every", "0.002"],
]
UNIFORM = [*COMMON, "--envs=8", "-st=1600", "--train-every=16"]
NOISY = [*COMMON, "--envs=1", "-st=800", "--train-every=8", "--noisy", "--priority-exponent=0.5"]


class Run:
    """A run of the program in a folder, seen from outside."""

    def __init__(self, folder: Path, flags: list[str]):
        self.folder, self.flags = folder, flags
        self.weights = folder / "Breakout-v0_weights.h5"
        self.log = folder / "Breakout-v0_log.txt"
        self.checkpoints = folder / "Breakout-v0_checkpoint"
        self.output = folder / "output.txt"

    def start(self, *more: str) -> subprocess.Popen:
        # On all cores, as users run it.
        environment = {k: v for k, v in os.environ.items() if k != "TF_NUM_INTRAOP_THREADS"}
        command = [sys.executable, str(PROGRAM), *self.flags, "--out", str(self.folder), *more]
        with self.output.open("w") as file:
            return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)

    def go_on(self) -> subprocess.Popen:
        return self.start("--continue", str(self.weights))

    def finish(self, process: subprocess.Popen) -> None:
        assert process.wait() == 0, self.output.read_text()

    def kill_when(self, process: subprocess.Popen, moment: Callable[[], bool]) -> None:
        """Kills a process at the first moment that this is so."""
        while not moment():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.001)
                raise AssertionError(self.output.read_text())
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    @property
    def newest(self) -> int:
        """The number of the newest checkpoint."""
        if not self.checkpoints.is_dir():
            return 0
        return max((int(n) for n in os.listdir(self.checkpoints) if n.isdecimal()), default=0)

    @property
    def is_training(self) -> bool:
        return "training: from step" in self.output.read_text()

    @property
    def is_writing(self) -> bool:
        return any(name.startswith(".") for name in os.listdir(self.checkpoints))


@pytest.fixture(scope="module")
def uniform(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished(Run(tmp_path_factory.mktemp("uniform"), UNIFORM))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished(Run(tmp_path_factory.mktemp("noisy"), NOISY))


def finished(run: Run) -> Run:
    """Gives a run that nothing stopped."""
    run.finish(run.start())
    return run


def test_killed_in_pretraining_and_between_log_and_checkpoint(tmp_path: Path, uniform: Run) -> None:
    run = Run(tmp_path, UNIFORM)
    process = run.start()
    run.kill_when(process, lambda: run.newest > 0)
    assert not run.is_training
    process = run.go_on()
    before = run.log.stat().st_size
    # A line has been written, and the checkpoint after it has not.
    run.kill_when(process, lambda: run.is_training and run.log.stat().st_size > before)
    run.finish(run.go_on())
    assert "the whole run\n" in run.output.read_text()
    assert_same(run.folder, uniform.folder)


def test_killed_in_a_game_while_a_checkpoint_is_written_and_right_after_one(
    tmp_path: Path, noisy: Run
) -> None:
    run = Run(tmp_path, NOISY)
    process = run.start()
    run.kill_when(process, lambda: run.is_training and run.newest > 1)
    process = run.go_on()
    run.kill_when(process, lambda: run.is_training and run.is_writing)
    assert run.is_writing  # what is half written lies there
    process = run.go_on()
    before = run.newest
    run.kill_when(process, lambda: run.is_training and run.newest > before)
    run.finish(run.go_on())
    assert not run.is_writing
    assert_same(run.folder, noisy.folder)
