"""The ten plots of one log: reward, score, loss and exploration against episodes and steps.

In `episodes_rewards50.png` the first word names the x axis and the second the y axis.
"Probability" is the probability that the network decides, 1 - epsilon.

Averages are those of buckets of N consecutive episodes, and a bucket's point is its mean on both
axes. A last bucket that has fewer is hollow and dashed, and named in the legend.
Episodes whose x or y is not finite are left out before the buckets are filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from plotting.axes import AVERAGE_AXES
from plotting.drawing import bucket_means, count_text, is_finite
from system.console import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

    from plotting.log_table import LogTable, Values


PLOTS = (
    ("episodes", "rewards"),
    ("episodes", "probability"),
    ("episodes", "loss"),
    ("probability", "rewards"),
    ("steps", "rewards"),
    ("steps", "probability"),
    ("steps", "loss"),
)
SCORE_PLOTS = (("episodes", "scores"), ("probability", "scores"), ("steps", "scores"))
MOST_SINGLES = 3000  # episodes that are drawn one by one; of more, only the range is drawn
MOST_MARKERS = 60  # means of buckets that have a marker each; of more, only the line is drawn


def columns(table: LogTable) -> dict[str, Values]:
    """Returns the values of each axis, [N] float64, with the runs of the log counted on as one.

    Scores that a line lacks are nan.
    """
    return {name: axis.values(table.counted_on) for name, axis in AVERAGE_AXES.items()}


def notes(table: LogTable) -> list[str]:
    """Returns, a line each, what the plots leave out of a log or show in another way."""
    notes = []
    if table.skipped:
        number, why = table.skipped[0]
        lines = counted(len(table.skipped), "line")
        notes.append(f"skipped {lines} of the log; the first is line {number}: {why}")
    if (runs := len(table.run_starts)) > 1:
        notes.append(f"joined {runs:,} runs; their episodes and steps are counted on")
    data = columns(table)
    for name in ("rewards", "probability", "loss"):
        if odd := int(np.sum(~is_finite(data[name]))):
            some = counted(odd, "episode")
            notes.append(f"left {some} without a finite value out of the plots of {name}")
    return notes


def average_plots(table: LogTable, size: int, title: str) -> Iterator[tuple[str, Figure]]:
    """Yields each plot of a log with its name, such as episodes_rewards50.

    Args:
        table: the log.
        size: episodes averaged into one point.
        title: what was run.
    """
    data = columns(table)
    for x_name, y_name in PLOTS + (SCORE_PLOTS if table.has("score") else ()):
        yield f"{x_name}_{y_name}{size}", draw(data, x_name, y_name, size, title)


def draw(data: dict[str, Values], x_name: str, y_name: str, size: int, title: str) -> Figure:
    """Returns the plot of one axis against another.

    Args:
        data: as `columns` returns it.
        x_name: the x axis, a key of `data`.
        y_name: the y axis, a key of `data`.
        size: episodes in a bucket.
        title: what was run; what is averaged is added.
    """
    figure = Figure(figsize=(10, 6), dpi=120, layout="tight")
    axes = figure.add_subplot()
    finite = is_finite(data[x_name], data[y_name])
    x, y = data[x_name][finite], data[y_name][finite]
    if len(x):
        _draw_singles(axes, x, y, size, points=x_name == "probability")
        _draw_buckets(axes, x, y, size, in_order=x_name == "probability")
        axes.legend(loc="best", framealpha=0.8)
    else:
        axes.text(0.5, 0.5, "no finite values", ha="center", transform=axes.transAxes)
    averaged = f"mean of {size:,} episodes" if size > 1 else "each episode"
    # A `$` in a file's name is not the start of a formula.
    axes.set_title(f"{title}: {averaged}", parse_math=False)
    axes.set_xlabel(AVERAGE_AXES[x_name].label)
    axes.set_ylabel(AVERAGE_AXES[y_name].label)
    axes.grid(alpha=0.3)
    if x_name != "probability":
        axes.xaxis.set_major_formatter(FuncFormatter(count_text))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 2.5, 5, 10]))
    if y_name in ("rewards", "scores"):
        axes.yaxis.set_major_formatter(FuncFormatter(count_text))
    return figure


def _draw_singles(axes: Axes, x: Values, y: Values, size: int, points: bool) -> None:
    """Draws single episodes faintly, or only their range where they are too many."""
    if size == 1:
        return
    if len(x) <= MOST_SINGLES:
        style: dict[str, Any] = {"color": "tab:blue", "linewidth": 0.8}
        if points:
            style = {"color": "grey", "marker": ".", "markersize": 5, "linestyle": ""}
        axes.plot(x, y, alpha=0.3, label="single episodes", **style)
    elif not points:
        group = -(-len(x) // (MOST_SINGLES // 3))
        starts = np.arange(0, len(x), group)
        axes.fill_between(
            bucket_means(x, group),
            np.minimum.reduceat(y, starts),
            np.maximum.reduceat(y, starts),
            color="tab:blue",
            alpha=0.2,
            linewidth=0,
            label=f"range of {group:,} episodes",
        )


def _draw_buckets(axes: Axes, x: Values, y: Values, size: int, in_order: bool) -> None:
    """Draws the mean of each bucket, and that of a last, smaller one in another style.

    `in_order` gives points the colours of their order, where many share one x.
    """
    left_over = len(x) % size
    xs, ys = bucket_means(x, size), bucket_means(y, size)
    full = len(xs) - bool(left_over)
    label = f"mean of {size:,} episodes" if size > 1 else "each episode"
    if in_order and full:
        axes.plot(xs[:full], ys[:full], color="grey", linewidth=0.7, alpha=0.7)
        last = np.arange(1, full + 1) * size
        shades: dict[str, Any] = {"c": last, "vmin": 0, "vmax": len(x)}
        dots = axes.scatter(xs[:full], ys[:full], s=24, label=label, zorder=3, **shades)
        bar = axes.figure.colorbar(dots, ax=axes, format=count_text, label="episodes so far")
        bar.ax.tick_params(length=0)
    elif full:
        style: dict[str, Any] = {"color": "tab:blue", "linewidth": 2, "markersize": 4}
        marker = "o" if full <= MOST_MARKERS else ""
        axes.plot(xs[:full], ys[:full], marker=marker, label=label, **style)
    if left_over:
        start = max(0, full - 1)
        label = counted(left_over, "episode")
        label = f"last {label}" if full else f"only {label} (fewer than {size:,})"
        axes.plot(
            xs[start:],
            ys[start:],
            color="tab:orange",
            linestyle="--",
            marker="o",
            markevery=[len(xs) - 1 - start],
            markerfacecolor="white",
            zorder=4,
            label=label,
        )
