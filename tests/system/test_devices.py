"""What is said of the processor and the device."""

import os
import subprocess
import sys
from collections.abc import Callable
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


def raised(work: Callable[[], object]) -> Exception:
    """Returns what work raises."""
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("it raises nothing")


def test_lack_of_memory_is_told_from_other_errors_of_tensorflow() -> None:
    # More than a processor can address. TensorFlow tries for 10 s.
    compiled = tf.function(lambda: tf.reduce_sum(tf.random.uniform([10**8, 10**8])))
    assert is_out_of_memory(raised(compiled))
    cuda = "failed to allocate 2.0G (2147483648 bytes) from device: CUDA_ERROR_OUT_OF_MEMORY"
    assert is_out_of_memory(tf.errors.InternalError(None, None, cuda))
    assert not is_out_of_memory(raised(lambda: tf.reshape(tf.zeros(3), [2])))
    assert not is_out_of_memory(RuntimeError(cuda))
    assert not is_out_of_memory(OSError("RESOURCE_EXHAUSTED"))


LACKS_OF_MEMORY = """
import jax
from system.devices import is_out_of_memory

def tell(work):
    try:
        jax.block_until_ready(work())
    except Exception as error:
        print(is_out_of_memory(error))

def fail(_):
    raise ValueError

number = jax.ShapeDtypeStruct((), "float32")
tell(lambda: jax.numpy.zeros(10**16, "uint8"))
tell(jax.jit(lambda: jax.numpy.arange(10**16, dtype="uint8").sort()))
tell(jax.jit(lambda: jax.pure_callback(fail, number, 1)))
tell(lambda: jax.numpy.zeros(3).reshape(2))
"""


def test_lack_of_memory_is_told_from_other_errors_of_jax() -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", LACKS_OF_MEMORY],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True", "False", "False"], done.stderr
