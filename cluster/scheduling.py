"""A sweep from its start to its end: runs go to Ray as tasks, and again where that is of use.

A run that fails by itself is tried again if it got further than where it was, at most
`MOST_FAILURES` times; after wrong usage never, as it would fail in the same way. A run whose worker
or machine dies is tried again, at most `MOST_FAILURES` times in a row without getting further: it
may be what has killed them.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.fitness import unfit_machines
from cluster.planned_runs import Saved
from cluster.run_task import STOPPED as STOPPED_STATUSES
from cluster.run_task import Outcome, read_note, train
from cluster.sweep_table import DONE, FAILED, RUNNING, STOPPED, WAITING, Row, SweepTable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from system.signals import StopSignals

MOST_FAILURES = 3
SECONDS_BETWEEN_LOOKS = 1.0
LOOKS_BETWEEN_TABLES = 3
USAGE = 2  # the status of wrong usage
MACHINE_LOST = "its worker or machine has died"


@dataclass
class Attempts:
    """What has been tried of a run.

    Attributes:
        row: the run in the table.
        name: of the newest attempt.
        start: how far the run was when that began.
        failures: attempts that have failed by themselves.
        losses: attempts that have lost their worker, in a row, without getting further.
    """

    row: Row
    name: str
    start: Saved
    failures: int = 0
    losses: int = 0


class Sweep:
    """Runs that Ray trains. Ray has to be connected."""

    def __init__(self, rows: Sequence[Row], folder: Path, cores: int, gpus: float, fit: set[str]):
        """Takes what is needed; nothing happens yet.

        Args:
            rows: the runs.
            folder: that of the sweep.
            cores: that each run is given.
            gpus: likewise.
            fit: ids of the nodes that are known to be fit; those that join later are looked at.
        """
        self._rows, self._folder, self._cores, self._gpus = rows, folder, cores, gpus
        self._known, self._unfit = fit, set[str]()
        self._going: dict[Any, Attempts] = {}

    def to_its_end(self, table: SweepTable, stop: StopSignals) -> None:
        """Trains all runs that are not done, until the last has ended or a signal asks to stop.

        Asked to stop, it waits until each run has written its checkpoint.
        """
        import ray

        for row in self._rows:
            row.progress = row.run.progress()
            if row.run.is_done():
                row.state, row.reason = DONE, "before"
            else:
                self._start(Attempts(row, "", Saved(0, 0, 0)))
        looks, is_told = 0, False
        while self._going:
            if stop.received is not None and not is_told:
                is_told = True
                table.say("stopping: each run writes its checkpoint")
                for reference in self._going:
                    ray.cancel(reference, recursive=False)
            ended, _ = ray.wait([*self._going], timeout=SECONDS_BETWEEN_LOOKS)
            for reference in ended:
                self._end(self._going.pop(reference), reference, is_told)
            if ended or looks % LOOKS_BETWEEN_TABLES == 0:
                self._look()
                table.show()
            if not is_told:
                self._warn_of_unfit_machines(table)
            looks += 1
        table.show()

    def _start(self, attempts: Attempts) -> None:
        """Gives a run to Ray, which waits until a machine has room for it."""
        import ray

        attempts.name, attempts.start = secrets.token_hex(8), attempts.row.run.saved()
        attempts.row.state = WAITING
        options: dict[str, Any] = {"num_cpus": self._cores, "num_gpus": self._gpus}
        if self._unfit:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(self._unfit)})"}
        task = ray.remote(max_retries=0, **options)(train)
        reference = task.remote(attempts.row.run, attempts.name, self._cores, self._gpus)
        self._going[reference] = attempts

    def _end(self, attempts: Attempts, reference: Any, is_told: bool) -> None:
        """Notes how an attempt has ended, and starts the next one where that is of use."""
        row = attempts.row
        outcome = _outcome(reference)
        row.where, row.progress = "", row.run.progress()
        if isinstance(outcome, Outcome) and outcome.status == 0:
            row.state, row.reason = DONE, ""
            return
        if is_told:
            row.state, row.reason = STOPPED, ""
            return
        got_further = row.run.saved() > attempts.start
        if isinstance(outcome, Outcome) and outcome.status not in STOPPED_STATUSES:
            row.reason = f"{outcome.last_line} (status {outcome.status}, {outcome.machine})"
            attempts.failures += 1
            is_tried = outcome.status != USAGE and got_further and attempts.failures < MOST_FAILURES
        else:
            row.reason = outcome if isinstance(outcome, str) else MACHINE_LOST
            attempts.losses = 0 if got_further else attempts.losses + 1
            is_tried = attempts.losses < MOST_FAILURES
        if is_tried:
            self._start(attempts)
        else:
            row.state = FAILED

    def _look(self) -> None:
        """Looks at the files of the runs that go on."""
        for attempts in self._going.values():
            row, note = attempts.row, read_note(attempts.row.run)
            if note.get("attempt") == attempts.name:
                row.state, row.where, row.reason = RUNNING, note["machine"], ""
                row.progress = row.run.progress()

    def _warn_of_unfit_machines(self, table: SweepTable) -> None:
        """Looks at machines that have joined; those that are not fit get no run from now on."""
        for node, problem in unfit_machines(self._folder, self._known).items():
            self._unfit.add(node)
            table.say(f"{problem}; it gets no run")


def _outcome(reference: Any) -> Outcome | str:
    """Returns how an attempt has ended, or why it has none."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        return " ".join(str(error.cause).split())
    except ray.exceptions.RayError:
        return MACHINE_LOST
