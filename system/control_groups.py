"""Linux's control groups, which hold the limits of a container."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class ControlGroup(NamedTuple):
    """A control group that this process is in, directly or through a descendant group."""

    folder: Path
    version: int  # of the control groups, 1 or 2


def control_groups(root: Path, controller: str) -> Iterator[ControlGroup]:
    """Yields the process's own group of a controller, then its ancestors.

    A limit of any of them applies to the process. Some of their folders may not exist.

    Args:
        root: the folder with `proc` and `sys`.
        controller: such as memory or cpu.
    """
    mounts = root / "sys/fs/cgroup"
    for group in lines(root / "proc/self/cgroup"):
        _, controllers, path = group.split(":", 2)
        if not controllers:
            mount, version = mounts, 2
        elif controller in controllers.split(","):
            mount, version = mounts / controller, 1
            if not mount.exists():  # controllers that share their groups also share a folder
                mount = mounts / controllers
        else:
            continue
        # A container may see only its own part of the tree, while the path is that in the whole
        # tree. Then only the last of the folders exists, the mount, which is the container's own.
        own = PurePosixPath(path.lstrip("/"))
        for folder in (own, *own.parents):
            yield ControlGroup(mount / folder, version)


def number(file: Path, name: str = "") -> int | None:
    """Returns the number of a name in a file of lines "name number", or a number without a name.

    Returns None if there is no such file or number. "max", which means no limit, is not a number.
    """
    for line in lines(file):
        key, _, value = line.rpartition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return None


def lines(file: Path) -> list[str]:
    """Returns the lines of a file, or none if it cannot be read."""
    try:
        # The names of control groups are those of folders, which may be any bytes.
        return [os.fsdecode(line) for line in file.read_bytes().splitlines()]
    except OSError:
        return []
