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

from cluster.fitness import Wanted, unfit_machines
from cluster.planned_runs import NOWHERE, Saved
from cluster.run_task import STOPPED as STOPPED_STATUSES
from cluster.run_task import Outcome, Share, Unfit, read_note, train
from cluster.sweep_table import DONE, FAILED, RUNNING, STOPPED, WAITING, Row, SweepTable

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        name: of the newest attempt.
        start: how far the run was when that began.
        failures: attempts that have failed by themselves.
        losses: attempts that have lost their worker, in a row, without getting further.
    """

    name: str = ""
    start: Saved = NOWHERE
    failures: int = 0
    losses: int = 0

    def begin(self, start: Saved) -> None:
        """Notes that another one begins, and how far the run is."""
        self.name, self.start = secrets.token_hex(8), start

    def is_worth_another(self, status: int | None, saved: Saved) -> bool:
        """Notes that one has ended without success; returns whether to try again.

        Args:
            status: the exit status of the run; None where its worker is lost.
            saved: how far the run is now.
        """
        got_further = saved > self.start
        if status is None or status in STOPPED_STATUSES:  # by somebody else than the sweep
            self.losses = 0 if got_further else self.losses + 1
            return self.losses < MOST_FAILURES
        self.failures += 1
        return status != USAGE and got_further and self.failures < MOST_FAILURES


class Sweep:
    """Runs that Ray trains. Ray has to be connected."""

    def __init__(
        self,
        rows: Sequence[Row],
        share: Share,
        wanted: Wanted,
        fit: set[str],
        table: SweepTable,
    ):
        """Takes what is needed; nothing happens yet.

        Args:
            rows: the runs.
            share: what each of them is given.
            wanted: what machines have to have.
            fit: ids of the nodes that have it; those that join later are looked at.
            table: shows the rows.
        """
        self._rows, self._share, self._wanted, self._table = rows, share, wanted, table
        self._known, self._unfit = fit, set[str]()
        self._attempts = {row.run.name: Attempts() for row in rows}
        self._going: dict[Any, Row] = {}

    def to_its_end(self, stop: StopSignals) -> None:
        """Trains all runs that are not done, until the last has ended or a signal asks to stop.

        Asked to stop, it waits until each run has written its checkpoint.
        """
        import ray

        for row in self._rows:
            row.progress = row.run.progress()
            if row.run.is_done():
                row.state, row.reason = DONE, "before"
            else:
                self._start(row)
        looks, is_told = 0, False
        while self._going:
            if stop.received is not None and not is_told:
                is_told = True
                self._table.say("stopping: each run writes its checkpoint")
                for reference in self._going:
                    ray.cancel(reference, recursive=False)
            ended, _ = ray.wait([*self._going], timeout=SECONDS_BETWEEN_LOOKS)
            for reference in ended:
                self._end(self._going.pop(reference), reference, is_told)
            if ended or looks % LOOKS_BETWEEN_TABLES == 0:
                self._look()
                self._table.show()
            if not is_told:
                self._look_at_new_machines()
            looks += 1
        self._table.show()

    def _start(self, row: Row) -> None:
        """Gives a run to Ray, which waits until a machine has room for it."""
        import ray

        row.state, attempts = WAITING, self._attempts[row.run.name]
        attempts.begin(row.run.saved())
        share = self._share
        options: dict[str, Any] = {"num_cpus": share.cores, "num_gpus": share.gpus}
        if self._unfit:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(self._unfit)})"}
        task = ray.remote(max_retries=0, **options)(train)
        self._going[task.remote(row.run, attempts.name, share, self._wanted)] = row

    def _end(self, row: Row, reference: Any, is_told: bool) -> None:
        """Notes how an attempt has ended, and starts the next one where that is of use."""
        outcome = _outcome(reference)
        row.where, row.progress, row.reason = "", row.run.progress(), ""
        if isinstance(outcome, Outcome) and outcome.status == 0:
            row.state = DONE
            return
        if is_told:
            row.state = STOPPED
            return
        if isinstance(outcome, Unfit):
            self._unfit.add(outcome.node)
            self._start(row)
            return
        if isinstance(outcome, Outcome):
            status: int | None = outcome.status
            row.reason = f"{outcome.last_line} (status {outcome.status}, {outcome.machine})"
        else:
            status, row.reason = None, outcome
        if self._attempts[row.run.name].is_worth_another(status, row.run.saved()):
            self._start(row)
        else:
            row.state = FAILED

    def _look(self) -> None:
        """Looks at the files of the runs that go on."""
        for row in self._going.values():
            note = read_note(row.run)
            if note.get("attempt") == self._attempts[row.run.name].name:
                row.state, row.where, row.reason = RUNNING, note["machine"], ""
                row.progress = row.run.progress()

    def _look_at_new_machines(self) -> None:
        """Looks at machines that have joined; those that are not fit get no run from now on."""
        for node, problem in unfit_machines(self._wanted, self._known).items():
            self._unfit.add(node)
            self._table.say(f"{problem}; it gets no run")


def _outcome(reference: Any) -> Outcome | Unfit | str:
    """Returns how an attempt has ended, or why it has none."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        return " ".join(str(error.cause).split())
    except ray.exceptions.RayError:
        return MACHINE_LOST
