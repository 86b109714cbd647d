"""What both programs say, of mistakes too."""

from __future__ import annotations

import pytest

from system.console import OneLineParser, counted, say_error


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("no", "no"),
        ("a  b.txt: no such file", "a  b.txt: no such file"),
        ("first\n\n   second\r\n", "first second"),
    ],
)
def test_error_is_one_line_that_keeps_names(
    text: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say_error(text, "program.py")
    assert capsys.readouterr() == ("", f"program.py: error: {line}\n")


@pytest.mark.parametrize(
    ("example", "end"), [("", ""), ("program.py -f x", "; a right call: program.py -f x")]
)
def test_wrong_command_line_is_one_line_and_status_2(
    example: str, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = OneLineParser(prog="program.py", example=example)
    with pytest.raises(SystemExit) as left:
        parser.parse_args(["--odd"])
    assert left.value.code == 2
    expected = f"program.py: error: unrecognized arguments: --odd{end}\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 games"), (1, "1 game"), (2, "2 games"), (1_000, "1,000 games")]
)
def test_one_is_counted_in_the_singular(number: int, expected: str) -> None:
    assert counted(number, "game") == expected
