"""What is said of the processor and the device."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from system.devices import (
    Gpu,
    computes_bfloat16,
    find_gpu,
    has_bfloat16,
    is_out_of_memory,
    joins_updates,
)
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


# ---------------------------------------------------------------- memory


def test_cuda_tells_lack_of_memory_by_its_words() -> None:
    cuda = "failed to allocate 2.0G (2147483648 bytes) from device: CUDA_ERROR_OUT_OF_MEMORY"
    assert is_out_of_memory(tf.errors.InternalError(None, None, cuda))
    assert not is_out_of_memory(RuntimeError(cuda))
    assert not is_out_of_memory(OSError("RESOURCE_EXHAUSTED"))


TELL = """
from system.devices import is_out_of_memory

def tell(work):
    try:
        work()
    except Exception as error:
        print(is_out_of_memory(error))
"""
# More than a processor can address.
ON_TENSORFLOW = """
import tensorflow as tf

tell(tf.function(lambda: tf.reduce_sum(tf.random.uniform([10**8, 10**8]))))
tell(lambda: tf.reshape(tf.zeros(3), [2]))
"""
ON_JAX = """
import jax

def fail(_):
    raise ValueError

number = jax.ShapeDtypeStruct((), "float32")
sort = jax.jit(lambda: jax.numpy.arange(10**16, dtype="uint8").sort())
call = jax.jit(lambda: jax.pure_callback(fail, number, 1))
tell(lambda: jax.block_until_ready(jax.numpy.zeros(10**16, "uint8")))
tell(lambda: jax.block_until_ready(sort()))
tell(lambda: jax.block_until_ready(call()))
tell(lambda: jax.numpy.zeros(3).reshape(2))
"""


@pytest.mark.parametrize(
    ("backend", "code", "expected"),
    [
        ("tensorflow", ON_TENSORFLOW, ["True", "False"]),
        ("jax", ON_JAX, ["True", "True", "False", "False"]),
    ],
    ids=["tensorflow", "jax"],
)
def test_lack_of_memory_is_told_from_other_errors(
    backend: str, code: str, expected: list[str]
) -> None:
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "JAX_PLATFORMS": "cpu",
        "TF_ENABLE_ONEDNN_OPTS": "0",  # its allocator tries for 10 s
    }
    done = subprocess.run(
        [sys.executable, "-c", TELL + code],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == expected, done.stderr
