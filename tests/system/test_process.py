"""A program begins in a known state, and says in one line where a library cannot be loaded."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from system.root import ROOT
from tests.helpers.prepared import prepared

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("dqn_atari.py", "reward_visualizer.py")


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_its_libraries_a_program_says_how_to_set_up(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-S", ROOT / program, "-h"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{program}: error: tqdm cannot be loaded (ModuleNotFoundError: No module named 'tqdm'): "
        "`make train` sets up all that is needed, or pip install -r requirements.txt\n"
    )


BROKEN = {
    "raise AttributeError('numpy has no attribute float')": "AttributeError: numpy has no",
    "try: 1 / 0\nexcept Exception as e: raise ImportError('long\\nadvice') from e": "ZeroDivision",
}


@pytest.mark.parametrize("code", BROKEN)
def test_a_library_that_is_broken_is_named_with_its_reason(code: str, tmp_path: Path) -> None:
    (tmp_path / "cycler.py").write_text(code)
    # Matplotlib loads cycler.
    done = subprocess.run(
        [sys.executable, ROOT / "reward_visualizer.py", "-f", "none"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"cycler cannot be loaded ({BROKEN[code]}" in done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_working_directory_that_is_gone_is_said(program: str, tmp_path: Path) -> None:
    command = prepared("os.rmdir(os.getcwd())", sys.executable, ROOT / program, "-h")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    gone = "the working directory is gone: change to another folder"
    assert done.stderr == f"{program}: error: {gone}\n"


def test_an_error_of_ours_keeps_its_traceback() -> None:
    code = "from system.process import begin; begin(); from system import root; root.nothing"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_older_python_reads_as_far_as_its_age_is_checked(program: str) -> None:
    tree = ast.parse((ROOT / program).read_text(), feature_version=(3, 8))
    _, _, first, *_ = tree.body  # after docstring and `__future__`
    assert isinstance(first, ast.If)
    for module in ("process", "libraries", "signals", "streams", "root", "errors"):
        ast.parse((ROOT / "system" / f"{module}.py").read_text(), feature_version=(3, 8))
