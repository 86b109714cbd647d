"""What `make` would do, as `make -n` tells: what it sets up, and which backend it runs on."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from system.root import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="there is no make")


def commands(venv: Path, *words: str) -> list[str]:
    """Returns the commands that `make` would run, with this virtual environment."""
    # `make test` hands its own variables on, by which another make would print its folder.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("GPU", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    done = subprocess.run(
        ["make", "-n", f"VENV={venv}", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """Gives a virtual environment that has what a run without a GPU needs."""
    (tmp_path / "bin").mkdir()
    for name in ("bin/python", "run-ready"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(("target", "flags"), [("train", ""), ("play", "--play ")])
def test_on_a_gpu_what_is_missing_is_installed_and_jax_is_run_on(
    target: str, flags: str, venv: Path
) -> None:
    install, mark, run = commands(venv, target, "GPU=1", "ENV=Breakout-v0", "FLAGS=-b 8")
    assert install == f"{venv}/bin/python -m pip install --quiet -r requirements-gpu.txt"
    assert mark == f"touch {venv}/gpu-ready"
    program = f"{venv}/bin/python dqn_atari.py -env Breakout-v0 {flags}-b 8"
    assert run == f"KERAS_BACKEND=jax {program}"
    (venv / "gpu-ready").touch()
    assert commands(venv, target, "GPU=1", "ENV=Breakout-v0", "FLAGS=-b 8") == [run]
    assert commands(venv, target, "ENV=Breakout-v0", "FLAGS=-b 8") == [program]


def test_a_gpu_is_asked_for_by_1_alone(venv: Path) -> None:
    for value in ("", "0"):
        (run,) = commands(venv, "train", f"GPU={value}")
        assert "jax" not in run


def test_a_new_virtual_environment_gets_all_for_a_gpu(tmp_path: Path) -> None:
    wanted = commands(tmp_path / "new", "train", "GPU=1")
    assert any(command.endswith(f"-m venv {tmp_path}/new") for command in wanted)
    assert not any(
        "-r requirements.txt" in command for command in wanted
    )  # it is part of the other
    requirements = (ROOT / "requirements-gpu.txt").read_text().splitlines()
    assert "-r requirements.txt" in requirements
    assert any(line.startswith("jax[cuda") for line in requirements)
