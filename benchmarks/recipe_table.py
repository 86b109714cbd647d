"""The results of runs of recipes, as Markdown tables and as a picture; see `recipes.py`.

A score stands for so many games only where there have been so many. With several seeds a row of
each recipe gives the median, then the lowest and the highest; a score that was never reached counts
as reached after all others.
"""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.peer import updates_by
from benchmarks.recipe_settings import PEER, RECIPES
from benchmarks.run_notes import NOTE, cores_of
from plotting.curves import moving_mean
from plotting.drawing import count_text, write_figure
from plotting.runs import Run, read_run
from settings.paths import LOG_ENDING
from system.errors import OneLineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from plotting.log_table import Values

EVALUATION = "evaluation.json"  # beside a run's note
FEW, MANY = 20, 100  # games of which means are told
MILLION = 1_000_000
SIZE = (8, 4.5)  # inches of the picture of one game
NOTHING = "–"


class NothingToShowError(OneLineError):
    """A folder without runs."""


@dataclass(frozen=True)
class Result:
    """What a run has written.

    Attributes:
        note: its `run.json`.
        run: its log and what is beside it.
        greedy_score: mean of the greedy games after it, if there were any.
    """

    note: dict[str, Any]
    run: Run
    greedy_score: float | None = None

    @property
    def environment(self) -> str:
        """The environment's id."""
        return self.note["environment"]

    @property
    def recipe(self) -> str:
        """The name of its recipe."""
        return self.note["recipe"]

    @cached_property
    def columns(self) -> dict[str, Values]:
        """The log by columns, one value a game."""
        return self.run.table.counted_on

    @property
    def steps(self) -> int:
        """How far it has come: to the end of its last game, or to all steps that it was to take."""
        return int(max(self.columns["steps"][-1], self.note["done"].get("steps", 0)))

    @property
    def minutes(self) -> Values:
        """When each game ended."""
        return self.columns["seconds"] / 60

    def updates(self) -> float | None:
        """Returns how many updates it has made, where steps tell."""
        if self.recipe == PEER:
            return updates_by(self.steps)
        settings = self.run.settings
        if not settings or settings["count_by"] == "games":
            return None
        return self.steps // settings["train_every"] * settings["updates"]

    def means(self, games: int) -> Values:
        """Returns the mean score of so many games up to each, nan where there are not so many."""
        scores = self.columns["score"]
        means = moving_mean(scores, games)
        means[: games - 1] = np.nan
        return means

    def mean_at(self, step: int, games: int) -> float | None:
        """Returns the mean score of the last games at a step, None where it has not come so far."""
        if self.steps < step:
            return None
        return self._last_before(self.columns["steps"], step, self.means(games))

    def mean_at_minute(self, minute: float, games: int) -> float | None:
        """Returns the mean score of the last games at a minute, as above."""
        return self._last_at_minute(minute, self.means(games))

    def steps_at_minute(self, minute: float) -> float | None:
        """Returns how many steps it had taken, at a minute, to the end of its last game."""
        return self._last_at_minute(minute, self.columns["steps"])

    def _last_at_minute(self, minute: float, values: Values) -> float | None:
        if max(self.minutes[-1], self.note["done"].get("minutes", 0)) < minute:
            return None
        return self._last_before(self.minutes, minute, values)

    @staticmethod
    def _last_before(ends: Values, end: float, values: Values) -> float | None:
        """Returns the value of the last game that ended by then; None for none."""
        ended = np.searchsorted(ends, end, side="right")
        return float(values[ended - 1]) if ended else None

    def mean_of_million(self, number: int) -> float | None:
        """Returns the mean score of the games that ended in a million frames: 1 for the first.

        None where the run has not come to the last of these frames, or its log has no frames.
        """
        frames, end = self.columns.get("frames"), MILLION * number
        if frames is None or self.steps * frames[-1] / self.columns["steps"][-1] < end:
            return None
        ended = (frames > end - MILLION) & (frames <= end)
        return float(self.columns["score"][ended].mean()) if ended.any() else None

    def minute_of(self, score: float, games: int) -> float:
        """Returns when the mean score of so many games first was so high, or infinity."""
        return self._first(self.means(games) >= score, self.minutes)

    def step_of(self, score: float, games: int) -> float:
        """Returns at which step it was so, or infinity."""
        return self._first(self.means(games) >= score, self.columns["steps"])

    @staticmethod
    def _first(is_so: np.ndarray, values: Values) -> float:
        places = np.flatnonzero(is_so)
        return float(values[places[0]]) if len(places) else math.inf

    def speed(self) -> float | None:
        """Returns the steps a second over the last games."""
        steps, seconds = (self.columns[name][-FEW:] for name in ("steps", "seconds"))
        taken = seconds[-1] - seconds[0]
        return (steps[-1] - steps[0]) / taken if taken > 0 else None

    def last(self, column: str) -> float | None:
        """Returns a field of the last game, None where logs have no such field."""
        return self.columns[column][-1] if column in self.columns else None


class Column(NamedTuple):
    """A column of a table: its title, how its numbers are shown, and where they come from."""

    title: str
    form: str
    value: Callable[[Result], float | None]


@dataclass(frozen=True)
class Marks:
    """Where in a run its score is told, beside its end.

    Attributes:
        at: steps.
        at_minutes: minutes.
        passes: scores of which is told when they were reached.
        millions: which million frames the games are to have ended in, 1 for the first.
    """

    at: Sequence[int] = ()
    at_minutes: Sequence[float] = ()
    passes: Sequence[float] = ()
    millions: Sequence[int] = ()


def columns_of_the_end(marks: Marks) -> list[Column]:
    """Returns the columns of results."""
    return [
        Column("steps", ",.0f", lambda result: result.steps),
        Column("updates", ",.0f", Result.updates),
        Column("minutes", ".1f", lambda result: result.minutes[-1]),
        Column(f"steps/s, last {FEW} games", ".0f", Result.speed),
        *(
            Column(f"{FEW} games at {step:,}", ".1f", partial(Result.mean_at, step=step, games=FEW))
            for step in marks.at
        ),
        *(column for minute in marks.at_minutes for column in columns_of_a_minute(minute)),
        Column(f"last {FEW} games", ".1f", lambda result: result.means(FEW)[-1]),
        Column(f"last {MANY} games", ".1f", lambda result: result.means(MANY)[-1]),
        Column("greedy games", ".1f", lambda result: result.greedy_score),
        Column("spread of Q", ".3f", lambda result: result.last("q_spread")),
        Column("dead ReLUs", ".1%", lambda result: result.last("dead_relus")),
    ]


def columns_of_a_minute(minute: float) -> list[Column]:
    """Returns the columns of how far runs had come at a minute."""
    columns = [
        Column(
            f"steps at minute {minute:g}", ",.0f", partial(Result.steps_at_minute, minute=minute)
        )
    ]
    for games in (FEW, MANY):
        mean = partial(Result.mean_at_minute, minute=minute, games=games)
        columns.append(Column(f"{games} games at minute {minute:g}", ".1f", mean))
    return columns


def columns_of_passing(passes: Sequence[float]) -> list[Column]:
    """Returns the columns that tell when runs reached scores, in minutes and in steps."""
    columns = []
    for games in (FEW, MANY):
        for score in passes:
            minute = partial(Result.minute_of, score=score, games=games)
            step = partial(Result.step_of, score=score, games=games)
            columns.append(Column(f"{games} games at {score:g}, minute", ".1f", minute))
            columns.append(Column("step", ",.0f", step))
    return columns


def columns_of_millions(millions: Sequence[int]) -> list[Column]:
    """Returns the columns of the mean scores of games that ended in each million frames."""
    return [
        Column(str(number), ".1f", partial(Result.mean_of_million, number=number))
        for number in millions
    ]


def text_of(value: float | None, form: str) -> str:
    """Returns a number as a table has it."""
    return NOTHING if value is None or not math.isfinite(value) else format(value, form)


def summary_of(values: Sequence[float | None], form: str) -> str:
    """Returns the median of some numbers, and the lowest and the highest."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    if all(map(math.isinf, known)):
        return NOTHING
    middle, low, high = (
        text_of(value, form) for value in (statistics.median(known), min(known), max(known))
    )
    return f"{middle} ({low} to {high})"


def table(results: Sequence[Result], columns: Sequence[Column]) -> list[str]:
    """Returns the lines of a table: a row for each run, and one for the runs of each recipe."""
    rows = [
        ["recipe", "seed", *(column.title for column in columns)],
        ["---"] * (2 + len(columns)),
    ]
    for recipe in dict.fromkeys(result.recipe for result in results):
        runs = [result for result in results if result.recipe == recipe]
        for run in runs:
            cells = [text_of(column.value(run), column.form) for column in columns]
            rows.append([recipe, str(run.note["seed"]), *cells])
        if len(runs) > 1:
            cells = [
                summary_of([column.value(run) for run in runs], column.form) for column in columns
            ]
            rows.append([f"**{recipe}**", f"{len(runs)} seeds", *cells])
    return [f"| {' | '.join(row)} |" for row in rows]


def origins(results: Iterable[Result]) -> list[str]:
    """Returns a line for each kind of machine, commit and way that the runs were made with."""
    lines: dict[str, None] = {}
    for part in (part for result in results for part in result.note["parts"]):
        changed = ", changed since" if part["changed since"] else ""
        many = "one at a time" if part["jobs"] == 1 else f"{part['jobs']} at a time"
        machine = f"{part['processor']}, {cores_of(part)}"
        line = f"- commit `{part['commit'][:7]}`{changed}; {machine}, {many}"
        lines[line] = None
    return [*lines]


def read_results(folder: Path) -> list[Result]:
    """Returns all runs in a folder that have ended a game, in the order of the recipes.

    Raises:
        NothingToShowError: there is none.
    """
    results = []
    for path in folder.rglob(NOTE):
        note = json.loads(path.read_text())
        log = path.with_name(f"{note['environment'].replace('/', '-')}{LOG_ENDING}")
        if not log.exists() or not log.stat().st_size:
            continue
        evaluation, score = path.with_name(EVALUATION), None
        if evaluation.exists():
            score = json.loads(evaluation.read_text())["results"]["agent"]["mean"]
        results.append(Result(note, read_run(log), score))
    if not results:
        raise NothingToShowError(f"{folder} has no run that has ended a game")
    names = [*RECIPES, *sorted({result.recipe for result in results} - RECIPES.keys())]
    return sorted(
        results,
        key=lambda result: (result.environment, names.index(result.recipe), result.note["seed"]),
    )


def draw(results: Sequence[Result], by: str, picture: Path) -> None:
    """Draws the scores of runs: a plot for each game, a colour for each recipe, a line a seed."""
    from matplotlib.figure import Figure

    from plotting.curve_plot import COLOURS

    games = [*dict.fromkeys(result.environment for result in results)]
    recipes = [*dict.fromkeys(result.recipe for result in results)]
    width, height = SIZE
    figure = Figure(figsize=(width, height * len(games)), dpi=120, layout="constrained")
    for game, [axes] in zip(games, figure.subplots(len(games), squeeze=False), strict=True):
        drawn = set()
        for result in results:
            if result.environment != game:
                continue
            colour = COLOURS[recipes.index(result.recipe) % len(COLOURS)]
            label = None if result.recipe in drawn else result.recipe
            drawn.add(result.recipe)
            x = result.minutes if by == "minutes" else result.columns["steps"]
            axes.plot(x, result.means(FEW), color=colour, label=label, linewidth=1.2)
        axes.set_title(game)
        axes.set_xlabel(f"{by} of the run")
        axes.set_ylabel(f"score, mean of {FEW} games")
        axes.xaxis.set_major_formatter(count_text)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", framealpha=0.6)
    picture.parent.mkdir(parents=True, exist_ok=True)
    write_figure(figure, picture)


def show(folder: Path, marks: Marks, by: str, picture: Path | None) -> None:
    """Prints tables of the runs in a folder, and draws them.

    Args:
        folder: where they are.
        marks: where in a run its score is told.
        by: the x axis of the picture, steps or minutes.
        picture: its file.

    Raises:
        LogError: a log cannot be read.
        NothingToShowError: there is no run.
        OSError: the picture cannot be written.
    """
    results = read_results(folder)
    for game in dict.fromkeys(result.environment for result in results):
        of_game = [result for result in results if result.environment == game]
        print(f"{game}: mean scores\n")
        print("\n".join(table(of_game, columns_of_the_end(marks))))
        if marks.passes:
            print(f"\n{game}: when the mean score of so many games first was so high\n")
            print("\n".join(table(of_game, columns_of_passing(marks.passes))))
        if marks.millions:
            print(f"\n{game}: mean score of the games that ended in the N-th million frames\n")
            print("\n".join(table(of_game, columns_of_millions(marks.millions))))
        print("\n" + "\n".join(origins(of_game)) + "\n")
    if picture:
        draw(results, by, picture)
