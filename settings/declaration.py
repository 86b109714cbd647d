"""Settings as fields that carry all that the command line has to know of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from types import MappingProxyType
from typing import Any

from system.console import counted
from system.errors import OneLineError

GROUPS = (
    "environment",
    "memory",
    "learning",
    "network",
    "exploration",
    "evaluation",
    "files",
    "watching",
)


class ConfigError(OneLineError):
    """A setting out of its range, or two that do not go together, said in one line."""

    status = 2


def setting(
    default: Any,
    *flags: str,
    group: str,
    help: str,
    unit: str = "",
    type: type | None = None,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    metavar: str | None = None,
    unset: str = "none",
    fixed: bool = False,
    auto: bool = False,
) -> Any:
    """Returns a dataclass field that carries all that the command line needs to know of it.

    Args:
        default: the value when no flag is given; a bool makes the flag a switch.
        *flags: the names on the command line, shortest first.
        group: the heading of `-h` that it stands under, one of `GROUPS`.
        help: what it does, without unit and default, which are added.
        unit: what stands behind a number: a plural, such as steps, or words such as per update.
        type: the type of the value, where the default does not tell.
        low: the lowest value allowed, in the setting's unit.
        high: the highest value allowed, in the setting's unit.
        choices: the values allowed, where they are words.
        metavar: the placeholder for the value in `-h`.
        unset: what None means, in words.
        fixed: whether it has to stay as it is over all resumes of a run.
        auto: whether the command line takes the word auto as well, which chooses for the machine,
            and does so where nothing is given.
    """
    metadata = {
        "flags": flags,
        "group": group,
        "help": help,
        "unit": unit,
        "type": type or default.__class__,
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
    """Raises ConfigError, naming the flag and the range, where the value is not in it."""
    flag = metadata["flags"][-1]
    low, high = metadata["low"], metadata["high"]
    # Written so that NaN, which compares false with everything, is refused as well.
    if low is not None and value is not None and not low <= value <= high:
        raise ConfigError(f"{flag} {value} is out of range: from {_number(low)} to {_number(high)}")
    if metadata["choices"] and value not in metadata["choices"]:
        raise ConfigError(f"{flag} {value!r}: choose from {', '.join(metadata['choices'])}")


def _number(value: float) -> str:
    """Returns a bound as a person writes it: 1,000,000 or 1e-09."""
    return f"{value:,}" if isinstance(value, int) or math.floor(value) == value else f"{value:g}"


def check_unchanged(before: Mapping[str, Any], now: Any, where: str) -> None:
    """Raises ConfigError where a setting that has to stay as it is has changed.

    Args:
        before: values by the names of fields; one that is missing is passed over.
        now: a dataclass whose fields `setting` made.
        where: what the values before were found in.
    """
    for each in fields(now):
        name, value = each.name, getattr(now, each.name)
        if each.metadata["fixed"] and name in before and before[name] != value:
            flag, old = each.metadata["flags"][-1], shown(each, before[name])
            raise ConfigError(
                f"{flag} is {shown(each, value)}, and {old} in {where}: that cannot change within "
                "a run, so leave it out, or give --weights-only to take the weights alone"
            )


def shown(each: Any, value: Any) -> str:
    """Returns a setting's value as a person reads it, with its unit."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return each.metadata["unset"]
    unit = each.metadata["unit"]
    if isinstance(value, int) and unit.endswith("s"):
        return counted(value, unit.removesuffix("s"))
    text = f"{value:,}" if isinstance(value, int) and each.name != "seed" else str(value)
    return f"{text} {unit}".rstrip()


def as_flags(each: Any, value: Any) -> list[str]:
    """Returns what gives a setting its value on a command line: words, the flag's long name first.

    Args:
        each: a field that `setting` made.
        value: what it is to be; not None, which no flag gives.
    """
    flag = each.metadata["flags"][-1]
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag.removeprefix('--')}"]
    return [flag, str(value)]


def shown_by_flag(config: Any) -> dict[str, str]:
    """Returns all settings as a person reads them, by their flags' long names without dashes.

    Args:
        config: a dataclass whose fields `setting` made.
    """
    return {_name(each): shown(each, getattr(config, each.name)) for each in fields(config)}


def _name(each: Any) -> str:
    return each.metadata["flags"][-1].lstrip("-")


def describe(
    config: Any,
    origins: Mapping[str, str] = MappingProxyType({}),
    heading: Callable[[str], str] = str,
    changed: Callable[[str], str] = str,
) -> str:
    """Returns the settings as the start of a run prints them, a group a paragraph.

    Args:
        config: a dataclass whose fields `setting` made.
        origins: where values came from, by the names of fields; what is not in it is a default.
        heading: makes a group's name stand out.
        changed: makes a setting that is no default stand out.
    """
    lines = []
    for group in GROUPS:
        lines.append(heading(group))
        for each in fields(config):
            if each.metadata["group"] == group:
                line = f"  {_name(each):<20} {shown(each, getattr(config, each.name))}"
                origin = origins.get(each.name)
                lines.append(changed(f"{line:<48} ({origin})") if origin else line)
    return "\n".join(lines)
