"""Files as Linux has them of control groups, in a folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

V2 = "sys/fs/cgroup"


def belongs_to(root: Path, *lines: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_bytes(os.fsencode("".join(f"{line}\n" for line in lines)))


def spoil(file: Path, how: str) -> None:
    file.unlink()
    if how == "folder":
        file.mkdir()
    elif how == "not text":
        file.write_bytes(b"\xff\xfe")
    elif how == "empty":
        file.touch()


SPOILT = pytest.mark.parametrize("how", ["missing", "folder", "not text", "empty"])
