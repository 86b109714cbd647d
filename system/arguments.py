"""Kinds of arguments that several programs take."""

from __future__ import annotations

import argparse
from pathlib import Path


def name(text: str) -> str:
    """Returns a text that a flag is given.

    Raises:
        ArgumentTypeError: it is empty, as where a script's variable is unset.
    """
    if not text:
        raise argparse.ArgumentTypeError("is empty: give a value, or leave the flag out")
    return text


def path(text: str) -> Path:
    """Returns the path that a flag is given.

    Raises:
        ArgumentTypeError: it is empty, which would stand for the working directory.
    """
    return Path(name(text))
