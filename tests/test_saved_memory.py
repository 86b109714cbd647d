"""A replay memory that was saved and loaded goes on as if nothing had happened."""

from __future__ import annotations

import struct
import subprocess
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import arrays
from storage.arrays import ArrayFileError
from system.root import ROOT
from tests.helpers.memories import a_memory
from tests.helpers.plays import Step, random_play, real_play

if TYPE_CHECKING:
    from pathlib import Path

    from replay_memory import ReplayMemory

CODECS = pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
EXPONENTS = pytest.mark.parametrize("exponent", [0.0, 0.6])
SMALL: dict[str, Any] = {
    "capacity": 60, "streams": 2, "frame_shape": (4, 6), "stack_size": 3, "n_step": 2,
    "discount": 0.9, "codec": "zstd", "priority_exponent": 0.6, "game": "Pong-v0",
}  # fmt: skip


def learn(memory: ReplayMemory, seed: int) -> None:
    """Draws a batch and takes TD errors for it, if there is anything to draw."""
    rng = np.random.default_rng(seed)
    if memory.can_sample:
        indices = memory.sample(8, rng).indices
        memory.update_priorities(indices, rng.exponential(size=8).astype(np.float32))


def small(steps: int, seed: int = 0, **changes: Any) -> ReplayMemory:
    """Returns a memory that has seen so many steps, and learnt."""
    settings = SMALL | changes
    memory = a_memory(**settings)
    rng = np.random.default_rng(seed)
    frame_shape = (*settings["frame_shape"], settings.get("frames_per_step", 1))
    play = random_play(rng, settings["streams"], frame_shape)
    for number, step in enumerate(islice(play, steps)):
        memory.append(*step)
        learn(memory, number)
    return memory


def saved(memory: ReplayMemory, path: Path) -> bytes:
    """Returns the bytes of a file of the memory."""
    memory.save(path)
    return path.read_bytes()


def assert_alike(one: ReplayMemory, other: ReplayMemory, seed: int = 0) -> None:
    """Asserts that two memories hold the same, as far as can be seen from outside."""
    assert (len(one), one.nbytes, one.is_short, one.can_sample, repr(one)) == (
        len(other), other.nbytes, other.is_short, other.can_sample, repr(other),
    )  # fmt: skip
    if one.can_sample:
        ours, theirs = (m.sample(50, np.random.default_rng(seed), 0.5) for m in (one, other))
        for array, same in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(array, same)


def assert_go_on_alike(
    one: ReplayMemory, other: ReplayMemory, play: list[Step], every: int = 1
) -> None:
    """Asserts that two memories are alike and stay so as both see more, and learn."""
    for number, step in enumerate(play):
        if number % every == 0:
            assert_alike(one, other, number)
        for memory in (one, other):
            memory.append(*step)
            learn(memory, number)
    assert_alike(one, other)


# ---------------------------------------------------------------- what is saved is loaded


# Empty; one step; a group of frames just full, and the next one open; the memory just full, and
# wrapped around, by one step and twice.
@pytest.mark.parametrize("steps", [0, 1, 4, 6, 30, 31, 75])
@EXPONENTS
@CODECS
def test_a_loaded_memory_is_the_one_that_was_saved(
    codec: str, exponent: float, steps: int, tmp_path: Path
) -> None:
    memory = small(steps, codec=codec, priority_exponent=exponent)
    before = saved(memory, tmp_path / "memory")
    loaded = small(0, codec=codec, priority_exponent=exponent)
    loaded.load(tmp_path / "memory")
    assert saved(loaded, tmp_path / "again") == before
    play = list(islice(random_play(np.random.default_rng(1), 2, (4, 6)), 45))
    assert_go_on_alike(memory, loaded, play, every=5)
    assert saved(loaded, tmp_path / "again") == saved(memory, tmp_path / "memory")


@settings(max_examples=30, deadline=None)
@given(
    codec=st.sampled_from(["none", "lz4", "zstd"]),
    exponent=st.sampled_from([0.0, 0.5, 1.0]),
    streams=st.integers(1, 3),
    rows=st.integers(5, 20),
    steps=st.integers(0, 50),
    steps_before=st.integers(0, 50),
)
def test_whatever_a_memory_held_gives_way_to_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, codec: str, exponent: float, streams: int,
    rows: int, steps: int, steps_before: int,
) -> None:  # fmt: skip
    shape = {"capacity": rows * streams, "streams": streams, "codec": codec}
    memory = small(steps, 0, **shape, priority_exponent=exponent)
    loaded = small(steps_before, 1, **shape, priority_exponent=exponent)
    path = tmp_path_factory.mktemp("saved") / "memory"
    memory.save(path)
    loaded.load(path)
    play = random_play(np.random.default_rng(1), streams, (4, 6))
    assert_go_on_alike(memory, loaded, list(islice(play, 20)), every=2)


@pytest.fixture(scope="module")
def play() -> list[Step]:
    """Gives 700 steps of two games."""
    return real_play("ALE/Riverraid-v5", 2, 700, seed=3)


@pytest.mark.parametrize("steps", [300, 520])
@CODECS
def test_a_real_game_is_saved_with_the_dictionaries_that_pack_it(
    codec: str, steps: int, play: list[Step], tmp_path: Path
) -> None:
    def empty() -> ReplayMemory:
        return a_memory(
            800, 2, (84, 84), 4, 3, 0.99, codec=codec, priority_exponent=0.6, game="Riverraid"
        )

    memory, loaded = empty(), empty()
    for number, step in enumerate(play[:steps]):
        memory.append(*step)
        if number % 10 == 0:
            learn(memory, number)
    before = saved(memory, tmp_path / "memory")
    with arrays.ArrayFile(tmp_path / "memory", "replay memory") as file:
        assert ("dictionary 1" in file.names) == (codec == "zstd")
    loaded.load(tmp_path / "memory")
    assert saved(loaded, tmp_path / "again") == before
    assert_go_on_alike(memory, loaded, play[steps : steps + 120], every=12)
    assert saved(loaded, tmp_path / "again") == saved(memory, tmp_path / "memory")


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_a_memory_that_gave_up_frames_is_saved_as_such(codec: str, tmp_path: Path) -> None:
    noise = list(islice(random_play(np.random.default_rng(1), 1, (84, 84)), 460))
    shape = {"capacity": 400, "streams": 1, "frame_shape": (84, 84), "codec": codec}
    memory, loaded = small(0, **shape), small(0, **shape)
    for step in noise[:450]:
        memory.append(*step)
    assert memory.is_short
    memory.save(tmp_path / "memory")
    # No time is lost on drawing what it gave up.
    with arrays.ArrayFile(tmp_path / "memory", "replay memory") as file:
        assert np.count_nonzero(file.read("priorities")) == len(memory)
    loaded.load(tmp_path / "memory")
    assert_go_on_alike(memory, loaded, noise[450:], every=3)


def test_a_file_is_no_larger_than_what_it_holds(tmp_path: Path) -> None:
    large = {"capacity": 10**6, "frame_shape": (84, 84)}
    memory = small(40, **large, priority_exponent=0.0, codec="none")
    assert len(saved(memory, tmp_path / "memory")) < 80 * (84 * 84 + 8) + 2000


# ---------------------------------------------------------------- what cannot be loaded


def refusal(memory: ReplayMemory, path: Path) -> str:
    """Returns why a file is not loaded: one line that names it. The memory stays as it was."""
    before = saved(memory, path.with_name("before"))
    with pytest.raises(ArrayFileError) as caught:
        memory.load(path)
    assert saved(memory, path.with_name("after")) == before
    text = str(caught.value)
    assert text.startswith(f"{path} ")
    assert text.isprintable()
    return text.removeprefix(f"{path} ")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"game": "Breakout-v0"}, "is of game Breakout-v0, this run of Pong-v0"),
        ({"frame_shape": (4, 7)}, "is of states [4, 7, 3], this run of [4, 6, 3]"),
        ({"frame_shape": (6, 4)}, "is of states [6, 4, 3], this run of [4, 6, 3]"),
        ({"stack_size": 4}, "is of states [4, 6, 4], this run of [4, 6, 3]"),
        ({"frames_per_step": 3}, "is of frames a step 3, this run of 1"),
        ({"streams": 3}, "is of streams 3, this run of 2"),
        ({"capacity": 80}, "is of capacity 80, this run of 60"),
        ({"codec": "lz4"}, "is of codec lz4, this run of zstd"),
        ({"codec": "none"}, "is of codec none, this run of zstd"),
        ({"priority_exponent": 0.5}, "is of priority exponent 0.5, this run of 0.6"),
        ({"priority_exponent": 0.0}, "is of priority exponent 0.0, this run of 0.6"),
    ],
)
@pytest.mark.parametrize("steps", [0, 40])
def test_a_memory_of_another_kind_is_refused(
    changed: dict[str, Any], says: str, steps: int, tmp_path: Path
) -> None:
    path = tmp_path / "memory"
    small(40, **changed).save(path)
    assert refusal(small(steps, seed=1), path) == says


def test_returns_may_be_of_another_length_and_discount(tmp_path: Path) -> None:
    small(40, n_step=1, discount=0.5).save(tmp_path / "memory")
    loaded, other = small(0), small(0, n_step=1, discount=0.5)
    for memory in (loaded, other):
        memory.load(tmp_path / "memory")
    longer, single = (drawn.sample(50, np.random.default_rng(0)) for drawn in (loaded, other))
    assert set(np.round(longer.discount_t, 4)) == {0, np.float32(0.9), np.float32(0.81)}
    assert set(single.discount_t) == {0, 0.5}


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    says = "does not exist: give the path of a replay memory file"
    assert refusal(small(5), tmp_path / "memory") == says


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    arrays.save(path, "weights", {}, {"kernel": np.ones(3)})
    assert refusal(small(5), path) == "is a 'weights' file, not a 'replay memory' file"
    path.write_bytes(b"Episode: 0 Reward: -21.0 Steps: 900\n")
    assert "is no replay memory file" in refusal(small(5), path)
    path.write_bytes(b"")
    assert "is cut short" in refusal(small(5), path)


def test_another_format_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    whole = saved(small(40), path)
    path.write_bytes(whole[:8] + struct.pack("<I", 2) + whole[12:])
    assert refusal(small(5), path) == "is of format version 2, and only version 1 can be read"


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_damaged_file_is_refused(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "memory"
    memory = small(3, seed=1, codec=codec)
    whole = saved(small(40, codec=codec), path)
    places = {0, 9, 15, 25, len(whole) // 2, len(whole) - 1, *range(100, len(whole), 997)}
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        assert refusal(memory, path)
    for length in (5, 19, 100, len(whole) // 2, len(whole) - 4, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "cut short" in refusal(memory, path)
    path.write_bytes(whole + b"\0")
    assert "damaged" in refusal(memory, path)
    path.write_bytes(whole)
    memory.load(path)
    assert_alike(memory, small(40, codec=codec))


# ---------------------------------------------------------------- what cannot be saved


# Saves a memory where files may have so many bytes at most, as on a disk that is full.
SAVE_UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path

sys.path.insert(0, ".")
from tests.test_saved_memory import small

memory = small(75)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    memory.save(Path(sys.argv[1]))
except OSError as error:
    print(error.filename)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits on the size of files")
def test_an_older_file_stays_when_saving_fails(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    before = saved(small(40), path)
    done = subprocess.run(
        [sys.executable, "-c", SAVE_UNDER_A_LIMIT, path, str(len(before) // 2)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"{path}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["memory"]
    assert path.read_bytes() == before


def test_saving_to_a_folder_that_is_not_there_fails(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "memory"
    with pytest.raises(FileNotFoundError) as caught:
        small(5).save(path)
    assert caught.value.filename == str(path)


def test_saving_changes_nothing(tmp_path: Path) -> None:
    memory, other = small(75), small(75)
    saved(memory, tmp_path / "memory")
    play = list(islice(random_play(np.random.default_rng(1), 2, (4, 6)), 10))
    assert_go_on_alike(memory, other, play)
