"""Linux's control groups, in which a container has its limits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class ControlGroup(NamedTuple):
    """A control group that this process is in, itself or by a descendant of it."""

    folder: Path
    version: int  # of the control groups, 1 or 2


def control_groups(root: Path, controller: str) -> Iterator[ControlGroup]:
    """Yields the process's own group of a controller, then its ancestors.

    A limit of any of them holds for the process. Not all of the folders need be there.

    Args:
        root: the folder with `proc` and `sys`.
        controller: whose limits are wanted, such as memory or cpu.
    """
    mounts = root / "sys/fs/cgroup"
    for group in lines(root / "proc/self/cgroup"):
        _, controllers, path = group.split(":", 2)
        if not controllers:
            mount, version = mounts, 2
        elif controller in controllers.split(","):
            mount, version = mounts / controller, 1
            if not mount.exists():  # where controllers share their groups, it has the names of all
                mount = mounts / controllers
        else:
            continue
        # A container may see its own part of the tree only, under the path of the whole tree. Then
        # none of the folders exist but the last, the mount itself, which is the container's own.
        own = PurePosixPath(path.lstrip("/"))
        for folder in (own, *own.parents):
            yield ControlGroup(mount / folder, version)


def number(file: Path, name: str = "") -> int | None:
    """Returns the number of that name in a file of lines "name number", or the one on its own.

    None if there is no such file or number; "max", for no limit, is none.
    """
    for line in lines(file):
        key, _, value = line.rpartition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return None


def lines(file: Path) -> list[str]:
    """Returns the lines of a file, none where it can't be read."""
    try:
        # The names of control groups are names of folders, of any bytes.
        return [os.fsdecode(line) for line in file.read_bytes().splitlines()]
    except OSError:
        return []
