"""The states to act on, on the device that computes, on TensorFlow and on JAX."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from keras import ops

from system.devices import has_gpu, is_jax

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


class DeviceStack:
    """The states of n environments: what `preprocessing.FrameStack` has on the host.

    The frames of a step go to the device once, as bytes. The states are put together there, and
    `DeviceFrames` takes the frames from there.

    Attributes:
        states: [n, H, W, k] uint8, a `tf.Tensor` or a `jax.Array`; no step changes it.
        newest: the frames of the last step, [n, H, W, p] uint8; without the last axis where p is 1.
    """

    def __init__(self, count: int, frame_shape: tuple[int, int, int], size: int):
        """Makes black states.

        Args:
            count: n.
            frame_shape: (height, width, p) of the frames of a step.
            size: k, at least p.
        """
        height, width, self._new = frame_shape
        self.states: Any = ops.zeros((count, height, width, size), "uint8")
        self.newest: Any = _newest(self.states, self._new)

    def push(self, frames: np.ndarray, starts: np.ndarray) -> None:
        """Adds the frames of a step.

        Args:
            frames: [n, H, W, p] uint8, in an array that stays as it is: it may go to the device
                later than this returns.
            starts: [n] bool, where they are the first of an episode; it stays as it is as well.
        """
        self.states, self.newest = _compiled_push()(self.states, frames, starts)

    def set_states(self, states: np.ndarray) -> None:
        """Takes the states of another stack, [n, H, W, k] uint8."""
        self.states = ops.copy(states)
        self.newest = _newest(self.states, self._new)


@functools.cache
def _compiled_push() -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Returns `_pushed`, compiled."""
    if is_jax():
        import jax

        return jax.jit(_pushed)
    import tensorflow as tf

    return tf.function(_pushed, autograph=False, jit_compile=has_gpu())


def _pushed(states: Any, frames: Any, starts: Any) -> tuple[Any, Any]:
    """Returns the states with the frames of another step, and these frames as `newest` has them."""
    new = frames.shape[-1]
    black = ops.zeros((), "uint8")
    earlier = ops.where(starts[:, None, None, None], black, states[..., new:])
    return ops.concatenate([earlier, frames], axis=-1), _newest(frames, new)


def _newest(frames: Any, new: int) -> Any:
    """Returns the last frames, [n, H, W, new]; without the last axis where that is one."""
    return frames[..., -1] if new == 1 else frames[..., -new:]
