"""Games played by a trained agent: all that were started, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from agent import Agent, make_agent
from atari.games import find_game
from playing.rollouts import Game, play_games
from preprocessing import AtariEnvironments, make_environments
from settings.config import Config
from tests.helpers.gymnasium_games import random_scores


def random_agent(num_actions: int) -> Agent:
    return make_agent(Config(), (84, 84, 4), num_actions, np.random.default_rng(0))


def games_of(environments: AtariEnvironments, games: int, rng: np.random.Generator) -> list[Game]:
    """Plays at random; returns the games in the order in which they ended."""
    agent = random_agent(environments.num_actions)
    turns = play_games(agent, environments, 4, games, rng, epsilon=1.0)
    return [game for turn in turns for game in turn.games]


def breakout(count: int) -> AtariEnvironments:
    return AtariEnvironments(find_game("Breakout-v0"), count, np.random.default_rng(8))


def breakout_scores(count: int, games: int) -> list[float]:
    environments = breakout(count)
    scores = [game.score for game in games_of(environments, games, np.random.default_rng(0))]
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
    [game] = games_of(environments, 1, np.random.default_rng(1))
    environments.close()
    # A life takes at least 20 steps: the ball has to fall.
    assert game.length > 100
    assert not game.cut_off


def test_random_games_score_as_those_that_gymnasium_plays_alone() -> None:
    """More games of more kinds are compared by `benchmarks/random_scores.py`."""
    config = Config(environment="BreakoutNoFrameskip-v4")
    rng = np.random.default_rng(2)
    environments = make_environments(config, 12, rng, shown=False, for_scores=True)
    played = games_of(environments, 12, np.random.default_rng(2))
    ours = np.array([game.score for game in played])
    environments.close()
    theirs = np.array(random_scores("BreakoutNoFrameskip-v4", 12, seed=2))
    error = np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / 12)
    assert abs(ours.mean() - theirs.mean()) < 3 * error


def test_a_turn_has_what_the_agent_acted_on_and_what_the_environments_gave() -> None:
    environments, again = breakout(2), breakout(2)
    frames, ended = again.reset(), 0
    rng = np.random.default_rng(0)
    for turn in play_games(random_agent(4), environments, 4, 3, rng, epsilon=1.0):
        np.testing.assert_array_equal(turn.states[..., -1:], frames)
        step = again.step(turn.actions)
        for ours, theirs in zip(turn.step, step, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        frames, ended = step.frames, ended + len(turn.games)
        assert len(turn.games) <= step.ends.sum()
        assert turn.screen is turn.last_screen is None
    assert ended == 3
    environments.close()
    again.close()


def test_a_turn_has_the_screens_of_environments_that_are_shown() -> None:
    """The screen before each step, and the last one of a game, which nobody acts on."""
    game, rng = find_game("Breakout-v0"), np.random.default_rng
    environments, again = (
        AtariEnvironments(game, 1, rng(8), shown=True, frame_skip=16) for _ in range(2)
    )
    again.reset()
    ended = 0
    for turn in play_games(random_agent(4), environments, 4, 2, rng(0), epsilon=1.0):
        np.testing.assert_array_equal(turn.screen, again.picture())
        if again.step(turn.actions).ends[0]:
            np.testing.assert_array_equal(turn.last_screen, again.last_picture)
            ended += 1
        else:
            assert turn.last_screen is None
    assert ended == 2
    environments.close()
    again.close()


def test_games_may_be_left_in_their_middle() -> None:
    environments = breakout(1)
    turns = play_games(random_agent(4), environments, 4, 1, np.random.default_rng(0), epsilon=1.0)
    for _, turn in zip(range(5), turns, strict=False):
        assert not turn.games
    turns.close()
    environments.close()
