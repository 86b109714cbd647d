"""Writes the table of the log's fields into its page, from their declarations.

    python3 -m docs.make_log_fields       from the root of the repository

Only what stands between `START` and `END` in the page is replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.episode_log import FIELDS
from system.root import ROOT

if TYPE_CHECKING:
    from storage.log_fields import LogField

PAGE = ROOT / "docs" / "files.md"
START = "<!-- log fields: written by `python3 -m docs.make_log_fields`, not by hand -->"
END = "<!-- end of log fields -->"


def table() -> str:
    """Returns the table, in Markdown."""
    rows = [
        ("field", "what it says", "unit", "left out", "axis of plots"),
        ("---",) * 5,
        *((field.name, field.about, field.unit, field.left_out, _axis(field)) for field in FIELDS),
    ]
    return "".join(f"| {' | '.join(row)} |\n".replace("  ", " ") for row in rows)


def _axis(field: LogField) -> str:
    """Returns the flags that draw a field, or nothing."""
    flags = [f"`--x {axis.name}`" for axis in field.x]
    if field.y:
        flags.append(f"`--y {field.y.name}`")
    return ", ".join(flags)


def with_table(page: str) -> str:
    """Returns the text of a page with the table as it is now.

    Raises:
        ValueError: the page does not have `START` and then `END`.
    """
    before, _, after = page.partition(START)
    _, end, after = after.partition(END)
    if not end:
        raise ValueError(f"the page has no lines {START!r} and {END!r}")
    return f"{before}{START}\n{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
