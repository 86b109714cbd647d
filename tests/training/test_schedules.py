"""Values that change as a run goes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.n_step import Horizon
from settings.config import Config
from training.schedules import HorizonSchedule, LinearSchedule, make_horizon, make_importance


@given(
    start=st.floats(0, 1), end=st.floats(0, 1), decay=st.integers(1, 10**7),
    first=st.integers(0, 10**7), step=st.integers(0, 10**8),
)  # fmt: skip
def test_epsilon_falls_from_start_to_end_and_stays(
    start: float, end: float, decay: int, first: int, step: int
) -> None:
    start, end = max(start, end), min(start, end)
    epsilon = LinearSchedule(start, end, decay, first)
    assert epsilon(first) == start
    assert epsilon(first + decay) == epsilon(first + decay + step) == pytest.approx(end)
    assert end - 1e-12 <= epsilon(step) <= start
    assert epsilon(step + 1) <= epsilon(step) * (1 + 1e-12)


def test_epsilon_is_a_straight_line() -> None:
    epsilon = LinearSchedule(1.0, 0.1, 1_000_000)
    assert epsilon(255) == pytest.approx(0.9997705)
    assert epsilon(500_000) == pytest.approx(0.55)


def test_the_importance_exponent_moves_over_the_whole_run() -> None:
    exponent = make_importance(Config(importance_exponent=0.4, importance_end=1.0, steps=1_000))
    assert [exponent(step) for step in (0, 500, 1_000, 2_000)] == pytest.approx([0.4, 0.7, 1, 1])


@given(exponent=st.floats(0, 1), steps=st.integers(1, 10**7), step=st.integers(0, 10**8))
def test_without_an_end_the_importance_exponent_stays_as_it_is(
    exponent: float, steps: int, step: int
) -> None:
    assert make_importance(Config(steps=steps))(step) == Config().importance_exponent
    assert make_importance(Config(importance_exponent=exponent, steps=steps))(step) == exponent


@given(
    n_steps=st.tuples(st.integers(1, 100), st.integers(1, 100)),
    discounts=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    steps=st.integers(1, 10**7),
    step=st.integers(0, 10**8),
)
def test_returns_get_shorter_and_the_discount_rises_and_both_stay(
    n_steps: tuple[int, int], discounts: tuple[float, float], steps: int, step: int
) -> None:
    start = Horizon(max(n_steps), min(discounts))
    end = Horizon(min(n_steps), max(discounts))
    horizon = HorizonSchedule(start, end, steps)
    assert horizon(0).n_step == start.n_step
    assert horizon(0).discount == pytest.approx(start.discount)
    assert horizon(steps) == horizon(steps + step) == end
    now, then = horizon(step), horizon(step + 1)
    assert start.n_step >= now.n_step >= then.n_step >= end.n_step
    assert start.discount - 1e-9 <= now.discount <= then.discount + 1e-9 <= end.discount + 2e-9


def test_horizon_by_hand() -> None:
    horizon = HorizonSchedule(Horizon(10, 0.97), Horizon(3, 0.9925), 100)
    # Halfway 1 - discount is the root of 0.03 * 0.0075, and n that of 30, which is 5.48.
    assert horizon(50).n_step == 5
    assert horizon(50).discount == pytest.approx(0.985)
    # A quarter of the way, 10 * 0.3**0.25 = 7.4.
    assert horizon(25).n_step == 7


def test_without_a_start_the_horizon_never_changes() -> None:
    config = Config(n_step=3, discount=0.99, n_step_start=None, discount_start=None)
    horizon = make_horizon(config)
    assert horizon(0) == horizon(10**6) == Horizon(3, 0.99)
    half = make_horizon(Config(n_step=3, discount=0.99, n_step_start=10, discount_start=None))
    assert half(0) == Horizon(10, 0.99)


def test_discounts_of_a_horizon_are_its_powers() -> None:
    assert Horizon(3, 0.5).discounts.tolist() == [1, 0.5, 0.25, 0.125]
