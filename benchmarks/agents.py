r"""Publishes agents that runs of `recipes.py` trained, so that they ship with the program.

    python3 -m benchmarks.recipes run runs --recipes default --environments Pong-v4 Breakout-v4 \
        --minutes 120 --jobs 2
    python3 -m benchmarks.agents runs/*/default/1

Of each run it takes the newest weights: its evaluations are too few games to choose by. It rounds
them to half precision, and has the program play 100 greedy games by them, and 100 with 5 of 100
actions random; then it writes weights and note into `res/agents/<game>`. By which commit a run was
trained, on what and beside what is taken from its `run.json`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atari.games import find_game
from benchmarks.recipe_settings import flags
from benchmarks.run_notes import NOTE, PROGRAM, commit_of, cores_of, others_beside
from dqn_atari import EPSILON
from playing.trained_agents import (
    GREEDY,
    NOTED_GROUPS,
    WITH_EPSILON,
    Note,
    noted_settings,
    write_note,
)
from settings.config import Config, renamed
from settings.presets import PLAIN
from storage import weights as weights_file
from storage.checkpoints import Checkpoint, newest
from storage.files import replacing
from system.console import joined
from system.errors import OneLineError
from system.quiet_imports import loading_libraries
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PLAY_SEED = 1


class PublishError(OneLineError):
    """A run that cannot be published, said in one line."""


def publish(runs: Iterable[Path], into: Path, episodes: int, beside: str | None) -> None:
    """Publishes the agents of runs, and prints what each scored.

    Args:
        runs: their folders.
        into: where each agent gets a folder with its game's name.
        episodes: games for each of its scores.
        beside: what else the machine did meanwhile, in words; None for what the runs say.

    Raises:
        OneLineError: the files of a run cannot be used, or two runs are of the same game.
        OSError: a file cannot be read or written.
    """
    targets: dict[Path, Path] = {}
    for run in runs:
        folder = into.resolve() / find_game(_read_note(run)["environment"]).name
        if folder in targets:
            raise PublishError(f"{targets[folder]} and {run} are of one game: publish one of them")
        targets[folder] = run
    for folder, run in targets.items():
        note = publish_run(run, folder, episodes, beside)
        scores = " and ".join(f"{evaluation['mean']:.1f}" for evaluation in note.scores)
        print(f"{folder}: mean scores {scores}", flush=True)


def _read_note(run: Path) -> dict[str, Any]:
    """Returns what `run.json` says of a run."""
    path = run / NOTE
    if not path.is_file():
        raise PublishError(f"{run} is no folder of a run of recipes.py: it has no {NOTE}")
    return dict(json.loads(path.read_text()))


def publish_run(run: Path, folder: Path, episodes: int, beside: str | None) -> Note:
    """Measures a run's agent, and writes its weights and its note.

    Args:
        run: the folder of the run.
        folder: where to write.
        episodes: as for `publish`.
        beside: as for `publish`.

    Returns:
        The note. Raises what `publish` does.
    """
    about = _read_note(run)
    where: dict[str, Any] = {"environment": about["environment"], "out": str(run)}
    checkpoint = _newest_checkpoint(Config(**where))
    # One that was written before there was a setting did what was done then.
    settings = {**PLAIN, **renamed(checkpoint.attributes["settings"])}
    state = checkpoint.attributes["training"]
    config = Config(**{**settings, **where})
    steps = state["step"]
    published = folder / config.weights_path.name
    play = ["--evaluate", "--json", "--seed", PLAY_SEED, "--episodes", episodes]
    plays = {
        epsilon: [*play, "--eval-epsilon", epsilon, "-c"] for epsilon in (GREEDY, WITH_EPSILON)
    }
    shown = published.relative_to(ROOT) if published.is_relative_to(ROOT) else published
    parts = about["parts"]
    note = Note(
        settings=noted_settings(settings),
        weights=published.name,
        steps=steps,
        frames=steps * config.frame_skip,
        minutes=round(state["seconds"] / 60, 1),
        seed=settings["seed"],
        commit=_each_once(map(commit_of, parts)),
        machine=_each_once(f"{cores_of(part)} of {part['processor']}" for part in parts),
        beside=beside or _each_once(map(others_beside, parts)),
        train=joined(["python3", PROGRAM.name, *training_flags({**settings, "steps": steps})]),
        evaluate=[joined(["python3", PROGRAM.name, *play, shown]) for play in plays.values()],
        scores=[],
    )
    with tempfile.TemporaryDirectory() as name:
        weights = Path(name) / published.name
        _save_half(config, weights)
        # The program takes the settings from there.
        write_note(weights.parent, note)
        scores = [_measured(epsilon, [*play, weights]) for epsilon, play in plays.items()]
        note = replace(note, scores=scores)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(published) as new:
            shutil.copyfile(weights, new)
        write_note(folder, note)
    return note


def _newest_checkpoint(config: Config) -> Checkpoint:
    """Returns the newest checkpoint of a run that is whole; raises OneLineError for none."""
    checkpoint, _ = newest(config.checkpoint_path, with_memory=False)
    if not checkpoint:
        raise PublishError(f"{config.out} has no checkpoint: it has not been trained")
    return checkpoint


def _each_once(words: Iterable[str]) -> str:
    """Returns what the parts of a run have, each only once where it is the same."""
    return ", ".join(dict.fromkeys(words))


def training_flags(settings: Mapping[str, Any]) -> list[str]:
    """Returns the flags of the program that train by settings: by what is learnt from.

    Defaults are left out, but for those that the command line chooses by the machine, and for what
    tells runs apart. A command line gives no epsilon to a noisy network, which does without.
    """
    always = {"environment", "seed", "steps"}
    named: dict[str, Any] = {}
    for field in fields(Config):
        value = settings.get(field.name)
        is_needed = value != field.default or field.metadata["auto"] or field.name in always
        is_unused = settings.get("noisy") and field.name in EPSILON
        is_noted = field.metadata["group"] in NOTED_GROUPS
        if is_noted and is_needed and not is_unused and value is not None:
            named[field.name] = value
    return flags(named)


def _save_half(config: Config, target: Path) -> None:
    """Writes the newest weights of a run in half precision, by the network they are for."""
    source = config.weights_path
    with loading_libraries():
        from playing.players import load_player

    with load_player(replace(config, continue_from=str(source)), 1) as player:
        run = weights_file.run_of(source) or ""
        weights_file.save(target, player.agent.online, run, half=True)


def _measured(epsilon: float, arguments: Sequence[object]) -> dict[str, Any]:
    """Returns what the program prints of an agent's games, without the single scores."""
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise PublishError(f"the program ended with status {done.returncode}: {joined(command)}")
    evaluation = json.loads(done.stdout)["results"]["agent"]
    assert evaluation["epsilon"] == epsilon
    del evaluation["scores"]
    return dict(evaluation)


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    agents = ROOT / "res" / "agents"
    text = "folder of the agents (default: res/agents)"
    parser.add_argument("--into", type=Path, default=agents, metavar="DIR", help=text)
    text = "games for each score (default: 100)"
    parser.add_argument("--episodes", type=int, default=100, metavar="N", help=text)
    text = "what else the machine did meanwhile (default: what the runs say)"
    parser.add_argument("--beside", metavar="WORDS", help=text)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Publishes; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        publish(options.runs, options.into, options.episodes, options.beside)
    except OneLineError as error:
        print(f"agents.py: error: {error}", file=sys.stderr)
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
