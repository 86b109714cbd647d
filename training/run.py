"""A run from its start to its end: put together and restored."""

from __future__ import annotations

import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from agent import make_agent
from atari.emulators import EmulatorError
from playing.training_window import LiveView
from preprocessing import make_environments, state_shape
from settings.declaration import shown_by_flag
from storage.episode_log import Episode, RewardLog
from storage.evaluation_log import read_evaluations
from storage.files import check_folder, locked
from storage.state import State
from system.console import Progress, warn_of_lost_output
from system.memory import mebibytes
from system.signals import StopSignals
from training.evaluations import Evaluations
from training.prefetching import make_prefetcher
from training.report import introduction, summary
from training.restoring import count_from, explore_from, restore
from training.resuming import check_not_over, is_in_its_folder, log_end, set_aside_others, take_back
from training.run_files import RunFiles
from training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from atari.histories import History
    from settings.config import Config
    from storage.checkpoints import Checkpoint
    from training.loop import TrainingLoop
    from training.tensorboard_log import TensorBoardLog

Loop = TypeVar("Loop", bound="TrainingLoop")
SCHEDULE = frozenset({"epsilon_start", "epsilon_end", "explore_steps", "pretrain_transitions"})


def train(
    config: Config,
    changed: frozenset[str] = frozenset(),
    origins: Mapping[str, str] = MappingProxyType({}),
    checkpoint: Checkpoint | None = None,
    chosen: Sequence[str] = (),
    make: Callable[[Config], TrainingLoop] | None = None,
) -> int:
    """Trains as the settings say, until the steps are done or a signal asks to stop.

    Args:
        config: the settings of the run.
        changed: names of settings that the command line gives and that differ in the checkpoint.
            Beside `continue_from`, those of `SCHEDULE` let exploration start anew, and
            "pretrain_transitions" pretraining as well.
        origins: where settings that are no defaults came from, by their names.
        checkpoint: what the run goes on from.
        chosen: in words, what was chosen for the machine, and why.
        make: makes the loop, at its start; without it, `make_trainer` does.

    Returns:
        The exit status: 0, or 129, 130 or 143 where a signal ended the run.

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
            trainer = brought_up(make or make_trainer, config, changed, checkpoint)
            print(introduction(config, trainer, origins, checkpoint, chosen, sys.stdout))
            set_aside_others(config, checkpoint)
            evaluations = make_evaluations(config, trainer, checkpoint)
            if checkpoint and is_in_its_folder(config, checkpoint):
                take_back(config, checkpoint, evaluations.all)
            sys.stdout.flush()
            tensorboard = make_tensorboard_log(config, trainer, checkpoint)
            with RewardLog(config.log_path) as log:
                files = RunFiles(config, trainer, evaluations, log, tensorboard)
                Run(config, trainer, evaluations, files, stop, view).to_its_end()
        trainer.close()
    print(summary(config, trainer, evaluations, sys.stdout))
    warn_of_lost_output()
    return 0 if stop.received is None else 128 + stop.received


def assemble(
    config: Config, changed: frozenset[str] = frozenset(), checkpoint: Checkpoint | None = None
) -> Trainer:
    """Returns the loop of this process, ready to run. The arguments are those of `train`."""
    return brought_up(make_trainer, config, changed, checkpoint)


def brought_up(
    make: Callable[[Config], Loop],
    config: Config,
    changed: frozenset[str],
    checkpoint: Checkpoint | None,
) -> Loop:
    """Returns a loop that is where the run starts or goes on; see `train` for the arguments."""
    # Before anything is made that takes long.
    log = None if checkpoint else log_end(config)
    trainer = make(config)
    if checkpoint:
        restore(trainer, checkpoint, "pretrain_transitions" in changed)
        check_not_over(config, trainer.step, trainer.episodes.number, checkpoint.path)
    elif config.continue_from:
        trainer.agent.load_weights(Path(config.continue_from), config.channels_first)
    if log:
        count_from(trainer, log)
    if SCHEDULE & changed:
        explore_from(trainer, trainer.count)
    return trainer


def make_trainer(config: Config) -> Trainer:
    """Returns a loop with its environments in this process, at its start."""
    environments_rng, agent_rng, memory_rng = random_generators(config)
    environments = make_environments(config, config.envs, environments_rng, shown=False)
    states = state_shape(config.screen, config.frame_stack_size)
    agent = make_agent(config, states, environments.num_actions, agent_rng)
    return Trainer(config, environments, agent, make_prefetcher(config, states, memory_rng))


def random_generators(config: Config) -> list[np.random.Generator]:
    """Returns the generators that draw for environments, agent and memory."""
    seeds = np.random.SeedSequence(config.seed).spawn(3)
    return [np.random.default_rng(seed) for seed in seeds]


def make_evaluations(
    config: Config, trainer: TrainingLoop, checkpoint: Checkpoint | None = None
) -> Evaluations:
    """Returns the evaluations of a run, with those that there were where it goes on from.

    Raises:
        LogError: these cannot be read.
    """
    path = config.evaluations_path
    is_of_this_run = bool(config.continue_from) and path.exists() and not checkpoint
    earlier = read_evaluations(path) if is_of_this_run else ()
    evaluations = Evaluations(config, trainer.agent, trainer.step, earlier)
    if checkpoint:
        evaluations.set_state(State(checkpoint.attributes["evaluations"], {}))
        if not is_in_its_folder(config, checkpoint):
            # As its log, those of another folder stay there, with the best weights.
            evaluations.all.clear()
    return evaluations


def make_tensorboard_log(
    config: Config, trainer: TrainingLoop, checkpoint: Checkpoint | None = None
) -> TensorBoardLog | None:
    """Returns the curves of a run for TensorBoard, if they are asked for.

    It sees each update.
    """
    if not config.tensorboard:
        return None
    # It need not be there where it is not asked for.
    from training.tensorboard_log import TensorBoardLog

    log = TensorBoardLog(config.tensorboard_path, trainer.step, shown_by_flag(config))
    if checkpoint and (state := checkpoint.attributes.get("tensorboard")):
        log.set_state(State(state, {}))
    trainer.learning.after_update = log.note_update
    return log


class Run:
    """Pretrains and trains until the run is over or is asked to stop."""

    def __init__(
        self,
        config: Config,
        trainer: TrainingLoop,
        evaluations: Evaluations,
        files: RunFiles,
        stop: StopSignals,
        view: LiveView,
    ):
        """Takes the parts of the run; nothing happens yet."""
        self._config, self._trainer, self._evaluations = config, trainer, evaluations
        self._files, self._stop, self._view = files, stop, view

    def to_its_end(self) -> None:
        """Runs, and writes what there is in the end.

        Raises:
            EmulatorError: an emulator failed.
            FloatingPointError: the network has diverged.
            OSError: what belongs to the end cannot be written.
        """
        try:
            self._pretrain()
            if not self._is_stopped():
                self._train()
            self._files.finish()
        except FloatingPointError as error:
            raise FloatingPointError(
                f"{error} at step {self._trainer.step:,}, so the network has diverged: give a "
                "smaller --learning-rate; the weights and checkpoints before stay"
            ) from error
        except EmulatorError as error:
            raise EmulatorError(f"{error}, at step {self._trainer.step:,}") from error
        finally:
            self._files.close()

    def _first_history(self) -> History:
        """Returns what the game in progress in the first environment has come from."""
        return self._trainer.first_history()

    def _is_stopped(self) -> bool:
        return self._stop.received is not None

    def _pretrain(self) -> None:
        """Gathers what the first updates learn from."""
        config, trainer = self._config, self._trainer
        if trainer.gathered >= trainer.pretrain_steps:
            return
        stage = "observing" if config.episode_lines else "pretraining"
        how = ", the network decides" if trainer.pretrain_epsilon == 0 else " at random"
        with Progress(
            stage + how, trainer.pretrain_steps, trainer.gathered, config.progress, sys.stdout
        ) as progress:
            for gathered in trainer.pretrain():
                progress.update(gathered)
                self._view.update(self._first_history)
                self._warn_of_short_memory(progress)
                self._files.save_checkpoint_if_due()
                if self._is_stopped():
                    return

    def _train(self) -> None:
        """Learns; logs every episode, evaluates and saves now and then."""
        config, trainer, files = self._config, self._trainer, self._files
        score, number = "no episode yet", []
        with Progress(
            "training", config.steps, trainer.step, config.progress, sys.stdout
        ) as progress:
            # A stop may have cut one short.
            self._evaluate_if_due(progress)
            if self._is_stopped():
                return
            for episodes in trainer.train():
                self._view.update(self._first_history)
                files.log(episodes)
                for episode in episodes:
                    if config.episode_lines:
                        progress.say(_status(trainer, episode))
                    score = f"mean score {np.mean(trainer.episodes.scores):.1f}"
                    number = [f"episode {episode.number:,}"]
                if episodes:
                    self._say_what_hinders_it(progress)
                if any((episode.number + 1) % config.save_every == 0 for episode in episodes):
                    files.save_weights()
                self._evaluate_if_due(progress)
                files.save_checkpoint_if_due()
                learning = f"epsilon {trainer.epsilon:.2f}", f"loss {trainer.learning.loss:.4f}"
                progress.update(trainer.step, [score, *learning, *number])
                self._warn_of_short_memory(progress)
                if self._is_stopped():
                    return

    def _evaluate_if_due(self, progress: Progress) -> None:
        """Plays the games of an evaluation if it is time for one."""
        trainer, evaluations = self._trainer, self._evaluations
        if not evaluations.is_due(trainer.step):
            return
        trainer.read_updates()
        if evaluations.evaluate(trainer.step, trainer.seconds, self._is_stopped):
            progress.say(evaluations.all[-1].line())
            self._files.save_evaluation()

    def _say_what_hinders_it(self, progress: Progress) -> None:
        """Says what shows that the run does not learn, if something does."""
        trainer = self._trainer
        for line in trainer.diagnosis.news(trainer.step, trainer.phase == "exploring"):
            progress.say(line)

    def _warn_of_short_memory(self, progress: Progress) -> None:
        """Says that the memory holds less than was asked for, if it does."""
        memory = self._trainer.memory
        if memory.is_short:
            progress.say_once(
                f"frames of this game pack badly: {mebibytes(memory.max_nbytes)} are not enough "
                f"for {memory.capacity:,} transitions, so the oldest go earlier"
            )


def _status(trainer: TrainingLoop, episode: Episode) -> str:
    """Returns a line that says where the run is as an episode has ended."""
    return (
        f"{trainer.phase}: episode {episode.number:,}, score {episode.score:g}, "
        f"memory {len(trainer.memory):,}, epsilon {episode.epsilon:.3f}, step {episode.steps:,}"
    )
