"""Loads slow libraries quietly, and as fast as possible."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from system.signals import REQUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

# What the libraries of each backend import where it is installed, and work without: Keras to draw
# pictures, TensorFlow to convert functions of JAX. This program does neither.
NOT_NEEDED = {"tensorflow": ("matplotlib", "jax"), "jax": ("matplotlib",)}


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
def loading_libraries(held_back: bool = True) -> Iterator[None]:
    """Makes imports in this context quick and keeps them silent on stderr.

    The garbage collector is off meanwhile, as it would find hardly anything to free. If Keras was
    not loaded before, the collector ignores all objects that exist at the end from then on.

    Args:
        held_back: whether to keep what is written to stderr, which takes a child process.
    """
    is_first = "keras" not in sys.modules
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    with ExitStack() as after:
        if (
            held_back and is_first and hasattr(os, "fork")
        ):  # Windows cannot fork, and gets all that is written
            after.enter_context(_stderr_held_back())
        for package in NOT_NEEDED.get(backend, ()):
            if package not in sys.modules:
                hide_package(package)
                after.callback(sys.modules.pop, package)
        if gc.isenabled():
            gc.disable()
            after.callback(gc.enable)
        yield
        if is_first:
            gc.freeze()


@contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Holds back what TensorFlow's C++ code writes to stderr while it loads.

    No setting silences all of it. A child process keeps it, and shows it where loading fails or
    this process dies: a library that cannot run on this processor says so, and aborts.
    """
    source, target = os.pipe()
    keeper = os.fork()
    if not keeper:
        os.close(target)
        _show_when_ended(source)
    os.close(source)
    stderr = os.dup(2)
    os.dup2(target, 2)
    os.close(target)
    is_shown = False
    try:
        yield
    except Exception:
        is_shown = True
        raise
    finally:
        if not is_shown:
            os.kill(keeper, signal.SIGKILL)
        os.dup2(stderr, 2)
        os.close(stderr)
        os.waitpid(keeper, 0)


def _show_when_ended(source: int) -> NoReturn:
    """Waits until nobody can write to a pipe any more, shows on stderr what was, and exits."""
    try:
        for number in REQUESTS:
            signal.signal(number, signal.SIG_IGN)
        held_back = b"".join(iter(lambda: os.read(source, 65536), b""))
        os.write(2, held_back)
    finally:
        os._exit(0)
