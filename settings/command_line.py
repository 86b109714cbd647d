"""The flags of the command line, made of the settings."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any, NoReturn

from settings.choices import choices, this_machine
from settings.config import Config
from settings.declaration import AUTO, GROUPS, no_flag, shown
from settings.presets import PRESETS
from system import arguments
from system.console import PROGRAM, OneLineParser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settings.choices import Choice

SWITCH_WORDS: dict[str, bool | str] = {"yes": True, "no": False, AUTO: AUTO}
AUTO_NAMES = [field.name for field in dataclasses.fields(Config) if field.metadata["auto"]]
DEFAULTS = {
    field.name: AUTO if field.metadata["auto"] else field.default
    for field in dataclasses.fields(Config)
}
PRESET_HELP = "settings to start from, one of --list-presets; flags beside it win (default: none)"


class ListPresets(argparse.Action):
    """Prints the presets, a line each, and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        """Ends the program with status 0."""
        for name, preset in PRESETS.items():
            print(f"{name:<14} {preset.about}")
        parser.exit()


def make_parser(list_agents: type[argparse.Action]) -> argparse.ArgumentParser:
    """Returns a parser with the flags that the fields of `Config` declare.

    What is not given on the command line is left out of the result.

    Args:
        list_agents: prints the trained agents, for `--list-agents`.
    """
    parser = OneLineParser(
        prog=PROGRAM,
        description="Trains a deep Q-network to play an Atari game, or plays and measures it.",
        epilog="A step is one decision of the agent; frames = steps × frame skip.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--preset", choices=PRESETS, metavar="NAME", help=PRESET_HELP)
    parser.add_argument("--list-presets", action=ListPresets, nargs=0, help="list them")
    parser.add_argument(
        "--list-agents", action=list_agents, nargs=0, help="list agents that are trained already"
    )
    groups = {name: parser.add_argument_group(name) for name in GROUPS}
    suited = choices(AUTO_NAMES, Config(), this_machine(), frame_pixels=0)
    for field in dataclasses.fields(Config):
        metadata = field.metadata
        group = groups[metadata["group"]]
        options: dict[str, Any] = {"dest": field.name, "help": _help(field, suited)}
        if metadata["type"] is bool and metadata["auto"]:
            options |= {"nargs": "?", "const": True, "type": _switch_or_auto}
            options["metavar"] = metadata["metavar"]
        elif metadata["type"] is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = arguments.name if metadata["type"] is str else metadata["type"]
            options["choices"] = metadata["choices"]
            if metadata["auto"] and metadata["choices"]:
                options["choices"] = (AUTO, *metadata["choices"])
            elif metadata["auto"]:
                options["type"] = _number_or_auto
            if not metadata["choices"]:
                options["metavar"] = metadata["metavar"] or "N"
        group.add_argument(*metadata["flags"], **options)
        if metadata["type"] is bool and metadata["auto"]:
            # A switch that takes a word has no opposite of its own.
            text = f"the same as {metadata['flags'][-1]} no (default: {AUTO})"
            group.add_argument(
                no_flag(field), dest=field.name, action="store_const", const=False, help=text
            )
    return parser


def _switch_or_auto(value: str) -> bool | str:
    """Returns what is given to a switch that takes a word."""
    try:
        return SWITCH_WORDS[value]
    except KeyError:
        words = ", ".join(SWITCH_WORDS)
        raise argparse.ArgumentTypeError(f"{value!r}: choose from {words}") from None


def _number_or_auto(value: str) -> int | str:
    """Returns what is given to a flag that takes a whole number or the word auto."""
    if value == AUTO:
        return value
    try:
        return int(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is no whole number, nor {AUTO}") from None


def _help(field: dataclasses.Field, suited: Mapping[str, Choice]) -> str:
    """Returns a flag's help with its unit and default.

    Args:
        field: of `Config`.
        suited: what auto stands for on this machine, by the names of settings.
    """
    text = field.metadata["help"]
    if "(default" in text:
        return text
    default = shown(field, field.default)
    if field.metadata["auto"]:
        default = f"{AUTO}, here without a GPU {shown(field, suited[field.name].value)}"
    return f"{text} (default: {default})".replace("%", "%%")
