"""What the machine computes on: its processor, and the device that Keras's backend uses."""

from __future__ import annotations

import os
from pathlib import Path

from system.control_groups import lines
from system.errors import OneLineError

# Keras is imported where it is used, as `-h` needs only what is known of the processor.


def has_bfloat16(root: Path = Path("/")) -> bool:
    """Returns whether the processor has instructions that multiply bfloat16 numbers.

    Where Linux does not tell, it has none.

    Args:
        root: the folder with `proc`.
    """
    flags = {word for line in lines(root / "proc/cpuinfo") for word in line.split()}
    return bool(flags & {"avx512_bf16", "amx_bf16"})


def chosen_precision() -> str:
    """Returns the precision in which networks are fastest here: "bfloat16" or "float32".

    Updates take less time on a processor that has instructions for bfloat16: docs/results.md.
    """
    return "bfloat16" if has_bfloat16() else "float32"


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


def is_jax() -> bool:
    """Returns whether Keras runs on JAX; if not, it runs on TensorFlow."""
    import keras

    return keras.backend.backend() == "jax"


def has_gpu() -> bool:
    """Returns whether Keras's backend computes on a GPU."""
    import keras

    return any(device.startswith("gpu") for device in keras.distribution.list_devices())


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
