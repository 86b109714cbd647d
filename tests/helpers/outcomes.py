"""What a run has written, to be compared with another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import h5py
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


def weights_in(path: Path) -> dict[str, np.ndarray]:
    """Returns all arrays of a weights file by name."""
    arrays: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: arrays.update({name: item[()]}) if hasattr(item, "shape") else None
        )
    return arrays


def lines_but_seconds(path: Path) -> list[str]:
    """Returns the lines of a log without the only field that two runs differ in."""
    return [re.sub(r" Seconds: \S+", "", line) for line in path.read_text().splitlines()]


def outcome(folder: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Returns the lines of the log, and the weights, of the only run in a folder."""
    [log], [weights] = folder.glob("*_log.txt"), folder.glob("*_weights.h5")
    return lines_but_seconds(log), weights_in(weights)


def assert_same(ours: Path, theirs: Path) -> None:
    """Raises AssertionError where the runs in two folders did not write the same."""
    (our_lines, our_weights), (their_lines, their_weights) = outcome(ours), outcome(theirs)
    assert our_lines == their_lines
    assert our_weights.keys() == their_weights.keys()
    for name, array in our_weights.items():
        np.testing.assert_array_equal(array, their_weights[name], err_msg=name)
