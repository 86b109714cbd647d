"""What the process inherits, brought to a known state before any library is loaded.

All programs begin with `begin`, as Python, the shell and other programs hand a process what nobody
has asked for:

    streams      writing never fails, and lacks no letter: `system/streams.py`
    signals      a request to stop lets the program clean up: `system/signals.py`
    libraries    settings meant for other programs do not reach them: `system/libraries.py`
    errors       a library that is missing or broken is said in one line
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING

from system.libraries import set_variables
from system.root import ROOT
from system.signals import end_in_order
from system.streams import open_streams

if TYPE_CHECKING:
    from types import FrameType, TracebackType

OLDEST = (3, 11)  # of Python
SET_UP = "`make train` sets up all that is needed, or pip install -r requirements.txt"


def begin() -> None:
    """Brings the process to its known state.

    Ends it where Python is too old, or nobody can tell where its files are to be.
    """
    open_streams()
    if sys.version_info < OLDEST:
        wanted, this = (".".join(map(str, version[:2])) for version in (OLDEST, sys.version_info))
        sys.exit(f"{_program()}: error: Python {this} is too old: {wanted} or newer is needed")
    try:
        os.getcwd()
    except OSError:
        sys.exit(f"{_program()}: error: the working directory is gone: change to another folder")
    sys.excepthook = _say_in_one_line
    if sys.warnoptions:
        # PYTHONWARNINGS=error is for tests, and would end the program at a library's first warning.
        warnings.simplefilter("ignore")
    end_in_order()
    set_variables()


def loading_problem(error: BaseException) -> str | None:
    """Returns in one line why a library cannot be loaded; None for an error of another kind."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    below_ours = dropwhile(lambda frame: not _is_ours(frame), frames)
    # The body of a module runs while it is loaded.
    loading = [
        frame.f_globals["__name__"]
        for frame in below_ours
        if frame.f_code.co_name == "<module>" and not _is_ours(frame)
    ]
    if isinstance(error, ImportError) and error.name:
        loading = loading or [error.name]
    if not loading:
        return None
    library = loading[-1].partition(".")[0]
    return f"{library} cannot be loaded ({_first_cause(error)}): {SET_UP}"


def _say_in_one_line(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Says why the program ends by an error that nobody has handled."""
    if problem := loading_problem(error):
        print(f"{_program()}: error: {problem}", file=sys.stderr)
    elif not isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


def _program() -> str:
    return Path(sys.argv[0]).name


def _is_ours(frame: FrameType) -> bool:
    """Returns whether code is this program's, and not a library's that lies in its folder."""
    path = Path(frame.f_code.co_filename)
    return path.is_relative_to(ROOT) and "site-packages" not in path.parts


def _first_cause(error: BaseException) -> str:
    """Returns what an error began with, in one line; libraries wrap it into pages of advice."""
    while error.__context__:
        error = error.__context__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
