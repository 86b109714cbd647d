"""Trained agents that ship with the program: weights, and notes of how they were made.

    res/agents/Breakout/agent.json                 the note, see `Note`
    res/agents/Breakout/Breakout-v4_weights.h5     the weights, in half precision

A game has at most one agent, in the folder with the game's name. `benchmarks/agents.py` makes
agents of runs of `benchmarks/recipes.py`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from settings.config import Config
from storage.files import replacing
from system.console import PROGRAM, command, shown_path
from system.errors import OneLineError
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

AGENTS = ROOT / "res" / "agents"
NOTE_NAME = "agent.json"
# The groups of settings that playing depends on, and those that training depends on.
PLAY_GROUPS = frozenset({"environment", "network"})
NOTED_GROUPS = PLAY_GROUPS | {"memory", "learning", "exploration"}
GREEDY, WITH_EPSILON = 0.0, 0.05  # epsilons that agents are measured with
HEADINGS = ("game", "id", "steps", "minutes", "greedy", f"ε {WITH_EPSILON}", "human-normalised")


class AgentError(OneLineError):
    """Says in one line that a trained agent cannot be used, or that there are no weights."""


@dataclass(frozen=True)
class Note:
    """The note of a trained agent: how it was trained, and what it scores.

    Attributes:
        settings: the settings of `NOTED_GROUPS` without the seed, by the names of `Config`'s
            fields. Defaults are among them, so that the defaults may change.
        weights: the name of the weights' file, beside the note.
        steps: of the run.
        frames: of the emulator in the run.
        minutes: wall minutes of the run.
        seed: of the run.
        commit: of the program that trained the agent.
        machine: the machine that trained the agent.
        beside: what else ran on the machine at the same time.
        train: the command that trains the agent again, with that commit.
        evaluate: the commands that measured the scores.
        scores: the agent's result of `--evaluate --json` for each of `GREEDY` and `WITH_EPSILON`,
            without the scores of single games.
    """

    settings: dict[str, Any]
    weights: str
    steps: int
    frames: int
    minutes: float
    seed: int
    commit: str
    machine: str
    beside: str
    train: str
    evaluate: list[str]
    scores: list[dict[str, Any]]

    @property
    def environment(self) -> str:
        """The environment id that the agent was trained with."""
        return str(self.settings["environment"])

    def score(self, epsilon: float) -> Mapping[str, Any]:
        """Returns the scores that were measured with an epsilon; empty if there are none."""
        return next((score for score in self.scores if score["epsilon"] == epsilon), {})


def noted_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a run that belong into a note, by the names of fields."""
    return {
        field.name: settings[field.name]
        for field in fields(Config)
        if field.metadata["group"] in NOTED_GROUPS and field.name != "seed"
    }


def write_note(folder: Path, note: Note) -> None:
    """Writes a note into its agent's folder, whole or not at all.

    Raises:
        OSError: the file cannot be written; one that was there stays.
    """
    with replacing(folder / NOTE_NAME) as new:
        new.write_text(f"{json.dumps(asdict(note), indent=2)}\n", encoding="utf-8")


def read_note(path: Path) -> Note:
    """Reads a note.

    Raises:
        AgentError: it is no note of this program.
        OSError: it cannot be read.
    """
    try:
        note = Note(**json.loads(path.read_text(encoding="utf-8")))
        Config(**note.settings)
        _line(path, note)  # fails where something that the list shows is missing
    except (ValueError, TypeError, KeyError, AttributeError, OneLineError):
        raise AgentError(f"{shown_path(path)} is no note of an agent of this program") from None
    return note


def note_of(weights: Path) -> Note | None:
    """Returns the note that belongs to weights, or None where there is none.

    Raises:
        AgentError: the note beside them is no note of this program.
        OSError: the note beside them cannot be read.
    """
    path = weights.with_name(NOTE_NAME)
    if not path.is_file():
        return None
    note = read_note(path)
    return note if note.weights == weights.name else None


def read_notes(folder: Path = AGENTS) -> dict[Path, Note]:
    """Returns the notes of all agents, by the paths of the notes.

    Args:
        folder: of the agents; it may be missing.

    Raises:
        AgentError: one is no note of this program.
        OSError: one cannot be read.
    """
    return {path: read_note(path) for path in sorted(folder.glob(f"*/{NOTE_NAME}"))}


def listing(folder: Path = AGENTS) -> list[str]:
    """Returns the lines of a table of all agents in a folder.

    Raises:
        AgentError: the note of one is no note of this program.
        OSError: the note of one cannot be read.
    """
    notes = read_notes(folder)
    if not notes:
        return [f"there are no trained agents in {shown_path(folder)}"]
    lines = _aligned([HEADINGS, *(_line(path, note) for path, note in notes.items())])
    path, note = next(iter(notes.items()))
    how = command(PROGRAM, "-p", "-c", shown_path(path.with_name(note.weights)))
    return [*lines, "", "mean scores; to see one play, with -r in a window:", how]


def _line(path: Path, note: Note) -> tuple[str, ...]:
    """Returns the cells of an agent's line in the table."""
    greedy, with_epsilon = (note.score(epsilon) for epsilon in (GREEDY, WITH_EPSILON))
    share = with_epsilon.get("human_normalised")
    return (
        path.parent.name,
        note.environment,
        f"{note.steps:,}",
        f"{note.minutes:,.0f}",
        *(f"{score['mean']:,.1f}" if score else "" for score in (greedy, with_epsilon)),
        "" if share is None else f"{share:.0%}",
    )


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Returns rows of cells as lines with columns: two of words, the others of numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, "<<" + ">" * (len(widths) - 2), strict=True)
        yield "  ".join(f"{cell:{side}{width}}" for cell, width, side in cells).rstrip()


def check_has_weights(
    config: Config, game: str, arguments: Iterable[str], folder: Path = AGENTS
) -> None:
    """Checks that there are weights to play, where a trained agent could play instead.

    Args:
        config: the settings.
        game: the game's name, as the agents' folders have it.
        arguments: the command line without the program.
        folder: of the agents.

    Raises:
        AgentError: there are no weights, but a trained agent. The error has its command.
    """
    path = folder / game / NOTE_NAME
    needs_none = config.is_training or config.random_play or config.continue_from
    if needs_none or config.weights_path.exists() or not path.is_file():
        return
    weights = path.with_name(read_note(path).weights)
    how = command(PROGRAM, *arguments, "-c", shown_path(weights))
    raise AgentError(
        f"{config.weights_path} does not exist; there is a trained agent of {game}: {how}"
    )
