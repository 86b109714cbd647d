"""The stores of frames, held against a plain list of all that they were ever given."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atari.games import find_game
from preprocessing import AtariEnvironments
from replay.frames import GROUP, NAMES, PACKED_FRAME_BYTES, FrameStore, make_frame_store, most_bytes
from replay.packing import CODECS, MOST_DICTIONARIES
from storage.arrays import ArrayFile, save
from storage.loans import end_loans

SHAPE = (84, 84)
PACKED = [name for name in NAMES if name != "none"]
seeds = st.integers(0, 2**32 - 1)

every_codec = pytest.mark.parametrize("codec", NAMES)
every_packing_codec = pytest.mark.parametrize("codec", PACKED)


def record(environment_id: str, rows: int) -> np.ndarray:
    """Plays two games at random; returns their frames, [rows, 2, 84, 84] uint8."""
    rng = np.random.default_rng(1)
    environments = AtariEnvironments(find_game(environment_id), 2, rng)
    frames = [environments.reset()[..., 0].copy()]
    while len(frames) < rows:
        actions = rng.integers(environments.num_actions, size=2)
        frames.append(environments.step(actions).frames[..., 0].copy())
    environments.close()
    return np.stack(frames)


@pytest.fixture(scope="module")
def ms_pacman() -> np.ndarray:
    return record("MsPacman-v4", 600)


@pytest.fixture(scope="module")
def pong() -> np.ndarray:
    return record("Pong-v4", 320)


def noise(seed: int, rows: int, streams: int = 2, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(256, size=(rows, streams, *shape), dtype=np.uint8)


def endlessly(frames: np.ndarray, start: int = 0) -> Iterator[np.ndarray]:
    """Yields the frames again and again, into the same array as environments do."""
    shown = np.empty_like(frames[0])
    while True:
        shown[:] = frames[start % len(frames)]
        yield shown
        start += 1


def state_of(store: FrameStore) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the state of a store, whose frames are back at once."""
    numbers, arrays = store.get_state()
    end_loans(arrays.values())
    return numbers, arrays


class Watched:
    """A store, and beside it a plain list of all that it was given."""

    def __init__(
        self, codec: str, rows: int, streams: int = 2, shape: tuple[int, int] = SHAPE
    ) -> None:
        self.codec, self.rows, self.streams, self.shape = codec, rows, streams, shape
        self.frame_bytes = shape[0] * shape[1]
        self.store = make_frame_store(codec, rows, streams, self.frame_bytes)
        self.most_bytes = most_bytes(codec, rows, streams, self.frame_bytes)
        self.given: list[np.ndarray] = []

    def append(self, frames: Iterator[np.ndarray], count: int) -> None:
        for _ in range(count):
            before, given = self.store.oldest, next(frames)
            self.store.append(given)
            self.given.append(given.copy())
            assert self.store.time == len(self.given)
            assert before <= self.store.oldest < self.store.time
            assert self.store.nbytes <= self.most_bytes

    @property
    def is_full_sized(self) -> bool:
        """Whether all is held that there is to hold."""
        return self.store.oldest == max(0, len(self.given) - self.rows)

    def assert_reads_back(self, seed: int = 0) -> None:
        """Reads all that is held, and some of it twice, in random order."""
        held = np.arange(self.store.oldest * self.streams, self.store.time * self.streams)
        rng = np.random.default_rng(seed)
        wanted = rng.permutation(np.concatenate([held, held[: len(held) // 3]]))
        self.assert_reads(*np.divmod(wanted, self.streams))

    def assert_reads(self, times: np.ndarray, streams: np.ndarray) -> None:
        out = np.full((len(times), self.frame_bytes), 77, np.uint8)
        self.store.read(times, streams, out)
        for time, stream, found in zip(times, streams, out, strict=True):
            assert found.tobytes() == self.given[time][stream].tobytes()

    def saved_and_loaded(self, into: FrameStore | None = None) -> Watched:
        """Returns another that holds what this one does, by way of a file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frames"
            numbers, arrays = state_of(self.store)
            save(path, "frames", numbers, arrays)
            other = Watched(self.codec, self.rows, self.streams, self.shape)
            other.store = into or other.store
            with ArrayFile(path, "frames") as file:
                other.store.set_state(file.attributes, file)
        other.given = list(self.given)
        return other


def content_of(store: FrameStore) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Returns the numbers and the arrays of a state, these as bytes."""
    numbers, arrays = state_of(store)
    return numbers, {name: np.asarray(each).tobytes() for name, each in arrays.items()}


def assert_same(one: FrameStore, other: FrameStore) -> None:
    (numbers, arrays), (other_numbers, other_arrays) = content_of(one), content_of(other)
    assert other_numbers == numbers
    assert other_arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert other_arrays[name] == array, name
    assert (other.time, other.oldest, other.nbytes) == (one.time, one.oldest, one.nbytes)


# ---------------------------------------------------------------- what was given is read

kinds = st.sampled_from(["game", "noise", "black"])
small_shapes = st.sampled_from([(1, 1), (1, 2), (3, 5), (12, 9)])


def some_frames(
    kind: str, seed: int, streams: int, shape: tuple[int, int], game: np.ndarray
) -> Iterator[np.ndarray]:
    if kind == "noise":
        return endlessly(noise(seed, 50, streams, shape))
    if kind == "black":
        return endlessly(np.zeros((1, streams, *shape), np.uint8))
    # Each stream is elsewhere in the game. Small frames are of the middle of the screen.
    top, left = (84 - shape[0]) // 2, (84 - shape[1]) // 2
    seen = game[:, :, top : top + shape[0], left : left + shape[1]]
    each = [np.roll(seen[:, stream % 2], -40 * stream, axis=0) for stream in range(streams)]
    return endlessly(np.stack(each, axis=1), start=seed % 600)


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


# ---------------------------------------------------------------- how much it takes


@pytest.mark.parametrize(("codec", "share"), [("lz4", 1 / 5), ("zstd", 1 / 12)])
def test_frames_of_a_game_take_far_less_than_unpacked(
    codec: str, share: float, ms_pacman: np.ndarray
) -> None:
    plain, packed = Watched("none", 600), Watched(codec, 600)
    for watched in (plain, packed):
        watched.append(endlessly(ms_pacman), 600)
    assert plain.store.nbytes == plain.most_bytes == 600 * 2 * 84 * 84
    assert packed.store.nbytes < share * plain.store.nbytes


def bytes_of_what_is_held(watched: Watched, since: int = 0) -> int:
    """Returns what the frames that are held take packed, from a time on."""
    _, arrays = state_of(watched.store)
    lengths = arrays["lengths"]
    first = max(since, watched.store.oldest)
    held = np.arange(first // GROUP, watched.store.time // GROUP)
    return int(lengths[held % len(lengths)].sum())


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


@every_codec
def test_a_large_store_takes_hardly_anything_before_it_is_filled(codec: str) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    store = make_frame_store(codec, 12_500, 8, 84 * 84)
    assert process.memory_info().rss - before < 8 << 20
    assert store.nbytes < 1 << 20


def test_a_million_frames_take_a_gigabyte_at_most() -> None:
    for codec in PACKED:
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
        index = 3_000 // GROUP * 2 * 16 if codec in PACKED else 0
        assert (tmp_path / "frames").stat().st_size < watched.store.nbytes + index + 4_000


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
            each.store.set_state(file.attributes, file)
            each.given = list(watched.given)
    one.append(endlessly(noise(0, 97)), 500)
    other.append(endlessly(ms_pacman, start=200), 400)
    one.append(endlessly(noise(0, 97)), 100)
    for each in (one, other):
        each.assert_reads_back()
    assert other.is_full_sized


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
