"""What the codecs that pack frames promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atari.games import find_game
from preprocessing import AtariEnvironments
from replay.packed_frames import GROUP
from replay.packing import CODECS, DICTIONARY_SIZES, MOST_DICTIONARIES, Codec, ZstdCodec
from system.root import ROOT

MEMORY = Path("/proc/self/status")
GROUP_BYTES = GROUP * 84 * 84
seeds = st.integers(0, 2**32 - 1)


def record(environment_id: str, rows: int) -> list[bytes]:
    """Plays two games at random; returns their frames as they are packed, oldest first."""
    rng = np.random.default_rng(1)
    environments = AtariEnvironments(find_game(environment_id), 2, rng)
    frames = [environments.reset().copy()]
    while len(frames) < rows:
        actions = rng.integers(environments.num_actions, size=2)
        frames.append(environments.step(actions).frames.copy())
    environments.close()
    groups = np.stack(frames).reshape(-1, GROUP, 2, GROUP_BYTES // GROUP).swapaxes(1, 2)
    return [group.tobytes() for group in groups.reshape(-1, GROUP_BYTES)]


@pytest.fixture(scope="module")
def ms_pacman() -> list[bytes]:
    return record("MsPacman-v4", 600)


@pytest.fixture(scope="module")
def breakout() -> list[bytes]:
    return record("Breakout-v4", 160)


def noise(seed: int, count: int = 1, size: int = GROUP_BYTES) -> list[bytes]:
    rng = np.random.default_rng(seed)
    return [rng.bytes(size) for _ in range(count)]


def scenes(seed: int, count: int, how_many: int = 1) -> list[bytes]:
    """Returns random scenes by turns, each time with a few bytes changed."""
    rng = np.random.default_rng(seed)
    known = rng.integers(256, size=(how_many, GROUP_BYTES), dtype=np.uint8)
    seen = np.resize(known, (count, GROUP_BYTES))
    for one in seen:
        one[rng.integers(GROUP_BYTES, size=30)] ^= 1
    return [one.tobytes() for one in seen]


def sizes(codec: Codec, buffers: list[bytes]) -> int:
    return sum(len(codec.pack(raw)) for raw in buffers)


def unpack(codec: Codec, packed: bytes, size: int, dictionary: int) -> bytes:
    """Returns what was packed, unpacked from between others."""
    among = memoryview(b"before" + packed + packed)
    starts, lengths = np.array([6, 6 + len(packed)]), np.full(2, len(packed))
    unpacked = np.zeros((3, size), np.uint8)
    codec.unpack(among, starts, lengths, dictionary, unpacked[:2])
    first, second, after = unpacked
    assert first.tobytes() == second.tobytes()
    assert not after.any()
    return first.tobytes()


def learnt_from(samples: list[bytes]) -> ZstdCodec:
    codec = ZstdCodec()
    codec.learn(samples)
    return codec


def assert_comes_back(codec: Codec, raw: bytes) -> None:
    for given_as in (raw, memoryview(raw)):
        packed = codec.pack(given_as)
        assert len(packed) <= len(raw) + len(raw) // 128 + 64  # what the store leaves room for
        assert unpack(codec, packed, len(raw), codec.dictionary) == raw


@pytest.fixture(scope="module", params=[*CODECS, "zstd that has learnt"])
def codec(request: pytest.FixtureRequest, ms_pacman: list[bytes]) -> Codec:
    if request.param in CODECS:
        return CODECS[request.param]()
    learnt = learnt_from(ms_pacman[:200])
    assert learnt.dictionary
    return learnt


# ---------------------------------------------------------------- what goes in comes out


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=3_000), st.integers(1, 200))
@example(b"\0", 1)
@example(b"\0", GROUP_BYTES)
@example(b"\xff", 300_000)
def test_any_bytes_come_back_as_they_were(codec: Codec, pattern: bytes, times: int) -> None:
    assert_comes_back(codec, pattern * times)


def test_frames_of_a_game_come_back_as_they_were(
    codec: Codec, ms_pacman: list[bytes], breakout: list[bytes]
) -> None:
    for raw in ms_pacman + breakout:
        assert_comes_back(codec, raw)


@settings(deadline=None)
@given(seeds, st.integers(1, 2_000) | st.integers(1, 300_000) | st.just(GROUP_BYTES))
@example(0, 128)
@example(0, 255)
@example(0, 1 << 17)
def test_random_bytes_come_back_and_hardly_grow(codec: Codec, seed: int, size: int) -> None:
    assert_comes_back(codec, *noise(seed, size=size))


@pytest.mark.parametrize("size", [1, 100, GROUP_BYTES])
def test_zstd_spends_no_bytes_on_what_is_known(ms_pacman: list[bytes], size: int) -> None:
    for zstd in (ZstdCodec(), learnt_from(ms_pacman[:200])):
        [raw] = noise(0, size=size)
        # A frame of zstd with its size, and the block in it, begin with as much as this at least.
        assert len(zstd.pack(raw)) <= size + 10


def test_frames_of_a_game_pack_well(codec: Codec, ms_pacman: list[bytes]) -> None:
    assert sizes(codec, ms_pacman) < len(ms_pacman) * GROUP_BYTES / 8


# ---------------------------------------------------------------- learning


def test_dictionary_from_a_game_packs_its_later_frames_far_smaller(ms_pacman: list[bytes]) -> None:
    samples, later = ms_pacman[:200], ms_pacman[200:]
    learnt = learnt_from(samples)
    assert list(learnt.dictionaries) == [learnt.dictionary]
    assert sizes(learnt, later) < 0.8 * sizes(ZstdCodec(), later)


@pytest.mark.parametrize("how_many", [3, 16])
def test_a_larger_dictionary_is_taken_where_it_saves_much(how_many: int) -> None:
    samples = scenes(0, 400, how_many)  # that don't fit into the smallest
    assert len(samples) * GROUP_BYTES > DICTIONARY_SIZES[-1] * 16  # enough for the largest
    learnt = learnt_from(samples)
    assert len(learnt.dictionaries[learnt.dictionary]) > DICTIONARY_SIZES[0]
    assert sizes(learnt, samples) < 0.05 * sizes(ZstdCodec(), samples)


def test_a_larger_dictionary_is_not_taken_where_it_saves_little() -> None:
    # A larger one packs the scene a bit better, but most of what is packed is ever new.
    fresh = noise(1, 400, 3_000)
    samples = [raw[:7_000] + new for raw, new in zip(scenes(0, 400), fresh, strict=True)]
    samples = [raw.ljust(GROUP_BYTES, b"\0") for raw in samples]
    learnt = learnt_from(samples)
    assert 0 < len(learnt.dictionaries[learnt.dictionary]) <= DICTIONARY_SIZES[0]
    assert sizes(learnt, samples) < 0.5 * sizes(ZstdCodec(), samples)


def test_newest_samples_decide_which_dictionary_is_taken(ms_pacman: list[bytes]) -> None:
    """One that helped long ago, but not any more, is of no use."""
    random = noise(0, 100)
    assert learnt_from(random + ms_pacman[:200]).dictionary
    assert not learnt_from(ms_pacman[:200] + random).dictionary


def test_random_bytes_teach_nothing() -> None:
    assert learnt_from(noise(0, 100)).dictionaries == {}


def test_a_second_lesson_from_the_same_samples_teaches_nothing(ms_pacman: list[bytes]) -> None:
    learnt = learnt_from(ms_pacman)
    before = learnt.dictionaries
    learnt.learn(ms_pacman)
    assert learnt.dictionaries == before


@pytest.mark.parametrize(
    ("count", "size"), [(0, 1), (1, 1), (3, 1), (10, GROUP_BYTES), (1, 1 << 20), (2, 1 << 20)]
)
def test_too_few_samples_teach_nothing_and_do_no_harm(count: int, size: int) -> None:
    learnt = learnt_from([b"\7" * size] * count)
    assert learnt.dictionaries == {}
    assert_comes_back(learnt, b"\7" * GROUP_BYTES)


def test_tiny_samples_do_no_harm() -> None:
    learnt = learnt_from(noise(0, 40_000, size=16))
    assert_comes_back(learnt, b"\1\2\3\4")


def test_what_was_packed_before_a_lesson_still_unpacks(
    ms_pacman: list[bytes], breakout: list[bytes]
) -> None:
    learning = ZstdCodec()
    packed = []
    for lesson in (ms_pacman, breakout, scenes(0, 40)):
        packed += [(raw, learning.pack(raw), learning.dictionary) for raw in lesson]
        learning.learn(lesson)
        packed += [(raw, learning.pack(raw), learning.dictionary) for raw in lesson]
    assert sorted({number for *_, number in packed}) == [0, *sorted(learning.dictionaries)]
    assert len(learning.dictionaries) == 3
    for raw, small, number in packed:
        assert unpack(learning, small, len(raw), number) == raw


def test_codecs_that_learn_the_same_are_the_same(ms_pacman: list[bytes]) -> None:
    one, other = learnt_from(ms_pacman[:200]), learnt_from(ms_pacman[:200])
    assert one.dictionaries == other.dictionaries
    assert [one.pack(raw) for raw in ms_pacman] == [other.pack(raw) for raw in ms_pacman]


def test_lz4_never_learns(ms_pacman: list[bytes]) -> None:
    lz4 = CODECS["lz4"]()
    before = [lz4.pack(raw) for raw in ms_pacman]
    lz4.learn(ms_pacman)
    lz4.keep([])
    lz4.use(lz4.dictionaries)
    assert [lz4.pack(raw) for raw in ms_pacman] == before
    assert not lz4.can_learn
    assert lz4.dictionaries == {}
    assert lz4.dictionary == lz4.most_bytes(1 << 20) == 0


# ---------------------------------------------------------------- what is kept


@pytest.fixture
def scholar() -> ZstdCodec:
    """Returns a codec that has learnt as often as there is room for."""
    learning = ZstdCodec()
    for seed in range(MOST_DICTIONARIES):
        assert learning.can_learn
        learning.learn(scenes(seed, 40))
        assert len(learning.dictionaries) == seed + 1
        assert learning.dictionary == [*learning.dictionaries][-1]
    return learning


def test_there_is_room_for_so_many_dictionaries_and_no_more(scholar: ZstdCodec) -> None:
    assert not scholar.can_learn


def test_a_dictionary_that_is_not_in_use_is_forgotten(scholar: ZstdCodec) -> None:
    before = scholar.dictionaries
    numbers = list(before)
    raw = scenes(1, 1)[0]
    packed = {number: pack_with(before, number, raw) for number in numbers}
    scholar.keep([0, numbers[1], numbers[2]])
    assert list(before) == numbers  # a state stays as it was
    assert list(scholar.dictionaries) == numbers[1:]  # the last is the present one
    assert scholar.can_learn
    for number in numbers[1:]:
        assert unpack(scholar, packed[number], len(raw), number) == raw
    with pytest.raises(KeyError):
        unpack(scholar, packed[numbers[0]], len(raw), numbers[0])


def pack_with(dictionaries: dict[int, bytes], number: int, raw: bytes) -> bytes:
    codec = ZstdCodec()
    codec.use({number: dictionaries[number]})
    assert codec.dictionary == number
    return codec.pack(raw)


def test_the_present_dictionary_is_never_forgotten(scholar: ZstdCodec) -> None:
    raw, present = scenes(3, 1)[0], scholar.dictionary
    packed = scholar.pack(raw)
    scholar.keep([])
    assert list(scholar.dictionaries) == [present]
    assert scholar.pack(raw) == packed
    assert unpack(scholar, packed, len(raw), present) == raw


def test_what_was_packed_without_a_dictionary_always_unpacks(scholar: ZstdCodec) -> None:
    raw = scenes(0, 1)[0]
    packed = ZstdCodec().pack(raw)
    scholar.keep([])
    assert unpack(scholar, packed, len(raw), 0) == raw


def test_a_new_dictionary_never_takes_the_number_of_one_in_use(scholar: ZstdCodec) -> None:
    _, *others = scholar.dictionaries.items()
    for seed in range(100, 105):
        scholar.keep([number for number, _ in others])
        scholar.learn(scenes(seed, 40))
        assert list(scholar.dictionaries.items())[:-1] == others
        assert scholar.dictionary not in dict([(0, b""), *others])
        _, *others = scholar.dictionaries.items()


@pytest.mark.parametrize("kept", [[], [0], [1, 2], [3]])
def test_state_makes_a_codec_that_packs_to_the_same_bytes(
    scholar: ZstdCodec, breakout: list[bytes], kept: list[int]
) -> None:
    numbers = list(scholar.dictionaries)
    scholar.keep([numbers[each] for each in kept])
    other = learnt_from(breakout)
    other.use(scholar.dictionaries)
    assert list(other.dictionaries.items()) == list(scholar.dictionaries.items())
    for seed in (0, 3, 200):
        scholar.learn(scenes(seed, 40))
        other.learn(scenes(seed, 40))
        assert other.dictionary == scholar.dictionary
        assert other.dictionaries == scholar.dictionaries
        for raw in breakout[:20] + scenes(seed, 4):
            packed = scholar.pack(raw)
            assert other.pack(raw) == packed
            assert unpack(other, packed, len(raw), scholar.dictionary) == raw


def test_state_of_a_codec_that_never_learnt_makes_one_that_did_forget(
    breakout: list[bytes],
) -> None:
    learnt = learnt_from(breakout)
    learnt.use(ZstdCodec().dictionaries)
    assert learnt.dictionary == 0
    assert learnt.dictionaries == {}
    assert [learnt.pack(raw) for raw in breakout] == [ZstdCodec().pack(raw) for raw in breakout]


# Learns as often as there is room for, and says how much more memory that took at its highest, and
# how much it was to be at most.
LEARNING = """
import random
from pathlib import Path
from replay.packing import ZstdCodec

def memory(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(kind))

rng, size, count = random.Random(0), 28_224, 320
learning = ZstdCodec()
before = memory("VmRSS")
while learning.can_learn:
    scenes = [rng.randbytes(size // 4) for _ in range(8)]
    samples = [scenes[each % 8] * 3 + rng.randbytes(size // 4) for each in range(count)]
    learning.learn(samples)
    del samples
print(memory("VmHWM") - before, learning.most_bytes(count * size))
"""


@pytest.mark.skipif(not MEMORY.exists(), reason="the system does not say what memory is in use")
def test_learning_takes_no_more_memory_than_it_says() -> None:
    command = [sys.executable, "-c", LEARNING]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    taken, most = map(int, done.stdout.split())
    assert taken < most + (4 << 20)  # what the libraries take when they are first used


@given(st.integers(0, 1 << 26), st.integers(0, 1 << 26))
def test_a_longer_lesson_takes_no_less(one: int, other: int) -> None:
    shorter, longer = sorted((one, other))
    assert ZstdCodec().most_bytes(shorter) <= ZstdCodec().most_bytes(longer)
