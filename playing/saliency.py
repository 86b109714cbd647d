"""The parts of a state that a network's Q values depend on."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

PLACES = 12  # of the grid, on each side
BLUR = 3.0  # pixels, standard deviation of the blur
SPOT = 5.0  # pixels, standard deviation of the blurred spot


def saliency_map(values: Callable[[np.ndarray], np.ndarray], state: np.ndarray) -> np.ndarray:
    """Returns how much the Q values change when a spot of the state is blurred.

    Source: Greydanus et al. 2018, "Visualizing and Understanding Atari Agents", section 3,
    equations 1 and 2, with Q values Q in place of a policy's logits. For each place (i, j) of a
    grid,

        Φ(s, i, j) = s ⊙ (1 - M(i, j)) + A(s) ⊙ M(i, j)
        S(i, j)    = ½ ‖Q(s) - Q(Φ(s, i, j))‖²

    where A(s) is the state blurred all over and M(i, j) a Gaussian spot, 1 at its centre. All
    frames of the state are blurred alike. The states of all places are one batch.

    Args:
        values: gives Q values, [n, A] float32, for states, [n, H, W, k] uint8.
        state: [H, W, k] uint8.

    Returns:
        [H, W] float32, 0 or more: S, interpolated between the places of the grid.
    """
    height, width, _ = state.shape
    spots = _spots(height, width)
    blurred = cv2.GaussianBlur(state, (0, 0), BLUR).reshape(state.shape)
    change = blurred.astype(np.float32) - state
    perturbed = np.rint(state + spots[..., None] * change).astype(np.uint8)
    q = values(np.concatenate([state[None], perturbed]))
    scores = 0.5 * np.square(q[0] - q[1:]).sum(axis=-1)
    grid = scores.reshape(PLACES, PLACES).astype(np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)


@functools.cache
def _spots(height: int, width: int) -> np.ndarray:
    """Returns the spots M of all places, row by row, [PLACES², height, width] float32."""
    rows, columns = (_bells(size) for size in (height, width))
    spots = rows[:, None, :, None] * columns[None, :, None, :]
    return spots.reshape(-1, height, width)


def _bells(size: int) -> np.ndarray:
    """Returns a Gaussian around each place of a line of pixels, [PLACES, size] float32."""
    centres = (np.arange(PLACES) + 0.5) * size / PLACES - 0.5
    return np.exp(-np.square((np.arange(size) - centres[:, None]) / SPOT) / 2).astype(np.float32)
