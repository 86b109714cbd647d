"""What a run has to do with its terminal: how it goes, and when it is asked to stop."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

from tqdm import tqdm

PLAIN_LINE_SECONDS = 10.0  # between two lines of progress where there is no terminal


@contextmanager
def libraries_quiet() -> Iterator[None]:
    """Keeps back what TensorFlow's C++ parts write to stderr while they load.

    No setting of theirs silences it all. Where loading fails, it is shown after all.
    """
    with tempfile.TemporaryFile() as held_back:
        stderr = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except Exception:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


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


def warn(text: str) -> None:
    """Says on stderr, above a bar if there is one, that something is wrong and the run goes on."""
    tqdm.write(f"dqn_atari.py: warning: {' '.join(text.split())}", file=sys.stderr)


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

    def update(self, step: int, status: str = "") -> None:
        """Shows that `step` has been reached; the last steps of all may be beyond the total."""
        step = min(step, self._total)
        self._bar.set_postfix_str(status, refresh=False)
        self._bar.update(step - self._step)
        self._step = step
        now = time.monotonic()
        if self._plain and (now - self._last_line >= PLAIN_LINE_SECONDS or step >= self._total):
            self._last_line = now
            rate = (step - self._initial) / max(1e-9, now - self._started)
            left = tqdm.format_interval((self._total - step) / rate)
            print(
                f"{self._what}: step {step:,} of {self._total:,}, {rate:.0f} steps/s, "
                f"{status + ', ' if status else ''}{left} left",
                file=self._stream,
                flush=True,
            )

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        tqdm.write(text, file=self._stream)

    def say_once(self, text: str) -> None:
        """Prints a line above the bar, unless it has said it before."""
        if text not in self._said:
            self._said.add(text)
            self.say(text)

    def __enter__(self) -> Progress:
        """Nothing to do: it shows from the start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the bar as it stands."""
        self._bar.close()
