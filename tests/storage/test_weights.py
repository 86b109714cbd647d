"""What saved and loaded weights promise."""

import io
import pickle
import random
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np
import pytest
import tf_keras
from keras.src.legacy.saving import legacy_h5_format

from learning.networks import NetworkOptions, nature_network, nips_network
from storage import weights as weights_file
from storage.weights import WeightsError
from system.root import ROOT

SHAPE = (36, 36, 2)  # the smallest state that both networks take, for small and fast files
STATES = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), np.uint8)


def network(seed: int, actions: int = 3) -> keras.Model:
    return nips_network(SHAPE, actions, seed)


def trained_network(seed: int) -> keras.Model:
    """Returns a network whose optimiser and metrics are saved with it."""
    trained = network(seed)
    trained.compile(optimizer="rmsprop", loss="mse", metrics=["mae"])
    trained.train_on_batch(STATES, np.ones((3, 3), np.float32))
    return trained


def assert_same_weights(ours: keras.Model, theirs: keras.Model) -> None:
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def values(of: keras.Model) -> np.ndarray:
    return of.predict_on_batch(STATES)


def save_keras_3_weights(path: Path, of: keras.Model) -> None:
    of.save_weights(path.with_suffix(".weights.h5"))
    path.with_suffix(".weights.h5").rename(path)


def save_keras_3_model(path: Path, of: keras.Model) -> None:
    of.save(path.with_suffix(".keras"))
    path.with_suffix(".keras").rename(path)


def save_keras_2_model(path: Path, of: keras.Model) -> None:
    legacy_h5_format.save_model_to_hdf5(of, path)


def save_keras_2_weights(path: Path, of: keras.Model) -> None:
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, of)


SAVERS = [
    weights_file.save,
    save_keras_3_weights,
    save_keras_3_model,
    save_keras_2_model,
    save_keras_2_weights,
]
savers = pytest.mark.parametrize("save", SAVERS, ids=lambda save: save.__name__)
Saver = Callable[[Path, keras.Model], None]


@pytest.fixture(scope="module")
def loaded() -> keras.Model:
    """A network for files that are not expected to load."""
    return network(9)


def refusal(path: Path, into: keras.Model) -> str:
    """Returns the one line that a file is refused with."""
    with pytest.raises(WeightsError) as refused:
        weights_file.load(path, into)
    line = str(refused.value)
    assert len(line.splitlines()) == 1
    assert str(path) in line
    return line


# ---------------------------------------------------------------- what is read


@savers
@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5", "w.keras", "w", "w.txt"])
def test_loaded_network_gives_the_same_values_whatever_the_file_is_named(
    tmp_path: Path, save: Saver, name: str
) -> None:
    saved, other = network(1), network(2)
    assert not np.array_equal(values(saved), values(other))
    save(tmp_path / "saved", saved)
    (tmp_path / "saved").rename(tmp_path / name)
    weights_file.load(tmp_path / name, other)
    np.testing.assert_array_equal(values(other), values(saved))


@savers
def test_optimiser_and_metrics_in_a_file_are_no_weights(tmp_path: Path, save: Saver) -> None:
    saved, other = trained_network(1), network(2)
    save(tmp_path / "saved", saved)
    weights_file.load(tmp_path / "saved", other)
    np.testing.assert_array_equal(values(other), values(saved))


@savers
def test_loading_leaves_the_file_as_it_is(tmp_path: Path, save: Saver) -> None:
    save(tmp_path / "saved", network(1))
    before = (tmp_path / "saved").read_bytes()
    weights_file.load(tmp_path / "saved", network(2))
    assert (tmp_path / "saved").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


@pytest.fixture(scope="module")
def trained_in_keras_2() -> tf_keras.Model:
    """Gives a network that Keras 2 has compiled and trained, with an optimiser and metrics."""
    trained = tf_keras.Sequential(
        [
            tf_keras.Input(SHAPE),
            tf_keras.layers.Rescaling(1 / 255),
            tf_keras.layers.Conv2D(16, 8, 4, activation="relu"),
            tf_keras.layers.Conv2D(32, 4, 2, activation="relu"),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(256, activation="relu"),
            tf_keras.layers.Dense(3),
        ]
    )
    trained.compile(optimizer="adam", loss="mse", metrics=["mae"])
    trained.train_on_batch(STATES.astype(np.float32), np.ones((3, 3), np.float32))
    return trained


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
@pytest.mark.parametrize(
    ("name", "save"),
    [("w.weights.h5", "save_weights"), ("w.h5", "save_weights"), ("w.keras", "save"),
     ("w.h5", "save")],
)  # fmt: skip
def test_network_that_keras_2_trained_gives_the_same_values(
    tmp_path: Path, trained_in_keras_2: tf_keras.Model, name: str, save: str
) -> None:
    getattr(trained_in_keras_2, save)(tmp_path / name)
    into = network(2)
    weights_file.load(tmp_path / name, into)
    theirs = trained_in_keras_2.predict_on_batch(STATES.astype(np.float32))
    np.testing.assert_allclose(values(into), theirs, rtol=1e-5)


# ---------------------------------------------------------------- channels first

SCRIPT_ACTIONS = 4
SCRIPT_STATES = np.random.default_rng(1).integers(0, 256, (6, 4, 84, 84), np.uint8)


def script_network(channels: str = "channels_first") -> tf_keras.Model:
    """Returns the network of the original script, as it makes it in Keras 2.

    Its convolutions have the channels first, which TensorFlow cannot run on a CPU. With
    "channels_last" they have them last, and are put first behind the convolutions, where the script
    flattens them: the same values from the same weights.
    """
    first = channels == "channels_first"
    return tf_keras.Sequential(
        [
            tf_keras.Input((4, 84, 84) if first else (84, 84, 4)),
            tf_keras.layers.Conv2D(32, 8, 4, activation="relu", data_format=channels),
            tf_keras.layers.Conv2D(64, 4, 2, activation="relu", data_format=channels),
            tf_keras.layers.Conv2D(64, 3, 1, activation="relu", data_format=channels),
            *([] if first else [tf_keras.layers.Permute((3, 1, 2))]),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(512, activation="relu"),
            tf_keras.layers.Dense(SCRIPT_ACTIONS),
        ]
    )


def script_weights() -> list[np.ndarray]:
    """Returns weights for `script_network` that keep its values of any size apart."""
    rng = np.random.default_rng(2)
    return [
        rng.normal(0, np.prod(array.shape[:-1]) ** -0.5, array.shape).astype(np.float32)
        for array in script_network().get_weights()
    ]


@pytest.fixture(scope="module")
def script_values() -> np.ndarray:
    """Gives what the script's network makes of `SCRIPT_STATES` with `script_weights`."""
    reference = script_network("channels_last")
    reference.set_weights(script_weights())
    return reference.predict_on_batch(SCRIPT_STATES.transpose(0, 2, 3, 1).astype(np.float32))


def script_file(path: Path, save: str) -> Path:
    """Writes `script_weights` by a method of Keras 2's models, and returns where."""
    saved = script_network()
    saved.set_weights(script_weights())
    getattr(saved, save)(path / "script.h5")
    return path / "script.h5"


def loaded_script_values(path: Path, channels_first: bool) -> np.ndarray:
    """Returns what our network makes of `SCRIPT_STATES` with the weights in a file."""
    options = NetworkOptions(input_scaling=False)
    ours = nature_network((84, 84, 4), SCRIPT_ACTIONS, 0, options)
    weights_file.load(path, ours, channels_first)
    return ours.predict_on_batch(SCRIPT_STATES.transpose(0, 2, 3, 1))


def test_weights_of_the_script_give_its_values(tmp_path: Path, script_values: np.ndarray) -> None:
    path = script_file(tmp_path, "save_weights")
    found = loaded_script_values(path, channels_first=True)
    np.testing.assert_allclose(found, script_values, rtol=1e-4)


def test_layout_of_weights_alone_is_what_it_is_said_to_be(
    tmp_path: Path, script_values: np.ndarray
) -> None:
    path = script_file(tmp_path, "save_weights")
    found = loaded_script_values(path, channels_first=False)
    assert not np.allclose(found, script_values, rtol=0.1)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
@pytest.mark.parametrize("channels_first", [False, True])
def test_model_of_the_script_tells_its_layout_itself(
    tmp_path: Path, script_values: np.ndarray, channels_first: bool
) -> None:
    found = loaded_script_values(script_file(tmp_path, "save"), channels_first)
    np.testing.assert_allclose(found, script_values, rtol=1e-4)


@pytest.mark.parametrize("save", [save_keras_2_model, save_keras_3_model])
def test_model_with_its_channels_last_is_not_taken_for_another(tmp_path: Path, save: Saver) -> None:
    saved, other = network(1), network(2)
    save(tmp_path / "saved", saved)
    weights_file.load(tmp_path / "saved", other, channels_first=True)
    np.testing.assert_array_equal(values(other), values(saved))


@pytest.mark.parametrize("save", [save_keras_2_model, save_keras_3_model])
@pytest.mark.parametrize("told", [False, True])
def test_flatten_that_is_told_of_channels_first_has_put_them_last(
    tmp_path: Path, save: Saver, told: bool
) -> None:
    """Keras's `Flatten` with a data format of channels first flattens as if they were last."""
    first = {"data_format": "channels_first"}
    saved = keras.Sequential(
        [
            keras.Input((2, 36, 36)),
            keras.layers.Conv2D(16, 8, 4, activation="relu", **first),
            keras.layers.Conv2D(32, 4, 2, activation="relu", **first),
            keras.layers.Flatten(**(first if told else {})),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(3),
        ]
    )
    save(tmp_path / "saved", saved)
    into = network(2)
    weights_file.load(tmp_path / "saved", into)
    places = np.arange(288, dtype=np.float32).reshape(1, 32, 3, 3)  # 32 channels of 3×3
    theirs, ours = saved.layers[-3](places)[0], places.transpose(0, 2, 3, 1).ravel()
    rows = dict(zip(np.asarray(theirs), saved.get_weights()[4], strict=True))
    np.testing.assert_array_equal(into.get_weights()[4], [rows[place] for place in ours])


def test_weights_that_this_program_wrote_are_not_taken_for_the_scripts(tmp_path: Path) -> None:
    saved, into = network(1), network(2)
    weights_file.save(tmp_path / "saved", saved)
    weights_file.load(tmp_path / "saved", into, channels_first=True)
    np.testing.assert_array_equal(values(into), values(saved))


@pytest.mark.parametrize("save", [save_keras_3_weights, save_keras_2_weights])
def test_layout_changes_the_kernel_behind_the_convolutions_alone(
    tmp_path: Path, save: Saver
) -> None:
    saved, into = network(1), network(2)
    save(tmp_path / "saved", saved)
    weights_file.load(tmp_path / "saved", into, channels_first=True)
    same = [
        np.array_equal(ours, theirs)
        for ours, theirs in zip(into.get_weights(), saved.get_weights(), strict=True)
    ]
    assert same == [True] * 4 + [False] + [True] * 3


@pytest.mark.parametrize("option", ["dueling", "noisy", "fractions"])
def test_layout_is_refused_where_it_could_not_be_changed(tmp_path: Path, option: str) -> None:
    """A network with something between its convolutions and its dense layer."""
    saved, into = (
        nips_network(SHAPE, 3, seed, NetworkOptions(**{option: True})) for seed in (1, 2)
    )
    save_keras_3_weights(tmp_path / "w.h5", saved)
    before = into.get_weights()
    with pytest.raises(WeightsError, match="--dueling") as refused:
        weights_file.load(tmp_path / "w.h5", into, channels_first=True)
    assert len(str(refused.value).splitlines()) == 1
    for ours, theirs in zip(into.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# ---------------------------------------------------------------- what is refused


def test_missing_file_is_refused(tmp_path: Path, loaded: keras.Model) -> None:
    assert "does not exist" in refusal(tmp_path / "missing.h5", loaded)


def zipped(*names: str) -> bytes:
    """Returns a zip archive with empty files of these names."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.writestr(name, b"")
    return archive.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (zipped("data", "policy.pth", "pytorch_variables.pth"), "an agent of Stable-Baselines3"),
        (zipped("archive/data.pkl", "archive/data/0"), "a file of PyTorch"),
        (zipped("a.npy"), "a zip archive without model.weights.h5"),
        (zipped("config.json")[:-9], "a zip archive that is not whole"),
        (zipped("config.json").replace(b"PK\1\2", b"PK\1\3"), "a zip archive that is not whole"),
        (pickle.dumps({}, 2), "a pickle, as old files of PyTorch are"),
        (b"\x89PNG\r\n\x1a\n" + bytes(9), "a picture"),
        (b"DQNARRAY" + bytes(9), "a part of a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
         "a text, 'version https://git-lfs.github.com/spec/v1'"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "in an unknown format"),
    ],
)  # fmt: skip
def test_file_that_is_no_weights_file_is_refused_as_what_it_is(
    tmp_path: Path, loaded: keras.Model, content: bytes, kind: str
) -> None:
    path = tmp_path / "w.h5"
    path.write_bytes(content)
    readable = "weights in HDF5 (.h5, .weights.h5) and Keras's models (.keras) can be read"
    assert refusal(path, loaded) == f"{path} is {kind}, and no weights file: {readable}"


def test_folder_is_refused_as_a_folder(tmp_path: Path, loaded: keras.Model) -> None:
    assert f"{tmp_path} is a folder: weights in HDF5" in refusal(tmp_path, loaded)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"Episode: 0 Reward: -28.0 Steps: 255\n",
        random.Random(0).randbytes(5_000),
        b"\x89HDF\r\n\x1a\n",
        b"\x89HDF\r\n\x1a\n" + random.Random(1).randbytes(5_000),
        b"PK\x03\x04",
        b"PK\x03\x04" + random.Random(2).randbytes(5_000),
    ],
    ids=["empty", "zero", "text", "random", "hdf5", "hdf5_random", "zip", "zip_random"],
)
def test_file_that_holds_no_weights_is_refused_and_not_called_damaged(
    tmp_path: Path, loaded: keras.Model, content: bytes
) -> None:
    (tmp_path / "w.h5").write_bytes(content)
    assert "damaged" not in refusal(tmp_path / "w.h5", loaded)


def test_other_hdf5_file_is_refused(tmp_path: Path, loaded: keras.Model) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["pictures"] = np.zeros((3, 4))
    line = refusal(tmp_path / "w.h5", loaded)
    assert "is an HDF5 file without weights of Keras: " in line


@savers
@pytest.mark.parametrize("share", [0.0005, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_file_cut_short_is_refused(
    tmp_path: Path, loaded: keras.Model, save: Saver, share: float
) -> None:
    path = tmp_path / "w.h5"
    save(path, network(1))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refusal(path, loaded)


@pytest.mark.parametrize("save", [save_keras_3_weights, save_keras_3_model])
def test_damaged_byte_is_refused_or_loads_and_never_crashes(
    tmp_path: Path, loaded: keras.Model, save: Saver
) -> None:
    path = tmp_path / "w.h5"
    save(path, network(1))
    whole = path.read_bytes()
    # The first and the last bytes hold the layout; most of the others are weights.
    places = random.Random(0)
    edges = [*range(4_000), *range(len(whole) - 2_000, len(whole))]
    refused = 0
    for place in places.sample(edges, 60):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            weights_file.load(path, loaded)
        except WeightsError as error:
            assert len(str(error).splitlines()) == 1
            refused += 1
    assert refused > 0


def test_any_damaged_byte_of_a_file_of_ours_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    saved, into, other = network(1), network(2), network(3).get_weights()
    weights_file.save(path, saved)
    whole = path.read_bytes()
    rng = random.Random(0)
    anywhere = [rng.randrange(len(whole)) for _ in range(300)]
    refused = 0
    for place in [*range(12), *anywhere, *range(len(whole) - 12, len(whole))]:
        damaged = bytearray(whole)
        damaged[place] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        into.set_weights(other)
        try:
            weights_file.load(path, into)
        except WeightsError as error:
            assert str(error).startswith(f"{path} is ")
            assert len(str(error).splitlines()) == 1
            refused += 1
        else:
            assert_same_weights(into, saved)
    assert refused >= 312


def test_damage_is_found_before_the_hdf5_library_reads(tmp_path: Path, loaded: keras.Model) -> None:
    path = tmp_path / "w.h5"
    weights_file.save(path, network(1))
    whole = path.read_bytes()
    # Behind the first bytes and before the last, nothing that HDF5 could make sense of.
    path.write_bytes(whole[:8] + random.Random(0).randbytes(len(whole) - 20) + whole[-12:])
    assert refusal(path, loaded) == f"{path} is damaged: its checksum does not match"


@pytest.mark.parametrize("version", [2, 10])
def test_newer_format_version_is_refused_by_both_numbers(
    tmp_path: Path, loaded: keras.Model, version: int
) -> None:
    path = tmp_path / "w.h5"
    weights_file.save(path, network(1))
    with h5py.File(path, "r+") as file:
        assert file.attrs["format_version"] == 1
        file.attrs["format_version"] = version
    line = refusal(path, loaded)
    assert line.startswith(f"{path} is of format version {version}, and this program reads up to 1")


# Keras says so before it finds that there are no weights.
@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize("save", [save_keras_3_weights, save_keras_2_weights, save_keras_2_model])
def test_garbled_name_inside_a_file_is_refused(
    tmp_path: Path, loaded: keras.Model, save: Saver
) -> None:
    path = tmp_path / "w.h5"
    save(path, network(1))
    name = b"vars\0" if save is save_keras_3_weights else b"kernel\0"
    assert name in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(name, b"\xb3" + name[1:]))
    refusal(path, loaded)


def test_damaged_address_of_the_root_of_a_file_is_refused(
    tmp_path: Path, loaded: keras.Model
) -> None:
    path = tmp_path / "w.h5"
    save_keras_3_weights(path, network(1))
    damaged = bytearray(path.read_bytes())
    damaged[134] ^= 0x02
    path.write_bytes(damaged)
    refusal(path, loaded)


@savers
def test_other_number_of_actions_is_refused_with_both_numbers(tmp_path: Path, save: Saver) -> None:
    save(tmp_path / "w.h5", network(1, actions=6))
    line = refusal(tmp_path / "w.h5", network(2, actions=4)).removeprefix(str(tmp_path))
    assert re.findall(r"\b\d+\b", line.split("fit:")[1]) == ["6", "4"]


@savers
def test_weights_of_another_network_are_refused_with_the_flag_to_change(
    tmp_path: Path, save: Saver
) -> None:
    save(tmp_path / "w.h5", nature_network(SHAPE, 3, 1))
    assert "--network" in refusal(tmp_path / "w.h5", network(2))


def test_weights_of_another_frame_stack_are_refused_with_the_flag_to_change(
    tmp_path: Path,
) -> None:
    weights_file.save(tmp_path / "w.h5", nips_network((36, 36, 4), 3, 1))
    assert "--framestacksize" in refusal(tmp_path / "w.h5", network(2))


def test_weights_of_a_network_that_whitens_need_one_that_does_and_no_other(tmp_path: Path) -> None:
    whitening = nips_network(SHAPE, 3, 1, NetworkOptions(whitening=True))
    weights_file.save(tmp_path / "whitens.h5", whitening)
    weights_file.save(tmp_path / "does not.h5", network(1))
    line = refusal(tmp_path / "whitens.h5", network(2))
    assert line.endswith("it is of a network that does whiten pixels: give --whitening")
    line = refusal(tmp_path / "does not.h5", whitening)
    assert line.endswith("it is of a network that does not whiten pixels: give --no-whitening")


def test_refused_weights_leave_the_network_as_it_was(tmp_path: Path) -> None:
    weights_file.save(tmp_path / "w.h5", network(1, actions=6))
    into = network(2)
    before = values(into)
    refusal(tmp_path / "w.h5", into)
    np.testing.assert_array_equal(values(into), before)


# ---------------------------------------------------------------- what is written


def test_saving_again_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for seed in (1, 2):
        weights_file.save(tmp_path / "w.h5", network(seed))
    into = network(3)
    weights_file.load(tmp_path / "w.h5", into)
    np.testing.assert_array_equal(values(into), values(network(2)))
    assert [path.name for path in tmp_path.iterdir()] == ["w.h5"]


def test_keras_and_hdf5_read_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "saved.weights.h5"
    saved, into = network(1), network(2)
    weights_file.save(path, saved, "a run")
    into.load_weights(path)
    assert_same_weights(into, saved)
    with h5py.File(path) as file:
        assert dict(file.attrs) == {
            "data_format": "channels_last",
            "format_version": 1,
            "run": "a run",
        }


def test_file_ends_in_the_documented_checksum(tmp_path: Path) -> None:
    weights_file.save(tmp_path / "w.h5", network(1))
    content = (tmp_path / "w.h5").read_bytes()
    assert content[-12:] == b"DQNCHECK" + struct.pack("<I", zlib.crc32(content[:-12]))


def test_file_of_ours_that_another_program_changed_is_read_as_one_without_a_checksum(
    tmp_path: Path,
) -> None:
    saved, into = network(1), network(2)
    weights_file.save(tmp_path / "w.h5", saved)
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        file.attrs["note"] = "of mine"
    weights_file.load(tmp_path / "w.h5", into)
    assert_same_weights(into, saved)


# ---------------------------------------------------------------- half precision


def half(path: Path, of: keras.Model) -> None:
    weights_file.save(path, of, "a run", half=True)


@pytest.mark.parametrize(
    "options",
    [{}, {"normalization": "spectral"}, {"dueling": True, "noisy": True}],
    ids=["plain", "spectral", "dueling and noisy"],
)
def test_half_precision_loads_as_the_weights_rounded_to_float16(
    tmp_path: Path, options: dict
) -> None:
    saved, into = (nips_network(SHAPE, 3, seed, NetworkOptions(**options)) for seed in (1, 2))
    half(tmp_path / "w.h5", saved)
    weights_file.load(tmp_path / "w.h5", into)
    for ours, theirs in zip(into.get_weights(), saved.get_weights(), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs.astype(np.float16).astype(np.float32))
    assert weights_file.run_of(tmp_path / "w.h5") == "a run"


def test_half_precision_changes_values_by_no_more_than_rounding(tmp_path: Path) -> None:
    saved, into = network(1), network(2)
    half(tmp_path / "w.h5", saved)
    weights_file.load(tmp_path / "w.h5", into)
    # A weight moves by 2**-11 of itself at most, in each of four layers.
    largest = np.abs(values(saved)).max()
    np.testing.assert_allclose(values(into), values(saved), rtol=0, atol=4 * 2**-11 * largest)
    assert not np.array_equal(values(into), values(saved))


def test_half_precision_halves_the_file_and_repeats(tmp_path: Path) -> None:
    saved = nips_network((84, 84, 4), 4, 1)
    weights_file.save(tmp_path / "whole.h5", saved)
    for name in ("first.h5", "second.h5"):
        half(tmp_path / name, saved)
    sizes = [(tmp_path / name).stat().st_size for name in ("whole.h5", "first.h5")]
    assert 0.49 < sizes[1] / sizes[0] < 0.51
    assert (tmp_path / "first.h5").read_bytes() == (tmp_path / "second.h5").read_bytes()


@pytest.mark.parametrize("place", [8, 100, 20_000, -13, -1])
def test_damage_to_half_precision_is_refused(
    tmp_path: Path, loaded: keras.Model, place: int
) -> None:
    half(tmp_path / "w.h5", network(1))
    damaged = bytearray((tmp_path / "w.h5").read_bytes())
    damaged[place] ^= 0x01
    (tmp_path / "w.h5").write_bytes(damaged)
    assert "checksum does not match" in refusal(tmp_path / "w.h5", loaded)


def test_half_precision_of_another_network_is_refused(tmp_path: Path, loaded: keras.Model) -> None:
    half(tmp_path / "w.h5", network(1, actions=6))
    assert "it has 6 values for the actions" in refusal(tmp_path / "w.h5", loaded)
    half(tmp_path / "w.h5", nature_network(SHAPE, 3, 1))
    assert "--network" in refusal(tmp_path / "w.h5", loaded)


@pytest.mark.parametrize("weight", [7e4, -7e4, np.inf, np.nan])
def test_weight_beyond_half_precision_is_refused_and_nothing_written(
    tmp_path: Path, weight: float
) -> None:
    saved = network(1)
    weights = saved.get_weights()
    weights[0][0, 0, 0, 0] = weight
    saved.set_weights(weights)
    with pytest.raises(WeightsError, match="beyond half precision"):
        half(tmp_path / "w.h5", saved)
    assert not list(tmp_path.iterdir())


# Saves weights, and then saves others where the disk is full, in place of what lies there.
SAVE = """
import resource, sys
from pathlib import Path
from storage import weights as weights_file
from learning.networks import nips_network
weights_file.save(Path(sys.argv[1]), nips_network((36, 36, 2), 3, 1), "a run")
network = nips_network((36, 36, 2), 3, 2)
for limit in (0, 20_000, 100_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        weights_file.save(Path(sys.argv[2]), network)
    except Exception as error:
        raised = "OSError" if isinstance(error, OSError) else repr(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(raised)
"""


class Saved(NamedTuple):
    """What another process left."""

    weights: bytes
    folder: Path  # of what it could not save on a full disk
    before: bytes  # what the file in there held
    process: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Gives what a process saves, made once."""
    weights, folder = tmp_path_factory.mktemp("saved") / "w.h5", tmp_path_factory.mktemp("full")
    path = folder / "w.h5"
    weights_file.save(path, network(1))
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", SAVE, weights, path], cwd=ROOT, capture_output=True, text=True
    )
    return Saved(weights.read_bytes(), folder, before, done)


def test_same_weights_and_run_give_the_same_bytes_in_another_process(
    tmp_path: Path, saved: Saved
) -> None:
    keras.utils.clear_session()  # names of layers begin anew, as in that process
    weights_file.save(tmp_path / "first", nips_network((36, 36, 2), 3, 1), "a run")
    assert saved.weights == (tmp_path / "first").read_bytes()


@pytest.mark.parametrize("run", ["a run", "6b1f8c", "läuft"])
def test_run_of_a_file_is_the_one_it_was_saved_with(tmp_path: Path, run: str) -> None:
    weights_file.save(tmp_path / "w.h5", network(1), run)
    assert weights_file.run_of(tmp_path / "w.h5") == run


@savers
def test_file_that_was_saved_without_a_run_has_none(tmp_path: Path, save: Saver) -> None:
    save(tmp_path / "saved", network(1))
    assert weights_file.run_of(tmp_path / "saved") is None


def test_what_does_not_end_as_ours_has_no_run_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    weights_file.save(path, network(1), "a run")
    whole = path.read_bytes()
    for content in (b"", whole[:-1]):
        path.write_bytes(content)
        assert weights_file.run_of(path) is None
    for content in (b"DQNCHECK", whole[1:], whole[:-12] + b"\0" + whole[-12:]):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"w\.h5 is damaged"):
            weights_file.run_of(path)
    path.unlink()
    with pytest.raises(OSError, match="No such file"):
        weights_file.run_of(path)


def test_saving_into_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        weights_file.save(tmp_path / "missing" / "w.h5", network(1))


def test_full_disk_is_an_os_error_and_leaves_the_old_weights_whole(saved: Saved) -> None:
    [path] = saved.folder.iterdir()
    assert (path.name, path.read_bytes()) == ("w.h5", saved.before)
    assert saved.process.returncode == 0, saved.process.stderr[-2000:]
    assert saved.process.stdout.splitlines() == ["OSError"] * 3
