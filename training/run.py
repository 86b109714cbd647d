"""A run from its start to its end: put together and restored."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from agent import make_agent
from playing.rollouts import Evaluations
from playing.training_window import LiveView
from preprocessing import make_environments, state_shape
from settings.config import Config
from settings.declaration import ConfigError, shown_by_flag
from storage.checkpoints import Checkpoint
from storage.episode_log import RewardLog, cut_back, read_log
from storage.evaluation_log import read_evaluations, write_evaluations
from storage.files import check_folder, locked
from system.console import StopSignals, warn
from training.prefetching import Prefetcher, make_prefetcher
from training.report import introduction, summary
from training.run_files import RunFiles
from training.run_loop import RunLoop
from training.schedules import LinearSchedule
from training.trainer import RECENT_GAMES, Origin, Training

if TYPE_CHECKING:
    from training.tensorboard_log import TensorBoardLog

SCHEDULE = frozenset({"epsilon_start", "epsilon_end", "explore_steps", "pretrain_transitions"})


def train(
    config: Config,
    changed: frozenset[str] = frozenset(),
    origins: Mapping[str, str] = MappingProxyType({}),
    checkpoint: Checkpoint | None = None,
) -> int:
    """Trains as the settings say, until the steps are done or a signal asks to stop.

    Args:
        config: the settings of the run.
        changed: names of settings that the command line gives, and the checkpoint has not so.
            Beside `continue_from`, those of `SCHEDULE` let exploration start anew, and
            "pretrain_transitions" pretraining as well.
        origins: where settings that are no defaults came from, by their names.
        checkpoint: what the run goes on from.

    Returns:
        The exit status: 0, or 130 or 143 where a signal ended the run.

    Raises:
        ArrayFileError: the checkpoint has been damaged since it was found.
        ConfigError: the run that it goes on from has done all its steps.
        EmulatorError: an emulator failed.
        EnvironmentIdError: there is no such game.
        FloatingPointError: the network has diverged; what was written last stays.
        LockedError: another process runs with the same files.
        LogError: the log, or the evaluations, that it goes on from cannot be read.
        MemoryError: the machine has no room for the replay memory.
        NoDisplayError: a window is asked for, and there is no display.
        OSError: a file cannot be written.
        WeightsError: the weights cannot be loaded.
    """
    with StopSignals() as stop, LiveView(config) as view:
        check_folder(Path(config.out), "--out")
        with locked(config.lock_path, f"{config.environment} in {config.out}"):
            training = assemble(config, changed, checkpoint)
            print(introduction(config, training, origins, checkpoint, sys.stdout))
            _set_aside_others(config, checkpoint)
            evaluations = make_evaluations(config, training, checkpoint)
            if checkpoint and _is_in_its_folder(config, checkpoint):
                _take_back(config, checkpoint, evaluations)
            sys.stdout.flush()
            tensorboard = make_tensorboard_log(config, training, checkpoint)
            with RewardLog(config.log_path) as log:
                files = RunFiles(config, training, evaluations, log, tensorboard)
                RunLoop(config, training, evaluations, files, stop, view).run()
        training.close()
    print(summary(config, training, evaluations, sys.stdout))
    return 0 if stop.received is None else 128 + stop.received


def assemble(
    config: Config, changed: frozenset[str] = frozenset(), checkpoint: Checkpoint | None = None
) -> Training:
    """Returns the loop, ready to run; takes and raises what `train` does."""
    origin = Origin() if checkpoint else _origin(config)
    seeds = np.random.SeedSequence(config.seed).spawn(3)
    environments_rng, agent_rng, memory_rng = (np.random.default_rng(seed) for seed in seeds)
    environments = make_environments(config, config.envs, environments_rng, shown=False)
    states = state_shape(config.screen, config.frame_stack_size)
    agent = make_agent(config, states, environments.num_actions, agent_rng)
    batches = make_prefetcher(config, states, memory_rng)
    epsilon = LinearSchedule(config.epsilon_start, config.epsilon_end, config.explore_steps)
    if config.noisy:
        epsilon = LinearSchedule(0.0, 0.0, config.explore_steps)
    training = Training(config, environments, agent, batches, epsilon, origin)
    if checkpoint:
        _restore(training, batches, checkpoint, "pretrain_transitions" in changed)
        _check_not_over(config, training.step, training.episode, checkpoint.path)
    elif config.continue_from:
        agent.load_weights(Path(config.continue_from), config.channels_first)
    if SCHEDULE & changed:
        training.explore_anew()
    return training


def _restore(
    training: Training, batches: Prefetcher, checkpoint: Checkpoint, pretrain_anew: bool
) -> None:
    """Brings the loop to where a checkpoint was taken."""
    training.set_state(checkpoint.read())
    if checkpoint.memory_path:
        batches.load(checkpoint.memory_path)
    else:
        training.lost.append("the replay memory, which was left out")
    if pretrain_anew or not checkpoint.memory_path:
        training.pretrain_anew()


def make_evaluations(
    config: Config, training: Training, checkpoint: Checkpoint | None = None
) -> Evaluations:
    """Returns the evaluations of a run, with those that there were where it goes on from.

    Raises:
        LogError: these cannot be read.
    """
    path = config.evaluations_path
    is_of_this_run = bool(config.continue_from) and path.exists() and not checkpoint
    earlier = read_evaluations(path) if is_of_this_run else ()
    evaluations = Evaluations(config, training.agent, training.step, earlier)
    if checkpoint:
        evaluations.set_state(checkpoint.attributes["evaluations"])
        if not _is_in_its_folder(config, checkpoint):
            # As its log, those of another folder stay there, with the best weights.
            evaluations.all.clear()
    return evaluations


def make_tensorboard_log(
    config: Config, training: Training, checkpoint: Checkpoint | None = None
) -> TensorBoardLog | None:
    """Returns the curves of a run for TensorBoard, if they are asked for; they see each update."""
    if not config.tensorboard:
        return None
    # It need not be there where it is not asked for.
    from training.tensorboard_log import TensorBoardLog

    log = TensorBoardLog(config.tensorboard_path, training.step, shown_by_flag(config))
    if checkpoint and (state := checkpoint.attributes.get("tensorboard")):
        log.set_state(state)
    training.after_update = log.note_update
    return log


def _is_in_its_folder(config: Config, checkpoint: Checkpoint) -> bool:
    """Returns whether a run goes on in the folder that it was in."""
    return checkpoint.path.parent.resolve() == config.checkpoint_path.resolve()


def _take_back(config: Config, checkpoint: Checkpoint, evaluations: Evaluations) -> None:
    """Takes back what files say of the time after a checkpoint, which will be run again."""
    problem = cut_back(config.log_path, *checkpoint.attributes["log"])
    if problem:
        warn(problem)
    if config.evaluations_path.exists():
        write_evaluations(config.evaluations_path, evaluations.all)


def _origin(config: Config) -> Origin:
    """Returns where the log beside the weights that the run goes on from ends."""
    if not config.continue_from:
        return Origin()
    path = Path(config.continue_from).parent / config.log_path.name
    if not path.exists() or not path.stat().st_size:
        return Origin()
    episodes = read_log(path).episodes
    last = episodes[-1]
    _check_not_over(config, last.steps, last.number + 1, path)
    scores = tuple(e.score for e in episodes[-RECENT_GAMES:] if e.score is not None)
    return Origin(last.number + 1, last.steps, last.seconds or 0.0, scores)


def _check_not_over(config: Config, steps: int, games: int, path: Path) -> None:
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


def _set_aside_others(config: Config, checkpoint: Checkpoint | None) -> None:
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
