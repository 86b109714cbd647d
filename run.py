"""A run from its start to its end: put together, shown, saved and stopped."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import keras
import numpy as np

from agent import make_agent
from checkpoint import Checkpoint
from config import Config
from console import Progress, StopSignals, warn
from emulators import EmulatorError
from files import locked
from machine import mebibytes
from prefetching import make_prefetcher
from preprocessing import make_environments, state_shape
from reward_log import Episode, RewardLog, cut_back, read_log
from run_files import RunFiles
from settings import ConfigError, describe
from training import RECENT_GAMES, LinearSchedule, Origin, Training
from window import Window

SCHEDULE = frozenset({"start", "end", "explore_steps", "pretrain"})


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
            Beside `continue_from`, those of `SCHEDULE` let exploration start anew, and "pretrain"
            pretraining as well.
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
        LogError: the log that it goes on from cannot be read.
        MemoryError: the machine has no room for the replay memory.
        NoDisplayError: a window is asked for, and there is no display.
        OSError: a file cannot be written.
        WeightsError: the weights cannot be loaded.
    """
    with StopSignals() as stop:
        _check_folder(Path(config.out))
        with locked(config.lock_path, f"{config.environment} in {config.out}"):
            training = assemble(config, changed, checkpoint)
            _introduce(config, training, origins, checkpoint)
            _set_aside_others(config, checkpoint)
            if checkpoint:
                _cut_log(config, checkpoint)
            sys.stdout.flush()
            with RewardLog(config.log_path) as log:
                _run(config, training, RunFiles(config, training, log), stop)
        training.close()
    print(
        f"step {training.step:,}; weights in {config.weights_path}, log in {config.log_path}, "
        f"checkpoints in {config.checkpoint_path}"
    )
    return 0 if stop.received is None else 128 + stop.received


def assemble(
    config: Config, changed: frozenset[str] = frozenset(), checkpoint: Checkpoint | None = None
) -> Training:
    """Returns the loop, ready to run; takes and raises what `train` does."""
    window = Window(f"{config.environment}: training") if config.render else None
    origin = Origin() if checkpoint else _origin(config)
    seeds = np.random.SeedSequence(config.seed).spawn(3)
    environments_rng, agent_rng, memory_rng = (np.random.default_rng(seed) for seed in seeds)
    environments = make_environments(
        config, config.envs, environments_rng, shown=window is not None
    )
    states = state_shape(config.screen, config.frame_stack_size)
    agent = make_agent(config, states, environments.num_actions, agent_rng)
    batches = make_prefetcher(config, states, memory_rng)
    epsilon = LinearSchedule(config.start, config.end, config.explore_steps)
    if config.noisy:
        epsilon = LinearSchedule(0.0, 0.0, config.explore_steps)
    training = Training(config, environments, agent, batches, epsilon, origin, window)
    if checkpoint:
        _restore(training, checkpoint, "pretrain" in changed)
        _check_not_over(config, training.step, training.episode, checkpoint.path)
    elif config.continue_from:
        agent.load_weights(Path(config.continue_from), config.channels_first)
    if SCHEDULE & changed:
        training.explore_anew()
    return training


def _restore(training: Training, checkpoint: Checkpoint, pretrain_anew: bool) -> None:
    """Brings the loop to where a checkpoint was taken."""
    training.set_state(checkpoint.read())
    if checkpoint.memory_path:
        training.memory.load(checkpoint.memory_path)
    else:
        training.lost.append("the replay memory, which was left out")
    if pretrain_anew or not checkpoint.memory_path:
        training.pretrain_anew()


def _introduce(
    config: Config, training: Training, origins: Mapping[str, str], checkpoint: Checkpoint | None
) -> None:
    """Prints the settings, what Keras runs on, what the memory will take, and what is restored."""
    print(describe(config, origins))
    devices = ", ".join(keras.distribution.list_devices())
    print(f"Keras {keras.__version__} on {keras.backend.backend()}, device {devices}")
    memory = training.memory
    print(
        f"replay memory: {memory.capacity:,} transitions, {mebibytes(memory.nbytes)} now, "
        f"at most {mebibytes(memory.max_nbytes)}"
    )
    if not config.replay_checkpoint:
        print(
            "checkpoints leave out the replay memory: whoever goes on from one gathers "
            f"{training.pretrain_steps:,} transitions anew, and gets another run than this one"
        )
    if training.step:
        print(f"going on after step {training.step:,} and {training.episode:,} episodes")
    if checkpoint:
        lost = f" but {' and '.join(training.lost)}" if training.lost else ""
        print(f"restored from {checkpoint.path}: the whole run{lost}")


def _cut_log(config: Config, checkpoint: Checkpoint) -> None:
    """Takes back what the log says of the time after a checkpoint, which will be run again."""
    if checkpoint.path.parent.resolve() == config.checkpoint_path.resolve():
        problem = cut_back(config.log_path, *checkpoint.attributes["log"])
        if problem:
            warn(problem)


def _check_folder(folder: Path) -> None:
    """Makes the folder of the run if need be; raises OSError where no file can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            error.errno, f"--out is no folder to write in ({error.strerror})", str(folder)
        ) from error


def _run(config: Config, training: Training, files: RunFiles, stop: StopSignals) -> None:
    """Pretrains and trains, and writes what there is in the end."""
    try:
        _pretrain(config, training, files, stop)
        if stop.received is None:
            _train(config, training, files, stop)
        files.finish()
    except FloatingPointError as error:
        raise FloatingPointError(
            f"{error} at step {training.step:,}, so the network has diverged: give a smaller "
            "--learning-rate; the weights and checkpoints before stay"
        ) from error
    except EmulatorError as error:
        raise EmulatorError(f"{error}, at step {training.step:,}") from error
    finally:
        files.close()


def _pretrain(config: Config, training: Training, files: RunFiles, stop: StopSignals) -> None:
    """Gathers what the first updates learn from."""
    if training.gathered >= training.pretrain_steps:
        return
    stage = "observing" if config.episode_lines else "pretraining"
    what = f"{stage}, the network decides" if training.decides_pretraining else f"{stage} at random"
    with Progress(
        what, training.pretrain_steps, training.gathered, config.progress, sys.stdout
    ) as progress:
        for gathered in training.pretrain():
            progress.update(gathered)
            _warn_of_short_memory(training, progress)
            files.save_checkpoint_if_due()
            if stop.received is not None:
                return


def _train(config: Config, training: Training, files: RunFiles, stop: StopSignals) -> None:
    """Runs the loop; logs every episode, and saves now and then."""
    last = "no episode yet"
    with Progress("training", config.steps, training.step, config.progress, sys.stdout) as progress:
        for episodes in training.run():
            files.log(episodes)
            for episode in episodes:
                if config.episode_lines:
                    progress.say(_status(training, episode))
                last = f"episode {episode.number:,}, mean score {np.mean(training.scores):.1f}"
            if any((episode.number + 1) % config.save_every == 0 for episode in episodes):
                files.save_weights()
            files.save_checkpoint_if_due()
            progress.update(
                training.step,
                f"{last}, epsilon {training.epsilon:.3f}, loss {training.loss:.4f}",
            )
            _warn_of_short_memory(training, progress)
            if stop.received is not None:
                return


def _status(training: Training, episode: Episode) -> str:
    """Returns a line that says where the run is as an episode has ended."""
    return (
        f"{training.phase}: episode {episode.number:,}, score {episode.score:g}, "
        f"memory {len(training.memory):,}, epsilon {episode.epsilon:.3f}, step {episode.steps:,}"
    )


def _warn_of_short_memory(training: Training, progress: Progress) -> None:
    """Says that the memory holds less than was asked for, if it does."""
    memory = training.memory
    if memory.is_short:
        progress.say_once(
            f"frames of this game pack badly: {mebibytes(memory.max_nbytes)} are not enough for "
            f"{memory.capacity:,} transitions, so the oldest go earlier"
        )


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
        kept = [weights, weights.parent / config.log_path.name]
    if checkpoint:
        kept.append(checkpoint.path.parent)
    for path in (config.log_path, config.weights_path, config.checkpoint_path):
        if path.exists() and not any(k.exists() and path.samefile(k) for k in kept):
            number = 1
            while (aside := path.with_stem(f"{path.stem}.{number}")).exists():
                number += 1
            path.rename(aside)
            print(f"{path} is of an earlier run: renamed to {aside}")
