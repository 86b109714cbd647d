"""The state of an object, as a file can hold it.

Whatever has state gives it with `get_state()` and takes it with `set_state(state)`. Only the replay
memory, which can be larger than half of the machine's memory, takes its state right from a file,
with `load`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


class State(NamedTuple):
    """The state of an object: values for JSON, and arrays, or lists of equal ones, by name."""

    attributes: Mapping[str, Any]
    arrays: Mapping[str, Any]


def prefixed(prefix: str, arrays: Mapping[str, T]) -> dict[str, T]:
    """Returns arrays under names that begin with `prefix` and a slash."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def under(prefix: str, arrays: Mapping[str, T]) -> dict[str, T]:
    """Returns the arrays that `prefixed` gave this prefix, under their own names."""
    start = f"{prefix}/"
    return {
        name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)
    }
