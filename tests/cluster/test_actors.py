"""Runs with actors, on a Ray cluster of this machine that all tests of this file share."""

from __future__ import annotations

import dataclasses
import os
import signal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import psutil
import pytest

from cluster.actor import Actor, generators
from cluster.connection import INSTALL, ClusterError, connected
from cluster.run import make_trainer
from cluster.version import check_version, code_version
from dqn_atari import make_config
from settings.config import Config
from storage.episode_log import RewardLog, read_log
from tests.helpers.outcomes import assert_same
from training.resuming import find_checkpoint
from training.run import brought_up, make_evaluations, train
from training.run_files import RunFiles

pytestmark = pytest.mark.skipif(not find_spec("ray"), reason=f"Ray is not installed: {INSTALL}")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent import Update
    from cluster.trainer import ActorTrainer
    from storage.episode_log import Episode

SMALL: dict[str, Any] = {
    "environment": "Breakout-v0",
    "envs": 4,
    "memory_size": 3_000,
    "batch_size": 8,
    "pretrain_transitions": 200,
    "steps": 800,
    "train_every": 16,
    "target_update_period": 160,
    "explore_steps": 500,
    "noisy": True,
    "priority_exponent": 0.6,
    "seed": 3,
    "progress": False,
}
IN_STEP = {"actors": 1, "actors_in_step": True}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Starts Ray, with room for two actors."""
    with connected("local", cpus=2, object_store=100 << 20):
        yield


def test_in_step_a_resumed_run_of_one_actor_is_the_run_without_ray(tmp_path: Path) -> None:
    whole = Config(**SMALL, out=str(tmp_path / "whole"))
    assert train(whole) == 0
    parted = Config(**SMALL, **IN_STEP, out=str(tmp_path / "parted"))
    Path(parted.out).mkdir()
    run_until(parted, 400)
    found = find_checkpoint({"continue_from": str(parted.weights_path), "out": parted.out})
    assert found
    given = {"continue_from": str(parted.weights_path), "out": parted.out, "progress": False}
    config, _ = make_config(given, found)
    assert (config.actors, config.actors_in_step) == (1, True)
    assert train(config, checkpoint=found, make=make_trainer) == 0
    assert_same(tmp_path / "whole", tmp_path / "parted")
    assert read_log(whole.log_path).episodes


def test_an_actor_goes_on_with_the_random_actions_that_are_kept() -> None:
    actors = [Actor({**SMALL, "noisy": False, "whitening": False}, 0) for _ in range(2)]
    for actor in actors:
        actor.prepare(0)
    first, second = actors
    first.play(5, 1.0, True, None)
    assert second.set_state(*first.get_state())
    ours, theirs = (actor.play(20, 0.2, False, None) for actor in actors)
    np.testing.assert_array_equal(ours.actions, theirs.actions)


def run_until(config: Config, step: int) -> None:
    """Trains up to a step and leaves a checkpoint there; and then some more, as before a crash."""
    trainer = brought_up(make_trainer, config, frozenset(), None)
    with RewardLog(config.log_path) as log:
        files = RunFiles(config, trainer, make_evaluations(config, trainer), log)
        for _ in trainer.pretrain():
            pass
        for last in (step, step + 100):
            for episodes in trainer.train():
                files.log(episodes)
                if trainer.step >= last:
                    break
            if last == step:
                files.finish()
        files.close()
    trainer.close()


class FreeRun(NamedTuple):
    trainer: ActorTrainer
    updates: list[Update]
    episodes: list[Episode]


@pytest.fixture(scope="module")
def free_run() -> FreeRun:
    """Gives a run of two actors, one of which was killed, at its end."""
    config = Config(**{**SMALL, "memory_size": 400_000, "steps": 10**9, "noisy": False}, actors=2)
    trainer = brought_up(make_trainer, config, frozenset(), None)
    for _ in trainer.pretrain():
        pass
    run = FreeRun(trainer, [], [])
    trainer.learning.after_update = run.updates.append
    first, second = trainer.memory.parts
    victim, goal = None, 0
    for episodes in trainer.train():
        run.episodes.extend(episodes)
        if not victim and min(len(first), len(second)) > 1_000:
            victim = a_process_that_plays()
            os.kill(victim.pid, signal.SIGKILL)
        if trainer.episodes.games_lost and not goal:
            # Whoever has been killed: both go on from here.
            before = [len(part) for part in trainer.memory.parts]
            goal = 400
        if goal and all(
            len(part) >= held + goal
            for part, held in zip(trainer.memory.parts, before, strict=True)
        ):
            break
    trainer.read_updates()
    trainer.close()
    return run


def a_process_that_plays() -> psutil.Process:
    """Returns the process of an actor of this test's cluster."""
    processes = psutil.Process().children(recursive=True)
    return next(one for one in processes if "".join(one.cmdline()).startswith("ray::Actor"))


def test_a_killed_actor_is_replaced_and_its_games_are_counted(free_run: FreeRun) -> None:
    trainer = free_run.trainer
    assert trainer.episodes.games_lost == SMALL["envs"]
    lives = trainer.get_games().attributes["actors"]["lives"]
    assert sorted(lives) == [0, 1]
    lost = [episode.games_lost for episode in free_run.episodes]
    assert lost == sorted(lost, key=lambda count: count or 0)
    assert set(lost) <= {None, SMALL["envs"]}


def test_every_step_is_counted_and_remembered_once(free_run: FreeRun) -> None:
    trainer = free_run.trainer
    assert len(trainer.memory) == trainer.gathered + trainer.step
    # The other steps are of games that go on or are lost.
    assert 0 < sum(episode.length or 0 for episode in free_run.episodes) <= trainer.step


def test_so_many_samples_are_learnt_from_as_the_settings_say(free_run: FreeRun) -> None:
    samples = len(free_run.updates) * SMALL["batch_size"]
    wanted = SMALL["batch_size"] / SMALL["train_every"]
    assert samples / free_run.trainer.step == pytest.approx(wanted, rel=0.02)


def test_each_actor_has_a_constant_epsilon_of_its_own(free_run: FreeRun) -> None:
    from cluster.actors import epsilons  # which loads Ray, as `connected` has to do

    assert epsilons(2) == pytest.approx([0.4, 0.4**8])
    assert epsilons(8)[3] == pytest.approx(0.4**4)
    seen = {episode.epsilon for episode in free_run.episodes}
    assert seen <= {round(epsilon, 10) for epsilon in epsilons(2)}


def test_no_two_actors_draw_the_same_and_the_first_draws_as_a_run_without_actors() -> None:
    config = Config(**SMALL, actors=2)
    seeds = [
        tuple(rng.integers(2**31) for rng in generators(config, number, life))
        for number, life in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    assert len(set(seeds)) == len(seeds)
    plain = np.random.SeedSequence(config.seed).spawn(3)
    assert seeds[0] == tuple(np.random.default_rng(seed).integers(2**31) for seed in plain[:2])


def test_settings_reach_an_actor_as_values_alone() -> None:
    settings = dataclasses.asdict(Config(**SMALL, actors=2))
    assert all(type(value) in (bool, int, float, str, type(None)) for value in settings.values())


def test_another_version_of_the_program_is_refused_in_one_line() -> None:
    check_version(code_version(), "actor 3 (elsewhere)")
    with pytest.raises(
        ClusterError, match=r"^actor 3 \(elsewhere\) has another version of the .*$"
    ):
        check_version("0123456789ab", "actor 3 (elsewhere)")
