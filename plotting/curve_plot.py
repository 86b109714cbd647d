"""One picture of one quantity: a line for each group of runs, in the band that its runs span."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from atari.published_scores import published_scores
from plotting.axes import X_AXES, Y_AXES
from plotting.curves import Curve, band_of, curve_of, evaluations_of
from plotting.drawing import count_text, thinned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from plotting.runs import Group

SIZE, DPI = (10, 6), 120  # inches, and pixels an inch
LONGEST_LABEL = 48  # letters of a line in the legend
COLOURS = (
    *("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple"),
    *("tab:brown", "tab:pink", "tab:grey", "tab:olive", "tab:cyan"),
)
STYLES = ("-", "--", ":", "-.")  # of lines; the next is taken when all colours are
PUBLISHED = {"random": "random play", "human": "human", "dqn": "DQN of 2015"}
# How far from the runs a published score is still drawn, in heights of the y axis that they need.
MOST_DISTANCE = 1


def draw_curves(
    figure: Figure,
    groups: Sequence[Group],
    x: str,
    y: str,
    average: int,
    title: str = "",
    legend_below: bool = False,
) -> None:
    """Clears a figure and draws the curves of groups of runs.

    Scores stand beside the mean scores of the runs' evaluations; and, where all runs are of one
    game, beside published ones.

    Args:
        figure: where to draw.
        groups: the runs.
        x: the x axis, a key of `X_AXES`.
        y: the y axis, a key of `Y_AXES`.
        average: episodes of which each point of a run is the mean.
        title: drawn above, unless it is empty.
        legend_below: puts the legend below the axes; for a figure of constrained layout.

    Raises:
        LogError: a log lacks x or y.
    """
    figure.clear()
    axes = figure.add_subplot()
    width = round(figure.get_figwidth() * figure.get_dpi())
    for number, group in enumerate(groups):
        colour = COLOURS[number % len(COLOURS)]
        style = STYLES[number // len(COLOURS) % len(STYLES)]
        curves = [curve_of(run, x, y, average) for run in group.runs]
        _draw_group(axes, curves, width, color=colour, linestyle=style, label=group.label)
        if y == "score":
            label = "evaluations" if len(groups) == 1 else f"evaluations of {group.label}"
            _draw_evaluations(axes, group, x, color=colour, label=label)
    if y == "score":
        _draw_published(axes, {run.environment for group in groups for run in group.runs})
    # A `$` in the name of a file is not the start of a formula.
    axes.set_title(title, parse_math=False)
    axes.set_xlabel(X_AXES[x].label)
    axes.set_ylabel(Y_AXES[y].label)
    axes.grid(alpha=0.3)
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=x == "episodes"))
    axes.xaxis.set_major_formatter(FuncFormatter(count_text))
    axes.yaxis.set_major_formatter(FuncFormatter(count_text))
    if legend_below:
        legend = figure.legend(loc="outside lower left", fontsize="small")
    else:
        legend = axes.legend(loc="best", framealpha=0.6, fontsize="small")
    for text in legend.get_texts():
        text.set_parse_math(False)
        text.set_text(textwrap.fill(text.get_text(), LONGEST_LABEL))


def _draw_group(axes: Axes, curves: Sequence[Curve], width: int, **style: Any) -> None:
    """Draws one run as a line; of several the mean, the band, and each run faintly."""
    if len(curves) == 1:
        _draw_line(axes, curves[0], width, **style)
        return
    colour = style["color"]
    for curve in curves:
        _draw_line(axes, curve, width, color=colour, alpha=0.35, linewidth=0.8)
    band = band_of(curves)
    axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(band.x, band.mean, linewidth=2, **style)


def _draw_evaluations(axes: Axes, group: Group, x: str, **style: Any) -> None:
    """Draws the mean scores of a group's evaluations as diamonds."""
    evaluations = [evaluations_of(run, x) for run in group.runs]
    xs, means = (np.concatenate(values) for values in zip(*evaluations, strict=True))
    if len(xs):
        axes.plot(xs, means, "D", alpha=0.8, markersize=5, zorder=4, **style)


def _draw_line(axes: Axes, curve: Curve, width: int, **style: Any) -> None:
    axes.plot(*thinned(curve.x, curve.y, width), **style)


def _draw_published(axes: Axes, environments: set[str]) -> None:
    """Draws published scores as lines; the legend alone names those far from the runs."""
    if len(environments) > 1:
        return
    scores = published_scores(environments.pop())
    if scores is None:
        return
    low, high = axes.get_ylim()
    room = (high - low) * MOST_DISTANCE
    for (name, score), style in zip(scores._asdict().items(), (":", "--", "-."), strict=True):
        if score is None:
            continue
        label = f"{PUBLISHED[name]}: {score:,g}"
        if low - room <= score <= high + room:
            axes.axhline(score, color="tab:grey", linestyle=style, linewidth=1.2, label=label)
        else:
            beyond = "above" if score > high else "below"
            axes.plot([], [], linestyle="", label=f"{label} ({beyond} what is shown)")
