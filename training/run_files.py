"""What a run writes: its log, weights, evaluations and checkpoints, and curves for TensorBoard."""

from __future__ import annotations

import dataclasses
import math
import time
from fractions import Fraction
from typing import TYPE_CHECKING

from atari.games import FRAMES_PER_SECOND
from playing.mirrored_game import pictures_of
from playing.video import VideoError, gif_of
from storage.checkpoints import CheckpointWriter
from storage.evaluation_log import write_evaluations
from storage.state import State
from system.console import warn
from training.restoring import state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from settings.config import Config
    from storage.episode_log import Episode, RewardLog
    from training.evaluations import Evaluations
    from training.loop import TrainingLoop
    from training.tensorboard_log import TensorBoardLog

VIDEO_SECONDS = 60  # of a game, at most
# What a run does not go on with: where its files are found, and how it is watched.
NOT_SAVED = frozenset({"continue_from", "weights_only", "weights_layout", "out"})


class RunFiles:
    """Writes the files of a run. Where one cannot be written, the run goes on and tries again.

    Episodes that the log has no room for are kept until it has. While something fails, that is said
    once in each interval between checkpoints.
    """

    def __init__(
        self,
        config: Config,
        trainer: TrainingLoop,
        evaluations: Evaluations,
        log: RewardLog,
        tensorboard: TensorBoardLog | None = None,
    ):
        """Takes what is written: the run with its evaluations; and the logs, open."""
        self._config, self._trainer, self._log = config, trainer, log
        self._evaluations, self._tensorboard = evaluations, tensorboard
        self._interval = 60 * config.checkpoint_every
        self._next_checkpoint = time.monotonic() + self._interval
        self._writer = CheckpointWriter(config.checkpoint_path, config.checkpoints_kept)
        self._unlogged: list[Episode] = []
        self._failed: dict[str, OSError] = {}  # what could not be written at the last attempt
        self._warned: dict[str, float] = {}  # when that was said last

    def log(self, episodes: Sequence[Episode]) -> None:
        """Writes the lines of episodes, and those that could not be written before."""
        self._unlogged.extend(episodes)
        self._attempt("the log", self._write_log)
        if self._tensorboard:
            self._tensorboard.add_episodes(episodes)
            if self._tensorboard.is_due(self._trainer.step):
                self._tensorboard.add_means(self._trainer)
                self._write_tensorboard()

    def save_weights(self) -> None:
        """Writes the newest weights."""
        self._attempt("the weights", self._write_weights)

    def save_evaluation(self) -> None:
        """Writes the evaluations, and the weights where they are now the best."""
        self._attempt("the evaluations", self._write_evaluations)
        if self._evaluations.best is self._evaluations.all[-1]:
            self._attempt("the best weights", self._write_best_weights)
        if self._tensorboard:
            self._tensorboard.add_evaluation(self._evaluations.all[-1])
            self._attempt("the video of an evaluation", self._add_video)
            self._write_tensorboard()

    def save_checkpoint_if_due(self) -> None:
        """Starts to write a checkpoint if it is time for one."""
        if not self.is_writing() and time.monotonic() >= self._next_checkpoint:
            self.start_checkpoint()

    def is_writing(self) -> bool:
        """Returns whether a checkpoint is still being written; if it has failed, says so."""
        if self._writer.is_done:
            self._attempt("the checkpoint", self._writer.finish)
        return self._writer.is_busy

    def start_checkpoint(self) -> None:
        """Starts to write a checkpoint in the background.

        Raises:
            FloatingPointError: the network has diverged.
        """
        self._next_checkpoint = time.monotonic() + self._interval
        self._write_tensorboard()
        try:
            # It says how far the log goes, so that has to be on the disk before.
            self._write_log()
            self._log.sync()
        except OSError as error:
            self._note_failure("the checkpoint", error)
            return
        state = state_of(self._trainer)
        run = {
            "run": self._config.run_id,
            "settings": saved_settings(self._config),
            "log": self._log.position,
            "evaluations": self._evaluations.get_state().attributes,
            "tensorboard": self._tensorboard.get_state().attributes if self._tensorboard else None,
        }
        memory = self._trainer.memory.get_state() if self._config.replay_checkpoint else None
        self._writer.start(State({**run, **state.attributes}, state.arrays), memory)

    def finish(self) -> None:
        """Writes all once more, as the run ends.

        Raises:
            FloatingPointError: the network has diverged.
            OSError: something could not be written.
        """
        self._trainer.read_updates()
        self.log([])
        self.save_weights()
        if "the evaluations" in self._failed:
            self._attempt("the evaluations", self._write_evaluations)
        self._attempt("the checkpoint", self._writer.finish)
        self.start_checkpoint()
        if self._writer.is_busy:
            self._attempt("the checkpoint", self._writer.finish)
        for what, error in self._failed.items():
            raise OSError(
                error.errno, f"cannot write {what} of the run's end: {error.strerror or error}"
            )

    def close(self) -> None:
        """Waits for what is being written."""
        self._writer.close()
        if self._tensorboard:
            self._tensorboard.close()

    def _write_log(self) -> None:
        while self._unlogged:
            self._log.append(self._unlogged[0])
            del self._unlogged[0]

    def _write_weights(self) -> None:
        self._trainer.agent.save_weights(self._config.weights_path, self._config.run_id)

    def _write_best_weights(self) -> None:
        self._trainer.agent.save_weights(self._config.best_weights_path, self._config.run_id)

    def _write_evaluations(self) -> None:
        write_evaluations(self._config.evaluations_path, self._evaluations.all)

    def _write_tensorboard(self) -> None:
        if self._tensorboard:
            self._attempt("the curves for TensorBoard", self._tensorboard.flush)

    def _add_video(self) -> None:
        """Adds the first game of the newest evaluation to what TensorBoard shows."""
        assert self._tensorboard
        assert self._evaluations.first_game
        rate = Fraction(FRAMES_PER_SECOND, self._config.frame_skip)
        most = int(VIDEO_SECONDS * rate)
        pictures = [*pictures_of(self._config, self._evaluations.first_game, most)]
        height, width, _ = pictures[0].shape
        step = self._trainer.step
        try:
            gif = gif_of(pictures, rate)
        except VideoError as error:
            warn(f"{error}: the run goes on")
        else:
            self._tensorboard.add_video("evaluation/game", gif, height, width, step)

    def _attempt(self, what: str, write: Callable[[], None]) -> None:
        """Writes something, or notes that it cannot be written."""
        try:
            write()
        except OSError as error:
            self._note_failure(what, error)
        else:
            self._failed.pop(what, None)

    def _note_failure(self, what: str, error: OSError) -> None:
        """Says that something cannot be written, unless it has said so in this interval."""
        self._failed[what] = error
        now = time.monotonic()
        if now - self._warned.get(what, -math.inf) >= self._interval:
            self._warned[what] = now
            warn(f"{what} cannot be written ({error.strerror or error}): the run goes on")


def saved_settings(config: Config) -> dict[str, object]:
    """Returns the settings that a run goes on with, by their names."""
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.metadata["group"] != "watching" and field.name not in NOT_SAVED
    }
