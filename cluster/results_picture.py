"""The results of a sweep as one picture: points with their intervals, a colour for each group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from cluster.intervals import AGGREGATES
from plotting.curve_plot import COLOURS, DPI
from plotting.drawing import write_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from cluster.intervals import Interval
    from cluster.results import Results

WIDTH, ROW_HEIGHT, PANEL_HEIGHT = 8.0, 0.22, 0.9  # inches
GAMES_ACROSS = 3  # panels beside one another, as there are aggregates


def draw_results(results: Results, path: Path) -> None:
    """Draws the aggregates of all games, and below them the mean score of each.

    Raises:
        OSError: the picture cannot be written.
    """
    groups = list(results.by_game)
    games = list(dict.fromkeys(game for means in results.by_game.values() for game in means))
    panels: list[tuple[str, dict[str, Interval], bool]] = []
    if results.together:
        for name in AGGREGATES:
            numbers = {group: of_group[name] for group, of_group in results.together.items()}
            panels.append((f"{name}, human-normalised", numbers, True))
    for game in games:
        means = {group: means[game] for group, means in results.by_game.items() if game in means}
        panels.append((game, means, False))
    rows = -(-len(panels) // GAMES_ACROSS)
    height = rows * (PANEL_HEIGHT + ROW_HEIGHT * len(groups))
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    grid = figure.subplots(rows, GAMES_ACROSS, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, numbers, in_percent) in zip(grid.flat, panels, strict=False):
        _draw(axes, groups, numbers)
        # A `$` in the name of a group is not the start of a formula.
        axes.set_title(title, fontsize="small", parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        if in_percent:
            axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    write_figure(figure, path)


def _draw(axes: Axes, groups: Sequence[str], numbers: Mapping[str, Interval]) -> None:
    """Draws a row for each group: its interval, and its number as a point."""
    for row, group in enumerate(groups):
        colour = COLOURS[row % len(COLOURS)]
        if number := numbers.get(group):
            axes.hlines(row, number.low, number.high, color=colour, linewidth=5, alpha=0.4)
            axes.plot(number.value, row, "o", color=colour, markersize=5)
    axes.set_yticks(range(len(groups)), groups, parse_math=False)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.tick_params(labelsize="small")
    axes.margins(x=0.1)
    axes.grid(axis="x", alpha=0.3)
