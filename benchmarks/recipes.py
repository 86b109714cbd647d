r"""Trains recipes, which are settings with a name, and shows how fast each of them learns.

    python3 -m benchmarks.recipes run runs --recipes default "3 steps" --seeds 1 2 3 --steps 250000
    python3 -m benchmarks.recipes run runs --recipes default rainbow --minutes 30 --greedy-games 20
    python3 -m benchmarks.recipes run runs --recipes default "3 steps" --steps 250000 --jobs 2
    python3 -m benchmarks.recipes run runs --recipes default --environments Pong-v4 Breakout-v4 \
        --minutes 120 --jobs 2
    python3 -m benchmarks.recipes run runs --recipes Stable-Baselines3 --minutes 30 \
        --python .venv-peer/bin/python
    python3 -m benchmarks.recipes show runs --picture scores.png
    python3 -m benchmarks.recipes show runs --by minutes --at 50000 100000 --passes 0 10 18
    python3 -m benchmarks.recipes show runs --at-minutes 10 30 --millions 1 2 5 10

The recipes stand in `recipe_settings.py`. `run` trains each recipe on each game with each seed, as
a process of the program itself, in FOLDER/<environment>/<recipe>/<seed>. The same command goes on
where it was stopped, and with more steps or minutes where it ended: what is finished is passed
over, what is not goes on from its checkpoint; the peer cannot, and starts anew. With `--minutes` a
run is ended by a signal when its time is over, which begins with its process and so includes the
pretraining. With `--jobs N` so many of all these runs go on at a time, each held to its share of
the cores. `run.json` in each folder says what was run where; see `run_notes.py`. `agents.py` makes
of runs the agents that ship with the program.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from atari.games import find_game
from benchmarks.recipe_settings import PEER, RECIPES, flags
from benchmarks.recipe_table import EVALUATION, Marks, show
from benchmarks.run_notes import NOTE, PROGRAM, new_part
from settings.config import Config, renamed
from storage.checkpoints import newest
from storage.files import replacing
from system.cores import usable_cores
from system.errors import OneLineError
from system.root import ROOT
from system.signals import StopSignals

SECONDS_BETWEEN_LOOKS = 0.1  # at the processes


class RecipeError(OneLineError):
    """Something wrong with what is asked for, said in one line."""


@dataclass
class Run:
    """One recipe with one seed, and how far it is.

    Attributes:
        folder: where its files are.
        environment: the game.
        recipe: its name.
        seed: of all its random numbers.
        steps: how many it takes; None where minutes tell.
        minutes: how long it takes; None where steps tell.
        greedy_games: played when it is over.
        python: the interpreter that runs it.
    """

    folder: Path
    environment: str
    recipe: str
    seed: int
    steps: int | None
    minutes: float | None
    greedy_games: int
    python: str

    @cached_property
    def paths(self) -> Config:
        """Where the program has the files of this run."""
        return Config(environment=self.environment, out=str(self.folder))

    @cached_property
    def note(self) -> dict[str, Any]:
        """What `run.json` holds; as at the start of a run, where there is none.

        Raises:
            RecipeError: it tells of other settings than the recipe has now.
        """
        now = {
            "environment": self.environment,
            "recipe": self.recipe,
            "seed": self.seed,
            "settings": RECIPES[self.recipe],
        }
        path = self.folder / NOTE
        if not path.exists():
            return {**now, "parts": [], "done": {}}
        note = json.loads(path.read_text())
        if renamed(note["settings"]) != now["settings"]:
            raise RecipeError(f"{self.folder} holds a run of other settings: give another folder")
        return note

    def write_note(self) -> None:
        """Writes `run.json`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / NOTE) as beside:
            beside.write_text(f"{json.dumps(self.note, indent=2)}\n")

    @property
    def is_trained(self) -> bool:
        """Whether it has been trained for as long as is asked for."""
        done = self.note["done"]
        if self.steps:
            return max(done.get("steps", 0), self.saved("step")) >= self.steps
        assert self.minutes
        return done.get("minutes", 0) >= self.minutes

    @property
    def is_evaluated(self) -> bool:
        """Whether the games that are to follow have been played."""
        is_wanted = self.greedy_games and self.recipe != PEER
        return not is_wanted or (self.folder / EVALUATION).exists()

    def saved(self, what: str) -> float:
        """Returns how many "step" or "seconds" it had when its newest checkpoint was taken."""
        checkpoint, _ = newest(self.paths.checkpoint_path, with_memory=False)
        return checkpoint.attributes["training"][what] if checkpoint else 0

    def training_command(self) -> list[str]:
        """Returns the command line that trains it, or goes on with that."""
        common = ["--environment", self.environment, "--seed", str(self.seed)]
        if self.steps:
            common += ["--steps", str(self.steps)]
        if self.recipe == PEER:
            return [self.python, "-m", "benchmarks.peer", str(self.folder), *common]
        command = [self.python, str(PROGRAM), *flags(RECIPES[self.recipe]), *common]
        command += ["--out", str(self.folder)]
        if self.paths.checkpoint_path.exists():
            command += ["--continue", str(self.paths.weights_path)]
        return command

    def evaluation_command(self) -> list[str]:
        """Returns the command line that plays greedy games with its weights."""
        return [
            *[self.python, str(PROGRAM), "--environment", self.environment],
            *["--out", str(self.folder), "--seed", str(self.seed), "--eval-epsilon", "0"],
            *["--evaluate", "--json", "--episodes", str(self.greedy_games)],
        ]


@dataclass
class Work:
    """A process that trains or evaluates a run.

    Attributes:
        run: which.
        cores: those that it may use.
        process: the process.
        is_training: whether it trains.
        ends_at: when its time is over.
        is_told: whether it has been told to end.
    """

    run: Run
    cores: set[int]
    process: subprocess.Popen
    is_training: bool
    ends_at: float
    is_told: bool = field(default=False)

    def end(self) -> None:
        """Tells it to end, once."""
        if not self.is_told:
            self.process.send_signal(signal.SIGTERM)
        self.is_told = True

    def finish(self) -> bool:
        """Notes that it has come to its end by itself or by the clock; returns whether it has."""
        run, code = self.run, self.process.returncode
        by_the_clock = self.is_told and code in (0, 128 + signal.SIGTERM)
        if code != 0 and not by_the_clock:
            print(f"{run.folder}: failed with status {code}, see its output", flush=True)
            return False
        if not self.is_training:
            part_of(run).rename(run.folder / EVALUATION)
            return True
        done = {"steps": run.steps} if run.steps else {"minutes": run.minutes}
        run.note["done"] |= done
        run.write_note()
        return True


def part_of(run: Run) -> Path:
    """Returns where its evaluation is while it is being written."""
    return run.folder / f".{EVALUATION}"


def start(run: Run, cores: set[int], jobs: int) -> Work:
    """Starts what a run needs next, held to some cores."""
    ends_at = float("inf")
    run.folder.mkdir(parents=True, exist_ok=True)
    if run.is_trained:
        command, output = run.evaluation_command(), part_of(run).open("w")
        errors = (run.folder / "output.txt").open("a")
    else:
        command, output = run.training_command(), (run.folder / "output.txt").open("a")
        errors = output
        if run.minutes:
            ends_at = time.monotonic() + 60 * run.minutes - run.saved("seconds")
        run.note["parts"].append(new_part(len(cores) if cores else usable_cores(), jobs))
        run.write_note()
    with output, errors:
        print(f"{run.folder}: {'evaluating' if run.is_trained else 'training'}", flush=True)
        before = os.sched_getaffinity(0) if cores else set()
        if cores:
            os.sched_setaffinity(0, cores)  # which the process takes over
        try:
            # In a group of its own: a terminal's Ctrl-C is for us, who pass it on once.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                # Where the peer's own Python finds `benchmarks.peer`.
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                process_group=0,
            )
        finally:
            if cores:
                os.sched_setaffinity(0, before)
    return Work(run, cores, process, not run.is_trained, ends_at)


def run_all(runs: list[Run], jobs: int) -> int:
    """Trains and evaluates runs, so many at a time; returns the exit status."""
    waiting = deque(run for run in runs if not (run.is_trained and run.is_evaluated))
    for run in runs:
        if run not in waiting:
            print(f"{run.folder}: finished before", flush=True)
    free = shares(jobs)
    going: list[Work] = []
    has_failed = False
    with StopSignals() as stop:
        try:
            while (waiting or going) and stop.received is None:
                while waiting and free:
                    going.append(start(waiting.popleft(), free.pop(), jobs))
                time.sleep(SECONDS_BETWEEN_LOOKS)
                for work in [*going]:
                    if work.process.poll() is None:
                        if time.monotonic() >= work.ends_at:
                            work.end()
                        continue
                    going.remove(work)
                    free.append(work.cores)
                    if not work.finish():
                        has_failed = True
                    elif not work.run.is_evaluated:
                        waiting.appendleft(work.run)
        finally:
            for work in going:
                work.end()
            for work in going:
                if work.process.wait() == 0:
                    work.finish()
    return 128 + stop.received if stop.received else int(has_failed)


def shares(jobs: int) -> list[set[int]]:
    """Returns the cores of each of so many processes; none stand for all that there are.

    Raises:
        RecipeError: there are fewer cores than processes.
    """
    if jobs == 1:
        return [set()]
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < jobs:
        raise RecipeError(f"--jobs {jobs} are too many: there are {len(cores)} cores")
    size = len(cores) // jobs
    return [set(cores[size * number : size * (number + 1)]) for number in range(jobs)]


def wanted(options: argparse.Namespace) -> list[Run]:
    """Returns the runs that a command line asks for: game by game, the seeds one after another.

    Raises:
        EnvironmentIdError: there is no such game, which would else be known when its turn comes.
    """
    for environment in options.environments:
        find_game(environment)
    return [
        Run(
            folder=options.folder / environment.replace("/", "-") / recipe / str(seed),
            environment=environment,
            recipe=recipe,
            seed=seed,
            steps=options.steps,
            minutes=options.minutes,
            greedy_games=options.greedy_games,
            python=options.python if recipe == PEER else sys.executable,
        )
        for environment in options.environments
        for seed in options.seeds
        for recipe in options.recipes
    ]


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    main_parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = main_parser.add_subparsers(dest="command", required=True)
    # Without abbreviations, so that each flag has one name.
    run = commands.add_parser("run", help="train recipes", allow_abbrev=False)
    run.add_argument("folder", type=Path)
    run.add_argument("--recipes", nargs="+", choices=RECIPES, required=True, metavar="NAME")
    run.add_argument("--seeds", nargs="+", type=int, default=[1], metavar="N")
    run.add_argument("--environments", nargs="+", default=["Pong-v4"], metavar="ID")
    length = run.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, metavar="N")
    length.add_argument("--minutes", type=float, metavar="N")
    run.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)")
    text = "greedy games played after each run (default: 0)"
    run.add_argument("--greedy-games", type=int, default=0, metavar="N", help=text)
    text = "the interpreter that has Stable-Baselines3"
    run.add_argument("--python", default=sys.executable, metavar="PATH", help=text)
    text = "print tables of runs, and draw them"
    table = commands.add_parser("show", help=text, allow_abbrev=False)
    table.add_argument("folder", type=Path)
    table.add_argument("--picture", type=Path, metavar="FILE")
    text = "the x axis of the picture (default: steps)"
    table.add_argument("--by", choices=("steps", "minutes"), default="steps", help=text)
    steps = [50_000, 100_000, 150_000, 200_000]
    text = "steps at which the score is told"
    table.add_argument("--at", nargs="*", type=int, default=steps, metavar="N", help=text)
    text = "minutes at which the score is told"
    table.add_argument("--at-minutes", nargs="+", type=float, default=[], metavar="N", help=text)
    text = "which million frames the mean score is told of: 1 is the first"
    table.add_argument("--millions", nargs="+", type=int, default=[], metavar="N", help=text)
    text = "scores of which is told when they were first reached (default: 0 10 18)"
    table.add_argument(
        "--passes", nargs="*", type=float, default=[0, 10, 18], metavar="SCORE", help=text
    )
    return main_parser


def main(arguments: list[str] | None = None) -> int:
    """Runs or shows recipes; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        if options.command == "run":
            return run_all(wanted(options), options.jobs)
        marks = Marks(options.at, options.at_minutes, options.passes, options.millions)
        show(options.folder, marks, options.by, options.picture)
        return 0
    except OneLineError as error:
        print(f"recipes.py: error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
