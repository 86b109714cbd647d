"""Trains every game that ale-py ships, or with every preset, for a few steps: none is to fail.

python3 -m benchmarks.every_game                  all games, 200 steps each, by their -v0 ids
python3 -m benchmarks.every_game --games Pong Breakout --steps 1000
python3 -m benchmarks.every_game --games Pong SpaceInvaders --steps 2000 --presets all
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import time

from atari.games import game_roms
from settings.config import Config
from settings.presets import PRESETS
from training.run import assemble


def train_a_little(environment: str, steps: int, preset: str) -> str:
    """Trains one game in this process; returns what came of it in a few words.

    Raises:
        AssertionError: no update was made.
        FloatingPointError: a loss was not finite.
    """
    small = {
        "environment": environment,
        "steps": steps,
        "memory_size": 10_000,
        "pretrain_transitions": 80,
    }
    settings = {**PRESETS[preset].settings, **small, "seed": 1}
    if settings.get("count_by") == "games":
        settings |= {"games": 2, "steps": 100_000}  # it learns when a game is over
    config = Config(**settings)
    trainer = assemble(config)
    gathered = list(trainer.pretrain())
    episodes = [episode for finished in trainer.train() for episode in finished]
    trainer.close()
    assert gathered[-1] == 80
    assert trainer.learning.loss > 0
    assert math.isfinite(trainer.learning.loss)
    return f"{trainer.step} steps, {len(episodes)} episodes, loss {trainer.learning.loss:.4f}"


def main() -> int:
    """Goes through the games; returns 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", nargs="+", default=sorted(game_roms()), metavar="NAME")
    parser.add_argument("--steps", type=int, default=200, metavar="N")
    parser.add_argument("--presets", nargs="+", default=["default"], metavar="NAME")
    options = parser.parse_args()
    presets = list(PRESETS) if options.presets == ["all"] else options.presets
    started = time.monotonic()
    failed = []
    for preset, game in itertools.product(presets, options.games):
        name = f"{game}-v0, {preset}"
        try:
            print(f"{name}: {train_a_little(f'{game}-v0', options.steps, preset)}", flush=True)
        except Exception as error:  # whatever it is, it is what we are looking for
            failed.append(name)
            print(f"{name}: FAILED: {error!r}", flush=True)
    seconds = time.monotonic() - started
    print(f"{len(presets) * len(options.games)} runs, {len(failed)} failed, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
