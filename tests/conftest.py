"""Settings that have to be made before any test, and before TensorFlow is loaded."""

import os

import hypothesis

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Two files run side by side, and threads that wait for one another would only be in the way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# What an example takes is not what these tests are about, and other work makes it longer.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")
