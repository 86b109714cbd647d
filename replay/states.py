"""States, put together from frames when a batch is drawn: on the host, or later on the device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from replay.device_frames import DeviceFrames
from replay.frames import FrameStore, make_frame_store
from replay.packed_frames import GROUP

if TYPE_CHECKING:
    from settings.config import Config

# Transitions whose states are put together at a time. It bounds the room for unpacked frames.
AT_A_TIME = 64


class States(ABC):
    """The states of some streams, held as frames.

    Each step brings p frames. These are numbered on their own: those of time t are p t to
    p t + p - 1. The state at time t is made of the k frames up to its last; frames before the
    episode's first are black.

    Attributes:
        shape: (H, W, k).
        frames_per_step: p.
        device_frames: the frames, if they lie on the device.
    """

    def __init__(self, frames: FrameStore, shape: tuple[int, int, int], frames_per_step: int = 1):
        """Takes an empty store of frames.

        Args:
            frames: room for p frames of each step that is held.
            shape: (H, W, k) of a state.
            frames_per_step: p, at most k.
        """
        self.shape, self.frames_per_step = shape, frames_per_step
        self.device_frames: DeviceFrames | None = None
        self.frames = frames

    @property
    def time(self) -> int:
        """The time of the next steps."""
        return self.frames.time // self.frames_per_step

    @property
    def oldest(self) -> int:
        """The earliest time whose frames are all held."""
        return -(-self.frames.oldest // self.frames_per_step)

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that they take now, without those on the device."""

    def append(self, frames: np.ndarray) -> None:
        """Takes the frames of the next step of each stream.

        Args:
            frames: [streams, H, W, p] uint8; the last axis may be left out where it is 1. Where
                the store is on the device, they may be there, too.
        """
        if frames.ndim == 3:
            self.frames.append(frames)
            return
        for number in range(self.frames_per_step):
            self.frames.append(frames[..., number])

    def holds(self, times: Any, reach: Any) -> Any:
        """Returns whether all frames of states are held, bool or [N] bool.

        Args:
            times: int or [N] int64, of the states.
            reach: int or [N] uint8, frames before the newest that are of the state's episode.
        """
        return self._newest_frame(times) - reach >= self.frames.oldest

    @abstractmethod
    def write(
        self,
        times: np.ndarray,
        streams: np.ndarray,
        reach: np.ndarray,
        out: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Writes the states of transitions, those before and those after them, to a batch.

        Args:
            times: [2, B] int64, of the states before and after.
            streams: [B] int64.
            reach: [2, B] uint8, frames before the newest that are of the state's episode.
            out: `Batch.s_tm1` and `Batch.s_t`.
        """

    def _newest_frame(self, times: Any) -> Any:
        """Returns the number of the newest frame of the states at times."""
        return times * self.frames_per_step + self.frames_per_step - 1

    def _frame_numbers(self, times: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the frames of states, the newest first, and which of them are black.

        The episode's first frame stands in for a black one.

        Args:
            times: [2, B] int64.
            reach: [2, B] uint8.

        Returns:
            Their numbers, [k, 2, B] int64, and whether they are black, [k, 2, B] bool.
        """
        back = np.arange(self.shape[2])[:, None, None]
        return self._newest_frame(times) - np.minimum(back, reach), back > reach


class HostStates(States):
    """States of frames on the host: a batch holds the states themselves."""

    def __init__(self, frames: FrameStore, shape: tuple[int, int, int], frames_per_step: int = 1):
        """Takes an empty store of frames; see `States`."""
        super().__init__(frames, shape, frames_per_step)
        height, width, stack_size = shape
        self._unpacked = np.zeros((2 * stack_size * AT_A_TIME, height * width), np.uint8)

    @property
    def nbytes(self) -> int:
        """Bytes that they take now."""
        return self.frames.nbytes + self._unpacked.nbytes

    def write(
        self,
        times: np.ndarray,
        streams: np.ndarray,
        reach: np.ndarray,
        out: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Writes states, [B, H, W, k] uint8; see `States`."""
        for first in range(0, len(streams), AT_A_TIME):
            part = slice(first, first + AT_A_TIME)
            s_tm1, s_t = (states[part] for states in out)
            self._write_part(times[:, part], streams[part], reach[:, part], (s_tm1, s_t))

    def _write_part(
        self,
        times: np.ndarray,
        streams: np.ndarray,
        reach: np.ndarray,
        out: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Writes the states of at most `AT_A_TIME` transitions."""
        _, width, stack_size = self.shape
        numbers, is_black = self._frame_numbers(times, reach)
        streams = np.broadcast_to(streams, numbers.shape)
        unpacked = self._unpacked[: numbers.size]
        self.frames.read(numbers.ravel(), streams.ravel(), unpacked)
        unpacked = unpacked.reshape(*numbers.shape, -1)  # [k, 2, B, H·W]
        unpacked[is_black] = 0
        for side, states in enumerate(out):
            frames = [frame.reshape(-1, width) for frame in unpacked[::-1, side]]
            # NumPy takes eight times as long to put a state's frames side by side.
            cv2.merge(frames, states.reshape(-1, width, stack_size))


class DeviceStates(States):
    """States of frames on the device: a batch holds the places of the frames there.

    The compiled update puts the states together, see `states_at`.
    """

    nbytes = 0

    def __init__(self, frames: DeviceFrames, shape: tuple[int, int, int], frames_per_step: int = 1):
        """Takes an empty store of frames; see `States`."""
        super().__init__(frames, shape, frames_per_step)
        self.device_frames: DeviceFrames = frames

    def write(
        self,
        times: np.ndarray,
        streams: np.ndarray,
        reach: np.ndarray,
        out: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Writes the places of the frames, [B, k] int32, the oldest first; see `States`."""
        numbers, is_black = self._frame_numbers(times, reach)
        places = self.device_frames.places(numbers, streams)
        places = np.where(is_black, self.device_frames.black, places)
        s_tm1, s_t = out
        s_tm1[:], s_t[:] = places[::-1].transpose(1, 2, 0)


def make_states(config: Config, state_shape: tuple[int, int, int]) -> States:
    """Returns the states that the settings describe, none of them held yet.

    Raises:
        MemoryError: the machine or the device has no room for them.
    """
    height, width, _ = state_shape
    rows = config.memory_size // config.envs * config.frames_per_step
    if config.memory_on_device:
        device_frames = DeviceFrames(rows, config.envs, (height, width))
        return DeviceStates(device_frames, state_shape, config.frames_per_step)
    frames = make_frame_store(config.frame_codec, rows, config.envs, height * width)
    return HostStates(frames, state_shape, config.frames_per_step)


def unpacking_bytes(state_shape: tuple[int, int, int]) -> int:
    """Returns the bytes that `HostStates` take at most beside their frames."""
    height, width, stack_size = state_shape
    # The frames of both states, and the groups that they are unpacked from.
    return (1 + GROUP) * 2 * stack_size * AT_A_TIME * height * width
