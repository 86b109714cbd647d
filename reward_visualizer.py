"""Draws the logs of runs: scores, and all else that they tell of each episode.

    python3 reward_visualizer.py -f Pong-v0_log.txt -a 50        ten plots, in average_50/
    python3 reward_visualizer.py -f runs --x hours --y score     one picture of all runs in a folder
    python3 reward_visualizer.py -f Pong-v0_log.txt --live       one that follows a run
    python3 reward_visualizer.py -f runs --dashboard runs.html   a page about runs

docs/plotting.md shows what each flag makes.
"""

from __future__ import annotations

if __name__ == "__main__":  # before any library is loaded
    from system.process import begin

    begin()

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from plotting.axes import DEFAULT_X, DEFAULT_Y, X_AXES, Y_AXES
from storage.episode_log import shown
from system import arguments
from system.console import PLOTTER, OneLineParser, answered, say_error
from system.errors import OneLineError
from system.libraries import load_matplotlib, use_for_temporary_files

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMATS = ("png", "svg", "pdf")


def _average(text: str) -> int:
    """Returns the number that `--average` is given."""
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 999999999")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog=PLOTTER,
        example=f"{PLOTTER} -f Pong-v0_log.txt -a 50",
        description="Draws the logs of runs: ten plots of one log, or one picture of several.",
        epilog="Runs of the same settings are joined to their mean, in the band that they take.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    text = "logs, <env id>_log.txt; folders with logs; patterns"
    add("-f", "--file", required=True, type=arguments.name, action="extend", nargs="+",
        metavar="LOG", help=text)  # fmt: skip
    text = "episodes averaged into one point (default: %(default)s)"
    add("-a", "--average", type=_average, default=50, metavar="N", help=text)
    text = "folder in which average_<N>/ is written, or the one picture of --x, --y or several logs"
    text += "; or a file for that picture (default: the current folder)"
    add("--out", type=arguments.path, metavar="PATH", help=text)
    text = f"one picture with this x axis: {', '.join(X_AXES)} (default: {DEFAULT_X})"
    add("--x", choices=X_AXES, metavar="AXIS", help=text)
    text = f"one picture with this y axis: {', '.join(Y_AXES)} (default: {DEFAULT_Y})"
    add("--y", choices=Y_AXES, metavar="AXIS", help=text)
    text = "formats of the pictures: png, svg, pdf (default: png, or as --out ends)"
    add("--format", choices=FORMATS, nargs="+", metavar="FORMAT", help=text)
    text = "draw the picture anew as runs write, in a window where there is a display, until Ctrl-C"
    add("--live", action="store_true", help=text)
    text = "write a page about the runs, which needs no other file"
    add("--dashboard", type=arguments.path, metavar="FILE.html", help=text)
    text = "folder with videos for the page (default: the folders of the runs)"
    add("--videos", type=arguments.path, metavar="DIR", help=text)
    return parser


def _is_picture(out: Path | None) -> bool:
    """Returns whether --out names a file and not a folder."""
    return bool(out and out.suffix.lower().removeprefix(".") in FORMATS and not out.is_dir())


def _problem(options: argparse.Namespace) -> str | None:
    """Returns which flags do not go together, or None."""
    formats = options.format or ()
    if options.dashboard:
        for name in ("y", "format", "live", "out"):
            if getattr(options, name):
                return f"--dashboard goes without --{name}"
        if options.dashboard.suffix.lower() not in (".html", ".htm"):
            return f"--dashboard {shown(options.dashboard)} has to end in .html"
        return None
    if options.videos:
        return "--videos is for the page of --dashboard"
    if len(set(formats)) < len(formats):
        return "--format names a format twice"
    if options.live and len(formats) > 1:
        return "--live draws one picture, in one --format"
    if formats and _is_picture(options.out):
        return f"--out {shown(options.out)} names a picture and its format, so leave out --format"
    return None


def _pictures(options: argparse.Namespace) -> list[Path]:
    """Returns the files of the one picture, one for each format."""
    if _is_picture(options.out):
        return [options.out]
    name = f"{options.x or DEFAULT_X}_{options.y or DEFAULT_Y}"
    folder = options.out or Path()
    return [folder / f"{name}.{ending}" for ending in options.format or ("png",)]


def _folder(options: argparse.Namespace) -> Path:
    """Returns the folder that pictures or a page are written in, or in folders in it."""
    if options.dashboard:
        return options.dashboard.parent
    return options.out.parent if _is_picture(options.out) else options.out or Path()


def _draw(options: argparse.Namespace) -> None:
    """Draws what the command line asks for; only here are the libraries for it loaded."""
    use_for_temporary_files(_folder(options))
    load_matplotlib()
    x, y, average = options.x or DEFAULT_X, options.y or DEFAULT_Y, options.average
    if options.dashboard:
        from plotting.dashboard import write_dashboard

        write_dashboard(options.dashboard, options.file, x, average, options.videos)
    elif options.live:
        from plotting.live import draw_live

        draw_live(options.file, x, y, average, _pictures(options)[0])
    elif _wants_one_picture(options):
        from plotting.commands import draw_one_picture

        draw_one_picture(options.file, x, y, average, _pictures(options))
    else:
        from plotting.commands import draw_average_plots

        [log] = options.file
        formats = options.format or ("png",)
        draw_average_plots(log, average, options.out or Path(), formats)


def _wants_one_picture(options: argparse.Namespace) -> bool:
    """Returns whether to draw one picture and not the ten plots of one log."""
    names: Sequence[str] = options.file
    # A pattern in quotes stands for several logs, and so does a folder.
    is_one_log = len(names) == 1 and (os.path.lexists(names[0]) or not set("*?[") & set(names[0]))
    return bool(
        options.x
        or options.y
        or _is_picture(options.out)
        or not is_one_log
        or os.path.isdir(names[0])
    )


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns its exit status: 0, 1 (failed) or 130 (interrupted).

    Raises:
        SystemExit: with 2 where the arguments are wrong, with 0 after the help.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        if problem := _problem(options):
            parser.error(problem)
        _draw(options)
        return answered(PLOTTER)
    except KeyboardInterrupt:
        return 130
    except OneLineError as error:
        return _fail(str(error), error.status)
    except OSError as error:
        if not error.filename:
            return _fail(error.strerror or str(error))
        problem = f"can't write {shown(error.filename)}: {error.strerror}"
        right = "--dashboard names a page in a" if options.dashboard else "--out names a"
        return _fail(f"{problem}; {right} folder that takes files")


def _fail(problem: str, status: int = 1) -> int:
    """Says in one line what went wrong; returns the exit status."""
    say_error(problem, PLOTTER)
    return status


if __name__ == "__main__":
    sys.exit(main())
