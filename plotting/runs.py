"""Finds the logs of runs, reads all files of a run, and groups runs of the same settings.

Runs are of one group where the newest checkpoints beside their logs have the same settings; seeds
and places of files do not count. A log without a checkpoint is grouped with those of the same
environment whose folders have the same name but for a number at its end: `double/seed-1`,
`double/seed-2`.
"""

from __future__ import annotations

import glob
import json
import os
import re
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plotting.log_table import LogTable, read_table
from settings.config import Config, renamed
from settings.declaration import as_flags
from settings.paths import CHECKPOINT_ENDING, EVALUATIONS_ENDING, LOG_ENDING
from storage.checkpoints import CheckpointError, newest
from storage.episode_log import LogError, shown
from storage.evaluation_log import Evaluation, read_evaluations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LOG = re.compile(r"(.+)_log(\.[0-9]+)?\.txt", re.DOTALL)  # numbered where it was set aside
_SETTINGS = {
    field.name: field
    for field in fields(Config)
    if field.metadata["group"] not in ("files", "watching") and field.name != "seed"
}


@dataclass(frozen=True)
class Run:
    """What the files of a run hold.

    Attributes:
        path: its log.
        table: the log as columns.
        settings: those of its newest checkpoint, by their names; None where there is none.
        evaluations: in the order in which they took place.
        notes: what is wrong with the files beside the log, a line each.
    """

    path: Path
    table: LogTable
    settings: Mapping[str, Any] | None
    evaluations: Sequence[Evaluation]
    notes: Sequence[str] = ()

    @property
    def environment(self) -> str:
        """The environment's id, as far as the log's name gives it."""
        return environment_name(str(self.path))

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.path.absolute().parent

    @cached_property
    def likeness(self) -> str:
        """A text that is the same for the runs of one group."""
        if self.settings:
            return json.dumps(_of_learning(self.settings), sort_keys=True)
        name = re.sub("[0-9]+$", "", self.folder.name)
        return f"{self.environment} {self.folder.with_name(name or '-')}"


@dataclass(frozen=True)
class Group:
    """Runs of the same settings.

    Attributes:
        label: what sets them apart from other groups, and how many runs there are.
        runs: one or more.
    """

    label: str
    runs: Sequence[Run]


def environment_name(path: str) -> str:
    """Returns the environment's id as a log's file name has it, or else the file's name."""
    name = os.path.basename(path)
    match = _LOG.fullmatch(name)
    # A `/` in an id is a `-` in the names of its files.
    return shown(re.sub("^ALE-", "ALE/", match[1] if match else name))


def find_logs(names: Iterable[str]) -> dict[Path, bool]:
    """Returns the logs that files, folders and patterns stand for.

    A folder stands for all logs in it and in folders within it, without those of earlier runs that
    were set aside as `<env id>_log.1.txt`.

    Returns:
        For each log, once, whether it is named itself, and not by a folder or a pattern alone.

    Raises:
        LogError: a name stands for no log.
    """
    paths: dict[Path, Path] = {}  # as they are given, by where they lie
    named = set()
    for name in names:
        for path in _logs_of(name):
            paths.setdefault(path.resolve(), path)
            if path == Path(name):
                named.add(path.resolve())
    return {path: place in named for place, path in paths.items()}


def _logs_of(name: str) -> list[Path]:
    path = Path(name)
    if os.path.isdir(name):
        if logs := _logs_in(path):
            return logs
        raise LogError(f"{shown(name)} is a folder without a log, <env id>{LOG_ENDING}")
    if os.path.lexists(name) or not glob.has_magic(name):
        return [path]
    matches = map(Path, sorted(glob.glob(name, recursive=True)))
    logs = [log for match in matches for log in (_logs_in(match) if match.is_dir() else [match])]
    if not logs:
        raise LogError(f"{shown(name)}: no log has such a name; give logs, <env id>{LOG_ENDING}")
    return logs


def _logs_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"*{LOG_ENDING}"))


def read_run(path: Path) -> Run:
    """Reads the files of a run.

    Raises:
        LogError: the log can't be read. The run's notes say what is wrong with other files.
    """
    table = read_table(path)
    notes: list[str] = []
    settings: Mapping[str, Any] | None = None
    evaluations: Sequence[Evaluation] = ()
    try:
        checkpoint, _ = newest(beside(path, CHECKPOINT_ENDING), with_memory=False)
        if checkpoint:
            settings = renamed(checkpoint.attributes.get("settings", {}))
    except CheckpointError as error:
        notes.append(str(error).partition(": --")[0])
    if (file := beside(path, EVALUATIONS_ENDING)).exists():
        try:
            evaluations = read_evaluations(file)
        except LogError as error:
            notes.append(str(error))
    return Run(path, table, settings, evaluations, notes)


def beside(log: Path, ending: str) -> Path:
    """Returns the path of the file of a log's run whose name ends in `ending`."""
    match = _LOG.fullmatch(log.name)
    path = log.with_name(f"{match[1] if match else log.name}{ending}")
    # The files of an earlier run were set aside together.
    return path.with_stem(f"{path.stem}{match[2] or ''}") if match else path


def grouped(runs: Iterable[Run]) -> list[Group]:
    """Returns the groups of runs, in the order of their first runs."""
    alike: dict[str, list[Run]] = {}
    for run in runs:
        alike.setdefault(run.likeness, []).append(run)
    groups = list(alike.values())
    labels = _labels(groups)
    return [
        Group(f"{label} ({len(group)} runs)" if len(group) > 1 else label, group)
        for label, group in zip(labels, groups, strict=True)
    ]


def differences(runs: Sequence[Run]) -> list[str]:
    """Returns the names of the settings that differ among the runs whose settings are known."""
    known = [_of_learning(run.settings) for run in runs if run.settings]
    return [name for name in _SETTINGS if len({repr(settings[name]) for settings in known}) > 1]


def _of_learning(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that runs of one group share; one that an older run lacks is default."""
    return {name: settings.get(name, field.default) for name, field in _SETTINGS.items()}


def _labels(groups: Sequence[Sequence[Run]]) -> list[str]:
    """Returns the label of each group, as short as it can be."""
    firsts = [group[0] for group in groups]
    names = [name for name in differences(firsts) if name != "environment"]
    several_games = len({run.environment for run in firsts}) > 1
    several_folders = len({run.folder for run in firsts}) > 1
    labels = []
    for group, run in zip(groups, firsts, strict=True):
        parts = [run.environment] if several_games or len(groups) == 1 else []
        if run.settings:
            values = _of_learning(run.settings)
            parts += [" ".join(as_flags(_SETTINGS[name], values[name])) for name in names]
        elif several_folders:
            parts.append(_place(group, firsts))
        labels.append(" ".join(parts) or run.environment)
    # Groups whose labels are still the same are named by their files.
    return [
        label if labels.count(label) == 1 else shown(run.path)
        for label, run in zip(labels, firsts, strict=True)
    ]


def _place(group: Sequence[Run], runs: Sequence[Run]) -> str:
    """Returns the folder of a group, from the folder that all these runs lie in."""
    common = os.path.commonpath([run.folder for run in runs])
    place = os.path.relpath(group[0].folder, common)
    # Folders of one group have one name but for a number.
    return shown(re.sub("[/ ._-]*[0-9]+$", "", place) or place if len(group) > 1 else place)
