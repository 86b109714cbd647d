"""Network namespaces as machines: Ray on each, and a sweep while one of them dies.

    python3 -m benchmarks.hosts FOLDER      as root, on Linux, with iproute2

Three namespaces hang on a bridge: the head, on which the sweep is started and no run, and two
workers with one core each. Four runs of Pong are swept. As soon as a run of the second worker has a
checkpoint, all processes of that worker are killed at once, as where a machine loses its power. The
sweep has to end with four whole results. All namespaces share FOLDER, as machines share a network
file system.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.planned_runs import NOTE
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

BRIDGE, NETWORK, PORT = "dqn-bridge", "10.77.0", 6379
WORKERS = 2
RUN = [
    *["--steps", "12000", "--envs", "4", "-m", "2000", "-pre", "64", "-b", "8"],
    *["--train-every", "32", "--eval-every", "0", "--checkpoint-every", "0.01"],
]


def ip(words: str) -> None:
    """Calls iproute2's ip."""
    subprocess.run(["ip", *words.split()], check=True)


def inside(number: int, *command: object) -> list[str]:
    """Returns a command as a machine runs it."""
    return ["ip", "netns", "exec", f"dqn-{number}", *map(str, command)]


def kill(number: int, by: int = signal.SIGKILL) -> None:
    """Kills all processes of a machine at once, or sends them another signal."""
    pids = subprocess.run(["ip", "netns", "pids", f"dqn-{number}"], capture_output=True, text=True)
    for pid in pids.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), by)


@contextmanager
def bridge() -> Iterator[None]:
    """Gives the machines a network."""
    ip(f"link add {BRIDGE} type bridge")
    try:
        ip(f"link set {BRIDGE} up")
        yield
    finally:
        ip(f"link del {BRIDGE}")


@contextmanager
def machine(number: int) -> Iterator[None]:
    """Gives a machine, with the address that ends in its number, from 1."""
    ip(f"netns add dqn-{number}")
    try:
        ip(f"link add dqn-v{number} type veth peer name eth0 netns dqn-{number}")
        ip(f"link set dqn-v{number} master {BRIDGE} up")
        for words in (f"addr add {NETWORK}.{number}/24 dev eth0", "link set eth0 up"):
            ip(f"-n dqn-{number} {words}")
        ip(f"-n dqn-{number} link set lo up")
        yield
    finally:
        kill(number)
        # The namespace, and what is in it, stays as long as one of its sockets does.
        ip(f"link del dqn-v{number}")
        ip(f"netns del dqn-{number}")


def start_ray(number: int, folder: Path, *words: object) -> None:
    """Starts Ray on a machine."""
    ray = Path(sys.executable).with_name("ray")
    address = f"--node-ip-address={NETWORK}.{number}"
    common = [address, "--disable-usage-stats", "--object-store-memory=100000000"]
    with (folder / f"ray-{number}.txt").open("w") as output:
        subprocess.run(
            inside(number, ray, "start", *common, *words), check=True, stdout=output, stderr=output
        )


def machine_of(run: Path) -> str | None:
    """Returns the name of the machine that a run with a checkpoint is on, None for other runs."""
    saved = [path for path in run.glob("*_checkpoint/*") if path.name.isdecimal()]
    if not saved or not (run / NOTE).exists():
        return None
    with suppress(OSError, ValueError):
        pid = int((run / ".Pong-v4_lock").read_text())
        named = subprocess.run(
            ["ip", "netns", "identify", str(pid)], capture_output=True, text=True
        )
        return named.stdout.strip()
    return None


def main() -> int:
    """Sweeps; returns 0 where all runs ended whole."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with ExitStack() as stack:
        stack.enter_context(bridge())
        for number in range(1, WORKERS + 2):
            stack.enter_context(machine(number))
        head = f"{NETWORK}.1:{PORT}"
        start_ray(1, folder, "--head", f"--port={PORT}", "--num-cpus=0",
                  "--include-dashboard=false")  # fmt: skip
        for number in range(2, WORKERS + 2):
            start_ray(number, folder, f"--address={head}", "--num-cpus=1")
        started = time.monotonic()
        words = ["--games", "Pong-v4", "--seeds", 4, "--out", folder / "results", "--ray", head]
        sweep = subprocess.Popen(
            inside(1, sys.executable, ROOT / "sweep.py", *words, "--cores", 1, "--", *RUN)
        )
        runs = [folder / "results" / "Pong-v4" / "default" / str(seed) for seed in range(1, 5)]
        last = WORKERS + 1
        while f"dqn-{last}" not in map(machine_of, runs) and sweep.poll() is None:
            time.sleep(0.1)
        kill(last)
        print(f"after {time.monotonic() - started:.0f} s: machine {last} is dead", flush=True)
        status = sweep.wait()
        print(f"after {time.monotonic() - started:.0f} s: the sweep ended with status {status}")
    return status


if __name__ == "__main__":
    sys.exit(main())
