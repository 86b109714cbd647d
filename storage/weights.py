"""Weights of a network as a file: written in Keras's format, read in that and older ones.

A file that is written here ends in a checksum, which HDF5 does not read. Numbers are little-endian:

    …         HDF5, as Keras writes it, with the attributes below at its root; weights are float32
              or, in half precision, float16
    8 bytes   b"DQNCHECK"
    uint32    CRC-32 of all bytes so far

    data_format     "channels_last"
    format_version  1
    run             names the run that wrote it, or is empty
"""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Nobody else writes a file while it is read or written here, and some file systems have no locks.
# The HDF5 library looks at this as it is loaded; it is Keras that opens most of the files.
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"

import h5py
import numpy as np

from storage.arrays import MAGIC
from storage.files import replacing
from system.errors import OneLineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import keras

HDF5_HEAD, ZIP_HEAD = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
LAYOUT = "data_format"  # the attribute that says that channels come last; only our files have it
VERSION = 1  # of the format of our files
CHECKSUM_HEAD, CHECKSUM = b"DQNCHECK", struct.Struct("<8sI")
HDF5_OVERHEAD = 100_000  # bytes at most that a file is larger than the weights in it
ARCHIVED = "model.weights.h5"  # the weights in a `.keras` file, which is a zip archive
# Groups of a file with the network's layers: of Keras 2's whole models, of today, of Keras 2.12.
LAYERS = "model_weights", "layers", "_layer_checkpoint_dependencies"
READABLE = "weights in HDF5 (.h5, .weights.h5) and Keras's models (.keras) can be read"
# Members of zip archives, and beginnings of files, by which those of other programs are known.
OTHER_ARCHIVES = {
    "policy.pth": "an agent of Stable-Baselines3",
    "data.pkl": "a file of PyTorch",
}
OTHER_HEADS = {
    MAGIC: "a part of a checkpoint",
    b"\x80\x02": "a pickle, as old files of PyTorch are",
    b"\x89PNG": "a picture",
}
LETTERS_SHOWN = 60  # of a text that is taken for weights


class WeightsError(OneLineError):
    """Weights that cannot be loaded into a network, said in one line."""


def save(path: Path, network: keras.Model, run: str = "", half: bool = False) -> None:
    """Writes the weights of a network, whole or not at all.

    The same weights and run give the same bytes in each process that makes the same networks in the
    same order: the file has the names that Keras gives to layers, with numbers in them.

    Args:
        path: the file to write or to replace.
        network: has the weights.
        run: a short name of the run, which `run_of` returns.
        half: whether to round the weights to float16, for a file of half the size.

    Raises:
        OSError: the file cannot be written; one that was there stays.
        WeightsError: a weight is beyond what float16 can hold.
    """
    room = sum(array.nbytes for array in network.get_weights()) + HDF5_OVERHEAD
    # Keras chooses the format by the end of the name.
    with replacing(path, suffix=".weights.h5") as new:
        # The HDF5 library may crash on a disk that becomes full, so the room is taken first.
        new.write_bytes(bytes(room))
        network.save_weights(new)
        if half:
            _halve(new)
        with h5py.File(new, "r+") as file:
            file.attrs.update({LAYOUT: "channels_last", "format_version": VERSION, "run": run})
        checksum = zlib.crc32(new.read_bytes())
        with new.open("ab") as written:
            written.write(CHECKSUM.pack(CHECKSUM_HEAD, checksum))


def _halve(path: Path) -> None:
    """Writes an HDF5 file anew, with its arrays in float16.

    Raises:
        WeightsError: a weight is beyond what float16 can hold.
    """
    content = io.BytesIO()
    with h5py.File(path) as old, h5py.File(content, "w") as new:

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                written = new.create_dataset(name, data=_rounded(item[()]))
            else:
                written = new.create_group(name)
            written.attrs.update(item.attrs)

        old.visititems(copy)
        new.attrs.update(old.attrs)
    path.write_bytes(content.getvalue())


def _rounded(array: np.ndarray) -> np.ndarray:
    """Returns an array in float16; raises WeightsError where an element is beyond its range."""
    largest = np.abs(array).max(initial=0)
    if not largest <= np.finfo(np.float16).max:
        raise WeightsError(f"a weight of size {largest:g} is beyond half precision")
    return array.astype(np.float16)


def load(path: Path, network: keras.Model, channels_first: bool = False) -> None:
    """Loads weights into a network.

    Reads Keras's `.weights.h5` and `.keras` files and its older HDF5 layouts, which it tells apart
    by their content, not by name. Weights in half precision become float32 again.

    Args:
        path: the file.
        network: takes the weights; its convolutions have their channels last.
        channels_first: whether the weights are of a network that has them first, so that the rows
            of the dense kernel behind its convolutions are in another order. A file of a whole
            model, or one that `save` wrote, says that itself, and this argument does not count.

    Raises:
        OSError: there is no place for a temporary copy.
        WeightsError: the file is missing, damaged, in another format, of a newer version, or does
            not fit the network's shapes.
    """
    _check_kind(path)
    wanted = [tuple(variable.shape) for variable in network.weights]
    # Keras chooses the format by the end of the name, and reads nothing that has no name.
    with tempfile.TemporaryDirectory(prefix="copy-of-weights-") as folder:
        copy = Path(folder) / "copy"
        shutil.copyfile(path, copy)
        try:
            # The HDF5 library may crash or hang on a damaged file, so the checksum comes first.
            _has_checksum(copy)
            suffix = _format(copy)
            shapes = _shapes(copy, suffix)
            fits = sorted(shapes) == sorted(wanted)
            if fits:
                named = copy.rename(copy.with_name(f"copy{suffix}"))
                if _flattens_channels_first(named, otherwise=channels_first):
                    _load_channels_first(named, network)
                else:
                    network.load_weights(named)
        except WeightsError as error:
            raise WeightsError(f"{path} {error}") from error
        except Exception as error:  # whatever the libraries raise on a file that is not whole
            raise WeightsError(f"{path} cannot be read: {_first_line(error)}") from error
    if not fits:
        raise WeightsError(f"{path} does not fit: {_mismatch(shapes, wanted)}")


def run_of(path: Path) -> str | None:
    """Returns the name of the run that wrote a file.

    Returns:
        None where `save` was given no name, or did not write the file.

    Raises:
        OSError: the file is missing or cannot be read.
        WeightsError: it is damaged.
    """
    try:
        if not _has_checksum(path):
            return None
    except WeightsError as error:
        raise WeightsError(f"{path} {error}") from error
    with h5py.File(path) as file:
        return file.attrs["run"] or None


def _has_checksum(path: Path) -> bool:
    """Returns whether a file ends in a checksum; raises WeightsError where that is wrong."""
    content = path.read_bytes()
    content, end = content[: -CHECKSUM.size], content[-CHECKSUM.size :]
    if not end.startswith(CHECKSUM_HEAD):
        return False
    if end != CHECKSUM.pack(CHECKSUM_HEAD, zlib.crc32(content)):
        raise WeightsError("is damaged: its checksum does not match")
    return True


def _check_kind(path: Path) -> None:
    """Raises WeightsError where there is no file, or its kind is one without weights of Keras."""
    try:
        if path.is_dir():
            raise WeightsError(f"{path} is a folder: {READABLE}")
        with path.open("rb") as file:
            head = file.read(1_000)
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist: give the path of a weights file") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error
    if not head:
        raise WeightsError(f"{path} is empty: give a weights file that was written whole")
    if not head.startswith(HDF5_HEAD) and (kind := _other_kind(path, head)):
        raise WeightsError(f"{path} is {kind}, and no weights file: {READABLE}")


def _other_kind(path: Path, head: bytes) -> str | None:
    """Returns in words what a file is that is not HDF5; None for one in Keras's `.keras` format."""
    if head.startswith(ZIP_HEAD):
        return _other_archive(path)
    for start, kind in OTHER_HEADS.items():
        if head.startswith(start):
            return kind
    line = head.decode(errors="replace").lstrip().partition("\n")[0].rstrip()[:LETTERS_SHOWN]
    is_text = line.isprintable() and "\N{REPLACEMENT CHARACTER}" not in line
    return f"a text, {line!r}" if is_text else "in an unknown format"


def _other_archive(path: Path) -> str | None:
    """Returns in words what a zip archive is; None where it is in Keras's `.keras` format."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.rpartition("/")[2] for name in archive.namelist()}
    except Exception:  # whatever the library raises on an archive that is not whole
        return "a zip archive that is not whole"
    if ARCHIVED in members:
        return None
    kinds = (kind for member, kind in OTHER_ARCHIVES.items() if member in members)
    return next(kinds, f"a zip archive without {ARCHIVED}")


def _format(path: Path) -> str:
    """Returns the end of a name by which Keras knows the format of a file.

    Raises:
        WeightsError: its format version is newer than this program.
    """
    if zipfile.is_zipfile(path):
        return ".keras"
    with h5py.File(path) as file:
        if (version := file.attrs.get("format_version", 0)) > VERSION:
            raise WeightsError(
                f"is of format version {version}, and this program reads up to {VERSION}: "
                "update the program, or give other weights"
            )
        older = "layer_names" in file.attrs or "model_weights" in file
    return ".h5" if older else ".weights.h5"


def _shapes(path: Path, suffix: str) -> list[tuple[int, ...]]:
    """Returns the shapes of a file's weights, without the optimiser's and metrics', in no order.

    Raises:
        WeightsError: it is an HDF5 file of another program.
    """
    if suffix == ".keras":
        with zipfile.ZipFile(path) as archive, archive.open(ARCHIVED) as inner:
            return _shapes_in(inner)
    return _shapes_in(path)


def _shapes_in(hdf5: Any) -> list[tuple[int, ...]]:
    """Returns the shapes of the weights in an HDF5 file, a path or an open file; see `_shapes`."""
    shapes: list[tuple[int, ...]] = []

    def collect(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            shapes.append(item.shape)

    with h5py.File(hdf5) as file:
        # Keras 2's files of weights alone have the layers at their root.
        group = file if "layer_names" in file.attrs else None
        for name in LAYERS:
            group = group or file.get(name)
        if group is None:
            raise WeightsError(f"is an HDF5 file without weights of Keras: {READABLE}")
        group.visititems(collect)
    return shapes


def _flattens_channels_first(path: Path, otherwise: bool) -> bool:
    """Returns whether the model in a file flattens its channels first.

    Args:
        path: a file whose name ends as Keras expects of its format.
        otherwise: what to return where the file has weights alone.
    """
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            config = archive.read("config.json")
    else:
        with h5py.File(path) as file:
            config = file.attrs.get("model_config")
            otherwise = otherwise and LAYOUT not in file.attrs
    if config is None:
        return otherwise
    # A `Flatten` with channels first puts them last before it flattens.
    formats = dict(_data_formats(json.loads(config)))
    return formats.get("Conv2D") == "channels_first" and formats.get("Flatten") != "channels_first"


def _data_formats(config: Any) -> Iterator[tuple[str, str]]:
    """Yields class and data format of each layer in a model's configuration that has a format."""
    if isinstance(config, dict):
        layer = config.get("config")
        if isinstance(layer, dict) and "data_format" in layer:
            yield config["class_name"], layer["data_format"]
        config = list(config.values())
    if isinstance(config, list):
        for item in config:
            yield from _data_formats(item)


def _load_channels_first(path: Path, network: keras.Model) -> None:
    """Loads the weights of a network whose channels come first into one where they come last.

    A convolution's kernel is (height, width, channels, filters) in both. A dense kernel behind
    `Flatten` has its rows in the order of what `Flatten` gives:

    # channels first:  [channel 0: (y0 x0) (y0 x1) ... ][channel 1: (y0 x0) (y0 x1) ... ]
    # channels last:   [y0 x0: (channel 0) (channel 1) ... ][y0 x1: (channel 0) (channel 1) ... ]

    Raises:
        WeightsError: the network has no dense layer directly behind `Flatten`.
    """
    # Imported here, so that `run_of` is quick: a caller that has a network has loaded Keras.
    from keras.layers import Flatten

    flattens = [layer for layer in network.layers if isinstance(layer, Flatten)]
    behind = [
        (layer, flatten.input.shape[1:])
        for flatten in flattens
        for layer in network.layers
        if layer.weights and layer.input is flatten.output
    ]
    if not behind:
        raise WeightsError(
            "does not fit: no dense layer follows this network's convolutions directly, as in that "
            "of channels-first weights: leave out --dueling, --noisy and --distribution iqn"
        )
    network.load_weights(path)
    for layer, (height, width, channels) in behind:
        rows = np.arange(height * width * channels).reshape(channels, height, width)
        order = rows.transpose(1, 2, 0).ravel()
        # A kernel has a row for each input; a bias has none.
        layer.set_weights(
            [array[order] if array.ndim == 2 else array for array in layer.get_weights()]
        )


def _mismatch(shapes: list[tuple[int, ...]], wanted: list[tuple[int, ...]]) -> str:
    """Returns how the shapes of a file's weights differ from those wanted."""
    missing, extra = Counter(wanted) - Counter(shapes), Counter(shapes) - Counter(wanted)
    if {shape[:-1] for shape in missing} == {shape[:-1] for shape in extra}:
        theirs, ours = ({shape[-1] for shape in unmatched} for unmatched in (extra, missing))
        if len(theirs) == len(ours) == 1:  # only the last layer differs, as no other follows it
            return f"it has {theirs.pop()} values for the actions, this run has {ours.pop()}"
    if all(len(shape) == 3 for shape in missing | extra):  # the statistics of pixels
        does, flag = ("does not", "--no-whitening") if missing else ("does", "--whitening")
        return f"it is of a network that {does} whiten pixels: give {flag}"
    shape = next(iter(missing or extra))
    return (
        f"it is of another network, {'without' if missing else 'with'} weights of shape {shape}; "
        "give the --network, its options and the --framestacksize that it was trained with"
    )


def _first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or its class where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
