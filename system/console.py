"""The program's terminal: colours, error messages and progress."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from tqdm import tqdm

from system.root import ROOT
from system.streams import take_failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PROGRAM, PLOTTER = "dqn_atari.py", "reward_visualizer.py"
COLUMNS = 80  # of a line, unless a path or a command needs more
PLAIN_LINE_SECONDS = 10.0  # between two lines of progress without a terminal
# The format of a bar, and the columns that it needs without the status.
BAR = "{desc}: |{bar}| {n_fmt}/{total_fmt} {rate_fmt} {remaining}{postfix}"
BAR_COLUMNS = 48
# Parameters of ECMA-48, "Select graphic rendition".
LOOKS = {"heading": "1;36", "changed": "1", "error": "1;31", "warning": "1;33"}


def painted(text: str, look: str, stream: TextIO) -> str:
    """Returns text for a stream: in colour if the stream is a terminal that has colours.

    Args:
        text: the text, which stays plain if the environment has `NO_COLOR`, see no-color.org.
        look: one of `LOOKS`.
        stream: where it will be written.
    """
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if is_plain or not stream.isatty():
        return text
    return f"\x1b[{LOOKS[look]}m{text}\x1b[0m"


def terminal_columns(stream: TextIO) -> int:
    """Returns the columns of a stream's terminal; 0 where there is none or its size is unknown."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:  # it is a file, a pipe, or a terminal that is gone
        return 0


def folded(text: str) -> str:
    """Returns text in lines of at most `COLUMNS`, indented after the first. Words stay whole."""
    return textwrap.fill(
        text, COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def shown_path(path: Path) -> Path:
    """Returns a path for a command: a relative one if it is in the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def command(program: str, *arguments: object) -> str:
    """Returns a command that runs one of the programs with the interpreter of this one."""
    return joined([sys.orig_argv[0], shown_path(ROOT / program), *arguments])


def counted(number: int, noun: str) -> str:
    """Returns a number with what it counts, such as "1 game" or "1,000 games".

    Args:
        number: how many.
        noun: what one of them is called; its plural ends in s.
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def joined(words: Iterable[object]) -> str:
    """Returns words as a command, quoted for a shell."""
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

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Ends the program, with status 1 where what it had to print could not be written."""
        super().exit(answered(self.prog, status), message)

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


def warn_of_lost_output() -> None:
    """Says on stderr, once, that what the program prints is lost and the run goes on, if it is."""
    if failure := take_failure(sys.stdout):
        warn(f"what is printed is lost ({failure.strerror}): the run goes on")


def answered(program: str, status: int = 0) -> int:
    """Returns the exit status of a program whose work is what it has printed.

    It is 1, and said, where that could not be written; but a reader may leave when it has enough.

    Args:
        program: its name.
        status: its exit status where all was written.
    """
    failure = take_failure(sys.stdout)
    if status or not failure or failure.errno == errno.EPIPE:
        return status
    say_error(f"can't write the output: {failure.strerror}", program)
    return 1


def _complain(kind: str, text: str, program: str) -> None:
    said = painted(f"{kind}:", kind, sys.stderr)
    # Only line ends go: the name of a file may have several spaces in a row.
    line = " ".join(filter(None, map(str.strip, text.splitlines())))
    tqdm.write(f"{program}: {said} {line}", file=sys.stderr)


class Progress:
    """Shows the progress of a run: as a bar on a terminal, else as a line now and then."""

    def __init__(self, what: str, total: int, initial: int, shown: bool, stream: TextIO):
        """Starts to show.

        Args:
            what: what the run does, such as training.
            total: the last step.
            initial: the step that it starts at.
            shown: whether to show anything.
            stream: where to write.
        """
        self._what = what
        self._already_said: set[str] = set()
        self._stream = stream
        has_bar = shown and terminal_columns(stream) > 0
        self._bar = tqdm(
            desc=what,
            total=total,
            initial=initial,
            unit="step",
            unit_scale=True,
            bar_format=BAR,
            file=stream,
            disable=not has_bar,
            dynamic_ncols=True,
            mininterval=0.5,
        )
        self._plain = shown and not has_bar
        self._total, self._initial, self._step = total, initial, initial
        self._started = self._last_line = time.monotonic()
        if self._plain:
            print(f"{what}: from step {initial:,} to {total:,}", file=stream, flush=True)

    def update(self, step: int, status: Sequence[str] = ()) -> None:
        """Shows a step; the last steps of a run may be beyond the total.

        Args:
            step: of the run.
            status: short texts, the most important first. A bar shows as many as fit.
        """
        step = min(step, self._total)
        self._bar.set_postfix_str(self._fitting(status), refresh=False)
        self._bar.update(step - self._step)
        self._step = step
        now = time.monotonic()
        is_time = now - self._last_line >= PLAIN_LINE_SECONDS or step >= self._total
        # Where nothing has been done yet, nobody knows how fast it goes.
        if self._plain and is_time and step > self._initial:
            self._last_line = now
            rate = (step - self._initial) / max(1e-9, now - self._started)
            left = tqdm.format_interval((self._total - step) / rate)
            done = f"{self._what}: step {step:,} of {self._total:,}"
            texts = [done, f"{rate:.0f} steps/s", f"{left} left", *status]
            # No-break spaces keep each text on one line.
            line = folded(", ".join(text.replace(" ", "\xa0") for text in texts))
            print(line.replace("\xa0", " "), file=self._stream, flush=True)
        warn_of_lost_output()

    def _fitting(self, status: Sequence[str]) -> str:
        """Returns the first texts of a status, as many as fit into a bar's line."""
        if self._bar.disable:
            return ""
        room = terminal_columns(self._stream) - BAR_COLUMNS
        count = len(status)
        while count and sum(len(f", {text}") for text in status[:count]) > room:
            count -= 1
        return ", ".join(status[:count])

    def say(self, text: str) -> None:
        """Prints text above the bar."""
        tqdm.write(folded(text), file=self._stream)

    def say_once(self, text: str) -> None:
        """Prints text above the bar, unless it has done so before."""
        if text not in self._already_said:
            self._already_said.add(text)
            self.say(text)

    def __enter__(self) -> Progress:
        """Returns itself; it has been shown from the start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the bar, which stays on the terminal."""
        self._bar.close()
