"""Named arrays and a few attributes in one file, with checksums.

To write, and to read what was written:

    save(path, "replay memory", {"next_row": 7}, {"actions": actions, "frames": [old, new]})

    with ArrayFile(path, "replay memory") as file:
        next_row = file.attributes["next_row"]
        actions = file.read("actions")
        file.read_into("frames", old, new)

The file holds, all numbers little-endian:

    8 bytes   b"DQNARRAY"
    uint32    version of this format, 1
    uint64    N, bytes of the header
    N bytes   the header, JSON in UTF-8: {"kind": str, "attributes": {...},
              "arrays": [{"name": str, "dtype": str, "shape": [int, ...]}, ...]}
    uint32    CRC-32 of all bytes so far
    …         the elements of each array, in C order, one array after another
    uint32    CRC-32 of the elements

Nothing in it is ever executed, as a pickle would be. Arrays of gigabytes are written and read in
place, without a copy.
"""

from __future__ import annotations

import errno
import json
import math
import os
import struct
import zlib
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from storage.files import replacing
from storage.state import under
from system.errors import OneLineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from io import BufferedReader
    from pathlib import Path
    from types import TracebackType

MAGIC = b"DQNARRAY"
VERSION = 1
KINDS = "biuf"  # of arrays, as NumPy names them: booleans, integers and floats
SLICE = 2**20  # bytes at a time; the processor's cache has them when they are used a second time

_START = struct.Struct("<8sIQ")  # magic, version, bytes of the header
_CHECKSUM = struct.Struct("<I")


class ArrayFileError(OneLineError):
    """A file of arrays that cannot be used, said in one line."""


class _Array(NamedTuple):
    """Where an array lies in a file."""

    offset: int  # of its first byte, from the start of the file
    dtype: np.dtype
    shape: tuple[int, ...]


def save(
    path: Path,
    kind: str,
    attributes: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray | Sequence[np.ndarray]],
) -> None:
    """Writes arrays and attributes, whole or not at all.

    The new file takes the place of an old one only after it was read back with its checksums.

    Args:
        path: the file to write or to replace.
        kind: what the file is, such as "replay memory"; a reader has to ask for the same.
        attributes: what JSON can hold; tuples come back as lists, and keys as strings.
        arrays: booleans, integers or floats, by name. A sequence of arrays of one shape and dtype
            is written as one array, stacked along a new first axis. A sequence that has a `shape`
            is written as one array of that shape, of which each array is some rows.

    Raises:
        OSError: the file cannot be written, or reads back otherwise; one that was there stays.
        TypeError: JSON cannot hold the attributes.
        ValueError: an array is of another dtype, or a sequence of arrays cannot be stacked.
    """
    described = [_described(name, value) for name, value in arrays.items()]
    header = {"kind": kind, "attributes": attributes, "arrays": described}
    text = json.dumps(header).encode()
    start = _START.pack(MAGIC, VERSION, len(text)) + text
    with replacing(path) as new:
        with new.open("wb") as file:
            file.write(start + _CHECKSUM.pack(zlib.crc32(start)))
            checksum = 0
            for value in arrays.values():
                for piece in [value] if isinstance(value, np.ndarray) else value:
                    for data in _slices(piece):
                        checksum = zlib.crc32(data, checksum)
                        file.write(data)
            file.write(_CHECKSUM.pack(checksum))
        try:
            with ArrayFile(new, kind):
                pass
        except ArrayFileError as error:
            raise OSError(errno.EIO, "it does not read back as written", str(path)) from error


class ArrayFile:
    """A file of arrays that is open for reading, and known to be whole.

    Attributes:
        path: of the file.
        attributes: those that were saved.
    """

    def __init__(self, path: Path, kind: str):
        """Opens a file and checks all of it, which reads it from end to end.

        Args:
            path: the file.
            kind: what it has to be.

        Raises:
            ArrayFileError: there is no file, or it is damaged, cut short, of another format
                version or kind, or no file of arrays.
            OSError: the file cannot be read.
        """
        self.attributes: dict[str, Any] = {}
        self.path = path
        self._arrays: dict[str, _Array] = {}
        try:
            self._file = path.open("rb")
        except FileNotFoundError:
            raise ArrayFileError(f"{path} does not exist: give the path of a {kind} file") from None
        try:
            self._check(kind)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> ArrayFile:
        """Returns the file itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the file."""
        self._file.close()

    @property
    def names(self) -> list[str]:
        """The names of the arrays, in the order in which they were saved."""
        return list(self._arrays)

    def under(self, prefix: str) -> ArrayFile:
        """Returns this file with the arrays alone whose names begin with `prefix` and a slash.

        They have their names without it there. It is closed with this one.
        """
        view = copy(self)
        view._arrays = under(prefix, self._arrays)
        return view

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of an array; raises ArrayFileError where there is none of this name."""
        return self._array(name).shape

    def dtype(self, name: str) -> np.dtype:
        """Returns the dtype of an array; raises ArrayFileError where there is none of this name."""
        return self._array(name).dtype

    def read(self, name: str) -> np.ndarray:
        """Returns a new array.

        Raises:
            ArrayFileError: there is none of this name, or the file was cut short while it was open.
            MemoryError: the machine has no room for it.
            OSError: the file cannot be read.
        """
        array = np.empty(self.shape(name), self.dtype(name))
        self.read_into(name, array)
        return array

    def rows(self, name: str) -> Iterator[np.ndarray]:
        """Yields the rows of an array, along its first axis, as new arrays.

        Raises:
            ArrayFileError: there is none of this name, or the file was cut short while it was open.
            OSError: the file cannot be read.
        """
        array = self._array(name)
        self._file.seek(array.offset)
        for _ in range(array.shape[0]):
            row = np.empty(array.shape[1:], array.dtype)
            self._fill(row)
            yield row

    def read_into(self, name: str, *destinations: np.ndarray) -> None:
        """Reads an array into others, which it fills one after another, without a copy.

        Args:
            name: the array.
            *destinations: C-contiguous, of its dtype, of any shapes, and together of its size.

        Raises:
            ArrayFileError: there is none of this name, or the file was cut short while it was open.
            OSError: the file cannot be read.
            ValueError: the destinations are not such arrays; none of them is changed.
        """
        offset, dtype, shape = self._array(name)
        for array in destinations:
            if array.dtype != dtype:
                raise ValueError(f"{name!r} is {dtype} and cannot be read into {array.dtype}")
            if not (array.flags.c_contiguous and array.flags.writeable):
                raise ValueError(f"{name!r} can only be read into C-contiguous, writable arrays")
        size, room = math.prod(shape), sum(array.size for array in destinations)
        if size != room:
            raise ValueError(f"{name!r} has {size:,} elements and is to fill {room:,}")
        self._file.seek(offset)
        for array in destinations:
            self._fill(array)

    def _fill(self, array: np.ndarray) -> None:
        """Fills an array with what comes next in the file."""
        if self._file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
            raise ArrayFileError(f"{self.path} was cut short while it was open")

    def _array(self, name: str) -> _Array:
        """Returns where an array lies; raises ArrayFileError where there is none of this name."""
        if name not in self._arrays:
            held = ", ".join(map(repr, self._arrays)) or "none"
            raise ArrayFileError(f"{self.path} has no array {name!r}; those in it: {held}")
        return self._arrays[name]

    def _check(self, kind: str) -> None:
        """Reads the whole file; raises ArrayFileError where anything is wrong with it."""
        path, size = self.path, os.fstat(self._file.fileno()).st_size
        start = self._file.read(_START.size)
        if start[: len(MAGIC)] != MAGIC[: len(start)]:
            raise ArrayFileError(f"{path} is no {kind} file: it does not begin with {MAGIC!r}")
        if len(start) < _START.size:
            raise ArrayFileError(f"{path} is cut short: it ends before its header")
        _, version, length = _START.unpack(start)
        if version != VERSION:
            raise ArrayFileError(
                f"{path} is of format version {version}, and only version {VERSION} can be read"
            )
        offset = _START.size + length + _CHECKSUM.size
        if size < offset:
            raise ArrayFileError(f"{path} is cut short or damaged: its header goes beyond its end")
        # A damaged length could ask for any amount of memory, so the checksum comes first.
        self._check_bytes(0, _START.size + length, "header")
        self._file.seek(_START.size)
        try:
            end = self._take_header(json.loads(self._file.read(length)), kind, offset)
        except ArrayFileError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ArrayFileError(f"{path} has a header that no {kind} file has") from error
        whole = end + _CHECKSUM.size
        if size != whole:
            problem = "cut short" if size < whole else "damaged"
            raise ArrayFileError(f"{path} is {problem}: it has {size:,} bytes instead of {whole:,}")
        self._check_bytes(offset, end, "data")

    def _take_header(self, header: Any, kind: str, offset: int) -> int:
        """Takes attributes and arrays, the first at an offset; returns where the last one ends."""
        if header["kind"] != kind:
            raise ArrayFileError(f"{self.path} is a {header['kind']!r} file, not a {kind!r} file")
        self.attributes = header["attributes"]
        for described in header["arrays"]:
            array = _Array(offset, np.dtype(described["dtype"]), tuple(described["shape"]))
            sizes = all(isinstance(size, int) and size >= 0 for size in array.shape)
            if array.dtype.kind not in KINDS or not sizes:
                raise ValueError(f"no array is of {array.dtype} and {array.shape}")
            self._arrays[described["name"]] = array
            offset += math.prod(array.shape) * array.dtype.itemsize
        return offset

    def _check_bytes(self, start: int, end: int, what: str) -> None:
        """Raises ArrayFileError where the checksum of the bytes from start to end is wrong."""
        self._file.seek(start)
        checksum = _checksum(self._file, end - start)
        if self._file.read(_CHECKSUM.size) != _CHECKSUM.pack(checksum):
            raise ArrayFileError(
                f"{self.path} is damaged: the checksum of its {what} does not match"
            )


def _described(name: str, value: np.ndarray | Sequence[np.ndarray]) -> dict[str, Any]:
    """Returns what the header says of an array, or of arrays that will be stacked."""
    whole = getattr(value, "shape", None)
    if isinstance(value, np.ndarray):
        dtype, shape = value.dtype, value.shape
    elif whole is not None:
        dtype, shape = value[0].dtype, whole
    else:
        # By index, as iterating over a loan would give its arrays back.
        kinds = {(value[index].dtype, value[index].shape) for index in range(len(value))}
        if len(kinds) != 1:
            texts = ", ".join(sorted(f"{dtype} {shape}" for dtype, shape in kinds)) or "no arrays"
            raise ValueError(f"{name!r}: {texts} cannot be stacked")
        [(dtype, piece_shape)] = kinds
        shape = (len(value), *piece_shape)
    if dtype.kind not in KINDS:
        raise ValueError(f"{name!r}: {dtype} cannot be saved, only booleans, integers and floats")
    return {"name": name, "dtype": dtype.newbyteorder("<").str, "shape": shape}


def _slices(array: np.ndarray) -> Iterator[memoryview]:
    """Yields the elements of an array in C order, little-endian, a slice at a time.

    A slice that lies in memory in that form is not copied.
    """
    slices = np.nditer(
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        order="C",
        buffersize=SLICE // array.itemsize,
    )
    for elements in slices:
        yield np.ascontiguousarray(elements, array.dtype.newbyteorder("<")).data


def _checksum(file: BufferedReader, length: int) -> int:
    """Returns the CRC-32 of the next bytes of a file, as many as there are up to the length."""
    buffer = memoryview(bytearray(min(length, SLICE)))
    checksum = 0
    while length and (count := file.readinto(buffer[:length])):
        checksum = zlib.crc32(buffer[:count], checksum)
        length -= count
    return checksum
