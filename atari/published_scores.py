"""Published scores of each game: of random play, of a person, and of the DQN of Mnih et al. 2015.

`res/published_scores.csv` gives the source of each. Games of random play and of people started with
up to 30 no-ops and lasted at most 30 minutes, without sticky actions.
"""

from __future__ import annotations

import csv
import functools
import re
from typing import NamedTuple

from system.root import ROOT

TABLE = ROOT / "res" / "published_scores.csv"


class PublishedScores(NamedTuple):
    """The published mean scores of a game."""

    random: float
    human: float
    dqn: float | None  # None where DQN did not play the game

    def human_normalised(self, score: float) -> float:
        """Returns a score on the scale where random play is 0 and a person is 1.

        Source: Mnih et al. 2015, figure 3, in percent.
        """
        return (score - self.random) / (self.human - self.random)


def published_scores(environment_id: str) -> PublishedScores | None:
    """Returns the published scores of an environment's game, or None where there are none.

    Args:
        environment_id: such as `MsPacman-v0`, `MsPacmanNoFrameskip-v4` or `ALE/MsPacman-v5`.
    """
    name = environment_id.removeprefix("ALE/")
    name = re.sub("(NoFrameskip|Deterministic)?-v[0-9]+$", "", name)
    return _table().get(name.lower())


@functools.cache
def _table() -> dict[str, PublishedScores]:
    """Returns the scores of all games by their names in lower case, such as mspacman."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {
            row["game"].replace("_", ""): PublishedScores(
                float(row["random"]),
                float(row["human"]),
                float(row["dqn_2015"]) if row["dqn_2015"] else None,
            )
            for row in rows
        }
