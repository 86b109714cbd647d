"""The terminal: what is said on it is English."""

from __future__ import annotations

import pytest

from system.console import counted


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 games"), (1, "1 game"), (2, "2 games"), (1_000, "1,000 games")]
)
def test_one_is_counted_in_the_singular(number: int, expected: str) -> None:
    assert counted(number, "game") == expected
