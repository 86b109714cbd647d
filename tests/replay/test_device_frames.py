"""Frames on the device give what frames beside the memory give, and a run goes on with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay import device_frames
from replay.device_frames import states_at
from settings.config import Config
from storage.arrays import save
from storage.checkpoints import MEMORY_KIND, newest
from storage.loans import end_loans
from system.root import ROOT
from tests.helpers.memories import a_memory
from tests.helpers.outcomes import assert_same
from tests.helpers.parted_runs import go_on, interrupted
from tests.helpers.plays import random_play
from training.prefetching import Prefetcher
from training.run import train

if TYPE_CHECKING:
    from replay_memory import ReplayMemory

SHAPE = (3, 4)


def memories(
    rows: int, streams: int = 2, stack_size: int = 4, n_step: int = 2, new: int = 1,
    exponent: float = 0.0,
) -> tuple[ReplayMemory, ReplayMemory]:  # fmt: skip
    """Returns two empty memories, whose frames lie beside them and on the device."""

    def memory(on_device: bool) -> ReplayMemory:
        return a_memory(
            rows * streams, streams, SHAPE, stack_size, n_step, 0.9, frames_per_step=new,
            codec="none", priority_exponent=exponent, game="Pong-v0", on_device=on_device,
        )  # fmt: skip

    return memory(False), memory(True)


def assert_alike(plain: ReplayMemory, device: ReplayMemory, seed: int, size: int = 70) -> None:
    """Asserts that both hold the same; draws a batch of both, and learns from it."""
    assert (len(plain), plain.can_sample) == (len(device), device.can_sample)
    if not plain.can_sample:
        return
    ours, theirs = (m.sample(size, np.random.default_rng(seed), 0.5) for m in (device, plain))
    assert ours.frames
    assert not theirs.frames
    for name, array in ours.arrays.items():
        if name in ("s_tm1", "s_t"):
            assert (array.dtype, array.shape) == (np.int32, (size, plain.state_shape[2]))
            array = np.asarray(states_at(array, ours.frames.array))
        np.testing.assert_array_equal(array, getattr(theirs, name), err_msg=name)
        assert array.dtype == getattr(theirs, name).dtype
    td_errors = np.random.default_rng(seed).exponential(size=size).astype(np.float32)
    for memory in (plain, device):
        memory.update_priorities(ours.indices, td_errors)


@settings(max_examples=25)
@given(
    streams=st.integers(1, 3),
    stack_size=st.integers(1, 4),
    n_step=st.integers(1, 4),
    more_rows=st.integers(0, 6),
    raw=st.booleans(),
    exponent=st.sampled_from([0.0, 0.5]),
    steps=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_states_are_those_of_plain_frames_whatever_is_played(
    streams: int, stack_size: int, n_step: int, more_rows: int, raw: bool, exponent: float,
    steps: int, seed: int,
) -> None:  # fmt: skip
    new = stack_size if raw else 1
    both = memories(stack_size + n_step + more_rows, streams, stack_size, n_step, new, exponent)
    play = random_play(np.random.default_rng(seed), streams, (*SHAPE, new))
    for number, step in enumerate(islice(play, steps)):
        for memory in both:
            memory.append(*step)
        if number % 3 == 0:
            assert_alike(*both, number, size=5)
    assert_alike(*both, seed)


# ---------------------------------------------------------------- files


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the frames of three times of two streams fetched at a time."""
    monkeypatch.setattr(device_frames, "PIECE_BYTES", 3 * 2 * SHAPE[0] * SHAPE[1])


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("steps", [0, 2, 10, 11, 25])
def test_a_file_is_that_of_plain_frames_and_is_read_as_such(tmp_path: Path, steps: int) -> None:
    play = random_play(np.random.default_rng(0), 2, SHAPE)
    (plain, device), (other_plain, other_device) = memories(10), memories(10)
    for step in islice(play, steps):
        for memory in (plain, device):
            memory.append(*step)
    for step in islice(play, 13):  # gives way
        other_device.append(*step)
    plain.save(tmp_path / "plain")
    device.save(tmp_path / "device")
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "device").read_bytes()
    other_plain.load(tmp_path / "device")
    other_device.load(tmp_path / "device")
    for number, step in enumerate(islice(play, 15)):
        assert_alike(plain, other_device, number)
        for memory in (plain, device, other_plain, other_device):
            memory.append(*step)
    assert_alike(other_plain, device, 0)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("steps", [3, 40, 100])
def test_a_memory_is_written_as_it_was_while_it_goes_on(tmp_path: Path, steps: int) -> None:
    play = random_play(np.random.default_rng(0), 2, SHAPE)
    _, memory = memories(40)
    for step in islice(play, steps):
        memory.append(*step)
    memory.save(tmp_path / "then")
    attributes, arrays = memory.get_state()

    def go_on() -> None:
        # Twice around, so that every place is written anew.
        for step in islice(play, 90):
            memory.append(*step)

    with ThreadPoolExecutor(2) as threads:
        going_on = threads.submit(go_on)
        if steps >= 40:
            with pytest.raises(TimeoutError):  # it waits for what has not been written yet
                going_on.result(timeout=0.2)
        writing = threads.submit(save, tmp_path / "meanwhile", MEMORY_KIND, attributes, arrays)
        writing.result()
        end_loans(arrays.values())
        going_on.result()
    assert (tmp_path / "meanwhile").read_bytes() == (tmp_path / "then").read_bytes()


# ---------------------------------------------------------------- batches drawn ahead


def test_nothing_is_appended_while_a_batch_that_was_drawn_waits() -> None:
    _, memory = memories(20)
    batches = Prefetcher(memory, 8, np.random.default_rng(0))
    play = random_play(np.random.default_rng(0), 2, SHAPE)
    for step in islice(play, 10):
        batches.append(*step)
    batches.prepare(0.0)
    with pytest.raises(AssertionError):
        batches.append(*next(play))
    batches.take(0.0, following=0)
    batches.append(*next(play))
    batches.close()


# ---------------------------------------------------------------- a run

RUN: dict[str, Any] = {
    "environment": "Breakout-v0",
    "envs": 2,
    "memory_size": 200,
    "batch_size": 8,
    "pretrain_transitions": 100,
    "steps": 240,
    "train_every": 16,
    "updates": 2,
    "target_update_period": 100,
    "explore_steps": 400,
    "seed": 3,
    "eval_every": 0,
    "progress": False,
}


def assert_a_run_is_that_of_plain_frames(folder: Path, **settings: Any) -> None:
    """Asserts that runs in folders "plain" and "device" of this one have the same course."""
    for name, where in {
        "plain": {"frame_codec": "none"}, "device": {"memory_on_device": True},
    }.items():  # fmt: skip
        assert train(Config(**settings, **where, out=str(folder / name))) == 0
    assert_same(folder / "plain", folder / "device")
    checkpoint, _ = newest(folder / "device" / "Breakout-v0_checkpoint")
    assert checkpoint
    assert checkpoint.attributes["training"]["loss"] > 0


def test_a_run_and_its_resume_are_those_of_plain_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {**RUN, "state_frames": "raw"}
    assert_a_run_is_that_of_plain_frames(tmp_path, **settings)
    frames = (200 * 4 + 1) * 84 * 84 / 2**20
    said = " ".join(capsys.readouterr().out.split())
    assert f"at most 0 MiB, and {frames:.0f} MiB of frames on the device" in said
    parted = Config(**settings, memory_on_device=True, out=str(tmp_path / "parted"))
    Path(parted.out).mkdir()
    interrupted(parted, 120)
    assert go_on(parted) == 0
    assert_same(tmp_path / "device", tmp_path / "parted")


def test_a_run_by_priority_that_counts_games_is_that_of_plain_frames(tmp_path: Path) -> None:
    by_games = {
        "count_by": "games",
        "train_every": 1,
        "target_update_period": 2,
        "explore_steps": 9,
    }
    settings = {**RUN, **by_games, "frame_skip": 30, "priority_exponent": 0.6}
    assert_a_run_is_that_of_plain_frames(tmp_path, **settings)


def test_jax_does_the_same_without_tensorflow(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "helpers" / "frames_on_a_backend.py"), str(tmp_path)],
        env={
            **os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiling takes longer than running
            # Each agent compiles its calls anew, which are those of the agent before.
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        },
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    room = "the device has no room for 53,833,008 MiB of frames"
    error = f"{room}: give less --memory, or --memory-on-device no"
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "states": True, "files": True, "goes on": True, "stacks": [], "weights": True,
        "error": error,
        "overlaps": True, "overlaps on the device": True, "at hand": True,
        "gpu": False, "tensorflow": False,
    }  # fmt: skip
