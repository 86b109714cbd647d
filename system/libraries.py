"""What libraries read from outside as they are loaded, kept to what this program needs.

The same seed gives the same numbers, so what changes them is ours whatever variables and files say:
Keras's data format, float type and epsilon; JAX's types and random numbers; all of Matplotlib's
settings. What the user chooses stays: the backend, devices and threads.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from system.errors import OneLineError

IN_MEMORY = Path("/dev/shm")  # on Linux, a folder whose files take memory
BACKENDS = ("tensorflow", "jax")  # of Keras, that this program can use; the first is the default
# Variables that change what the libraries compute, or that end a program for a developer to look.
NOT_FOR_US = (
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
    "JAX_CHECK_TRACER_LEAKS",
    "JAX_DEBUG_INFS",
    "JAX_DEBUG_NANS",
    "JAX_DEFAULT_DTYPE_BITS",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_DEFAULT_PRNG_IMPL",
    "JAX_DISABLE_JIT",
    "JAX_ENABLE_CUSTOM_PRNG",
    "JAX_ENABLE_X64",
    "JAX_NUMPY_DTYPE_PROMOTION",
    "JAX_NUMPY_RANK_PROMOTION",
    "JAX_THREEFRY_PARTITIONABLE",
    "JAX_TRANSFER_GUARD",
    "MATPLOTLIBRC",
    "MPLBACKEND",
)


class BackendError(OneLineError):
    """Says in one line that Keras cannot run on the backend that is asked for."""


def set_variables() -> None:
    """Sets the variables that libraries read. They have to be loaded after this."""
    for name in list(os.environ):
        if name in NOT_FOR_US or name.startswith("TQDM_"):  # these are for bars of other programs
            del os.environ[name]
    if not os.environ.get("KERAS_BACKEND"):
        os.environ["KERAS_BACKEND"] = _backend_of_keras_json() or BACKENDS[0]
    # There is no keras.json, and none can be written.
    os.environ["KERAS_HOME"] = os.devnull


def _backend_of_keras_json() -> str | None:
    """Returns the backend that the user has written into Keras's configuration, if any."""
    folder = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    try:
        settings = json.loads(Path(folder, "keras.json").expanduser().read_text("utf-8"))
        return str(settings["backend"])
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):
        return None


def check_backend() -> None:
    """Checks that Keras can run on the backend that is asked for, before it is loaded.

    Raises:
        BackendError: it cannot.
    """
    wanted = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    usable = [name for name in BACKENDS if find_spec(name)]
    if wanted not in usable:
        other = " or ".join(usable or BACKENDS)
        raise BackendError(
            f"{wanted!r}, of KERAS_BACKEND or keras.json, is no backend of Keras that can be used "
            f"here: set KERAS_BACKEND to {other}"
        )


def load_matplotlib() -> None:
    """Loads Matplotlib with its own settings, whatever files there are."""
    package = find_spec("matplotlib")
    if package and package.origin and "matplotlib" not in sys.modules:
        # Where its cache cannot be written it says so, and works as well.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        # It takes the first `matplotlibrc` that it finds, and looks in the working directory first.
        with contextlib.chdir(Path(package.origin).parent / "mpl-data"):
            import matplotlib  # noqa: F401


def use_for_temporary_files(folder: Path) -> None:
    """Has temporary files lie in a folder where the system, as a read-only one, has none for them.

    Where the folder is still to be made, they lie in the one that it will be made in, and where no
    file can be written there, in memory. TensorFlow asks for a folder and writes nothing in it, so
    that one is named in any case.
    """
    try:
        tempfile.gettempdir()
    except OSError:
        place = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
        usable = filter(_takes_files, (place, IN_MEMORY))
        tempfile.tempdir = str(next(usable, place))


def _takes_files(folder: Path) -> bool:
    """Returns whether files can be written in a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
