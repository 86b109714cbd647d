"""Measurements of the program, to be run by hand: `python3 -m benchmarks.throughput`."""

from system.quiet_imports import set_tensorflow_variables

set_tensorflow_variables()
