"""What `reward_visualizer.py` draws: the ten plots or one picture; and what it says of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.figure import Figure

from plotting import average_plots
from plotting.curve_plot import DPI, SIZE, draw_curves
from plotting.curves import points_of
from plotting.drawing import write_figure
from plotting.log_table import read_table
from plotting.runs import Group, Run, environment_name, find_logs, grouped, read_run
from storage.episode_log import LogError, shown
from system.console import PLOTTER, counted

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
        LogError: a log that is named can't be read or lacks x or y, or all others do.
        OSError: the picture can't be written.
    """
    groups, notes = read_groups(names, x, y)
    say_notes(notes)
    figure = Figure(figsize=SIZE, dpi=DPI, layout="tight")
    draw_curves(figure, groups, x, y, average, title_of(groups, average))
    for path in pictures:
        path.parent.mkdir(parents=True, exist_ok=True)
    _write(figure, pictures)


class Runs(NamedTuple):
    """Runs that can be drawn.

    Attributes:
        groups: the runs, grouped.
        notes: what is wrong with their files, what is shown in another way than these say, and
            which logs were left out.
    """

    groups: list[Group]
    notes: list[str]


def read_groups(names: Sequence[str], x: str, y: str) -> Runs:
    """Reads the runs that logs, folders and patterns stand for, and groups them.

    A log in a folder, or one that a pattern fits, is left out if it can't be read or lacks x or y:
    a run that has only begun does not spoil the picture of the others.

    Raises:
        LogError: a log that is named can't be read or lacks x or y, or all others do.
    """
    runs: list[Run] = []
    problems: list[LogError] = []
    for path, is_named in find_logs(names).items():
        try:
            run = read_run(path)
            points_of(run, x, y)
            runs.append(run)
        except LogError as error:
            problems.append(error)
            if is_named:
                raise
    if not runs:
        raise problems[0]
    notes = [
        f"{shown(run.path)}: {note}"
        for run in runs
        for note in [*average_plots.notes(run.table), *run.notes]
    ]
    if problems:
        first = "as" if len(problems) == 1 else "the first as"
        notes.append(f"left out {counted(len(problems), 'log')}, {first} {problems[0]}")
    return Runs(grouped(runs), notes)


def say_notes(notes: Sequence[str]) -> None:
    """Prints what `read_groups` noted."""
    for note in notes:
        _say_note(note)


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
