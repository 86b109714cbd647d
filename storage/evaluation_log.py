"""The evaluations of a run as a file, written and read here alone.

`<env id>_evaluations.csv` has a line for each evaluation, below a line with the names of the fields
of `Evaluation`.
"""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from storage.episode_log import LogError, shown
from storage.files import replacing
from system.console import counted

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a run's agent scored in whole games that it did not learn from.

    Attributes:
        step: steps of the run up to then.
        frames: emulator frames of the run up to then.
        seconds: wall seconds of the run up to then, those before resumes included.
        epsilon: probability of a random action in these games.
        games: games that were played.
        mean: mean score.
        median: median score.
        deviation: standard deviation of the scores, with n - 1; 0 for one game.
        lowest: lowest score.
        highest: highest score.
        length: mean steps of a game.
        cut_off: games that ended at the limit of frames.
        human_normalised: mean score on the scale where published random play has 0 and a human 1;
            None for a game without published scores.
    """

    step: int
    frames: int
    seconds: float
    epsilon: float
    games: int
    mean: float
    median: float
    deviation: float
    lowest: float
    highest: float
    length: float
    cut_off: int
    human_normalised: float | None

    def line(self) -> str:
        """Returns the line that a run prints of it."""
        games = counted(self.games, "game")
        line = f"evaluation at step {self.step:,}: mean score {self.mean:.1f} of {games}"
        if self.human_normalised is not None:
            line += f", {self.human_normalised:.0%} of the way from random play to a person"
        if self.cut_off:
            line += f", {self.cut_off:,} cut off by the limit of frames"
        return line


NAMES = tuple(field.name for field in fields(Evaluation))
WHOLE_NUMBERS = {"step", "frames", "games", "cut_off"}


def write_evaluations(path: Path, evaluations: Iterable[Evaluation]) -> None:
    """Writes the file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(NAMES)
        writer.writerows(map(astuple, evaluations))


def read_evaluations(path: str | os.PathLike[str]) -> list[Evaluation]:
    """Reads the file.

    Raises:
        LogError: it is missing, cannot be read, or is no file of evaluations.
    """
    file_name = shown(path)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            names, rows = reader.fieldnames or (), list(reader)
    except FileNotFoundError:
        raise LogError(f"{file_name}: no such file") from None
    except OSError as error:
        raise LogError(f"{file_name} can't be read: {error.strerror or error}") from None
    except (ValueError, csv.Error):
        raise LogError(f"{file_name} is no file of evaluations") from None
    if not set(NAMES) <= set(names):
        raise LogError(f"{file_name} is no file of evaluations")
    try:
        return [Evaluation(**{name: _value(name, row[name]) for name in NAMES}) for row in rows]
    except (TypeError, ValueError):
        problem = "has been changed: it has a line that is no evaluation"
        raise LogError(f"{file_name} {problem}") from None


def _value(name: str, text: str) -> Any:
    """Returns the value of a field."""
    if name == "human_normalised" and not text:
        return None
    return int(text) if name in WHOLE_NUMBERS else float(text)
