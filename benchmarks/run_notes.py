"""`run.json`, which is in the folder of each run of `recipes.py`, and what it says in words.

It has `environment`, `recipe` and its `settings`, and `seed`; `done`, which is the steps or minutes
that have come to their end; and `parts`: for each time that the run was started or went on, by
which commit of the program, on which processor, on how many of its cores, and how many runs at a
time.
"""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from system.console import counted
from system.control_groups import lines
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = ROOT / "dqn_atari.py"
NOTE = "run.json"


def new_part(cores: int, jobs: int) -> dict[str, Any]:
    """Returns what is noted of a part of a run that starts now."""
    models = [line for line in lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    known = models[0].partition(":")[2].strip() if models else platform.processor()
    return {
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "changed since": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "processor": known or platform.machine(),
        "cores": cores,
        "jobs": jobs,
    }


def _git(*arguments: str) -> str:
    """Returns what a command of Git's prints about the program; nothing where there is no Git."""
    try:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""


def commit_of(part: Mapping[str, Any]) -> str:
    """Returns the commit of a part, marked as Git does where files have changed since."""
    return f"{part['commit']}-dirty" if part["changed since"] else str(part["commit"])


def cores_of(part: Mapping[str, Any]) -> str:
    """Returns how many cores a part had."""
    return counted(part["cores"], "core")


def others_beside(part: Mapping[str, Any]) -> str:
    """Returns what the machine did beside a part, as far as `recipes.py` knows."""
    others = part["jobs"] - 1
    if not others:
        return "nothing that was started with it"
    return f"up to {counted(others, 'more such run')}"
