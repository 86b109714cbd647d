"""How libraries are loaded that take long to load: quietly, and in as little time as can be."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# Keras loads it for pictures that we draw none of, and does without where it is missing.
NOT_NEEDED = "matplotlib"


@contextmanager
def loading_libraries() -> Iterator[None]:
    """Loads what is imported in this context without a word on stderr, and quickly.

    Meanwhile nothing is looked for that could be freed: hardly anything of a library can. Where
    Keras was not there before, what there is by the end is then left alone for good.
    """
    is_first = "keras" not in sys.modules
    with ExitStack() as after:
        after.enter_context(_stderr_held_back())
        if NOT_NEEDED not in sys.modules:
            # So an import of it fails.
            sys.modules[NOT_NEEDED] = None  # type: ignore[assignment]
            after.callback(sys.modules.pop, NOT_NEEDED)
        if gc.isenabled():
            gc.disable()
            after.callback(gc.enable)
        yield
        if is_first:
            gc.freeze()


@contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Keeps back what TensorFlow's C++ parts write to stderr while they load.

    No setting of theirs silences it all. Where loading fails, it is shown after all.
    """
    with tempfile.TemporaryFile() as held_back:
        stderr = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except Exception:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
