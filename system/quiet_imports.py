"""Loads slow libraries quietly, and as fast as possible."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Keras imports it to draw pictures, which this program does not do, and works without it.
NOT_NEEDED = "matplotlib"


def set_tensorflow_variables() -> None:
    """Sets what TensorFlow reads as it is loaded, where the user has not set it.

    It keeps its greetings to itself, and computes with oneDNN's kernels.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def hide_package(name: str) -> None:
    """Lets imports of a package that is not loaded yet fail, as if it were not installed."""
    absent: dict[str, Any] = {name: None}
    sys.modules.update(absent)


@contextmanager
def loading_libraries() -> Iterator[None]:
    """Makes imports in this context quick and keeps them silent on stderr.

    The garbage collector is off meanwhile, as it would find hardly anything to free. If Keras was
    not loaded before, the collector ignores all objects that exist at the end from then on.
    """
    is_first = "keras" not in sys.modules
    with ExitStack() as after:
        after.enter_context(_stderr_held_back())
        if NOT_NEEDED not in sys.modules:
            hide_package(NOT_NEEDED)
            after.callback(sys.modules.pop, NOT_NEEDED)
        if gc.isenabled():
            gc.disable()
            after.callback(gc.enable)
        yield
        if is_first:
            gc.freeze()


@contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Holds back what TensorFlow's C++ code writes to stderr while it loads.

    No setting silences all of it. It is shown if loading fails.
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
