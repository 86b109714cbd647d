"""The loop of a run, with all that happens beside learning: shown, logged, evaluated, saved."""

from __future__ import annotations

import sys

import numpy as np

from atari.emulators import EmulatorError
from playing.training_window import LiveView
from settings.config import Config
from storage.episode_log import Episode
from system.console import Progress, StopSignals
from system.memory import mebibytes
from training.evaluations import Evaluations
from training.run_files import RunFiles
from training.trainer import Training


class RunLoop:
    """Pretrains and trains until the run is over or is asked to stop."""

    def __init__(
        self,
        config: Config,
        training: Training,
        evaluations: Evaluations,
        files: RunFiles,
        stop: StopSignals,
        view: LiveView,
    ):
        """Takes the parts of the run; nothing happens yet."""
        self._config, self._training, self._evaluations = config, training, evaluations
        self._files, self._stop, self._view = files, stop, view

    def run(self) -> None:
        """Runs it, and writes what there is in the end.

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
                f"{error} at step {self._training.step:,}, so the network has diverged: give a "
                "smaller --learning-rate; the weights and checkpoints before stay"
            ) from error
        except EmulatorError as error:
            raise EmulatorError(f"{error}, at step {self._training.step:,}") from error
        finally:
            self._files.close()

    def _is_stopped(self) -> bool:
        return self._stop.received is not None

    def _pretrain(self) -> None:
        """Gathers what the first updates learn from."""
        config, training = self._config, self._training
        if training.gathered >= training.pretrain_steps:
            return
        stage = "observing" if config.episode_lines else "pretraining"
        how = ", the network decides" if training.decides_pretraining else " at random"
        with Progress(
            stage + how, training.pretrain_steps, training.gathered, config.progress, sys.stdout
        ) as progress:
            for gathered in training.pretrain():
                progress.update(gathered)
                self._view.update(training.first_history)
                self._warn_of_short_memory(progress)
                self._files.save_checkpoint_if_due()
                if self._is_stopped():
                    return

    def _train(self) -> None:
        """Learns; logs every episode, evaluates and saves now and then."""
        config, training, files = self._config, self._training, self._files
        score, number = "no episode yet", []
        with Progress(
            "training", config.steps, training.step, config.progress, sys.stdout
        ) as progress:
            # A stop may have cut one short.
            self._evaluate_if_due(progress)
            if self._is_stopped():
                return
            for episodes in training.run():
                self._view.update(training.first_history)
                files.log(episodes)
                for episode in episodes:
                    if config.episode_lines:
                        progress.say(_status(training, episode))
                    score = f"mean score {np.mean(training.scores):.1f}"
                    number = [f"episode {episode.number:,}"]
                if episodes:
                    self._say_what_hinders_it(progress)
                if any((episode.number + 1) % config.save_every == 0 for episode in episodes):
                    files.save_weights()
                self._evaluate_if_due(progress)
                files.save_checkpoint_if_due()
                learning = f"epsilon {training.epsilon:.2f}", f"loss {training.loss:.4f}"
                progress.update(training.step, [score, *learning, *number])
                self._warn_of_short_memory(progress)
                if self._is_stopped():
                    return

    def _evaluate_if_due(self, progress: Progress) -> None:
        """Plays the games of an evaluation if it is time for one."""
        training, evaluations = self._training, self._evaluations
        if not evaluations.is_due(training.step):
            return
        if evaluations.evaluate(training.step, training.seconds, self._is_stopped):
            progress.say(evaluations.all[-1].line())
            self._files.save_evaluation()

    def _say_what_hinders_it(self, progress: Progress) -> None:
        """Says what shows that the run does not learn, if something does."""
        training = self._training
        for line in training.diagnosis.news(training.step, training.phase == "exploring"):
            progress.say(line)

    def _warn_of_short_memory(self, progress: Progress) -> None:
        """Says that the memory holds less than was asked for, if it does."""
        memory = self._training.memory
        if memory.is_short:
            progress.say_once(
                f"frames of this game pack badly: {mebibytes(memory.max_nbytes)} are not enough "
                f"for {memory.capacity:,} transitions, so the oldest go earlier"
            )


def _status(training: Training, episode: Episode) -> str:
    """Returns a line that says where the run is as an episode has ended."""
    return (
        f"{training.phase}: episode {episode.number:,}, score {episode.score:g}, "
        f"memory {len(training.memory):,}, epsilon {episode.epsilon:.3f}, step {episode.steps:,}"
    )
