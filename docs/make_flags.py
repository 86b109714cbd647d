"""Writes `docs/flags.md`, a table of all flags, from where the program declares them.

python3 -m docs.make_flags
"""

from __future__ import annotations

import re
import sys
from dataclasses import Field, fields
from typing import Any

from settings.config import Config
from settings.declaration import AUTO, GROUPS, no_flag, shown
from settings.presets import PRESETS
from system.root import ROOT

PAGE = ROOT / "docs" / "flags.md"
INTRODUCTION = """\
# Flags

All flags of `dqn_atari.py`. `python3 -m docs.make_flags` makes this page from
`settings/config.py` and `settings/presets.py`, and a test compares them.
`python3 dqn_atari.py -h` says the same. The flags of `reward_visualizer.py` are in
[plotting.md](plotting.md).

A **step** is one decision of the agent, a **frame** one of the emulator; frames = steps × frame
skip. A **score** is the game's own points, a **reward** what the agent learns from.

- **default**: what learns well on two cores without a GPU; [presets.md](presets.md#default) says
  why. `auto` chooses for the machine, by its
  [cores](performance.md#how-the-cores-are-shared-out) or its
  [GPU](performance.md#what-is-chosen-there).
- **original**: what `--preset script` has instead. It does what the original command-line script
  does; [presets.md](presets.md#script) says where the two differ.
- **†**: stays as it is when a run goes on with `--continue`; `--weights-only` lifts that.

Three flags are no settings:

| flag | what it does |
| --- | --- |
| `--preset NAME` | starts from the settings of a preset; flags beside it win |
| `--list-presets` | lists the presets: [presets.md](presets.md) |
| `--list-agents` | lists trained agents: [playing.md](playing.md#trained-agents) |
"""


def page() -> str:
    """Returns the page: an introduction, then a table for each group of settings."""
    tables = []
    for group in GROUPS:
        rows = [_row(field) for field in fields(Config) if field.metadata["group"] == group]
        head = ["| flag | default | what it does | original |", "| --- | --- | --- | --- |"]
        tables.append("\n".join([f"## {group.capitalize()}", "", *head, *rows]))
    return "\n".join([INTRODUCTION, "\n\n".join(tables), ""])


def _row(setting: Field[Any]) -> str:
    help_text = re.sub(r" \(default: .*\)$", "", setting.metadata["help"])
    cells = [_flags(setting), _default(setting), _as_markdown(help_text), _original(setting)]
    return f"| {' | '.join(cells)} |"


def _flags(setting: Field[Any]) -> str:
    """Returns a setting's flags, what may follow them, and whether it stays as it is."""
    metadata = setting.metadata
    names = list(metadata["flags"])
    if metadata["type"] is bool:
        names.append(no_flag(setting))
    text = ", ".join(f"`{name}`" for name in names)
    values = metadata["choices"] or (metadata["metavar"] or "").split("|")
    if metadata["auto"] and metadata["choices"]:
        values = (AUTO, *values)
    text += "".join(f" `{value}`" for value in values if value)
    return f"{text} †" if metadata["fixed"] else text


def _default(setting: Field[Any]) -> str:
    if setting.name == "seed":
        return "drawn and printed"
    return AUTO if setting.metadata["auto"] else shown(setting, setting.default)


def _original(setting: Field[Any]) -> str:
    """Returns what the preset of the original has, where that is not the default."""
    preset = PRESETS["script"].settings
    if setting.name not in preset:
        return ""
    original = shown(setting, preset[setting.name])
    return "" if original == _default(setting) else original


def _as_markdown(text: str) -> str:
    """Returns a help text with flags and names of files as code."""
    text = re.sub(r"(?<![\w-])--[a-z][a-z0-9-]*", r"`\g<0>`", text)
    return re.sub(r"<env id>[\w./]*", r"`\g<0>`", text)


def main() -> int:
    """Writes the page; returns the exit status."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
