"""Settings that have to be made before any test, and before TensorFlow is loaded."""

import os

import hypothesis
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Two files run side by side, and threads that wait for one another would only be in the way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# What an example takes is not what these tests are about, and other work makes it longer.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

# Files that take longest, so that none of them is begun last, when one core has nothing to do.
LONG = [
    "test_resume",
    "test_preprocessing",
    "test_command_line",
    "test_learning",
    "test_training",
    "test_trained_agents",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of long files first."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))
