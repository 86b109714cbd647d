"""What other programs set does not reach the libraries; what the user chooses does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from system import libraries
from system.root import ROOT

SHOW = """
import json, os
from system.libraries import set_variables
set_variables()
print(json.dumps(dict(os.environ)))
"""


def after(code: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs code in a process with these variables beside its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "written", "backend"),
    [
        ("jax", "torch", "jax"),
        ("", "jax", "jax"),
        ("", "", "tensorflow"),
        ("", None, "tensorflow"),
    ],
)
def test_the_backend_is_the_users_and_numbers_are_ours(
    chosen: str, written: str | None, backend: str, tmp_path: Path
) -> None:
    content = "{" if written is None else json.dumps({"backend": written, "floatx": "float64"})
    (tmp_path / "keras.json").write_text(content)
    variables = {
        "KERAS_BACKEND": chosen,
        "KERAS_HOME": str(tmp_path),
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "TQDM_MININTERVAL": "often",
    }
    result = json.loads(after(SHOW, variables).stdout)
    assert result["KERAS_BACKEND"] == backend
    assert result["KERAS_HOME"] == os.devnull
    assert result["JAX_PLATFORMS"] == "cpu"
    assert not {"JAX_ENABLE_X64", "MPLBACKEND", "TQDM_MININTERVAL"} & result.keys()


def test_a_backend_without_a_device_is_told_in_one_line() -> None:
    code = """
from system.devices import DeviceError, check_devices
try: check_devices()
except DeviceError as error: print(error)
"""
    done = after(code, {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cuda"})
    assert done.stdout == (
        "jax finds no device to compute on: JAX_PLATFORMS is 'cuda'; cpu is always there\n"
    )


@pytest.mark.skipif(not libraries.IN_MEMORY.is_dir(), reason="needs a folder in memory")
def test_temporary_files_lie_in_the_given_folder_or_else_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)  # as on a read-only system
    for folder, used in (tmp_path / "new" / "run", tmp_path), ("/proc/new", libraries.IN_MEMORY):
        monkeypatch.setattr(tempfile, "tempdir", None)
        libraries.use_for_temporary_files(Path(folder))
        assert tempfile.gettempdir() == str(used)
