"""Whether a machine of the cluster is fit for a sweep's runs.

It has to have this program, in this version and at this path, and to see the sweep's folder, in
which it can write.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cluster.connection import ClusterError
from cluster.version import code_version
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS_TO_LOOK = 60.0  # on all machines; a machine that dies meanwhile answers nothing


class Wanted(NamedTuple):
    """What a machine has to have.

    Attributes:
        root: the program's folder on the machine that sweeps.
        version: of the program there.
        folder: that of the sweep.
        mark: the name of a file in it, and what is written there.
    """

    root: str
    version: str
    folder: str
    mark: tuple[str, str]


@contextmanager
def marked(folder: Path) -> Iterator[Wanted]:
    """Marks a folder while the body runs; yields what machines have to have, this mark with it."""
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".sweep-", suffix=".mark") as file:
        text = secrets.token_hex(8)
        file.write(text)
        file.flush()
        yield Wanted(str(ROOT), code_version(), str(folder), (Path(file.name).name, text))


def problem_here(root: str, version: str, folder: str, mark: tuple[str, str]) -> str | None:
    """Returns why the machine that this runs on is not fit, in one line; None where it is.

    The arguments are those of `Wanted`.
    """
    # Sent to the machine as it is: the program may not be there.
    import sys
    import tempfile
    from pathlib import Path

    if not Path(root, "cluster", "version.py").exists():
        return f"it has no {root}: put the program at the same path on all machines"
    sys.path[:0] = [] if root in sys.path else [root]
    from cluster.version import code_version

    if code_version() != version:
        return f"it has another version of the program in {root}: copy this one there"
    name, text = mark
    try:
        is_seen = Path(folder, name).read_text() == text
    except OSError:
        is_seen = False
    if not is_seen:
        return f"it does not see what is in {folder}: give an --out that all machines share"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"it cannot write in {folder} ({error.strerror})"


def unfit_machines(wanted: Wanted, known: set[str]) -> dict[str, str]:
    """Returns why machines of the cluster are not fit, by their nodes' ids.

    Args:
        wanted: what they have to have.
        known: ids of nodes that need not be looked at; those that are looked at are added.
    """
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    names = {n["NodeID"]: n["NodeManagerHostname"] for n in ray.nodes() if n["Alive"]}
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    look = ray.remote(num_cpus=0, max_retries=0)(problem_here)
    asked = {}
    for node in names.keys() - known:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        asked[look.options(scheduling_strategy=there).remote(*wanted)] = node
    if not asked:
        return {}
    answered, _ = ray.wait([*asked], num_returns=len(asked), timeout=SECONDS_TO_LOOK)
    problems = {}
    for reference in answered:
        node = asked[reference]
        known.add(node)
        try:
            problem = ray.get(reference)
        except ray.exceptions.RayError as error:
            problem = f"it answers nothing ({type(error).__name__})"
        if problem:
            problems[node] = f"machine {names[node]}: {problem}"
    return problems


def check_fitness(wanted: Wanted, known: set[str]) -> None:
    """Checks all machines of the cluster; see `unfit_machines`.

    Raises:
        ClusterError: one of them is not fit, as it says of the first.
    """
    for problem in unfit_machines(wanted, known).values():
        raise ClusterError(problem)
