"""What a run that does not learn says of itself; and that one that learns says nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import make_agent
from playing.training_window import LiveView
from settings.config import Config
from storage.episode_log import RewardLog, read_log
from storage.state import State
from system.root import ROOT
from system.signals import StopSignals
from tests.helpers.falling_ball import FallingBall
from tests.helpers.logs import episode
from training.diagnosis import (
    DEAD,
    SCORE,
    SPREAD,
    Diagnosis,
    Level,
    Limits,
    first_look,
    is_better,
    level_of,
    random_level,
    signs,
)
from training.prefetching import make_prefetcher
from training.restoring import set_state, state_of
from training.run import Run, assemble, make_evaluations
from training.run_files import RunFiles
from training.trainer import Trainer

if TYPE_CHECKING:
    from pathlib import Path

UNKNOWN = "Adventure-v4"  # a game without published scores
LIMITS = Limits()
means = st.floats(-1e6, 1e6)
errors = st.floats(0, 1e5)
shares = st.none() | st.floats(0, 1)


def test_level_is_mean_and_standard_error() -> None:
    # Deviations of 1 on both sides: a variance of 4/3 by three, and so an error of its root by 4.
    level = level_of([1.0, 3.0, 1.0, 3.0])
    assert level == (2.0, pytest.approx(np.sqrt(4 / 3 / 4)))


def test_better_is_more_than_two_errors_above() -> None:
    random = Level(10.0, 3.0)
    assert not is_better(Level(20.0, 4.0), random, 2.0)  # 2·5 above
    assert is_better(Level(20.1, 4.0), random, 2.0)


@given(means, errors, means, errors, st.floats(0, 1e5))
def test_more_points_are_never_worse(
    mean: float, error: float, random: float, noise: float, more: float
) -> None:
    level, least = Level(mean, error), Level(random, noise)
    if is_better(level, least, 2.0):
        assert mean > random
        assert is_better(Level(mean + more, error), least, 2.0)


@given(means, errors, st.none() | means, shares, shares)
def test_signs_are_what_they_are_called(
    mean: float, error: float, random: float | None, spread: float | None, dead: float | None
) -> None:
    level, least = Level(mean, error), None if random is None else Level(random, 0.0)
    found = signs(level, least, spread, dead, 0.01, LIMITS)
    better = least is not None and is_better(level, least, LIMITS.errors)
    assert (SPREAD in found) == (spread is not None and spread < 0.01)
    assert (DEAD in found) == (dead is not None and dead > 0.5 and not better)
    # The score alone is said where nothing else explains it.
    others = SPREAD in found or DEAD in found
    assert (SCORE in found) == (least is not None and not better and not others)


@given(st.integers(1, 10**9))
def test_no_run_is_judged_before_a_fair_share_of_it(steps: int) -> None:
    assert first_look(steps, LIMITS) >= max(200_000, steps / 10)


def test_random_play_scores_what_is_published_or_the_run_began_with() -> None:
    assert random_level("Pong-v0", [], LIMITS) == Level(-20.7, 0.0)
    assert random_level(UNKNOWN, [1.0] * 19, LIMITS) is None
    assert random_level(UNKNOWN, [1.0] * 20, LIMITS) == Level(1.0, 0.0)


def news(
    scores: list[float], step: int = 500_000, exploring: bool = False, **fields: Any
) -> list[str]:
    """Returns what is said of a run of Pong after such games."""
    diagnosis = Diagnosis(Config(environment="Pong-v0", steps=5_000_000, normalization="none"))
    for number, score in enumerate(scores):
        diagnosis.note(episode(number, score, **{"epsilon": 0.02, **fields}))
    return diagnosis.news(step, exploring)


def test_lines_name_figures_and_flags() -> None:
    [line] = news([-21.0] * 100)
    assert "-21.0, is no better than that of random play (-20.7)" in line
    assert "--learning-rate" in line
    [line] = news([-21.0] * 100, q_spread=0.004)
    assert "(Q Spread) was 0.004 in the last 100 games" in line
    assert "--normalization whole" in line
    [line] = news([-21.0] * 100, dead_relus=0.63)
    assert "63% of the network's ReLUs are dead" in line
    assert "--normalization" in line


def test_nothing_is_said_early_or_of_few_games() -> None:
    bad = [-21.0] * 100
    assert news(bad)
    assert not news(bad, step=499_999)
    assert not news(bad, exploring=True)
    assert not news(bad[:-1])


def test_nothing_is_said_of_a_network_that_learns_with_few_of_its_units() -> None:
    assert not news([-15.0, -19.0] * 50, dead_relus=0.9)


def test_clipped_rewards_have_spreads_of_their_size() -> None:
    for clip, lines in (("sign", 1), ("none", 1), ("5", 1), ("0.01", 0)):
        diagnosis = Diagnosis(Config(environment="Pong-v0", reward_clip=clip))
        for number in range(100):
            diagnosis.note(episode(number, 5.0, q_spread=0.009))
        assert len(diagnosis.news(10**6, False)) == lines, clip


def test_each_sign_is_said_once_also_over_a_resume() -> None:
    config = Config(environment=UNKNOWN)
    diagnosis = Diagnosis(config)
    said = []
    for number in range(300):
        q_spread = 0.5 if number < 150 else 0.0
        diagnosis.note(episode(number, number % 2, q_spread=q_spread, epsilon=max(0, 1 - number)))
        said += diagnosis.news(10**6 + number, False)
        if number % 7 == 0:
            state = State(*json.loads(json.dumps(diagnosis.get_state())))
            diagnosis = Diagnosis(config)
            diagnosis.set_state(state)
            assert diagnosis.get_state() == state
    # Without twenty games at random nothing is known of their scores.
    assert len(said) == 1
    assert "nearly the same values" in said[0]


def test_nothing_is_said_of_a_real_run_that_learnt() -> None:
    """Its log has the scores alone."""
    episodes = read_log(ROOT / "res" / "pong" / "Pong-v4_log.txt").episodes
    diagnosis = Diagnosis(Config(environment="Pong-v4", steps=1_200_000))
    for each in episodes:
        diagnosis.note(each)
        assert not diagnosis.news(each.steps, each.steps < 100_000)
    assert sum(each.steps >= 200_000 for each in episodes) > 200


def lines_of(learning_rate: float, train_every: int) -> list[str]:
    """Returns what is said of a run of the falling ball, which is judged from step 2,800 on."""
    config = Config(
        environment=UNKNOWN,
        envs=16,
        memory_size=8_000,
        pretrain_transitions=1_000,
        steps=3_200,
        train_every=train_every,
        target_update_period=400,
        explore_steps=2_400,
        epsilon_end=0.05,
        learning_rate=learning_rate,
    )
    rngs = np.random.default_rng(1).spawn(3)
    environments, shape = FallingBall(config.envs, rngs[0]), (*FallingBall.frame_shape[:2], 4)
    agent = make_agent(config, shape, 3, rngs[1])
    batches = make_prefetcher(config, shape, rngs[2])
    trainer = Trainer(config, environments, agent, batches)
    # All 16 games end together, every 128 steps.
    limits = Limits(step=2_800, spread=0.0, dead=1.0)
    trainer.diagnosis = Diagnosis(config, limits)
    for _ in trainer.pretrain():
        pass
    lines = []
    for _ in trainer.train():
        lines += trainer.diagnosis.news(trainer.step, trainer.phase == "exploring")
    trainer.close()
    return lines


def test_a_run_that_cannot_learn_says_so_and_one_that_learns_says_nothing() -> None:
    [line] = lines_of(learning_rate=1e-9, train_every=80)
    assert "is no better than that of random play" in line
    assert not lines_of(learning_rate=1e-3, train_every=8)


def test_a_run_says_it_on_the_terminal_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(
        environment="Breakout-v0",
        envs=2,
        memory_size=4_000,
        batch_size=8,
        pretrain_transitions=100,
        steps=1_000,
        train_every=40,
        explore_steps=250,
        random_action_steps=1,
        seed=3,
        progress=False,
        out=str(tmp_path),
    )
    trainer = assemble(config)
    # With so few updates, all states have the values of the first weights, or nearly so.
    trainer.diagnosis = Diagnosis(config, Limits(step=500, games=2, spread=1.0))
    evaluations = make_evaluations(config, trainer)
    with RewardLog(config.log_path) as log, StopSignals() as stop, LiveView(config) as view:
        files = RunFiles(config, trainer, evaluations, log)
        Run(config, trainer, evaluations, files, stop, view).to_its_end()
    trainer.close()
    output = " ".join(capsys.readouterr().out.split())
    assert output.count("the network gives all states nearly the same values") == 1
    again = assemble(config)
    set_state(again, state_of(trainer))
    again.close()
    assert again.diagnosis.get_state() == trainer.diagnosis.get_state()
    assert again.learning.dead_relus == trainer.learning.dead_relus is not None
