"""The numbers that curves are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from plotting.curve_plot import draw_curves
from plotting.curves import GRID, Curve, band_of, curve_of, evaluations_of, moving_mean
from plotting.drawing import thinned
from plotting.runs import Run, grouped, read_run
from storage.episode_log import LogError
from tests.helpers.logs import episode, write_log, write_run

if TYPE_CHECKING:
    from pathlib import Path

FLOATS = st.floats(-1e6, 1e6)


@given(values=st.lists(FLOATS, min_size=1, max_size=40), count=st.integers(1, 50))
def test_moving_mean_is_the_mean_of_the_last_ones(values: list[float], count: int) -> None:
    expected = [np.mean(values[max(0, end - count) : end]) for end in range(1, len(values) + 1)]
    np.testing.assert_allclose(moving_mean(np.array(values), count), expected, atol=1e-8)


def test_one_huge_value_spoils_only_the_means_that_it_is_part_of() -> None:
    means = moving_mean(np.array([1.0, 2.0, 1e30, 1.0, 3.0, 5.0]), 2)
    assert means[[0, 1, 4, 5]].tolist() == [1.0, 1.5, 2.0, 4.0]


def test_band_is_mean_lowest_and_highest_where_all_curves_are() -> None:
    rising = Curve(np.array([0.0, 10.0]), np.array([0.0, 10.0]))
    flat = Curve(np.array([4.0, 8.0, 20.0]), np.array([1.0, 1.0, 1.0]))
    band = band_of([rising, flat])
    assert (band.x[0], band.x[-1], len(band.x)) == (4.0, 10.0, GRID)
    np.testing.assert_allclose(band.mean, (band.x + 1) / 2)
    np.testing.assert_allclose(band.low, 1)
    np.testing.assert_allclose(band.high, band.x)


def test_curves_without_x_in_common_have_no_band() -> None:
    first, second = (Curve(np.array([x, x + 1.0]), np.ones(2)) for x in (0.0, 5.0))
    assert len(band_of([first, second]).mean) == 0


@given(
    y=st.lists(FLOATS, min_size=1, max_size=300),
    gaps=st.lists(st.integers(0, 3), min_size=300, max_size=300),
    columns=st.integers(1, 9),
)
def test_thinned_line_keeps_ends_and_extremes_of_every_column(
    y: list[float], gaps: list[int], columns: int
) -> None:
    ys = np.array(y)
    xs = np.cumsum(gaps[: len(y)]).astype(float)
    kept_x, kept_y = thinned(xs, ys, columns)
    assert len(kept_x) <= 4 * columns
    assert set(zip(kept_x, kept_y, strict=True)) <= set(zip(xs, ys, strict=True))
    assert (kept_x[0], kept_y[0], kept_x[-1], kept_y[-1]) == (xs[0], ys[0], xs[-1], ys[-1])
    edges = np.linspace(xs[0], xs[-1], columns + 1)[1:-1]
    for column in range(columns):
        there = ys[np.searchsorted(edges, xs, side="right") == column]
        kept = kept_y[np.searchsorted(edges, kept_x, side="right") == column]
        if len(there):
            assert (kept.min(), kept.max()) == (there.min(), there.max())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return read_run(write_run(tmp_path, [1.0, 2.0, 6.0], evaluations=[3.0, 9.0]))


@pytest.mark.parametrize(
    ("x", "values"),
    [
        ("steps", [100, 200, 300]),
        ("episodes", [0, 1, 2]),
        ("frames", [400, 800, 1200]),
        ("minutes", [10 / 60, 20 / 60, 30 / 60]),
        ("hours", [10 / 3600, 20 / 3600, 30 / 3600]),
    ],
)
def test_x_axes_are_those_of_the_log(x: str, values: list[float], run: Run) -> None:
    curve = curve_of(run, x, "score", 2)
    np.testing.assert_allclose(curve.x, values)
    assert curve.y.tolist() == [1.0, 1.5, 4.0]


@pytest.mark.parametrize(
    ("y", "value"),
    [
        *(("reward", 6.0), ("loss", 0.01), ("epsilon", 0.97), ("mean-q", 0.5)),
        *(("q-spread", 0.2), ("dead-relus", 0.1)),
    ],
)
def test_y_axes_are_those_of_the_log(y: str, value: float, run: Run) -> None:
    assert curve_of(run, "steps", y, 1).y[-1] == pytest.approx(value)


@pytest.mark.parametrize(
    ("x", "values"),
    [("steps", [250, 500]), ("episodes", [1, 2]), ("frames", [1000, 2000]),
     ("hours", [25 / 3600, 50 / 3600])],
)  # fmt: skip
def test_evaluations_lie_where_they_were_made(x: str, values: list[float], run: Run) -> None:
    curve = evaluations_of(run, x)
    np.testing.assert_allclose(curve.x, values)
    assert curve.y.tolist() == [3.0, 9.0]


def test_episodes_without_a_finite_value_are_left_out(tmp_path: Path) -> None:
    episodes = [episode(0, 1.0), episode(1, 2.0, loss=float("nan")), episode(2, 3.0, loss=0.5)]
    run = read_run(write_log(tmp_path / "Pong-v4_log.txt", episodes))
    curve = curve_of(run, "steps", "loss", 1)
    assert (curve.x.tolist(), curve.y.tolist()) == ([100, 300], [0.01, 0.5])


def test_runs_in_one_log_count_all_axes_on(tmp_path: Path) -> None:
    twice = [episode(0, 1.0), episode(1, 1.0), episode(0, 1.0), episode(1, 1.0)]
    run = read_run(write_log(tmp_path / "Pong-v4_log.txt", twice))
    xs = {x: curve_of(run, x, "score", 1).x for x in ("steps", "episodes", "frames", "hours")}
    assert xs["steps"].tolist() == [100, 200, 300, 400]
    assert xs["episodes"].tolist() == [0, 1, 2, 3]
    assert xs["frames"].tolist() == [400, 800, 1200, 1600]
    np.testing.assert_allclose(xs["hours"] * 3600, [10, 20, 30, 40])


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ("steps", "score", "no values of Score: --y reward"),
        ("steps", "mean-q", "no values of Mean Q: --y reward"),
        ("steps", "q-spread", "no values of Q Spread: --y reward"),
        ("steps", "dead-relus", "no values of Dead ReLUs: --y reward"),
        ("frames", "loss", "no values of Frames: --x steps"),
        ("hours", "loss", "no values of Seconds: --x steps"),
    ],
)
def test_older_log_that_lacks_a_field_says_which(
    x: str, y: str, words: str, tmp_path: Path
) -> None:
    run = read_run(write_log(tmp_path / "Pong-v4_log.txt", [episode(0)]))
    with pytest.raises(LogError, match=f"^[^\n]*Pong-v4_log.txt has {words}[^\n]*$"):
        curve_of(run, x, y, 1)


# ---------------------------------------------------------------- what is drawn of them


def drawn(*logs: Path, y: str = "score") -> dict[str, list[float]]:
    """Returns the heights of the lines in the legend of a picture, by their labels."""
    figure = Figure()
    draw_curves(figure, grouped(map(read_run, logs)), "steps", y, 1)
    [axes] = figure.axes
    return {
        str(line.get_label()): np.asarray(line.get_ydata()).tolist()
        for line in axes.get_lines()
        if not str(line.get_label()).startswith("_")
    }


def test_published_scores_stand_beside_scores_alone(tmp_path: Path) -> None:
    log = write_run(tmp_path, [-20.0, 20.0])
    lines = drawn(log)
    assert lines["random play: -20.7"] == [-20.7, -20.7]
    assert lines["human: 14.6"] == [14.6, 14.6]
    assert lines["DQN of 2015: 18.9"] == [18.9, 18.9]
    assert set(drawn(log, y="loss")) == {"Pong-v4"}


def test_published_score_far_off_is_named_and_does_not_flatten_the_runs(tmp_path: Path) -> None:
    lines = drawn(write_run(tmp_path, [0.0, 2.0], environment="Breakout-v4"))
    assert lines["DQN of 2015: 401.2 (above what is shown)"] == []
    assert lines["random play: 1.7"] == [1.7, 1.7]


def test_runs_of_two_games_have_no_published_scores(tmp_path: Path) -> None:
    games = ("Breakout-v4", "Pong-v4")
    lines = drawn(*(write_run(tmp_path, [1.0], environment=game) for game in games))
    assert set(lines) == set(games)


def test_picture_has_mean_of_runs_and_evaluations_of_all(tmp_path: Path) -> None:
    logs = [
        write_run(tmp_path / "1", [1.0, 1.0], evaluations=[5.0], seed=1),
        write_run(tmp_path / "2", [3.0, 3.0], evaluations=[7.0, 8.0], seed=2),
    ]
    lines = drawn(*logs)
    assert set(lines["Pong-v4 (2 runs)"]) == {2.0}
    assert lines["evaluations"] == [5.0, 7.0, 8.0]
