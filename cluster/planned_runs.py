"""The runs of a sweep: where each lies, how it is started, and how far it is by its files."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from settings.config import Config
from settings.declaration import as_flags
from storage.checkpoints import CheckpointError, newest
from storage.episode_log import RECENT_GAMES, Episode, parse_episode

if TYPE_CHECKING:
    from collections.abc import Sequence

TAIL_BYTES = 1 << 16  # of a log, which hold its newest games
NOTE, OUTPUT = "sweep.json", "output.txt"  # in the folder of a run


def run_folder(out: Path, game: str, group: str, seed: int) -> Path:
    """Returns the folder of a run, in that of its sweep."""
    return out / game.replace("/", "-") / group / str(seed)


@dataclass(frozen=True, order=True)
class Saved:
    """How far a checkpoint is: the more, the further. It counts transitions, steps and games."""

    gathered: int
    step: int
    games: int


NOWHERE = Saved(0, 0, 0)


@dataclass(frozen=True)
class PlannedRun:
    """One game with one group of settings and one seed.

    Attributes:
        group: the name of the settings.
        words: what sets them on the command line.
        config: all settings, with the game, the seed and the folder.
    """

    group: str
    words: tuple[str, ...]
    config: Config

    @property
    def game(self) -> str:
        """The environment's id."""
        return self.config.environment

    @property
    def seed(self) -> int:
        """The seed of all its random numbers."""
        assert self.config.seed is not None
        return self.config.seed

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return Path(self.config.out)

    @cached_property
    def name(self) -> str:
        """Its name in messages."""
        return f"{self.game} {self.group} {self.seed}"

    def arguments(self) -> list[str]:
        """Returns the command line that starts it, or goes on from its newest checkpoint."""
        words = [*self._chosen(), *self.words, "--environment", self.game, "--seed", str(self.seed)]
        words += ["--out", str(self.folder)]
        if self.config.checkpoint_path.exists():
            words += ["--continue", str(self.config.weights_path)]
        return words

    def _chosen(self) -> list[str]:
        """Returns what is chosen for a machine: by that of the sweep, the same for all runs."""
        chosen = [field for field in fields(Config) if field.metadata["auto"]]
        return [
            word for field in chosen for word in as_flags(field, getattr(self.config, field.name))
        ]

    def saved(self) -> Saved:
        """Returns how far its newest checkpoint is, 0 where there is none that can be used."""
        try:
            checkpoint, _ = newest(self.config.checkpoint_path, with_memory=False)
        except CheckpointError:
            checkpoint = None
        if not checkpoint:
            return NOWHERE
        training = checkpoint.attributes["training"]
        return Saved(training.get("gathered", 0), training["step"], training["episode"])

    def is_done(self) -> bool:
        """Returns whether all its steps or games are in its newest checkpoint."""
        saved = self.saved()
        games = self.config.games
        return saved.step >= self.config.steps or 0 < games <= saved.games

    def progress(self) -> Progress | None:
        """Returns how far its log says that it is, None where no game has ended."""
        return Progress.of(last_episodes(self.config.log_path), self.config)


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: at the end of its newest game.
        score: mean of its newest games, at most 100.
        seconds_left: until its last step, or its last game if that comes first; None if unknown.
    """

    step: int
    score: float | None
    seconds_left: float | None

    @classmethod
    def of(cls, episodes: Sequence[Episode], config: Config) -> Progress | None:
        """Returns the progress of a run whose newest games are these, the oldest first."""
        if not episodes:
            return None
        first, last = episodes[0], episodes[-1]
        scores = [game.score for game in episodes if game.score is not None][-RECENT_GAMES:]
        left: float | None = None
        seconds = (last.seconds or 0) - (first.seconds or 0)
        if seconds > 0 and last.steps > first.steps:
            left = (config.steps - last.steps) * seconds / (last.steps - first.steps)
            if config.games:
                games_left = config.games - last.number - 1
                left = min(left, games_left * seconds / (last.number - first.number))
            left = max(0.0, left)
        return cls(last.steps, sum(scores) / len(scores) if scores else None, left)


def last_episodes(log: Path) -> list[Episode]:
    """Returns the newest games of a log, the oldest of them first; none where there is no log."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return []
    # The last piece is empty, or is still being written; the first may lack its start.
    whole = lines[1:-1] if size > TAIL_BYTES else lines[:-1]
    return [episode for episode in map(parse_episode, whole) if episode]
