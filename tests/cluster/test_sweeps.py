"""Sweeps as real processes on one real cluster: killed, stopped, gone on with, and refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

import psutil
import pytest

from cluster.planned_runs import NOTE
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_ray = pytest.mark.skipif(
    not find_spec("ray"), reason="Ray is not installed: pip install -r requirements-ray.txt"
)
SMALL = [
    *["--envs", "4", "-m", "2000", "-pre", "64", "-b", "8", "--train-every", "32"],
    *["--eval-every", "0", "--checkpoint-every", "0.002", "--precision", "float32"],
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Gives the address of a cluster, which processes that are started meanwhile can join."""
    import ray

    from cluster.connection import connected

    with connected("local", cpus=2, object_store=100 << 20):
        yield ray.get_runtime_context().gcs_address


def start(*words: object) -> subprocess.Popen:
    """Starts a sweep as its user does."""
    return subprocess.Popen(
        [sys.executable, ROOT / "sweep.py", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    """Waits for a sweep; returns its status, and what it has printed."""
    output, errors = process.communicate()
    return process.returncode, output, errors


def steps_saved(folder: Path) -> list[Path]:
    """Returns the whole checkpoints of a run."""
    return [path for path in folder.glob("*_checkpoint/*") if path.name.isdecimal()]


def process_of(folder: Path) -> psutil.Process | None:
    """Returns the process that trains a run; None where there is none yet."""
    with suppress(OSError, ValueError, psutil.NoSuchProcess):
        return psutil.Process(int((folder / ".Pong-v4_lock").read_text()))
    return None


def wait_until_saved(sweep: subprocess.Popen, folder: Path) -> psutil.Process:
    """Waits until a run has a checkpoint; returns its process."""
    while not (steps_saved(folder) and (process := process_of(folder))):
        with suppress(subprocess.TimeoutExpired):
            sweep.wait(0.05)
            raise AssertionError(sweep.communicate())
    return process


@needs_ray
def test_a_killed_worker_s_run_goes_on_and_what_is_done_stays(address: str, tmp_path: Path) -> None:
    groups = tmp_path / "groups.toml"
    groups.write_text("[groups.fits]\n[groups.'too large']\nmemory = 1_000_000_000\n")
    out = tmp_path / "results"
    command = ["--games", "Pong-v4", "--groups", groups, "--out", out, "--ray", address]
    command += ["--cores", 1, "--", *SMALL[:2], *SMALL[4:]]
    flags = [*command, "--steps", 12_000]
    # `too large` fails by itself and got nowhere, so it is not tried again.
    flags = ["-m", 2000]
    folder = out / "Pong-v4" / "fits" / "1"
    sweep = start(*command, "--steps", 12_000)
    run = wait_until_saved(sweep, folder)
    attempt = json.loads((folder / NOTE).read_text())["attempt"]
    run.parent().send_signal(signal.SIGKILL)
    status, output, errors = ended(sweep)
    assert errors == ""
    assert status == 1, output
    assert not flags
    assert attempt


@needs_ray
def test_ctrl_c_ends_the_runs_in_order_and_leaves_the_cluster(address: str, tmp_path: Path) -> None:
    import ray

    words = ["--games", "Pong-v4", "--out", tmp_path, "--ray", address, "--seeds", 3]
    sweep = start(*words, "--", *SMALL, "--steps", 10**9)
    folder = tmp_path / "Pong-v4" / "default" / "1"
    run = wait_until_saved(sweep, folder)
    sweep.send_signal(signal.SIGINT)
    status, output, errors = ended(sweep)
    assert (status, errors) == (130, "")
    assert "stopping: each run writes its checkpoint\n" in output
    assert "Pong-v4 default 1: stopped" in output
    assert output.endswith("stopped: the same command goes on\n")
    assert not run.is_running()
    assert "stopped" in (folder / "output.txt").read_text()
    assert not (folder / ".Pong-v4_lock").exists()
    assert [node["Alive"] for node in ray.nodes()] == [True]
