"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, suffix: str = "") -> Iterator[Path]:
    """Gives the path of a file to write, which takes the place of `path` once it is whole.

    The new file lies beside the old one, is flushed to the disk and then renamed over it. Where
    the writing fails, it is removed, and the old file stays as it was.

    Args:
        path: the file to write or to replace.
        suffix: how the name of the new file must end, for writers that look at it.

    Raises:
        OSError: the file cannot be written; whatever the body raises passes through.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}{suffix}")
    try:
        yield new
        with new.open("rb") as written:
            os.fsync(written.fileno())
        new.replace(path)
    except OSError as error:
        # A write that fails does not say where, and the name of the new file says nothing to users.
        if error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        new.unlink(missing_ok=True)
