"""All that the rest of a run depends on: taken from a trainer, and given back to one.

The replay memory is left out, as it has a file of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from storage.state import State, prefixed, under

if TYPE_CHECKING:
    from storage.checkpoints import Checkpoint
    from training.resuming import LogEnd
    from training.trainer import Trainer

# What a trainer counts and notes.
NUMBERS = "gathered", "pretrain_epsilon", "step", "is_playing"


def count_from(trainer: Trainer, log: LogEnd) -> None:
    """Lets a trainer that has not run yet count on from a log."""
    trainer.step, trainer.earlier_seconds = log.step, log.seconds
    trainer.episodes.number = log.episodes
    trainer.episodes.scores.extend(log.scores)
    trainer.learning.schedule.count = trainer.count
    trainer.epsilon = trainer.epsilon_schedule(trainer.count)


def state_of(trainer: Trainer) -> State:
    """Returns the state of a trainer between two turns of its loop.

    Raises:
        FloatingPointError: an update, or a weight of the network, is not finite.
    """
    trainer.read_updates()
    of_episodes = trainer.episodes.get_state()
    numbers = {name.replace("_", " "): getattr(trainer, name) for name in NUMBERS}
    progress = {
        **numbers,
        **of_episodes.attributes,
        **trainer.learning.get_state().attributes,
        "explored from": trainer.epsilon_schedule.first_step,
        "seconds": trainer.seconds,
        "diagnosis": trainer.diagnosis.get_state().attributes,
    }
    arrays = prefixed("training", {**of_episodes.arrays, "states": np.array(trainer.stack.states)})
    attributes = {"training": progress, "batches": trainer.batches.get_state().attributes}
    for name, part in (("agent", trainer.agent), ("environments", trainer.environments)):
        attributes[name], of_part = part.get_state()
        arrays |= prefixed(name, of_part)
    return State(attributes, arrays)


def restore(trainer: Trainer, checkpoint: Checkpoint, pretrain_again: bool) -> None:
    """Brings a trainer to where a checkpoint was taken in a run of the same settings.

    The games in progress are played again up to where they were. Where the emulators play them
    in another way, as those of another version may, new ones will be started.

    Args:
        trainer: one that has not run yet.
        checkpoint: what to bring back.
        pretrain_again: whether the network gathers `--pretrain` transitions once more.

    Raises:
        ArrayFileError: the checkpoint has been damaged since it was found.
        OSError: it cannot be read.
    """
    set_state(trainer, checkpoint.read())
    if checkpoint.memory_path:
        trainer.batches.load(checkpoint.memory_path)
    else:
        trainer.lost.append("the replay memory, which was left out")
    if pretrain_again or not checkpoint.memory_path:
        trainer.gathered, trainer.pretrain_epsilon = 0, 0.0
        if trainer.is_playing:
            _give_up_games(trainer, "as pretraining begins with new ones")


def set_state(trainer: Trainer, state: State) -> None:
    """Gives a trainer what `state_of` returned."""
    attributes, arrays = state
    numbers, of_training = attributes["training"], under("training", arrays)
    for name in NUMBERS:
        setattr(trainer, name, numbers[name.replace("_", " ")])
    trainer.earlier_seconds = numbers["seconds"]
    if "diagnosis" in numbers:  # since version 3
        trainer.diagnosis.set_state(State(numbers["diagnosis"], {}))
    states = of_training["states"]
    trainer.stack.set_states(states)
    trainer.episodes.set_state(State(numbers, of_training))
    # Version 2 has nothing of dead ReLUs, and before version 4 nothing was due between two turns.
    missing = {**trainer.learning.get_state().attributes, "updated until": trainer.count}
    trainer.learning.set_state(State({**missing, **numbers}, {}))
    explore_from(trainer, numbers["explored from"])
    trainer.batches.set_state(State(attributes["batches"], {}))
    for name, part in (("agent", trainer.agent), ("environments", trainer.environments)):
        part.set_state(State(attributes[name], under(name, arrays)))
    frames = trainer.environments.frames
    if trainer.is_playing and not np.array_equal(frames, states[..., -frames.shape[-1] :]):
        _give_up_games(trainer, "which these emulators play in another way")


def explore_from(trainer: Trainer, count: int) -> None:
    """Lets the schedule of exploration start at a step, or game, of the run."""
    trainer.epsilon_schedule = replace(trainer.epsilon_schedule, first_step=count)
    trainer.epsilon = trainer.epsilon_schedule(trainer.count)


def _give_up_games(trainer: Trainer, why: str) -> None:
    trainer.is_playing = False
    trainer.lost.append(f"the games in progress, {why}")
