"""The replay memory's frames on the device that computes, on TensorFlow and on JAX.

Each step sends its newest frames there, and each update the places of its frames. The compiled
update puts the states together, so nothing is sent back.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from storage.loans import Loan
from storage.state import State
from system.devices import has_gpu, is_jax
from system.memory import mebibytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.arrays import ArrayFile

# Keras is imported where it is used, as a memory whose frames are on the host loads without it.

PIECE_BYTES = 4 << 20  # frames that are fetched at a time to be written


def most_bytes(rows: int, streams: int, frame_shape: tuple[int, int]) -> int:
    """Returns the bytes that `DeviceFrames` takes on the device."""
    return (rows * streams + 1) * frame_shape[0] * frame_shape[1]


def states_at(places: Any, array: Any) -> Any:
    """Returns states whose frames lie on the device, [..., H, W, k] uint8; for compiled functions.

    Args:
        places: [..., k] int32, see `DeviceFrames.places`.
        array: `DeviceFrames.array`.
    """
    from keras import ops

    return ops.moveaxis(_gathered(array, places), -3, -1)


class DeviceFrames:
    """The newest frames of some streams, unpacked on the device: a `FrameStore`.

        place:   0            1            2            3            ...   rows · streams
        frame:   row 0,       row 0,       row 1,       row 1,       ...   black, for ever
                 stream 0     stream 1     stream 0     stream 1

    The frames of a time are in the row that is the time modulo the number of rows. The black frame
    stands for all before an episode's first.

    Attributes:
        time: of the next frames.
        black: the place of the black frame.
    """

    # In files they are as if they were on the host, unpacked.
    codec = "none"

    def __init__(self, rows: int, streams: int, frame_shape: tuple[int, int]):
        """Takes the room for the newest `rows` frames, (height, width), of each stream.

        Raises:
            MemoryError: the device has no room for them.
        """
        self.time = 0
        self.black = rows * streams
        self._rows, self._streams, self._frame_shape = rows, streams, frame_shape
        shape = (rows * streams + 1, *frame_shape)
        self._array: _Array
        self._array = _JaxArray(shape) if is_jax() else _TensorFlowArray(shape)
        # Another thread reads a loan. It must not see an array that JAX has freed.
        self._lock = Lock()
        self._loan, self._lent_from = Loan([]), 0  # pieces, from those of this time on
        self._times_in_piece = max(1, PIECE_BYTES // math.prod(self.row_shape))

    @property
    def array(self) -> Any:
        """All frames, [rows · streams + 1, H, W] uint8: a `tf.Variable`, or a `jax.Array`.

        It is for compiled functions, and good until the next `append`.
        """
        return self._array.value

    @property
    def row_shape(self) -> tuple[int, int]:
        """The shape of the frames of a time in a file: streams, bytes of a frame."""
        return self._streams, math.prod(self._frame_shape)

    @property
    def oldest(self) -> int:
        """The earliest time whose frames are still held."""
        return max(0, self.time - self._rows)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes on the device, from the start on."""
        return most_bytes(self._rows, self._streams, self._frame_shape)

    def append(self, frames: np.ndarray) -> None:
        """Takes the next frame of each stream, [streams, H, W] uint8, on the host or the device."""
        if self.time >= self._rows:
            given_up = self.time - self._rows - self._lent_from
            self._loan.wait_for(given_up // self._times_in_piece)
        if isinstance(frames, np.ndarray):
            # They may go to the device later than this returns.
            frames = frames.copy()
        with self._lock:
            self._array.put(self.time % self._rows * self._streams, frames)
        self.time += 1

    def places(self, times: np.ndarray, streams: np.ndarray) -> np.ndarray:
        """Returns where the frames of these times and streams, int64, lie, int32."""
        return (times % self._rows * self._streams + streams).astype(np.int32)

    def read(self, times: np.ndarray, streams: np.ndarray, out: np.ndarray) -> None:
        """Writes the frames of these times and streams to `out`; see `FrameStore`."""
        with self._lock:
            out[:] = self._array.take(self.places(times, streams)).reshape(out.shape)

    def get_state(self) -> State:
        """Returns the time and the frames, the oldest first, which are fetched as they are read."""
        if not self.time:
            return State({"time": 0}, {})
        pieces = _Pieces(self, self._times_in_piece)
        self._loan, self._lent_from = Loan(pieces, pieces.shape), self.oldest
        return State({"time": self.time}, {"frames": self._loan})

    def load(self, attributes: Mapping[str, Any], file: ArrayFile) -> None:
        """Takes what `get_state` returned."""
        self.time = attributes["time"]
        if self.time:
            self.time = self.oldest
            for frames in file.rows("frames"):
                self.append(frames.reshape(self._streams, *self._frame_shape))


class _Pieces(Sequence[np.ndarray]):
    """The frames of consecutive times, a few times in a piece. A piece is fetched when it is read.

    Attributes:
        shape: of all of them, (times, streams, frame bytes).
    """

    def __init__(self, frames: DeviceFrames, times_in_piece: int):
        """Takes all frames that are held now."""
        self.shape = (frames.time - frames.oldest, *frames.row_shape)
        self._read, self._first, self._times_in_piece = frames.read, frames.oldest, times_in_piece

    def __len__(self) -> int:
        """Returns how many pieces there are."""
        return -(-self.shape[0] // self._times_in_piece)

    def __getitem__(self, index: Any) -> Any:
        """Returns a piece, [times, streams, frame bytes] uint8."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        count, streams, frame_bytes = self.shape
        start = index * self._times_in_piece
        # JAX compiles for each number of frames, so the last piece repeats its last time.
        steps = np.minimum(np.arange(start, start + self._times_in_piece), count - 1)
        times, streams_of = np.meshgrid(self._first + steps, np.arange(streams), indexing="ij")
        piece = np.empty((len(steps), streams, frame_bytes), np.uint8)
        self._read(times.ravel(), streams_of.ravel(), piece.reshape(-1, frame_bytes))
        return piece[: count - start]


class _Array(Protocol):
    """Frames on the device, [N, H, W] uint8, black at first."""

    value: Any  # of the backend, for compiled functions

    def put(self, first: int, frames: np.ndarray) -> None:
        """Puts frames, [n, H, W] uint8, in place of those from the first on."""

    def take(self, places: np.ndarray) -> np.ndarray:
        """Returns the frames at places, [n] int32, as [n, H, W] uint8."""


class _TensorFlowArray:
    """The frames as a variable. It must never be read whole, as that copies it."""

    def __init__(self, shape: tuple[int, int, int]):
        """Takes the room.

        Raises:
            MemoryError: the device has too little.
        """
        import tensorflow as tf

        try:
            with tf.device("gpu:0" if has_gpu() else "cpu:0"):
                self.value = tf.Variable(tf.zeros(shape, tf.uint8), trainable=False)
        except tf.errors.ResourceExhaustedError as error:
            raise _no_room(shape) from error

    def put(self, first: int, frames: np.ndarray) -> None:
        """Puts frames there; see `_Array`."""
        import tensorflow as tf

        # Assigning to a slice does the same twenty times as slowly on a CPU.
        places = np.arange(first, first + len(frames), dtype=np.int32)
        self.value.scatter_update(tf.IndexedSlices(frames, places))

    def take(self, places: np.ndarray) -> np.ndarray:
        """Returns frames; see `_Array`."""
        return _gathered(self.value, places).numpy()


class _JaxArray:
    """The frames as an array. Each change makes a new one in the same room."""

    def __init__(self, shape: tuple[int, int, int]):
        """Takes the room.

        Raises:
            MemoryError: the device has too little.
        """
        import jax

        try:
            self.value = jax.numpy.zeros(shape, np.uint8).block_until_ready()
        except jax.errors.JaxRuntimeError as error:
            raise _no_room(shape) from error

    def put(self, first: int, frames: np.ndarray) -> None:
        """Puts frames there; see `_Array`."""
        put, _ = _jax_functions()
        self.value = put(self.value, frames, np.int32(first))

    def take(self, places: np.ndarray) -> np.ndarray:
        """Returns frames; see `_Array`."""
        _, take = _jax_functions()
        return np.asarray(take(self.value, places))


@functools.cache
def _jax_functions() -> tuple[Any, Any]:
    """Returns two compiled functions: one puts frames into an array in place, one takes some."""
    import jax

    def put(array: Any, frames: Any, first: Any) -> Any:
        return jax.lax.dynamic_update_slice(array, frames, (first, 0, 0))

    return jax.jit(put, donate_argnums=0), jax.jit(_gathered)


def _gathered(array: Any, places: Any) -> Any:
    """Returns the frames at places, [..., H, W] uint8."""
    from keras import ops

    return ops.take(array, places, axis=0) if is_jax() else array.sparse_read(places)


def _no_room(shape: tuple[int, int, int]) -> MemoryError:
    size = mebibytes(math.prod(shape))
    return MemoryError(
        f"the device has no room for {size} of frames: give less --memory, or --memory-on-device no"
    )
