"""The recipes that `recipes.py` trains: settings other than the program's defaults, by name.

A recipe may start from a preset, by the name "preset", as a command line does; its own settings
win. None is no value here, as no flag gives it: let `n_step_start` be what `n_step` is.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from settings.config import Config
from settings.declaration import as_flags

PEER = "Stable-Baselines3"  # trained by `peer.py`, with settings of its own

RECIPES: dict[str, dict[str, Any]] = {
    # The program as it is, and as it was before it learnt fast: what all others are compared with.
    "default": {},
    "before": {"preset": "plain"},
    # Systems of papers, as presets have them, and the peer.
    "dqn-2015": {"preset": "dqn-2015"},
    "rainbow": {"preset": "rainbow"},
    PEER: {},
    # How much is acted before the network changes: the more at once, the older what acts.
    "8 environments": {"envs": 8},
    "16 environments": {"envs": 16},
    "32 environments": {"envs": 32},
    "64 environments": {"envs": 64},
    # Samples that are learnt from for each step, with a target network as old in updates.
    "2 samples a step": {"train_every": 16, "target_update_period": 4_000},
    "4 samples a step": {"train_every": 8, "target_update_period": 2_000},
    "8 samples a step": {"train_every": 4, "target_update_period": 1_000},
    # The same with a target network as old in steps.
    "2 samples a step, target every 2,000": {"train_every": 16},
    "1 sample a step, target every 2,000": {"train_every": 32},
    # How far each update goes, and how many samples it is of.
    "batch 16": {"batch_size": 16},
    "batch 64": {"batch_size": 64},
    "batch 128": {"batch_size": 128, "train_every": 16},
    "rate 2.5e-4": {"learning_rate": 2.5e-4},
    "rate 8e-4": {"learning_rate": 8e-4},
    "rate that stays": {"learning_rate_factor": 1.0},
    "rate that falls over 500,000 steps": {"learning_rate_steps": 500_000},
    "smaller epsilon of Adam": {"optimizer_epsilon": 1e-6, "learning_rate": 2.5e-4},
    "gradients as long as they are": {"gradient_clip": 0.0},
    # What an update moves towards: rewards further ahead, and another network's opinion of them.
    "1 step": {"n_step": 1},
    "3 steps": {"n_step": 3},
    "discount 0.98": {"discount": 0.98},
    "10 to 3 steps, discount 0.97 to 0.99": {
        "n_step": 3,
        "n_step_start": 10,
        "discount_start": 0.97,
    },
    "no double": {"double": False},
    "target every 500 steps": {"target_update_period": 500},
    "no target network": {"target_averaging": 1.0},
    "averaged target": {"target_averaging": 0.005},
    # Which transitions are learnt from.
    "no priorities": {"priority_exponent": 0.0},
    "priorities made up for at the end": {"importance_end": 1.0},
    "all in memory": {"newest_share": 1.0},
    # How soon it acts by what it knows.
    "explores 20,000 steps": {"explore_steps": 20_000},
    "explores 100,000 steps": {"explore_steps": 100_000},
    "2% random to the end": {"epsilon_end": 0.02},
    "random actions of one step": {"random_action_steps": 1},
    # What the values are computed by.
    "no whitening": {"whitening": False},
    "no normalisation": {"normalization": "none"},
    "Keras's normalisation": {"normalization": "layer"},
    "spectral normalisation": {"normalization": "spectral"},
    "biases": {"hidden_biases": True},
    "Glorot's first weights": {"initializer": "glorot"},
    "He's first weights": {"initializer": "he"},
    "values that start large": {"value_scale": 1.0},
    "2015 network": {"network": "nature"},
    "dueling": {"dueling": True},
    "32 quantiles": {"distribution": "qr", "atoms": 32},
    "float32": {"precision": "float32"},
}


def flags(recipe: dict[str, Any]) -> list[str]:
    """Returns the flags of the program that stand for a recipe."""
    known = {field.name: field for field in fields(Config)}
    words: list[str] = []
    for name, value in recipe.items():
        words += ["--preset", value] if name == "preset" else as_flags(known[name], value)
    return words
