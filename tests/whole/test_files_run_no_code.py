"""Files are read and never run, whatever their source."""

from __future__ import annotations

import contextlib
import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import keras
import numpy as np
import pytest

from learning.networks import nips_network
from storage.arrays import ArrayFile, ArrayFileError
from storage.checkpoints import CheckpointError, newest
from storage.episode_log import LogError, read_log
from storage.weights import WeightsError, load
from tests.helpers.memories import a_memory

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE, ACTIONS = (44, 44, 2), 3


class Harmful:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


def pickled(mark: Path) -> bytes:
    return pickle.dumps([Harmful(mark)])


def archived(mark: Path) -> bytes:
    """Returns an .npz file, whose arrays of objects are pickles."""
    file = io.BytesIO()
    np.savez(file, weights=np.array([Harmful(mark)], dtype=object))
    return file.getvalue()


@pytest.mark.parametrize("content", [pickled, archived])
def test_what_is_pickled_is_refused_by_all_that_reads(
    tmp_path: Path, content: Callable[[Path], bytes]
) -> None:
    mark, path = tmp_path / "mark", tmp_path / "file"
    path.write_bytes(content(mark))
    checkpoint = tmp_path / "checkpoints" / "000001"
    checkpoint.mkdir(parents=True)
    (checkpoint / "run").write_bytes(path.read_bytes())
    with pytest.raises(WeightsError):
        load(path, nips_network(SHAPE, ACTIONS, 0))
    with pytest.raises(ArrayFileError):
        ArrayFile(path, "run")
    with pytest.raises(ArrayFileError):
        a_memory(100, 1, SHAPE[:2], 2, 1, 0.99).load(path)
    with pytest.raises(CheckpointError):
        newest(tmp_path / "checkpoints")
    with pytest.raises(LogError):
        read_log(path)
    assert not mark.exists()


def harmful_model(mark: Path) -> keras.Model:
    """Returns our network behind a layer of Python code, which Keras saves as byte code."""
    place = str(mark)
    states = keras.Input(SHAPE)
    code = keras.layers.Lambda(lambda x: (open(place, "w").close(), x)[1], output_shape=SHAPE)
    model = keras.Model(states, nips_network(SHAPE, ACTIONS, 0)(code(states)))
    mark.unlink(missing_ok=True)  # building the model ran it
    return model


@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.weights.h5"])
def test_code_in_a_saved_model_is_not_run(tmp_path: Path, name: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / name
    model = harmful_model(mark)
    (model.save_weights if name.endswith(".weights.h5") else model.save)(path)
    mark.unlink(missing_ok=True)
    with contextlib.suppress(WeightsError):
        load(path, nips_network(SHAPE, ACTIONS, 0))
    assert not mark.exists()


def test_keras_would_run_the_code_if_it_were_asked_to(tmp_path: Path) -> None:
    """Or the test above would say nothing."""
    mark, path = tmp_path / "mark", tmp_path / "model.h5"
    harmful_model(mark).save(path)
    mark.unlink(missing_ok=True)
    loaded = keras.models.load_model(path, safe_mode=False, compile=False)
    loaded(np.zeros((1, *SHAPE), np.float32))
    assert mark.exists()
    with h5py.File(path) as file:
        assert "Lambda" in file.attrs["model_config"]
