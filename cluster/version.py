"""The version of the program on this machine: a hash of its source."""

from __future__ import annotations

import hashlib

from cluster.connection import ClusterError
from system.root import ROOT


def code_version() -> str:
    """Returns a hash of all modules that a run can load, and of where in the program they lie."""
    rooms = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "benchmarks"]
    digest = hashlib.sha256()
    for path in sorted(file for folder in (ROOT, *rooms) for file in folder.glob("*.py")):
        digest.update(f"{path.relative_to(ROOT)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def check_version(theirs: str, who: str) -> None:
    """Raises ClusterError where somebody in the cluster has another version of the program."""
    if theirs != code_version():
        raise ClusterError(
            f"{who} has another version of the program: bring all machines to the same"
        )
