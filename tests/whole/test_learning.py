"""The whole learner, with each of its options, learns a small game with a known best score."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from agent import Agent, make_agent
from playing.rollouts import play_games
from settings.config import Config
from settings.presets import PRESETS
from system.devices import has_bfloat16
from tests.helpers.falling_ball import BEST_SCORE, CELL, PADDLE, STAY, STEPS, FallingBall
from training.prefetching import make_prefetcher
from training.trainer import Trainer

# Small and quick: what a run on Atari does in hours, in seconds.
SETTINGS: dict[str, Any] = {
    "envs": 16,
    "memory_size": 8_000,
    "pretrain_transitions": 1_000,
    "steps": 6_400,
    "batch_size": 32,
    "train_every": 8,
    "target_update_period": 400,
    "learning_rate": 1e-3,
    "explore_steps": 2_400,
    "epsilon_end": 0.05,
}

LOOK_EVERY = 400  # steps
ENOUGH = 0.7  # of the best score; random games have about 0

# What is different from the defaults, by a name for the test: every option that no preset has.
OPTIONS: dict[str, dict[str, Any]] = {
    "impala, spectral normalization": {
        "network": "impala",
        "normalization": "spectral",
        "steps": 1_600,
        "explore_steps": 800,
    },
    "wide, layer normalization": {
        "network_width": 2,
        "normalization": "layer",
        "learning_rate": 5e-4,
    },
    **({"bfloat16": {"precision": "bfloat16"}} if has_bfloat16() else {}),
    "averaged target, rescaled values": {
        "target_averaging": 0.02,
        "value_rescaling": True,
        "learning_rate": 5e-4,
        "steps": 7_200,
    },
}

# A preset's settings of the game and of its length are for Atari.
GROUPS = ("learning", "network", "exploration")
OF_A_PRESET = {"n_step", "priority_exponent", "importance_exponent", "importance_end"} | {
    each.name for each in fields(Config) if each.metadata["group"] in GROUPS
}
# What else a preset needs for this game.
FITTED: dict[str, dict[str, Any]] = {
    "script": {"learning_rate": 2.5e-4, "train_every": 4},  # pixels that are not scaled
    "dying-penalty": {
        "train_every": 1,
        "updates": 3,
        "target_update_period": 15,
        "explore_steps": 300,
    },  # games
    # So many quantiles are slow, but fewer updates are enough.
    "iqn": {"network": "nips", "steps": 3_200, "explore_steps": 1_000, "target_update_period": 100},
}
PRESETS_OPTIONS = {
    name: {
        setting: value
        for setting, value in preset.settings.items()
        if setting in OF_A_PRESET - SETTINGS.keys()
    }
    | FITTED.get(name, {})
    for name, preset in PRESETS.items()
}


def state_shape(config: Config) -> tuple[int, int, int]:
    return *FallingBall.frame_shape[:2], config.frame_stack_size


def mean_score(agent: Agent, config: Config, epsilon: float = 0.0, games: int = 200) -> float:
    """Returns the mean score of games by that agent, as a share of the best score."""
    environments = FallingBall(50, np.random.default_rng(config.seed))
    rng = np.random.default_rng(config.seed)
    turns = play_games(agent, environments, config.frame_stack_size, games, rng, epsilon)
    scores = [game.score for turn in turns for game in turn.games]
    return float(np.mean(scores)) / BEST_SCORE


def learnt(flags: dict[str, Any], seed: int = 1) -> float:
    """Trains as `train` does, on the falling ball; returns the mean score of greedy games.

    It ends once most balls are caught, which is looked at a few times.

    Args:
        flags: fields of `Config` that differ from `SETTINGS`.
        seed: of all random numbers.

    Returns:
        From -1, every ball missed, to 1, every ball caught.
    """
    config = Config(**{**SETTINGS, "seed": seed, **flags})
    game_rng, agent_rng, memory_rng = np.random.default_rng(seed).spawn(3)
    environments = FallingBall(config.envs, game_rng)
    agent = make_agent(config, state_shape(config), environments.num_actions, agent_rng)
    batches = make_prefetcher(config, state_shape(config), memory_rng)
    trainer = Trainer(config, environments, agent, batches)
    for _ in trainer.pretrain():
        pass
    score = -BEST_SCORE
    for _ in trainer.train():
        if trainer.step % LOOK_EVERY == 0 and (score := mean_score(agent, config)) > ENOUGH:
            break
    trainer.close()
    return score


@pytest.mark.parametrize("flags", OPTIONS.values(), ids=OPTIONS)
def test_every_option_learns_to_catch_the_ball(flags: dict[str, Any]) -> None:
    assert learnt(flags) > ENOUGH


@pytest.mark.parametrize("flags", PRESETS_OPTIONS.values(), ids=PRESETS_OPTIONS)
def test_every_preset_learns_to_catch_the_ball(flags: dict[str, Any]) -> None:
    assert learnt(flags) > ENOUGH


def test_random_actions_catch_about_half_the_balls() -> None:
    config = Config(**SETTINGS, seed=1)
    agent = make_agent(config, state_shape(config), 3, np.random.default_rng(1))
    assert mean_score(agent, config, epsilon=1.0, games=1_000) == pytest.approx(0, abs=0.15)


def test_every_ball_can_be_caught_by_what_the_frames_show() -> None:
    environments = FallingBall(300, np.random.default_rng(0))
    frames, missed = environments.reset(), 0
    for step in range(1, 2 * STEPS + 1):
        cells = frames[:, ::CELL, ::CELL, 0] > 0
        balls = cells[:, :-1].any(axis=1).argmax(axis=1)
        middles = cells[:, -1].argmax(axis=1) + PADDLE // 2
        taken = environments.step(STAY + np.sign(balls - middles))
        assert taken.frames.shape == (300, *FallingBall.frame_shape)
        assert (taken.ends == (step % STEPS == 0)).all()
        assert (taken.rewards == taken.ends).all()
        frames, missed = taken.frames, missed + (taken.points < 0).sum()
    assert missed == 0
