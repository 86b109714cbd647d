"""Which checkpoint, or trained agent, a command line goes on from or plays with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from playing.trained_agents import Note, note_of
from settings.config import Config
from settings.paths import BEST_WEIGHTS_ENDING, CHECKPOINT_ENDING, WEIGHTS_ENDING
from storage.checkpoints import Checkpoint, newest
from storage.weights import WeightsError, run_of


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
    ending = next((each for each in endings if weights.name.endswith(each)), None)
    if not ending or given.get("weights_only"):
        return None
    folder = weights.with_name(weights.name.removesuffix(ending) + CHECKPOINT_ENDING)
    found, problems = newest(folder, with_memory=is_training)
    if not found:
        return None
    # What --json prints is to be nothing else.
    stream = sys.stderr if given.get("json_output") else sys.stdout
    try:
        if weights.exists() and run_of(weights) != found.attributes["run"]:
            print(f"{folder} is of another run than {weights}, which is taken alone", file=stream)
            return None
    except WeightsError as error:
        problems.append(str(error))
    for problem in problems:
        print(f"{problem}: going on from {found.path}", file=stream)
    return found


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
