"""Libraries load quietly and quickly, and leave no traces of how."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys

import pytest

from system.quiet_imports import loading_libraries
from system.root import ROOT

# What a library does as it loads: it says something on stderr, looks for another one, makes a mess.
WORK = """
import gc, os, sys
from system.quiet_imports import loading_libraries
try:
    with loading_libraries():
        os.write(2, b"hello")
        for package in ("matplotlib", "jax"):
            try:
                __import__(package)
            except ImportError:
                print(package, "is hidden")
        print(gc.isenabled(), gc.get_freeze_count() > 0)
        {then}
except ArithmeticError:
    print("failed")
print(gc.isenabled(), gc.get_freeze_count() > 0)
import matplotlib
print(matplotlib.__name__)
"""


def loaded(then: str) -> tuple[list[str], str]:
    """Returns what that prints, a line each, and what it leaves on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", WORK.format(then=then)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines(), done.stderr


def test_what_loads_is_quiet_and_not_searched_for_what_can_be_freed() -> None:
    lines = ["matplotlib is hidden", "jax is hidden", "False False", "True True", "matplotlib"]
    assert loaded("pass") == (lines, "")


def test_what_fails_to_load_is_heard_and_all_is_as_before() -> None:
    lines = [
        "matplotlib is hidden",
        "jax is hidden",
        "False False",
        "failed",
        "True False",
        "matplotlib",
    ]
    assert loaded("1 / 0") == (lines, "hello")


def test_last_words_of_a_library_that_aborts_are_heard() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORK.format(then="os.abort()")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (-signal.SIGABRT, "hello")


def test_what_is_loaded_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", pytest)
    monkeypatch.setitem(sys.modules, "keras", pytest)
    with loading_libraries():
        assert sys.modules["matplotlib"] is pytest
    assert sys.modules["matplotlib"] is pytest


def test_what_came_after_keras_can_still_be_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", pytest)
    before = gc.get_freeze_count()
    with loading_libraries():
        pass
    assert gc.get_freeze_count() == before
