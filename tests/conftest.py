"""Settings that have to be made before any test, and before TensorFlow is loaded."""

import os

import hypothesis
import pytest

from system.cores import THREADS_WITHIN, VARIABLES
from system.quiet_imports import loading_libraries, set_tensorflow_variables

set_tensorflow_variables()
# Two files run side by side, and threads that wait for one another would only be in the way.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in VARIABLES:
        # JAX compiles in these threads as well.
        if variable != THREADS_WITHIN["jax"]:
            os.environ.setdefault(variable, "1")
    # As the program does: garbage collections would look through all that they have loaded.
    with loading_libraries():
        import keras  # noqa: F401

# What an example takes is not what these tests are about, and other work makes it longer.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

# Files that take longest, so that none of them is begun last, when one core has nothing to do.
LONG = [
    "test_resuming",
    "test_learning",
    "test_actors",
    "test_trainer",
    "test_preprocessing",
    "test_sweeps",
    "test_agent",
    "test_saved_environments",
    "test_command_line",
    "test_device_frames",
    "test_killed",
    "test_room",
    "test_evaluations",
    "test_outside",
    "test_prefetching",
    "test_trained_agents",
    "test_weights",
    "test_training_window",
    "test_rollouts",
    "test_tensorboard_log",
    "test_recipes",
    "test_devices",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of long files first."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))
