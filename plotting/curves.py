"""Curves of runs: one value of each episode, and the mean and the band of several runs.

A point of a run's curve is the mean of the last N episodes up to it (at the start, of all so far);
its x is that of the last of them. The curves of a group are interpolated on one grid, over the x
that all of them have. The group's line is their mean, and its band goes from the lowest to the
highest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from plotting.axes import X_AXES, Y_AXES
from plotting.drawing import is_finite
from storage.episode_log import LogError, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plotting.log_table import Values
    from plotting.runs import Run

# Attributes of evaluations that say where on an x axis they lie, by the columns of a log's table.
_OF_EVALUATIONS = {"steps": "step", "frames": "frames", "seconds": "seconds"}
GRID = 1000  # points of the curve of a group


class Curve(NamedTuple):
    """A line, [N] each, x not decreasing."""

    x: Values
    y: Values


class Band(NamedTuple):
    """Mean, lowest and highest of several curves, [GRID] each; empty where they share no x."""

    x: Values
    mean: Values
    low: Values
    high: Values


def curve_of(run: Run, x: str, y: str, average: int) -> Curve:
    """Returns the curve of a run; see `points_of`.

    Args:
        run: the run.
        x: a key of `X_AXES`.
        y: a key of `Y_AXES`.
        average: episodes of which each point is the mean.

    Raises:
        LogError: the run has no such points.
    """
    xs, ys = points_of(run, x, y)
    return Curve(xs, moving_mean(ys, average))


def points_of(run: Run, x: str, y: str) -> Curve:
    """Returns a point for each episode of a run whose x and y are finite.

    Raises:
        LogError: the log lacks x or y, or has no episode where both are finite.
    """
    x_axis, y_axis = X_AXES[x], Y_AXES[y]
    for axis, other in ((x_axis, "--x steps"), (y_axis, "--y reward")):
        if not run.table.has(axis.field.attribute):
            name, field = shown(run.path), axis.field.name
            raise LogError(f"{name} has no values of {field}: {other} draws what every log has")
    columns = run.table.counted_on
    xs, ys = x_axis.values(columns), y_axis.values(columns)
    finite = is_finite(xs, ys)
    if not finite.any():
        raise LogError(f"{shown(run.path)} has no episode with finite values of {x} and {y}")
    # Interpolation needs an x that does not fall, and a log may have been changed by hand.
    return Curve(np.maximum.accumulate(xs[finite]), ys[finite])


def evaluations_of(run: Run, x: str) -> Curve:
    """Returns the mean scores of a run's evaluations, over where on an x axis the run then was."""
    columns, axis = run.table.counted_on, X_AXES[x]
    name = axis.field.attribute
    if name in _OF_EVALUATIONS:
        where = _attributes(run, _OF_EVALUATIONS[name])
    else:
        # That of the last episode before the evaluation, even where the log ends long before it.
        before = np.searchsorted(columns["steps"], _attributes(run, "step"), side="right") - 1
        where = columns[name][np.clip(before, 0, None)]
    xs, means = axis.values({name: where}), _attributes(run, "mean")
    finite = is_finite(xs, means)
    return Curve(xs[finite], means[finite])


def _attributes(run: Run, name: str) -> Values:
    """Returns one number of each evaluation, [E] float64."""
    return np.array([getattr(evaluation, name) for evaluation in run.evaluations], np.float64)


def moving_mean(values: Values, count: int) -> Values:
    """Returns the mean of each value and the `count` - 1 before it, or as many as there are.

    A value only enters the sums of its own means. In differences of running sums, a large one would
    take the digits of all later means.

    Args:
        values: [N] float64.
        count: from 1.
    """
    size = len(values)
    count = min(count, size)
    blocks = np.zeros((-(-size // count), count))
    blocks.ravel()[:size] = values
    # A window is the tail of one block and the head of the next, or one head alone.
    sums = blocks.cumsum(axis=1).ravel()[:size]
    tails = blocks[:, ::-1].cumsum(axis=1)[:, ::-1].ravel()
    starts = np.arange(size) - count + 1
    in_two = (starts > 0) & (starts % count > 0)
    sums[in_two] += tails[starts[in_two]]
    return sums / np.minimum(np.arange(1, size + 1), count)


def band_of(curves: Sequence[Curve]) -> Band:
    """Returns mean, lowest and highest of curves, over the x that all have."""
    start = max(curve.x[0] for curve in curves)
    end = min(curve.x[-1] for curve in curves)
    x = np.linspace(start, end, GRID) if start <= end else np.empty(0)
    rows = np.array([np.interp(x, curve.x, curve.y) for curve in curves])
    return Band(x, rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0))
