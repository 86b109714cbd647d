"""Trains with actors on machines that die, are cut off and become slow, and checks what is counted.

    sudo python3 -m benchmarks.network_faults                    two actors, each fault once
    sudo python3 -m benchmarks.network_faults --actors 1 2 4 --faults none kill

The machines are network namespaces of this one, on a bridge: the learner's with Ray's head, and one
for each actor. It needs root, `ip` and `tc`, and ends all that it has started. Faults hit the
machine of the first actor, once it has played a while:

    none    nothing
    kill    its raylet is killed, and with it the actor; another raylet is started after 10 s
    cut     its network is down for 30 s
    slow    each packet takes 200 ms longer and 1% of them are lost, to the end

A run goes on until the actors of all machines have played after that. No step may be counted or
remembered twice, and the samples for each step must be within 2% of what the settings ask for.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from settings.config import Config
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME, NETWORK, PORT = "dqnray", "10.77.0", 6379
CUT_SECONDS, DEAD_SECONDS, MOST_SECONDS = 30, 10, 420
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
BEFORE, AFTER = 3_000, 2_000  # steps of each actor, before the fault and after it


def ip(*words: str) -> None:
    """Calls `ip`, which raises CalledProcessError where it fails."""
    subprocess.run(["ip", *words], check=True)


@contextmanager
def machines(count: int) -> Iterator[None]:
    """Makes so many namespaces on a bridge, and removes them at the end."""
    try:
        ip("link", "add", NAME, "type", "bridge")
        ip("link", "set", NAME, "up")
        for number in range(count):
            space, outer = f"{NAME}{number}", f"{NAME}-{number}"
            ip("netns", "add", space)
            ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", outer, "master", NAME, "up")
            ip("-n", space, "addr", "add", f"{NETWORK}.{number + 1}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")
        yield
    finally:
        with suppress(subprocess.CalledProcessError):
            for number in range(count):
                ip("netns", "delete", f"{NAME}{number}")
            ip("link", "delete", NAME)


def started(number: int, folder: str, *words: str) -> subprocess.Popen:
    """Returns a process in a machine. Each has Ray's files to itself, but for the learner's."""
    own = f'mount -t tmpfs none {folder}/ray && exec "$@"' if number else 'exec "$@"'
    command = ["ip", "netns", "exec", f"{NAME}{number}", "sh", "-c", own, "sh", *words]
    log = (Path(folder) / f"machine{number}.log").open("ab")
    variables = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=variables)


def ray_node(number: int, folder: str) -> subprocess.Popen:
    """Starts Ray on a machine: the head on the first, which plays nothing; one core on others."""
    ray = str(Path(sys.executable).with_name("ray"))
    head = ["--head", f"--port={PORT}", "--include-dashboard=false", "--num-cpus=0"]
    head.append(f"--temp-dir={folder}/ray")
    joins = [f"--address={NETWORK}.1:{PORT}", "--num-cpus=1"]
    common = [f"--node-ip-address={NETWORK}.{number + 1}", "--object-store-memory=100000000"]
    start = [ray, "start", "--block", *(joins if number else head), *common]
    # Where the machine is busy, Ray gives up before its parts have started.
    again = 'for attempt in 1 2 3 4 5; do "$@" && break; done'
    return started(number, folder, "sh", "-c", again, "sh", *start)


def end(process: subprocess.Popen) -> None:
    """Ends a process with all that it has started."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        # The shell first, which would start another.
        for one in [process, *family]:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                one.kill()
    process.wait()


def learn(actors: int, signals: Path) -> None:
    """Trains, in the first machine; says in files when the fault may come, and how it ended."""
    from cluster.connection import connected
    from cluster.run import make_trainer
    from training.run import brought_up

    config = Config(**SMALL, actors=actors)
    with connected(f"{NETWORK}.1:{PORT}"):
        trainer = brought_up(make_trainer, config, frozenset(), None)
        for _ in trainer.pretrain():
            pass
        updates: list[Any] = []
        trainer.learning.after_update = updates.append
        goals: list[int] = []
        for _ in trainer.train():
            held = [len(part) for part in trainer.memory.parts]
            if not goals and min(held) >= BEFORE:
                (signals / "go").touch()
            if not goals and (signals / "done").exists():
                goals = [steps + AFTER for steps in held]
            if goals and all(have >= want for have, want in zip(held, goals, strict=True)):
                break
        trainer.read_updates()
        samples = len(updates) * config.batch_size / trainer.step
        result = {
            "steps": trainer.step,
            "remembered": len(trainer.memory) - trainer.gathered,
            "samples for each step": samples,
            "asked for": config.batch_size / config.train_every,
            "games lost": trainer.episodes.games_lost,
            "actors before": sum(trainer.get_games().attributes["actors"]["lives"]),
        }
        (signals / "result").write_text(json.dumps(result))
        trainer.close()


def waited(path: Path, learner: subprocess.Popen) -> bool:
    """Waits for a file; returns whether it is there before the learner ends or takes too long."""
    started = time.monotonic()
    while not path.exists():
        if learner.poll() is not None or time.monotonic() - started > MOST_SECONDS:
            return path.exists()
        time.sleep(0.2)
    return True


def happen(fault: str, nodes: list[subprocess.Popen], folder: str) -> None:
    """Does to the first actor's machine what a fault is."""
    if fault == "kill":
        end(nodes[1])
        time.sleep(DEAD_SECONDS)
        nodes[1] = ray_node(1, folder)
    elif fault == "cut":
        ip("link", "set", f"{NAME}-1", "down")
        time.sleep(CUT_SECONDS)
        ip("link", "set", f"{NAME}-1", "up")
    elif fault == "slow":
        slow = ["netem", "delay", "200ms", "loss", "1%"]
        subprocess.run(["tc", "qdisc", "add", "dev", f"{NAME}-1", "root", *slow], check=True)


def trial(actors: int, fault: str) -> str:
    """Returns in a line how a run with so many actors went through a fault."""
    started_at = time.monotonic()
    folder = tempfile.mkdtemp(prefix=f"{NAME}-")
    (Path(folder) / "ray").mkdir()
    nodes: list[subprocess.Popen] = []
    try:
        with machines(actors + 1):
            nodes.append(ray_node(0, folder))
            if not waited(Path(folder) / "ray" / "ray_current_cluster", nodes[0]):
                return f"Ray did not start: see {folder}"
            nodes += [ray_node(number, folder) for number in range(1, actors + 1)]
            own = [sys.executable, "-m", "benchmarks.network_faults", "--learn", folder]
            learner = started(0, folder, *own, "--actors", str(actors))
            try:
                if not waited(Path(folder) / "go", learner):
                    return f"did not begin: see {folder}"
                happen(fault, nodes, folder)
                (Path(folder) / "done").touch()
                if not waited(Path(folder) / "result", learner):
                    return f"did not end: see {folder}"
            finally:
                end(learner)
                for node in nodes:
                    end(node)
        result = json.loads((Path(folder) / "result").read_text())
    finally:
        for node in nodes:
            end(node)
    shutil.rmtree(folder, ignore_errors=True)
    once = result["steps"] == result["remembered"]
    share = result["samples for each step"] / result["asked for"]
    right = "right" if once and abs(share - 1) <= 0.02 else "WRONG"
    return (
        f"{right}: {result['steps']:,} steps, each {'once' if once else 'NOT ONCE'}; samples "
        f"{share:.3f} of what is asked for; {result['actors before']} actors replaced, "
        f"{result['games lost']} games lost; {time.monotonic() - started_at:.0f} s"
    )


def main() -> None:
    """Runs the trials, or one learner of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--actors", type=int, nargs="+", default=[2])
    faults = ["none", "kill", "cut", "slow"]
    parser.add_argument("--faults", nargs="+", choices=faults, default=faults)
    parser.add_argument("--learn", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.learn:
        learn(options.actors[0], Path(options.learn))
        return
    for actors in options.actors:
        for fault in options.faults:
            print(f"{actors} actors, {fault}: {trial(actors, fault)}", flush=True)


if __name__ == "__main__":
    main()
