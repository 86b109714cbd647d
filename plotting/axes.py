"""The axes of the plots, by name, as the fields of the log declare them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from storage.episode_log import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from storage.log_fields import Axis, LogField

DEFAULT_X, DEFAULT_Y = "steps", "score"
# Named before all others, which follow in the order of the line.
_FIRST = (DEFAULT_X, DEFAULT_Y, "reward", "loss")


class PlotAxis(NamedTuple):
    """An axis and the field that it shows."""

    field: LogField
    axis: Axis

    @property
    def label(self) -> str:
        """The text beside the axis."""
        return self.axis.label

    def values(self, columns: Mapping[str, Any]) -> Any:
        """Returns what the axis shows of a log's columns, [N] float64."""
        return self.axis.convert(columns[self.field.attribute])


def _by_name(axes: Iterable[tuple[LogField, Axis | None]]) -> dict[str, PlotAxis]:
    """Returns the axes of the fields that have one."""
    by_name = {axis.name: PlotAxis(field, axis) for field, axis in axes if axis}
    names = sorted(by_name, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    return {name: by_name[name] for name in names}


X_AXES = _by_name((field, axis) for field in FIELDS for axis in field.x)
Y_AXES = _by_name((field, field.y) for field in FIELDS)
AVERAGE_AXES = _by_name((field, field.average) for field in FIELDS)
