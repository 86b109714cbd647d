#!/usr/bin/env python3
"""Trains a deep Q-network to play an Atari game, and plays with what it has learnt.

python3 dqn_atari.py -env Breakout-v0 -r                        train, in a window
python3 dqn_atari.py -env Breakout-v0 -c Breakout-v0_weights.h5 go on
python3 dqn_atari.py -env Breakout-v0 -p -r                     watch it play
python3 dqn_atari.py -env Breakout-v0 --evaluate                measure how well it plays
python3 dqn_atari.py -env Breakout-v0 --preset rainbow          train as a paper did
python3 dqn_atari.py --list-agents                              agents that are trained already
"""

from __future__ import annotations

if __name__ == "__main__":  # before any library is loaded
    from system.process import begin

    begin()

import argparse
import dataclasses
import importlib
import math
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cluster.connection import check_installed
from playing.trained_agents import Note, check_has_weights, listing
from settings import command_line
from settings.choices import Choice, Machine, choices, precision, takes_less, this_machine
from settings.command_line import AUTO_NAMES, DEFAULTS
from settings.config import Config, renamed
from settings.declaration import AUTO, ConfigError, check_unchanged
from settings.presets import PLAIN, PRESETS
from system.console import PROGRAM, answered, say_error
from system.cores import share_cores
from system.devices import check_devices, find_gpu, has_gpu, is_out_of_memory
from system.errors import OneLineError
from system.libraries import check_backend, use_for_temporary_files
from system.quiet_imports import loading_libraries, set_tensorflow_variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.checkpoints import Checkpoint

EPSILON = {"epsilon_start", "epsilon_end"}


class ListAgents(argparse.Action):
    """Prints what trained agents there are, in a table, and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        """Ends the program with status 0, or 2 where a note of one cannot be used."""
        try:
            print("\n".join(listing()))
        except OneLineError as error:
            parser.error(str(error))
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    return command_line.make_parser(ListAgents)


def make_config(
    given: dict[str, Any],
    checkpoint: Checkpoint | None = None,
    note: Note | None = None,
    machine: Machine | None = None,
) -> tuple[Config, dict[str, str]]:
    """Returns the settings, and where those that are no defaults came from, by their names.

    Args:
        given: what the command line says, by the names of `Config`'s fields; and "preset".
        checkpoint: what the run goes on from, with its settings where nothing else is said.
        note: of the trained agent whose weights are taken, without a checkpoint; the same.
        machine: what auto is chosen by; None for this one, without a GPU.

    Raises:
        ConfigError: settings do not go together, or cannot change within a run.
    """
    machine = machine or this_machine()
    saved, source = _saved(checkpoint, note, machine)
    flags = {name: value for name, value in given.items() if name != "preset"}
    preset = given.get("preset")
    from_preset = PRESETS[preset].settings if preset else {}
    settings = {**saved, **from_preset, **flags}
    if settings.get("noisy") and EPSILON & flags.keys():
        raise ConfigError("--noisy explores instead of epsilon: leave out --start and --end")
    origins = {
        **{name: source for name, value in saved.items() if value != DEFAULTS[name]},
        **dict.fromkeys(from_preset, f"preset {preset}"),
        **dict.fromkeys(flags, "given"),
    }
    for name in AUTO_NAMES:
        if settings.get(name, AUTO) == AUTO:
            settings.pop(name, None)
            origins[name] = AUTO
            if name in saved:
                # A run has it to its end, on other machines as well.
                settings[name], origins[name] = saved[name], source
    config = Config(**settings)
    suited = suited_to(machine, config, origins)
    config = dataclasses.replace(config, **{name: suited[name].value for name in suited})
    if checkpoint and config.is_training:
        check_unchanged(saved, config, str(checkpoint.path))
    return config, origins


def suited_to(machine: Machine, config: Config, origins: Mapping[str, str]) -> dict[str, Choice]:
    """Returns what suits a machine for the settings that are left to it, by their names.

    Args:
        machine: the machine.
        config: all other settings.
        origins: where settings come from, as `make_config` returns it.
    """
    frame_pixels = 0
    if machine.gpu:
        # Emulators are loaded by then, which -h and mistakes need not wait for.
        from atari.screens import frame_shape

        frame_pixels = math.prod(frame_shape(config.screen))
    names = [name for name in AUTO_NAMES if origins.get(name) == AUTO]
    return choices(names, config, machine, frame_pixels)


def _saved(
    checkpoint: Checkpoint | None, note: Note | None, machine: Machine
) -> tuple[dict[str, Any], str]:
    """Returns the settings that a checkpoint or an agent's note has, and what they come from."""
    if checkpoint:
        # One that was written before there was a setting does what was done then.
        before = {**PLAIN, "memory_on_device": False, "actors": 0}
        return {**before, **renamed(checkpoint.attributes["settings"])}, "checkpoint"
    saved = {**PLAIN, **note.settings} if note else {}
    saved.pop("memory_on_device", None)  # the memory will be another one
    if saved.get("precision") == "bfloat16" != precision(machine).value:
        # An agent also plays on machines that cannot compute as the one that trained it.
        del saved["precision"]
    return saved, "agent"


def _changed(given: dict[str, Any], checkpoint: Checkpoint | None) -> frozenset[str]:
    """Returns the names of settings that are given and that differ in the checkpoint, if any.

    So the command that started a run, or a new schedule in it, can be given again to go on with it.
    """
    saved = renamed(checkpoint.attributes["settings"]) if checkpoint else {}
    return frozenset(name for name, value in given.items() if (name, value) not in saved.items())


def main(arguments: list[str] | None = None) -> int:
    """Runs the program; returns its exit status.

    0 is for success, 1 for failure, 2 for wrong usage; 129, 130 and 143 for a run that a hang-up,
    Ctrl-C or SIGTERM has stopped.
    """
    given = vars(make_parser().parse_args(arguments))
    try:
        share_cores()
        # What is imported from here on takes long, which -h and mistakes need not wait for.
        from training.resuming import find_checkpoint, find_note

        checkpoint = find_checkpoint(given)
        note = None if checkpoint else find_note(given)
        # Finds mistakes. What suits a GPU is only known when Keras is loaded.
        config, _ = make_config(given, checkpoint, note)
        _load(config, sys.argv[1:] if arguments is None else arguments)
        machine = this_machine(find_gpu())
        config, origins = make_config(given, checkpoint, note, machine)
        if config.seed is None:
            config = dataclasses.replace(config, seed=secrets.randbelow(2**31))
        chosen = [choice.words for choice in suited_to(machine, config, origins).values()]
        return _run(config, _changed(given, checkpoint), origins, chosen, checkpoint)
    except OneLineError as error:
        return _fail(str(error), error.status)
    except FloatingPointError as error:
        return _fail(str(error), 1)
    except MemoryError as error:
        return _fail(str(error) or "the machine has no memory left: give less --memory", 1)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        where = f"cannot use {error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", 1)


def _load(config: Config, arguments: Sequence[str]) -> None:
    """Loads the libraries that a command line, of these arguments, asks for; checks that they work.

    Raises:
        OneLineError: the backend or the device cannot be used, or there are no weights to play.
    """
    check_backend()
    if config.actors and config.is_training:
        check_installed()
    use_for_temporary_files(Path(config.out))
    set_tensorflow_variables()
    if config.cpu:
        # What TensorFlow and JAX look for on their way to a GPU.
        os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    from atari.games import find_game

    check_has_weights(config, find_game(config.environment).name, arguments)
    with loading_libraries():
        for module in ("playing.evaluate", "playing.watch", "training.run"):
            importlib.import_module(module)
    check_devices()


def _run(
    config: Config,
    changed: frozenset[str],
    origins: dict[str, str],
    chosen: Sequence[str],
    checkpoint: Checkpoint | None,
) -> int:
    """Does what the settings ask for; returns the exit status.

    Raises:
        MemoryError: the device has no memory left; it names what takes less.
    """
    try:
        if config.play:
            from playing.watch import play

            return answered(PROGRAM, play(config))
        if config.evaluate:
            from playing.evaluate import evaluate

            return answered(PROGRAM, evaluate(config))
        from training.run import train

        if config.actors:
            from cluster.run import train_with_actors

            return train_with_actors(config, changed, origins, checkpoint, chosen)
        return train(config, changed, origins, checkpoint, chosen)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        device = "the GPU" if has_gpu() else "this machine"
        raise MemoryError(f"{device} has no memory left: {takes_less(config)}") from error


def _fail(message: str, status: int) -> int:
    """Says in one line what went wrong; returns the exit status."""
    say_error(message)
    return status


if __name__ == "__main__":
    sys.exit(main())
