"""Which version of the program this is, so that no two work on one run."""

from __future__ import annotations

import hashlib

from cluster.connection import ClusterError
from system.root import ROOT

NOT_OF_THE_PROGRAM = ("benchmarks", "docs", "tests")


def code_version() -> str:
    """Returns a hash of the program's code as it lies here, 12 digits."""
    digest = hashlib.sha256()
    for path in sorted([*ROOT.glob("*.py"), *ROOT.glob("*/*.py")]):
        if path.parent.name not in NOT_OF_THE_PROGRAM:
            digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def check_version(theirs: str, who: str) -> None:
    """Raises ClusterError where somebody in the cluster has another version of the program."""
    if theirs != code_version():
        raise ClusterError(
            f"{who} has another version of the program: bring all machines to the same"
        )
