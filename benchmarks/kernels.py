"""Counts the kernels that an update of a batch of 32 starts, on JAX.

    KERAS_BACKEND=jax python3 -m benchmarks.kernels
    KERAS_BACKEND=jax JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 python3 -m benchmarks.kernels --h100

They are the operations of the loop over joined updates, as XLA compiles it for the device, with the
memory's frames there. With --h100 it compiles for such a GPU. None need be there, but the packages
of `requirements-gpu.txt`. XLA puts rows of kernels into CUDA graphs, and the launch of a graph
starts all that is in it, so these launches are counted as well. Flags of XLA's, such as
`--xla_gpu_graph_min_graph_size=2`, are tried by XLA_FLAGS.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from agent import make_agent
from benchmarks.host_time import joined_calls
from benchmarks.random_batches import ACTIONS, STATE, random_batch
from learning.compiled import JaxCalls
from replay.device_frames import DeviceFrames
from settings.config import Config

UPDATES, BATCH = 4, 32
# What XLA's text calls an operation that starts no kernel of its own.
NO_KERNELS = frozenset({"parameter", "constant", "tuple", "get-tuple-element", "bitcast"})
# What XLA wants to know of an H100.
H100 = {
    "core_count": 132,
    "fpus_per_core": 128,
    "threads_per_warp": 32,
    "threads_per_core_limit": 2048,
    "threads_per_block_limit": 1024,
    "block_dim_limit_x": 2**31 - 1,
    "block_dim_limit_y": 2**16 - 1,
    "block_dim_limit_z": 2**16 - 1,
    "registers_per_core_limit": 2**16,
    "registers_per_block_limit": 2**16,
    "shared_memory_per_core": 228 << 10,
    "shared_memory_per_block": 48 << 10,
    "shared_memory_per_block_optin": 227 << 10,
    "l2_cache_size": 50 << 20,
    "device_memory_size": 80 << 30,
    "memory_bandwidth": 3_350_000_000_000,
    "clock_rate_ghz": 1.98,
}
# Without the driver's version, XLA puts into CUDA graphs only what any driver can.
VERSIONS = 'driver_version: "13.0.0" runtime_version: "13.0.0"'
PLATFORM = """
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 12 }
runtime_version { major: 13 }
"""


def h100_sharding() -> Any:
    """Returns the sharding of arrays on an H100, to compile for one."""
    import jax
    from jax.experimental import topologies

    numbers = " ".join(f"{name}: {number}" for name, number in H100.items())
    device = f"gpu_device_info {{ {numbers} {VERSIONS} cuda_compute_capability {{ major: 9 }} }}"
    topology = topologies.get_topology_desc(
        platform="cuda", topology="1x1x1", target_config=device + PLATFORM
    )
    return jax.sharding.SingleDeviceSharding(topology.devices[0])


def lowered_update(network: str, precision: str, sharding: Any) -> Any:
    """Returns the joined updates of a network, to be compiled for where a sharding says.

    Args:
        network: a name in `NETWORKS`.
        precision: "float32" or "bfloat16".
        sharding: of all arrays; None for this machine's device.
    """
    import jax

    frames = DeviceFrames(64, 1, STATE[:2])
    config = Config(network=network, precision=precision, batch_size=BATCH)
    agent = make_agent(config, STATE, ACTIONS, np.random.default_rng(0))
    calls = joined_calls(agent)
    assert isinstance(calls, JaxCalls)
    arrays = random_batch(UPDATES * BATCH, frames=frames).arrays
    del arrays["indices"]
    batches = {name: a.reshape(UPDATES, BATCH, *a.shape[1:]) for name, a in arrays.items()}
    trained, others, optimizer, _ = calls.state

    def place(array: Any) -> Any:
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)

    given = jax.tree.map(place, ((trained, others, optimizer), batches, frames.array))
    return calls.compiled_update.lower(*given)


def kernels(text: str) -> int:
    """Returns how many kernels the loop of a compiled update starts, from XLA's text of it."""
    (body,) = re.findall(r"body=%?([\w.-]+)", text)
    start = re.search(rf"^%?{re.escape(body)} .*\{{$", text, re.MULTILINE)
    assert start
    lines = text[start.end() :].partition("\n}")[0].splitlines()
    found = [re.match(r"\s+(?:ROOT )?%?[\w.-]+ = .*?\s([a-z][\w-]*)\(", line) for line in lines]
    return sum(1 for operation in found if operation and operation[1] not in NO_KERNELS)


def launches(folder: Path) -> int:
    """Returns how many launches the loop takes on a GPU, from what XLA has written to a folder."""
    [path] = folder.glob("*thunk_sequence_after_thunk_passes.txt")
    body = path.read_text().partition("body:\n")[2]
    indent = len(body) - len(body.lstrip())
    count = 0
    for line in body.splitlines():
        if len(line) - len(line.lstrip()) < indent:
            break
        count += bool(re.match(rf" {{{indent}}}\d+: ", line))
    return count


def main() -> None:
    """Prints the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--h100", action="store_true", help="compile for an H100")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    sharding = h100_sharding() if options.h100 else None
    for network in ("nips", "nature"):
        lowered = lowered_update(network, options.precision, sharding)
        with tempfile.TemporaryDirectory() as folder:
            compiled = lowered.compile(compiler_options={"xla_dump_to": folder})
            said = f"{network}: {kernels(compiled.as_text())} kernels an update"
            print(f"{said} in {launches(Path(folder))} launches" if options.h100 else said)


if __name__ == "__main__":
    main()
