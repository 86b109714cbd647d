"""Becomes a command that is asked to stop when the process that has started it ends.

    python3 ends_with_parent.py PARENT COMMAND...

A worker of Ray's that is killed leaves behind what it has started. Linux tells a process that its
parent has ended, if it asks for that, and what the process becomes is told as well. Elsewhere it is
not.

It is told by a hang-up, as when a terminal closes. Linux can say it once for each thread of the
parent, and at a second SIGTERM the program would end at once, without its checkpoint.

Args:
    PARENT: the number of the process that starts this one.
    COMMAND: a program by its path, and its arguments.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # in sys/prctl.h of Linux


def main() -> None:
    """Becomes the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup ray start` ignores it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGHUP)
        if os.getppid() != parent:  # it had ended before
            sys.exit(128 + signal.SIGHUP)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
