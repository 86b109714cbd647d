"""What `reward_visualizer.py` draws: the ten plots or one picture; and what it says of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from plotting import average_plots
from plotting.curve_plot import DPI, SIZE, draw_curves
from plotting.drawing import write_figure
from plotting.log_table import read_table
from plotting.runs import Group, environment_name, find_logs, grouped, read_run
from storage.episode_log import shown
from system.console import PLOTTER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def draw_average_plots(path: Path, size: int, out: Path, formats: Sequence[str]) -> None:
    """Draws the ten plots of a log and prints the paths of the pictures.

    Args:
        path: the log.
        size: episodes averaged into one point.
        out: the folder in which the folder `average_<size>` is made.
        formats: those of the pictures, such as png.

    Raises:
        LogError: the log can't be read.
        OSError: a picture can't be written.
    """
    table = read_table(path)
    for note in average_plots.notes(table):
        _say_note(note)
    folder = out / f"average_{size}"
    folder.mkdir(parents=True, exist_ok=True)
    title = environment_name(str(path))
    for name, figure in average_plots.average_plots(table, size, title):
        _write(figure, [folder / f"{name}.{ending}" for ending in formats])


def draw_one_picture(
    names: Sequence[str], x: str, y: str, average: int, pictures: Sequence[Path]
) -> None:
    """Draws one picture of all runs and prints its paths.

    Args:
        names: logs, folders and patterns.
        x: the x axis.
        y: the y axis.
        average: episodes of which each point of a run is the mean.
        pictures: its files, one for each format.

    Raises:
        LogError: a log can't be read, or lacks x or y.
        OSError: the picture can't be written.
    """
    groups = read_groups(names)
    say_notes(groups)
    figure = Figure(figsize=SIZE, dpi=DPI, layout="tight")
    draw_curves(figure, groups, x, y, average, title_of(groups, average))
    for path in pictures:
        path.parent.mkdir(parents=True, exist_ok=True)
    _write(figure, pictures)


def read_groups(names: Sequence[str]) -> list[Group]:
    """Reads the runs that logs, folders and patterns stand for, and groups them.

    Raises:
        LogError: a log can't be read.
    """
    return grouped(read_run(path) for path in find_logs(names))


def say_notes(groups: Sequence[Group]) -> None:
    """Prints what is wrong with files of runs, and what is shown in another way than they say."""
    for group in groups:
        for run in group.runs:
            for note in [*average_plots.notes(run.table), *run.notes]:
                _say_note(f"{shown(run.path)}: {note}")


def title_of(groups: Sequence[Group], average: int) -> str:
    """Returns the title of a picture of runs."""
    environments = dict.fromkeys(run.environment for group in groups for run in group.runs)
    averaged = f"mean of the last {average:,} episodes" if average > 1 else "each episode"
    return f"{', '.join(environments)}: {averaged}"


def say(text: str) -> None:
    """Prints a line at once."""
    print(text, flush=True)


def _say_note(text: str) -> None:
    """Prints a line on stderr."""
    print(f"{PLOTTER}: {text}", file=sys.stderr, flush=True)


def _write(figure: Figure, paths: Sequence[Path]) -> None:
    for path in paths:
        write_figure(figure, path)
        say(shown(path))
