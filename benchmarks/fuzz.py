"""Feeds what nobody would write to all that reads, and sees whether it ends as promised.

    python3 -m benchmarks.fuzz                       10 minutes for each reader
    python3 -m benchmarks.fuzz --minutes 1 flags     1 minute for one

The readers are those of the log, the flags, the header of a checkpoint, and weights. Each may
refuse what it gets with its own error, said in one line; anything else is printed with what led to
it, and ends the program with status 1. What was found so is kept as a test.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqn_atari import make_config, make_parser
from settings.declaration import ConfigError
from storage.arrays import MAGIC, ArrayFile, ArrayFileError
from storage.episode_log import LogError, RewardLog, cut_back, read_log

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(tempfile.mkdtemp())
LINE = (
    "Episode: 0 Reward: -28.0 Steps: 255 Current Epsilon: 0.9997705 Loss: 0.00306275 Acc: 0.875 "
    "Score: -21.0 Length: 255 Mean Q: 0.0132 Q Spread: 0.02 Dead ReLUs: 0.125 "
    "Frames: 1020 Only Action: FIRE Seconds: 12.3\n"
)
PIECES = [*LINE.replace("\n", " \n").split(" "), " ", "\n", "\r\n", "nan", "1e999", "-", "9" * 30]


def says_one_line(error: Exception) -> None:
    """Raises AssertionError where an error is not said in one line."""
    assert len(str(error).splitlines()) == 1, repr(str(error))


def changed(draw: st.DrawFn, content: bytes) -> bytes:
    """Returns content with some bytes replaced, put in or taken out, or cut short."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.sampled_from([0, 1, 1, 1, 4, 100]))
        data[start:end] = draw(st.binary(max_size=8))
    end = draw(st.integers(0, len(data))) if draw(st.booleans()) else len(data)
    return bytes(data[:end])


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """Draws logs: of lines, of pieces of lines, of anything, and damaged ones."""
    pieces = "".join(draw(st.lists(st.sampled_from([LINE, *PIECES]), max_size=30))).encode()
    return changed(draw, pieces) if draw(st.booleans()) else pieces + draw(st.binary(max_size=20))


@given(logs(), st.integers(0, 2000), st.integers(0, 2**32 - 1))
def log(content: bytes, length: int, checksum: int) -> None:
    """Reads a log, cuts it back and goes on with it."""
    path = FOLDER / "log.txt"
    path.write_bytes(content)
    with contextlib.suppress(LogError):
        read_log(path)
    problem = cut_back(path, length, checksum)
    assert problem is None or "\n" not in problem
    with RewardLog(path) as opened:
        assert opened.position[0] == path.stat().st_size


WORDS = sorted(
    {flag for action in make_parser()._actions for flag in action.option_strings} - {"-h", "--help"}
)
NUMBERS = ["0", "1", "-1", "0.5", "nan", "inf", "1e400", "9" * 25]
VALUES = [*NUMBERS, "", " ", "none", "rainbow", "script", "iqn", "raw", "crop", "lz4", "games"]


@given(
    st.lists(
        st.sampled_from([*WORDS, *VALUES])
        | st.sampled_from(WORDS).map(lambda word: f"{word}=1")
        | st.text(max_size=6)
        | (st.floats() | st.integers()).map(str),
        max_size=8,
    )
)
def flags(words: list[str]) -> None:
    """Parses a command line, up to the settings."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            given_flags = vars(make_parser().parse_args(words))
            make_config(given_flags)
    except ConfigError as error:
        says_one_line(error)
    except SystemExit as error:
        assert error.code == (2 if said.getvalue() else 0)
        assert said.getvalue().count("\n") <= 1, said.getvalue()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
)


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """Draws files of arrays whose header has the right checksum, and hardly anything else right."""
    described = {
        "name": draw(st.text(max_size=3) | JSON),
        "dtype": draw(st.sampled_from(["<f4", "|u1", "<f8", "O", "V0", "f4,f4"]) | JSON),
        "shape": draw(st.lists(st.integers(-2, 5), max_size=3) | JSON),
    }
    header = {
        "kind": draw(st.just("run") | JSON),
        "attributes": draw(JSON),
        "arrays": draw(st.lists(st.just(described) | JSON, max_size=2) | JSON),
    }
    for name in draw(st.lists(st.sampled_from(list(header)), max_size=2)):
        header.pop(name, None)
    text = json.dumps(draw(st.just(header) | JSON)).encode()
    text = changed(draw, text) if draw(st.booleans()) else text
    start = struct.pack("<8sIQ", MAGIC, 1, len(text)) + text
    data = draw(st.binary(max_size=50))
    whole = b"".join(
        part + struct.pack("<I", zlib.crc32(part)) for part in (start, data)
    )  # fmt: skip
    return changed(draw, whole) if draw(st.booleans()) else whole


@given(headers())
def checkpoint(content: bytes) -> None:
    """Opens a file of arrays, and reads all of it."""
    path = FOLDER / "run"
    path.write_bytes(content)
    try:
        with ArrayFile(path, "run") as file:
            for name in file.names:
                file.read(name)
    except ArrayFileError as error:
        says_one_line(error)


def weights_reader() -> Callable[[], None]:
    """Returns what loads weights of ours that were changed."""
    from learning.networks import nips_network
    from storage.weights import WeightsError, load, save

    network = nips_network((36, 36, 2), 3, 0)
    path = FOLDER / "weights.h5"
    save(path, network, "run")
    whole = path.read_bytes()

    @given(st.data())
    def weights(data: st.DataObject) -> None:
        """Loads weights, which end in a checksum."""
        content = data.draw(st.composite(changed)(whole))
        path.write_bytes(content)
        try:
            load(path, network)
        except WeightsError as error:
            says_one_line(error)

    return weights


def main() -> int:
    """Runs each reader for its time."""
    readers = {"log": lambda: log, "flags": lambda: flags, "checkpoint": lambda: checkpoint,
               "weights": weights_reader}  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(readers))
    parser.add_argument("--minutes", type=float, default=10, metavar="N")
    options = parser.parse_args()
    for name in options.readers or readers:
        test = settings(
            max_examples=1_000,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(readers[name]())
        end, examples = time.monotonic() + 60 * options.minutes, 0
        while time.monotonic() < end:
            test()
            examples += 1_000
        print(f"{name}: nothing found in {examples:,} examples", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
