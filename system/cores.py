"""How many of the machine's cores this process may use, and what runs on them.

    emulators         threads of their own, which work while the learner does
    networks          a pool of threads, TensorFlow's or JAX's
    one thread each   drawing and unpacking batches; writing a checkpoint; Python

All of them are told how many cores there are: left to themselves, some start a thread for each core
of the machine, and a container that may use a few of these then makes all of them wait in turns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from system.control_groups import control_groups, lines, number

FEWEST_ENVIRONMENTS, MOST_ENVIRONMENTS = 32, 64
# What the libraries read as they are loaded: TensorFlow's threads for the parts of an operation and
# for operations side by side, JAX's for both, and those of NumPy's matrices and OpenCV's pictures.
THREADS_WITHIN = {"tensorflow": "TF_NUM_INTRAOP_THREADS", "jax": "NPROC"}
VARIABLES = (
    *THREADS_WITHIN.values(),
    "TF_NUM_INTEROP_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


def usable_cores(root: Path = Path("/")) -> int:
    """Returns how many cores can work for this process at once, at least 1.

    They are those that it may run on, or fewer, where a container may take less of their time.

    Args:
        root: the folder with `proc` and `sys`.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no such call
        cores = os.cpu_count() or 1
    return min([cores, *_quotas(root)])


def chosen_environments(cores: int) -> int:
    """Returns how many environments suit a machine with so many cores, a power of two.

    With more of them the network decides for more at once, and there is more to do in each turn of
    the loop for the threads of emulators and of the learner. But they all act by the network of
    the turn before: with 64 and an update every 8 steps it is 8 updates old, which is also what one
    call of the learner makes at most. On 2 cores a run of the defaults makes 1.3 times as many
    steps with 32 as with 8: docs/results.md.
    """
    wanted = 1 << (2 * cores - 1).bit_length()
    return min(max(wanted, FEWEST_ENVIRONMENTS), MOST_ENVIRONMENTS)


def emulator_threads(count: int) -> int:
    """Returns in how many threads so many emulators run."""
    return min(count, usable_cores())


def network_threads(backend: str) -> int:
    """Returns how many threads "tensorflow" or "jax" computes in on the CPU."""
    value = os.environ.get(THREADS_WITHIN[backend], "")
    return int(value) if value.isdecimal() and int(value) else usable_cores()


def share_cores() -> None:
    """Tells libraries that are not loaded yet how many threads to start.

    What the user's environment says stays as it is.
    """
    cores = str(usable_cores())
    for variable in VARIABLES:
        os.environ.setdefault(variable, cores)


def _quotas(root: Path) -> Iterator[int]:
    """Yields the cores, rounded up, that the process's control groups have the time of.

    A group may run for a quota of microseconds in each period of so many. What is missing or can't
    be read sets no limit.
    """
    for group in control_groups(root, "cpu"):
        if group.version == 2:
            # One line "quota period", or "max period" where there is no limit.
            words = [word for line in lines(group.folder / "cpu.max") for word in line.split()]
            quota, period = (
                int(word) if word.isdecimal() else None for word in (*words, "", "")[:2]
            )
        else:
            # -1 where there is no limit.
            quota = number(group.folder / "cpu.cfs_quota_us")
            period = number(group.folder / "cpu.cfs_period_us")
        if quota and period:
            yield -(-quota // period)
