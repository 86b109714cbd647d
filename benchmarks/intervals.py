"""Compares the aggregates and intervals of sweeps with rliable, the library of their authors.

    python3 -m venv .venv-rliable
    .venv-rliable/bin/pip install rliable "pandas<3" tqdm
    .venv-rliable/bin/python -m benchmarks.intervals

rliable 1.2 does not load with pandas 3. The scores are drawn at random, with some equal to others.
The numbers have to be the same; the ends of the intervals come from other random numbers, so that
they differ by what `REPEATS` draws leave open.
"""

from __future__ import annotations

import numpy as np
from rliable import library, metrics

from cluster.intervals import AGGREGATES, REPEATS, improvement, interval_of

RUNS, GAMES = 5, 26
THEIRS = {
    "median": metrics.aggregate_median,
    "interquartile mean": metrics.aggregate_iqm,
    "mean": metrics.aggregate_mean,
}


def main() -> None:
    """Prints each number with its interval, as it is here and there."""
    rng = np.random.default_rng(1)
    ours, others = (np.round(rng.gamma(0.7, size=(RUNS, GAMES)), 1) for _ in range(2))
    state = np.random.RandomState(1)
    for name, function in THEIRS.items():
        number = interval_of(AGGREGATES[name], [*ours.T], rng)
        points, intervals = library.get_interval_estimates(
            {"x": ours},
            lambda scores, function=function: np.array([function(scores)]),
            reps=REPEATS,
            random_state=state,
        )
        say(name, number, (points["x"][0], *intervals["x"][:, 0]))
    number = improvement([*ours.T], [*others.T], rng)
    points, intervals = library.get_interval_estimates(
        {"x": (ours, others)},
        lambda a, b: np.array([metrics.probability_of_improvement(a, b)]),
        reps=REPEATS // 25,  # theirs takes minutes
        random_state=state,
    )
    say("improvement", number, (points["x"][0], *intervals["x"][:, 0]))


def say(name: str, ours: tuple[float, ...], theirs: tuple[float, ...]) -> None:
    """Prints a number, and the ends of its interval, as two rows."""
    for who, numbers in (("ours", ours), ("rliable", theirs)):
        print(f"{name:<20} {who:<8}", *(f"{number:9.5f}" for number in numbers))


if __name__ == "__main__":
    main()
