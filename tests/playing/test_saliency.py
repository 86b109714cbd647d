"""A saliency map tells what the values depend on, as the paper defines it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from playing.saliency import PLACES, saliency_map

rng = np.random.default_rng(0)
STATE = rng.integers(256, size=(84, 84, 4), dtype=np.uint8)


def seeing(rows: slice, columns: slice) -> np.ndarray:
    """Returns the saliency map of a network that sees the mean of a part of the screen alone."""

    def values(states: np.ndarray) -> np.ndarray:
        mean = states[:, rows, columns].mean((1, 2, 3)) / 255
        return np.stack([mean, -2 * mean], axis=-1).astype(np.float32)

    state = np.zeros((84, 84, 4), np.uint8)
    state[rows, columns] = 255
    return saliency_map(values, state)


@pytest.mark.parametrize(("row", "column"), [(10, 10), (10, 70), (60, 35)])
def test_it_is_high_where_the_values_depend_on_and_nowhere_else(row: int, column: int) -> None:
    saliency = seeing(slice(row, row + 6), slice(column, column + 6))
    assert saliency.shape == (84, 84)
    assert saliency.min() >= 0
    highest = np.unravel_index(saliency.argmax(), saliency.shape)
    assert np.abs(np.array(highest) - (row + 2.5, column + 2.5)).max() < 6
    far = np.hypot(*(np.indices((84, 84)) - np.array([row, column])[:, None, None])) > 40
    assert saliency[far].max() < 1e-3 * saliency.max()


def test_a_place_has_the_value_of_the_equation() -> None:
    """Worked out pixel by pixel for two places of the grid, whose centres are 7 pixels apart."""
    weights = rng.normal(size=(3, 84, 84, 4)) / 1_000

    def values(states: np.ndarray) -> np.ndarray:
        return np.einsum("nhwk,ahwk->na", states / 255, weights).astype(np.float32)

    saliency = saliency_map(values, STATE)
    blurred = cv2.GaussianBlur(STATE, (0, 0), 3)
    for row, column in ((3, 3), (38, 66)):
        rows, columns = np.indices((84, 84))
        spot = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 5**2))[..., None]
        perturbed = STATE * (1 - spot) + blurred * spot
        change = values(STATE[None]) - values(perturbed[None])
        assert saliency[row, column] == pytest.approx(0.5 * np.sum(change**2), rel=0.05)


def test_all_places_are_asked_for_at_once_with_states_as_the_network_takes_them() -> None:
    asked = []

    def values(states: np.ndarray) -> np.ndarray:
        asked.append((states.shape, states.dtype))
        return np.zeros((len(states), 6), np.float32)

    assert not saliency_map(values, STATE).any()
    assert asked == [((PLACES**2 + 1, 84, 84, 4), np.dtype(np.uint8))]


@pytest.mark.parametrize("shape", [(84, 84, 1), (160, 160, 4)])
def test_states_of_every_shape_have_one(shape: tuple[int, int, int]) -> None:
    state = rng.integers(256, size=shape, dtype=np.uint8)
    saliency = saliency_map(lambda states: states.mean((1, 2, 3))[:, None], state)
    assert saliency.shape == shape[:2]
    assert np.isfinite(saliency).all()
