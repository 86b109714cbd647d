"""A page about runs: their scores, curves, evaluations, videos and settings, in one file."""

from __future__ import annotations

import os
from dataclasses import fields
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from atari.published_scores import published_scores
from plotting.axes import Y_AXES
from plotting.commands import read_groups, say, say_notes
from plotting.curve_plot import PUBLISHED, draw_curves
from plotting.html_parts import FIGURE_STYLE, MEDIA_TYPES, details, inline_svg, page, table, video
from settings.config import Config
from settings.declaration import GROUPS
from settings.declaration import shown as setting_text
from storage.episode_log import RECENT_GAMES, SECONDS_IN_AN_HOUR, shown
from storage.files import replacing
from system.console import counted
from system.errors import OneLineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from plotting.runs import Group, Run

# Epsilon, which is set and not found, comes last.
CURVES = sorted(Y_AXES, key=lambda name: name == "epsilon")
EVERY_LOG_HAS = "reward"  # a y axis
FIGURE_WIDTH, FIGURE_HEIGHT = 5.4, 4.0  # inches; as wide as a phone, so that text keeps its size
LINE_HEIGHT = 0.2  # inches; of a line of the legend, which comes below
MOST_VIDEOS = 3
MOST_VIDEO_BYTES = 8 * 2**20  # of one video


class VideosError(OneLineError):
    """The folder of videos is missing, said in one line."""


def write_dashboard(
    path: Path, names: Sequence[str], x: str, average: int, videos: Path | None
) -> None:
    """Writes the page and prints where it is.

    Args:
        path: the page.
        names: logs, folders and patterns.
        x: the x axis of the curves.
        average: episodes of which each point of a curve is the mean.
        videos: a folder with videos; None for the folders of the runs.

    Raises:
        LogError: a log that is named can't be read or lacks the x axis, or all others do.
        VideosError: the folder isn't there.
        OSError: the page can't be written.
    """
    groups, notes = read_groups(names, x, EVERY_LOG_HAS)
    say_notes(notes)
    runs = [run for group in groups for run in group.runs]
    environments = ", ".join(dict.fromkeys(run.environment for run in runs))
    sections = [
        ("Scores", _scores(runs)),
        ("Curves", _curves(groups, x, average)),
        ("Evaluations", "\n".join(_evaluations(runs))),
        ("Videos", _videos(_find_videos(runs, videos))),
        ("Settings", "\n".join(_settings(groups))),
    ]
    text = page(environments, _introduction(runs), sections)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        # A name that is no Unicode has no place in a page.
        beside.write_text(text, encoding="utf-8", errors="replace")
    say(shown(path))


def _introduction(runs: Sequence[Run]) -> str:
    written = datetime.fromtimestamp(max(run.path.stat().st_mtime for run in runs), UTC)
    return (
        f"{counted(len(runs), 'run')}, {_extent(runs)}; last written {written:%Y-%m-%d %H:%M} UTC"
    )


def _extent(runs: Sequence[Run]) -> str:
    """Returns how long runs are together: episodes, steps and, where the logs have them, hours."""
    episodes = sum(len(run.table) for run in runs)
    steps = sum(run.table.counted_on["steps"][-1] for run in runs)
    extent = f"{counted(episodes, 'episode')}, {steps:,.0f} steps"
    seconds = np.nansum([np.nanmax(run.table.counted_on["seconds"], initial=0) for run in runs])
    return f"{extent}, {seconds / SECONDS_IN_AN_HOUR:,.1f} hours" if seconds else extent


def _scores(runs: Sequence[Run]) -> str:
    """Returns the table of what the runs scored, beside random play and published scores."""
    rows = []
    for run in runs:
        name = _name(run, runs)
        scores = run.table.columns["score"]
        scores = scores[np.isfinite(scores)][-RECENT_GAMES:]
        if len(scores):
            what = "last game" if len(scores) == 1 else f"last {len(scores):,} games"
            rows.append(_score_row(f"{name}: {what}", run, float(scores.mean())))
        if run.evaluations:
            best = max(run.evaluations, key=lambda evaluation: evaluation.mean)
            what = f"best evaluation (step {best.step:,})"
            rows.append(_score_row(f"{name}: {what}", run, best.mean))
    games = {run.environment: run for run in runs}
    for environment, run in games.items():
        published = published_scores(environment)
        for who, score in published._asdict().items() if published else ():
            if score is not None:
                label = PUBLISHED[who] if len(games) == 1 else f"{PUBLISHED[who]}, {environment}"
                rows.append(_score_row(f"{label} (published)", run, score))
    if not rows:
        return ""
    caption = "Mean points of a game; on the last scale random play has 0% and a human 100%."
    return table(caption, ["", "score", "of human"], rows)


def _score_row(label: str, run: Run, score: float) -> tuple[str, str, str]:
    published = published_scores(run.environment)
    share = "–"
    if published:
        # Not -0%.
        share = f"{round(100 * published.human_normalised(score)) + 0}%"
    return label, f"{score:,.1f}", share


def _curves(groups: Sequence[Group], x: str, average: int) -> str:
    """Returns a picture of each y axis of which all logs have values."""
    runs = [run for group in groups for run in group.runs]
    pictures = []
    for y in CURVES:
        column = Y_AXES[y].field.attribute
        if not all(np.isfinite(run.table.columns[column]).any() for run in runs):
            continue
        averaged = f"mean of the last {average:,} episodes" if average > 1 else "each episode"
        with matplotlib.rc_context(FIGURE_STYLE):
            figure = Figure(figsize=(FIGURE_WIDTH, FIGURE_HEIGHT), layout="constrained")
            draw_curves(figure, groups, x, y, average, legend_below=True)
            texts = [text.get_text() for text in figure.legends[0].get_texts()]
            lines = len("\n".join(texts).splitlines())
            figure.set_figheight(FIGURE_HEIGHT + lines * LINE_HEIGHT)
            caption = f"{y}: {averaged}"
            pictures.append(inline_svg(figure, y, caption, _description(groups, figure, x, y)))
    return '<div class="grid">\n' + "\n".join(pictures) + "\n</div>"


def _description(groups: Sequence[Group], figure: Figure, x: str, y: str) -> str:
    """Returns in words what a picture of curves shows."""
    phrases = [f"{Y_AXES[y].label} over {x}"]
    lines = {str(line.get_label()): line for line in figure.axes[0].get_lines()}
    for group in groups:
        values = np.asarray(lines[group.label].get_ydata())
        if len(values):
            phrases.append(f"{group.label} goes from {values[0]:,.4g} to {values[-1]:,.4g}")
    return "; ".join(phrases)


def _evaluations(runs: Sequence[Run]) -> Iterator[str]:
    """Yields a table of the evaluations of each run that has some."""
    heading = ["step", "mean", "median", "deviation", "lowest", "highest", "games"]
    evaluated = [run for run in runs if run.evaluations]
    for run in evaluated:
        rows = [
            (
                f"{one.step:,}",
                *(f"{value:,.1f}" for value in (one.mean, one.median, one.deviation)),
                *(f"{value:,.0f}" for value in (one.lowest, one.highest)),
                f"{one.games:,}",
            )
            for one in run.evaluations
        ]
        name = _name(run, runs)
        content = table(f"Scores of games without learning: {name}", heading, rows)
        yield details(f"{name}: {counted(len(rows), 'evaluation')}", content, len(evaluated) == 1)


def _settings(groups: Sequence[Group]) -> Iterator[str]:
    """Yields the settings of each group, or what its logs tell where there is no checkpoint."""
    for group in groups:
        settings = group.runs[0].settings
        if not settings:
            evaluations = counted(sum(len(run.evaluations) for run in group.runs), "evaluation")
            text = f"{group.label}: {_extent(group.runs)}, {evaluations}; no checkpoint beside the "
            yield f"<p>{escape(text)}log tells the settings.</p>"
            continue
        rows = [
            (field.metadata["flags"][-1], setting_text(field, settings[field.name]))
            for heading in GROUPS
            for field in fields(Config)
            if field.metadata["group"] == heading and field.name in settings
            # Each run of a group has its own seed.
            if field.name != "seed" or len(group.runs) == 1
        ]
        content = table(f"Settings of {group.label}", ["setting", "value"], rows)
        yield details(group.label, content)


def _find_videos(runs: Sequence[Run], folder: Path | None) -> list[Path]:
    """Returns the videos of a folder, or else of the runs' folders, the newest first.

    Raises:
        VideosError: the folder isn't there.
    """
    if folder and not folder.is_dir():
        raise VideosError(f"--videos {shown(folder)} is no folder")
    paths: set[Path] = set()
    if folder:
        paths.update(folder.glob("*"))
    else:
        for run in runs:
            name = run.environment.replace("/", "-")
            # In the folder of the run, and in folders in it.
            for pattern in (f"{name}_game_*", f"*/{name}_game_*"):
                paths.update(run.folder.glob(pattern))
    videos = [path for path in paths if path.suffix.lower() in MEDIA_TYPES and path.is_file()]
    return sorted(videos, key=lambda path: (-path.stat().st_mtime_ns, path.name))


def _videos(paths: Sequence[Path]) -> str:
    """Returns the first `MOST_VIDEOS` of some videos, and of too large ones only the names."""
    videos, too_large = [], []
    for path in paths[:MOST_VIDEOS]:
        if path.stat().st_size > MOST_VIDEO_BYTES:
            too_large.append([f"{shown(path.name)} ({path.stat().st_size / 2**20:,.1f} MiB)"])
        else:
            videos.append(video(path, shown(path.name)))
    text = '<div class="grid">\n' + "\n".join(videos) + "\n</div>" if videos else ""
    if too_large:
        limit = MOST_VIDEO_BYTES // 2**20
        text += table(f"Left out, as larger than {limit} MiB", ["video"], too_large)
    return text


def _name(run: Run, runs: Sequence[Run]) -> str:
    """Returns a run's name among these: its environment where it is alone, else its place."""
    if len(runs) == 1:
        return run.environment
    common = os.path.commonpath([other.folder for other in runs])
    place = os.path.relpath(run.folder, common)
    is_alone_there = sum(other.folder == run.folder for other in runs) == 1
    return f"run {shown(place if is_alone_there else os.path.join(place, run.path.name))}"
