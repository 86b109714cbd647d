"""The JAX backend needs no TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras

from storage.checkpoints import newest
from storage.evaluation_log import read_evaluations
from system.root import ROOT

FLAGS = [
    *["-env", "Breakout-v0", "--seed", "1", "--envs", "2", "--steps", "80", "--no-progress"],
    *["-m", "2000", "-pre", "200", "-b", "8", "--train-every", "8", "--update", "40"],
    *["--eval-every", "40", "--eval-episodes", "1", "--eval-epsilon", "0.5"],
]


def packages_without_tensorflow(folder: Path) -> Path:
    """Fills a folder with links to all packages that are installed but for TensorFlow."""
    for package in Path(keras.__file__).parent.parent.iterdir():
        if not package.name.lower().startswith("tensorflow"):
            (folder / package.name).symlink_to(package)
    return folder


def test_a_run_and_its_resume_work_without_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    packages = packages_without_tensorflow(tmp_path / "packages")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(packages)}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # compiling takes longer than running
    # What the run compiled is not compiled again for the rest of it.
    environment["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / "compiled")
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    weights = str(tmp_path / "Breakout-v0_weights.h5")
    for flags in ([*FLAGS, "--tensorboard"], ["-c", weights, "--steps", "120", "--no-progress"]):
        # Without its own search for packages, Python finds those alone.
        program = [sys.executable, "-S", str(ROOT / "dqn_atari.py")]
        done = subprocess.run(
            [*program, *flags, "--out", str(tmp_path)],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert "on jax" in done.stdout
    evaluations = read_evaluations(tmp_path / "Breakout-v0_evaluations.csv")
    assert [each.step for each in evaluations] == [40, 80, 120]
    checkpoint, _ = newest(tmp_path / "Breakout-v0_checkpoint")
    assert checkpoint
    assert checkpoint.attributes["training"]["loss"] > 0
