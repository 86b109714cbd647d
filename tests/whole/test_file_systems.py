"""A run on file systems that cannot do all that a local disk can."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.refused_calls import IS_POSSIBLE
from storage.checkpoints import CheckpointWriter, newest
from system.root import ROOT
from tests.helpers.outcomes import outcome

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT_LOCKS_AND_FLUSHING = """
import errno, sys
from benchmarks.refused_calls import refuse
refuse({"flock": errno.ENOLCK, "fsync": errno.EINVAL})
from dqn_atari import main
sys.exit(main())
"""
FLAGS = (
    "-env Breakout-v0 -m 2000 -b 8 -pre 200 -st 600 --envs 2 --train-every 40 --seed 1 "
    "--network nips --precision float32 --eval-every 0 --no-progress"
)


needs_refusal = pytest.mark.skipif(not IS_POSSIBLE, reason="needs system calls that can be refused")


@needs_refusal
def test_a_run_needs_no_locks_and_no_flushing_and_says_once_what_is_missing(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LOCKS_AND_FLUSHING, *FLAGS.split(), "--out", tmp_path],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("dqn_atari.py: warning: ")
    assert str(tmp_path) in line
    assert "cannot be locked on this file system (No locks available)" in line
    lines, weights = outcome(tmp_path)
    assert lines
    assert weights
    checkpoint, problems = newest(tmp_path / "Breakout-v0_checkpoint")
    assert checkpoint
    assert not problems
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"Breakout-v0_{what}" for what in ("log.txt", "weights.h5", "checkpoint")}


# What NFS says of a folder with a file that another process still has open.
WITH_OPEN_FILES = """
import errno, sys
from pathlib import Path
import numpy as np
from storage.checkpoints import CheckpointWriter, State
from benchmarks.refused_calls import refuse
refuse({"unlinkat": errno.ENOTEMPTY})
writer = CheckpointWriter(Path(sys.argv[1]), keep=1)
for step in range(3):
    writer.start(State({"step": step}, {"weights": np.zeros(3)}), None)
    writer.finish()
writer.close()
"""


@needs_refusal
def test_a_checkpoint_is_written_where_an_older_one_cannot_be_removed(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    subprocess.run([sys.executable, "-c", WITH_OPEN_FILES, folder], cwd=ROOT, check=True)
    checkpoint, problems = newest(folder)
    assert checkpoint
    assert checkpoint.attributes["step"] == 2
    assert not problems
    assert sum(path.name.startswith(".") for path in folder.iterdir()) == 2
    CheckpointWriter(folder, keep=1).close()
    assert list(folder.iterdir()) == [checkpoint.path]
