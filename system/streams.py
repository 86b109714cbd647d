"""Standard streams to which all can be written: no letter is lacking, and no write fails.

What is printed is not worth a run. A disk that is full, a terminal that is gone or a reader that
has left loses it, and the program goes on.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

READABLE = "readable"  # the name of our handler of letters that an encoding lacks
# What our own letters become where Unicode knows nothing like them in ASCII.
LIKENESSES = {"×": "x", "–": "-", "−": "-", "±": "+-", "ε": "epsilon"}


def open_streams() -> None:
    """Puts streams of this module in place of stdout and stderr, with the encodings that they have.

    A descriptor that is closed is opened as one that cannot be written to. Else a file of the
    program would get its number, and with it what a library writes to stderr.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # gets the lowest number that is free
    codecs.register_error(READABLE, readable)
    sys.stdout, sys.stderr = _opened(1, sys.stdout), _opened(2, sys.stderr)


def take_failure(stream: TextIO) -> OSError | None:
    """Returns why something could not be written to a stream, once; None where all was."""
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(stream.buffer, Descriptor):
        return None
    stream.flush()
    return stream.buffer.take_failure()


class Descriptor(io.FileIO):
    """A descriptor to which writing never fails; what cannot be written is lost."""

    def __init__(self, number: int):
        """Takes the descriptor's number; it stays open."""
        super().__init__(number, "w", closefd=False)
        self._failure: OSError | None = None
        self._is_taken = False

    def write(self, content: ReadableBuffer) -> int:
        """Writes all bytes, or loses those that cannot be written; returns how many there are."""
        rest = memoryview(content)
        while rest:
            try:
                written = super().write(rest)
            except OSError as error:
                # Without the traceback, which would keep all objects of the program alive.
                self._failure = self._failure or error.with_traceback(None)
                break
            if written is None:
                # Another process has made the pipe non-blocking, and it is full.
                select.select([], [self], [])
            else:
                rest = rest[written:]
        return memoryview(content).nbytes

    def take_failure(self) -> OSError | None:
        """Returns the first error of all writes, once."""
        if self._is_taken or not self._failure:
            return None
        self._is_taken = True
        return self._failure


def readable(error: UnicodeError) -> tuple[str, int]:
    r"""Replaces letters that an encoding lacks by ASCII that is like them, or by their numbers.

    A byte of a path that is no letter, which Python keeps as half a surrogate pair, becomes \xff.

    Args:
        error: says which letters; the interface is that of `codecs.register_error`.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_likeness, error.object[error.start : error.end])), error.end


def _likeness(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    parts = unicodedata.normalize("NFD", letter).encode("ascii", "ignore").decode()
    return LIKENESSES.get(letter) or parts or letter.encode("ascii", "backslashreplace").decode()


def _opened(number: int, stream: Any) -> TextIO:
    """Returns a stream in place of Python's own, which is None where the descriptor was closed."""
    descriptor = Descriptor(number)
    if stream is None:
        return io.TextIOWrapper(descriptor, "utf-8", READABLE)
    return io.TextIOWrapper(
        descriptor,
        stream.encoding,
        READABLE,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,  # of PYTHONUNBUFFERED
    )
