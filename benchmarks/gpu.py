"""Measures a GPU in at most four minutes: learning, the whole loop, updates alone, kernels.

    KERAS_BACKEND=jax python3 -m benchmarks.gpu --out gpu.json
    KERAS_BACKEND=jax python3 -m benchmarks.gpu --quick --out cpu.json    on two cores, in two

It prints one table and writes one JSON file, which is whole after each measurement.

- Learning: the program itself on Pong with its defaults, as a user starts it, for 90 seconds.
- The loop: our defaults and the setting of 2015 (its network, batches of 32, an update every 4
  steps), after all is compiled. Where frames lie is chosen as a run chooses it.
- The kernels that take most time in the loop of our defaults, by JAX's profiler.
- Updates alone, of batches of 32 of the network of 2015.

How busy the GPU is, is the share of the time in which any kernel ran, however small, as the driver
tells through nvidia-ml-py or nvidia-smi. What no time is left for is named in the table. Without a
GPU all of it measures the processor.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.gpu_profile import dearest, traced
from benchmarks.run_notes import PROGRAM, commit_of, new_part
from settings.choices import this_machine
from storage.episode_log import read_log
from storage.files import replacing
from system.cores import usable_cores
from system.devices import find_gpu, has_gpu, is_jax
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from settings.config import Config
    from training.trainer import Trainer

GAME = "PongNoFrameskip-v4"
LEARNT_GAME = "Pong-v4"
DEFAULTS, OF_2015 = "our defaults", "the setting of 2015"
PRESETS = {DEFAULTS: "default", OF_2015: "dqn-2015"}
FIRST_UPDATE, EPSILON = 2_000, 0.1
COPY_EVERY = 16_384  # steps: whole turns of each number of environments, so all calls are alike
WARM_UP = 4  # turns of the loop, in which all is compiled
DEAREST = 5  # kernels
BATCH, FRAMES = 32, 4_096  # of updates alone
SAMPLED_EVERY = 0.1  # seconds
TO_END = 15.0  # seconds that the program is given to end
TO_COMPILE = 5.0  # seconds, at least


class Row(NamedTuple):
    """A measurement: what it is of, what it came to, and how busy the GPU was."""

    measured: str
    result: str
    busy: str = ""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured, and how long: seconds, transitions, and numbers of environments."""

    budget: float = 240.0
    learning: float = 90.0
    each: float = 2.0
    memory: int = 100_000
    envs: tuple[int, ...] = (128, 32, 8, 256)  # kernels are those of the first
    updates: tuple[int, ...] = (1, 8, 64)  # in a call
    learning_flags: tuple[str, ...] = ()  # beside the defaults


QUICK = Plan(
    budget=105,
    learning=10,
    each=0.3,
    memory=4_000,
    envs=(8, 32, 128, 256),
    updates=(1, 8),
    learning_flags=("--memory", "4000", "--pretrain", "1000"),
)


# ---------------------------------------------------------------- the GPU


def device() -> str:
    """Returns what Keras computes on, as a person reads it."""
    import keras

    gpu = find_gpu()
    backend = keras.backend.backend()
    version = importlib.import_module(backend).__version__
    name = gpu.name if gpu else "no GPU, the processor alone"
    return f"{name}; {usable_cores()} cores; Keras {keras.__version__} on {backend} {version}"


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


def speed(work: Callable[[], object], amount: int, seconds: float) -> tuple[float, str]:
    """Returns how much is done a second by work that does an amount each time, and how busy."""
    done = 0
    with watching() as busy:
        started = time.perf_counter()
        while (taken := time.perf_counter() - started) < seconds or not done:
            work()
            done += amount
        return done / taken, busy()


# ---------------------------------------------------------------- what is measured


def learning(plan: Plan) -> list[Row]:
    """Returns how far a run of the defaults comes, as a process of the program."""
    with tempfile.TemporaryDirectory() as out:
        flags = ["-env", LEARNT_GAME, "--seed", "1", "--eval-every", "0", "--out", out]
        flags += ["--no-replay-checkpoint", "--no-progress", "--checkpoint-every", "1000"]
        flags += plan.learning_flags
        process = subprocess.Popen(
            [sys.executable, PROGRAM, *flags],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with process:
            try:
                output, errors = process.communicate(timeout=plan.learning)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                output, errors = process.communicate(timeout=TO_END)
            finally:
                process.kill()
        if process.returncode not in (0, 128 + signal.SIGINT):
            raise RuntimeError(errors.strip().rpartition("\n")[2])
        log = Path(out, f"{LEARNT_GAME}_log.txt")
        episodes = read_log(log).episodes if log.stat().st_size else ()
    (steps,) = re.findall(r"^  steps +([\d,]+) of ", output, re.MULTILINE)
    scores = [episode.score for episode in episodes if episode.score is not None]
    means = [f"{statistics.mean(scores[-games:]):.1f}" for games in (20, 100)] if scores else []
    told = f"means of the last 20 and 100: {' and '.join(means)}" if means else "none ended"
    result = f"{steps} steps, {len(scores):,} games, {told}"
    return [Row(f"Pong for {plan.learning:.0f} s", result)]


def settings(name: str, envs: int, memory: int) -> Config:
    """Returns the settings of a loop that is measured."""
    from dqn_atari import make_config

    given = {
        "preset": PRESETS[name],
        "environment": GAME,
        "envs": envs,
        "memory_size": memory,
        "pretrain_transitions": FIRST_UPDATE,
        "target_update_period": COPY_EVERY,
        "epsilon_start": EPSILON,
        "epsilon_end": EPSILON,
        "seed": 1,
    }
    config, _ = make_config(given, machine=this_machine(find_gpu()))
    return config


@contextmanager
def running(config: Config) -> Iterator[tuple[Trainer, Callable[[], object]]]:
    """Gives a loop in which all is compiled, and what makes its next turn."""
    from training.run import assemble

    trainer = assemble(config)
    try:
        for _ in trainer.pretrain():
            pass
        turns = trainer.train()
        for _ in itertools.islice(turns, WARM_UP):
            pass
        yield trainer, partial(next, turns)
    finally:
        trainer.close()


def loop(plan: Plan, name: str, envs: int) -> list[Row]:
    """Returns how fast the whole loop is."""
    config = settings(name, envs, plan.memory)
    with running(config) as (trainer, turn):
        rate, busy = speed(turn, envs, plan.each)
        trainer.read_updates()
    place = "the device" if config.memory_on_device else "the host"
    measured = f"the loop, {name}, {envs} environments, {config.precision}, frames on {place}"
    return [Row(measured, f"{rate:,.0f} steps/s", busy)]


def kernels(plan: Plan) -> list[Row]:
    """Returns the kernels that take most time in the loop of our defaults."""
    if not is_jax():
        return [Row("kernels", "traced on JAX alone")]
    config = settings(DEFAULTS, plan.envs[0], plan.memory)
    with running(config) as (trainer, turn):
        with traced() as events:
            speed(turn, 1, plan.each / 4)
            trainer.read_updates()
        found = dearest(events, DEAREST)
    if not found:
        return [Row("kernels", "the trace has none")]
    return [
        Row(f"kernel {number}: {kernel.name[:60]}", f"{kernel.share:.0%} of the time of all, "
            f"{kernel.runs:,} of {kernel.microseconds:.1f} µs")
        for number, kernel in enumerate(found, 1)
    ]  # fmt: skip


def updates(plan: Plan, count: int) -> list[Row]:
    """Returns how many updates of the network of 2015 are made a second, with some in a call."""
    import numpy as np

    from agent import make_agent
    from benchmarks.random_batches import ACTIONS, STATE, random_batch
    from replay.device_frames import DeviceFrames

    config = dataclasses.replace(settings(OF_2015, 1, plan.memory), batch_size=BATCH)
    agent = make_agent(config, STATE, ACTIONS, np.random.default_rng(1))
    frames = DeviceFrames(FRAMES, 1, STATE[:2]) if config.memory_on_device else None
    batch = random_batch(count * BATCH, frames=frames)

    def learn() -> None:
        agent.learn(batch).wait()

    learn()  # compiles it
    rate, busy = speed(learn, count, plan.each)
    place = "the device" if frames else "the host"
    measured = f"updates alone, {count} in a call, {config.precision}, frames on {place}"
    return [Row(measured, f"{rate:,.0f} updates/s", busy)]


def measurements(plan: Plan) -> list[tuple[str, float, Callable[[], list[Row]]]]:
    """Returns all that is measured: a name, the seconds that it needs at least, and how."""
    loops: list[tuple[str, float, Callable[[], list[Row]]]] = [
        (f"the loop, {name}, {envs} environments", plan.each + TO_COMPILE,
         partial(loop, plan, name, envs))
        for envs, name in itertools.product(plan.envs, PRESETS)
    ]  # fmt: skip
    alone: list[tuple[str, float, Callable[[], list[Row]]]] = [
        (f"updates alone, {count} in a call", plan.each + TO_COMPILE, partial(updates, plan, count))
        for count in plan.updates
    ]
    # No more of the GPU may be taken by this process than by none while the program learns.
    first = [("learning Pong", plan.learning + TO_END, partial(learning, plan))]
    of_kernels = ("kernels", plan.each + TO_COMPILE, partial(kernels, plan))
    return [*first, *loops[:2], of_kernels, *alone, *loops[2:]]


# ---------------------------------------------------------------- what is told


class TimeOver(BaseException):
    """The time is over. No handler of errors of the program's is to take it for one of them."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Ends what goes on in this context after a time; what libraries compute is waited for.

    Raises:
        TimeOver: the time is over.
    """

    def end(*_: object) -> None:
        raise TimeOver("no time was left to finish it")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def one_line(error: BaseException) -> str:
    """Returns what went wrong, in a cell of the table."""
    return " ".join(str(error).split())[:120].replace("|", "/") or type(error).__name__


def write(path: Path, plan: Plan, about: dict[str, Any], rows: list[Row]) -> None:
    """Writes all that is known so far, whole or not at all."""
    content = {**about, "plan": dataclasses.asdict(plan), "rows": [row._asdict() for row in rows]}
    with replacing(path) as new:
        new.write_text(f"{json.dumps(content, indent=2)}\n", encoding="utf-8")


def measure(plan: Plan, out: Path) -> None:
    """Measures one after the other what time is left for; prints the table and writes the file."""
    started = time.monotonic()
    about: dict[str, Any] = {"commit": commit_of(new_part(usable_cores(), 1))}
    rows: list[Row] = []
    for name, needed, work in measurements(plan):
        left = plan.budget - (time.monotonic() - started)
        if needed > left:
            rows.append(Row(name, f"left out: {max(0, left):.0f} s were left"))
        else:
            try:
                with at_most(left):
                    rows += work()
            except (Exception, TimeOver) as error:
                rows.append(Row(name, one_line(error)))
        print(rows[-1], file=sys.stderr)
        write(out, plan, about, rows)
    about |= {"device": device(), "seconds": round(time.monotonic() - started)}
    write(out, plan, about, rows)
    print(f"{about['device']}; commit {about['commit'][:7]}; {about['seconds']} s in all\n")
    print("| measured | result | GPU busy |\n| --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def main() -> None:
    """Measures what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="the file to write")
    parser.add_argument("--quick", action="store_true", help="fit for two cores without a GPU")
    options = parser.parse_args()
    measure(QUICK if options.quick else Plan(), options.out)


if __name__ == "__main__":
    main()
