"""Measurements of the program, to be run by hand: `python3 -m benchmarks.throughput`."""

import os

# Before TensorFlow is loaded: no messages of its own, and oneDNN's kernels, as `dqn_atari.py` has.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
