"""Trains Stable-Baselines3's DQN with its published settings for Atari, and logs it as we do.

    python3 -m venv .venv-peer && .venv-peer/bin/pip install -r benchmarks/requirements.txt
    .venv-peer/bin/python -m benchmarks.peer FOLDER --environment Pong-v4 --steps 1000000
    .venv-peer/bin/python -m benchmarks.peer FOLDER --environment Pong-v4 --minutes 30 --seed 2
    python3 reward_visualizer.py -f FOLDER/Pong-v4_log.txt

The settings are those of "atari" in RL Baselines3 Zoo, hyperparams/dqn.yml. All steps are counted,
its 100,000 random ones as well. An environment id means the same game and the same probability of
sticky actions as for our program, and frames are skipped once. The scores are of whole games, in
the game's own points, although it learns from clipped rewards and takes a lost life for an end.
Ctrl-C and SIGTERM end it in order, with status 130 or 143; it cannot go on later.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from atari.games import find_game
from settings.paths import LOG_ENDING
from storage.episode_log import Episode, RewardLog
from system.quiet_imports import hide_package
from system.signals import StopSignals

FRAME_SKIP, FRAMES_IN_A_STATE = 4, 4
MOST_STEPS = 10_000_000  # which exploration is a tenth of
SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-4,
    "buffer_size": 100_000,
    "learning_starts": 100_000,
    "batch_size": 32,
    "train_freq": 4,
    "gradient_steps": 1,
    "target_update_interval": 1_000,
    "exploration_fraction": 0.1,
    "exploration_final_eps": 0.01,
    "optimize_memory_usage": False,
}


def updates_by(step: int) -> int:
    """Returns how many updates it has made by a step."""
    return max(0, step - SETTINGS["learning_starts"]) // SETTINGS["train_freq"]


def make_environment(environment: str, seed: int) -> Any:
    """Returns a game as Stable-Baselines3 has it, with the rules that an id of ours names."""
    import gymnasium
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    game = find_game(environment)

    def make(**_: Any) -> gymnasium.Env:
        return gymnasium.make(
            f"ALE/{game.name}-v5",
            frameskip=1,
            repeat_action_probability=game.sticky_actions,
        )

    # It puts a Monitor, which counts whole games, below the wrapper that ends them with a life.
    return VecFrameStack(make_atari_env(make, n_envs=1, seed=seed), FRAMES_IN_A_STATE)


def train(environment: str, folder: Path, seed: int, steps: int, minutes: float) -> int:
    """Trains until so many steps, or for so long, or until a signal; returns the exit status."""
    # It looks for TensorBoard, and that for TensorFlow, which crashes beside PyTorch.
    hide_package("tensorflow")
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback

    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{environment.replace('/', '-')}{LOG_ENDING}"
    path.unlink(missing_ok=True)

    class Log(BaseCallback):
        """Writes a line at the end of each whole game."""

        def __init__(self, log: RewardLog, stop: StopSignals):
            super().__init__()
            self._log, self._stop = log, stop
            self._games, self._reward, self._game_start = 0, 0.0, 0

        def _on_step(self) -> bool:
            self._reward += float(self.locals["rewards"][0])
            if game := self.locals["infos"][0].get("episode"):
                self._log.append(self._episode(game["r"]))
                self._games += 1
                self._reward, self._game_start = 0.0, self.num_timesteps
            is_late = time.monotonic() - started >= 60 * minutes
            is_done = self.num_timesteps >= steps
            return not (is_late or is_done or self._stop.received is not None)

        def _episode(self, score: float) -> Episode:
            return Episode(
                number=self._games,
                reward=self._reward,
                steps=self.num_timesteps,
                epsilon=self.model.exploration_rate,
                loss=float(self.model.logger.name_to_value.get("train/loss", 0.0)),
                accuracy=0.0,  # which it does not tell
                score=float(score),
                length=self.num_timesteps - self._game_start,
                frames=FRAME_SKIP * self.num_timesteps,
                seconds=round(time.monotonic() - started, 1),
            )

    with StopSignals() as stop, RewardLog(path) as log:
        agent = DQN("CnnPolicy", make_environment(environment, seed), seed=seed, **SETTINGS)
        agent.learn(MOST_STEPS, callback=Log(log, stop))
    return 0 if stop.received is None else 128 + stop.received


def main() -> int:
    """Trains; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--environment", default="Pong-v4", metavar="ID")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--steps", type=int, default=MOST_STEPS, metavar="N")
    parser.add_argument("--minutes", type=float, default=float("inf"), metavar="N")
    options = parser.parse_args()
    return train(options.environment, options.folder, options.seed, options.steps, options.minutes)


if __name__ == "__main__":
    sys.exit(main())
