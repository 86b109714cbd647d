"""Packed frames: when they pack badly, how much they take, and what they are packed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.packed_frames import GROUP, PACKED_FRAME_BYTES
from replay.packing import CODECS, MOST_DICTIONARIES
from tests.helpers.frame_stores import (
    SHAPE,
    Watched,
    assert_same,
    bytes_of_what_is_held,
    endlessly,
    kinds,
    noise,
    record,
    some_frames,
    state_of,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterator

seeds = st.integers(0, 2**32 - 1)

every_packing_codec = pytest.mark.parametrize("codec", list(CODECS))


@pytest.fixture(scope="module")
def ms_pacman() -> np.ndarray:
    return record("MsPacman-v4", 600)


@pytest.fixture(scope="module")
def pong() -> np.ndarray:
    return record("Pong-v4", 320)


# ---------------------------------------------------------------- frames that pack badly


@every_packing_codec
@pytest.mark.parametrize("streams", [1, 3])
def test_random_frames_that_there_is_no_room_for_push_out_the_oldest(
    codec: str, streams: int
) -> None:
    watched, frames = Watched(codec, 900, streams), endlessly(noise(0, 97, streams))
    oldest = []
    for _ in range(31):
        watched.append(frames, 57)
        oldest.append(watched.store.oldest)
        assert watched.store.time - watched.store.oldest >= min(watched.store.time, 32)
        watched.assert_reads_back()
        # All chunks but the one that is being filled are full of what is held.
        *chunks, _ = state_of(watched.store)[1]["chunks"]
        assert bytes_of_what_is_held(watched) > 0.985 * sum(chunk.nbytes for chunk in chunks)
    assert not watched.is_full_sized
    # They are pushed out a few at a time, and not all at once.
    assert max(np.diff(oldest)) < 2 * 57


def frames_of_the_size_that_is_counted_on(codec: str) -> Iterator[np.ndarray]:
    """Yields frames, groups of which take what there is room for on average, and no less."""
    packing, rng = CODECS[codec](), np.random.default_rng(0)
    frames = np.zeros((GROUP, 2, *SHAPE), np.uint8)
    # So many random bytes, the same for both streams, and nothing else to be seen.
    most = size = GROUP * PACKED_FRAME_BYTES
    while len(packing.pack(rng.bytes(size).ljust(GROUP * 84 * 84, b"\0"))) > most:
        size -= 1
    while True:
        frames[0].reshape(2, -1)[:, :size] = rng.integers(256, size=size)
        yield from frames


@every_packing_codec
def test_all_is_held_that_takes_no_more_than_is_counted_on(codec: str) -> None:
    watched, frames = Watched(codec, 2_400), frames_of_the_size_that_is_counted_on(codec)
    for _ in range(4_000):
        watched.append(frames, 1)
        assert watched.is_full_sized
    watched.assert_reads_back()
    assert bytes_of_what_is_held(watched) > 0.99 * 2_400 * 2 * PACKED_FRAME_BYTES


@every_packing_codec
def test_all_is_held_again_once_frames_pack_well_again(codec: str, ms_pacman: np.ndarray) -> None:
    watched = Watched(codec, 600)
    watched.append(endlessly(noise(0, 97)), 700)
    assert not watched.is_full_sized
    frames = endlessly(ms_pacman)
    for _ in range(6):
        watched.append(frames, 101)
        watched.assert_reads_back()
    assert watched.is_full_sized
    watched.append(frames, 700)
    assert watched.is_full_sized
    watched.assert_reads_back()


@every_packing_codec
@settings(deadline=None, max_examples=6)
@given(
    st.integers(280, 500),
    st.lists(st.tuples(kinds, seeds, st.integers(1, 400)), min_size=1, max_size=4),
)
def test_the_newest_are_always_held_and_read_back(
    ms_pacman: np.ndarray, codec: str, rows: int, parts: list[tuple[str, int, int]]
) -> None:
    watched = Watched(codec, rows, 1)
    for kind, seed, count in parts:
        watched.append(some_frames(kind, seed, 1, SHAPE, ms_pacman), count)
        assert watched.store.time - watched.store.oldest >= min(watched.store.time, 32)
        watched.assert_reads_back(seed)


# ---------------------------------------------------------------- how much they take


@pytest.mark.parametrize(("codec", "share"), [("lz4", 1 / 5), ("zstd", 1 / 12)])
def test_frames_of_a_game_take_far_less_than_unpacked(
    codec: str, share: float, ms_pacman: np.ndarray
) -> None:
    plain, packed = Watched("none", 600), Watched(codec, 600)
    for watched in (plain, packed):
        watched.append(endlessly(ms_pacman), 600)
    assert plain.store.nbytes == plain.most_bytes == 600 * 2 * 84 * 84
    assert packed.store.nbytes < share * plain.store.nbytes


@every_packing_codec
def test_room_of_what_is_out_of_date_is_used_again(codec: str, ms_pacman: np.ndarray) -> None:
    watched, frames = Watched(codec, 300), endlessly(ms_pacman)
    for _ in range(40):
        watched.append(frames, 150)
        chunks = state_of(watched.store)[1]["chunks"]
        # One is being filled, and two may be only partly of use; each is never quite full.
        needed = bytes_of_what_is_held(watched) * 1.25 + 3 * chunks[0].nbytes
        assert sum(chunk.nbytes for chunk in chunks) <= needed
    assert watched.is_full_sized
    watched.assert_reads_back()


# ---------------------------------------------------------------- saving and loading


@every_packing_codec
@pytest.mark.parametrize("of_the_game", [0, 300, 700])
def test_a_store_that_was_short_of_room_goes_on_after_loading(
    codec: str, of_the_game: int, ms_pacman: np.ndarray
) -> None:
    watched = Watched(codec, 600)
    watched.append(endlessly(noise(0, 97)), 599)
    watched.append(endlessly(ms_pacman), of_the_game)
    assert watched.is_full_sized == (of_the_game == 700)
    loaded = watched.saved_and_loaded()
    assert_same(watched.store, loaded.store)
    for each in (watched, loaded):
        each.append(endlessly(ms_pacman, start=of_the_game), 103)
        each.append(endlessly(noise(1, 97)), 399)
        each.append(endlessly(ms_pacman), 299)
    assert_same(watched.store, loaded.store)
    loaded.assert_reads_back()


# ---------------------------------------------------------------- learning


def dictionaries(watched: Watched) -> dict[int, bytes]:
    """Returns those that are kept, by their numbers, the present one last."""
    numbers, arrays = state_of(watched.store)
    return {each: arrays[f"dictionary {each}"].tobytes() for each in numbers["dictionaries"]}


def in_front_of(number: int, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yields the frames before another background, without which they pack badly."""
    background = noise(1_000 + number, 1, 1)[0]
    for frame in frames:
        yield frame ^ background


def test_frames_are_learnt_from(ms_pacman: np.ndarray) -> None:
    learning, packing = Watched("zstd", 640), Watched("zstd", 32)  # too small to learn anything
    for watched in (learning, packing):
        watched.append(endlessly(ms_pacman), 600)
    assert len(dictionaries(learning)) == 1
    assert len(dictionaries(packing)) == 0
    newest = [bytes_of_what_is_held(each, since=580) for each in (learning, packing)]
    assert newest[0] < 0.8 * newest[1]


def test_another_game_leads_to_another_dictionary(pong: np.ndarray, ms_pacman: np.ndarray) -> None:
    watched = Watched("zstd", 800)
    watched.append(endlessly(pong), 320)
    [first] = dictionaries(watched)
    watched.assert_reads_back()
    watched.append(endlessly(ms_pacman), 320)
    kept = dictionaries(watched)
    assert next(iter(kept)) == first
    assert len(kept) >= 2
    # There are frames of both games.
    watched.assert_reads_back()
    watched = watched.saved_and_loaded()
    assert dictionaries(watched) == kept
    watched.assert_reads_back()
    watched.append(endlessly(ms_pacman, start=320), 800)
    watched.assert_reads_back()


def test_the_same_game_needs_no_other_dictionary(pong: np.ndarray) -> None:
    watched = Watched("zstd", 320)
    watched.append(endlessly(pong), 100)
    kept = dictionaries(watched)
    assert len(kept) == 1
    watched.append(endlessly(pong, start=100), 1_100)
    assert dictionaries(watched) == kept


def test_random_frames_lead_to_no_dictionary() -> None:
    watched = Watched("zstd", 640)
    watched.append(endlessly(noise(0, 601)), 601)
    assert dictionaries(watched) == {}


@pytest.mark.parametrize("rows", [800, 804])
def test_dictionaries_that_no_frame_needs_make_room_for_others(rows: int, pong: np.ndarray) -> None:
    watched, learnt = Watched("zstd", rows), set()
    for number in range(2 * MOST_DICTIONARIES):
        frames = in_front_of(number, endlessly(pong))
        for _ in range(400):
            watched.append(frames, 1)
            # The last that needs its dictionary is one of the oldest.
            watched.assert_reads(np.array([watched.store.oldest]), np.array([0]))
        kept = dictionaries(watched)
        assert len(kept) <= MOST_DICTIONARIES
        learnt |= set(kept.values())
        assert watched.is_full_sized
        watched.assert_reads_back()
    assert len(learnt) > MOST_DICTIONARIES + 1


def test_a_saved_store_packs_with_the_dictionary_that_it_packed_with(pong: np.ndarray) -> None:
    watched, order = Watched("zstd", 800), []
    for number in range(MOST_DICTIONARIES + 1):
        watched.append(in_front_of(number, endlessly(pong)), 360)
        loaded = watched.saved_and_loaded()
        for each in (watched, loaded):
            each.append(in_front_of(number, endlessly(pong, start=40)), 40)
        assert_same(watched.store, loaded.store)
        order.append(list(dictionaries(watched)))
    assert any(numbers != sorted(numbers) for numbers in order)


def test_there_are_never_too_many_dictionaries(pong: np.ndarray) -> None:
    watched, counts = Watched("zstd", 1_280), []
    for number in range(MOST_DICTIONARIES + 2):
        watched.append(in_front_of(number, endlessly(pong)), 320)
        counts.append(len(dictionaries(watched)))
        watched.assert_reads_back()
        watched = watched.saved_and_loaded()
        watched.assert_reads_back()
    assert max(counts) == MOST_DICTIONARIES
