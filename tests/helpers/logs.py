"""Logs and whole runs as files, for the tests of the plots."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from settings.config import Config
from storage.arrays import save
from storage.checkpoints import RUN_KIND, VERSION
from storage.episode_log import Episode, format_episode
from storage.evaluation_log import Evaluation, write_evaluations
from training.run_files import saved_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

STEPS = 100  # of an episode


def episode(number: int, score: float | None = None, **fields: Any) -> Episode:
    """Returns an episode as a run logs it now, or with a score of None as older programs did."""
    steps = STEPS * (number + 1)
    known = Episode(number, -21.0, steps, 1 - steps / 10_000, 0.01, 0.9)
    if score is not None:
        known = dataclasses.replace(
            known, reward=score, score=score, length=STEPS, mean_q=0.5, q_spread=0.2,
            dead_relus=0.1, frames=4 * steps, seconds=steps / 10,
        )  # fmt: skip
    return dataclasses.replace(known, **fields)


def write_log(path: Path, episodes: Sequence[Episode]) -> Path:
    """Writes a log and returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{format_episode(one)}\n" for one in episodes))
    return path


def write_run(
    folder: Path,
    scores: Sequence[float],
    evaluations: Sequence[float] = (),
    environment: str = "Pong-v4",
    **settings: Any,
) -> Path:
    """Writes log, checkpoint and evaluations of a run; returns the log."""
    config = Config(environment=environment, out=str(folder), **settings)
    log = write_log(config.log_path, [episode(n, score) for n, score in enumerate(scores)])
    attributes = {"settings": saved_settings(config), "version": VERSION, "memory saved": False}
    (config.checkpoint_path / "000001").mkdir(parents=True)
    path = config.checkpoint_path / "000001" / "run"
    save(path, RUN_KIND, attributes, {"weights": np.zeros(3)})
    if evaluations:
        made = [
            Evaluation(250 * n, 1000 * n, 25.0 * n, 0.05, 3, mean, mean, 0, mean, mean, 99, 0, None)
            for n, mean in enumerate(evaluations, start=1)
        ]
        write_evaluations(config.evaluations_path, made)
    return log
