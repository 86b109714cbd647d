"""A log as columns of numbers, read many times as fast as line by line.

    read_table("Pong-v0_log.txt").columns["score"]      # [N] float64

The lines that runs write differ in little but their digits. With 0 in place of every row of digits,
as in "Episode: 0 Reward: -0.0 ...", only a few kinds of line are left in a piece of a log. The
strict parser, that of `storage/episode_log.py`, judges one line of each kind, and NumPy reads the
numbers of all lines of a kind at once. Kinds whose numbers NumPy might misread, such as 1e-05 or
nan, go through the strict parser line by line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from storage.episode_log import (
    CUT_SHORT,
    FIELDS,
    NO_EPISODE,
    Episode,
    Log,
    no_episodes,
    parse_episode,
    reading,
    shown,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from io import BufferedReader

Values = NDArray[np.float64]

# The fields of an episode that are numbers, in the order of the line.
NUMBERS = tuple(declared.attribute for declared in FIELDS if declared.type is not str)
# The other fields that count through a whole run; two are counted on in a way of their own.
_RUNNING = {declared.attribute for declared in FIELDS if declared.x} - {"number", "steps"}

_PIECE = 2**24  # bytes of the log that are worked on at a time
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_NAMES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_:"
_PLAIN = re.compile(r"[A-Za-z_:0.\n -]*")  # no characters but those that a run writes
_PLAIN_NUMBER = re.compile(rb"-?0(\.0)?")
# Whole numbers with more digits than the strict parser takes.
_LONG_NUMBERS = b" " + b"0" * 19, b":" + b"0" * 19
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class LogTable:
    """A log as columns.

    Attributes:
        columns: [N] float64 for each name in `NUMBERS`: a value for each episode, in the order of
            the lines; nan where a line lacks the field.
        skipped: number (from 1) of each line that could not be used, and why.
    """

    columns: dict[str, Values]
    skipped: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        """Returns the number of episodes."""
        return len(self.columns["number"])

    def has(self, name: str) -> bool:
        """Returns whether any line has the field."""
        return not np.isnan(self.columns[name]).all()

    @cached_property
    def run_starts(self) -> list[int]:
        """Where each of the runs begins that were appended to this log, as in `Log.runs`."""
        number, steps = self.columns["number"], self.columns["steps"]
        starts = (number[1:] <= number[:-1]) | (steps[1:] < steps[:-1])
        return [0, *(np.flatnonzero(starts) + 1).tolist()]

    @cached_property
    def counted_on(self) -> dict[str, Values]:
        """The columns, with each run counted on from the end of the run before it."""
        number, length = self.columns["number"], np.nan_to_num(self.columns["length"])
        episodes, steps = number.copy(), self.columns["steps"].copy()
        for start, end in pairwise([*self.run_starts[1:], len(self)]):
            # A run whose first lines are missing still begins where the one before ended.
            missing = steps[start] - length[start] if number[start] else 0
            episodes[start:end] += episodes[start - 1] + 1 - number[start]
            steps[start:end] += steps[start - 1] - missing
        others = {name: _never_falling(self.columns[name]) for name in _RUNNING}
        return {**self.columns, "number": episodes, "steps": steps, **others}


def _never_falling(values: Values) -> Values:
    """Returns values that start again at 0 now and then as one count, which never falls.

    Args:
        values: [N] float64; nan stays nan.
    """
    known = np.flatnonzero(~np.isnan(values))
    before = values[known][:-1]
    fallen = np.where(values[known][1:] < before, before, 0)
    rising = values.copy()
    rising[known[1:]] += np.cumsum(fallen)
    return rising


def table_of(log: Log) -> LogTable:
    """Returns a log that was read line by line as columns."""
    rows = np.array([_row(episode) for episode in log.episodes]).reshape(-1, len(NUMBERS))
    return LogTable(_columns(rows), log.skipped)


def read_table(path: str | os.PathLike[str]) -> LogTable:
    """Reads a log: the same as `table_of(read_log(path))`, faster.

    Raises:
        LogError: the path is missing, a folder or a device, must not be read, is empty or binary,
            or has no line that can be used.
    """
    rows: list[NDArray] = []
    skipped: list[tuple[int, str]] = []
    first = ""
    before = 0
    with reading(path), open(path, "rb") as file:
        for piece in _pieces(file):
            first = first or _text(piece[: piece.find(b"\n") + 1] or piece)
            if piece.endswith(b"\n"):
                numbers, unused = _parse(piece)
                rows.append(numbers)
                skipped += [(before + line, NO_EPISODE) for line in unused]
                before += piece.count(b"\n")
            else:
                skipped.append((before + 1, CUT_SHORT))
    if not sum(map(len, rows)):
        raise no_episodes(shown(path), first, skipped)
    return LogTable(_columns(np.concatenate(rows)), skipped)


def _columns(rows: NDArray) -> dict[str, Values]:
    return dict(zip(NUMBERS, np.ascontiguousarray(rows.T), strict=True))


def _pieces(file: BufferedReader) -> Iterator[bytes]:
    """Yields the bytes of a file, whole lines at a time, and at last what follows the last line."""
    held = [file.read(_PIECE).removeprefix(_BYTE_ORDER_MARK)]
    while new := file.read(_PIECE):
        if end := new.rfind(b"\n") + 1:
            yield b"".join([*held, new[:end]])
            held = []
        held.append(new[end:])
    rest = b"".join(held)
    end = rest.rfind(b"\n") + 1
    yield from filter(None, (rest[:end], rest[end:]))


def _parse(piece: bytes) -> tuple[NDArray, list[int]]:
    """Reads whole lines.

    Returns:
        [N, len(NUMBERS)] float64, the numbers of the N episode lines; and which lines, counted from
        1, are neither that nor empty.
    """
    zeros = piece.translate(_DIGITS_TO_ZERO)
    kinds = _without_repeated_zeros(zeros).split(b"\n")[:-1]
    layouts = {kind: _layout(kind) for kind in set(kinds)}
    if any(number in zeros for number in _LONG_NUMBERS):
        layouts = dict.fromkeys(layouts)
    if len(alike := set(layouts.values())) == 1 and (layout := alike.pop()):
        return _numbers(piece, layout, len(kinds)), []

    lines = piece.split(b"\n")
    rows = np.full((len(kinds), len(NUMBERS)), np.nan)
    is_episode = np.ones(len(kinds), bool)
    unused = []
    positions: dict[tuple[int, ...] | None, list[int]] = {}
    for position, kind in enumerate(kinds):
        positions.setdefault(layouts[kind], []).append(position)
    for position in positions.pop(None, ()):
        line = _text(lines[position])
        if episode := parse_episode(line):
            rows[position] = _row(episode)
            continue
        is_episode[position] = False
        if line and not line.isspace():
            unused.append(position + 1)
    for layout, of_layout in positions.items():
        assert layout
        text = b"\n".join([lines[position] for position in of_layout])
        rows[of_layout] = _numbers(text, layout, len(of_layout))
    return rows[is_episode], unused


def _without_repeated_zeros(zeros: bytes) -> bytes:
    """Returns a text with one 0 in place of several together."""
    codes = np.frombuffer(zeros, np.uint8)
    is_zero = codes == ord("0")
    keep = np.ones(len(codes), bool)
    keep[1:] = ~(is_zero[1:] & is_zero[:-1])
    return codes[keep].tobytes()


def _layout(kind: bytes) -> tuple[int, ...] | None:
    """Returns the indices in `NUMBERS` of what the lines of a kind have.

    Returns:
        None where the kind is no episode line, or has numbers that NumPy might misread.
    """
    text = _text(kind)
    episode = parse_episode(text)
    if episode is None or not _PLAIN.fullmatch(text):
        return None
    # `_numbers` must read all the numbers and nothing else.
    numbers = kind.translate(None, _NAMES).split()
    values = (getattr(episode, name) for name in NUMBERS)
    layout = tuple(index for index, value in enumerate(values) if value is not None)
    if len(numbers) != len(layout) or not all(map(_PLAIN_NUMBER.fullmatch, numbers)):
        return None
    return layout


def _numbers(text: bytes, layout: tuple[int, ...], lines: int) -> NDArray:
    """Returns the numbers of lines of one layout, [lines, len(NUMBERS)] float64."""
    values = np.fromstring(text.translate(None, _NAMES), sep=" ").reshape(lines, -1)
    if len(layout) == len(NUMBERS):
        return values
    rows = np.full((lines, len(NUMBERS)), np.nan)
    rows[:, layout] = values
    return rows


def _row(episode: Episode) -> Values:
    """Returns the numbers of an episode; None becomes nan."""
    return np.array([getattr(episode, name) for name in NUMBERS], dtype=np.float64)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
