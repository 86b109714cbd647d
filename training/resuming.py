"""What a command line goes on from or plays with, and the files of runs before."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playing.trained_agents import Note, note_of
from settings.config import Config
from settings.declaration import ConfigError
from settings.paths import BEST_WEIGHTS_ENDING, CHECKPOINT_ENDING, WEIGHTS_ENDING
from storage.checkpoints import Checkpoint, newest
from storage.episode_log import RECENT_GAMES, cut_back, read_log
from storage.evaluation_log import Evaluation, write_evaluations
from storage.weights import WeightsError, run_of
from system.console import warn

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class LogEnd:
    """Where the log ends that a run goes on from."""

    episodes: int
    step: int
    seconds: float
    scores: tuple[float, ...]  # of the newest games, oldest first


def find_checkpoint(given: dict[str, Any]) -> Checkpoint | None:
    """Returns the checkpoint beside the weights that a run goes on from or plays with, if any.

    Prints why newer ones, or the only one, are not used.

    Args:
        given: as for `make_config`.

    Raises:
        CheckpointError: there are checkpoints, and none can be used.
        OSError: the weights cannot be read.
    """
    is_training, weights = _is_training(given), _weights(given)
    # A run cannot go on as it was from the best of its weights, but they are played with as it was.
    endings = [WEIGHTS_ENDING] if is_training else [BEST_WEIGHTS_ENDING, WEIGHTS_ENDING]
    ending = next((known for known in endings if weights.name.endswith(known)), None)
    if not ending or given.get("weights_only"):
        return None
    folder = weights.with_name(weights.name.removesuffix(ending) + CHECKPOINT_ENDING)
    checkpoint, problems = newest(folder, with_memory=is_training)
    if not checkpoint:
        return None
    # What --json prints is to be nothing else.
    stream = sys.stderr if given.get("json_output") else sys.stdout
    try:
        if weights.exists() and run_of(weights) != checkpoint.attributes["run"]:
            print(f"{folder} is of another run than {weights}, which is taken alone", file=stream)
            return None
    except WeightsError as error:
        problems.append(str(error))
    for problem in problems:
        print(f"{problem}: going on from {checkpoint.path}", file=stream)
    return checkpoint


def find_note(given: dict[str, Any]) -> Note | None:
    """Returns the note of the trained agent that a run goes on from or plays with, if any.

    Args:
        given: as for `make_config`.

    Raises:
        AgentError: there is a note beside the weights, and it cannot be used.
        OSError: it cannot be read.
    """
    weights = _weights(given)
    return note_of(weights) if weights.name and not given.get("weights_only") else None


def _is_training(given: dict[str, Any]) -> bool:
    return not (given.get("play") or given.get("evaluate"))


def _weights(given: dict[str, Any]) -> Path:
    """Returns the weights to go on from or to play with, or an empty path for none."""
    where = {name: given[name] for name in ("environment", "out") if name in given}
    needs_none = _is_training(given) or given.get("random_play")
    default = "" if needs_none else Config(**where).weights_path
    return Path(given.get("continue_from") or default)


def is_in_its_folder(config: Config, checkpoint: Checkpoint) -> bool:
    """Returns whether a run goes on in the folder that it was in."""
    return checkpoint.path.parent.resolve() == config.checkpoint_path.resolve()


def take_back(config: Config, checkpoint: Checkpoint, evaluations: Sequence[Evaluation]) -> None:
    """Takes back what files say of the time after a checkpoint, which will be run again."""
    problem = cut_back(config.log_path, *checkpoint.attributes["log"])
    if problem:
        warn(problem)
    if config.evaluations_path.exists():
        write_evaluations(config.evaluations_path, evaluations)


def log_end(config: Config) -> LogEnd | None:
    """Returns where the log beside the weights that a run goes on from ends, if there is one.

    Raises:
        ConfigError: that run has done all its steps or games.
        LogError: the log cannot be read.
    """
    if not config.continue_from:
        return None
    path = Path(config.continue_from).parent / config.log_path.name
    if not path.exists() or not path.stat().st_size:
        return None
    episodes = read_log(path).episodes
    last = episodes[-1]
    check_not_over(config, last.steps, last.number + 1, path)
    scores = tuple(e.score for e in episodes[-RECENT_GAMES:] if e.score is not None)
    return LogEnd(last.number + 1, last.steps, last.seconds or 0.0, scores)


def check_not_over(config: Config, steps: int, games: int, path: Path) -> None:
    """Raises ConfigError where what a run goes on from, at this path, has done all already."""
    if 0 < config.games <= games:
        raise ConfigError(
            f"--games {config.games:,} are done, {path} ends with game {games:,}: "
            "give more --games to go on"
        )
    if steps >= config.steps:
        raise ConfigError(
            f"--steps {config.steps:,} are done, {path} ends at step {steps:,}: "
            "give more --steps to go on"
        )


def set_aside_others(config: Config, checkpoint: Checkpoint | None) -> None:
    """Renames the files of an earlier run that this one does not go on from."""
    kept = []
    if config.continue_from:
        weights = Path(config.continue_from)
        beside = (
            config.log_path,
            config.evaluations_path,
            config.best_weights_path,
            config.tensorboard_path,
        )
        kept = [weights, *(weights.parent / path.name for path in beside)]
    if checkpoint:
        kept.append(checkpoint.path.parent)
    for path in config.run_paths:
        if path.exists() and not any(k.exists() and path.samefile(k) for k in kept):
            number = 1
            while (aside := path.with_stem(f"{path.stem}.{number}")).exists():
                number += 1
            path.rename(aside)
            print(f"{path} is of an earlier run: renamed to {aside}")
