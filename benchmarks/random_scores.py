"""Compares what `--evaluate --random` finds with random games that Gymnasium alone plays.

    python3 -m benchmarks.random_scores

The games without ours are those of `tests/helpers/gymnasium_games.py`. It prints a table with the
difference of the two means in standard errors of it, beside the published score.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from statistics import mean, variance

from atari.published_scores import published_scores
from benchmarks.run_notes import PROGRAM
from tests.helpers.gymnasium_games import random_scores

GAMES = ["Pong", "Breakout", "SpaceInvaders", "Seaquest"]


def our_scores(environment: str, games: int, seed: int) -> list[float]:
    """Returns the scores of random games that the program plays."""
    flags = ["-env", environment, "--episodes", str(games), "--seed", str(seed)]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--evaluate", "--random", "--json", *flags],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)["results"]["random play"]["scores"]


def main() -> None:
    """Prints a row for each game."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", nargs="+", default=GAMES, metavar="NAME")
    parser.add_argument("--episodes", type=int, default=100, metavar="N", help="of each game")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    options = parser.parse_args()
    print("| game | ours | Gymnasium alone | difference, standard errors | published |")
    print("| --- | --- | --- | --- | --- |")
    for game in options.games:
        ours = our_scores(f"{game}NoFrameskip-v4", options.episodes, options.seed)
        theirs = random_scores(f"{game}NoFrameskip-v4", options.episodes, options.seed)
        errors = [(variance(scores) / len(scores)) ** 0.5 for scores in (ours, theirs)]
        difference = (mean(ours) - mean(theirs)) / (errors[0] ** 2 + errors[1] ** 2) ** 0.5
        published = published_scores(f"{game}-v4")
        print(
            f"| {game} | {mean(ours):.2f} ± {errors[0]:.2f} | {mean(theirs):.2f} ± {errors[1]:.2f} "
            f"| {difference:+.1f} | {published.random if published else ''} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
