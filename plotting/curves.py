"""Curves of runs: what was measured in each episode, and the mean and the band of several runs.

A point of a run's curve is the mean of its last N episodes up to there (of all so far, at its
start), at the x of the last of them. The curves of a group are read off on one grid over the x that
all of them have; the line is their mean there, and the band goes from the lowest to the highest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from plotting.drawing import is_finite
from plotting.log_table import Values
from plotting.runs import Run
from storage.episode_log import LogError, shown

# Names on the command line, and the columns of a log's table.
X_COLUMNS = {"steps": "steps", "episodes": "number", "frames": "frames", "hours": "seconds"}
Y_COLUMNS = {
    "score": "score",
    "reward": "reward",
    "loss": "loss",
    "epsilon": "epsilon",
    "mean-q": "mean_q",
    "q-spread": "q_spread",
    "dead-relus": "dead_relus",
}
# What a log calls the fields that older ones lack.
FIELDS = {
    "score": "Score",
    "mean_q": "Mean Q",
    "q_spread": "Q Spread",
    "dead_relus": "Dead ReLUs",
    "frames": "Frames",
    "seconds": "Seconds",
}
GRID = 1000  # points of the curve of a group
SECONDS_IN_AN_HOUR = 3600


class Curve(NamedTuple):
    """A line, [N] each, x not decreasing."""

    x: Values
    y: Values


class Band(NamedTuple):
    """The curves of several runs as one, [GRID] each; empty where they have no x in common."""

    x: Values
    mean: Values
    low: Values
    high: Values


def curve_of(run: Run, x: str, y: str, average: int) -> Curve:
    """Returns the curve of a run; episodes without a finite value on an axis are left out.

    Args:
        run: the run.
        x: a key of `X_COLUMNS`.
        y: a key of `Y_COLUMNS`.
        average: episodes of which each point is the mean.

    Raises:
        LogError: the log lacks one of the two, or has no finite value of it.
    """
    for flag, column in (("--x", X_COLUMNS[x]), ("--y", Y_COLUMNS[y])):
        if not run.table.has(column):
            other = "--x steps" if flag == "--x" else "--y reward"
            field = FIELDS.get(column, column)
            name = shown(run.path)
            raise LogError(f"{name} has no values of {field}: {other} draws what every log has")
    values = run.table.counted_on
    xs, ys = values[X_COLUMNS[x]], values[Y_COLUMNS[y]]
    finite = is_finite(xs, ys)
    if not finite.any():
        raise LogError(f"{shown(run.path)} has no episode with finite values of {x} and {y}")
    # Interpolation needs an order, and a log may have been changed by hand.
    xs = np.maximum.accumulate(xs[finite])
    return Curve(_in_units(xs, x), moving_mean(ys[finite], average))


def evaluations_of(run: Run, x: str) -> Curve:
    """Returns the mean scores of a run's evaluations; their x is that of the run before them."""
    values = run.table.counted_on
    steps = np.array([each.step for each in run.evaluations], dtype=np.float64)
    xs = {
        "steps": steps,
        # Where the log ends before the evaluation, its last episode is the one before.
        "episodes": values["number"][
            np.clip(np.searchsorted(values["steps"], steps, side="right") - 1, 0, None)
        ],
        "frames": np.array([each.frames for each in run.evaluations], dtype=np.float64),
        "hours": np.array([each.seconds for each in run.evaluations]),
    }
    means = np.array([each.mean for each in run.evaluations], dtype=np.float64)
    finite = is_finite(xs[x], means)
    return Curve(_in_units(xs[x][finite], x), means[finite])


def _in_units(values: Values, x: str) -> Values:
    return values / SECONDS_IN_AN_HOUR if x == "hours" else values


def moving_mean(values: Values, count: int) -> Values:
    """Returns the mean of each value and those before it, `count` in all; fewer at the start.

    A value has no influence on means that it is not part of, however large it is, as it would have
    in a difference of running sums.
    """
    size = len(values)
    count = min(count, size)
    blocks = np.zeros((-(-size // count), count))
    blocks.ravel()[:size] = values
    # A window is the tail of one block and the head of the next, or a head alone.
    sums = blocks.cumsum(axis=1).ravel()[:size]
    tails = blocks[:, ::-1].cumsum(axis=1)[:, ::-1].ravel()
    starts = np.arange(size) - count + 1
    in_two = (starts > 0) & (starts % count > 0)
    sums[in_two] += tails[starts[in_two]]
    return sums / np.minimum(np.arange(1, size + 1), count)


def band_of(curves: Sequence[Curve]) -> Band:
    """Returns the mean of curves, and the lowest and the highest, over the x that all have."""
    start = max(curve.x[0] for curve in curves)
    end = min(curve.x[-1] for curve in curves)
    x = np.linspace(start, end, GRID) if start <= end else np.empty(0)
    rows = np.array([np.interp(x, curve.x, curve.y) for curve in curves])
    return Band(x, rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0))
