"""Fields of the log are declared once; all else comes from the declarations."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from docs.make_log_fields import END, PAGE, START, with_table
from plotting.average_plots import PLOTS, SCORE_PLOTS
from plotting.axes import AVERAGE_AXES, X_AXES, Y_AXES
from plotting.log_table import NUMBERS
from storage.episode_log import FIELDS, Episode, format_episode, parse_episode
from storage.log_fields import Axis, LogField, fields_of, log_field

VALUES = {int: 7, float: 0.5, str: "FIRE"}


@dataclass(frozen=True, slots=True)
class Small:
    count: int = log_field("Count", "how many", unit="games", x=(Axis("counts", "games"),))
    word: str | None = log_field("A Word", "what for", left_out="where there is none")


def test_field_is_what_its_declaration_says() -> None:
    assert fields_of(Small) == (
        LogField("count", int, "Count", "how many", "games", x=(Axis("counts", "games"),)),
        LogField("word", str, "A Word", "what for", left_out="where there is none"),
    )


def test_field_that_may_be_left_out_is_none_by_default() -> None:
    assert Small(3) == Small(3, None)
    with pytest.raises(TypeError, match="count"):
        Small()


@pytest.mark.parametrize("name", [declared.attribute for declared in FIELDS])
def test_each_field_is_written_and_read(name: str) -> None:
    values = {
        declared.attribute: VALUES[declared.type]
        for declared in FIELDS
        if declared.attribute == name or not declared.left_out
    }
    episode = Episode(**values)
    assert getattr(parse_episode(format_episode(episode)), name) == values[name]


def test_line_without_a_field_that_each_has_is_no_episode() -> None:
    whole = Episode(*(VALUES[declared.type] for declared in FIELDS))
    for declared in FIELDS:
        part = f"{declared.name}: {VALUES[declared.type]}"
        line = " ".join(format_episode(whole).replace(part, "", 1).split())
        assert bool(parse_episode(line)) is bool(declared.left_out), declared.name


def test_axes_are_those_of_columns_and_have_names_of_their_own() -> None:
    for count, axes in (
        (sum(len(field.x) for field in FIELDS), X_AXES),
        (sum(field.y is not None for field in FIELDS), Y_AXES),
        (sum(field.average is not None for field in FIELDS), AVERAGE_AXES),
    ):
        assert len(axes) == count
        assert {axis.field.attribute for axis in axes.values()} <= set(NUMBERS)
    assert {name for plot in PLOTS + SCORE_PLOTS for name in plot} == AVERAGE_AXES.keys()


def test_page_has_the_table_of_the_declarations() -> None:
    page = PAGE.read_text()
    assert with_table(page) == page, "run python3 -m docs.make_log_fields"


def test_page_without_a_place_for_the_table_is_refused() -> None:
    for page in ("", START, END + START):
        with pytest.raises(ValueError, match="log fields"):
            with_table(page)
