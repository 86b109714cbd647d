"""Trains every game that ale-py ships for a few steps, to show that none fails.

python3 benchmarks/every_game.py                  all games, 200 steps each, by their -v0 ids
python3 benchmarks/every_game.py --games Pong Breakout --steps 1000
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Run as a script, this file's folder is on the path and the program's is not.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from config import Config
from games import game_roms
from training import assemble


def train_a_little(environment: str, steps: int) -> str:
    """Trains one game in this process; returns what came of it in a few words.

    Raises:
        AssertionError: no update was made, or a loss was not finite.
    """
    config = Config(environment=environment, steps=steps, memory=10_000, pretrain=80, seed=1)
    training = assemble(config, new_schedule=False)
    gathered = list(training.pretrain())
    episodes = [episode for finished in training.run() for episode in finished]
    training.close()
    assert gathered[-1] == 80
    assert training.loss > 0
    assert math.isfinite(training.loss)
    return f"{training.step} steps, {len(episodes)} episodes, loss {training.loss:.4f}"


def main() -> int:
    """Goes through the games; returns 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", nargs="+", default=sorted(game_roms()), metavar="NAME")
    parser.add_argument("--steps", type=int, default=200, metavar="N")
    options = parser.parse_args()
    started = time.monotonic()
    failed = []
    for game in options.games:
        try:
            print(f"{game}-v0: {train_a_little(f'{game}-v0', options.steps)}", flush=True)
        except Exception as error:  # whatever it is, it is what we are looking for
            failed.append(game)
            print(f"{game}-v0: FAILED: {error!r}", flush=True)
    seconds = time.monotonic() - started
    print(f"{len(options.games)} games, {len(failed)} failed, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
