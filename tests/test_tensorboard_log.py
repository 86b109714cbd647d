"""Curves for TensorBoard: they tell what happened, go on with the run, and change nothing in it."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from outcomes import assert_same
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent import Agent, Update, make_agent
from batch import Batch
from config import Config
from dqn_atari import main
from evaluation_log import read_evaluations
from reward_log import RewardLog, read_log
from run import assemble, make_evaluations, make_tensorboard_log, train
from run_files import RunFiles
from tensorboard_log import TensorBoardLog

SETTINGS: dict[str, Any] = {
    "environment": "Breakout-v0", "envs": 4, "memory": 2_000, "batch": 8, "pretrain": 100,
    "steps": 2_100, "train_every": 40, "update": 80, "explore_steps": 2_000, "seed": 3,
    "eval_every": 1_500, "eval_episodes": 2, "eval_epsilon": 0.5, "progress": False,
    "tensorboard": True,
}  # fmt: skip
MEANS = ("loss", "mean_q", "td_error", "gradient_norm", "epsilon")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Gives the settings of a run that has written curves."""
    config = Config(**SETTINGS, out=str(tmp_path_factory.mktemp("run")))
    assert train(config) == 0
    return config


def events(folder: Path) -> EventAccumulator:
    """Returns what TensorBoard reads in a folder."""
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Returns the points of all curves but those of speeds, which no two runs have in common."""
    found = events(folder)
    return {
        tag: [(point.step, point.value) for point in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
        if not tag.startswith("speed/")
    }


def test_a_run_without_the_flag_writes_no_curves_and_the_same_log_and_weights(
    run: Config, tmp_path: Path
) -> None:
    without = replace(run, tensorboard=False, out=str(tmp_path))
    assert train(without) == 0
    assert not without.tensorboard_path.exists()
    without.best_weights_path.unlink()
    aside = Path(run.out, "aside")
    run.best_weights_path.rename(aside)
    assert_same(tmp_path, Path(run.out))
    aside.rename(run.best_weights_path)


def test_episodes_and_evaluations_are_those_of_the_log(run: Config) -> None:
    shown, logged = curves(run.tensorboard_path), read_log(run.log_path).episodes
    assert len(logged) > 5
    for name in ("score", "reward", "length"):
        wanted = [(episode.steps, getattr(episode, name)) for episode in logged]
        assert shown[f"episode/{name}"] == wanted
    [evaluation] = read_evaluations(run.evaluations_path)
    for name in ("mean", "median", "human_normalised"):
        [(step, value)] = shown[f"evaluation/{name}"]
        assert step == evaluation.step
        assert value == pytest.approx(getattr(evaluation, name))


def test_the_course_of_learning_is_shown_every_thousand_steps(run: Config) -> None:
    shown = curves(run.tensorboard_path)
    for name in (*(f"learning/{each}" for each in MEANS), "memory/filled"):
        assert [step for step, _ in shown[name]] == [1_000, 2_000], name
    assert [value for _, value in shown["learning/epsilon"]] == pytest.approx(
        [0.51, 0.02], abs=2e-3
    )
    assert [value for _, value in shown["memory/filled"]] == pytest.approx([0.55, 1.0])
    assert all(value > 0 for _, value in shown["learning/td_error"])
    assert all(value > 0 for _, value in shown["learning/gradient_norm"])
    speeds = [events(run.tensorboard_path).Scalars(f"speed/{name}_per_second")
              for name in ("steps", "updates")]  # fmt: skip
    for steps, updates in zip(*speeds, strict=True):
        assert updates.value > 0
        assert steps.value / updates.value == pytest.approx(40)


def test_means_are_those_of_the_updates_between(run: Config, tmp_path: Path) -> None:
    config = replace(run, out=str(tmp_path))
    training = assemble(config)
    log = make_tensorboard_log(config, training)
    assert log
    seen = []
    note, norms = training.after_update, []

    def note_and_keep(update: Update) -> None:
        note(update)
        seen.append(update)
        norms.append(training.agent.gradient_norm)

    training.after_update = note_and_keep
    for _ in training.pretrain():
        pass
    for _ in training.run():
        if log.is_due(training.step):
            break
    log.add_means(training)
    log.flush()
    log.close()
    training.close()
    shown = curves(config.tensorboard_path)
    assert len(seen) == 25
    for name, wanted in (
        ("loss", np.mean([each.loss for each in seen])),
        ("mean_q", np.mean([each.mean_q for each in seen])),
        ("td_error", np.mean([each.td_errors for each in seen])),
        ("gradient_norm", np.mean(norms)),
    ):
        assert shown[f"learning/{name}"] == [(1_000, pytest.approx(wanted, rel=1e-5))]
        # The run itself had the same.
        assert curves(run.tensorboard_path)[f"learning/{name}"][0][1] == pytest.approx(wanted)


def test_settings_are_shown_as_text(run: Config) -> None:
    [event] = events(run.tensorboard_path).Tensors("settings")
    text = event.tensor_proto.string_val[0].decode()
    assert "| environment | Breakout-v0 |\n" in text
    assert "| memory | 2,000 transitions |\n" in text


def test_a_resumed_run_goes_on_with_the_curves_of_one_never_stopped(
    run: Config, tmp_path: Path
) -> None:
    """Beyond its last checkpoint a killed run leaves points, which TensorBoard is to forget."""
    parted = replace(run, out=str(tmp_path))
    training = assemble(parted)
    evaluations = make_evaluations(parted, training)
    with RewardLog(parted.log_path) as log:
        tensorboard = make_tensorboard_log(parted, training)
        files = RunFiles(parted, training, evaluations, log, tensorboard)
        for _ in training.pretrain():
            pass
        for episodes in training.run():
            files.log(episodes)
            if training.step == 500:
                files.finish()
            if training.step == 1_400:
                break
        files.save_weights()
        tensorboard.flush()
        files.close()
    training.close()
    killed = curves(parted.tensorboard_path)
    assert [step for step, _ in killed["learning/loss"]] == [1_000]
    assert main(["-c", str(parted.weights_path), "--out", str(tmp_path), "--no-progress"]) == 0
    assert curves(parted.tensorboard_path) == curves(run.tensorboard_path)
    assert len(list(parted.tensorboard_path.iterdir())) == 2


def test_curves_of_an_earlier_run_are_set_aside(run: Config, tmp_path: Path) -> None:
    earlier = replace(run, out=str(tmp_path)).tensorboard_path
    earlier.mkdir()
    (earlier / "events.out.tfevents.1").write_bytes(b"")
    assert train(replace(run, steps=8, eval_every=0, out=str(tmp_path))) == 0
    assert (tmp_path / "Breakout-v0_tensorboard.1" / "events.out.tfevents.1").exists()
    assert len(list(earlier.iterdir())) == 1


@pytest.fixture
def little_room() -> Iterator[int]:
    """Lets no file grow beyond so many bytes, as if the disk were full."""
    room, before = 4_000, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    yield room
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_a_full_disk_has_no_room_for_is_written_once_it_has(
    tmp_path: Path, little_room: int
) -> None:
    log = TensorBoardLog(tmp_path / "curves", 0, {"steps": "9"})
    log.flush()
    log.add_video("games/best", bytes(little_room), 2, 2, 7)
    for _ in range(2):
        with pytest.raises(OSError, match="File too large"):
            log.flush()
    [file] = (tmp_path / "curves").iterdir()
    assert events(file).Tags()["images"] == []
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    log.flush()
    log.close()
    found = events(file)
    assert found.Tags()["tensors"] == ["settings"]
    assert found.Images("games/best")[0].encoded_image_string == bytes(little_room)


def test_a_run_says_once_that_its_curves_cannot_be_written(
    run: Config, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = replace(run, out=str(tmp_path), eval_every=0)
    training = assemble(config)
    config.tensorboard_path.write_text("no folder")
    with RewardLog(config.log_path) as log:
        files = RunFiles(config, training, make_evaluations(config, training), log,
                         make_tensorboard_log(config, training))  # fmt: skip
        for training.step in (1_000, 2_000):
            files.log([])
        with pytest.raises(OSError, match="cannot write the curves for TensorBoard"):
            files.finish()
        files.close()
    training.close()
    [warning] = capsys.readouterr().err.splitlines()
    assert "the curves for TensorBoard cannot be written (File exists): the run goes on" in warning


def test_a_video_is_a_gif_among_the_images(tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.full((6, 4), shade, np.uint8)) for shade in (0, 120, 250)]
    gif = io.BytesIO()
    pictures[0].save(gif, "GIF", save_all=True, append_images=pictures[1:])
    log = TensorBoardLog(tmp_path, 40, {})
    log.add_video("games/best", gif.getvalue(), height=6, width=4, step=40)
    log.flush()
    log.close()
    [image] = events(tmp_path).Images("games/best")
    assert (image.step, image.height, image.width) == (40, 6, 4)
    with Image.open(io.BytesIO(image.encoded_image_string)) as read:
        assert (read.format, read.n_frames, read.size) == ("GIF", 3, (4, 6))


def a_batch(size: int, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(
        s_tm1=rng.integers(256, size=(size, 44, 44, 4), dtype=np.uint8),
        a_tm1=rng.integers(4, size=size).astype(np.int32),
        r_t=rng.normal(size=size).astype(np.float32),
        discount_t=np.full(size, 0.97, np.float32),
        s_t=rng.integers(256, size=(size, 44, 44, 4), dtype=np.uint8),
        indices=np.arange(size),
        weights=np.ones(size, np.float32),
    )


def norm_in_adam(agent: Agent) -> float:
    """Returns the norm of the gradients of the first update: Adam keeps a tenth of each."""
    variables = agent._learner.optimizer.variables
    kept = [np.asarray(each).ravel() for each in variables if each.name.endswith("_momentum")]
    assert kept
    return 10 * float(np.linalg.norm(np.concatenate(kept)))


def compare_observed_and_not(**settings: object) -> None:
    """Makes the same updates with and without the norm; raises AssertionError if they differ."""
    states = []
    for observed in (True, False):
        config = Config(**settings, batch=8, tensorboard=observed)
        agent = make_agent(config, (44, 44, 4), 4, np.random.default_rng(1))
        for seed in range(3):
            agent.learn(a_batch(8, seed))
            if observed and not seed and config.optimizer == "adam":
                assert agent.gradient_norm == pytest.approx(norm_in_adam(agent), rel=1e-4)
        states.append(agent.get_state()[1])
    assert states[0].keys() == states[1].keys()
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name])


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimizer": "rmsprop", "gradient_clip": 0.1}],
    ids=["adam", "rmsprop, gradients shortened"],
)
def test_the_norm_of_the_gradients_changes_no_bit(settings: dict[str, Any]) -> None:
    compare_observed_and_not(**settings)


def test_it_changes_none_on_the_other_backend() -> None:
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, check=False,
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": f"{root}:{root / 'tests'}"},
    )  # fmt: skip
    assert done.stdout.endswith("compared on jax\n"), done.stderr


if __name__ == "__main__":
    compare_observed_and_not()
    print(f"compared on {keras.backend.backend()}")
