"""What an object takes of the machine's memory, measured in a process that does nothing else.

In a long process, what others free and take meanwhile would be counted as well.
"""

from __future__ import annotations

import subprocess
import sys

from system.root import ROOT


def taken_by(imports: str, expression: str) -> int:
    """Returns the bytes by which a process grows as it evaluates an expression.

    Args:
        imports: statements to run before.
        expression: makes the object.
    """
    code = (
        f"import psutil\n{imports}\n"
        "process = psutil.Process()\n"
        "before = process.memory_info().rss\n"
        f"made = {expression}\n"
        "print(process.memory_info().rss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(done.stdout)
