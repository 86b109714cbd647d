"""Curves of a run for TensorBoard: `<env id>_tensorboard/`, over the steps of the run.

    tensorboard --logdir .

shows those of all runs below a folder. Only what the package `tensorboard` brings is used, nothing
of TensorFlow, so that it works on every Keras backend.
"""

from __future__ import annotations

import io
import os
import re
import socket
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

from storage.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from agent import Update
    from storage.episode_log import Episode
    from storage.evaluation_log import Evaluation
    from training.loop import TrainingLoop

STEPS_BETWEEN = 1_000  # means of updates, and speeds, are over so many
# What TensorBoard has to be told of the format before anything else.
FILE_VERSION = "brain.Event:2"
TEXT_PLUGIN = "text"
COLOURS = 3  # channels of a video's pictures
# TensorBoard reads a folder's files in the order of their names.
FILE_NAME = "events.out.tfevents.{time:.6f}.{host}.{process}"
TIME_IN_NAME = re.compile(r"tfevents\.([0-9]+)")
ROUNDED = 2  # seconds, to which file systems round times
# Means of updates by the names of their curves, in the order of `_sums` after their number.
MEANS = ("loss", "mean_q", "q_spread", "td_error", "gradient_norm")


class TensorBoardLog:
    """Collects what TensorBoard shows, and writes it to a file of its own within a folder.

    What cannot be written is kept for the next attempt, so that no file has half of an event.
    """

    def __init__(self, folder: Path, step: int, settings: Mapping[str, str]):
        """Nothing is written yet.

        Args:
            folder: where to.
            step: of the run now; TensorBoard will forget what earlier files say of later ones.
            settings: values as they are read, by name.
        """
        self._folder = folder
        self._clock = _Clock(_newest_time(folder))
        self._file: io.FileIO | None = None
        self._unwritten = io.BytesIO()
        self._records = RecordWriter(self._unwritten)
        self._last_step = step
        # Since the means were written last: the number of updates, and their sums.
        self._sums = np.zeros(1 + len(MEANS))
        self._updates = 0  # those of this process
        self._last_speeds = (time.monotonic(), step, self._updates)
        self._add_event(file_version=FILE_VERSION)
        self._add_event(step + 1, session_log=SessionLog(status=SessionLog.START))
        self._add_settings(settings, step)

    def note_update(self, update: Update) -> None:
        """Adds what an update tells."""
        self._updates += 1
        td_error = float(update.td_errors.mean())
        figures = update.loss, update.mean_q, update.q_spread, td_error, update.gradient_norm
        self._sums += 1, *figures

    def add_episodes(self, episodes: Iterable[Episode]) -> None:
        """Adds episodes that have ended."""
        for episode in episodes:
            values = {"score": episode.score, "reward": episode.reward, "length": episode.length}
            self._add_scalars("episode", values, episode.steps)

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """Adds an evaluation."""
        names = ("mean", "median", "human_normalised")
        values = {name: getattr(evaluation, name) for name in names}
        self._add_scalars("evaluation", values, evaluation.step)

    def add_video(self, name: str, gif: bytes, height: int, width: int, step: int) -> None:
        """Adds moving pictures, which TensorBoard shows among images.

        Args:
            name: of the series that they belong to.
            gif: a whole GIF file.
            height: of its pictures, in pixels.
            width: of its pictures, in pixels.
            step: of the run.
        """
        image = Summary.Image(
            height=height, width=width, colorspace=COLOURS, encoded_image_string=gif
        )
        self._add_summary(Summary.Value(tag=name, image=image), step)

    def is_due(self, step: int) -> bool:
        """Returns whether the run has passed a multiple of `STEPS_BETWEEN` since the last means."""
        return step // STEPS_BETWEEN > self._last_step // STEPS_BETWEEN

    def add_means(self, trainer: TrainingLoop) -> None:
        """Adds how the run does: means of the updates since the last ones, speeds, and the rest.

        Speeds are those of the run with all that it does beside learning, evaluations included.
        """
        step = trainer.step
        count, *sums = self._sums
        if count:
            means = {name: total / count for name, total in zip(MEANS, sums, strict=True)}
            self._add_scalars("learning", means, step)
        self._sums[:] = 0
        others = {"epsilon": trainer.epsilon, "dead_relus": trainer.learning.dead_relus}
        self._add_scalars("learning", others, step)
        memory = trainer.memory
        self._add_scalars("memory", {"filled": len(memory) / memory.capacity}, step)
        started, first_step, first_update = self._last_speeds
        now = time.monotonic()
        self._last_speeds = (now, step, self._updates)
        seconds = max(1e-9, now - started)
        speeds = {
            "steps_per_second": (step - first_step) / seconds,
            "updates_per_second": (self._updates - first_update) / seconds,
        }
        self._add_scalars("speed", speeds, step)
        self._last_step = step

    def flush(self) -> None:
        """Writes what there is.

        Raises:
            OSError: it cannot be written, and is kept.
        """
        if not self._unwritten.tell():
            return
        if not self._file:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = FILE_NAME.format(
                time=self._clock.time(), host=socket.gethostname(), process=os.getpid()
            )
            self._file = (self._folder / name).open("ab", buffering=0)
        size = self._file.tell()
        left = self._unwritten.getbuffer()
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            self._file.truncate(size)
            self._file.seek(size)
            raise
        finally:
            left.release()
        self._unwritten.seek(0)
        self._unwritten.truncate()

    def close(self) -> None:
        """Closes the file; what has not been written is lost."""
        if self._file:
            self._file.close()

    def get_state(self) -> State:
        """Returns what the next means are made of."""
        return State({"last step": self._last_step, "sums": self._sums.tolist()}, {})

    def set_state(self, state: State) -> None:
        """Takes what `get_state` returned."""
        self._last_step = state.attributes["last step"]
        self._sums[:] = state.attributes["sums"]

    def _add_settings(self, settings: Mapping[str, str], step: int) -> None:
        """Adds a table of the settings, which TensorBoard shows as text."""
        rows = [f"| {name} | {value} |" for name, value in settings.items()]
        text = "\n".join(["| setting | value |", "| --- | --- |", *rows])
        value = Summary.Value(tag="settings")
        value.metadata.plugin_data.plugin_name = TEXT_PLUGIN
        value.tensor.dtype = DT_STRING
        value.tensor.string_val.append(text.encode())
        self._add_summary(value, step)

    def _add_scalars(self, group: str, values: Mapping[str, float | None], step: int) -> None:
        for name, value in values.items():
            if value is not None:
                self._add_summary(Summary.Value(tag=f"{group}/{name}", simple_value=value), step)

    def _add_summary(self, value: Summary.Value, step: int) -> None:
        self._add_event(step, summary=Summary(value=[value]))

    def _add_event(self, step: int = 0, **what: Any) -> None:
        event = Event(wall_time=self._clock.time(), step=step, **what)
        self._records.write(event.SerializeToString())


class _Clock:
    """Tells the time; where the system's clock was set back, it goes on from the time before."""

    def __init__(self, newest: float):
        """Takes the latest time that was told so far, in seconds since 1970."""
        self._newest, self._ahead = newest, 0.0

    def time(self) -> float:
        """Returns the seconds since 1970, or more: never less than before."""
        now = time.time() + self._ahead
        self._ahead += max(0.0, self._newest - now)
        self._newest = max(self._newest, now)
        return self._newest


def _newest_time(folder: Path) -> float:
    """Returns a time after those of all events in a folder, in seconds since 1970."""
    times = [0.0]
    for path in folder.glob("*tfevents*"):
        in_name = TIME_IN_NAME.search(path.name)
        times += [path.stat().st_mtime, float(in_name[1]) if in_name else 0.0]
    return max(times) + ROUNDED
