"""Named groups of settings for a sweep, from a TOML file.

    [groups.rainbow]
    preset = "rainbow"

    [groups."small steps"]
    learning-rate = 1e-4
    double = false

A setting is named as its flag is, without the dashes. Each run of a group is given its settings
after those that all runs have, so that they win.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from settings.config import Config
from settings.declaration import as_flags
from system.errors import OneLineError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import Field
    from pathlib import Path

ONLY_GROUP = "default"  # where there is no file
NAME = re.compile(r"\w[\w .,+=-]*", re.ASCII)  # of a group, which is also that of a folder
# What a sweep sets itself, and what is not training.
NOT_OF_A_SWEEP = frozenset(
    {
        *("environment", "seed", "out", "continue_from", "weights_only"),
        *("render", "play", "video_folder", "overlay", "evaluate", "random_play", "json_output"),
        *("actors", "ray", "weights_every", "actors_in_step"),
    }
)
SETTINGS: dict[str, Field] = {
    flag.removeprefix("--"): field
    for field in fields(Config)
    for flag in field.metadata["flags"]
    if flag.startswith("--") and field.name not in NOT_OF_A_SWEEP
}
PRESET = "preset"


class GroupsError(OneLineError):
    """A file of groups cannot be used, said in one line."""

    status = 2


def read_groups(path: Path | None) -> dict[str, list[str]]:
    """Returns the words that each group adds to the command line of its runs, by its name.

    Args:
        path: the TOML file, or None for one group that adds nothing.

    Raises:
        GroupsError: it is no such file, or has a setting that no run of a sweep can be given.
    """
    if path is None:
        return {ONLY_GROUP: []}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GroupsError(f"--groups {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GroupsError(f"--groups {path} is no TOML: {error}") from None
    groups = content.pop("groups", None)
    if content:
        raise GroupsError(f"--groups {path} has {', '.join(content)} beside [groups.NAME]")
    if not isinstance(groups, dict) or not groups:
        raise GroupsError(f"--groups {path} has no group: begin one with [groups.NAME]")
    return {name: _words(f"--groups {path}", name, table) for name, table in groups.items()}


def _words(file: str, name: str, table: Any) -> list[str]:
    """Returns what one group adds."""
    where = f"{file}: [groups.{name}]"
    if not isinstance(table, dict):
        raise GroupsError(f"{where} is no table of settings")
    if not NAME.fullmatch(name):
        raise GroupsError(f"{where}: a name is of letters, digits, spaces and .,+=-_")
    words: list[str] = []
    for setting, value in table.items():
        words += _flag(where, setting, value)
    return words


def _flag(where: str, setting: str, value: Any) -> list[str]:
    """Returns the words that give a run one setting."""
    if setting not in SETTINGS and setting != PRESET:
        nearest = difflib.get_close_matches(setting, [*SETTINGS, PRESET], n=1)
        advice = f"; nearest: {nearest[0]}" if nearest else ""
        raise GroupsError(f"{where} has {setting!r}, no setting of a sweep's runs{advice}")
    if not isinstance(value, str | int | float):
        raise GroupsError(f"{where}: {setting} is no text, number, true or false")
    if setting == PRESET:
        return ["--preset", str(value)]
    field = SETTINGS[setting]
    if (field.metadata["type"] is bool) != isinstance(value, bool):
        kind = "true or false" if field.metadata["type"] is bool else "a text or a number"
        raise GroupsError(f"{where}: {setting} has to be {kind}")
    return as_flags(field, value)


def check_words(given: Mapping[str, Any]) -> None:
    """Raises GroupsError where settings for all runs have one that a sweep sets itself.

    Args:
        given: by the names of `Config`'s fields, as the parser returns them.
    """
    flags = {field.name: field.metadata["flags"][-1] for field in fields(Config)}
    for name in given:
        if name in NOT_OF_A_SWEEP:
            raise GroupsError(f"{flags[name]} is not for the runs of a sweep: leave it out")
