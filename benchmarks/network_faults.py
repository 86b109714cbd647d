"""Trains with actors on machines that die, are cut off and become slow, and checks what is counted.

    python3 -m benchmarks.network_faults FOLDER      as root, on Linux, with iproute2
    python3 -m benchmarks.network_faults FOLDER --actors 1 2 4 --faults none kill

The machines are network namespaces, as those of `benchmarks.hosts`: one for the learner and Ray's
head, and one with a core for each actor. A fault comes to the machine of the last actor once all
actors have played a while:

    none    nothing
    kill    all its processes are killed at once; after 10 s Ray is started there again
    cut     its network is down for 30 s
    slow    each packet takes 200 ms longer, and 1% of them are lost, to the end; this needs a
            kernel with netem
    narrow  its network carries 8 Mbit/s to it, to the end, where a set of weights has 22 Mbit
    paused  its processes stand still for 4 of each 5 s, six times

A run goes on until all actors have played after that. No step may be counted or remembered twice,
and the samples for each step must be within 2% of what the settings ask for.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.hosts import NETWORK, PORT, bridge, inside, ip, kill, machine, start_ray
from settings.config import Config
from system.root import ROOT

HEAD = f"{NETWORK}.1:{PORT}"
DEAD_SECONDS, CUT_SECONDS, PAUSES, MOST_SECONDS = 10, 30, 6, 420
SMALL: dict[str, Any] = {
    "environment": "Pong-v4",
    "envs": 8,
    "memory_size": 400_000,
    "batch_size": 8,
    "pretrain_transitions": 1_000,
    "train_every": 16,
    "steps": 10**9,
    "seed": 1,
}
# How packets to a machine wait, as `tc` has it.
DISCIPLINES = {
    "slow": "netem delay 200ms loss 1%",
    "narrow": "tbf rate 8mbit burst 16kb latency 1s",
}
BEFORE, AFTER = 3_000, 2_000  # steps of each actor, before the fault and after it
GO, DONE, RESULT = "go", "done", "result.json"  # files by which learner and faults wait


def learn(actors: int, folder: Path) -> None:
    """Trains, on the first machine; says in files when the fault may come, and how it ended."""
    from cluster.connection import connected

    config = Config(**SMALL, actors=actors)
    with connected(HEAD):
        from cluster.run import make_trainer

        trainer = make_trainer(config)
        for _ in trainer.pretrain():
            pass
        updates: list[Any] = []
        trainer.learning.after_update = updates.append
        goals: list[int] = []
        for _ in trainer.train():
            held = [len(part) for part in trainer.memory.parts]
            if min(held) >= BEFORE:
                (folder / GO).touch()
            if not goals and (folder / DONE).exists():
                goals = [steps + AFTER for steps in held]
            if goals and all(have >= want for have, want in zip(held, goals, strict=True)):
                break
        trainer.read_updates()
        result = {
            "steps": trainer.step,
            "remembered": len(trainer.memory) - trainer.gathered,
            "share": len(updates) * config.train_every / trainer.step,
            "lost": trainer.episodes.games_lost,
            "replaced": sum(trainer.get_games().attributes["actors"]["lives"]),
        }
        (folder / RESULT).write_text(json.dumps(result))
        trainer.close()


def waited(path: Path, learner: subprocess.Popen) -> bool:
    """Waits for a file; returns whether it came before the learner ended or took too long."""
    started = time.monotonic()
    while learner.poll() is None and time.monotonic() - started < MOST_SECONDS:
        if path.exists():
            break
        time.sleep(0.2)
    return path.exists()


def start_worker(number: int, folder: Path) -> None:
    """Starts Ray on the machine of an actor; where all are busy, it may take several attempts."""
    for _ in range(5):
        try:
            start_ray(number, folder, f"--address={HEAD}", "--num-cpus=1")
            return
        except subprocess.CalledProcessError:
            kill(number)


def happen(fault: str, number: int, folder: Path) -> None:
    """Does to a machine what a fault is."""
    if fault == "kill":
        kill(number)
        time.sleep(DEAD_SECONDS)
        start_worker(number, folder)
    elif fault == "cut":
        ip(f"link set dqn-v{number} down")
        time.sleep(CUT_SECONDS)
        ip(f"link set dqn-v{number} up")
    elif fault in DISCIPLINES:
        words = f"tc qdisc add dev dqn-v{number} root {DISCIPLINES[fault]}"
        subprocess.run(words.split(), check=True)
    elif fault == "paused":
        for _ in range(PAUSES):
            kill(number, signal.SIGSTOP)
            time.sleep(4)
            kill(number, signal.SIGCONT)
            time.sleep(1)


def trial(actors: int, fault: str, folder: Path) -> str:
    """Returns in a line how a run with so many actors went through a fault."""
    folder.mkdir(parents=True)
    started = time.monotonic()
    last = actors + 1
    with ExitStack() as stack:
        stack.enter_context(bridge())
        for number in range(1, last + 1):
            stack.enter_context(machine(number))
        start_ray(1, folder, "--head", f"--port={PORT}", "--num-cpus=0",
                  "--include-dashboard=false")  # fmt: skip
        for number in range(2, last + 1):
            start_worker(number, folder)
        words = ["-m", "benchmarks.network_faults", folder, "--actors", actors, "--learn"]
        with (folder / "learner.txt").open("w") as output:
            learner = subprocess.Popen(
                inside(1, sys.executable, *words), cwd=ROOT, stdout=output, stderr=output
            )
        if not waited(folder / GO, learner):
            return f"did not begin: see {folder}"
        happen(fault, last, folder)
        (folder / DONE).touch()
        if not waited(folder / RESULT, learner):
            return f"did not end: see {folder}"
    result = json.loads((folder / RESULT).read_text())
    once, share = result["steps"] == result["remembered"], result["share"]
    right = "right" if once and abs(share - 1) <= 0.02 else "WRONG"
    return (
        f"{right}: {result['steps']:,} steps, {'each once' if once else 'NOT each once'}; samples "
        f"{share:.3f} of what is asked for; {result['replaced']} actors replaced, "
        f"{result['lost']} games lost; {time.monotonic() - started:.0f} s"
    )


def main() -> None:
    """Runs the trials, or the learner of one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--actors", type=int, nargs="+", default=[2])
    faults = ["none", "kill", "cut", *DISCIPLINES, "paused"]
    parser.add_argument("--faults", nargs="+", choices=faults, default=faults)
    parser.add_argument("--learn", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.learn:
        learn(options.actors[0], options.folder)
        return
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for actors in options.actors:
        for fault in options.faults:
            folder = options.folder.absolute() / f"{actors}-{fault}-{secrets.token_hex(2)}"
            print(f"{actors} actors, {fault}: {trial(actors, fault, folder)}", flush=True)


if __name__ == "__main__":
    main()
