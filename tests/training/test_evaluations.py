"""Evaluations of a run in progress: they tell how it does and change nothing in it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from atari.emulators import GymnasiumEmulators
from atari.games import find_game
from atari.published_scores import published_scores
from benchmarks.recipe_settings import flags
from dqn_atari import main
from playing.mirrored_game import pictures_of
from settings.config import Config
from storage.episode_log import RewardLog
from storage.evaluation_log import Evaluation, read_evaluations
from tests.helpers.outcomes import assert_same, weights_in
from training.evaluations import Evaluations
from training.run import assemble, make_evaluations, train
from training.run_files import RunFiles

# Games that end soon: those of evaluations, as half of the actions are random and so the ball is
# served; those that are learnt from, as they are random and a second no-op at a start ends them.
SETTINGS: dict[str, Any] = {
    "environment": "Breakout-v0",
    "envs": 2,
    "memory_size": 2_000,
    "batch_size": 8,
    "whitening": False,
    "pretrain_transitions": 100,
    "steps": 600,
    "train_every": 16,
    "target_update_period": 80,
    "epsilon_end": 1.0,
    "no_op_limit": 1,
    "seed": 3,
    "eval_every": 240,
    "eval_episodes": 2,
    "eval_epsilon": 0.5,
    "progress": False,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Gives the settings of a run that was evaluated twice."""
    config = Config(**SETTINGS, out=str(tmp_path_factory.mktemp("run")))
    assert train(config) == 0
    return config


def but_seconds(path: Path) -> list[Evaluation]:
    return [replace(each, seconds=0) for each in read_evaluations(path)]


def test_a_run_is_evaluated_every_so_many_steps(run: Config) -> None:
    first, second = read_evaluations(run.evaluations_path)
    assert (first.step, second.step) == (240, 480)
    assert first.frames == 960
    assert first.games == 2
    assert first.epsilon == 0.5
    assert 0 < first.seconds < second.seconds
    assert first.lowest <= first.median <= first.highest
    assert first.cut_off == 0
    published = published_scores("Breakout-v0")
    assert published
    assert first.human_normalised == pytest.approx((first.mean - 1.7) / (30.5 - 1.7))


def test_the_evaluations_of_a_run_are_of_games_of_their_own(run: Config) -> None:
    """Were all played from the same seeds, a lucky seed would look like a good agent."""
    trainer = assemble(replace(run, out="."))
    evaluations = Evaluations(run, trainer.agent, 0)
    for step in (240, 480, 480):
        assert evaluations.evaluate(step, 0.0, lambda: False)
    trainer.close()
    first, second, again = evaluations.all
    assert second == again
    assert (first.mean, first.length) != (second.mean, second.length)


def test_evaluation_changes_nothing_in_what_is_learnt(run: Config, tmp_path: Path) -> None:
    without = replace(run, eval_every=0, out=str(tmp_path))
    assert train(without) == 0
    assert not without.evaluations_path.exists()
    assert not without.best_weights_path.exists()
    run.best_weights_path.rename(tmp_path / "aside")
    assert_same(tmp_path, Path(run.out))
    (tmp_path / "aside").rename(run.best_weights_path)


def test_the_best_weights_are_those_of_the_best_evaluation(run: Config, tmp_path: Path) -> None:
    best = max(read_evaluations(run.evaluations_path), key=lambda each: each.mean)
    until_then = replace(run, steps=best.step, out=str(tmp_path))
    assert train(until_then) == 0
    ours, theirs = weights_in(run.best_weights_path), weights_in(until_then.weights_path)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])


def test_an_evaluation_that_was_cut_short_is_made_when_the_run_goes_on(
    run: Config, tmp_path: Path
) -> None:
    parted = replace(run, out=str(tmp_path))
    trainer = assemble(parted)
    evaluations = make_evaluations(parted, trainer)
    with RewardLog(parted.log_path) as log:
        files = RunFiles(parted, trainer, evaluations, log)
        for _ in trainer.pretrain():
            pass
        for episodes in trainer.train():
            files.log(episodes)
            if trainer.step == 240:
                break
        stopped = iter([False] * 20 + [True])
        assert not evaluations.evaluate(240, 1.0, lambda: next(stopped))
        files.finish()
        files.close()
    trainer.close()
    assert not parted.evaluations_path.exists()
    assert main(["-c", str(parted.weights_path), "--out", str(tmp_path), "--no-progress"]) == 0
    assert but_seconds(parted.evaluations_path) == but_seconds(run.evaluations_path)


def test_evaluations_after_the_checkpoint_are_made_again(run: Config, tmp_path: Path) -> None:
    """A killed run leaves an evaluation that its checkpoint knows nothing of."""
    parted = replace(run, steps=280, out=str(tmp_path))
    assert train(parted) == 0
    shutil.copy(run.evaluations_path, parted.evaluations_path)
    go_on = ["-c", str(parted.weights_path), "--out", str(tmp_path), "--no-progress"]
    assert main([*go_on, "--steps", "284"]) == 0
    assert [each.step for each in read_evaluations(parted.evaluations_path)] == [240]
    assert main([*go_on, "--steps", "600"]) == 0
    assert but_seconds(parted.evaluations_path) == but_seconds(run.evaluations_path)


def test_a_run_from_its_weights_alone_keeps_its_evaluations(run: Config, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.out, tmp_path / "run"))
    weights = str(folder / run.weights_path.name)
    more = ["-c", weights, "--weights-only", "--out", str(folder)]
    assert main([*flags({**SETTINGS, "steps": 800}), *more]) == 0
    steps = [each.step for each in read_evaluations(folder / run.evaluations_path.name)]
    assert steps[:2] == [240, 480]
    assert len(steps) == 3
    assert 720 <= steps[2] < 724


def test_files_of_an_earlier_run_are_renamed(run: Config, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.out, tmp_path / "run"))
    assert train(replace(run, seed=4, steps=8, out=str(folder))) == 0
    names = {path.name for path in folder.iterdir()}
    assert {"Breakout-v0_evaluations.1.csv", "Breakout-v0_best_weights.1.h5"} <= names
    assert not {"Breakout-v0_evaluations.csv", "Breakout-v0_best_weights.h5"} & names


def test_the_first_game_of_an_evaluation_can_be_played_again(run: Config) -> None:
    trainer = assemble(run)
    evaluations = make_evaluations(run, trainer)
    assert evaluations.evaluate(240, 1.0, lambda: False)
    trainer.close()
    first = evaluations.first_game
    assert first
    seen = [*pictures_of(run, first, 10_000)]
    assert len(seen) == 1 + len(first.actions)
    # All lives but the last have been lost, so the screen of Breakout shows one that is left.
    other = GymnasiumEmulators(find_game(run.environment), 1, run.frame_skip, run.screen)
    other.reset(np.array([first.seed]), np.ones(1, bool))
    for action in first.actions:
        emulation = other.step(np.array([action]))
        assert not emulation.over
    np.testing.assert_array_equal(other.picture(), seen[-1])
    assert emulation.lives == 1
    other.close()


def test_tensorboard_shows_evaluations_with_a_game(run: Config, tmp_path: Path) -> None:
    watched = replace(run, tensorboard=True, steps=480, out=str(tmp_path))
    assert train(watched) == 0
    events = EventAccumulator(str(watched.tensorboard_path))
    events.Reload()
    for step, shown in zip((240, 480), events.Images("evaluation/game"), strict=True):
        assert shown.step == step
        assert (shown.height, shown.width) == (210, 160)
        assert shown.encoded_image_string.startswith(b"GIF89a")
    means = [scalar.value for scalar in events.Scalars("evaluation/mean")]
    written = [each.mean for each in read_evaluations(watched.evaluations_path)]
    assert means == pytest.approx(written)
