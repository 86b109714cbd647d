"""Games played by a trained agent: all that were started, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent import Agent, make_agent
from atari.games import find_game
from playing.rollouts import play_games, scoring_environments
from playing.watch import play
from preprocessing import AtariEnvironments
from settings.config import Config
from storage import weights as weights_file
from tests.helpers.default_networks import default_network
from tests.helpers.gymnasium_games import random_scores


def random_agent(num_actions: int) -> Agent:
    return make_agent(Config(), (84, 84, 4), num_actions, np.random.default_rng(0))


def breakout(count: int) -> AtariEnvironments:
    return AtariEnvironments(find_game("Breakout-v0"), count, np.random.default_rng(8))


def breakout_scores(count: int, games: int) -> list[float]:
    environments = breakout(count)
    agent = random_agent(environments.num_actions)
    rng = np.random.default_rng(0)
    scores = [game.score for game in play_games(agent, environments, 4, games, rng, 1.0)]
    environments.close()
    return scores


@pytest.mark.parametrize(("count", "games"), [(4, 6), (4, 2), (1, 2)])
def test_exactly_the_games_asked_for_are_played(count: int, games: int) -> None:
    scores = breakout_scores(count, games)
    assert len(scores) == games
    assert all(score == int(score) >= 0 for score in scores)


def test_long_games_count_as_much_as_short_ones() -> None:
    """With an environment for each game, those that end late are waited for.

    Taking the first games that end from a larger number would leave out the long ones, in which
    most is scored. So the scores have to be those of the first game of every environment.
    """
    played = breakout_scores(count=5, games=5)
    environments = breakout(5)
    environments.reset()
    agent, scores, going_on = random_agent(4), np.zeros(5), np.ones(5, bool)
    rng = np.random.default_rng(0)
    while going_on.any():
        step = environments.step(agent.act(np.zeros((5, 84, 84, 4), np.uint8), 1.0, rng=rng))
        scores += step.points * going_on
        going_on &= ~step.ends
    environments.close()
    assert sorted(played) == sorted(scores)


def test_each_game_counts_from_zero() -> None:
    played = breakout_scores(count=1, games=3)
    environments = breakout(1)
    environments.reset()
    agent, scores, rng = random_agent(4), [0.0], np.random.default_rng(0)
    while len(scores) <= 3:
        step = environments.step(agent.act(np.zeros((1, 84, 84, 4), np.uint8), 1.0, rng=rng))
        scores[-1] += step.points[0]
        if step.ends[0]:
            scores.append(0.0)
    environments.close()
    assert played == scores[:3]
    assert sum(played) > 0


def test_a_game_is_whole_over_all_its_lives() -> None:
    """Breakout has five lives, and a game in which nothing is hit takes all of them."""
    environments = AtariEnvironments(find_game("Breakout-v4"), 1, np.random.default_rng(1))
    agent, rng = random_agent(environments.num_actions), np.random.default_rng(1)
    [game] = play_games(agent, environments, 4, 1, rng, epsilon=1.0)
    environments.close()
    # A life takes at least 20 steps: the ball has to fall.
    assert game.length > 100
    assert not game.cut_off


def test_weights_to_play_with_are_read_in_the_layout_given(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Weights said to be channels-first play as the same ones brought to channels-last."""
    first, last = tmp_path / "first.weights.h5", tmp_path / "last.h5"
    network = default_network(9, 0)
    network.save_weights(first)
    weights_file.load(first, network, channels_first=True)
    weights_file.save(last, network)

    def scores(weights: Path, layout: str) -> list[str]:
        config = Config(
            environment="MsPacman-v4",
            seed=1,
            games_to_play=2,
            play=True,
            continue_from=str(weights),
            weights_layout=layout,
        )
        assert play(config) == 0
        return capsys.readouterr().out.splitlines()[1:]

    played = scores(last, "channels-last")
    assert scores(first, "channels-first") == played
    assert scores(first, "channels-last") != played


def test_random_games_score_as_those_that_gymnasium_plays_alone() -> None:
    """More games of more kinds are compared by `benchmarks/random_scores.py`."""
    environments = scoring_environments(
        Config(environment="BreakoutNoFrameskip-v4"), 12, np.random.SeedSequence(2)
    )
    agent = random_agent(environments.num_actions)
    played = play_games(agent, environments, 4, 12, np.random.default_rng(2), epsilon=1.0)
    ours = np.array([game.score for game in played])
    environments.close()
    theirs = np.array(random_scores("BreakoutNoFrameskip-v4", 12, seed=2))
    error = np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / 12)
    assert abs(ours.mean() - theirs.mean()) < 3 * error
