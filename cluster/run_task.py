"""What a sweep has Ray do on a worker: look whether it is fit, and train one run as a process.

Each run is the program itself in a folder of its own, so that it is what it would be without Ray.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cluster import ends_with_parent
from cluster.fitness import Wanted, problem_here
from cluster.planned_runs import NOTE, OUTPUT, PlannedRun
from storage.files import LockedError, locked, replacing
from system.console import PROGRAM
from system.cores import GIVEN
from system.root import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.2  # at the process
# In which a run that has lost its worker writes its checkpoint and ends.
SECONDS_FOR_THE_LOCK = 300.0
TAIL_BYTES = 4096  # of what a run has printed
# How a run ends that has been asked to stop.
STOPPED = frozenset(128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))


@dataclass(frozen=True)
class Outcome:
    """How a run has ended.

    Attributes:
        status: its exit status; negative where a signal has killed it.
        last_line: what it has printed last, which says why where it has failed.
        machine: where it ran.
    """

    status: int
    last_line: str
    machine: str


@dataclass(frozen=True)
class Unfit:
    """A machine that a run has come to, and that is not fit for it.

    Attributes:
        node: its id.
        problem: why, in one line.
    """

    node: str
    problem: str


@dataclass(frozen=True)
class Share:
    """What each run of a sweep is given.

    Attributes:
        cores: that it may use.
        gpus: that it has, as Ray chooses them; 0 for the processor alone.
        backend: of Keras.
    """

    cores: int
    gpus: float
    backend: str


def train(run: PlannedRun, attempt: str, share: Share, wanted: Wanted) -> Outcome | Unfit:
    """Trains a run to its end, on a worker. Cancelled by Ray, it stops the run in order.

    Args:
        run: what is trained, from its newest checkpoint if it has one.
        attempt: a text that no other attempt has, for the run's note.
        share: what it is given.
        wanted: what the machine has to have, as it may have joined since all were looked at.

    Raises:
        LockedError: another process trains it.
        OSError: its folder cannot be written in.
    """
    # By which Ray cancels; in the background of a script it is ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if problem := problem_here(*wanted):
        import ray

        return Unfit(ray.get_runtime_context().get_node_id(), problem)
    run.folder.mkdir(parents=True, exist_ok=True)
    _wait_until_free(run)
    machine = socket.gethostname()
    _write_note(run, attempt, machine)
    command = [sys.executable, ends_with_parent.__file__, str(os.getpid()), sys.executable]
    command += [str(ROOT / PROGRAM), *run.arguments(), *([] if share.gpus else ["--cpu"])]
    with (run.folder / OUTPUT).open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=run.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(share),
            process_group=0,  # a terminal's Ctrl-C is for the sweep, which passes it on once
        )
    return Outcome(_status_of(process), _last_line(run.folder / OUTPUT), machine)


def _status_of(process: subprocess.Popen) -> int:
    """Waits until a process has ended; asks it to stop, once, where Ray cancels this task."""
    is_told = False
    while True:
        try:
            while process.poll() is None:
                time.sleep(SECONDS_BETWEEN_LOOKS)
            return process.returncode
        except KeyboardInterrupt:
            if not is_told:
                process.terminate()
            is_told = True


def _wait_until_free(run: PlannedRun) -> None:
    """Waits while the run is still ending that a lost worker has left behind.

    Raises:
        LockedError: it does not end.
    """
    deadline = time.monotonic() + SECONDS_FOR_THE_LOCK
    while True:
        try:
            with locked(run.config.lock_path, run.name):
                return
        except LockedError:
            if time.monotonic() > deadline:
                raise
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _write_note(run: PlannedRun, attempt: str, machine: str) -> None:
    """Notes where the run goes on, and since when."""
    note = {"attempt": attempt, "machine": machine, "since": f"{datetime.now(UTC):%FT%TZ}"}
    with replacing(run.folder / NOTE) as beside:
        beside.write_text(json.dumps(note) + "\n")


def read_note(run: PlannedRun) -> dict[str, str]:
    """Returns the note of a run's newest attempt; empty where there is none."""
    with suppress(OSError, ValueError):
        return json.loads((run.folder / NOTE).read_text())
    return {}


def _environment(share: Share) -> dict[str, str]:
    """Returns the variables of a run: those of the worker without Ray's, and its share."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    if 0 < share.gpus < 1:
        # By default each takes nearly all of the GPU's memory.
        ours["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 * share.gpus:.3f}"
        ours["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    return {**ours, GIVEN: str(share.cores), "KERAS_BACKEND": share.backend}


def _last_line(path: Path) -> str:
    """Returns the last line that a run has printed, without the name of the program."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        lines = file.read().decode(errors="replace").replace("\r", "\n").split("\n")
    texts = [line.strip() for line in lines if line.strip()]
    return texts[-1].removeprefix(f"{PROGRAM}: error: ") if texts else "it has printed nothing"
