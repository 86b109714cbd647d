"""What a sweep shows of its runs: on a terminal, and without one."""

from __future__ import annotations

import io
import sys

from cluster.planned_runs import PlannedRun, Progress
from cluster.sweep_table import DONE, FAILED, RUNNING, Row, SweepTable
from settings.config import Config
from system.root import ROOT
from tests.helpers.terminals import shown_in_a_terminal


def rows(count: int) -> list[Row]:
    return [
        Row(PlannedRun("a group", (), Config(environment="Pong-v4", seed=seed, out=str(seed))))
        for seed in range(1, count + 1)
    ]


def test_without_a_terminal_each_change_is_one_line() -> None:
    stream, all_rows = io.StringIO(), rows(2)
    table = SweepTable(all_rows, stream)
    table.show()
    assert stream.getvalue() == ""
    first, second = all_rows
    first.state, first.where = RUNNING, "here"
    table.show()
    first.progress = Progress(1_234, -20.95, 30.0)
    table.show()  # steps alone are no change
    first.state, first.where = DONE, ""
    second.state, second.reason = FAILED, "no room (status 1, here)"
    table.show()
    table.say("told")
    assert stream.getvalue().splitlines() == [
        "Pong-v4 a group 1: running on here",
        "Pong-v4 a group 1: done, step 1,234, score -20.9",
        "Pong-v4 a group 2: failed (no room (status 1, here))",
        "told",
    ]


SHOW = """
import sys
sys.path.insert(0, {root!r})
from cluster.planned_runs import Progress
from cluster.sweep_table import FAILED, RUNNING, SweepTable
from tests.cluster.test_sweep_table import rows
all_rows = rows(100)
table = SweepTable(all_rows, sys.stdout)
table.show()
all_rows[70].state, all_rows[70].where = RUNNING, "a machine with a name that is too long for it"
all_rows[70].progress = Progress(1_234_567, 3.25, 3_725.0)
all_rows[5].state, all_rows[5].reason = FAILED, "no room"
table.say("told")
"""


def test_on_a_terminal_the_table_stays_within_it() -> None:
    command = [sys.executable, "-c", SHOW.format(root=str(ROOT))]
    status, shown = shown_in_a_terminal(command, 100)
    assert status == 0
    failed = "Pong-v4 a group 6: failed (no room)"
    before, told, after = shown.partition(f"\x1b[23A\x1b[Jtold\n{failed}\n")
    assert told
    for table in (before, after):
        lines = table.splitlines()
        assert len(lines) == 23  # of 24: below the last one stands the cursor
        assert all(len(line) < 100 for line in lines)
        assert lines[0].split() == ["game", "group", "seed", "state", "steps", "score", "left"]
    lines = after.splitlines()
    # What runs comes first.
    assert lines[1].split()[:5] == ["Pong-v4", "a", "group", "71", "running"]
    assert lines[2].split()[:5] == ["Pong-v4", "a", "group", "6", "failed"]
    assert lines[-1] == "100 runs: 1 running, 1 failed, 98 waiting"


def test_time_left_is_told_of_what_runs() -> None:
    [row] = rows(1)
    row.progress = Progress(1_234_567, 3.25, 3_725.0)
    assert row.cells()[3:] == ("waiting", "1,234,567", "3.2", "–")
    row.state, row.where = RUNNING, "here"
    assert row.cells()[3:] == ("running on here", "1,234,567", "3.2", "1:02:05")
