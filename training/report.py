"""What a run prints: its settings at the start; at the end its results, and what can follow."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, TextIO

import keras
import numpy as np

from atari.published_scores import published_scores
from playing.training_window import LiveView
from settings.declaration import describe
from system.console import command, counted, folded, joined, painted
from system.cores import emulator_threads, network_threads, usable_cores
from system.memory import mebibytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from settings.config import Config
    from storage.checkpoints import Checkpoint
    from training.evaluations import Evaluations
    from training.loop import TrainingLoop

NAME_WIDTH = 18
GAMES_TO_WATCH = 5
POINTS_OF_A_PLOT = 20  # at least, if there are as many episodes
MOST_AVERAGED = 50  # episodes in a point of a plot


def introduction(
    config: Config,
    trainer: TrainingLoop,
    origins: Mapping[str, str],
    checkpoint: Checkpoint | None,
    chosen: Sequence[str],
    stream: TextIO,
) -> str:
    """Returns what a run begins with: settings, what it runs on, the memory, what is restored.

    Args:
        config: the settings.
        trainer: the run, ready.
        origins: where settings that are no defaults came from, by their names.
        checkpoint: what the run goes on from.
        chosen: in words, what was chosen for the machine, and why.
        stream: where it will be printed.
    """
    look = partial(painted, stream=stream)
    devices = ", ".join(keras.distribution.list_devices())
    memory = trainer.memory
    frames = memory.device_frames
    on_device = f", and {mebibytes(frames.nbytes)} of frames on the device" if frames else ""
    lines = [
        f"Keras {keras.__version__} on {keras.backend.backend()}, device {devices}",
        *(trainer.notes or [_cores(config)]),
        f"replay memory: {memory.capacity:,} transitions, {mebibytes(memory.nbytes)} now, "
        f"at most {mebibytes(memory.max_nbytes)}{on_device}",
    ]
    if chosen:
        lines.append(f"chosen for this machine: {'; '.join(chosen)}")
    if not config.replay_checkpoint:
        lines.append(
            "checkpoints leave out the replay memory: a run that goes on from one gathers "
            f"{trainer.pretrain_steps:,} transitions anew, and takes another course than this one"
        )
    if not config.actors and (view := LiveView.instructions()):
        lines.append(view)
    if trainer.step:
        lines.append(
            f"going on after step {trainer.step:,} and {trainer.episodes.number:,} episodes"
        )
    if checkpoint:
        lost = f" but {' and '.join(trainer.lost)}" if trainer.lost else ""
        lines.append(f"restored from {checkpoint.path}: the whole run{lost}")
    settings = describe(
        config,
        origins,
        heading=lambda text: look(text, "heading"),
        changed=lambda text: look(text, "changed"),
    )
    return "\n".join([settings, look("machine", "heading"), *map(folded, lines)])


def _cores(config: Config) -> str:
    """Returns how the work of a run is shared out among the cores."""
    emulators, networks = emulator_threads(config.envs), network_threads(keras.backend.backend())
    return (
        f"{counted(config.envs, 'environment')} in {counted(emulators, 'thread')}, "
        f"{counted(networks, 'thread')} for the networks (of {counted(usable_cores(), 'core')})"
    )


def summary(config: Config, trainer: TrainingLoop, evaluations: Evaluations, stream: TextIO) -> str:
    """Returns what a run ends with: its results, its files, and what to do next."""
    sections = {
        f"{config.environment}, {'done' if trainer.is_over else 'stopped'}": _results(
            config, trainer, evaluations
        ),
        "files": _files(config),
        "next": _commands(config, trainer),
    }
    lines = []
    for heading, rows in sections.items():
        lines += ["", painted(heading, "heading", stream)]
        lines += [f"  {name:<{NAME_WIDTH}} {value}" for name, value in rows.items()]
    return "\n".join(lines)


def _results(config: Config, trainer: TrainingLoop, evaluations: Evaluations) -> dict[str, str]:
    """Returns the results of a run, by names."""
    rows = {
        "steps": f"{trainer.step:,} of {config.steps:,}",
        "episodes": f"{trainer.episodes.number:,}",
        "time": duration(trainer.seconds),
    }
    if trainer.episodes.scores:
        games = len(trainer.episodes.scores)
        last = "the last game" if games == 1 else f"the last {games:,} games"
        rows["mean score"] = f"{np.mean(trainer.episodes.scores):,.1f} in {last}"
    if lost := trainer.episodes.games_lost:
        rows["games lost"] = f"{lost:,}, with actors that died"
    published = published_scores(config.environment)
    if best := evaluations.best:
        rows["best evaluation"] = f"{best.mean:,.1f} at step {best.step:,}"
        if best.human_normalised is not None:
            rows[""] = f"{best.human_normalised:.0%} of the way from random play to a person"
    if published:
        rows["for comparison"] = (
            f"random play {published.random:,.1f}, a person {published.human:,.1f}"
        )
    return rows


def duration(seconds: float) -> str:
    """Returns a time as a person says it, such as 1 h 05 min or 12 s."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02} min"
    return f"{minutes} min {left:02} s" if minutes else f"{left} s"


def _files(config: Config) -> dict[str, str]:
    """Returns the paths of a run's files by what they hold, where they are there."""
    paths = {
        "log": config.log_path,
        "weights": config.weights_path,
        "best weights": config.best_weights_path,
        "evaluations": config.evaluations_path,
        "checkpoints": config.checkpoint_path,
        "curves": config.tensorboard_path,
    }
    return {what: str(path) for what, path in paths.items() if path.exists()}


def _commands(config: Config, trainer: TrainingLoop) -> dict[str, str]:
    """Returns the commands that can follow a run, ready to be pasted, by what they are for."""
    game = ["-env", config.environment]
    best = config.best_weights_path if config.best_weights_path.exists() else config.weights_path
    chosen = [*game, "-c", best]
    more: list[object] = []
    if trainer.step >= config.steps:
        more += ["--steps", 2 * config.steps]
    if 0 < config.games <= trainer.episodes.number:
        more += ["--games", 2 * config.games]
    watched = ["-r"] if {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys() else []
    commands = {
        "to go on": command(
            "dqn_atari.py", *game, "-c", config.weights_path, "--out", config.out, *more
        ),
        "to watch it play": command(
            "dqn_atari.py", *chosen, "-p", *watched, "--episodes", GAMES_TO_WATCH
        ),
        "to evaluate it": command("dqn_atari.py", *chosen, "--evaluate"),
    }
    if trainer.episodes.number:
        average = min(MOST_AVERAGED, max(1, trainer.episodes.number // POINTS_OF_A_PLOT))
        commands["to plot its log"] = command(
            "reward_visualizer.py", "-f", config.log_path, "-a", average, "--out", config.out
        )
    if config.tensorboard_path.exists():
        show = ["-m", "tensorboard.main", "--logdir", config.tensorboard_path]
        commands["to see its curves"] = joined([sys.orig_argv[0], *show])
    return commands
