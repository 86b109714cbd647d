"""What shows that a run does not learn, and what to try, once a fair share of it is over.

Three signs are looked for, each in the last 100 games:

- the network gives all states the same values: it does not act by what it sees;
- most of its ReLUs are dead, and the score is no better than that of random play;
- the score is no better than that of random play, and neither of the others explains it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from atari.published_scores import published_scores
from storage.state import State

if TYPE_CHECKING:
    from collections.abc import Collection

    from settings.config import Config
    from storage.episode_log import Episode

SPREAD, DEAD, SCORE = "spread", "dead", "score"  # the signs


@dataclass(frozen=True)
class Limits:
    """From where on a run is judged, and what is too little or too much."""

    step: int = 200_000  # no run is judged before
    share: float = 0.1  # of the run's steps, nor before these
    games: int = 100  # that are judged together
    spread: float = 0.01  # of a reward
    dead: float = 0.5  # share of the ReLUs
    errors: float = 2.0  # standard errors, the noise of a mean
    random_games: int = 20  # the run's first, where nobody has published a score of random play
    random_epsilon: float = 0.8  # at the end of each of these, at least


class Level(NamedTuple):
    """A mean score, and its standard error."""

    mean: float
    error: float


def level_of(scores: Collection[float]) -> Level:
    """Returns the mean of at least two scores, with its standard error."""
    values = np.array([*scores])
    return Level(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)))


def random_level(environment: str, first_scores: Collection[float], limits: Limits) -> Level | None:
    """Returns what random play scores in a game: published, or else what the run began with.

    A published mean counts as exact. None where nothing is known.
    """
    if published := published_scores(environment):
        return Level(published.random, 0.0)
    return level_of(first_scores) if len(first_scores) >= limits.random_games else None


def is_better(level: Level, random: Level, errors: float) -> bool:
    """Returns whether a mean score is above that of random play by more than the noise of both."""
    noise = errors * math.hypot(level.error, random.error)
    return level.mean > random.mean + noise


def first_look(steps: int, limits: Limits) -> int:
    """Returns the first step at which a run of so many steps is judged, if it explores no more.

    A tenth of the run, as long runs have small step sizes and much exploration; but not before
    step 200,000, by when runs that learn show it: in the README's run of Pong nothing was to be
    seen before step 100,000. Shorter runs are not judged: they would be blamed for their length.
    """
    return max(limits.step, math.ceil(limits.share * steps))


def signs(
    level: Level,
    random: Level | None,
    spread: float | None,
    dead: float | None,
    smallest_spread: float,
    limits: Limits,
) -> list[str]:
    """Returns which of the signs there are.

    A network with dead ReLUs that plays better than at random learns with the others. Values that
    are the same for all states are a sign whatever the score is: one action alone can score more
    than random play.

    Args:
        level: the score of the last games.
        random: that of random play, if it is known.
        spread: of Q over the states, mean of the last games, if there were updates.
        dead: share of dead ReLUs, if it was measured.
        smallest_spread: below this, all states have the same values.
        limits: the other limits.
    """
    better = random is not None and is_better(level, random, limits.errors)
    shown = []
    if spread is not None and spread < smallest_spread:
        shown.append(SPREAD)
    if dead is not None and dead > limits.dead and not better:
        shown.append(DEAD)
    if random is not None and not better and not shown:
        shown.append(SCORE)
    return shown


class Diagnosis:
    """Judges a run by its games, and says each sign once, with what to try."""

    def __init__(self, config: Config, limits: Limits = Limits()):
        """Takes the settings of the run."""
        self._config, self._limits = config, limits
        self._scores: deque[float] = deque(maxlen=limits.games)
        self._spreads: deque[float] = deque(maxlen=limits.games)
        self._dead: float | None = None
        self._first_scores: list[float] = []
        self._said: list[str] = []

    def note(self, episode: Episode) -> None:
        """Takes in a game that has ended."""
        assert episode.score is not None
        self._scores.append(episode.score)
        if episode.q_spread is not None:
            self._spreads.append(episode.q_spread)
        self._dead = episode.dead_relus
        limits = self._limits
        is_random = episode.epsilon >= limits.random_epsilon
        if is_random and len(self._first_scores) < limits.random_games:
            self._first_scores.append(episode.score)

    def news(self, step: int, is_exploring: bool) -> list[str]:
        """Returns a line for each sign that there is and that has not been said yet.

        Args:
            step: of the run now.
            is_exploring: whether epsilon still falls.
        """
        limits = self._limits
        is_early = is_exploring or step < first_look(self._config.steps, limits)
        if is_early or len(self._scores) < limits.games:
            return []
        level = level_of(self._scores)
        random = random_level(self._config.environment, self._first_scores, limits)
        spread = float(np.mean(self._spreads)) if len(self._spreads) == limits.games else None
        shown = signs(level, random, spread, self._dead, self._smallest_spread, limits)
        new = [sign for sign in shown if sign not in self._said]
        self._said += new
        return [f"after {step:,} steps {self._line(sign, level, random, spread)}" for sign in new]

    @property
    def _smallest_spread(self) -> float:
        """The limit, where rewards are clipped to less than 1 in parts of these."""
        clip = self._config.reward_clip
        return self._limits.spread * (1.0 if clip in ("sign", "none") else min(1.0, float(clip)))

    def _line(self, sign: str, level: Level, random: Level | None, spread: float | None) -> str:
        games = f"the last {self._limits.games:,} games"
        advice = "try a smaller --learning-rate"
        if sign == SPREAD:
            more = "" if self._config.normalization == "whole" else " or --normalization whole"
            return (
                f"the network gives all states nearly the same values: their spread (Q Spread) was "
                f"{spread:.2g} in {games}: {advice}{more}"
            )
        if sign == DEAD:
            more = " or a --normalization" if self._config.normalization == "none" else ""
            return (
                f"{self._dead:.0%} of the network's ReLUs are dead, they give 0 for all states of "
                f"a batch, and nothing shows that it learns: {advice}{more}"
            )
        assert random
        return (
            f"the mean score of {games}, {level.mean:,.1f}, is no better than that of random play "
            f"({random.mean:,.1f}): some games take more --steps; else look whether Mean Q in the "
            "log moves, and try another --learning-rate"
        )

    def get_state(self) -> State:
        """Returns what it has taken in and said."""
        attributes = {
            "scores": list(self._scores),
            "spreads": list(self._spreads),
            "dead": self._dead,
            "first scores": self._first_scores.copy(),
            "said": self._said.copy(),
        }
        return State(attributes, {})

    def set_state(self, state: State) -> None:
        """Takes what `get_state` returned."""
        attributes = state.attributes
        self._scores.extend(attributes["scores"])
        self._spreads.extend(attributes["spreads"])
        self._dead = attributes["dead"]
        self._first_scores[:] = attributes["first scores"]
        self._said[:] = attributes["said"]
