"""Settings as dataclass fields: how they are declared, checked and shown."""

from __future__ import annotations

import math
from dataclasses import Field, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from system.console import counted
from system.errors import OneLineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AUTO = "auto"  # on a command line, the word for what suits the machine
GROUPS = (
    "environment",
    "memory",
    "learning",
    "network",
    "exploration",
    "actors",
    "evaluation",
    "files",
    "watching",
)


class ConfigError(OneLineError):
    """A setting is out of its range, or two do not go together."""

    status = 2


def setting(
    default: Any,
    *flags: str,
    group: str,
    about: str,
    unit: str = "",
    kind: type | None = None,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    metavar: str | None = None,
    unset: str = "none",
    fixed: bool = False,
    auto: bool = False,
) -> Any:
    """Returns a dataclass field with all that the command line needs.

    Args:
        default: the value if the flag is not given; a bool makes the flag a switch.
        *flags: the names on the command line, shortest first.
        group: its heading in `-h`, one of `GROUPS`.
        about: what it does, its help in `-h`. Unit and default are added to it.
        unit: what a number counts: a plural, such as steps, or words such as per update.
        kind: the type of the value, if it is not that of the default.
        low: the lowest value allowed, in the setting's unit.
        high: the highest value allowed, in the setting's unit.
        choices: the values allowed, if they are words.
        metavar: the placeholder for the value in `-h`.
        unset: what None means, in words.
        fixed: whether it must stay the same over all resumes of a run.
        auto: whether the command line also takes the word auto, which chooses a value for the
            machine and is the default there; see `settings/choices.py`. A switch then also takes
            yes and no.
    """
    metadata = {
        "flags": flags,
        "group": group,
        "help": about,
        "unit": unit,
        "type": kind or type(default),
        "low": low,
        "high": high,
        "choices": choices,
        "metavar": metavar,
        "unset": unset,
        "fixed": fixed,
        "auto": auto,
    }
    return field(default=default, metadata=metadata)


def check_range(metadata: Any, value: Any) -> None:
    """Raises ConfigError, which names the flag and its range, if the value is outside of it."""
    flag = metadata["flags"][-1]
    low, high = metadata["low"], metadata["high"]
    # This also refuses NaN, which compares false with everything.
    if low is not None and value is not None and not low <= value <= high:
        raise ConfigError(f"{flag} {value} is out of range: from {_number(low)} to {_number(high)}")
    if metadata["choices"] and value not in metadata["choices"]:
        raise ConfigError(f"{flag} {value!r}: choose from {', '.join(metadata['choices'])}")


def _number(value: float) -> str:
    """Returns a bound as a person writes it: 1,000,000 or 1e-09."""
    return f"{value:,}" if isinstance(value, int) or math.floor(value) == value else f"{value:g}"


def check_unchanged(before: Mapping[str, Any], now: Any, where: str) -> None:
    """Raises ConfigError if a setting has changed that must stay the same over a run.

    Args:
        before: values by the names of their fields. Settings without one are not checked.
        now: a dataclass whose fields `setting` made.
        where: where the values before come from.
    """
    for declared in fields(now):
        name, value = declared.name, getattr(now, declared.name)
        if declared.metadata["fixed"] and name in before and before[name] != value:
            flag, old = declared.metadata["flags"][-1], shown(declared, before[name])
            raise ConfigError(
                f"{flag} is {shown(declared, value)}, and {old} in {where}: that cannot change "
                "within a run, so leave it out, or give --weights-only to take the weights alone"
            )


def shown(declared: Field, value: Any) -> str:
    """Returns the value of a setting as a person reads it, with its unit."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return declared.metadata["unset"]
    unit = declared.metadata["unit"]
    if isinstance(value, int) and unit.endswith("s"):
        return counted(value, unit.removesuffix("s"))
    text = f"{value:,}" if isinstance(value, int) and declared.name != "seed" else str(value)
    return f"{text} {unit}".rstrip()


def as_flags(declared: Field, value: Any) -> list[str]:
    """Returns the words that set a value on a command line, the flag's long name first.

    Args:
        declared: a field that `setting` made.
        value: its value; not None, which no flag stands for.
    """
    flag = declared.metadata["flags"][-1]
    if isinstance(value, bool):
        return [flag if value else no_flag(declared)]
    return [flag, str(value)]


def no_flag(declared: Field) -> str:
    """Returns the flag that turns a switch off."""
    return f"--no-{_name(declared)}"


def shown_by_flag(config: Any) -> dict[str, str]:
    """Returns all settings as a person reads them, by their flags' long names without the dashes.

    Args:
        config: a dataclass whose fields `setting` made.
    """
    return {
        _name(declared): shown(declared, getattr(config, declared.name))
        for declared in fields(config)
    }


def _name(declared: Field) -> str:
    """Returns the long name of a field's flag, without its dashes."""
    return declared.metadata["flags"][-1].lstrip("-")


def describe(
    config: Any,
    origins: Mapping[str, str] = MappingProxyType({}),
    heading: Callable[[str], str] = str,
    changed: Callable[[str], str] = str,
) -> str:
    """Returns the settings as the start of a run prints them, by group, one in a line.

    Args:
        config: a dataclass whose fields `setting` made.
        origins: where values come from, by the names of fields. All others are defaults.
        heading: makes the name of a group stand out.
        changed: makes a setting stand out that is not a default.
    """
    lines = []
    for group in GROUPS:
        lines.append(heading(group))
        for declared in fields(config):
            if declared.metadata["group"] == group:
                value = shown(declared, getattr(config, declared.name))
                line = f"  {_name(declared):<20} {value}"
                origin = origins.get(declared.name)
                lines.append(changed(f"{line:<48} ({origin})") if origin else line)
    return "\n".join(lines)
