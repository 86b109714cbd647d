"""Stores of the newest frames of some streams: as they are, or packed a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from replay.packed_frames import PackedFrames, PackedSizes
from replay.packing import CODECS
from replay.plain_frames import PlainFrames

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from storage.arrays import ArrayFile
    from storage.state import State

NAMES = ("none", *CODECS)


class FrameStore(Protocol):
    """The newest frames of some streams; all streams get one at each time 0, 1, 2 and so on."""

    codec: str  # its name in files, one of `NAMES`
    time: int  # of the next frames

    @property
    def oldest(self) -> int:
        """The earliest time whose frames are still held."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes now."""

    def append(self, frames: np.ndarray) -> None:
        """Takes the next frame of each stream, [streams, H, W] uint8."""

    def read(self, times: np.ndarray, streams: np.ndarray, out: np.ndarray) -> None:
        """Writes frames to `out`.

        Args:
            times: [N] int64, from `oldest` up to the newest.
            streams: [N] int64.
            out: [N, frame bytes] uint8, contiguous.
        """

    def get_state(self) -> State:
        """Returns what it holds.

        Small arrays are copies. The large ones are lent, see `Loan`, so that they can be written
        while the store goes on. The caller has to end the loan.
        """

    def load(self, attributes: Mapping[str, Any], file: ArrayFile) -> None:
        """Takes the attributes that `get_state` returned, and the arrays from a file."""


def make_frame_store(codec: str, rows: int, streams: int, frame_bytes: int) -> FrameStore:
    """Returns a store of the newest `rows` frames of each stream.

    Args:
        codec: "none" or a name in `packing.CODECS`.
        rows: frames of each stream.
        streams: how many there are.
        frame_bytes: bytes of a frame.

    Raises:
        ValueError: there is no such codec.
        MemoryError: the machine has no room for it.
    """
    if codec not in NAMES:
        raise ValueError(f"no codec {codec!r}: choose from {', '.join(NAMES)}")
    if codec == "none":
        return PlainFrames(rows, streams, frame_bytes)
    return PackedFrames(codec, rows, streams, frame_bytes)


def most_bytes(codec: str, rows: int, streams: int, frame_bytes: int) -> int:
    """Returns the bytes that the store of `make_frame_store` takes at most."""
    if codec == "none":
        return rows * streams * frame_bytes
    return PackedSizes(codec, rows, streams, frame_bytes).most_bytes
