"""Arrays that are lent stay as they are until they are back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from storage.arrays import ArrayFile, save
from storage.checkpoints import MEMORY_KIND
from storage.loans import Loan, end_loans
from tests.helpers.memories import a_memory
from tests.helpers.plays import random_play

if TYPE_CHECKING:
    from pathlib import Path

    from replay_memory import ReplayMemory


def memory_of(codec: str, rows: int = 60) -> ReplayMemory:
    return a_memory(rows * 2, 2, (12, 10), 4, 1, 0.99, codec=codec, priority_exponent=0.5)


def test_an_array_is_back_when_the_next_is_asked_for() -> None:
    loan = Loan([np.zeros(1), np.ones(1), np.ones(1)])
    reader = iter(loan)
    next(reader)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(loan.wait_for, 0)
        assert not waiting.done()
        next(reader)
        waiting.result()
        waiting = thread.submit(loan.wait_for, 2)
        assert not waiting.done()
        assert list(reader)
        waiting.result()


def test_looking_arrays_up_and_counting_them_gives_nothing_out() -> None:
    loan = Loan([np.zeros(1), np.ones(1)])
    assert (len(loan), loan[1][0]) == (2, 1)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(loan.wait_for, 0)
        assert not waiting.done()
        end_loans([np.zeros(1), [np.zeros(1)], loan])
        waiting.result()
    loan.wait_for(5)


@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize("steps", [3, 40, 200])
def test_a_memory_is_written_as_it_was_while_it_goes_on(
    tmp_path: Path, codec: str, steps: int
) -> None:
    memory, play = memory_of(codec), random_play(np.random.default_rng(0), 2, (12, 10))
    for _ in range(steps):
        memory.append(*next(play))
    memory.save(tmp_path / "then")
    attributes, arrays = memory.get_state()

    def go_on() -> None:
        # Twice around, so that every place is written anew.
        for _ in range(130):
            memory.append(*next(play))
        memory.update_priorities(np.arange(10), np.ones(10, np.float32))

    with ThreadPoolExecutor(2) as threads:
        going_on = threads.submit(go_on)
        writing = threads.submit(save, tmp_path / "meanwhile", MEMORY_KIND, attributes, arrays)
        writing.result()
        end_loans(arrays.values())
        going_on.result()
    assert (tmp_path / "meanwhile").read_bytes() == (tmp_path / "then").read_bytes()


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_what_is_lent_is_waited_for(tmp_path: Path, codec: str) -> None:
    memory, play = memory_of(codec), random_play(np.random.default_rng(0), 2, (12, 10))
    for _ in range(100):
        memory.append(*next(play))
    _, arrays = memory.get_state()
    with ThreadPoolExecutor(1) as thread:
        going_on = thread.submit(lambda: [memory.append(*next(play)) for _ in range(130)])
        with pytest.raises(TimeoutError):
            going_on.result(timeout=0.5)
        end_loans(arrays.values())
        going_on.result()


def test_a_memory_that_cannot_be_written_gets_its_frames_back(tmp_path: Path) -> None:
    memory, play = memory_of("zstd"), random_play(np.random.default_rng(0), 2, (12, 10))
    for _ in range(100):
        memory.append(*next(play))
    with pytest.raises(OSError, match="No such file"):
        memory.save(tmp_path / "missing" / "file")
    for _ in range(130):
        memory.append(*next(play))


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("steps", [0, 3, 60, 61, 130])
def test_what_is_read_back_is_what_was_there(tmp_path: Path, codec: str, steps: int) -> None:
    memory, other = memory_of(codec), memory_of(codec)
    play = random_play(np.random.default_rng(0), 2, (12, 10))
    for _ in range(steps):
        memory.append(*next(play))
    memory.save(tmp_path / "file")
    other.load(tmp_path / "file")
    for _ in range(30):
        step = next(play)
        memory.append(*step)
        other.append(*step)
    ours, theirs = (each.sample(50, np.random.default_rng(1)) for each in (memory, other))
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(our, their)
    with ArrayFile(tmp_path / "file", MEMORY_KIND) as file:
        assert file.attributes["memory"]["codec"] == codec
