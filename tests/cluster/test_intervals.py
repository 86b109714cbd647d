"""Aggregates of many runs, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.intervals import (
    AGGREGATES,
    Interval,
    Scores,
    improvement,
    interquartile_mean_of,
    interval_of,
    mean_of,
    median_of,
)

REPEATS = 300
scores = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=1, max_size=6)
games = st.lists(scores.map(np.array), min_size=1, max_size=5)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def as_drawn_once(*of_games: list[float]) -> list[Scores]:
    return [np.array([values]) for values in of_games]


def test_aggregates_worked_out_by_hand() -> None:
    of_games = as_drawn_once([1, 3], [10, 20], [4, 4])  # means 2, 15 and 4
    assert median_of(of_games) == [4]
    assert mean_of(of_games) == [7]
    # Of six runs, one at each end is left out: 1, 3, 4, 4, 10, 20.
    assert interquartile_mean_of(of_games) == [(3 + 4 + 4 + 10) / 4]
    # Of three, none is.
    assert interquartile_mean_of(as_drawn_once([0, 3], [9])) == [4]
    # Of eight, two are.
    assert interquartile_mean_of(as_drawn_once([1, 2, 3, 4, 5, 6, 7, 800])) == [4.5]


@given(games=games)
@pytest.mark.parametrize("name", AGGREGATES)
def test_an_interval_lies_within_what_the_runs_scored(name: str, games: list[Scores]) -> None:
    value, low, high = interval_of(AGGREGATES[name], games, rng(), REPEATS)
    everything = np.concatenate(games)
    near = 1e-9
    assert everything.min() - near <= low <= high <= everything.max() + near
    assert everything.min() - near <= value <= everything.max() + near
    moved = interval_of(AGGREGATES[name], [game + 1000 for game in games], rng(), REPEATS)
    assert moved == pytest.approx((value + 1000, low + 1000, high + 1000))


def test_runs_are_drawn_within_each_game() -> None:
    """Between games that differ, and whose runs are alike, there is nothing to draw."""
    alike = [np.full(5, 1.0), np.full(5, 100.0)]
    for aggregate in AGGREGATES.values():
        value, low, high = interval_of(aggregate, alike, rng(), REPEATS)
        assert low == value == high


def test_an_interval_covers_95_of_100_draws() -> None:
    """Of 0 and 1, twenty each, the mean of 40 draws has a binomial distribution.

    13 or fewer ones are 1.9% of all draws, and 14 or fewer 4.0%.
    """
    values = np.repeat([0.0, 1.0], 20)
    assert interval_of(mean_of, [values], rng()) == Interval(0.5, 14 / 40, 26 / 40)


@given(pairs=st.lists(st.tuples(scores.map(np.array), scores.map(np.array)), min_size=1))
def test_one_of_two_groups_improves_on_the_other(pairs: list[tuple[Scores, Scores]]) -> None:
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    number, inverse = (improvement(*two, rng(), 50) for two in ((ours, theirs), (theirs, ours)))
    assert number.value + inverse.value == pytest.approx(1)
    assert 0 <= number.low <= number.high <= 1
    assert improvement(ours, ours, rng(), 1).value == pytest.approx(0.5)


def test_probability_of_improvement_worked_out_by_hand() -> None:
    # 3 > 1, 3 > 2, 2 > 1, and 2 = 2 counts half: 3.5 of 4 pairs; in the other game 0 of 2.
    ours, theirs = [np.array([3, 2]), np.array([0])], [np.array([1, 2]), np.array([1, 9])]
    assert improvement(ours, theirs, rng(), 1).value == (3.5 / 4 + 0) / 2
