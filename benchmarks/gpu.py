"""Measures updates alone and the whole loop on a GPU, with either backend, and how busy it is.

    KERAS_BACKEND=jax python3 -m benchmarks.gpu           both tables
    KERAS_BACKEND=tensorflow python3 -m benchmarks.gpu
    python3 -m benchmarks.gpu updates --networks nature --batches 32 256 --precisions float32
    python3 -m benchmarks.gpu loop --envs 8 --seconds 5 --memory 20000

Without a GPU it measures the processor. "Host" and "device" say where the replay memory's frames
lie (--memory-on-device): from the host, the states of each update are sent to the GPU.

The share of the time in which the GPU is busy is what the driver tells through nvidia-ml-py, if
that is installed, or else through nvidia-smi: in which any kernel ran, however small. Every process
measures one network in one precision, or one run of the loop, on PongNoFrameskip-v4.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GAME = "PongNoFrameskip-v4"
PLACES = "host", "device"  # of the replay memory's frames
FRAMES = 4_096  # on the device, where updates are measured alone
EPSILON, FIRST_UPDATE = 0.1, 5_000
WARM_UP = 30  # turns of the loop, in which all is compiled
SETTINGS: dict[str, dict[str, Any]] = {
    "our defaults": {},
    "Nature's network": {"network": "nature"},
}
SAMPLED_EVERY = 0.1  # seconds


class Speed(NamedTuple):
    """How fast something is."""

    rate: float  # a second
    busy: str  # share of the time in which the GPU was, as it is shown


# ---------------------------------------------------------------- the GPU


def device() -> str:
    """Returns what Keras computes on, as a person reads it."""
    import keras

    from system.devices import has_gpu

    name = "no GPU, the processor alone"
    if has_gpu() and keras.backend.backend() == "jax":
        import jax

        name = jax.devices()[0].device_kind
    elif has_gpu():
        import tensorflow as tf

        [gpu, *_] = tf.config.list_physical_devices("GPU")
        name = tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
    backend = keras.backend.backend()
    version = importlib.import_module(backend).__version__
    return f"{name}; Keras {keras.__version__} on {backend} {version}; {os.cpu_count()} processors"


def utilization() -> Callable[[], float] | None:
    """Returns what tells how busy the GPU has been lately, in percent, or None if nothing does."""
    number = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    if importlib.util.find_spec("pynvml"):
        import pynvml

        pynvml.nvmlInit()
        if number.isdecimal():
            gpu = pynvml.nvmlDeviceGetHandleByIndex(int(number))
        else:
            gpu = pynvml.nvmlDeviceGetHandleByUUID(number)
        return lambda: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "-i", number, "--query-gpu=utilization.gpu"]
    command.append("--format=csv,noheader,nounits")
    return lambda: float(subprocess.check_output(command, text=True))


@contextmanager
def watching() -> Iterator[Callable[[], str]]:
    """Gives what returns how busy the GPU was in this context, as it is shown."""
    from system.devices import has_gpu

    ask = utilization() if has_gpu() else None
    shares: list[float] = []
    stop = Event()

    def watch() -> None:
        while ask and not stop.wait(SAMPLED_EVERY):
            shares.append(ask())

    thread = Thread(target=watch)
    thread.start()
    try:
        if not has_gpu():
            yield lambda: "no GPU"
        else:
            yield lambda: f"{statistics.mean(shares):.0f}%" if shares else "not told"
    finally:
        stop.set()
        thread.join()


def speed(work: Callable[[], object], amount: int, seconds: float) -> Speed:
    """Returns how fast something is that does this amount each time, done again and again."""
    done = 0
    with watching() as busy:
        started = time.perf_counter()
        while (taken := time.perf_counter() - started) < seconds or not done:
            work()
            done += amount
        return Speed(done / taken, busy())


# ---------------------------------------------------------------- what is measured


def updates(
    network: str, precision: str, batches: list[int], together: list[int], seconds: float
) -> list[list[Any]]:
    """Returns rows: the size of a batch, updates in a call, and their speed from both places."""
    from agent import make_agent
    from benchmarks.random_batches import ACTIONS, STATE, random_batch
    from replay.device_frames import DeviceFrames
    from settings.config import Config

    rng = np.random.default_rng(1)
    frames = DeviceFrames(FRAMES, 1, STATE[:2])
    for _ in range(FRAMES):
        frames.append(rng.integers(256, size=(1, *STATE[:2]), dtype=np.uint8))

    rows = []
    for size in batches:
        config = Config(network=network, precision=precision, batch_size=size)
        agent = make_agent(config, STATE, ACTIONS, rng)
        for count in together:
            row: list[Any] = [size, count]
            for on_device in (False, True):
                batch = random_batch(count * size, frames=frames if on_device else None)
                learn = partial(agent.learn, batch)
                learn()  # compiles it
                row.append(speed(learn, count, seconds))
            rows.append(row)
    return rows


def loop(name: str, envs: int, place: str, memory: int, seconds: float) -> Speed:
    """Returns how fast the whole loop is, in steps a second."""
    from settings.config import Config
    from training.run import assemble

    config = Config(
        environment=GAME,
        envs=envs,
        memory_size=memory,
        pretrain_transitions=FIRST_UPDATE,
        epsilon_start=EPSILON,
        epsilon_end=EPSILON,
        seed=1,
        memory_on_device=place == "device",
        **SETTINGS[name],
    )
    trainer = assemble(config)
    for _ in trainer.pretrain():
        pass
    turns = trainer.train()
    for _ in itertools.islice(turns, WARM_UP):
        pass

    measured = speed(partial(next, turns), envs, seconds)
    trainer.close()
    return measured


def in_a_process(measure: Callable[..., Any], *arguments: object) -> Any:
    """Returns what a measurement returns in a process of its own, or in one line why it failed."""
    order = json.dumps([measure.__name__, *arguments])
    command = [sys.executable, "-m", "benchmarks.gpu", "--measure", order]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.splitlines() or [f"exit status {done.returncode}"])[-1]
    return json.loads(done.stdout.splitlines()[-1])


# ---------------------------------------------------------------- the tables


def print_updates(options: argparse.Namespace) -> None:
    """Prints how many updates are made in a second, without anything else."""
    print(
        "\n| network | precision | batch | updates in a call | updates/s, host | GPU busy ", end=""
    )
    print("| updates/s, device | GPU busy |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
    for network, precision in itertools.product(options.networks, options.precisions):
        rows = in_a_process(
            updates, network, precision, options.batches, options.together, options.seconds
        )
        if isinstance(rows, str):
            print(f"| {network} | {precision} | {rows} | | | | | |", flush=True)
            continue
        for size, together, *speeds in rows:
            cells = " | ".join(f"{rate:,.0f} | {busy}" for rate, busy in speeds)
            print(f"| {network} | {precision} | {size} | {together} | {cells} |", flush=True)


def print_loop(options: argparse.Namespace) -> None:
    """Prints how many steps the whole loop makes in a second."""
    print("\n| settings | environments | frames | steps/s | GPU busy |")
    print("| --- | --- | --- | --- | --- |")
    for name, envs, place in itertools.product(SETTINGS, options.envs, PLACES):
        measured = in_a_process(loop, name, envs, place, options.memory, options.seconds)
        cells = (
            f"{measured} | " if isinstance(measured, str) else f"{measured[0]:,.0f} | {measured[1]}"
        )
        print(f"| {name} | {envs} | {place} | {cells} |", flush=True)


TABLES = {"updates": print_updates, "loop": print_loop}


def main() -> None:
    """Says what the device is, and prints the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(TABLES))
    networks, precisions = ["nips", "nature", "impala"], ["float32", "bfloat16"]
    parser.add_argument("--networks", nargs="+", choices=networks, default=networks)
    parser.add_argument("--precisions", nargs="+", choices=precisions, default=precisions)
    numbers: dict[str, Any] = {"nargs": "+", "type": int, "metavar": "N"}
    parser.add_argument("--batches", **numbers, default=[32, 64, 128, 256, 512])
    parser.add_argument("--together", **numbers, default=[1, 8], help="updates in a call")
    parser.add_argument("--envs", **numbers, default=[8, 32, 128])
    parser.add_argument("--memory", type=int, default=100_000, metavar="N", help="transitions")
    parser.add_argument("--seconds", type=float, default=3.0, help="that each is measured for")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, *arguments = json.loads(options.measure)
        measures: list[Callable[..., Any]] = [device, updates, loop]
        print(json.dumps({each.__name__: each for each in measures}[name](*arguments)))
        return
    if unknown := set(options.tables) - TABLES.keys():
        parser.error(f"no table {', '.join(unknown)}: choose from {', '.join(TABLES)}")
    # No more of the GPU is taken by this process than by none.
    print(in_a_process(device))
    for table in options.tables or TABLES:
        TABLES[table](options)


if __name__ == "__main__":
    main()
