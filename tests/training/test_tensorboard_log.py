"""Curves for TensorBoard: they tell what happened, go on with the run, and change nothing in it."""

from __future__ import annotations

import io
import os
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent import Update, make_agent
from dqn_atari import main
from replay.batch import Batch
from settings.config import Config
from storage.episode_log import RewardLog, read_log
from storage.evaluation_log import read_evaluations
from tests.helpers.outcomes import assert_same
from training.run import assemble, make_evaluations, make_tensorboard_log, train
from training.run_files import RunFiles
from training.tensorboard_log import TensorBoardLog

if TYPE_CHECKING:
    from collections.abc import Iterator

# Games of few steps, so that some end.
SETTINGS: dict[str, Any] = {
    "environment": "Breakout-v0",
    "envs": 4,
    "frame_skip": 8,
    "memory_size": 2_000,
    "batch_size": 8,
    "whitening": False,
    "pretrain_transitions": 104,
    "steps": 1_104,
    "train_every": 40,
    "target_update_period": 80,
    "explore_steps": 2_000,
    "seed": 3,
    "eval_every": 800,
    "eval_episodes": 1,
    "eval_epsilon": 0.5,
    "progress": False,
    "tensorboard": True,
}
MEANS = ("loss", "mean_q", "q_spread", "td_error", "gradient_norm")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Gives the settings of a run that has written curves."""
    config = Config(**SETTINGS, out=str(tmp_path_factory.mktemp("run")))
    assert train(config) == 0
    return config


def events(folder: Path) -> EventAccumulator:
    """Returns what TensorBoard reads in a folder."""
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


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
    without = replace(run, tensorboard=False, eval_every=0, out=str(tmp_path))
    without.tensorboard_path.mkdir()  # of an earlier run
    assert train(without) == 0
    assert not without.tensorboard_path.exists()
    assert Path(tmp_path, "Breakout-v0_tensorboard.1").exists()
    aside = Path(run.out, "aside")
    run.best_weights_path.rename(aside)
    assert_same(tmp_path, Path(run.out))
    aside.rename(run.best_weights_path)


def test_episodes_and_evaluations_are_those_of_the_log(run: Config) -> None:
    shown, logged = curves(run.tensorboard_path), read_log(run.log_path).episodes
    assert len(logged) > 2
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
    for name in (
        *(f"learning/{each}" for each in (*MEANS, "epsilon", "dead_relus")),
        "memory/filled",
    ):
        assert [step for step, _ in shown[name]] == [1_000], name
    assert shown["learning/epsilon"][0][1] == pytest.approx(0.50698)  # of the last of these steps
    assert shown["memory/filled"][0][1] == pytest.approx(0.552)
    speeds = [events(run.tensorboard_path).Scalars(f"speed/{name}_per_second")
              for name in ("steps", "updates")]  # fmt: skip
    for steps, updates in zip(*speeds, strict=True):
        assert updates.value > 0
        assert steps.value / updates.value == pytest.approx(40)


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
    updates = killed_after_a_checkpoint(parted)
    killed = curves(parted.tensorboard_path)
    for name in MEANS:
        mean = np.mean([update[name] for update in updates])
        assert killed[f"learning/{name}"] == [(1_000, pytest.approx(mean, rel=1e-5))]
    assert main(["-c", str(parted.weights_path), "--out", str(tmp_path), "--no-progress"]) == 0
    assert curves(parted.tensorboard_path) == curves(run.tensorboard_path)
    assert len(list(parted.tensorboard_path.iterdir())) == 2


def killed_after_a_checkpoint(config: Config) -> list[dict[str, float]]:
    """Runs to step 1,048, with a checkpoint at 504; returns what the first 1,000 steps learnt."""
    trainer = assemble(config)
    tensorboard = make_tensorboard_log(config, trainer)
    assert tensorboard
    note, updates = trainer.learning.after_update, []

    def note_and_keep(update: Update) -> None:
        note(update)
        if trainer.step <= 1_000:
            values = update._asdict()
            updates.append({**values, "td_error": update.td_errors.mean()})

    trainer.learning.after_update = note_and_keep
    with RewardLog(config.log_path) as log:
        evaluations = make_evaluations(config, trainer)
        files = RunFiles(config, trainer, evaluations, log, tensorboard)
        for _ in trainer.pretrain():
            pass
        for episodes in trainer.train():
            files.log(episodes)
            if trainer.step == 504:
                files.finish()
            if trainer.step == 1_048:
                break
        files.save_weights()
        tensorboard.flush()
        files.close()
    trainer.close()
    return updates


def test_curves_go_on_where_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set back within a part of a run, and before the next."""
    written = 2e9 + 70
    for first_step, clock in (1, [2e9, 2e9 + 40, 2e9 + 10, 2e9 + 30]), (5, [1.9e9, 1.9e9 + 100]):
        monkeypatch.setattr(time, "time", lambda now=clock[0]: now)
        log = TensorBoardLog(tmp_path, first_step - 1, {})
        for step, now in enumerate(clock, first_step):
            monkeypatch.setattr(time, "time", lambda now=now: now)
            log.add_video("game", b"", 1, 1, step)
        log.flush()
        log.close()
        for file in tmp_path.iterdir():
            os.utime(file, (written, written))
    shown = events(tmp_path).Images("game")
    assert [image.step for image in shown] == [1, 2, 3, 4, 5, 6]
    # Of the second part after the files of the first, and both at the clock's own rate.
    times = [image.wall_time - 2e9 for image in shown]
    assert times == [0, 40, 40, 60, 72, 172]
    assert len(list(tmp_path.iterdir())) == 2


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
    trainer = assemble(config)
    config.tensorboard_path.write_text("no folder")
    with RewardLog(config.log_path) as log:
        files = RunFiles(config, trainer, make_evaluations(config, trainer), log,
                         make_tensorboard_log(config, trainer))  # fmt: skip
        for trainer.step in (1_000, 2_000):
            files.log([])
        with pytest.raises(OSError, match="cannot write the curves for TensorBoard"):
            files.finish()
        files.close()
    trainer.close()
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


def test_norm_is_that_of_all_gradients_before_they_are_shortened() -> None:
    """Adam keeps a tenth of each gradient of the first update."""
    norms = []
    for clip in (0.0, 1e-3):
        config = Config(batch_size=8, gradient_clip=clip)
        agent = make_agent(config, (44, 44, 4), 4, np.random.default_rng(1))
        norms.append(agent.learn(a_batch(8, 0))[0].gradient_norm)
        variables = agent.optimizer.variables
        kept = [np.asarray(each).ravel() for each in variables if each.name.endswith("_momentum")]
        used = 10 * float(np.linalg.norm(np.concatenate(kept)))
        assert used == pytest.approx(clip or norms[0], rel=1e-3)
    assert norms[0] == norms[1]
