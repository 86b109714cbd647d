"""How a sweep goes on: a table that is drawn anew on a terminal, else a line at each change."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from tqdm import tqdm

from system.console import counted, terminal_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.planned_runs import PlannedRun, Progress

WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"
# What is shown first where not all runs have room.
ORDER = (RUNNING, FAILED, STOPPED, WAITING, DONE)
HEADING = ("game", "group", "seed", "state", "steps", "score", "left")
MOST_NAME, MOST_MACHINE = 24, 12  # letters of a game or a group, and of a machine
NOTHING = "–"
UP, CLEAR = "\x1b[{}A", "\x1b[J"  # of ECMA-48: cursor up, and erase what is below


@dataclass
class Row:
    """A run in the table.

    Attributes:
        run: which.
        state: one of `ORDER`.
        where: the machine that it runs on, if it runs.
        progress: how far it is, if that is known.
        reason: why it is tried again, has failed or was stopped.
    """

    run: PlannedRun
    state: str = WAITING
    where: str = ""
    progress: Progress | None = None
    reason: str = ""

    def cells(self) -> tuple[str, ...]:
        """Returns what stands in its line."""
        progress = self.progress
        left = progress.seconds_left if progress and self.state == RUNNING else None
        return (
            self.run.game[:MOST_NAME],
            self.run.group[:MOST_NAME],
            str(self.run.seed),
            f"{self.state} on {self.where[:MOST_MACHINE]}" if self.state == RUNNING else self.state,
            f"{progress.step:,}" if progress else NOTHING,
            NOTHING if progress is None or progress.score is None else f"{progress.score:,.1f}",
            NOTHING if left is None else tqdm.format_interval(left),
        )

    def change(self) -> str:
        """Returns the line that tells of its state where there is no table."""
        text = f"{self.run.name}: {self.state}"
        if self.state == RUNNING:
            text += f" on {self.where}"
        if self.progress:
            text += f", step {self.progress.step:,}"
            if self.progress.score is not None:
                text += f", score {self.progress.score:,.1f}"
        return f"{text} ({self.reason})" if self.reason else text


class SweepTable:
    """Shows the rows of a sweep."""

    def __init__(self, rows: Sequence[Row], stream: TextIO):
        """Takes the rows, which change meanwhile; nothing is shown yet."""
        self._rows, self._stream = rows, stream
        self._is_live = terminal_columns(stream) > 0 and os.environ.get("TERM") != "dumb"
        self._height = 0  # lines that are on the terminal
        self._shown: dict[str, tuple[str, str, str]] = {}

    def show(self) -> None:
        """Shows how the rows are now."""
        changed = self._changed()
        if self._is_live:
            # The table has no room for reasons.
            told = [row.change() for row in changed if row.reason and row.state != DONE]
            self._draw([])
            self._stream.write("".join(f"{line}\n" for line in told))
            self._draw(self._lines())
            return
        for row in changed:
            print(row.change(), file=self._stream)
        self._stream.flush()

    def _changed(self) -> list[Row]:
        """Returns the rows whose state is not as it was shown last."""
        changed = []
        for row in self._rows:
            now = row.state, row.where, row.reason
            if now != self._shown.get(row.run.name, (WAITING, "", "")):
                self._shown[row.run.name] = now
                changed.append(row)
        return changed

    def say(self, text: str) -> None:
        """Prints a line above the table."""
        self._draw([])
        print(text, file=self._stream, flush=True)
        self.show()

    def _draw(self, lines: Sequence[str]) -> None:
        """Puts lines in place of those that are on the terminal."""
        up = UP.format(self._height) + CLEAR if self._height else ""
        self._stream.write(up + "".join(f"{line}\n" for line in lines))
        self._stream.flush()
        self._height = len(lines)

    def _lines(self) -> list[str]:
        """Returns as many lines as the terminal has room for."""
        columns, height = shutil.get_terminal_size()
        rows = sorted(self._rows, key=lambda row: ORDER.index(row.state))
        shown = rows[: max(1, height - 3)]
        cells = [HEADING, *(row.cells() for row in shown)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        texts = []
        for line in cells:
            left = [cell.ljust(width) for cell, width in zip(line[:4], widths[:4], strict=True)]
            right = [cell.rjust(width) for cell, width in zip(line[4:], widths[4:], strict=True)]
            texts.append("  ".join([*left, *right])[: columns - 1])
        return [*texts, self._counts()[: columns - 1]]

    def _counts(self) -> str:
        """Returns how many runs are in which state."""
        states = [row.state for row in self._rows]
        counts = [f"{states.count(state)} {state}" for state in ORDER if state in states]
        return f"{counted(len(states), 'run')}: {', '.join(counts)}"
