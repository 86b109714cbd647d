"""What a process inherits changes neither a run nor its end."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from system.root import ROOT
from tests.helpers.outcomes import assert_same
from tests.helpers.prepared import prepared

if TYPE_CHECKING:
    from pathlib import Path

GAME = "Breakout-v4"
RUN = [
    *["-env", GAME, "-m", "2000", "-pre", "64", "--envs", "2", "--seed", "1", "-b", "8"],
    *["--precision", "float32"],
]
# Makes standard input the terminal of a session. Under nohup, the tests would ignore hang-ups.
AT_A_TERMINAL = """
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""
# Python loads it at its start. With it there is no folder for temporary files.
SITE = "import tempfile; tempfile._candidate_tempdir_list = list"


def environment(folder: Path) -> dict[str, str]:
    """Returns an environment that was made for other programs, with files in a folder."""
    (folder / "sitecustomize.py").write_text(SITE)
    keras = {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 0.1}
    (folder / "keras.json").write_text(json.dumps(keras))
    (folder / "matplotlibrc").write_bytes(b"text.usetex: True\n# \xff\n")
    return {
        **os.environ,
        "HOME": str(folder / "none"),
        "JAX_ENABLE_X64": "1",
        "KERAS_HOME": str(folder),
        "MATPLOTLIBRC": str(folder),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": "/dev/null",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "cp1251",
        "PYTHONPATH": str(folder),
        "PYTHONWARNINGS": "error",
        "TQDM_MININTERVAL": "often",
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives the folder of a short run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    command = [sys.executable, ROOT / "dqn_atari.py", *RUN, "-st", "80", "--out", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def test_a_run_is_the_same_whatever_it_inherits(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"b\xff")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, ROOT / "dqn_atari.py", *RUN, "-st", "80", "--out", out],
            env=environment(tmp_path), cwd=tmp_path,
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    lost = "what is printed is lost (No space left on device): the run goes on"
    assert (done.returncode, done.stderr) == (0, f"dqn_atari.py: warning: {lost}\n")
    assert_same(out, undisturbed)
    inherited = {"keras.json", "matplotlibrc", "sitecustomize.py"}
    assert {path.name for path in tmp_path.iterdir()} == {out.name, *inherited}


def test_a_terminal_that_closes_ends_a_run_with_all_saved(tmp_path: Path) -> None:
    """Its size is 0×0, as in some containers, so it gets plain lines."""
    ours, theirs = pty.openpty()
    command = [sys.executable, ROOT / "dqn_atari.py", *RUN, "-st", "40000", "--out", tmp_path]
    process = subprocess.Popen(
        prepared(AT_A_TERMINAL, *command), stdin=theirs, stdout=theirs, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    with open(ours) as terminal:
        for line in terminal:
            if "training: from step" in line:
                break
    _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGHUP
    lost = "what is printed is lost (Input/output error): the run goes on"
    assert errors == f"dqn_atari.py: warning: {lost}\n"
    assert (tmp_path / f"{GAME}_weights.h5").exists()
    assert any((tmp_path / f"{GAME}_checkpoint").iterdir())


def test_a_recording_that_is_stopped_leaves_nothing_half_done(
    undisturbed: Path, tmp_path: Path
) -> None:
    before = sorted(undisturbed.rglob("*"))
    command = [sys.executable, ROOT / "dqn_atari.py", "-env", GAME, "-p", "--episodes", "1000"]
    process = subprocess.Popen(
        [*command, "--record", tmp_path / "videos", "--out", undisturbed],
        env=environment(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    hidden = tmp_path / "videos"
    while not any(hidden.glob(".*")):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
            raise AssertionError(process.stderr.read())
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (128 + signal.SIGTERM, "")
    assert not any(hidden.glob(".*"))
    assert sorted(undisturbed.rglob("*")) == before


def test_pictures_are_the_same_whatever_the_plotter_inherits(tmp_path: Path) -> None:
    log = ROOT / "res/pong/Pong-v4_log.txt"
    plain, hostile = tmp_path / "plain", tmp_path / "hostile"
    arguments = [ROOT / "reward_visualizer.py", "-f", log, "--y", "loss", "--out"]
    subprocess.run([sys.executable, *arguments, plain], check=True, stdout=subprocess.DEVNULL)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, *arguments, hostile], env=environment(tmp_path), cwd=tmp_path,
        stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    [ours], [theirs] = plain.iterdir(), hostile.iterdir()
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("program", ["dqn_atari.py", "reward_visualizer.py"])
def test_a_reader_of_the_help_may_leave(program: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, ROOT / program, "-h"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("backend", ["torch", "Jax"])
def test_a_backend_that_cannot_be_used_is_told_with_those_that_can(
    backend: str, tmp_path: Path
) -> None:
    (tmp_path / "keras.json").write_text(json.dumps({"backend": backend}))
    inherited = {**os.environ, "KERAS_HOME": str(tmp_path)}
    inherited.pop("KERAS_BACKEND", None)
    done = subprocess.run(
        [sys.executable, ROOT / "dqn_atari.py", "--out", tmp_path],
        env=inherited, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"dqn_atari.py: error: {backend!r}, of KERAS_BACKEND or keras.json, is no backend of Keras "
        "that can be used here: set KERAS_BACKEND to tensorflow or jax\n"
    )
