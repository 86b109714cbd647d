"""Trained agents that ship with the program: weights, and notes of how they were made.

    res/agents/Breakout/agent.json                 the note, see `Note`
    res/agents/Breakout/Breakout-v4_weights.h5     the weights, in half precision

A game has at most one agent, in the folder that has its name. `benchmarks/agents.py` makes them of
runs of `benchmarks/recipes.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from settings.config import Config
from storage.files import replacing
from system.console import PROGRAM, command, shown_path
from system.errors import OneLineError
from system.root import ROOT

AGENTS = ROOT / "res" / "agents"
NOTE_NAME = "agent.json"
# What playing depends on, and what training does.
PLAY_GROUPS = frozenset({"environment", "network"})
NOTED_GROUPS = PLAY_GROUPS | {"memory", "learning", "exploration"}
GREEDY, WITH_EPSILON = 0.0, 0.05  # epsilons that agents are measured with
HEADINGS = ("game", "id", "steps", "minutes", "greedy", f"ε {WITH_EPSILON}", "human-normalised")


class AgentError(OneLineError):
    """A trained agent that cannot be used, or no weights to play with, said in one line."""


@dataclass(frozen=True)
class Note:
    """What is known of a trained agent, as its note has it.

    Attributes:
        settings: by the names of `Config`'s fields: all of `NOTED_GROUPS` but the seed, whether
            they were defaults or not, so that defaults may change.
        weights: the name of their file, beside the note.
        steps: steps of the run before these weights.
        frames: emulator frames of the run before them.
        minutes: wall minutes of the run before them.
        run_steps: steps of the whole run.
        run_minutes: wall minutes of the whole run.
        chosen: why these weights were taken of all that the run had.
        seed: of the run.
        commit: of the program that trained.
        machine: what it trained on.
        beside: what else the machine did meanwhile.
        train: the command that trains it again, with that commit.
        evaluate: the commands that measured its scores.
        scores: for each of `GREEDY` and `WITH_EPSILON`, what `--evaluate --json` has of the agent,
            without the single scores.
    """

    settings: dict[str, Any]
    weights: str
    steps: int
    frames: int
    minutes: float
    run_steps: int
    run_minutes: float
    chosen: str
    seed: int
    commit: str
    machine: str
    beside: str
    train: str
    evaluate: list[str]
    scores: list[dict[str, Any]]

    @property
    def environment(self) -> str:
        """The id that it was trained with."""
        return str(self.settings["environment"])

    def score(self, epsilon: float) -> Mapping[str, Any]:
        """Returns what is known of its games with such an epsilon, or nothing."""
        return next((each for each in self.scores if each["epsilon"] == epsilon), {})


def noted_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of a run's settings that belong into a note, by the names of fields."""
    return {
        each.name: settings[each.name]
        for each in fields(Config)
        if each.metadata["group"] in NOTED_GROUPS and each.name != "seed"
    }


def write_note(folder: Path, note: Note) -> None:
    """Writes a note into its agent's folder, whole or not at all; raises OSError."""
    with replacing(folder / NOTE_NAME) as new:
        new.write_text(f"{json.dumps(asdict(note), indent=2)}\n", encoding="utf-8")


def read_note(path: Path) -> Note:
    """Reads a note.

    Raises:
        AgentError: it is no note, or not one of this program.
        OSError: it cannot be read.
    """
    try:
        note = Note(**json.loads(path.read_text(encoding="utf-8")))
        Config(**note.settings)
        _line(path, note)  # what the list shows has to be there
    except (ValueError, TypeError, KeyError, AttributeError, OneLineError):
        raise AgentError(f"{shown_path(path)} is no note of an agent of this program") from None
    return note


def note_of(weights: Path) -> Note | None:
    """Returns the note of a trained agent by its weights, or None where they are of none.

    Raises:
        AgentError, OSError: there is a note beside them that cannot be read.
    """
    path = weights.with_name(NOTE_NAME)
    if not path.is_file():
        return None
    note = read_note(path)
    return note if note.weights == weights.name else None


def read_notes(folder: Path = AGENTS) -> dict[Path, Note]:
    """Returns the notes of all agents in a folder, which may be missing, by their paths.

    Raises:
        AgentError, OSError: one cannot be read.
    """
    return {path: read_note(path) for path in sorted(folder.glob(f"*/{NOTE_NAME}"))}


def listing(folder: Path = AGENTS) -> list[str]:
    """Returns the lines that tell of all agents in a folder; raises what `read_notes` does."""
    notes = read_notes(folder)
    if not notes:
        return [f"there are no trained agents in {shown_path(folder)}"]
    lines = _aligned([HEADINGS, *(_line(path, note) for path, note in notes.items())])
    path, note = next(iter(notes.items()))
    how = command(PROGRAM, "-p", "-c", shown_path(path.with_name(note.weights)))
    return [*lines, "", "mean scores; to see one play, with -r in a window:", how]


def _line(path: Path, note: Note) -> tuple[str, ...]:
    """Returns the cells of an agent's line in the list."""
    greedy, others = (note.score(epsilon) for epsilon in (GREEDY, WITH_EPSILON))
    share = others.get("human_normalised")
    return (
        path.parent.name,
        note.environment,
        f"{note.steps:,}",
        f"{note.minutes:,.0f}",
        *(f"{each['mean']:,.1f}" if each else "" for each in (greedy, others)),
        "" if share is None else f"{share:.0%}",
    )


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Returns rows of cells as lines with columns: two of words, then numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, "<<" + ">" * (len(widths) - 2), strict=True)
        yield "  ".join(f"{cell:{side}{width}}" for cell, width, side in cells).rstrip()


def check_has_weights(
    config: Config, game: str, arguments: Iterable[str], folder: Path = AGENTS
) -> None:
    """Names the trained agent that could play, where a run that is to be played has no weights.

    Args:
        config: the settings of what is to be played or evaluated.
        game: its name, as the agents' folders have it.
        arguments: the command line without the program.
        folder: where the agents are.

    Raises:
        AgentError: there are no weights, and there is an agent; it has the command that plays it.
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
