"""Signals that ask a program to stop: Ctrl-C, SIGTERM, and the hang-up of a closed terminal."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import FrameType

HANG_UP: int | None = getattr(signal, "SIGHUP", None)  # not on Windows
REQUESTS = [signal.SIGINT, signal.SIGTERM, *([HANG_UP] if HANG_UP else [])]


def end_in_order() -> None:
    """Has SIGTERM and a hang-up end the program by `SystemExit`, as Ctrl-C does by its exception.

    So it removes its temporary files. The exit status is 128 and the signal's number. A hang-up
    that was ignored at the start stays so, as `nohup` wants it.
    """
    if hasattr(signal, "pthread_sigmask"):
        # A parent that holds them back hands that on.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, REQUESTS)
    for number in REQUESTS:
        if number != signal.SIGINT and not _is_ignored_hang_up(number):
            signal.signal(number, _end)


class StopSignals:
    """Notes the first request to stop; a second Ctrl-C or SIGTERM acts as usual.

    A terminal that closes may hang up more than once, which is one request.

    Attributes:
        received: the number of the signal, or None before there is one.
    """

    def __init__(self) -> None:
        """Starts without a signal, and does not listen yet."""
        self.received: int | None = None
        self._usual: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        """Takes over the signals, but for a hang-up that is ignored."""
        for number in REQUESTS:
            if not _is_ignored_hang_up(number):
                self._usual[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Restores the handlers of the signals."""
        for number, handler in self._usual.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received is None:
            self.received = number
        for other in self._usual.keys() - {HANG_UP}:
            signal.signal(other, self._usual[other])


def _is_ignored_hang_up(number: int) -> bool:
    return number == HANG_UP and signal.getsignal(number) == signal.SIG_IGN


def _end(number: int, _: FrameType | None) -> NoReturn:
    if HANG_UP:
        signal.signal(HANG_UP, signal.SIG_IGN)  # another would disturb the end
    sys.exit(128 + number)
