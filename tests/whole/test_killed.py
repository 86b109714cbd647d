"""Runs that are killed at the worst moments, as real processes, and go on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from system import cores
from system.root import ROOT
from tests.helpers.outcomes import assert_same

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAM = ROOT / "dqn_atari.py"
FLAGS = [
    *["-env", "Breakout-v0", "-m", "100000", "-b", "8", "-u", "200", "-exs", "1000"],
    *["--seed", "5", "--checkpoint-every", "0.002", "--envs=2", "-st=800", "--train-every=16"],
    *["--noisy", "--priority-exponent=0.5"],
]


class Run:
    """A run of the program in a folder, seen from outside."""

    def __init__(self, folder: Path, pretrain: int):
        """Makes the folder; the run has so many transitions to gather before it trains."""
        folder.mkdir()
        self.folder, self.pretrain = folder, pretrain
        self.weights = folder / "Breakout-v0_weights.h5"
        self.log = folder / "Breakout-v0_log.txt"
        self.checkpoints = folder / "Breakout-v0_checkpoint"
        self.output = folder / "output.txt"

    def start(self, *more: str) -> subprocess.Popen:
        # On all cores, as users run it.
        environment = {k: v for k, v in os.environ.items() if k not in cores.VARIABLES}
        flags = [*FLAGS, "-pre", str(self.pretrain), "--out", str(self.folder), *more]
        command = [sys.executable, str(PROGRAM), *flags]
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


def killed_in_pretraining(folder: Path) -> Run:
    """Returns a run that was killed after its first checkpoint and before it trained."""
    pretrain = 2_000
    while True:
        run = Run(folder / f"killed, {pretrain}", pretrain)
        run.kill_when(run.start(), lambda run=run: run.newest > 0)
        if not run.is_training:
            return run
        pretrain *= 2  # where the first checkpoint takes longer than all of pretraining


def test_killed_at_the_worst_moments_a_run_ends_as_one_that_was_not(tmp_path: Path) -> None:
    run = killed_in_pretraining(tmp_path)
    whole = Run(tmp_path / "whole", run.pretrain)
    whole.finish(whole.start())

    process = run.go_on()
    before = run.log.stat().st_size
    # A line has been written, and the checkpoint after it has not.
    run.kill_when(process, lambda: run.is_training and run.log.stat().st_size > before)

    process = run.go_on()
    run.kill_when(process, lambda: run.is_training and run.is_writing)
    assert run.is_writing  # what is half written lies there

    run.finish(run.go_on())
    assert "the whole run\n" in run.output.read_text()
    assert not run.is_writing
    assert_same(run.folder, whole.folder)
