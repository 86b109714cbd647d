"""Processes that begin in a state of our choice, such as with a signal that is ignored."""

from __future__ import annotations

import sys


def prepared(code: str, *command: object) -> list[str]:
    """Returns a command whose process first runs Python code, and then becomes another command.

    It takes the place of `preexec_fn`, which forks this process with all of its threads: JAX, where
    a test has loaded it, warns of the deadlocks that this may lead to.

    Args:
        code: in Python, with `os` and `sys` at hand.
        command: the program by its path, and its arguments.
    """
    become = f"import os, sys\n{code}\nos.execv(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-IS", "-c", become, *map(str, command)]
