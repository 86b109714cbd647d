"""What the programs have to do with their terminal: colours, mistakes, progress and signals."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from tqdm import tqdm

from system.root import ROOT

PROGRAM, PLOTTER = "dqn_atari.py", "reward_visualizer.py"
COLUMNS = 80  # of a line, unless a path or a command takes more
PLAIN_LINE_SECONDS = 10.0  # between two lines of progress where there is no terminal
# Of a bar: the parts of its line in their order, and the columns that all but the status needs.
BAR = "{desc}: |{bar}| {n_fmt}/{total_fmt} {rate_fmt} {remaining}{postfix}"
BAR_COLUMNS = 48
# How a terminal is told to write, after ECMA-48, "Select graphic rendition".
LOOKS = {"heading": "1;36", "changed": "1", "error": "1;31", "warning": "1;33"}


class StopSignals:
    """Turns the first Ctrl-C or SIGTERM into a wish to stop; the second acts as it always does."""

    def __init__(self) -> None:
        """No signal yet."""
        self.received: int | None = None
        self._usual: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        """Starts to listen."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._usual[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the signals back."""
        for number, handler in self._usual.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number
        self.__exit__()


def painted(text: str, look: str, stream: TextIO) -> str:
    """Returns text as a stream is to show it: in colour on a terminal that has it.

    Args:
        text: what to show.
        look: one of `LOOKS`.
        stream: where it will be written. `NO_COLOR` keeps it plain, see no-color.org.
    """
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if is_plain or not stream.isatty():
        return text
    return f"\x1b[{LOOKS[look]}m{text}\x1b[0m"


def folded(text: str) -> str:
    """Returns text in lines of at most `COLUMNS`, those after the first indented; words stay."""
    return textwrap.fill(
        text, COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def shown_path(path: Path) -> Path:
    """Returns a path as a command is to have it: from the working directory, where it is in it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def command(program: str, *arguments: object) -> str:
    """Returns a command that runs one of the programs with the interpreter that runs this one."""
    return joined([sys.orig_argv[0], shown_path(ROOT / program), *arguments])


def counted(number: int, noun: str) -> str:
    """Returns a number with what it counts, such as "1 game" or "1,000 games".

    Args:
        number: how many.
        noun: what one of them is called; its plural ends in s.
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def joined(words: Iterable[object]) -> str:
    """Returns words as a command, ready to be pasted."""
    return shlex.join(map(str, words))


class OneLineParser(argparse.ArgumentParser):
    """A parser of a command line that says in one line what is wrong with it."""

    def __init__(self, *, example: str = "", **options: Any):
        """Takes what every parser takes.

        Args:
            example: a right call, which each error ends in; empty for none.
            **options: those of `argparse.ArgumentParser`, `prog` among them.
        """
        super().__init__(**options)
        self._example = example

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2."""
        if self._example:
            message += f"; a right call: {self._example}"
        say_error(message, self.prog)
        self.exit(2)


def say_error(text: str, program: str = PROGRAM) -> None:
    """Says on stderr, in one line, why a program ends."""
    _complain("error", text, program)


def warn(text: str) -> None:
    """Says on stderr, above a bar if there is one, that something is wrong and the run goes on."""
    _complain("warning", text, PROGRAM)


def _complain(kind: str, text: str, program: str) -> None:
    said = painted(f"{kind}:", kind, sys.stderr)
    # Only line ends go: the name of a file may have several spaces in a row.
    line = " ".join(filter(None, map(str.strip, text.splitlines())))
    tqdm.write(f"{program}: {said} {line}", file=sys.stderr)


class Progress:
    """How a run goes: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, what: str, total: int, initial: int, shown: bool, stream: TextIO):
        """Starts to show.

        Args:
            what: what is going on.
            total: the step to reach.
            initial: the step that it starts at.
            shown: whether to show anything.
            stream: where to.
        """
        self._what = what
        self._said: set[str] = set()
        self._stream = stream
        self._bar = tqdm(
            desc=what,
            total=total,
            initial=initial,
            unit="step",
            unit_scale=True,
            bar_format=BAR,
            file=stream,
            disable=not (shown and stream.isatty()),
            dynamic_ncols=True,
            mininterval=0.5,
        )
        self._plain = shown and not stream.isatty()
        self._total, self._initial, self._step = total, initial, initial
        self._started = self._last_line = time.monotonic()
        if self._plain:
            print(f"{what}: from step {initial:,} to {total:,}", file=stream, flush=True)

    def update(self, step: int, status: Sequence[str] = ()) -> None:
        """Shows that `step` has been reached; the last steps of all may be beyond the total.

        Args:
            step: of the run.
            status: how it goes, the most important first: a bar shows what there is room for.
        """
        step = min(step, self._total)
        self._bar.set_postfix_str(self._fitting(status), refresh=False)
        self._bar.update(step - self._step)
        self._step = step
        now = time.monotonic()
        if self._plain and (now - self._last_line >= PLAIN_LINE_SECONDS or step >= self._total):
            self._last_line = now
            rate = (step - self._initial) / max(1e-9, now - self._started)
            left = tqdm.format_interval((self._total - step) / rate)
            done = f"{self._what}: step {step:,} of {self._total:,}"
            parts = [done, f"{rate:.0f} steps/s", f"{left} left", *status]
            # Spaces that do not break keep each part in a line.
            line = folded(", ".join(part.replace(" ", "\xa0") for part in parts))
            print(line.replace("\xa0", " "), file=self._stream, flush=True)

    def _fitting(self, status: Sequence[str]) -> str:
        """Returns as much of a status, from its beginning, as a bar's line has room for."""
        if self._bar.disable:
            return ""
        room = os.get_terminal_size(self._stream.fileno()).columns - BAR_COLUMNS
        count = len(status)
        while count and sum(len(f", {part}") for part in status[:count]) > room:
            count -= 1
        return ", ".join(status[:count])

    def say(self, text: str) -> None:
        """Prints text above the bar."""
        tqdm.write(folded(text), file=self._stream)

    def say_once(self, text: str) -> None:
        """Prints text above the bar, unless it has said it before."""
        if text not in self._said:
            self._said.add(text)
            self.say(text)

    def __enter__(self) -> Progress:
        """Nothing to do: it shows from the start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the bar as it stands."""
        self._bar.close()
