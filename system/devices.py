"""What the machine computes on: its processor, and the device that Keras's backend uses."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from system.control_groups import lines
from system.errors import OneLineError

# Keras is imported where it is used, as `-h` needs only what is known of the processor.

# From this on, GPUs multiply bfloat16 numbers: NVIDIA's CUDA C++ Programming Guide, on warp matrix
# functions.
BFLOAT16_CAPABILITY = (8, 0)
# What XLA and CUDA's libraries call a lack of memory.
NO_MEMORY = (
    "RESOURCE_EXHAUSTED",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def has_bfloat16(root: Path = Path("/")) -> bool:
    """Returns whether the processor has instructions that multiply bfloat16 numbers.

    Where Linux does not tell, it has none.

    Args:
        root: the folder with `proc`.
    """
    flags = {word for line in lines(root / "proc/cpuinfo") for word in line.split()}
    return bool(flags & {"avx512_bf16", "amx_bf16"})


class DeviceError(OneLineError):
    """Says in one line why Keras's backend has no device to compute on."""


def check_devices() -> None:
    """Checks that Keras's backend has a device to compute on.

    Raises:
        DeviceError: it has none, as where JAX_PLATFORMS names a GPU that is not there.
    """
    import keras

    try:
        keras.distribution.list_devices()
    except (AssertionError, RuntimeError) as error:  # JAX asserts that there is one
        raise DeviceError(
            f"{keras.backend.backend()} finds no device to compute on: JAX_PLATFORMS is "
            f"{os.environ.get('JAX_PLATFORMS', '')!r}; cpu is always there"
        ) from error


def is_out_of_memory(error: Exception) -> bool:
    """Returns whether Keras's backend says by an error that its device has no memory left.

    It may say so when arrays are made, when a function is compiled, and when one is called.
    """
    if is_jax():
        import jax

        return isinstance(error, jax.errors.JaxRuntimeError) and _names_no_memory(error)
    import tensorflow as tf

    is_exhausted = isinstance(error, tf.errors.ResourceExhaustedError)
    return is_exhausted or (isinstance(error, tf.errors.OpError) and _names_no_memory(error))


def _names_no_memory(error: Exception) -> bool:
    return any(words in str(error) for words in NO_MEMORY)


def is_jax() -> bool:
    """Returns whether Keras runs on JAX; if not, it runs on TensorFlow."""
    import keras

    return keras.backend.backend() == "jax"


def has_gpu() -> bool:
    """Returns whether Keras's backend computes on a GPU."""
    import keras

    return any(device.startswith("gpu") for device in keras.distribution.list_devices())


def joins_updates() -> bool:
    """Returns whether several updates are compiled as one that is repeated: on JAX with a GPU.

    On a processor, convolutions take several times as long in XLA's loops.
    """
    return is_jax() and has_gpu()


class Gpu(NamedTuple):
    """A GPU that Keras's backend computes on.

    Attributes:
        name: as its maker calls it.
        backend: of Keras, "tensorflow" or "jax".
        capability: NVIDIA's compute capability, such as (9, 0); None if it tells none.
        spare_bytes: that it still has for this process; None if that is unknown.
    """

    name: str
    backend: str
    capability: tuple[int, int] | None = None
    spare_bytes: int | None = None

    @property
    def has_bfloat16(self) -> bool:
        """Whether it multiplies bfloat16 numbers: an NVIDIA GPU does from Ampere on."""
        return self.capability is None or self.capability >= BFLOAT16_CAPABILITY


def find_gpu() -> Gpu | None:
    """Returns the GPU that Keras's backend computes on, or None if that is the processor."""
    if not has_gpu():
        return None
    if is_jax():
        import jax

        device = jax.devices()[0]
        # Other makers' GPUs have other words there, or none.
        version = re.fullmatch(r"(\d+)\.(\d+)", str(getattr(device, "compute_capability", "")))
        capability = (int(version[1]), int(version[2])) if version else None
        return Gpu(device.device_kind, "jax", capability, spare_gpu_memory())
    import tensorflow as tf

    [device, *_] = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(device)
    name = details.get("device_name", device.name)
    return Gpu(name, "tensorflow", details.get("compute_capability"), spare_gpu_memory())


def computes_bfloat16() -> bool:
    """Returns whether what Keras's backend computes on multiplies bfloat16 numbers."""
    gpu = find_gpu()
    return gpu.has_bfloat16 if gpu else has_bfloat16()


def spare_gpu_memory() -> int | None:
    """Returns the bytes that the GPU still has for this process, or None if that is unknown."""
    if is_jax():
        import jax

        stats = jax.devices()[0].memory_stats()
        return stats["bytes_limit"] - stats["bytes_in_use"] if stats else None
    import tensorflow as tf
    from tensorflow.python.client import device_lib

    devices = device_lib.list_local_devices()
    [limit, *_] = (device.memory_limit for device in devices if device.device_type == "GPU")
    return limit - tf.config.experimental.get_memory_info("GPU:0")["current"]
