"""The paths of a run's files, which follow from the environment's id and the output folder."""

from __future__ import annotations

from pathlib import Path

# The ends of their names, after the id.
LOG_ENDING, EVALUATIONS_ENDING = "_log.txt", "_evaluations.csv"
WEIGHTS_ENDING, BEST_WEIGHTS_ENDING = "_weights.h5", "_best_weights.h5"
CHECKPOINT_ENDING = "_checkpoint"


class RunPaths:
    """The paths of a run's files."""

    environment: str
    out: str

    @property
    def log_path(self) -> Path:
        """The episode log of the run."""
        return self._path(LOG_ENDING)

    @property
    def weights_path(self) -> Path:
        """The newest weights of the run."""
        return self._path(WEIGHTS_ENDING)

    @property
    def best_weights_path(self) -> Path:
        """The weights of the best evaluation of the run."""
        return self._path(BEST_WEIGHTS_ENDING)

    @property
    def evaluations_path(self) -> Path:
        """The evaluations of the run."""
        return self._path(EVALUATIONS_ENDING)

    @property
    def checkpoint_path(self) -> Path:
        """The folder with the checkpoints of the run."""
        return self._path(CHECKPOINT_ENDING)

    @property
    def tensorboard_path(self) -> Path:
        """The folder with the curves of the run for TensorBoard."""
        return self._path("_tensorboard")

    @property
    def run_paths(self) -> tuple[Path, ...]:
        """All files and folders that a run leaves behind."""
        return (
            self.log_path,
            self.weights_path,
            self.best_weights_path,
            self.evaluations_path,
            self.checkpoint_path,
            self.tensorboard_path,
        )

    @property
    def lock_path(self) -> Path:
        """The file that a run locks, so that no other run writes the same files."""
        hidden = self._path("_lock")
        return hidden.with_name(f".{hidden.name}")

    def _path(self, ending: str) -> Path:
        return Path(self.out) / f"{self.environment.replace('/', '-')}{ending}"
