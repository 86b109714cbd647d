"""Scores of many runs as few numbers with intervals, as Agarwal et al. 2021 advise.

Source: "Deep Reinforcement Learning at the Edge of the Statistical Precipice". An interval is of
95%, by percentiles of a stratified bootstrap: the runs of each game are drawn anew from themselves,
with replacement, and the number is worked out of what was drawn, `REPEATS` times.
`benchmarks/intervals.py` compares all this with the authors' library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Scores = NDArray[np.float64]

REPEATS = 50_000
CHUNK = 1_000  # repeats that are drawn at a time, for less memory
COVERED = 0.95
TRIMMED = 0.25  # of the runs at each end, which an interquartile mean leaves out


class Interval(NamedTuple):
    """A number, and the ends of its interval."""

    value: float
    low: float
    high: float


def median_of(games: Sequence[Scores]) -> Scores:
    """Returns the median of the games' mean scores, [R].

    Args:
        games: [R, N] each, scores of N runs of a game, drawn R times; N may differ.
    """
    return np.median(_means(games), axis=0)


def mean_of(games: Sequence[Scores]) -> Scores:
    """Returns the mean of the games' mean scores, [R]; see `median_of`."""
    return _means(games).mean(axis=0)


def interquartile_mean_of(games: Sequence[Scores]) -> Scores:
    """Returns the mean of the middle half of all runs of all games, [R]; see `median_of`.

    Where a quarter of the runs is no whole number, it leaves out the next smaller one.
    """
    together = np.sort(np.concatenate(games, axis=1), axis=1)
    cut = int(TRIMMED * together.shape[1])
    return together[:, cut : together.shape[1] - cut].mean(axis=1)


AGGREGATES: dict[str, Callable[[Sequence[Scores]], Scores]] = {
    "median": median_of,
    "interquartile mean": interquartile_mean_of,
    "mean": mean_of,
}


def _means(games: Sequence[Scores]) -> Scores:
    return np.array([scores.mean(axis=1) for scores in games])  # [G, R]


def interval_of(
    aggregate: Callable[[Sequence[Scores]], Scores],
    games: Sequence[Scores],
    rng: np.random.Generator,
    repeats: int = REPEATS,
) -> Interval:
    """Returns an aggregate of runs with its interval.

    Args:
        aggregate: such as `median_of`.
        games: [N] each, the scores of N runs of a game; N may differ.
        rng: draws the runs.
        repeats: how often.
    """
    [value] = aggregate([scores[None] for scores in games])
    drawn = [aggregate(sample) for sample in _drawn(games, rng, repeats)]
    return _interval(value, np.concatenate(drawn))


def improvement(
    ours: Sequence[Scores],
    theirs: Sequence[Scores],
    rng: np.random.Generator,
    repeats: int = REPEATS,
) -> Interval:
    """Returns the probability that a run of ours scores more than one of theirs, mean of games.

    Equal scores count half, as in the U statistic of Mann and Whitney.

    Args:
        ours: [N] each, the scores of N runs of a game.
        theirs: [M] each, of the same games.
        rng: draws the runs of both.
        repeats: how often.
    """
    [value] = _probability([a[None] for a in ours], [b[None] for b in theirs])
    pairs = zip(_drawn(ours, rng, repeats), _drawn(theirs, rng, repeats), strict=True)
    return _interval(value, np.concatenate([_probability(a, b) for a, b in pairs]))


def _probability(ours: Sequence[Scores], theirs: Sequence[Scores]) -> Scores:
    """Returns the mean over games of the share of pairs of runs in which ours scores more, [R]."""
    shares = []
    for a, b in zip(ours, theirs, strict=True):
        more, same = a[:, :, None] > b[:, None], a[:, :, None] == b[:, None]  # [R, N, M]
        shares.append((more + 0.5 * same).mean(axis=(1, 2)))
    return np.mean(shares, axis=0)


def _drawn(
    games: Sequence[Scores], rng: np.random.Generator, repeats: int
) -> Iterator[list[Scores]]:
    """Yields the runs of each game, drawn from themselves: [R, N] each, R at most `CHUNK`."""
    for start in range(0, repeats, CHUNK):
        rows = min(CHUNK, repeats - start)
        yield [
            scores[rng.integers(len(scores), size=(rows, len(scores)))]  # [R, N]
            for scores in games
        ]


def _interval(value: float, drawn: Scores) -> Interval:
    outside = (1 - COVERED) / 2
    low, high = np.quantile(drawn, [outside, 1 - outside])
    return Interval(float(value), float(low), float(high))
