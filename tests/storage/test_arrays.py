"""What files of arrays promise."""

import errno
import io
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from storage.arrays import SLICE, ArrayFile, ArrayFileError, save
from storage.loans import Loan
from system.root import ROOT

OPEN_FILES = Path("/proc/self/fd")
KIND = "replay memory"
DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]

dtypes = st.sampled_from(DTYPES)
shapes = st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


def filled(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Returns an array of random bits, so that floats have NaNs of all kinds among them."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8)[:] = rng.integers(0, 256, array.nbytes, np.uint8)
    return array


def assert_same(found: np.ndarray, wanted: np.ndarray) -> None:
    """Asserts that two arrays are alike to the last bit."""
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    assert found.tobytes() == wanted.tobytes()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def save_small(path: Path) -> None:
    """Saves a file that is small enough to break each byte of."""
    save(path, KIND, {"next": 3}, {"rows": np.arange(5, dtype=np.int32), "ends": np.array([True])})


def by_hand(header: dict[str, Any], elements: bytes, version: int = 1) -> bytes:
    """Returns the bytes of a file as the documentation has them."""
    text = json.dumps(header).encode()
    start = b"DQNARRAY" + struct.pack("<IQ", version, len(text)) + text
    checksums = [struct.pack("<I", zlib.crc32(part)) for part in (start, elements)]
    return start + checksums[0] + elements + checksums[1]


def refusal(path: Path, kind: str = KIND) -> str:
    """Returns why a file is not opened, which is one line that names it."""
    with pytest.raises(ArrayFileError) as caught:
        ArrayFile(path, kind)
    text = str(caught.value)
    assert text.startswith(f"{path} ")
    assert text.isprintable()
    return text.removeprefix(f"{path} ")


# ---------------------------------------------------------------- what is saved is read


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.tuples(shapes, dtypes, st.integers(0, 2**32 - 1))))
@example({})
@example({"": ((), "float32", 0), "none": ((0,), "bool", 0), "rows": ((3, 0, 2), "int64", 0)})
def test_arrays_come_back_to_the_last_bit(described: dict[str, Any]) -> None:
    arrays = {name: filled(*each) for name, each in described.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "saved"
        save(path, KIND, {}, arrays)
        with ArrayFile(path, KIND) as file:
            assert file.names == list(arrays)
            for name, array in arrays.items():
                assert (file.dtype(name), file.shape(name)) == (array.dtype, array.shape)
                assert_same(file.read(name), array)


def test_payloads_of_nans_are_kept(tmp_path: Path) -> None:
    bits = np.array([0x7FC00000, 0x7FC0BEEF, 0x7F800001, 0xFFFFFFFF], np.uint32)
    save(tmp_path / "saved", KIND, {}, {"nans": bits.view(np.float32)})
    with ArrayFile(tmp_path / "saved", KIND) as file:
        assert_same(file.read("nans").view(np.uint32), bits)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_many_slices_come_back(tmp_path: Path, dtype: str) -> None:
    array = filled((2 * SLICE // np.dtype(dtype).itemsize + 17,), dtype)
    save(tmp_path / "saved", KIND, {}, {"before": array[:5], "array": array, "after": array[5:9]})
    with ArrayFile(tmp_path / "saved", KIND) as file:
        assert_same(file.read("after"), array[5:9])
        assert_same(file.read("array"), array)
        assert_same(file.read("before"), array[:5])


def test_attributes_come_back(tmp_path: Path) -> None:
    attributes = {"next_row": 7, "state": {"inc": 2**127 + 1}, "é\n": [1.1, -0.0, None, True, "ü"]}
    save(tmp_path / "saved", KIND, attributes, {})
    with ArrayFile(tmp_path / "saved", KIND) as file:
        assert repr(file.attributes) == repr(attributes)


def test_file_is_exactly_the_documented_one(tmp_path: Path) -> None:
    array = np.array([[1, -2], [3, 4]], np.int32)
    save(tmp_path / "saved", KIND, {"a": 1}, {"x": array, "y": np.array([True, False])})
    described = [
        {"name": "x", "dtype": "<i4", "shape": [2, 2]},
        {"name": "y", "dtype": "|b1", "shape": [2]},
    ]
    header = {"kind": KIND, "attributes": {"a": 1}, "arrays": described}
    elements = struct.pack("<4i2?", 1, -2, 3, 4, True, False)
    assert (tmp_path / "saved").read_bytes() == by_hand(header, elements)


LARGE = filled((3, 5, SLICE // 8), "int32")


@pytest.mark.parametrize(
    "array",
    [
        LARGE.T,
        LARGE[..., ::2],
        LARGE[..., ::-1],
        LARGE[::-1, 1:3, 5:],
        LARGE[1, 2, ::3],
        np.asfortranarray(LARGE),
        np.broadcast_to(LARGE[0], (4, *LARGE[0].shape)),
        LARGE.view(np.float32)[:, ::2],
        LARGE[..., 3:3],
        LARGE[::2, 0, 0] > 0,
    ],
)
def test_arrays_lie_in_memory_as_they_like(tmp_path: Path, array: np.ndarray) -> None:
    save(tmp_path / "saved", KIND, {}, {"array": array, "after": LARGE[0, 0, :3]})
    with ArrayFile(tmp_path / "saved", KIND) as file:
        assert_same(file.read("array"), array)
        assert_same(file.read("after"), LARGE[0, 0, :3])


def test_bytes_of_another_order_are_saved_in_the_order_of_the_file(tmp_path: Path) -> None:
    swapped = LARGE.astype(">i4")
    save(tmp_path / "saved", KIND, {}, {"array": swapped, "pieces": [*swapped]})
    with ArrayFile(tmp_path / "saved", KIND) as file:
        assert_same(file.read("array"), LARGE)
        assert_same(file.read("pieces"), LARGE)


@settings(deadline=None)
@given(shapes, dtypes, st.integers(1, 4))
@example((), "float32", 1)
@example((0,), "float32", 3)
def test_pieces_are_saved_as_their_stack(shape: tuple[int, ...], dtype: str, count: int) -> None:
    pieces = [filled(shape, dtype, seed) for seed in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder) / "pieces", Path(folder) / "stack"
        save(path, KIND, {}, {"a": pieces, "b": pieces[0]})
        save(other, KIND, {}, {"a": np.stack(pieces), "b": pieces[0]})
        assert path.read_bytes() == other.read_bytes()


# ---------------------------------------------------------------- reading in place


@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_that_know_the_shape_of_all_are_saved_as_one_array(
    tmp_path: Path, dtype: str
) -> None:
    whole = filled((7, 2, 3), dtype)
    parts = Loan([whole[:3], whole[3:6], whole[6:]], whole.shape)
    save(tmp_path / "parts", KIND, {}, {"a": parts, "b": whole[0]})
    save(tmp_path / "whole", KIND, {}, {"a": whole, "b": whole[0]})
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    parts.wait_for(2)  # all are back


def test_parts_that_do_not_make_up_their_shape_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="does not read back"):
        save(tmp_path / "file", KIND, {}, {"a": Loan([np.zeros(3), np.zeros(3)], (7,))})
    assert not names(tmp_path)


def test_rows_are_read_one_by_one(tmp_path: Path) -> None:
    arrays = {"rows": filled((5, 2, 3), "int32"), "single": filled((4,), "bool")}
    arrays["none"] = filled((0, 3), "float32")
    save(tmp_path / "file", KIND, {}, arrays)
    with ArrayFile(tmp_path / "file", KIND) as file:
        for name, array in arrays.items():
            found = list(file.rows(name))
            assert len(found) == len(array)
            for row, wanted in zip(found, array, strict=True):
                assert_same(row, np.asarray(wanted))


def test_pieces_are_read_into_places_of_their_own(tmp_path: Path) -> None:
    pieces = [filled((5, 2, 7), "float32", seed) for seed in range(3)]
    save(tmp_path / "saved", KIND, {}, {"before": np.ones(3), "frames": pieces})
    places = np.zeros((4, 5, 2, 7), np.float32)
    with ArrayFile(tmp_path / "saved", KIND) as file:
        file.read_into("frames", places[3], places[0], places[1])
    assert_same(places[3], pieces[0])
    assert_same(places[0], pieces[1])
    assert_same(places[1], pieces[2])
    assert_same(places[2], np.zeros((5, 2, 7), np.float32))


def test_destinations_may_be_of_other_shapes_and_sizes(tmp_path: Path) -> None:
    array = filled((4, 6), "int64")
    first, none, one, rest = (np.zeros(shape, np.int64) for shape in (7, (3, 0), (), (2, 8)))
    save(tmp_path / "saved", KIND, {}, {"array": array})
    with ArrayFile(tmp_path / "saved", KIND) as file:
        file.read_into("array", first, none, one, rest)
    assert_same(np.concatenate([first, one.reshape(1), rest.reshape(-1)]), array.reshape(-1))


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("destination", "why"),
    [
        (np.full((3, 4), 7, np.float32), "'rows' is int32 and cannot be read into float32"),
        (np.full((3, 4), 7, ">i4"), "'rows' is int32 and cannot be read into >i4"),
        (np.full((3, 5), 7, np.int32), "'rows' has 12 elements and is to fill 15"),
        (np.full((3, 3), 7, np.int32), "'rows' has 12 elements and is to fill 9"),
        (np.full((4, 3), 7, np.int32).T, "only be read into C-contiguous, writable arrays"),
        (np.full((3, 8), 7, np.int32)[:, ::2], "only be read into C-contiguous, writable arrays"),
        (read_only(np.full((3, 4), 7, np.int32)), "only be read into C-contiguous, writable"),
    ],
)
def test_destination_that_does_not_fit_is_refused_untouched(
    tmp_path: Path, destination: np.ndarray, why: str
) -> None:
    save(tmp_path / "saved", KIND, {}, {"rows": np.zeros((3, 4), np.int32)})
    fitting = np.full(12, 7, np.int32)
    with ArrayFile(tmp_path / "saved", KIND) as file:
        with pytest.raises(ValueError, match=re.escape(why)):
            file.read_into("rows", destination)
        with pytest.raises(ValueError):
            file.read_into("rows", fitting, destination)
    assert (destination == 7).all()
    assert (fitting == 7).all()


def test_unknown_array_is_named(tmp_path: Path) -> None:
    save_small(tmp_path / "saved")
    with ArrayFile(tmp_path / "saved", KIND) as file:
        for ask in (file.read, file.read_into, file.shape, file.dtype):
            with pytest.raises(ArrayFileError) as caught:
                ask("row")
            why = f"{tmp_path / 'saved'} has no array 'row'; those in it: 'rows', 'ends'"
            assert str(caught.value) == why


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="needs /proc")
def test_file_is_closed_at_the_end_and_where_it_is_refused(tmp_path: Path) -> None:
    save_small(tmp_path / "saved")

    def opened() -> int:
        return len(list(OPEN_FILES.iterdir()))

    before = opened()
    with ArrayFile(tmp_path / "saved", KIND) as file:
        assert opened() == before + 1
    assert opened() == before
    # The error, as long as it is held, holds what was opened.
    with pytest.raises(ArrayFileError) as caught:
        ArrayFile(tmp_path / "saved", "another")
    assert opened() == before
    del caught
    with pytest.raises(ValueError, match="closed"):
        file.read("rows")


# ---------------------------------------------------------------- nothing wrong is opened


def test_any_changed_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    save_small(path)
    whole = path.read_bytes()
    for position, byte in enumerate(whole):
        for value in {byte ^ 1 << position % 8, byte ^ 0xFF, 0} - {byte}:
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            refusal(path)
    path.write_bytes(whole)
    with ArrayFile(path, KIND) as file:
        assert file.names == ["rows", "ends"]


def test_changed_byte_in_any_slice_is_found(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    save(path, KIND, {}, {"array": filled((3 * SLICE,), "uint8")})
    whole = path.read_bytes()
    for position in [*range(len(whole) - 3 * SLICE, len(whole), SLICE // 3), len(whole) - 5]:
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        assert "damaged: the checksum of its data does not match" in refusal(path)


def test_any_cut_is_found(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    save_small(path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert "cut short" in refusal(path)


@pytest.mark.parametrize("more", [b"\0", b"\xff", b"\0\0\0\0", b"DQNARRAY"])
def test_anything_appended_is_found(tmp_path: Path, more: bytes) -> None:
    path = tmp_path / "saved"
    save_small(path)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + more)
    assert refusal(path) == f"is damaged: it has {size + len(more)} bytes instead of {size}"


def test_file_that_is_cut_while_it_is_open_gives_no_array(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    save(path, KIND, {}, {"array": np.zeros(3 * SLICE, np.uint8)})
    with ArrayFile(path, KIND) as file:
        os.truncate(path, SLICE)
        with pytest.raises(ArrayFileError, match="cut short"):
            file.read("array")


@pytest.mark.parametrize("version", [0, 2, 2**32 - 1])
def test_another_format_version_is_refused_by_both_numbers(tmp_path: Path, version: int) -> None:
    path = tmp_path / "saved"
    # What follows the version may be anything then.
    path.write_bytes(by_hand({"kind": 1}, b"", version) + b"more")
    assert refusal(path) == f"is of format version {version}, and only version 1 can be read"


def test_another_kind_is_refused_by_both_names(tmp_path: Path) -> None:
    save_small(tmp_path / "saved")
    assert refusal(tmp_path / "saved", "game") == "is a 'replay memory' file, not a 'game' file"


@pytest.mark.parametrize("content", [b"\n", b"Episode: 0 Reward: -28.0\n", b"\x89HDF\r\n", b"dqn"])
def test_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    why = "is no replay memory file: it does not begin with b'DQNARRAY'"
    assert refusal(tmp_path / "other") == why


def test_empty_file_is_cut_short(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert refusal(tmp_path / "empty") == "is cut short: it ends before its header"


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist: give the path of a replay memory" in refusal(tmp_path / "missing")
    assert names(tmp_path) == set()


def test_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        ArrayFile(tmp_path, KIND)


@pytest.mark.parametrize("length", [2**26, 2**40, 2**64 - 1])
def test_absurd_header_takes_no_memory(tmp_path: Path, length: int) -> None:
    path = tmp_path / "saved"
    path.write_bytes(b"DQNARRAY" + struct.pack("<IQ", 1, length))
    os.truncate(path, 2**26 + 100)  # a hole, which takes no room on the disk
    tracemalloc.start()
    try:
        why = refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2 * SLICE
    finally:
        tracemalloc.stop()
    assert "damaged" in why


ARRAY = {"name": "a", "dtype": "<f4", "shape": [0]}


@pytest.mark.parametrize(
    "header",
    [
        None,
        [],
        {},
        {"kind": KIND},
        {"kind": KIND, "attributes": None, "arrays": None},
        {"kind": KIND, "attributes": {}, "arrays": [{"name": "a"}]},
        {"kind": KIND, "attributes": {}, "arrays": [{**ARRAY, "dtype": "no type"}]},
        {"kind": KIND, "attributes": {}, "arrays": [{**ARRAY, "dtype": 7}]},
        {"kind": KIND, "attributes": {}, "arrays": [{**ARRAY, "shape": 7}]},
        {"kind": KIND, "attributes": {}, "arrays": [{**ARRAY, "shape": ["a"]}]},
        {"kind": KIND, "attributes": {}, "arrays": [{**ARRAY, "shape": [0.0]}]},
        {"kind": KIND, "attributes": {}, "arrays": [{**ARRAY, "shape": [-1, 0]}]},
        {"kind": KIND, "attributes": {}, "arrays": [{**ARRAY, "dtype": "O"}]},
        {"kind": KIND, "attributes": {}, "arrays": [{**ARRAY, "dtype": "f4,f4"}]},
        {"kind": KIND, "attributes": {}, "arrays": [{**ARRAY, "name": []}]},
    ],
)
def test_header_of_something_else_is_refused(tmp_path: Path, header: Any) -> None:
    path = tmp_path / "saved"
    path.write_bytes(by_hand(header, b""))
    assert "header" in refusal(path)


def test_header_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    whole = by_hand({}, b"")
    start = whole[:20] + b"{]"
    path.write_bytes(start + struct.pack("<I", zlib.crc32(start)) + whole[-4:])
    assert "header" in refusal(path)


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize(
    ("array", "why"),
    [
        ([np.zeros(3), np.zeros(4)], "'x': float64 (3,), float64 (4,) cannot be stacked"),
        ([np.zeros(3), np.zeros(3, "i4")], "'x': float64 (3,), int32 (3,) cannot be stacked"),
        ([], "'x': no arrays cannot be stacked"),
        (np.array([{}]), "'x': object cannot be saved, only booleans, integers and floats"),
        ([np.array([{}])], "'x': object cannot be saved, only booleans, integers and floats"),
        (np.array(["a"]), "'x': <U1 cannot be saved, only booleans, integers and floats"),
        (np.zeros(2, "i4,O"), "cannot be saved, only booleans, integers and floats"),
    ],
)
def test_array_that_cannot_be_saved_leaves_the_old_file(
    tmp_path: Path, array: Any, why: str
) -> None:
    path = tmp_path / "saved"
    save_small(path)
    old = path.read_bytes()
    with pytest.raises(ValueError, match=re.escape(why)):
        save(path, KIND, {}, {"fine": np.zeros(3), "x": array})
    assert path.read_bytes() == old
    assert names(tmp_path) == {"saved"}


def test_attributes_that_cannot_be_saved_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    save_small(path)
    old = path.read_bytes()
    with pytest.raises(TypeError):
        save(path, KIND, {"x": np.zeros(3)}, {})
    assert path.read_bytes() == old
    assert names(tmp_path) == {"saved"}


# Tries to write a file under limits on its size, as on a disk that is full; prints what came of it.
SAVE_UNDER_LIMITS = """
import resource, sys
from pathlib import Path
import numpy as np
from storage.arrays import save

for limit in sys.argv[2:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    try:
        save(Path(sys.argv[1]), "replay memory", {}, {"x": [np.ones(2**20, np.uint8)] * 3})
        print("saved")
    except OSError as error:
        print(error.filename)
"""


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    save(path, KIND, {}, {"x": np.ones((3, 2**20), np.uint8)})
    size = path.stat().st_size
    save_small(path)
    old = path.read_bytes()

    def attempt(*limits: int) -> list[str]:
        command = [sys.executable, "-c", SAVE_UNDER_LIMITS, str(path), *map(str, limits)]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()

    too_small = [0, 10, 2**20, 2**21 + 5, size - 5, size - 1]
    assert attempt(*too_small) == [str(path)] * len(too_small)
    assert path.read_bytes() == old
    assert names(tmp_path) == {"saved"}
    assert attempt(size) == ["saved"]
    assert path.stat().st_size == size


class Rotting(io.FileIO):
    """A file on a disk that garbles a bit of each write."""

    def write(self, data: Any) -> int:
        garbled = bytearray(data)
        if garbled:
            garbled[-1] ^= 4
        return super().write(garbled)


def test_file_that_reads_back_otherwise_is_an_os_error_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "saved"
    save_small(path)
    old = path.read_bytes()
    monkeypatch.setattr(Path, "open", lambda path, mode: Rotting(path, mode.replace("b", "")))
    with pytest.raises(OSError) as caught:
        save(path, KIND, {}, {"x": np.ones(3)})
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(path))
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert names(tmp_path) == {"saved"}


def test_writing_and_reading_make_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    pieces = [filled((2**19, 16), "uint8", seed) for seed in range(4)]
    row = pieces[0].reshape(-1)
    odd = {"turned": pieces[0].T, "strided": row[::2], "swapped": row.view(">f8")}
    places = [np.ones_like(piece) for piece in pieces]
    tracemalloc.start()
    try:
        save(path, KIND, {}, {"pieces": pieces, "whole": row, **odd})
        with ArrayFile(path, KIND) as file:
            file.read_into("pieces", *places)
        assert tracemalloc.get_traced_memory()[1] < 3 * SLICE
    finally:
        tracemalloc.stop()
    for place, piece in zip(places, pieces, strict=True):
        assert_same(place, piece)
