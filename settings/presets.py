"""Presets: the settings of papers and of older programs, by name.

`docs/presets.md` gives the source of each value.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Preset(NamedTuple):
    """A description of a preset, and the settings in which it differs from the defaults."""

    about: str
    settings: dict[str, Any]


# The defaults before layers were normalised, as far as they have changed since. Papers, older
# programs and checkpoints without some of these settings mean these values.
PLAIN: dict[str, Any] = {
    "envs": 8,
    "no_op_limit": 30,
    "pretrain_transitions": 20_000,
    "n_step": 3,
    "n_step_start": None,
    "batch_size": 32,
    "train_every": 4,
    "discount_start": None,
    "target_update_period": 1_000,
    "learning_rate": 1e-4,
    "learning_rate_factor": 1.0,
    "gradient_clip": 0.0,
    "normalization": "none",
    "hidden_biases": True,
    "initializer": "glorot",
    "value_scale": 1.0,
    "whitening": False,
    "newest_share": 1.0,
    "priority_exponent": 0.0,
    "importance_end": 1.0,
    "epsilon_end": 0.02,
    "random_action_steps": 1,
    "precision": "float32",
    "explore_steps": 100_000,
}

# RMSProp in the papers takes the sum of the gradients of a batch, ours their mean, which is 1/32 of
# it. So epsilon, which is added to their square, is 1/32² of that in the papers.
BATCH = 32
PAPERS_RMSPROP = {
    "optimizer": "rmsprop",
    "learning_rate": 2.5e-4,
    "rmsprop_decay": 0.95,
    "rmsprop_centered": True,
    "optimizer_epsilon": 0.01 / BATCH**2,
}
DQN_2015 = {
    **PLAIN,
    "envs": 1,
    "screen": "resize",
    "life_loss": "terminal",
    "no_op_limit": 0,
    "memory_size": 1_000_000,
    "pretrain_transitions": 50_000,
    "n_step": 1,
    "steps": 50_000_000,
    "batch_size": BATCH,
    "train_every": 4,
    "discount": 0.99,
    "target_update_period": 10_000,
    "double": False,
    "loss": "huber",
    "network": "nature",
    "epsilon_start": 1.0,
    "epsilon_end": 0.1,
    "explore_steps": 1_000_000,
    **PAPERS_RMSPROP,
}
TUNED_DOUBLE = {**DQN_2015, "double": True, "target_update_period": 30_000, "epsilon_end": 0.01}
DISTRIBUTIONAL = {
    **DQN_2015,
    "epsilon_end": 0.01,
    "optimizer": "adam",
    "optimizer_epsilon": 0.01 / BATCH,
}
QUANTILES = {**DISTRIBUTIONAL, "learning_rate": 5e-5}

PRESETS = {
    "default": Preset("what we recommend for two cores and an evening", {}),
    "plain": Preset("what we recommended before, without normalised layers", PLAIN),
    "script": Preset(
        "the original command-line script",
        {
            **PLAIN,
            "environment": "Pong-v0",
            "envs": 1,
            "screen": "crop",
            "state_frames": "raw",
            "life_loss": "penalty",
            "no_op_limit": 30,
            "memory_size": 300_000,
            "pretrain_transitions": 50_000,
            "n_step": 1,
            "steps": 5_000_000,
            "train_every": 1,
            "target_update_period": 50_000,
            "double": False,
            "loss": "log-cosh",
            "optimizer": "rmsprop",
            "learning_rate": 2.5e-4,
            "rmsprop_decay": 0.9,
            "optimizer_epsilon": 1e-7,
            "network": "nature",
            "input_scaling": False,
            "epsilon_start": 1.0,
            "epsilon_end": 0.1,
            "explore_steps": 1_000_000,
            "weights_layout": "channels-first",
        },
    ),
    "dying-penalty": Preset(
        "the notebook that takes 100 points for a lost life and learns after each game",
        {
            **PLAIN,
            "environment": "SpaceInvaders-v0",
            "envs": 1,
            "screen": "square",
            "frame_skip": 2,
            "frame_max": False,
            "reward_clip": "none",
            "life_loss": "penalty",
            "life_penalty": 100.0,
            "no_op_limit": 0,
            "memory_size": 20_000,
            "pretrain_transitions": 0,
            "n_step": 1,
            "games": 1_000,
            "count_by": "games",
            "train_every": 1,
            "updates": 8,
            "target_update_period": 4,
            "double": False,
            "loss": "mse",
            "learning_rate": 1e-3,
            "optimizer_epsilon": 1e-7,
            "network": "nips",
            "hidden_activation": "linear",
            "epsilon_start": 1.0,
            "epsilon_end": 0.1,
            "explore_steps": 1_000,
        },
    ),
    "teaching": Preset(
        "the notebook that teaches deep Q-learning on Breakout",
        {
            **PLAIN,
            "environment": "BreakoutDeterministic-v4",
            "envs": 1,
            "life_loss": "terminal",
            "no_op_limit": 0,
            "memory_size": 10_000,
            "pretrain_transitions": 1_000,
            "n_step": 1,
            "train_every": 1,
            "target_update_period": 10_000,
            "double": False,
            "loss": "huber",
            "learning_rate": 1e-5,
            "optimizer_epsilon": 1e-7,
            "network": "nips",
            "epsilon_start": 1.0,
            "epsilon_end": 0.1,
            "explore_steps": 1_000_000,
            "episode_lines": True,
        },
    ),
    "dqn-2013": Preset(
        "the first deep Q-network, without a target network (Mnih et al. 2013)",
        {
            **DQN_2015,
            "screen": "crop",
            "frame_max": False,
            "life_loss": "none",
            "steps": 2_500_000,
            "train_every": 1,
            "target_averaging": 1.0,
            "loss": "mse",
            "network": "nips",
            "explore_steps": 250_000,
        },
    ),
    "dqn-2015": Preset("the deep Q-network of Mnih et al. 2015", DQN_2015),
    "double": Preset("Double DQN, tuned (van Hasselt et al. 2016)", TUNED_DOUBLE),
    "dueling": Preset(
        "dueling network (Wang et al. 2016)",
        {**TUNED_DOUBLE, "dueling": True, "gradient_clip": 10.0, "learning_rate": 6.25e-5},
    ),
    "prioritized": Preset(
        "proportional prioritised replay (Schaul et al. 2016)",
        {
            **TUNED_DOUBLE,
            "priority_exponent": 0.6,
            "importance_exponent": 0.4,
            "importance_end": 1.0,
            "learning_rate": 2.5e-4 / 4,
            "optimizer_epsilon": 0.01 / BATCH**2 / 4**2,
        },
    ),
    "c51": Preset(
        "categorical distribution of returns (Bellemare et al. 2017)",
        {
            **DISTRIBUTIONAL,
            "distribution": "c51",
            "atoms": 51,
            "value_range": 10.0,
            "learning_rate": 2.5e-4,
        },
    ),
    "qr-dqn": Preset(
        "quantile regression (Dabney et al. 2018a)",
        {**QUANTILES, "distribution": "qr", "atoms": 200},
    ),
    "iqn": Preset(
        "implicit quantile network (Dabney et al. 2018b)",
        {**QUANTILES, "distribution": "iqn"},
    ),
    "munchausen": Preset(
        "Munchausen DQN (Vieillard et al. 2020)",
        {
            **QUANTILES,
            "munchausen": True,
            "life_loss": "none",
            "pretrain_transitions": 20_000,
            "target_update_period": 8_000,
            "explore_steps": 250_000,
        },
    ),
    "rainbow": Preset(
        "six improvements in one (Hessel et al. 2018)",
        {
            **DISTRIBUTIONAL,
            "pretrain_transitions": 20_000,
            "n_step": 3,
            "priority_exponent": 0.5,
            "importance_exponent": 0.4,
            "importance_end": 1.0,
            "target_update_period": 8_000,
            "double": True,
            "dueling": True,
            "noisy": True,
            "distribution": "c51",
            "atoms": 51,
            "value_range": 10.0,
            "learning_rate": 6.25e-5,
            "optimizer_epsilon": 1.5e-4,
            "gradient_clip": 10.0,
        },
    ),
}
