"""The statistics of pixels are those of the frames in memory, and both networks get them once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agent import make_agent
from settings.config import Config
from tests.helpers.memories import a_memory
from training import loop
from training.pixel_statistics import pixel_statistics
from training.run import assemble

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (84, 84, 4)
SMALL: dict[str, Any] = {
    "environment": "Breakout-v0",
    "envs": 2,
    "memory_size": 1_000,
    "batch_size": 8,
    "pretrain_transitions": 200,
    "steps": 300,
    "train_every": 100,
    "explore_steps": 200,
    "seed": 3,
    "progress": False,
}


@pytest.mark.parametrize("on_device", [False, True])
def test_statistics_are_the_mean_and_the_deviation_of_each_pixel(on_device: bool) -> None:
    memory = a_memory(4_000, 2, (84, 84), 4, 5, 0.99, on_device=on_device)
    frames = np.full((1_000, 2, 84, 84), 7, np.uint8)
    # Nothing changes but two pixels, each in its own way.
    frames[1::2, :, 10, 20] = 207
    frames[:, 1, 30, 40] = 9
    zeros = np.zeros(2)
    for frame in frames:
        memory.append(frame, zeros.astype(int), zeros, zeros > 0, zeros > 0)
    mean, deviation = pixel_statistics(memory)
    assert mean.dtype == deviation.dtype == np.float32
    # Of some 2,000 frames that are drawn, the same ones each time.
    assert mean[10, 20] == pytest.approx(107, abs=8)
    assert deviation[10, 20] == pytest.approx(100, abs=1)
    assert mean[30, 40] == pytest.approx(8, abs=0.08)
    assert deviation[30, 40] == pytest.approx(1, abs=0.01)
    mean[[10, 30], [20, 40]], deviation[[10, 30], [20, 40]] = 7, 0
    # The black frames before an episode do not count.
    np.testing.assert_array_equal(mean, np.full((84, 84), 7))
    np.testing.assert_array_equal(deviation, np.zeros((84, 84)))


def test_an_agent_gives_the_statistics_to_both_networks() -> None:
    config = Config(environment="Pong-v4")
    agent = make_agent(config, SHAPE, 6, np.random.default_rng(1))
    states = np.random.default_rng(2).integers(0, 256, (3, *SHAPE), np.uint8)
    before = agent.values(states)
    assert agent.lacks_pixel_statistics
    agent.set_pixel_statistics(np.full((84, 84), 99.0), np.full((84, 84), 9.0))
    assert not agent.lacks_pixel_statistics
    assert not np.allclose(agent.values(states), before)
    target = agent.learner.target.get_weights()
    for ours, theirs in zip(agent.online.get_weights(), target, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_agent_that_does_not_whiten_lacks_nothing() -> None:
    config = Config(environment="Pong-v4", whitening=False)
    agent = make_agent(config, SHAPE, 6, np.random.default_rng(1))
    assert not agent.lacks_pixel_statistics


@pytest.mark.parametrize(("latest", "second"), [(loop.LATEST_MEASUREMENT, 202), (150, 152)])
def test_a_run_measures_before_its_first_step_and_when_exploration_is_over_or_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, latest: int, second: int
) -> None:
    monkeypatch.setattr(loop, "LATEST_MEASUREMENT", latest)
    trainer = assemble(Config(**SMALL, out=str(tmp_path)))
    [*_] = trainer.pretrain()
    assert trainer.agent.lacks_pixel_statistics
    means = {}
    for _ in trainer.train():
        means[trainer.step] = trainer.agent.online.get_layer("whitening").mean.numpy()
    trainer.close()
    changes = [step for step in means if step > 2 and (means[step] != means[step - 2]).any()]
    # The turn after that step.
    assert changes == [second]
    assert means[2].any()


def test_a_run_keeps_the_statistics_that_come_with_its_weights(tmp_path: Path) -> None:
    trainer = assemble(Config(**SMALL, out=str(tmp_path)))
    ours = np.full((84, 84), 99.0)
    trainer.agent.set_pixel_statistics(ours, ours)
    [*_] = trainer.pretrain()
    [*_] = trainer.train()
    mean = trainer.agent.online.get_layer("whitening").mean.numpy()
    trainer.close()
    np.testing.assert_array_equal(mean[..., 0], ours)
