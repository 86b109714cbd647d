"""Draws the log of a run: reward, score, loss and exploration against episodes and steps.

    python3 reward_visualizer.py -f Pong-v0_log.txt -a 50

writes `average_50/episodes_rewards50.png` and its kind: the first word is the x axis, the second
the y axis, and "probability" is the probability that the network decides, 1 - epsilon.

The average is over consecutive buckets of N episodes, each drawn at the mean of its episodes on
both axes. What is left over at the end is drawn as such: hollow, dashed, and named in the legend.
Episodes without a finite value on an axis of a plot are left out before the buckets are formed.
"""

import argparse
import contextlib
import io
import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from files import replacing
from reward_log import Episode, Log, LogError, read_log, shown

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

PROGRAM = "reward_visualizer.py"
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
LABELS = {
    "episodes": "episode",
    "steps": "step (agent decisions)",
    "probability": "probability that the network decides (1 − ε)",
    "rewards": "reward of an episode (clipped, with penalties)",
    "scores": "score of a game (the game's own points)",
    "loss": "loss (mean of the episode's updates)",
}
MOST_SINGLES = 3000  # Episodes drawn one by one; of more, only their range is drawn.
MOST_MARKERS = 60  # Bucket means drawn with a marker each; of more, only the line.
LARGEST = 1e100  # Values beyond overflow matplotlib's arithmetic; they count as not finite.


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Says in one line what was wrong and what would be right; leaves with status 2."""
        text = " ".join(message.split())
        self.exit(
            2, f"{PROGRAM}: error: {text}; a right call: {PROGRAM} -f Pong-v0_log.txt -a 50\n"
        )


def _average(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 999999999")
    return int(text)


def _parser() -> _Parser:
    parser = _Parser(
        prog=PROGRAM, description="Draws the log of a run as PNG files.", allow_abbrev=False
    )
    add = parser.add_argument
    text = "the log, <env id>_log.txt"
    add("-f", "--file", required=True, metavar="LOG", help=text)
    text = "episodes averaged into one point (default: %(default)s)"
    add("-a", "--average", type=_average, default=50, metavar="N", help=text)
    text = "folder in which average_<N>/ is written (default: the current folder)"
    add("--out", type=Path, default=Path(), metavar="DIR", help=text)
    return parser


def environment_name(path: str) -> str:
    """Returns the environment id that a log's file name gives, or else the file's name."""
    name = os.path.basename(path)
    environment = name.removesuffix("_log.txt") or name
    # A `/` in an id is a `-` in the names of its files.
    return shown(re.sub("^ALE-", "ALE/", environment))


def columns(log: Log) -> "dict[str, Values]":
    """Returns the values of each axis, one an episode, with the runs of the log joined into one.

    The episodes and steps of each run go on counting from the end of the run before. Scores that
    a line lacks are nan.
    """
    import numpy as np

    def values(get: Callable[[Episode], float | None]) -> "Values":
        # None becomes nan.
        return np.array([get(episode) for episode in log.episodes], dtype=np.float64)

    episodes = values(lambda episode: episode.number)
    steps = values(lambda episode: episode.steps)
    end = 0
    for run in log.runs:
        start, end = end, end + len(run)
        if start:
            # Where the first lines of a run are missing, it still begins at the end before.
            missing = run[0].steps - (run[0].length or 0) if run[0].number else 0
            episodes[start:end] += episodes[start - 1] + 1 - run[0].number
            steps[start:end] += steps[start - 1] - missing
    return {
        "episodes": episodes,
        "steps": steps,
        "probability": 1 - values(lambda episode: episode.epsilon),
        "rewards": values(lambda episode: episode.reward),
        "scores": values(lambda episode: episode.score),
        "loss": values(lambda episode: episode.loss),
    }


def bucket_means(values: "Values", size: int) -> "Values":
    """Returns the mean of each `size` consecutive values; the last is of what is left over."""
    import numpy as np

    full = len(values) - len(values) % size
    means = values[:full].reshape(-1, size).mean(axis=1)
    return np.append(means, values[full:].mean()) if full < len(values) else means


def _count(value: float, _position: object = None) -> str:
    """Returns a number as short as an axis needs it: 5,000, 250k, 1.5M."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:,g}"


def draw(data: "dict[str, Values]", x_name: str, y_name: str, size: int, title: str) -> "Figure":
    """Returns the plot of one axis against another.

    Args:
        data: as `columns` returns it.
        x_name: the x axis, a key of `data`.
        y_name: the y axis, a key of `data`.
        size: episodes in a bucket.
        title: what was run; the number averaged over is added.
    """
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    figure = Figure(figsize=(10, 6), dpi=120, layout="tight")
    axes = figure.add_subplot()
    finite = (np.abs(data[x_name]) < LARGEST) & (np.abs(data[y_name]) < LARGEST)
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
    axes.set_xlabel(LABELS[x_name])
    axes.set_ylabel(LABELS[y_name])
    axes.grid(alpha=0.3)
    if x_name != "probability":
        axes.xaxis.set_major_formatter(FuncFormatter(_count))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 2.5, 5, 10]))
    if y_name in ("rewards", "scores"):
        axes.yaxis.set_major_formatter(FuncFormatter(_count))
    return figure


def _draw_singles(axes: "Axes", x: "Values", y: "Values", size: int, points: bool) -> None:
    """Draws the single episodes faintly, or only their range where they are too many."""
    import numpy as np

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


def _draw_buckets(axes: "Axes", x: "Values", y: "Values", size: int, in_order: bool) -> None:
    """Draws the mean of each bucket, and the last, part-filled one as such.

    `in_order` tells points that pile up at one x apart by their colour.
    """
    import numpy as np

    part = len(x) % size
    xs, ys = bucket_means(x, size), bucket_means(y, size)
    full = len(xs) - bool(part)
    label = f"mean of {size:,} episodes" if size > 1 else "each episode"
    if in_order and full:
        axes.plot(xs[:full], ys[:full], color="grey", linewidth=0.7, alpha=0.7)
        last = np.arange(1, full + 1) * size
        shades: dict[str, Any] = {"c": last, "vmin": 0, "vmax": len(x)}
        dots = axes.scatter(xs[:full], ys[:full], s=24, label=label, zorder=3, **shades)
        bar = axes.figure.colorbar(dots, ax=axes, format=_count, label="episodes so far")
        bar.ax.tick_params(length=0)
    elif full:
        style: dict[str, Any] = {"color": "tab:blue", "linewidth": 2, "markersize": 4}
        marker = "o" if full <= MOST_MARKERS else ""
        axes.plot(xs[:full], ys[:full], marker=marker, label=label, **style)
    if part:
        start = max(0, full - 1)
        label = f"{part:,} episode{'s' * (part > 1)}"
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


def _write_png(figure: "Figure", path: Path) -> None:
    """Writes a plot so that a reader finds the old file or the new one, never half of one."""
    import matplotlib

    picture = io.BytesIO()
    # Chunks, because one line of very many points is more than the renderer takes. A warning
    # here is about a letter of the title that the font lacks.
    with matplotlib.rc_context({"agg.path.chunksize": 10_000}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure.savefig(picture, format="png")
    with replacing(path) as beside:
        beside.write_bytes(picture.getvalue())


def _say(text: str, error: bool = False) -> None:
    stream = sys.stderr if error else sys.stdout
    coding = stream.encoding or "utf-8"
    print(text.encode(coding, "backslashreplace").decode(coding), file=stream)


def _notes(log: Log, data: "dict[str, Values]") -> list[str]:
    """Returns what the plots don't show or show in another way than the log, a line each."""
    import numpy as np

    notes = []
    if log.skipped:
        number, why = log.skipped[0]
        lines = "1 line" if len(log.skipped) == 1 else f"{len(log.skipped):,} lines"
        notes.append(f"skipped {lines} of the log; the first is line {number}: {why}")
    if (runs := len(log.runs)) > 1:
        notes.append(f"joined {runs:,} runs; their episodes and steps are counted on")
    for name in ("rewards", "probability", "loss"):
        if odd := int(np.sum(~(np.abs(data[name]) < LARGEST))):
            some = "1 episode" if odd == 1 else f"{odd:,} episodes"
            notes.append(f"left {some} without a finite value out of the plots of {name}")
    return notes


def visualize(path: str, size: int, out: Path) -> None:
    """Draws every plot of a log and prints the paths of the pictures.

    Args:
        path: the log.
        size: episodes averaged into one point.
        out: the folder in which `average_<size>` is written.

    Raises:
        LogError: the log can't be read.
        OSError: a picture can't be written.
    """
    log = read_log(path)
    data = columns(log)
    for note in _notes(log, data):
        _say(f"{PROGRAM}: {note}", error=True)
    folder = out / f"average_{size}"
    folder.mkdir(parents=True, exist_ok=True)
    with_scores = any(episode.score is not None for episode in log.episodes)
    for x_name, y_name in PLOTS + (SCORE_PLOTS if with_scores else ()):
        picture = folder / f"{x_name}_{y_name}{size}.png"
        figure = draw(data, x_name, y_name, size, environment_name(path))
        _write_png(figure, picture)
        _say(shown(picture))


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns its exit status: 0, 1 (failed) or 130 (interrupted).

    Raises:
        SystemExit: with 2 where the arguments are wrong, with 0 after the help.
    """
    try:
        options = _parser().parse_args(argv)
        visualize(options.file, options.average, options.out)
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        return 130
    except LogError as error:
        problem = str(error)
    except ImportError as error:
        problem = f"{error}; install what requirements.txt names"
    except OSError as error:
        if error.filename:
            problem = f"can't write {shown(error.filename)}: {error.strerror}"
            problem += "; --out names a folder that takes files"
        else:
            problem = f"can't write the output: {error.strerror}"
        # What is still buffered would fail once more when Python ends.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    _say(f"{PROGRAM}: error: {problem}", error=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
