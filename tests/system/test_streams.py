"""What is printed is readable in each encoding, and nothing that happens to it ends a program."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from system.root import ROOT
from tests.helpers.prepared import prepared

BEGIN = """
import os, sys
from system.streams import open_streams, take_failure
open_streams()
"""


def start(code: str, prepare: str = "", **options: object) -> subprocess.Popen:
    """Starts a process that opens our streams and runs code; `prepare` is run before it begins."""
    command = [sys.executable, "-c", BEGIN + code]
    return subprocess.Popen(
        prepared(prepare, *command) if prepare else command, cwd=ROOT, **options
    )


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", r"84×84 1 – 2 ±ε né 日 m² b\xff"),
        ("ascii", r"84x84 1 - 2 +-epsilon ne \u65e5 m\xb2 b\xff"),
        ("cp437", r"84x84 1 - 2 ±ε né \u65e5 m² b\xff"),
        ("cp1251", r"84x84 1 – 2 ±epsilon ne \u65e5 m\xb2 b\xff"),
        ("cp932:strict", r"84×84 1 - 2 ±ε ne 日 m\xb2 b\xff"),
    ],
)
def test_what_an_encoding_lacks_is_replaced_by_what_is_like_it(
    encoding: str, expected: str
) -> None:
    code = r"""
for stream in sys.stdout, sys.stderr:
    print("84×84 1 – 2 ±ε né 日 m² b\udcff", file=stream)
"""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    outputs = start(code, env=environment, **options).communicate()
    assert [output.decode(encoding.split(":")[0]) for output in outputs] == [f"{expected}\n"] * 2


def test_a_full_pipe_that_does_not_block_gets_all_that_is_printed() -> None:
    code = "os.set_blocking(1, False)\nprint('x' * 1_000_000)"  # a pipe holds 65,536
    output, _ = start(code, stdout=subprocess.PIPE, text=True).communicate()
    assert output == "x" * 1_000_000 + "\n"


def test_what_python_is_asked_not_to_buffer_is_not() -> None:
    code = "print('at once'); os._exit(0)"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = start(code, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.communicate() == ("at once\n", None)


@pytest.mark.parametrize("lost", ["full", "gone", "closed"])
def test_output_that_is_lost_ends_nothing_and_is_known_once(lost: str) -> None:
    code = """
for n in range(3):
    print("x" * 10000, flush=True)
    print(take_failure(sys.stdout), file=sys.stderr)
"""
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "w") as full:
        stdout = {"full": full, "gone": writer, "closed": None}[lost]
        prepare = "os.close(1)" if lost == "closed" else ""
        process = start(code, prepare, stdout=stdout, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    _, errors = process.communicate()
    why = {
        "full": "[Errno 28] No space left on device",
        "gone": "[Errno 32] Broken pipe",
        "closed": "[Errno 9] Bad file descriptor",
    }
    assert process.returncode == 0
    assert errors.splitlines() == [why[lost], "None", "None"]


def test_a_file_never_gets_the_number_of_a_stream_that_is_closed() -> None:
    code = "sys.exit(os.open(os.devnull, os.O_WRONLY))"
    process = start(code, "os.closerange(0, 3)")
    assert process.wait() == 3
