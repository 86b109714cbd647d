"""A command that outlives its parent is asked to stop once, and has the time to do it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cluster import ends_with_parent
from system.root import ROOT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="Linux alone tells a process of its parent's end"
)
# Many threads, as a worker of Ray's has: Linux can tell a child of the end of each.
PARENT = """
import os, subprocess, sys, threading
for _ in range(100):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
subprocess.run([sys.executable, sys.argv[1], str(os.getpid()), sys.executable, "-c", sys.argv[2]])
"""
CHILD = """
import signal, sys
from system.signals import StopSignals, end_in_order
end_in_order()
with StopSignals() as stop:
    print("begun", flush=True)
    sys.stdin.read()  # until its parent has ended
    print("asked" if stop.received else "not asked", flush=True)
"""


@pytest.mark.parametrize("ignores_hang_ups", [False, True])
def test_the_end_of_its_parent_asks_a_command_to_stop_once(ignores_hang_ups: bool) -> None:
    parent = subprocess.Popen(
        [
            *(["nohup"] if ignores_hang_ups else []),
            *[sys.executable, "-c", PARENT, ends_with_parent.__file__, CHILD],
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdin
    assert parent.stdout
    assert parent.stdout.readline() == "begun\n"
    parent.kill()
    parent.wait()
    parent.stdin.close()
    assert parent.stdout.read() == "asked\n"


def test_a_command_whose_parent_has_ended_before_is_not_begun() -> None:
    command = [sys.executable, ends_with_parent.__file__, "1", "/nowhere"]
    assert subprocess.run(command, check=False).returncode == 129
