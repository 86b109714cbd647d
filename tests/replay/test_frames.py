"""All stores of frames, held against a plain list of all that they were ever given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from replay.frames import NAMES, make_frame_store, most_bytes
from replay.packed_frames import GROUP
from replay.packing import CODECS
from storage.arrays import ArrayFile, save
from tests.helpers.frame_stores import (
    SHAPE,
    Watched,
    assert_same,
    endlessly,
    kinds,
    noise,
    record,
    some_frames,
    state_of,
)  # fmt: skip
from tests.helpers.resident_memory import taken_by

if TYPE_CHECKING:
    from pathlib import Path

seeds = st.integers(0, 2**32 - 1)
small_shapes = st.sampled_from([(1, 1), (1, 2), (3, 5), (12, 9)])

every_codec = pytest.mark.parametrize("codec", NAMES)


@pytest.fixture(scope="module")
def ms_pacman() -> np.ndarray:
    return record("MsPacman-v4", 600)


# ---------------------------------------------------------------- what was given is read


def assert_holds_what_a_list_would(
    codec: str,
    rows: int,
    streams: int,
    shape: tuple[int, int],
    parts: list[tuple[str, int, int, bool]],
    game: np.ndarray,
) -> None:
    watched = Watched(codec, rows, streams, shape)
    for kind, seed, count, saved in parts:
        frames = some_frames(kind, seed, streams, shape, game)
        watched.append(frames, count)
        assert watched.is_full_sized
        watched.assert_reads_back(seed)
        if saved:
            watched = watched.saved_and_loaded()
            watched.assert_reads_back(seed)


@every_codec
@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 4),
    small_shapes,
    st.lists(st.tuples(kinds, seeds, st.integers(1, 90), st.booleans()), max_size=5),
)
@example(1, 1, (1, 1), [("noise", 0, each, True) for each in (1, 2, 1, 8)])
@example(4, 3, (1, 1), [("noise", 0, 4, True), ("game", 0, 50, True)])
@example(5, 2, (3, 5), [("game", 0, 300, False)])
def test_small_frames_read_back_whatever_comes(
    ms_pacman: np.ndarray,
    codec: str,
    rows: int,
    streams: int,
    shape: tuple[int, int],
    parts: list[tuple[str, int, int, bool]],
) -> None:
    assert_holds_what_a_list_would(codec, rows, streams, shape, parts, ms_pacman)


@every_codec
@settings(deadline=None, max_examples=15)
@given(
    st.integers(1, 40),
    st.integers(1, 3),
    st.lists(st.tuples(kinds, seeds, st.integers(1, 90), st.booleans()), max_size=4),
)
@example(1, 1, [("noise", 0, 9, False)])
@example(30, 2, [("game", 0, 100, False), ("noise", 0, 61, False), ("game", 1, 31, False)])
def test_frames_read_back_whatever_comes(
    ms_pacman: np.ndarray,
    codec: str,
    rows: int,
    streams: int,
    parts: list[tuple[str, int, int, bool]],
) -> None:
    assert_holds_what_a_list_would(codec, rows, streams, SHAPE, parts, ms_pacman)


@every_codec
def test_each_frame_is_held_for_exactly_so_many_rows(codec: str, ms_pacman: np.ndarray) -> None:
    watched, frames = Watched(codec, 10), endlessly(ms_pacman)
    oldest = []
    for _ in range(35):
        watched.append(frames, 1)
        oldest.append(watched.store.oldest)
        watched.assert_reads_back()
    assert oldest == [0] * 10 + list(range(1, 26))


@every_codec
@pytest.mark.parametrize("rows", [50, 200])
def test_random_frames_do_not_break_a_small_store(codec: str, rows: int) -> None:
    watched, frames = Watched(codec, rows), endlessly(noise(0, 97))
    for _ in range(12):
        watched.append(frames, 61)
        assert watched.is_full_sized
        watched.assert_reads_back()


@every_codec
def test_frames_of_a_game_are_held_through_many_rounds(codec: str, ms_pacman: np.ndarray) -> None:
    watched, frames = Watched(codec, 320), endlessly(ms_pacman)
    for _ in range(7):
        watched.append(frames, 251)
        assert watched.is_full_sized
        watched.assert_reads_back()


@every_codec
def test_a_few_frames_of_any_order_are_read(codec: str, ms_pacman: np.ndarray) -> None:
    watched = Watched(codec, 320)
    watched.append(endlessly(ms_pacman), 501)
    newest = watched.store.time - 1
    assert newest // GROUP * GROUP == newest  # alone in a group that is not packed yet
    for times in ([newest], [newest - 1, newest], [newest] * 3, [watched.store.oldest], []):
        for stream in (0, 1):
            chosen = np.array(times, np.int64)
            watched.assert_reads(chosen, np.full(len(chosen), stream, np.int64))


@every_codec
def test_a_new_store_is_empty(codec: str) -> None:
    store = make_frame_store(codec, 100, 2, 84 * 84)
    assert store.time == store.oldest == 0
    store.read(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 84 * 84), np.uint8))


def test_there_is_no_other_codec() -> None:
    with pytest.raises(ValueError, match="no codec 'gzip': choose from none, lz4, zstd"):
        make_frame_store("gzip", 10, 2, 84 * 84)


# ---------------------------------------------------------------- how much it takes


@every_codec
def test_a_large_store_takes_hardly_anything_before_it_is_filled(codec: str) -> None:
    store = f"make_frame_store({codec!r}, 12_500, 8, 84 * 84)"
    assert taken_by("from replay.frames import make_frame_store", store) < 8 << 20
    assert make_frame_store(codec, 12_500, 8, 84 * 84).nbytes < 1 << 20


def test_a_million_frames_take_a_gigabyte_at_most() -> None:
    for codec in CODECS:
        assert most_bytes(codec, 125_000, 8, 84 * 84) < 1.1e9
        # Frames of another size get room in proportion.
        larger = most_bytes(codec, 125_000, 8, 160 * 160) / most_bytes(codec, 125_000, 8, 84 * 84)
        assert larger == pytest.approx((160 / 84) ** 2, rel=0.02)
    assert most_bytes("none", 125_000, 8, 84 * 84) == 1_000_000 * 84 * 84


@every_codec
@given(st.integers(0, 200_000), st.integers(0, 200_000), st.integers(1, 64), st.integers(1, 8_000))
def test_more_rows_take_more(
    codec: str, one: int, other: int, streams: int, frame_bytes: int
) -> None:
    fewer, more = sorted((one, other))
    least, most = (most_bytes(codec, rows, streams, frame_bytes) for rows in (fewer, more))
    assert least <= most
    if more > 2 * max(fewer, 1_000):
        assert least < most


# ---------------------------------------------------------------- saving and loading


@every_codec
@pytest.mark.parametrize("filled", [0, 1, 4, 5, 318, 320, 321, 983])
def test_a_saved_store_goes_on_as_if_nothing_had_happened(
    codec: str, filled: int, ms_pacman: np.ndarray
) -> None:
    watched = Watched(codec, 320)
    watched.append(endlessly(ms_pacman), filled)
    loaded = watched.saved_and_loaded()
    assert_same(watched.store, loaded.store)
    loaded.assert_reads_back()
    for each in (watched, loaded):
        frames = endlessly(ms_pacman, start=filled)
        each.append(frames, 201)
        each.append(endlessly(noise(1, 97)), 167)
    assert_same(watched.store, loaded.store)
    loaded.assert_reads_back()


@every_codec
@pytest.mark.parametrize("filled", [0, 5, 320, 983])
def test_loading_leaves_nothing_of_what_was_held_before(
    codec: str, filled: int, ms_pacman: np.ndarray
) -> None:
    used = Watched(codec, 320)
    used.append(endlessly(noise(3, 97)), 555)
    used.append(endlessly(ms_pacman, start=300), 222)
    watched = Watched(codec, 320)
    watched.append(endlessly(ms_pacman), filled)
    loaded = watched.saved_and_loaded(into=used.store)
    assert_same(watched.store, loaded.store)
    loaded.assert_reads_back()
    for each in (watched, loaded):
        each.append(endlessly(ms_pacman, start=filled), 201)
    assert_same(watched.store, loaded.store)
    loaded.assert_reads_back()


@every_codec
def test_a_file_is_no_larger_than_what_is_held(
    codec: str, tmp_path: Path, ms_pacman: np.ndarray
) -> None:
    watched = Watched(codec, 3_000)
    for number in range(3):
        watched.append(endlessly(ms_pacman, start=200 * number), 200)
        numbers, arrays = state_of(watched.store)
        save(tmp_path / "frames", "frames", numbers, arrays)
        # The index is there for all rows at once.
        index = 3_000 // GROUP * 2 * 16 if codec in CODECS else 0
        assert (tmp_path / "frames").stat().st_size < watched.store.nbytes + index + 4_000


@every_codec
def test_two_stores_from_one_file_go_their_own_ways(
    codec: str, tmp_path: Path, ms_pacman: np.ndarray
) -> None:
    watched = Watched(codec, 320)
    watched.append(endlessly(ms_pacman), 200)
    numbers, arrays = state_of(watched.store)
    save(tmp_path / "frames", "frames", numbers, arrays)
    one, other = Watched(codec, 320), Watched(codec, 320)
    with ArrayFile(tmp_path / "frames", "frames") as file:
        for each in (one, other):
            each.store.load(file.attributes, file)
            each.given = list(watched.given)
    one.append(endlessly(noise(0, 97)), 500)
    other.append(endlessly(ms_pacman, start=200), 400)
    one.append(endlessly(noise(0, 97)), 100)
    for each in (one, other):
        each.assert_reads_back()
    assert other.is_full_sized
