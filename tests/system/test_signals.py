"""A request to stop ends a program in order, and is heard once."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from system.root import ROOT
from tests.helpers.prepared import prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGIN = """
import os, signal, sys, tempfile
from system.signals import StopSignals, end_in_order
end_in_order()
"""
WAIT = """
with tempfile.TemporaryDirectory() as folder:
    print(folder, flush=True)
    while True: signal.pause()
"""


def start(code: str, hang_up: str = "SIG_DFL", held_back: Sequence[int] = ()) -> subprocess.Popen:
    """Starts a process that ends in order and runs code.

    Args:
        code: in Python.
        hang_up: the name of what a hang-up does at the start, however the tests themselves were
            started.
        held_back: signals that are blocked at the start.
    """

    prepare = f"""
import signal
signal.signal(signal.SIGHUP, signal.{hang_up})
signal.pthread_sigmask(signal.SIG_BLOCK, {[int(number) for number in held_back]})
"""
    command = prepared(prepare, sys.executable, "-c", BEGIN + code)
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_stop_cleans_up_even_where_the_parent_held_it_back(number: int) -> None:
    process = start(WAIT, held_back=[number])
    folder = Path(process.stdout.readline().strip())
    assert folder.is_dir()
    process.send_signal(number)
    assert process.wait(timeout=60) == 128 + number
    assert not folder.exists()


def test_a_hang_up_that_is_ignored_at_the_start_stays_so() -> None:
    code = """
with StopSignals() as stop:
    os.kill(os.getpid(), signal.SIGHUP)
    print(stop.received)
os.kill(os.getpid(), signal.SIGHUP)
"""
    process = start(code, hang_up="SIG_IGN")
    assert process.communicate() == ("None\n", None)
    assert process.returncode == 0


def test_a_run_is_asked_once_however_often_its_terminal_hangs_up() -> None:
    code = """
with StopSignals() as stop:
    for number in signal.SIGHUP, signal.SIGHUP, signal.SIGTERM:
        os.kill(os.getpid(), number)
        print(stop.received, flush=True)
"""
    process = start(code)
    # After the first, SIGTERM acts as usual.
    assert process.communicate() == ("1\n1\n", None)
    assert process.returncode == 128 + signal.SIGTERM
