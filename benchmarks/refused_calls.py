"""Has the kernel refuse system calls of this process, as file systems refuse what they cannot do.

A filter of Linux (seccomp) does that without any rights, for this thread and those that it starts.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

# The kernel's numbers of system calls, by machine.
NUMBERS = {
    "x86_64": {"flock": 73, "fsync": 74, "unlinkat": 263},
    "aarch64": {"flock": 32, "fsync": 82, "unlinkat": 35},
}
IS_POSSIBLE = platform.system() == "Linux" and platform.machine() in NUMBERS

# Instructions of the filter's language: linux/filter.h and linux/seccomp.h.
LOAD_NUMBER, SKIP_UNLESS_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
# What `prctl` is asked for.
SET_SECCOMP, MODE_FILTER, SET_NO_NEW_PRIVILEGES = 22, 2, 38


class _Program(ctypes.Structure):
    """The kernel's `struct sock_fprog`."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def refuse(calls: dict[str, int]) -> None:
    """Has calls fail from now on, until the process ends.

    Args:
        calls: the error number of each call, by its name, one of `NUMBERS`.

    Raises:
        OSError: the kernel has no such filters.
    """
    numbers = NUMBERS[platform.machine()]
    filters = [(LOAD_NUMBER, 0, 0, 0)]
    for name, error in calls.items():
        filters += [(SKIP_UNLESS_EQUAL, 0, 1, numbers[name]), (RETURN, 0, 0, REFUSE | error)]
    filters.append((RETURN, 0, 0, ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in filters))
    program = _Program(len(filters), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(
        SET_SECCOMP, MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
