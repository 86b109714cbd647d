"""The recipes that `recipes.py` trains: settings other than the program's defaults, by name.

A recipe may start from a preset, by the name "preset", as a command line does; its own settings
win. None is no value here, as no flag gives it: let `n_step_start` be what `n_step` is.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from config import Config
from settings import as_flags

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
    "32 environments": {"envs": 32},
    # How far each update goes, and how many samples it is of.
    "batch 32": {"batch": 32},
    "batch 64": {"batch": 64},
    "rate 1e-4": {"learning_rate": 1e-4},
    "rate 2.5e-4": {"learning_rate": 2.5e-4},
    "rate 5e-4": {"learning_rate": 5e-4},
    "gradients clipped to 10": {"gradient_clip": 10.0},
    # Twice as many updates, and half as many, for the same steps.
    "an update every 2 steps": {"train_every": 2},
    "an update every 8 steps": {"train_every": 8},
    # What an update moves towards: rewards further ahead, and another network's opinion of them.
    "1 step": {"n_step": 1},
    "3 steps": {"n_step": 3},
    "5 steps": {"n_step": 5},
    "discount 0.98": {"gamma": 0.98},
    "no double": {"double": False},
    "target every 4,000 steps": {"update": 4_000},
    # Which transitions are learnt from.
    "priorities 0.5": {"priority_exponent": 0.5},
    # How soon it acts by what it knows.
    "explores 30,000 steps": {"explore_steps": 30_000},
    "explores 100,000 steps": {"explore_steps": 100_000},
    # What the values are computed by.
    "2015 network": {"network": "nature"},
    "dueling": {"dueling": True},
    "spectral normalisation": {"normalization": "spectral"},
    "bfloat16": {"precision": "bfloat16"},
}


def flags(recipe: dict[str, Any]) -> list[str]:
    """Returns the flags of the program that stand for a recipe."""
    known = {each.name: each for each in fields(Config)}
    words: list[str] = []
    for name, value in recipe.items():
        words += ["--preset", value] if name == "preset" else as_flags(known[name], value)
    return words
