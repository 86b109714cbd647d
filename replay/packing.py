"""Codecs that pack frames: lz4, and zstd with a dictionary trained on the game's own frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import lz4.block
import numpy as np
import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Sizes of the dictionaries that are tried, in bytes, and of the segments that they are made of.
DICTIONARY_SIZES = (1 << 15, 1 << 17, 1 << 19)
SEGMENT_SIZE = 2_000
# A larger dictionary has to save this much to be worth its place in the processor's cache.
WORTH_A_LARGER_ONE = 0.05
MOST_DICTIONARIES = 4  # in use at a time


class Codec(Protocol):
    """Packs buffers of bytes without loss, perhaps with a dictionary."""

    dictionary: int  # the number of the dictionary that `pack` uses, 0 for none

    def pack(self, raw: bytes | memoryview) -> bytes:
        """Returns the buffer packed."""

    def unpack(
        self,
        packed: memoryview,
        starts: np.ndarray,
        lengths: np.ndarray,
        dictionary: int,
        out: np.ndarray,
    ) -> None:
        """Unpacks buffers that were packed with one dictionary and are equally long unpacked.

        Args:
            packed: where they lie.
            starts: [N] int64, where each begins.
            lengths: [N] int64, bytes of each, packed.
            dictionary: the number of the dictionary.
            out: [N, bytes of each] uint8, contiguous, to write them to.
        """

    def learn(self, samples: Sequence[bytes]) -> None:
        """Trains a dictionary on buffers, oldest first, and uses it if it packs better."""

    def keep(self, dictionaries: Iterable[int]) -> None:
        """Forgets all dictionaries but these, and the one that `pack` uses."""

    @property
    def can_learn(self) -> bool:
        """Whether there is room for another dictionary."""

    def most_bytes(self, lesson: int) -> int:
        """Returns the most bytes that it takes, if samples are `lesson` bytes together."""

    @property
    def dictionaries(self) -> dict[int, bytes]:
        """The dictionaries by their numbers, the one that `pack` uses last."""

    def use(self, dictionaries: dict[int, bytes]) -> None:
        """Takes dictionaries by their numbers in place of its own, and packs with the last one."""


class Lz4Codec:
    """The block format of lz4, which needs no dictionary: the fastest, but twice as large."""

    dictionary = 0

    def pack(self, raw: bytes | memoryview) -> bytes:
        """Returns the buffer packed."""
        return lz4.block.compress(raw, store_size=False)

    def unpack(
        self,
        packed: memoryview,
        starts: np.ndarray,
        lengths: np.ndarray,
        dictionary: int,
        out: np.ndarray,
    ) -> None:
        """Unpacks buffers; see `Codec`."""
        for raw, part in zip(out, _parts(packed, starts, lengths), strict=True):
            raw[:] = np.frombuffer(lz4.block.decompress(part, out.shape[1]), np.uint8)

    def learn(self, samples: Sequence[bytes]) -> None:
        """Does nothing."""

    def keep(self, dictionaries: Iterable[int]) -> None:
        """Does nothing."""

    @property
    def can_learn(self) -> bool:
        """False: it never learns."""
        return False

    def most_bytes(self, lesson: int) -> int:
        """Returns 0: it keeps nothing."""
        return 0

    @property
    def dictionaries(self) -> dict[int, bytes]:
        """None: it needs none."""
        return {}

    def use(self, dictionaries: dict[int, bytes]) -> None:
        """Does nothing."""


class ZstdCodec:
    """zstd at level 1, with the dictionary that packs the game's frames smallest.

    A dictionary holds what the screens of a game have in common, so that packed frames hold only
    what is new. A dictionary of other screens is no better than none.
    """

    def __init__(self) -> None:
        """Starts without a dictionary."""
        self.use({})

    def pack(self, raw: bytes | memoryview) -> bytes:
        """Returns the buffer packed."""
        return self._compressor.compress(raw)

    def unpack(
        self,
        packed: memoryview,
        starts: np.ndarray,
        lengths: np.ndarray,
        dictionary: int,
        out: np.ndarray,
    ) -> None:
        """Unpacks buffers that were packed with one dictionary; see `Codec`."""
        # All in one call, which writes to where they are wanted: a call for each, and then putting
        # together what it returns, takes longer by far.
        joined = b"".join(_parts(packed, starts, lengths))
        reader = self._decompressors[dictionary].stream_reader(joined, read_across_frames=True)
        reader.readinto(out.data)

    def learn(self, samples: Sequence[bytes]) -> None:
        """Trains dictionaries on the older samples; uses the one that packs the newest best.

        The present dictionary is tried as well. It stays if no other is clearly better.

        Args:
            samples: buffers as they are to be packed, oldest first.
        """
        older, newest = samples[: len(samples) * 3 // 4], samples[len(samples) * 3 // 4 :]
        tried = [(self._packed_size(self._compressor, newest), b"")]
        for size in self._sizes(sum(map(len, samples))):
            try:
                trained = zstandard.train_dictionary(size, [*older], k=SEGMENT_SIZE, d=8, level=1)
            except zstandard.ZstdError:
                continue  # the samples are too few or too much alike to make so large a one
            tried.append((self._packed_size(_compressor(trained), newest), trained.as_bytes()))
        good_enough = min(size for size, _ in tried) * (1 + WORTH_A_LARGER_ONE)
        chosen = next(content for size, content in tried if size <= good_enough)
        if chosen:
            number = min(set(range(1, 256)) - self._contents.keys())
            self.use({**self._contents, number: chosen})

    def keep(self, dictionaries: Iterable[int]) -> None:
        """Forgets all dictionaries but these, and the one that `pack` uses."""
        for number in self._contents.keys() - {*dictionaries, self.dictionary}:
            del self._contents[number], self._decompressors[number]

    @property
    def can_learn(self) -> bool:
        """Whether there is room for another dictionary."""
        return len(self._contents) < MOST_DICTIONARIES

    def most_bytes(self, lesson: int) -> int:
        """Returns the most bytes that it takes, if samples are `lesson` bytes together.

        A dictionary is there as it was trained, and as zstd's tables for packing and for unpacking.
        While it learns, it holds the samples, which zstd copies once, and the counts of segments.
        """
        sizes = self._sizes(lesson)
        kept = MOST_DICTIONARIES * (4 * max(sizes) + (1 << 18)) if sizes else 0
        return kept + 2 * lesson + (1 << 23) + (1 << 20)

    @property
    def dictionaries(self) -> dict[int, bytes]:
        """The dictionaries by their numbers, the one that `pack` uses last."""
        return dict(self._contents)

    def use(self, dictionaries: dict[int, bytes]) -> None:
        """Takes dictionaries by their numbers in place of its own, and packs with the last one."""
        self._contents = dict(dictionaries)
        self.dictionary = next(reversed(self._contents), 0)
        made = {n: zstandard.ZstdCompressionDict(each) for n, each in self._contents.items()}
        self._compressor = _compressor(made.get(self.dictionary))
        self._decompressors = {0: zstandard.ZstdDecompressor()} | {
            number: zstandard.ZstdDecompressor(dict_data=each) for number, each in made.items()
        }

    @staticmethod
    def _sizes(lesson: int) -> list[int]:
        """Returns the sizes of the dictionaries that a lesson of this many bytes can train."""
        return [size for size in DICTIONARY_SIZES if size * 16 <= lesson]

    @staticmethod
    def _packed_size(compressor: zstandard.ZstdCompressor, samples: Sequence[bytes]) -> int:
        return sum(len(compressor.compress(sample)) for sample in samples)


def _parts(packed: memoryview, starts: np.ndarray, lengths: np.ndarray) -> list[memoryview]:
    """Returns the parts of a buffer with these starts and lengths, [N] int64 each."""
    ends = (starts + lengths).tolist()
    return [packed[start:end] for start, end in zip(starts.tolist(), ends, strict=True)]


def _compressor(dictionary: zstandard.ZstdCompressionDict | None) -> zstandard.ZstdCompressor:
    """Returns a compressor with this dictionary, which must not be in use by another."""
    # With the size in front, zstd unpacks to where a buffer is wanted, and not to a place of its
    # own first; what else it would write is known without. With the small hash table that this
    # level usually has, most of a large dictionary is never found. The shorter matches that it
    # would use cost more than they save.
    parameters = zstandard.ZstdCompressionParameters.from_level(
        1,
        write_content_size=True,
        write_checksum=False,
        write_dict_id=False,
        hash_log=16 if dictionary else 0,
        min_match=7,
    )
    if dictionary:
        dictionary.precompute_compress(compression_params=parameters)
    return zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters)


CODECS: dict[str, type[Lz4Codec] | type[ZstdCodec]] = {"lz4": Lz4Codec, "zstd": ZstdCodec}
