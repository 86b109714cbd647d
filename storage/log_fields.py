"""Fields of a log's line: how one is declared, and what writer, parser and plots read of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable


def _unchanged(values: Any) -> Any:
    return values


@dataclass(frozen=True)
class Axis:
    """An axis of a plot that shows a field.

    Attributes:
        name: on the command line and in the names of pictures.
        label: the text beside the axis.
        convert: returns what the axis shows for a value of the field, or for an array of them.
    """

    name: str
    label: str
    convert: Callable[[Any], Any] = _unchanged


@dataclass(frozen=True)
class LogField:
    """All that is known of a field.

    Attributes:
        attribute: its name in the dataclass that declares it.
        type: int, float, or str for a word of letters and underscores.
        name: its name in the line.
        about: what it says, in words.
        unit: what its numbers count or measure; empty where they have no unit.
        left_out: when a line lacks it, in words; empty where every line has it.
        x: its axes as x of a curve. Such a field never falls within a run.
        y: its axis as y of a curve.
        average: its axis in the plots of averages.
    """

    attribute: str
    type: type[int] | type[float] | type[str]
    name: str
    about: str
    unit: str = ""
    left_out: str = ""
    x: tuple[Axis, ...] = ()
    y: Axis | None = None
    average: Axis | None = None


def log_field(name: str, about: str, *, left_out: str = "", **others: Any) -> Any:
    """Returns a dataclass field that declares a field of the log.

    Args:
        name: see `LogField`, as for the others.
        about: what it says.
        left_out: when a line lacks it; the field is then None, which is its default.
        **others: further attributes of `LogField`; attribute and type come from the dataclass.
    """
    metadata = {"name": name, "about": about, "left_out": left_out, **others}
    return field(default=None, metadata=metadata) if left_out else field(metadata=metadata)


def fields_of(line: type) -> tuple[LogField, ...]:
    """Returns the fields of a dataclass that `log_field` declared, in their order."""
    hints = get_type_hints(line)
    return tuple(
        LogField(field.name, _type_without_none(hints[field.name]), **field.metadata)
        for field in fields(line)
    )


def _type_without_none(hint: Any) -> Any:
    """Returns the type of the values that are not None."""
    return next((kind for kind in get_args(hint) if kind is not NoneType), hint)
