"""Programs as they are seen in a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def shown_in_a_terminal(
    command: list[str], columns: int, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Runs a program to its end; returns its exit status, and all that its terminal was sent.

    Args:
        command: the program and its arguments.
        columns: of the terminal.
        environment: variables, by default those of this process.
    """
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the other side has closed
            break
    os.close(ours)
    return process.wait(), shown.decode().replace("\r\n", "\n")
