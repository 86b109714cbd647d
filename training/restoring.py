"""All that the rest of a run depends on: taken from a trainer, and given back to one.

The replay memory is left out, as it has a file of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from storage.state import State, prefixed, under
from training.loop import PIXEL_MEASUREMENTS

if TYPE_CHECKING:
    from storage.checkpoints import Checkpoint
    from training.loop import TrainingLoop
    from training.resuming import LogEnd

# What a trainer counts and notes.
NUMBERS = "gathered", "pretrain_epsilon", "step", "is_playing", "pixel_measurements"


def count_from(trainer: TrainingLoop, log: LogEnd) -> None:
    """Lets a trainer that has not run yet count on from a log."""
    trainer.step, trainer.earlier_seconds = log.step, log.seconds
    trainer.episodes.number = log.episodes
    trainer.episodes.scores.extend(log.scores)
    trainer.learning.schedule.count = trainer.count
    trainer.epsilon = trainer.epsilon_schedule(trainer.count)


def state_of(trainer: TrainingLoop) -> State:
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
    of_agent, games = trainer.agent.get_state(), trainer.get_games()
    attributes = {
        "training": progress,
        "batches": trainer.batches.get_state().attributes,
        "agent": of_agent.attributes,
        **games.attributes,
    }
    arrays = prefixed("training", of_episodes.arrays) | prefixed("agent", of_agent.arrays)
    return State(attributes, {**arrays, **games.arrays})


def restore(trainer: TrainingLoop, checkpoint: Checkpoint, pretrain_again: bool) -> None:
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


def set_state(trainer: TrainingLoop, state: State) -> None:
    """Gives a trainer what `state_of` returned."""
    attributes, arrays = state
    # Where there is no number of measurements, networks did not whiten.
    numbers = {"pixel measurements": PIXEL_MEASUREMENTS, **attributes["training"]}
    of_training = under("training", arrays)
    for name in NUMBERS:
        setattr(trainer, name, numbers[name.replace("_", " ")])
    trainer.earlier_seconds = numbers["seconds"]
    if "diagnosis" in numbers:  # since version 3
        trainer.diagnosis.set_state(State(numbers["diagnosis"], {}))
    trainer.episodes.set_state(State(numbers, of_training))
    # Version 2 has nothing of dead ReLUs, and before version 4 nothing was due between two turns.
    missing = {**trainer.learning.get_state().attributes, "updated until": trainer.count}
    trainer.learning.set_state(State({**missing, **numbers}, {}))
    explore_from(trainer, numbers["explored from"])
    trainer.batches.set_state(State(attributes["batches"], {}))
    trainer.agent.set_state(State(attributes["agent"], under("agent", arrays)))
    problem = trainer.set_games(state)
    if trainer.is_playing and problem:
        _give_up_games(trainer, problem)


def explore_from(trainer: TrainingLoop, count: int) -> None:
    """Lets the schedule of exploration start at a step, or game, of the run."""
    trainer.epsilon_schedule = replace(trainer.epsilon_schedule, first_step=count)
    trainer.epsilon = trainer.epsilon_schedule(trainer.count)


def _give_up_games(trainer: TrainingLoop, why: str) -> None:
    trainer.is_playing = False
    trainer.lost.append(f"the games in progress, {why}")
