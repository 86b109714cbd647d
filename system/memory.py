"""The memory that the machine still has for this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from system.control_groups import control_groups, number

if TYPE_CHECKING:
    from collections.abc import Iterator


# What the program takes beside the replay memory once it learns, and for each transition of a
# batch, as measured with the larger network and frames of 84×84. Both grow with the frames.
LEARNER_BYTES, LEARNER_TRANSITION_BYTES = 256 << 20, 1 << 20
LEARNER_FRAME_PIXELS = 84 * 84


class _Names(NamedTuple):
    """The files and numbers of a version of Linux's control groups that are read here."""

    limits: tuple[str, ...]
    usage: str
    page_cache: str  # in memory.stat: file pages not used lately, with those of descendants


# A process beyond memory.high is not killed, but its memory is swapped out, or it is slowed down
# until it hardly moves. So memory.high is a limit like memory.max.
_V2 = _Names(("memory.max", "memory.high"), "memory.current", "inactive_file")
_V1 = _Names(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")


def available_memory() -> int:
    """Returns the bytes of memory that this process can still use without swapping.

    That is what the operating system has left, or less, if the limits of a container or of the
    process leave less.
    """
    import psutil  # which -h does without

    free = psutil.virtual_memory().available
    return max(0, min([free, *_container_rooms(Path("/")), *_address_space_rooms()]))


def learner_bytes(batch_size: int, frame_pixels: int) -> int:
    """Returns the bytes that learning takes beside the replay memory.

    Args:
        batch_size: transitions in the batch of an update.
        frame_pixels: of a frame that the network sees.
    """
    learner = LEARNER_BYTES + batch_size * LEARNER_TRANSITION_BYTES
    return learner * frame_pixels // LEARNER_FRAME_PIXELS


def mebibytes(count: int) -> str:
    """Returns a number of bytes as a person reads it."""
    return f"{count / 2**20:,.0f} MiB"


def _container_rooms(root: Path) -> Iterator[int]:
    """Yields the bytes that each memory limit of the process's control groups leaves.

    They are below 0 if more is used than a limit allows. A file that is missing or cannot be read
    sets no limit.

    Args:
        root: the folder with `proc` and `sys`.
    """
    for group in control_groups(root, "memory"):
        yield from _group_rooms(group.folder, _V2 if group.version == 2 else _V1)


def _group_rooms(group: Path, names: _Names) -> Iterator[int]:
    """Yields the bytes that each memory limit of a control group leaves."""
    usage = number(group / names.usage)
    if usage is None:
        return
    # The page cache counts as used, but is given up before anything is swapped or killed. The part
    # used lately would be too, but it holds what is needed again soon, such as code of libraries.
    usage -= number(group / "memory.stat", names.page_cache) or 0
    for name in names.limits:
        limit = number(group / name)
        # In version 1, no limit is a number near 2**63, which leaves more than any machine has.
        if limit is not None:
            yield limit - usage


def _address_space_rooms() -> Iterator[int]:
    """Yields the bytes that the process's own limit, `ulimit -v`, leaves, if it has one."""
    try:
        import resource
    except ImportError:  # on Windows
        return
    import psutil

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit - psutil.Process().memory_info().vms
