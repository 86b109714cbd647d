"""Runs that are stopped on their way and go on, as `train` and the command line make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dqn_atari import main
from storage.episode_log import RewardLog
from training.run import assemble, make_evaluations
from training.run_files import RunFiles

if TYPE_CHECKING:
    from settings.config import Config


def interrupted(config: Config, steps: int, gathered: int = 10**9) -> None:
    """Runs until so many steps, writes a checkpoint, and goes on a while, as before a crash."""
    trainer = assemble(config)
    with RewardLog(config.log_path) as log:
        files = RunFiles(config, trainer, make_evaluations(config, trainer), log)
        for count in trainer.pretrain():
            if count >= gathered:
                break
        else:
            for episodes in trainer.train():
                files.log(episodes)
                if trainer.step >= steps:
                    break
        files.finish()
        # What a killed run leaves beyond its last checkpoint.
        if gathered == 10**9:
            for episodes in trainer.train():
                files.log(episodes)
                if trainer.step >= steps + 400:
                    break
            files.save_weights()
        files.close()
    trainer.close()


def go_on(config: Config) -> int:
    """Goes on as the command line does."""
    return main(["--continue", str(config.weights_path), "--out", config.out, "--no-progress"])
