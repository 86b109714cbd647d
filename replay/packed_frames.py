"""Frames packed a few at a time, as consecutive frames have most of their pixels in common."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from replay.packing import CODECS
from storage.loans import Loan
from storage.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.arrays import ArrayFile

GROUP = 4  # frames of a stream that are packed together
# Room for a packed frame of 84×84, on average, in bytes. Larger frames get more in proportion. With
# zstd every game that ale-py ships needs less. Where frames need more, fewer are held.
PACKED_FRAME_BYTES, OF_FRAME_BYTES = 950, 84 * 84
CHUNK_BYTES = 1 << 20
LESSON = 512  # groups that a dictionary is trained on
# Groups that are larger by this factor than those after the last lesson call for another lesson.
OUTGROWN = 1.25


class PackedSizes:
    """The sizes of the parts of `PackedFrames`.

    Attributes:
        group_bytes: of a group, unpacked.
        group_rows: groups of each stream that are held at most.
        chunks: how many there are.
        chunk_bytes: of each chunk.
        lesson: groups that a dictionary is trained on.
        most_bytes: of all parts together, at most.
    """

    def __init__(self, codec: str, rows: int, streams: int, frame_bytes: int):
        """Takes what `PackedFrames` does, and makes no room yet."""
        frames = rows * streams
        self.group_bytes = GROUP * frame_bytes
        # Enough for all groups that `rows` frames lie in, but for the newest, which is not packed.
        self.group_rows = rows // GROUP + 2
        # No codec makes a group that it can't pack larger by more than this.
        largest = self.group_bytes + self.group_bytes // 128 + 64
        # Even if frames do not pack at all, enough of them are held to learn from.
        packed = frames * PACKED_FRAME_BYTES * max(OF_FRAME_BYTES, frame_bytes) // OF_FRAME_BYTES
        room = max(packed, min(self.group_rows, 64) * streams * largest)
        self.chunk_bytes = max(1, min(CHUNK_BYTES, room // 32) // largest) * largest
        # One is being filled, and one is only partly of use.
        self.chunks = room // self.chunk_bytes + 2
        # An eighth of what is held, so that it unpacked takes no more than all packed.
        self.lesson = max(1, min(LESSON, frames // GROUP // 8))
        index = self.group_rows * (streams * 12 + 1)
        opened = streams * self.group_bytes
        learning = CODECS[codec]().most_bytes(self.lesson * self.group_bytes)
        self.most_bytes = self.chunks * self.chunk_bytes + index + opened + learning


class PackedFrames:
    """The newest frames of some streams, packed in groups of a few of one stream: a `FrameStore`.

    The frames of the newest, unfinished group are kept as they are. Groups are laid one after the
    other into chunks of memory; a chunk is used again once the last group in it is out of date.

        times:      0 1 2 3 | 4 5 6 7 | 8 9 ..      chunk 0: [stream 0: 0-3][stream 1: 0-3] ...
        stream 0:   packed  | packed  | open        chunk 1: ... [stream 1: 4-7]
        stream 1:   packed  | packed  | open

    Frames that pack badly can fill all chunks before their time: then the oldest are given up.

    Attributes:
        codec: the name of the codec in `packing.CODECS`.
        time: of the next frames.
    """

    def __init__(self, codec: str, rows: int, streams: int, frame_bytes: int):
        """Makes room, which the system gives as it is filled."""
        sizes = PackedSizes(codec, rows, streams, frame_bytes)
        self.codec, self._codec = codec, CODECS[codec]()
        self._rows, self._streams = rows, streams
        self._group_bytes, self._lesson = sizes.group_bytes, sizes.lesson
        self.time = 0
        self._given_up = 0  # frames before this time are no longer held, for want of room
        self._open = np.zeros((streams, GROUP, frame_bytes), np.uint8)
        self._chunks = np.zeros((sizes.chunks, sizes.chunk_bytes), np.uint8)
        self._free = list(range(sizes.chunks))[::-1]  # the next one last
        self._filled: deque[int] = deque()  # chunks in use, the oldest first
        self._position = sizes.chunk_bytes  # where the newest chunk is free
        self._last_groups = np.zeros(sizes.chunks, np.int64)  # the last group in each chunk
        self._loan = Loan([])
        self._lent: dict[int, int] = {}  # index in the loan, by chunk
        # Where each group is, by the row of its number, and what it was packed with.
        self._starts = np.zeros((sizes.group_rows, streams), np.int64)
        self._lengths = np.zeros((sizes.group_rows, streams), np.uint32)
        self._dictionaries = np.zeros(sizes.group_rows, np.uint8)
        # Groups since the last look at how well they pack, their bytes, and what was usual.
        self._looked_at, self._packed_bytes = 0, 0
        self._usual_bytes: float | None = 0.0

    @property
    def oldest(self) -> int:
        """The earliest time whose frames are still held."""
        return max(0, self.time - self._rows, self._given_up)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes now."""
        used = len(self._chunks) - len(self._free)
        index = min(self.time // GROUP, len(self._starts)) * (self._streams * 12 + 1)
        dictionaries = sum(4 * len(content) for content in self._codec.dictionaries.values())
        return used * self._chunks.shape[1] + index + self._open.nbytes + dictionaries

    def append(self, frames: np.ndarray) -> None:
        """Takes the next frame of each stream, [streams, H, W] uint8."""
        self._open[:, self.time % GROUP] = frames.reshape(self._streams, -1)
        self.time += 1
        if self.time % GROUP == 0:
            self._pack(self.time // GROUP - 1)

    def read(self, times: np.ndarray, streams: np.ndarray, out: np.ndarray) -> None:
        """Writes the frames of these times and streams to `out`; see `FrameStore`."""
        groups = times // GROUP
        # Each group is unpacked once, however many of its frames are asked for.
        wanted, places = np.unique(groups * self._streams + streams, return_inverse=True)
        frames = self._groups(wanted).reshape(-1, out.shape[1])
        # "clip" only spares NumPy a buffer of its own: no place is out of range.
        np.take(frames, places * GROUP + times % GROUP, axis=0, out=out, mode="clip")

    def _groups(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the frames of these groups, [N, bytes of a group] uint8.

        Args:
            numbers: [N] int64, rising; groups are counted stream by stream, time after time.
        """
        closed = numbers[numbers < self.time // GROUP * self._streams]
        groups, streams = np.divmod(closed, self._streams)
        rows = groups % len(self._starts)
        starts, lengths = self._starts[rows, streams], self._lengths[rows, streams]
        unpacked = np.empty((len(numbers), self._group_bytes), np.uint8)
        dictionaries = self._dictionaries[rows]
        changes = np.flatnonzero(np.diff(dictionaries)) + 1
        for first, end in itertools.pairwise([0, *changes.tolist(), len(closed)]):
            run = slice(first, end)
            if first < end:
                self._codec.unpack(
                    self._chunks.reshape(-1).data,
                    starts[run],
                    lengths[run],
                    int(dictionaries[first]),
                    unpacked[run],
                )
        opened = numbers[len(closed) :] % self._streams
        unpacked[len(closed) :] = self._open.reshape(self._streams, -1)[opened]
        return unpacked

    def _pack(self, group: int) -> None:
        """Packs the open frames of all streams, which make up this group."""
        row = group % len(self._starts)
        flat = self._chunks.reshape(-1)
        for stream, raw in enumerate(self._open):
            packed = self._codec.pack(raw.reshape(-1).data)
            start = self._place(len(packed), group)
            flat[start : start + len(packed)] = np.frombuffer(packed, np.uint8)
            self._starts[row, stream] = start
            self._lengths[row, stream] = len(packed)
            self._packed_bytes += len(packed)
        self._dictionaries[row] = self._codec.dictionary
        self._looked_at += self._streams
        if self._looked_at >= self._lesson:
            self._look_at_size(group)

    def _place(self, size: int, group: int) -> int:
        """Makes room for `size` bytes of this group; returns where they start in the chunks."""
        if self._position + size > self._chunks.shape[1]:
            # What lies before a chunk's end is out of date in time, or has to go before.
            while self._filled and self._last_groups[self._filled[0]] < self.oldest // GROUP:
                self._free.append(self._filled.popleft())
            if not self._free:
                chunk = self._filled.popleft()
                self._given_up = (int(self._last_groups[chunk]) + 1) * GROUP
                self._free.append(chunk)
            chunk = self._free.pop()
            self._filled.append(chunk)
            if chunk in self._lent:
                self._loan.wait_for(self._lent.pop(chunk))
            # So that no file holds anything of what was here before.
            self._chunks[chunk] = 0
            self._position = 0
        chunk = self._filled[-1]
        self._last_groups[chunk] = group
        start = chunk * self._chunks.shape[1] + self._position
        self._position += size
        return start

    def _look_at_size(self, newest: int) -> None:
        """Trains a dictionary on the first groups, and again when groups become much larger."""
        mean = self._packed_bytes / self._looked_at
        self._looked_at, self._packed_bytes = 0, 0
        if self._usual_bytes is None:
            self._usual_bytes = mean
        if mean <= OUTGROWN * self._usual_bytes:
            return
        held = np.arange(self.oldest // GROUP, newest + 1)
        self._codec.keep(np.unique(self._dictionaries[held % len(self._starts)]).tolist())
        if self._codec.can_learn:
            end = (newest + 1) * self._streams
            lesson = np.arange(
                max(-(-self.oldest // GROUP) * self._streams, end - self._lesson), end
            )
            self._codec.learn([bytes(raw) for raw in self._groups(lesson)])
            self._usual_bytes = None

    def get_state(self) -> State:
        """Returns the chunks in use, the dictionaries and the open frames; see `FrameStore`."""
        dictionaries = self._codec.dictionaries
        attributes = {
            "time": self.time,
            "given up": self._given_up,
            "position": self._position,
            "filled": list(self._filled),
            "free": list(self._free),
            "looked at": self._looked_at,
            "packed bytes": self._packed_bytes,
            "usual bytes": self._usual_bytes,
            "dictionaries": list(dictionaries),
        }
        arrays: dict[str, Any] = {name: array.copy() for name, array in self._index.items()}
        for number, content in dictionaries.items():
            arrays[f"dictionary {number}"] = np.frombuffer(content, np.uint8)
        if self._filled:
            *full, newest = self._filled
            # The newest will be added to before its turn comes.
            chunks = [*(self._chunks[chunk] for chunk in full), self._chunks[newest].copy()]
            self._loan = Loan(chunks)
            self._lent = {chunk: index for index, chunk in enumerate(full)}
            arrays["chunks"] = self._loan
        return State(attributes, arrays)

    def load(self, attributes: Mapping[str, Any], file: ArrayFile) -> None:
        """Takes what `get_state` returned."""
        self.time = attributes["time"]
        self._given_up = attributes["given up"]
        self._position = attributes["position"]
        self._filled = deque(attributes["filled"])
        self._free = list(attributes["free"])
        self._looked_at = attributes["looked at"]
        self._packed_bytes = attributes["packed bytes"]
        self._usual_bytes = attributes["usual bytes"]
        contents = {n: file.read(f"dictionary {n}").tobytes() for n in attributes["dictionaries"]}
        self._codec.use(contents)
        for name, array in self._index.items():
            file.read_into(name, array)
        if self._filled:
            file.read_into("chunks", *(self._chunks[chunk] for chunk in self._filled))

    @property
    def _index(self) -> dict[str, np.ndarray]:
        """The arrays beside the chunks, as they are called in files."""
        return {
            "open": self._open,
            "last groups": self._last_groups,
            "starts": self._starts,
            "lengths": self._lengths,
            "dictionary of group": self._dictionaries,
        }
