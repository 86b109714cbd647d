"""A picture of runs that is drawn again whenever they have written."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from plotting.commands import read_groups, say, say_notes, title_of
from plotting.curve_plot import DPI, SIZE, draw_curves
from plotting.drawing import write_figure
from plotting.runs import beside, find_logs
from settings.paths import CHECKPOINT_ENDING, EVALUATIONS_ENDING
from storage.episode_log import LogError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

INTERVAL = 1.0  # seconds from one look at the files to the next
# Matplotlib's backends that have no window.
_NO_WINDOW = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}


def draw_live(names: Sequence[str], x: str, y: str, average: int, picture: Path) -> None:
    """Draws one picture of all runs whenever they have written, until Ctrl-C.

    With a display, the picture is in a window, and closing it ends this too; without one, it is a
    file that is replaced.

    Args:
        names: logs, folders and patterns; logs that appear in folders later, or have their first
            line later, are drawn, too.
        x: the x axis.
        y: the y axis.
        average: episodes of which each point of a run is the mean.
        picture: the file.

    Raises:
        LogError: at the start, a log that is named can't be read or lacks x or y, or all others do.
        OSError: the file can't be written.
    """
    # An interrupt is how this is meant to end.
    with contextlib.suppress(KeyboardInterrupt):
        _wait_for_episodes(names)
        say_notes(read_groups(names, x, y).notes)

        def draw(figure: Figure) -> None:
            groups, _ = read_groups(names, x, y)
            draw_curves(figure, groups, x, y, average, title_of(groups, average))

        if not _show_in_window(names, draw):
            _keep_writing(names, draw, picture)


def _wait_for_episodes(names: Sequence[str]) -> None:
    """Waits until a run has ended its first episode."""
    said = False
    while all(path.is_file() and not path.stat().st_size for path in find_logs(names)):
        if not said:
            say("waiting for the end of the first episode")
            said = True
        time.sleep(INTERVAL)


def _show_in_window(names: Sequence[str], draw: Callable[[Figure], None]) -> bool:
    """Shows the picture until its window is closed; returns False where no window can be opened."""
    import matplotlib.pyplot as plt

    # Matplotlib looks for a display, and for a library that opens windows on it.
    if plt.get_backend().lower() in _NO_WINDOW:
        return False
    figure = plt.figure(figsize=SIZE, layout="tight")
    draw(figure)
    figure.show()
    before = _written(names)
    while plt.fignum_exists(figure.number):
        figure.canvas.start_event_loop(INTERVAL)
        if (now := _written(names)) != before:
            before = now
            with contextlib.suppress(LogError):
                draw(figure)
                figure.canvas.draw_idle()
    return True


def _keep_writing(names: Sequence[str], draw: Callable[[Figure], None], picture: Path) -> None:
    """Writes the picture's file, and again whenever the runs have written."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="tight")
    picture.parent.mkdir(parents=True, exist_ok=True)
    before = _written(names)
    draw(figure)
    write_figure(figure, picture)
    say(f"{shown(picture)} is drawn anew as the runs write; Ctrl-C ends this")
    while True:
        time.sleep(INTERVAL)
        if (now := _written(names)) != before:
            before = now
            # A run that begins anew has an empty log for a while; until then the old picture stays.
            with contextlib.suppress(LogError):
                draw(figure)
                write_figure(figure, picture)


def _written(names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Returns path, time of writing and size of all files of the runs; none without a run."""
    written = []
    with contextlib.suppress(LogError, OSError):
        for log in find_logs(names):
            files = (log, beside(log, EVALUATIONS_ENDING), beside(log, CHECKPOINT_ENDING))
            for path in filter(os.path.exists, files):
                status = path.stat()
                written.append((str(path), status.st_mtime_ns, status.st_size))
    return written
