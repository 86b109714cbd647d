"""The page of flags says what the program declares."""

from __future__ import annotations

import re
from dataclasses import Field, fields

import pytest

from docs.make_flags import PAGE, page
from settings.config import Config


def test_page_is_what_its_maker_makes() -> None:
    assert PAGE.read_text() == page(), "make it again: python3 -m docs.make_flags"


@pytest.mark.parametrize("field", fields(Config), ids=lambda field: field.name)
def test_every_flag_has_one_row(field: Field) -> None:
    flag = re.escape(field.metadata["flags"][-1])
    assert len(re.findall(rf"^\| [^|]*`{flag}`[^|]*\|(?:[^|]*\|){{3}}$", page(), re.M)) == 1


def row(flag: str) -> list[str]:
    """Returns the cells of a flag's row."""
    (line,) = [line for line in page().splitlines() if re.match(rf"\| [^|]*`{flag}`", line)]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("flag", "names", "default", "original"),
    [
        ("--nothing", "`-n`, `--nothing`", "0 steps", "30 steps"),
        ("--updates", "`--updates`", "1 update", ""),
        ("--envs", "`--envs` `N` `auto` †", "auto", "1 environment"),
        ("--precision", "`--precision` `auto` `float32` `bfloat16`", "auto", "float32"),
        (
            "--memory-on-device",
            "`--memory-on-device`, `--no-memory-on-device` `yes` `no` `auto` †",
            "auto",
            "",
        ),
        ("--hidden-biases", "`--hidden-biases`, `--no-hidden-biases` †", "off", "on"),
        ("--seed", "`--seed` `N` †", "drawn and printed", ""),
        ("--gamma-start", "`--gamma-start` `N`", "as --gamma", ""),
    ],
)
def test_rows_read_as_a_person_writes_them(
    flag: str, names: str, default: str, original: str
) -> None:
    cells = row(flag)
    assert [cells[0], cells[1], cells[3]] == [names, default, original]


def test_help_is_without_the_default_that_has_a_column() -> None:
    assert "(default" not in page()
