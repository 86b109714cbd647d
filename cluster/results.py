"""What the runs of a sweep have scored: for each game and group, and all games together."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from atari.published_scores import published_scores
from cluster.intervals import AGGREGATES, Interval, Scores, improvement, interval_of, mean_of
from cluster.planned_runs import last_episodes
from storage.episode_log import RECENT_GAMES, LogError
from storage.evaluation_log import read_evaluations
from storage.files import replacing
from system.console import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cluster.planned_runs import PlannedRun

SEED = 0  # of what bootstraps draw, so that the same scores give the same intervals
NOTHING = "–"


@dataclass(frozen=True)
class RunScore:
    """The score of a run.

    Attributes:
        run: which.
        score: the mean of the games of its last evaluation; without one, of its last 100 games.
        games: how many they are.
        evaluated_at: the step of the evaluation; None for games of training.
    """

    run: PlannedRun
    score: float
    games: int
    evaluated_at: int | None

    @classmethod
    def of(cls, run: PlannedRun) -> RunScore | None:
        """Returns the score of a run by its files; None where no game has ended."""
        try:
            [*_, last] = read_evaluations(run.config.evaluations_path)
            return cls(run, last.mean, last.games, last.step)
        except (LogError, ValueError):  # there is no such file, or nothing in it
            pass
        episodes = last_episodes(run.config.log_path)
        scores = [game.score for game in episodes if game.score is not None][-RECENT_GAMES:]
        return cls(run, float(np.mean(scores)), len(scores), None) if scores else None

    @property
    def normalised(self) -> float | None:
        """The score where random play is 0 and a person is 1; None where neither is published."""
        published = published_scores(self.run.game)
        return published.human_normalised(self.score) if published else None


@dataclass(frozen=True)
class Results:
    """The results of a sweep.

    Attributes:
        scores: of each run that has one.
        missing: names of runs without.
        by_game: mean score of each group's runs of each game, by group and game.
        together: human-normalised aggregates of each group, by group and name.
        improvements: probabilities that one group scores more than a later one, by both.
    """

    scores: Sequence[RunScore]
    missing: Sequence[str]
    by_game: dict[str, dict[str, Interval]]
    together: dict[str, dict[str, Interval]]
    improvements: dict[tuple[str, str], Interval]

    @classmethod
    def of(cls, runs: Iterable[PlannedRun]) -> Results:
        """Returns the results of runs by their files."""
        scored = {run.name: (run, RunScore.of(run)) for run in runs}
        scores = [score for _, score in scored.values() if score]
        missing = [name for name, (_, score) in scored.items() if not score]
        groups = list(dict.fromkeys(run.group for run, _ in scored.values()))
        raw = {group: _by_game(scores, group, normalised=False) for group in groups}
        normal = {group: _by_game(scores, group, normalised=True) for group in groups}
        rng = np.random.default_rng(SEED)
        by_game = {
            group: {game: interval_of(mean_of, [values], rng) for game, values in games.items()}
            for group, games in raw.items()
        }
        together = {
            group: {
                name: interval_of(aggregate, [*games.values()], rng)
                for name, aggregate in AGGREGATES.items()
            }
            for group, games in normal.items()
            if games
        }
        improvements = {}
        for ours, theirs in itertools.combinations(groups, 2):
            shared = [game for game in raw[ours] if game in raw[theirs]]
            if shared:
                a, b = ([raw[group][game] for game in shared] for group in (ours, theirs))
                improvements[ours, theirs] = improvement(a, b, rng)
        return cls(scores, missing, by_game, together, improvements)

    def lines(self) -> list[str]:
        """Returns the results as tables for a terminal."""
        lines = [f"score of a run: {_kinds(self.scores)}; in brackets intervals of 95%", ""]
        rows = [["game", "group", "runs", "score", "of human"]]
        for group, games in self.by_game.items():
            for game, interval in games.items():
                runs = [score for score in self.scores if _is_of(score, group, game)]
                shares = [run.normalised for run in runs if run.normalised is not None]
                share = f"{np.mean(shares):.0%}" if shares else NOTHING
                rows.append([game, group, str(len(runs)), _text(interval, ".1f"), share])
        rows[1:] = sorted(rows[1:], key=lambda row: row[0])  # groups of a game keep their order
        lines += _aligned(rows)
        if self.together:
            lines += ["", "human-normalised, all games: random play is 0%, a person 100%", ""]
            rows = [["group", *AGGREGATES]]
            for group, numbers in self.together.items():
                rows.append([group, *(_text(number, ".1%") for number in numbers.values())])
            lines += _aligned(rows)
        if self.improvements:
            lines += ["", "probability that a run of one group scores more than one of another", ""]
            rows = [["group", "than", "probability"]]
            for (ours, theirs), number in self.improvements.items():
                rows.append([ours, theirs, _text(number, ".2f")])
            lines += _aligned(rows)
        if self.missing:
            lines += ["", f"without a score: {', '.join(self.missing)}"]
        return lines

    def write(self, path: Path) -> None:
        """Writes all of it as JSON.

        Raises:
            OSError: it cannot be written.
        """
        content = {
            "interval": "95%, percentiles of a stratified bootstrap",
            "runs": [_as_json(score) for score in self.scores],
            "without a score": self.missing,
            "games": {
                group: {game: interval._asdict() for game, interval in games.items()}
                for group, games in self.by_game.items()
            },
            "human-normalised": {
                group: {name: interval._asdict() for name, interval in numbers.items()}
                for group, numbers in self.together.items()
            },
            "probability of improvement": [
                {"group": ours, "than": theirs, **number._asdict()}
                for (ours, theirs), number in self.improvements.items()
            ],
        }
        with replacing(path) as beside:
            beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _is_of(score: RunScore, group: str, game: str) -> bool:
    return (score.run.group, score.run.game) == (group, game)


def _by_game(scores: Iterable[RunScore], group: str, normalised: bool) -> dict[str, Scores]:
    """Returns the scores of a group's runs by their games, [N] each; games without are left out."""
    games: dict[str, list[float]] = {}
    for score in scores:
        value = score.normalised if normalised else score.score
        if score.run.group == group and value is not None:
            games.setdefault(score.run.game, []).append(value)
    return {game: np.array(values) for game, values in games.items()}


def _as_json(score: RunScore) -> dict[str, Any]:
    return {
        "game": score.run.game,
        "group": score.run.group,
        "seed": score.run.seed,
        "score": score.score,
        "human-normalised": score.normalised,
        "games": score.games,
        "evaluated at step": score.evaluated_at,
    }


def _kinds(scores: Sequence[RunScore]) -> str:
    """Returns what the scores are means of."""
    evaluated = sum(score.evaluated_at is not None for score in scores)
    kinds = []
    if evaluated:
        kinds.append(f"mean of its last evaluation ({counted(evaluated, 'run')})")
    if evaluated < len(scores):
        left = counted(len(scores) - evaluated, "run")
        kinds.append(f"mean of its last {RECENT_GAMES} games of training ({left})")
    return ", or ".join(kinds) or "there is none"


def _text(interval: Interval, form: str) -> str:
    return f"{interval.value:{form}} [{interval.low:{form}}, {interval.high:{form}}]"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a table whose columns stand below one another."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
