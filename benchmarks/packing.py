"""Compares ways to pack the frames of a replay memory: how small they get, and how fast.

    pip install -r benchmarks/requirements.txt
    python3 -m benchmarks.packing                ten games, 2,000 steps of 2 environments each
    python3 -m benchmarks.packing --games Pong Breakout --frames 1000 --per-game
    python3 -m benchmarks.packing --games all    every game that ale-py ships

The games are played at random. G consecutive frames of an environment are packed together, as a
group, and unpacked together. Dictionaries are trained on the first 60% of the steps; sizes and
times are of the other 40%. A dictionary is no part of the sizes, as a memory needs only one.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import timeit
from collections.abc import Callable
from typing import NamedTuple

import lz4.block
import numpy as np
import zstandard
from zstandard import ZstdCompressionDict, ZstdCompressionParameters

from atari.games import Game, find_game, game_roms
from atari.screens import FRAME_SIZE
from preprocessing import AtariEnvironments

TEN = "Pong Breakout SpaceInvaders Seaquest Qbert MsPacman Enduro Riverraid BeamRider Phoenix"
SEED, ENVIRONMENTS = 1, 2
BATCH, WINDOW = 32, 7  # a transition is made of 7 frames in a row: states of 4, 3 steps apart
# Dictionaries are trained on groups of 4 frames, whatever they pack then: those trained on groups
# of 8 pack frames worse, a quarter larger.
LESSON = 4

Pack = Callable[[np.ndarray], bytes]
Unpack = Callable[[bytes], bytes]


def train(lessons: np.ndarray, kib: int, k: int = 2_000) -> ZstdCompressionDict | None:
    """Returns a dictionary of segments of k bytes; None if lessons are too few or too uniform."""
    samples = [lesson.tobytes() for lesson in lessons]
    try:
        return zstandard.train_dictionary(kib << 10, samples, k=k, d=8, level=1)
    except zstandard.ZstdError:
        return None


def train_best(lessons: np.ndarray, *kibs: int) -> ZstdCompressionDict | None:
    """Returns a dictionary of the smallest size within 5% of the best on the newest quarter."""
    older, newest = np.split(lessons, [len(lessons) * 3 // 4])
    sizes = {}
    for kib in kibs:
        pack, _ = zstd(newest[0].nbytes, 1, train(older, kib))
        sizes[kib] = sum(len(pack(lesson)) for lesson in newest)
    good_enough = 1.05 * min(sizes.values())
    return train(older, next(kib for kib in kibs if sizes[kib] <= good_enough))


def newest_frames(lessons: np.ndarray) -> ZstdCompressionDict:
    """Returns the newest frame of each environment as a dictionary."""
    frames = lessons[-ENVIRONMENTS:, -1].tobytes()
    return ZstdCompressionDict(frames, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def zstd(
    size: int, level: int, dictionary: ZstdCompressionDict | None, min_match: int = 7
) -> tuple[Pack, Unpack]:
    """Returns how zstd packs groups of `size` bytes; a dictionary is not to be used again."""
    settings = {"write_content_size": 1, "write_checksum": 0, "write_dict_id": 0}
    settings["min_match"] = min_match
    if dictionary:
        # With the usual small hash table most of a large dictionary is never found.
        settings["hash_log"] = 16
    parameters = ZstdCompressionParameters.from_level(level, **settings)
    if dictionary:
        # A second time, this would crash the interpreter.
        dictionary.precompute_compress(compression_params=parameters)
    compressor = zstandard.ZstdCompressor(compression_params=parameters, dict_data=dictionary)
    decompressor = zstandard.ZstdDecompressor(dict_data=dictionary)
    return (
        lambda group: compressor.compress(group.data),
        lambda packed: decompressor.decompress(packed, max_output_size=size),
    )


def lz4_block(size: int) -> tuple[Pack, Unpack]:
    """Returns how lz4 packs groups of `size` bytes."""
    return (
        lambda group: lz4.block.compress(group, store_size=False),
        lambda packed: lz4.block.decompress(packed, uncompressed_size=size),
    )


def differences(group: np.ndarray) -> np.ndarray:
    """Returns the first frame, and of the others what differs from the one before."""
    return np.concatenate([group[:1], group[1:] ^ group[:-1]])


def summed(changes: np.ndarray) -> np.ndarray:
    """Undoes `differences`."""
    group = changes.copy()
    for before, frame in itertools.pairwise(group):
        frame ^= before
    return group


class Variant(NamedTuple):
    """A way to pack groups of frames."""

    group: int = 4  # G, frames
    level: int = 1  # of zstd, 0 for lz4
    # From lessons of the game and of another one, [N, LESSON, 84, 84] uint8, oldest first.
    dictionary: Callable[[np.ndarray, np.ndarray], ZstdCompressionDict | None] = lambda *_: None
    arrange: Callable[[np.ndarray], np.ndarray] = lambda group: group
    restore: Callable[[np.ndarray], np.ndarray] = lambda group: group
    min_match: int = 7  # bytes of the shortest repetition that zstd uses, 0 for the level's own


def with_dictionary(kib: int, k: int = 2_000, group: int = 4) -> Variant:
    """Returns the variant with a dictionary of the game's own frames."""
    return Variant(group, dictionary=lambda own, _: train(own, kib, k))


BEST = "zstd 1, G = 4, the best of 32, 128 and 512 KiB"
VARIANTS = {
    **{f"lz4, G = {group}": Variant(group, level=0) for group in (1, 4, 8)},
    "lz4, G = 4, differences": Variant(level=0, arrange=differences, restore=summed),
    **{f"zstd 1, G = {group}": Variant(group) for group in (1, 2, 4, 8, 16)},
    "zstd 3, G = 4": Variant(level=3, min_match=0),
    "zstd 1, G = 4, differences": Variant(arrange=differences, restore=summed),
    "zstd 1, G = 4, interleaved": Variant(
        arrange=lambda group: np.ascontiguousarray(group.transpose(1, 2, 0)),
        restore=lambda pixels: pixels.reshape(FRAME_SIZE, FRAME_SIZE, -1).transpose(2, 0, 1),
    ),
    **{f"zstd 1, G = {group}, 16 KiB": with_dictionary(16, group=group) for group in (1, 4, 8)},
    **{f"zstd 1, G = 4, {kib} KiB": with_dictionary(kib) for kib in (32, 128, 512)},
    "zstd 1, G = 4, 128 KiB, the level's own matches": with_dictionary(128)._replace(min_match=0),
    "zstd 1, G = 4, 128 KiB, k = 50": with_dictionary(128, k=50),
    "zstd 1, G = 4, two whole frames": Variant(dictionary=lambda own, _: newest_frames(own)),
    "zstd 1, G = 4, 32 KiB of another game": Variant(dictionary=lambda _, other: train(other, 32)),
    BEST: Variant(dictionary=lambda own, _: train_best(own, 32, 128, 512)),
}
# The columns of the table of games.
PER_GAME = [
    "lz4, G = 4",
    "zstd 1, G = 4",
    *(f"zstd 1, G = 4, {which}" for which in ("32 KiB of another game", "32 KiB", "512 KiB")),
    BEST,
]


class Measurement(NamedTuple):
    """What a variant comes to on one game."""

    size: float  # bytes a frame
    packing: float  # µs a frame
    unpacking: float  # ms a batch


def record(game: Game, rows: int) -> np.ndarray:
    """Returns the frames of so many random steps, [rows, ENVIRONMENTS, 84, 84] uint8."""
    rng = np.random.default_rng(SEED)
    environments = AtariEnvironments(game, ENVIRONMENTS, rng)
    frames = [environments.reset()[..., 0].copy()]
    while len(frames) < rows:
        actions = rng.integers(environments.num_actions, size=ENVIRONMENTS)
        frames.append(environments.step(actions).frames[..., 0].copy())
    environments.close()
    return np.stack(frames)


def grouped(frames: np.ndarray, group: int) -> np.ndarray:
    """Returns [rows, n, 84, 84] frames as [N, group, 84, 84], the environments by turns."""
    whole = frames[: len(frames) // group * group]
    groups = whole.reshape(-1, group, *frames.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(groups).reshape(-1, group, *frames.shape[2:])


def draw(packed: list[bytes], group: int) -> list[bytes]:
    """Returns the groups, in the order of `grouped`, that a random batch needs."""
    rng = np.random.default_rng(SEED)
    firsts = rng.integers(len(packed) // ENVIRONMENTS * group - WINDOW + 1, size=BATCH)
    environments = rng.integers(ENVIRONMENTS, size=BATCH)
    return [
        packed[index * ENVIRONMENTS + environment]
        for first, environment in zip(firsts, environments, strict=True)
        for index in range(first // group, (first + WINDOW - 1) // group + 1)
    ]


def measure(variant: Variant, frames: np.ndarray, other: np.ndarray) -> Measurement:
    """Measures a variant on the frames of a game.

    Raises:
        AssertionError: what comes back is not what was packed.
    """
    trained_on = len(frames) * 6 // 10
    groups = grouped(frames[trained_on:], variant.group)
    size = groups[0].nbytes
    if variant.level:
        lessons = (grouped(game[:trained_on], LESSON) for game in (frames, other))
        pack, unpack = zstd(size, variant.level, variant.dictionary(*lessons), variant.min_match)
    else:
        pack, unpack = lz4_block(size)

    def pack_all() -> list[bytes]:
        return [pack(variant.arrange(group)) for group in groups]

    def unpack_all(packed: list[bytes]) -> None:
        for index, one in enumerate(packed):
            arranged = np.frombuffer(unpack(one), np.uint8).reshape(groups[0].shape)
            unpacked[index] = variant.restore(arranged)

    packed = pack_all()
    unpacked = np.empty_like(groups)
    unpack_all(packed)
    np.testing.assert_array_equal(unpacked, groups)
    drawn = draw(packed, variant.group)
    unpacked = np.empty((len(drawn), *groups[0].shape), np.uint8)
    count = len(groups) * variant.group
    return Measurement(
        size=sum(map(len, packed)) / count,
        packing=1e6 / count * min(timeit.repeat(pack_all, number=1, repeat=3)),
        unpacking=1e3 * min(timeit.repeat(lambda: unpack_all(drawn), number=1, repeat=20)),
    )


def print_row(*cells: str) -> None:
    """Prints a row of a Markdown table."""
    print(f"| {' | '.join(cells)} |")


def main() -> None:
    """Prints a table of the variants, and one of the games if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", nargs="+", default=TEN.split(), metavar="NAME")
    parser.add_argument("--frames", type=int, default=2_000, metavar="N")
    parser.add_argument("--per-game", action="store_true", help="print a table of the games too")
    options = parser.parse_args()
    names = sorted(game_roms()) if options.games == ["all"] else options.games
    games = [find_game(f"{name}-v4") for name in names]
    measured: dict[str, dict[str, Measurement]] = {name: {} for name in VARIANTS}
    other = record(games[-1], options.frames)
    for game in games:
        frames = record(game, options.frames)
        for name, variant in VARIANTS.items():
            measured[name][game.name] = measure(variant, frames, other)
        other = frames
        print(f"{game.name}: {measured[BEST][game.name].size:.0f} bytes", file=sys.stderr)

    print_row("", "mean bytes a frame", "median", "largest", "packing, µs a frame", "unpacking, ms")
    print_row(*["---"] * 6)
    for name, by_game in measured.items():
        sizes, packing, unpacking = zip(*by_game.values(), strict=True)
        largest = max(by_game, key=lambda game: by_game[game].size)
        print_row(
            name,
            f"{statistics.mean(sizes):.0f}",
            f"{statistics.median(sizes):.0f}",
            f"{max(sizes):.0f} ({largest})",
            f"{statistics.median(packing):.1f}",
            f"{statistics.median(unpacking):.2f}",
        )
    if options.per_game:
        print()
        print_row("bytes a frame", *PER_GAME)
        print_row(*["---"] * (1 + len(PER_GAME)))
        rows = {game.name: [measured[name][game.name].size for name in PER_GAME] for game in games}
        for game_name, row in sorted(rows.items(), key=lambda item: -item[1][-1]):
            print_row(game_name, *(f"{size:.0f}" for size in row))


if __name__ == "__main__":
    main()
