#!/usr/bin/env python3
"""Trains many runs on Ray: each game with each seed and each named group of settings.

python3 sweep.py --games Pong-v4 Breakout-v4 --seeds 3 --out results -- --steps 1000000
python3 sweep.py --games Pong-v4 --groups docs/sweep.toml --ray 10.0.0.1:6379 --out /shared/results

What follows -- is given to dqn_atari.py in each run. The same command once more goes on where it
was, and trains only what is missing. docs/scaling.md tells how to use several machines.
"""

from __future__ import annotations

if __name__ == "__main__":  # before any library is loaded
    from system.process import begin

    begin()

import argparse
import os
import sys
from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING

from cluster.connection import LOCAL, check_installed, check_room, connected, most_cores
from cluster.groups import check_words, read_groups
from cluster.planned_runs import PlannedRun, run_folder
from dqn_atari import make_config, make_parser
from plotting.axes import DEFAULT_X
from storage.checkpoints import newest
from storage.files import check_folder
from system import arguments
from system.console import OneLineParser, answered, say_error
from system.cores import chosen_environments
from system.errors import OneLineError
from system.libraries import BACKENDS, load_matplotlib, use_for_temporary_files
from system.signals import StopSignals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PROGRAM = "sweep.py"
# Of a run, where a machine has so many: on two all speeds of docs/performance.md were measured.
CORES = 2
AVERAGE = 50  # episodes of a point of the page's curves
SUMMARY, PICTURE, PAGE = "summary.json", "summary.png", "dashboard.html"


def _positive(text: str) -> int:
    """Returns a whole number from 1 on."""
    with suppress(ValueError):
        if 1 <= int(text) <= 10**6:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 1,000,000")


def _share(text: str) -> float:
    """Returns a share of a GPU, or a whole number of them, as Ray counts them."""
    with suppress(ValueError):
        value = float(text)
        if 0 <= value <= 1 or (value.is_integer() and 1 <= value <= 1024):
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to 1, and no whole number")


def make_parser_of_sweeps() -> argparse.ArgumentParser:
    """Returns the parser of what comes before the --."""
    parser = OneLineParser(
        prog=PROGRAM,
        description="Trains each game with each seed and each group of settings, on Ray.",
        epilog="What follows -- is given to dqn_atari.py in each run, such as -- --steps 1000000.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--games", required=True, nargs="+", type=arguments.name, metavar="ID", help="games")
    text = "runs of each game and group, with the seeds 1 to N (default: %(default)s)"
    add("--seeds", type=_positive, default=1, metavar="N", help=text)
    text = "named groups of settings, as docs/scaling.md shows (default: one without any)"
    add("--groups", type=arguments.path, metavar="FILE.toml", help=text)
    text = "folder that all machines share; each run gets DIR/<game>/<group>/<seed>"
    add("--out", required=True, type=arguments.path, metavar="DIR", help=text)
    text = "cluster to run on: HOST:PORT, auto for that of this machine, or local for one of this "
    text += "machine alone, which ends with the sweep (default: %(default)s)"
    add("--ray", default=LOCAL, type=arguments.name, metavar="ADDRESS", help=text)
    text = f"cores of each run (default: {CORES}, or fewer where no machine has so many)"
    add("--cores", type=_positive, metavar="N", help=text)
    text = "GPUs of each run, or the share of one (default: 0, the processor alone)"
    add("--gpus", type=_share, default=0.0, metavar="N", help=text)
    return parser


def plan(
    games: Sequence[str],
    groups: dict[str, list[str]],
    seeds: int,
    out: Path,
    words: Sequence[str],
    cores: int,
) -> list[PlannedRun]:
    """Returns the runs of a sweep, the first seed of each game and group before the second.

    Args:
        games: environments' ids.
        groups: what each adds to `words`, by name.
        seeds: how many.
        out: the folder of the sweep.
        words: settings of all runs, as the command line of dqn_atari.py has them.
        cores: of each run, which its environments are to suit.

    Raises:
        OneLineError: a run cannot be trained with its settings, or not any more.
        SystemExit: the command line of a run is wrong; it was said.
    """
    from atari.games import find_game

    for game in games:
        find_game(game)
    parser = make_parser()
    parser.prog = PROGRAM
    runs = []
    for seed, game, (group, more) in product(range(1, seeds + 1), games, groups.items()):
        given = vars(parser.parse_args([*words, *more]))
        check_words(given)
        folder = run_folder(out, game, group, seed)
        given |= {"environment": game, "seed": seed, "out": str(folder)}
        try:
            config, _ = make_config({"envs": chosen_environments(cores), **given})
            if config.checkpoint_path.exists():
                checkpoint, _ = newest(config.checkpoint_path, with_memory=False)
                config, _ = make_config(given, checkpoint)
        except OneLineError as error:
            error.args = (f"{game}, group {group}: {error}",)
            raise
        runs.append(PlannedRun(group, (*words, *more), config))
    return runs


def sweep(options: argparse.Namespace, words: Sequence[str]) -> int:
    """Trains what a command line asks for; returns the exit status.

    Args:
        options: what comes before the --.
        words: what follows it.
    """
    check_installed()
    out = options.out.absolute()
    games, groups = list(dict.fromkeys(options.games)), read_groups(options.groups)
    runs = plan(games, groups, options.seeds, out, words, options.cores or CORES)
    check_folder(out, "--out")
    use_for_temporary_files(out)
    # What needs Ray is loaded after all that can be wrong without it.
    from cluster.fitness import check_fitness, marked
    from cluster.run_task import Share
    from cluster.scheduling import Sweep
    from cluster.sweep_table import FAILED, Row, SweepTable

    rows = [Row(run) for run in runs]
    with StopSignals() as stop, connected(options.ray), marked(out) as wanted:
        cores = options.cores or min(CORES, most_cores())
        check_room(1, cores, options.gpus, f"--cores {cores}, --gpus {options.gpus:g}")
        share = Share(cores, options.gpus, os.environ.get("KERAS_BACKEND") or BACKENDS[0])
        fit: set[str] = set()
        check_fitness(wanted, fit)
        Sweep(rows, share, wanted, fit, SweepTable(rows, sys.stdout)).to_its_end(stop)
    if stop.received is not None:
        print("stopped: the same command goes on")
        return 128 + stop.received
    summarise(runs, out)
    return int(any(row.state == FAILED for row in rows))


def summarise(runs: Sequence[PlannedRun], out: Path) -> None:
    """Prints what runs have scored, and writes it as JSON, as a picture and as a page.

    Raises:
        OSError: a file cannot be written.
    """
    load_matplotlib()
    from cluster.results import Results
    from cluster.results_picture import draw_results
    from plotting.dashboard import write_dashboard

    results = Results.of(runs)
    print("\n" + "\n".join(results.lines()) + "\n")
    results.write(out / SUMMARY)
    print(out / SUMMARY)
    if results.scores:
        draw_results(results, out / PICTURE)
        print(out / PICTURE)
    if logs := [str(run.config.log_path) for run in runs if run.progress()]:
        write_dashboard(out / PAGE, logs, DEFAULT_X, AVERAGE, None)


def main(words: list[str] | None = None) -> int:
    """Runs the program; returns its exit status.

    0 where all runs are done, 1 where one has failed, 2 for wrong usage; 129, 130 and 143 for a
    sweep that a hang-up, Ctrl-C or SIGTERM has stopped.
    """
    ours = sys.argv[1:] if words is None else words
    theirs: list[str] = []
    if "--" in ours:
        place = ours.index("--")
        ours, theirs = ours[:place], ours[place + 1 :]
    options = make_parser_of_sweeps().parse_args(ours)
    try:
        return answered(PROGRAM, sweep(options, theirs))
    except OneLineError as error:
        return _fail(str(error), error.status)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        where = f"cannot use {error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1)


def _fail(message: str, status: int) -> int:
    """Says in one line what went wrong; returns the exit status."""
    say_error(message, PROGRAM)
    return status


if __name__ == "__main__":
    sys.exit(main())
