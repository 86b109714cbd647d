"""Frames to hold, and stores of frames with a plain list of all that they were ever given."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from atari.games import find_game
from preprocessing import AtariEnvironments
from replay.frames import FrameStore, make_frame_store, most_bytes
from replay.packed_frames import GROUP
from storage.arrays import ArrayFile, save
from storage.loans import end_loans

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPE = (84, 84)


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
                other.store.load(file.attributes, file)
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


kinds = st.sampled_from(["game", "noise", "black"])


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


def bytes_of_what_is_held(watched: Watched, since: int = 0) -> int:
    """Returns what the frames that are held take packed, from a time on."""
    _, arrays = state_of(watched.store)
    lengths = arrays["lengths"]
    first = max(since, watched.store.oldest)
    held = np.arange(first // GROUP, watched.store.time // GROUP)
    return int(lengths[held % len(lengths)].sum())
