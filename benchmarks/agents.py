"""Trains the agents that ship with the program, by the program itself, and publishes them.

    python3 benchmarks/agents.py train RUNS --games Pong Breakout --minutes 120 --jobs 2
    python3 benchmarks/agents.py publish RUNS --into res/agents

`train` gives each game so many minutes of its log's Seconds, in a folder of its own, RUNS/<env id>.
Stopped and called again, or with more minutes, it goes on from the checkpoints.

`publish` takes, of each run, the weights of its best evaluation, or the newest where it has had
none; so what is chosen does not depend on the games that it is then measured with. It rounds them
to half precision, and has the program play 100 greedy games by them, and 100 with 5 of 100 actions
random; then it writes weights and note.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Run as a script, this file's folder is on the path and the program's is not.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

import weights_file
from checkpoint import newest
from config import Config
from console import StopSignals, joined
from cores import usable_cores
from errors import OneLineError
from evaluation_log import read_evaluations
from files import replacing
from games import find_game
from loading import loading_libraries
from preprocessing import make_environments, state_shape
from trained_agents import GREEDY, NOTED_GROUPS, WITH_EPSILON, Note, noted_settings, write_note

GAMES = ("Pong", "Breakout", "SpaceInvaders", "Freeway", "BeamRider", "Qbert")
ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "dqn_atari.py"
ABOUT, OUTPUT = "about.json", "output.txt"  # in the folder of a run
POLL_SECONDS = 1.0
TAIL_BYTES = 4_096  # of a log, which have its last line in them
STOPPED = 128 + signal.SIGINT
PLAY_SEED = 1


def seconds_of(log: Path) -> float:
    """Returns the seconds that a run has taken as its log has it, over all resumes."""
    if not log.exists():
        return 0.0
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        found = re.findall(rb"Seconds: ([0-9.]+)\n", file.read())
    return float(found[-1]) if found else 0.0


def train_until(
    seconds: float,
    log: Path,
    command: Sequence[str],
    output: Path,
    is_stopped: Callable[[], bool],
) -> int:
    """Runs a training until its log has come to so many seconds, or it ends by itself.

    Args:
        seconds: over all resumes; an episode that ends later is waited for.
        log: of the run.
        command: what trains.
        output: the file that what it prints is added to.
        is_stopped: whether to stop at once.

    Returns:
        The exit status of the training.
    """
    with output.open("a") as file:
        # In a session of its own: a second Ctrl-C, from the terminal, would kill it.
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    while process.poll() is None:
        if seconds_of(log) >= seconds or is_stopped():
            process.send_signal(signal.SIGINT)
            process.wait()
        time.sleep(POLL_SECONDS)
    return process.returncode


def train(options: argparse.Namespace) -> int:
    """Trains all games that have minutes left; returns the exit status, 1 where one failed."""
    with StopSignals() as stop, ThreadPoolExecutor(options.jobs) as pool:
        statuses = pool.map(
            lambda game: _train_game(game, options, lambda: stop.received is not None),
            options.games,
        )
        return max(statuses, default=0)


def _train_game(game: str, options: argparse.Namespace, is_stopped: Callable[[], bool]) -> int:
    """Trains one game for the minutes that it still has; returns 1 where that failed, else 0."""
    environment = f"{game}-v4"
    folder = options.runs / environment
    config = Config(environment=environment, out=str(folder))
    limit = 60 * options.minutes
    if is_stopped() or seconds_of(config.log_path) >= limit:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(PROGRAM), "-env", environment, "--seed", str(options.seed)]
    command += ["--out", str(folder), "--no-progress", *shlex.split(options.flags)]
    if config.checkpoint_path.exists():
        command += ["-c", str(config.weights_path)]
    _note_circumstances(folder / ABOUT, options)
    output = folder / OUTPUT
    status = train_until(limit, config.log_path, command, output, is_stopped)
    has_failed = status not in (0, STOPPED)
    how = f": failed with status {status}, see {output}" if has_failed else ""
    done = seconds_of(config.log_path) / 60
    print(f"{environment}: {done:.1f} of {options.minutes:g} minutes{how}", flush=True)
    return int(has_failed)


def _note_circumstances(path: Path, options: argparse.Namespace) -> None:
    """Writes what a run's own files do not tell: by which commits, on what, and beside what."""
    commit = _printed(["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"])
    before = json.loads(path.read_text())["commit"].split(", ") if path.exists() else []
    about = {
        "commit": ", ".join(dict.fromkeys([*before, commit.strip()])),
        "machine": f"{usable_cores()} cores of {_processor()}",
        "beside": options.beside or _others(options.jobs - 1),
    }
    path.write_text(f"{json.dumps(about, indent=2)}\n")


def _others(jobs: int) -> str:
    """Returns what the machine does beside a run, as far as is known here."""
    return f"up to {jobs} more such runs" if jobs else "nothing that was started with it"


def _processor() -> str:
    """Returns the name of the processor, as far as it is known."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", path.read_text()) if path.exists() else None
    return found[1] if found else platform.machine()


def _printed(command: Sequence[str]) -> str:
    """Returns what a command prints; raises CalledProcessError where it fails."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def publish(options: argparse.Namespace) -> int:
    """Publishes the agents of all runs in a folder; returns the exit status, 0.

    Raises:
        CalledProcessError: the program could not play.
        OneLineError: the files of a run cannot be used.
        OSError: a file cannot be read or written.
    """
    for about in sorted(options.runs.glob(f"*/{ABOUT}")):
        folder = options.into / find_game(about.parent.name).name
        note = publish_run(about.parent, folder.resolve(), options.episodes)
        scores = " and ".join(f"{each['mean']:.1f}" for each in note.scores)
        print(f"{folder}: mean scores {scores}", flush=True)
    return 0


def publish_run(run: Path, folder: Path, episodes: int) -> Note:
    """Measures a run's agent, and writes its weights and its note.

    Args:
        run: the folder of the run, with the environment's id as its name.
        folder: where to write.
        episodes: games for each of its scores.

    Returns:
        The note. Raises what `publish` does.
    """
    where: dict[str, Any] = {"environment": run.name, "out": str(run)}
    checkpoint, _ = newest(Config(**where).checkpoint_path, with_memory=False)
    if not checkpoint:
        raise OneLineError(f"{run} has no checkpoint: it has not been trained")
    settings, state = checkpoint.attributes["settings"], checkpoint.attributes["training"]
    config = Config(**{**settings, **where})
    source, chosen, steps, seconds = _chosen(config, state)
    published = folder / config.weights_path.name
    play = ["--evaluate", "--json", "--seed", PLAY_SEED, "--episodes", episodes]
    plays = {each: [*play, "--eval-epsilon", each, "-c"] for each in (GREEDY, WITH_EPSILON)}
    shown = published.relative_to(ROOT) if published.is_relative_to(ROOT) else published
    note = Note(
        settings=noted_settings(settings),
        weights=published.name,
        steps=steps,
        frames=steps * config.frame_skip,
        minutes=round(seconds / 60, 1),
        run_steps=state["step"],
        run_minutes=round(state["seconds"] / 60, 1),
        chosen=chosen,
        seed=settings["seed"],
        **json.loads((run / ABOUT).read_text()),
        train=joined(["python3", PROGRAM.name, *flags_of({**settings, "steps": steps})]),
        evaluate=[joined(["python3", PROGRAM.name, *play, shown]) for play in plays.values()],
        scores=[],
    )
    with tempfile.TemporaryDirectory() as name:
        weights = Path(name) / published.name
        _save_half(config, source, weights)
        # The program takes the settings from there.
        write_note(weights.parent, note)
        scores = [_measured(epsilon, [*play, weights]) for epsilon, play in plays.items()]
        note = replace(note, scores=scores)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(published) as new:
            shutil.copyfile(weights, new)
        write_note(folder, note)
    return note


def _chosen(config: Config, state: Mapping[str, Any]) -> tuple[Path, str, int, float]:
    """Returns the weights of a run to publish, why, and the steps and seconds before them."""
    evaluations = []
    if config.best_weights_path.exists():
        evaluations = read_evaluations(config.evaluations_path)
    if not evaluations:
        why = "the newest of a run without evaluations"
        return config.weights_path, why, state["step"], state["seconds"]
    best = max(evaluations, key=lambda each: each.mean)
    why = f"the best of the run's evaluations, {len(evaluations)} with {best.games} games each"
    return config.best_weights_path, why, best.step, best.seconds


def flags_of(settings: Mapping[str, Any]) -> list[object]:
    """Returns the flags that settings are made by: what is learnt from, where it is no default."""
    flags: list[object] = []
    always = {"environment", "envs", "seed", "steps"}
    for each in fields(Config):
        flag, value = each.metadata["flags"][-1], settings.get(each.name)
        if each.metadata["group"] not in NOTED_GROUPS or value is None:
            continue
        if value != each.default or each.name in always:
            is_off = value is False
            flags += [f"--no-{flag.lstrip('-')}" if is_off else flag]
            flags += [] if isinstance(value, bool) else [value]
    return flags


def num_actions(config: Config) -> int:
    """Returns how many actions there are to choose among."""
    environments = make_environments(config, 1, np.random.default_rng(0), shown=False)
    environments.close()
    return environments.num_actions


def _save_half(config: Config, source: Path, target: Path) -> None:
    """Writes the weights of a run in half precision, by way of the network that they are for."""
    with loading_libraries():
        from agent import make_agent

    rng = np.random.default_rng(0)
    states = state_shape(config.screen, config.frame_stack_size)
    agent = make_agent(config, states, num_actions(config), rng)
    agent.load_weights(source)
    weights_file.save(target, agent.online, weights_file.run_of(source) or "", half=True)


def _measured(epsilon: float, arguments: Sequence[object]) -> dict[str, Any]:
    """Returns what the program prints of an agent's games, without the single scores."""
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    found = json.loads(_printed(command))["results"]["agent"]
    assert found["epsilon"] == epsilon
    del found["scores"]
    return dict(found)


def main() -> int:
    """Trains or publishes; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(required=True)
    training = actions.add_parser("train", help="train games, or go on with them")
    training.set_defaults(act=train)
    training.add_argument("runs", type=Path, help="folder of the runs")
    training.add_argument("--games", nargs="+", default=GAMES, metavar="NAME")
    training.add_argument("--minutes", type=float, default=120, help="of each game")
    training.add_argument("--jobs", type=int, default=1, help="games side by side")
    training.add_argument("--seed", type=int, default=1)
    training.add_argument("--flags", default="", help="further ones of the program, as one word")
    training.add_argument("--beside", default="", help="what else the machine does, in words")
    publishing = actions.add_parser("publish", help="measure what was trained, and write it")
    publishing.set_defaults(act=publish)
    publishing.add_argument("runs", type=Path, help="folder of the runs")
    publishing.add_argument("--into", type=Path, default=ROOT / "res" / "agents", metavar="DIR")
    publishing.add_argument("--episodes", type=int, default=100, help="games for each score")
    options = parser.parse_args()
    try:
        return int(options.act(options))
    except OneLineError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(main())
