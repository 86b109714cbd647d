"""The fast reader of logs finds what the strict one finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plotting import log_table
from plotting.log_table import NUMBERS, LogTable, read_table, table_of
from storage.episode_log import Episode, LogError, format_episode, read_log
from system.root import ROOT

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = st.integers(0, 10**18 - 1)
ANY_FLOATS = st.floats()
PLAIN_FLOATS = st.floats(-1e6, 1e6)
EPISODES = st.builds(
    Episode,
    number=COUNTS, reward=ANY_FLOATS | PLAIN_FLOATS, steps=COUNTS, epsilon=PLAIN_FLOATS,
    loss=PLAIN_FLOATS, accuracy=PLAIN_FLOATS, score=st.none() | PLAIN_FLOATS,
    length=st.none() | COUNTS, mean_q=st.none() | PLAIN_FLOATS | ANY_FLOATS,
    q_spread=st.none() | PLAIN_FLOATS, dead_relus=st.none() | PLAIN_FLOATS,
    frames=st.none() | COUNTS, only_action=st.sampled_from([None, "FIRE", "UP_e"]),
    games_lost=st.none() | COUNTS, seconds=st.none() | PLAIN_FLOATS,
)  # fmt: skip
LINES = EPISODES.map(format_episode).map(str.encode)
PLAIN = format_episode(
    Episode(7, -21.0, 6784, 0.93, 0.04, 0.4, -21.0, 848, -0.4, 0.02, 0.1, 27136, None, None, 40)
)
ODD = [
    *("", " ", "hello", "Episode: 1 Rew", "\r", "\x1c", "é", "Episode: ٣", "0", "-"),
    *(PLAIN + "\r", f"  {PLAIN}\t", f"\x1c{PLAIN}\x1f", PLAIN.replace(": ", ":")),
    PLAIN.replace("-21.0", "-2.1e1"),
    PLAIN.replace("-21.0", "+21.0"),
    PLAIN.replace("-21.0", ".5"),
    PLAIN.replace("-21.0", "5."),
    PLAIN.replace("-21.0", "2-1.0"),
    PLAIN.replace("-21.0", "1.2.3"),
    PLAIN.replace("-21.0", "- 1"),
    PLAIN.replace("-21.0", "-nan"),
    PLAIN.replace("-21.0", "INF"),
    PLAIN.replace("-21.0", "-"),
    PLAIN.replace("6784", "0" * 20),
    PLAIN.replace("6784", "9" * 19),
    PLAIN.replace("6784", "9" * 18),
    PLAIN.replace("0.93", "0.0000000000123456789012345"),
    PLAIN.replace("Acc", "Bcc"),
]


def assert_alike(found: LogTable, expected: LogTable) -> None:
    assert found.skipped == expected.skipped
    for name in NUMBERS:
        np.testing.assert_array_equal(found.columns[name], expected.columns[name], err_msg=name)


def compare(path: Path) -> None:
    """Compares both readers on one file."""
    try:
        expected = table_of(read_log(path))
    except LogError as error:
        with pytest.raises(LogError) as raised:
            read_table(path)
        assert str(raised.value) == str(error)
    else:
        assert_alike(read_table(path), expected)


@given(
    lines=st.lists(
        st.one_of(LINES, st.sampled_from(ODD).map(str.encode), st.binary(max_size=8)), max_size=8
    ),
    end=st.sampled_from([b"\n", b"\n\n", b""]),
    start=st.sampled_from([b"", b"\xef\xbb\xbf", b"\n"]),
    piece=st.integers(3, 400),  # no less than a byte order mark
)
@example(lines=[line.encode() for line in ODD], end=b"\n", start=b"", piece=2**20)
@example(lines=[PLAIN.encode()] * 3, end=b"\n", start=b"", piece=2**20)
def test_fast_and_strict_reader_agree_on_every_file(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    end: bytes,
    start: bytes,
    piece: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "log.txt"
    path.write_bytes(start + b"\n".join(lines) + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_table, "_PIECE", piece)
        compare(path)


@pytest.mark.parametrize("line", ODD)
def test_odd_line_among_plain_ones_is_read_as_the_strict_reader_does(
    line: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.txt"
    path.write_text(f"{PLAIN}\n{line}\n{PLAIN}\n", newline="\n")
    compare(path)


def test_real_log_is_read_alike_and_without_the_strict_parser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = ROOT / "res" / "pong" / "Pong-v4_log.txt"
    expected = table_of(read_log(path))
    strict, lines = log_table.parse_episode, []
    monkeypatch.setattr(log_table, "parse_episode", lambda line: lines.append(line) or strict(line))
    assert_alike(read_table(path), expected)
    assert len(lines) < 20 < len(expected)


@pytest.mark.parametrize(
    "content", [b"", b"\xef\xbb\xbf", b"\0\xff", b"hello", b"hello\n", b"a\nb\n"]
)
def test_file_that_is_no_log_is_refused_as_the_strict_reader_does(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "log.txt").write_bytes(content)
    with pytest.raises(LogError):
        read_table(tmp_path / "log.txt")
    compare(tmp_path / "log.txt")


def test_runs_begin_where_those_of_the_strict_reader_do(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    numbers = [(0, 5), (1, 9), (0, 4), (1, 8), (1, 9), (2, 7)]
    episodes = [Episode(number, 0.0, steps, 1.0, 0.0, 0.0) for number, steps in numbers]
    path.write_text("".join(f"{format_episode(one)}\n" for one in episodes))
    lengths = [len(run) for run in read_log(path).runs]
    assert read_table(path).run_starts == [0, *np.cumsum(lengths)[:-1]] == [0, 2, 4, 5]
