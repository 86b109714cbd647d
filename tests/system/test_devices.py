"""What is said of the processor and the device."""

import subprocess
import sys
from pathlib import Path

import pytest

from system.devices import Gpu, computes_bfloat16, find_gpu, has_bfloat16, joins_updates
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
    code = (
        "import sys; from settings.choices import this_machine, precision; "
        "precision(this_machine()); print({'keras', 'psutil'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), False), ((8, 0), True), ((12, 0), True), (None, True)]
)
def test_gpu_has_bfloat16_from_compute_capability_8_on(
    capability: tuple[int, int] | None, expected: bool
) -> None:
    assert Gpu("some", "jax", capability).has_bfloat16 == expected


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU")
def test_without_a_gpu_the_processor_decides() -> None:
    assert computes_bfloat16() == has_bfloat16()
    assert not joins_updates()
