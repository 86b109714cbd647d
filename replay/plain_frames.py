"""Frames as they are, in one array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from storage.loans import Loan
from storage.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.arrays import ArrayFile


class PlainFrames:
    """The newest frames of some streams as they are, in one array: a `FrameStore`.

    Attributes:
        time: of the next frames.
    """

    codec = "none"

    def __init__(self, rows: int, streams: int, frame_bytes: int):
        """Makes room, which the system gives as it is filled."""
        self._frames = np.zeros((rows, streams, frame_bytes), np.uint8)
        self.time = 0
        self._loan, self._lent_from = Loan([]), 0  # rows, from those of this time on

    @property
    def oldest(self) -> int:
        """The earliest time whose frames are still held."""
        return max(0, self.time - len(self._frames))

    @property
    def nbytes(self) -> int:
        """Bytes that it takes now."""
        return self._frames[: self.time].nbytes

    def append(self, frames: np.ndarray) -> None:
        """Takes the next frame of each stream, [streams, H, W] uint8."""
        rows = len(self._frames)
        if self.time >= rows:
            self._loan.wait_for(self.time - rows - self._lent_from)
        self._frames[self.time % rows] = frames.reshape(self._frames.shape[1:])
        self.time += 1

    def read(self, times: np.ndarray, streams: np.ndarray, out: np.ndarray) -> None:
        """Writes the frames of these times and streams to `out`; see `FrameStore`."""
        rows, count, frame_bytes = self._frames.shape
        places = times % rows * count + streams
        # "clip" only spares NumPy a buffer of its own: no place is out of range.
        np.take(self._frames.reshape(-1, frame_bytes), places, axis=0, out=out, mode="clip")

    def get_state(self) -> State:
        """Returns the time and the frames, the oldest first, as they are overwritten first."""
        if not self.time:
            return State({"time": 0}, {})
        times = range(self.oldest, self.time)
        self._loan = Loan([self._frames[time % len(self._frames)] for time in times])
        self._lent_from = self.oldest
        return State({"time": self.time}, {"frames": self._loan})

    def load(self, attributes: Mapping[str, Any], file: ArrayFile) -> None:
        """Takes what `get_state` returned."""
        self.time = attributes["time"]
        if self.time:
            first = self.oldest % len(self._frames)
            file.read_into("frames", self._frames[first : self.time], self._frames[:first])
