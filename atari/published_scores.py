"""Published scores of each game: of random play, of a person, and of the DQN of Mnih et al. 2015.

`res/published_scores.csv` says where they are from. Random play and people started with up to 30
no-ops and played at most 30 minutes of the game, without sticky actions.
"""

from __future__ import annotations

import csv
import functools
import re
from typing import NamedTuple

from system.root import ROOT

TABLE = ROOT / "res" / "published_scores.csv"


class PublishedScores(NamedTuple):
    """The mean scores that were published for a game."""

    random: float
    human: float
    dqn: float | None  # not every game was played

    def human_normalised(self, score: float) -> float:
        """Returns a score on the scale where random play has 0 and a person 1.

        Mnih et al. 2015, figure 3, which gives it in percent.
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
    """Returns the table by the names of games in lower case: mspacman."""
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
