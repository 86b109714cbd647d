"""Drawing by priority, held against numbers worked out by hand from Schaul et al. 2016."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from replay.priorities import SMALLEST_PRIORITY, Priorities


def holding(td_errors: list[float], exponent: float) -> Priorities:
    """Returns priorities of as many places as there are |TD errors|."""
    priorities = Priorities(len(td_errors), exponent)
    places = np.arange(len(td_errors))
    priorities.add(places)
    priorities.update(places, np.array(td_errors, np.float32))
    return priorities


def shares(priorities: Priorities) -> np.ndarray:
    """Returns the probabilities of all places, in so far as a hundred thousand draws tell."""
    drawn = priorities.draw(100_000, np.random.default_rng(0))
    return np.bincount(drawn, minlength=len(priorities.values)) / len(drawn)


# ---------------------------------------------------------------- what is drawn


@pytest.mark.parametrize(
    ("exponent", "probabilities"),
    [(1.0, [1 / 15, 2 / 15, 4 / 15, 8 / 15]), (0.5, [0.138071, 0.195262, 0.276142, 0.390524])],
)
def test_probabilities_are_those_of_equation_1(exponent: float, probabilities: list) -> None:
    # 1, 2, 4, 8 add up to 15; their roots 1, 1.41421, 2, 2.82843 to 7.24264.
    assert shares(holding([1, 2, 4, 8], exponent)) == pytest.approx(probabilities, abs=2e-5)


@given(
    td_errors=st_numpy.arrays(
        np.float32, st.integers(1, 100), elements=st.floats(0, 1e6, width=32)
    ),
    exponent=st.floats(0.01, 1),
)
def test_values_are_priorities_to_the_power_of_alpha(
    td_errors: np.ndarray, exponent: float
) -> None:
    priorities = holding(td_errors.tolist(), exponent)
    values = (td_errors.astype(np.float64) + 1e-6) ** exponent
    np.testing.assert_allclose(priorities.values, values, rtol=1e-12)
    assert priorities.highest == pytest.approx(max(1.0, values.max()))


def test_each_of_a_batch_comes_from_its_own_equal_part() -> None:
    priorities = holding([3, 1, 1, 3], 1.0)
    for seed in range(50):
        drawn = priorities.draw(8, np.random.default_rng(seed))
        assert drawn.tolist() == [0, 0, 0, 1, 2, 3, 3, 3]


def test_what_is_new_has_the_highest_priority_that_there_has_been() -> None:
    priorities = Priorities(4, 1.0)
    priorities.add(np.array([0, 1]))
    assert priorities.values.tolist() == [1, 1, 0, 0]
    priorities.update(np.array([0]), np.array([5], np.float32))
    priorities.add(np.array([2]))
    assert priorities.values == pytest.approx([5, 1, 5, 0], abs=1e-5)
    # Also after none is left that is so high.
    priorities.update(np.array([0, 2]), np.array([2, 0.5], np.float32))
    priorities.add(np.array([3, 1]))
    assert priorities.values == pytest.approx([2, 5, 0.5, 5], abs=1e-5)


def test_a_td_error_of_0_can_still_be_drawn() -> None:
    # Its priority is SMALLEST_PRIORITY, a thousandth after the root.
    assert SMALLEST_PRIORITY == 1e-6
    assert shares(holding([0, 1], 0.5))[0] == pytest.approx(1 / 1001, abs=2e-5)
    assert shares(holding([0, 0, 0, 0], 1.0)) == pytest.approx([0.25] * 4, abs=2e-5)


def test_what_was_removed_is_never_drawn() -> None:
    priorities = holding([9, 1, 9, 1, 9], 0.5)
    priorities.remove(np.array([0, 2, 4]))
    assert shares(priorities) == pytest.approx([0, 0.5, 0, 0.5, 0], abs=2e-5)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_a_td_error_that_is_not_finite_is_refused(wrong: float, exponent: float) -> None:
    priorities = holding([1, 2, 3], exponent)
    before = priorities.values.tolist(), priorities.highest
    with pytest.raises(ValueError, match="finite"):
        priorities.update(np.arange(3), np.array([1, wrong, 7], np.float32))
    assert (priorities.values.tolist(), priorities.highest) == before


def test_loaded_values_are_as_they_were() -> None:
    saved = holding([1, 5, 0, 2.5], 0.6)
    saved.update(np.array([1]), np.array([0.5], np.float32))
    loaded = Priorities(4, 0.6)
    loaded.load(saved.values, saved.highest)
    for priorities in (saved, loaded):
        priorities.add(np.array([2]))
    assert loaded.values.tolist() == saved.values.tolist()
    draws = [priorities.draw(1000, np.random.default_rng(0)) for priorities in (saved, loaded)]
    np.testing.assert_array_equal(*draws)


# ---------------------------------------------------------------- importance weights


@pytest.mark.parametrize(
    ("exponent", "beta", "places", "weights"),
    [
        # P = 1/15, 2/15, 4/15, 8/15 and N = 4, so 1 / (N P) = 15/4, 15/8, 15/16, 15/32.
        (1.0, 1.0, [0, 1, 2, 3], [1, 1 / 2, 1 / 4, 1 / 8]),
        (1.0, 0.5, [0, 1, 2, 3], [1, 0.707107, 0.5, 0.353553]),
        (1.0, 0.0, [0, 1, 2, 3], [1, 1, 1, 1]),
        # Only what is in the batch counts for the highest weight.
        (1.0, 1.0, [3, 2, 3, 2], [1 / 2, 1, 1 / 2, 1]),
        (1.0, 0.4, [3], [1]),
        # P = 0.138071, 0.195262, 0.276142, 0.390524: the roots.
        (0.5, 1.0, [3, 2, 1, 0], [0.353553, 0.5, 0.707107, 1]),
        (0.5, 0.4, [0, 3], [1, 0.659754]),
    ],
)
def test_weights_are_those_of_section_3_4(
    exponent: float, beta: float, places: list, weights: list
) -> None:
    priorities = holding([1, 2, 4, 8], exponent)
    assert priorities.weights(np.array(places), beta) == pytest.approx(weights, abs=2e-6)


@given(
    td_errors=st_numpy.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 100, width=32)),
    exponent=st.floats(0.1, 1),
    beta=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_weights_make_up_for_the_probabilities(
    td_errors: np.ndarray, exponent: float, beta: float, seed: int
) -> None:
    priorities = holding(td_errors.tolist(), exponent)
    places = priorities.draw(16, np.random.default_rng(seed))
    probabilities = priorities.values / priorities.values.sum()
    wanted = (1 / (len(td_errors) * probabilities[places])) ** beta
    weights = priorities.weights(places, beta)
    np.testing.assert_allclose(weights, wanted / wanted.max(), rtol=1e-9)
    assert weights.max() == 1
