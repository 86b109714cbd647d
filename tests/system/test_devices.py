"""What is said of the processor and the device."""

import subprocess
import sys
from pathlib import Path

import pytest

from system.devices import has_bfloat16
from system.root import ROOT


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512f avx512_bf16", True), ("amx_bf16 amx_tile", True), ("avx512f bf16", False)],
)
def test_processor_with_bfloat16_is_told_by_its_flags(
    tmp_path: Path, flags: str, expected: bool
) -> None:
    assert not has_bfloat16(tmp_path)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"model name\t: some\nflags\t\t: {flags}\n")
    assert has_bfloat16(tmp_path) == expected


def test_what_is_known_of_the_processor_needs_no_keras() -> None:
    code = "import sys, system.devices as d; d.chosen_precision(); print('keras' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
