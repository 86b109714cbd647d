"""Times how long the program takes to start: -h, and from the command to the first step.

    python3 -m benchmarks.start_up
    python3 -m benchmarks.start_up --rounds 9

The first step is that of all environments of a run on Pong without pretraining. What is installed
of TensorFlow and JAX is measured, in turns, after one start of each that brings its files into
memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.run_notes import PROGRAM

# One turn of the loop, whatever the number of environments.
RUN = ["-env", "Pong-v0", "--seed", "1", "--pretrain", "0", "--steps", "1"]
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX"}


def seconds_of_help() -> float:
    """Returns the seconds that -h takes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, PROGRAM, "-h"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def seconds_to_first_step(backend: str) -> float:
    """Returns the seconds from the command to when a run says that it has made its first step."""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, str(PROGRAM), *RUN, "--out", out]
        started, taken = time.perf_counter(), None
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
            assert run.stdout
            for line in run.stdout:
                if line.startswith("training: step "):
                    taken = time.perf_counter() - started
    if taken is None:
        raise RuntimeError(f"with {backend} the run ended without a step")
    return taken


def main() -> None:
    """Prints a table of seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    rounds = parser.parse_args().rounds
    backends = [name for name in BACKENDS if importlib.util.find_spec(name)]
    times: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        measured = {"`-h`": seconds_of_help()}
        for backend in backends:
            measured[f"first step, {BACKENDS[backend]}"] = seconds_to_first_step(backend)
        if number:  # the first is to warm up
            for what, taken in measured.items():
                times.setdefault(what, []).append(taken)
    print("| seconds | min | median | max |\n| --- | --- | --- | --- |")
    for what, all_taken in times.items():
        low, middle, high = min(all_taken), statistics.median(all_taken), max(all_taken)
        print(f"| {what} | {low:.2f} | {middle:.2f} | {high:.2f} |")


if __name__ == "__main__":
    main()
