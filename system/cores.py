"""How many of the machine's cores this process may use, and what runs on them.

    emulators         their own threads, which work while the learner does
    networks          a pool of threads, TensorFlow's or JAX's
    one thread each   drawing and unpacking batches; writing a checkpoint; Python

All of them are told how many cores they may use. By default some start a thread for each core of
the machine, which slows all threads down in a container that may use only a few of the cores.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from system.control_groups import control_groups, lines, number

if TYPE_CHECKING:
    from collections.abc import Iterator

# Environment variables that libraries read when they are loaded: TensorFlow's threads within an
# operation and for operations in parallel, JAX's for both, those of NumPy's matrix products and of
# OpenCV.
THREADS_WITHIN = {"tensorflow": "TF_NUM_INTRAOP_THREADS", "jax": "NPROC"}
VARIABLES = (
    *THREADS_WITHIN.values(),
    "TF_NUM_INTEROP_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)

GIVEN = "DQN_ATARI_CORES"  # an environment variable: cores for a run of a sweep, or for an actor


def usable_cores(root: Path = Path("/")) -> int:
    """Returns how many cores this process can use at once, at least 1.

    They are those that it may run on, or fewer, if a container may use less of their time, or if
    what started it has given it fewer.

    Args:
        root: the folder with `proc` and `sys`.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # on macOS and Windows
        cores = os.cpu_count() or 1
    given = os.environ.get(GIVEN, "")
    return min([cores, *_quotas(root), *([max(1, int(given))] if given.isdecimal() else [])])


def emulator_threads(count: int) -> int:
    """Returns the number of threads for so many emulators."""
    return min(count, usable_cores())


def network_threads(backend: str) -> int:
    """Returns the number of threads that "tensorflow" or "jax" computes in on the CPU."""
    value = os.environ.get(THREADS_WITHIN[backend], "")
    return int(value) if value.isdecimal() and int(value) else usable_cores()


def share_cores() -> None:
    """Tells libraries that are not loaded yet how many threads to start.

    Variables that the user has set stay as they are.
    """
    cores = str(usable_cores())
    for variable in VARIABLES:
        os.environ.setdefault(variable, cores)


def _quotas(root: Path) -> Iterator[int]:
    """Yields the number of cores, rounded up, that each of the process's control groups may use.

    A group may run for a quota of microseconds in each period. A file that is missing or cannot be
    read sets no limit.
    """
    for group in control_groups(root, "cpu"):
        if group.version == 2:
            # One line "quota period", or "max period" for no limit.
            words = [word for line in lines(group.folder / "cpu.max") for word in line.split()]
            quota, period = (
                int(word) if word.isdecimal() else None for word in (*words, "", "")[:2]
            )
        else:
            # -1 for no limit.
            quota = number(group.folder / "cpu.cfs_quota_us")
            period = number(group.folder / "cpu.cfs_period_us")
        if quota and period:
            yield -(-quota // period)
