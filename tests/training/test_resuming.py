"""A run that goes on from a checkpoint is the run that was never stopped, to the last bit."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dqn_atari import main, make_config
from settings.choices import Machine, environments
from settings.config import FORMER_NAMES, Config
from settings.declaration import ConfigError, as_flags
from settings.presets import PLAIN
from storage import checkpoints as checkpoints
from storage.arrays import ArrayFile, save
from storage.checkpoints import VERSION, Checkpoint, CheckpointError, newest
from storage.episode_log import RewardLog, cut_back, read_log
from system.devices import Gpu
from tests.helpers.outcomes import assert_same, outcome
from tests.helpers.parted_runs import go_on, interrupted
from training.resuming import find_checkpoint
from training.run import assemble, make_evaluations, train
from training.run_files import RunFiles

if TYPE_CHECKING:
    from training.trainer import Trainer

# Short games, so that some end; small networks and few updates, so that it is quick.
SMALL: dict[str, Any] = {
    "environment": "Breakout-v0",
    "envs": 2,
    "memory_size": 3_000,
    "batch_size": 8,
    "whitening": False,
    "pretrain_transitions": 200,
    "steps": 1_000,
    "train_every": 16,
    "target_update_period": 160,
    "explore_steps": 600,
    "random_action_steps": 4,
    "seed": 3,
    "progress": False,
}
# Settings of one kind leave one another alone: where one breaks, its kind fails.
KINDS: dict[str, dict[str, Any]] = {
    "quantiles, plain frames, an action that is kept": {
        "epsilon_end": 0.9,
        "random_action_steps": 100,
        "distribution": "iqn",
        "frame_codec": "none",
        "train_every": 40,
        "learning_rate_steps": 1_000,
    },
    "noisy, by priority, schedules of returns, 1 environment": {
        "noisy": True,
        "whitening": True,
        "priority_exponent": 0.6,
        "n_step_start": 10,
        "discount_start": 0.5,
        "horizon_steps": 500,
        "envs": 1,
        "steps": 700,
    },
    "counted by games, raw frames, momentum": {
        "count_by": "games",
        "train_every": 2,
        "updates": 2,
        "explore_steps": 9,
        "state_frames": "raw",
        "screen": "crop",
        "optimizer": "rmsprop",
        "rmsprop_momentum": 0.9,
    },
}


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_a_resumed_run_is_the_same_as_one_never_stopped(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    settings = {**SMALL, **changes}
    whole, parted = (Config(**settings, out=str(tmp_path / name)) for name in ("whole", "parted"))
    assert train(whole) == 0
    Path(parted.out).mkdir()
    interrupted(parted, settings["steps"] // 2)
    assert go_on(parted) == 0
    assert_same(tmp_path / "whole", tmp_path / "parted")
    assert read_log(whole.log_path).episodes


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives the folder of a run that was never stopped, made once."""
    out = tmp_path_factory.mktemp("whole")
    assert train(Config(**SMALL, out=str(out))) == 0
    return out


@pytest.mark.parametrize("gathered", [100, 200])
def test_a_run_stopped_in_pretraining_goes_on_with_it(
    tmp_path: Path, whole_run: Path, gathered: int
) -> None:
    config = Config(**SMALL, out=str(tmp_path))
    interrupted(config, 0, gathered)
    assert go_on(config) == 0
    assert_same(tmp_path, whole_run)


def run_to(config: Config, step: int) -> Trainer:
    """Goes on to a step and leaves a checkpoint."""
    found, _ = newest(config.checkpoint_path)
    assert found
    trainer = assemble(config, frozenset(), found)
    assert cut_back(config.log_path, *found.attributes["log"]) is None
    with RewardLog(config.log_path) as log:
        evaluations = make_evaluations(config, trainer, found)
        files = RunFiles(config, trainer, evaluations, log)
        for episodes in trainer.train():
            files.log(episodes)
            if trainer.step >= step:
                break
        files.finish()
        files.close()
    trainer.close()
    return trainer


@pytest.fixture(scope="module")
def half_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives the folder of a run that was stopped half-way with two checkpoints, made once."""
    out = tmp_path_factory.mktemp("half")
    config = Config(**SMALL, out=str(out))
    interrupted(config, 500)
    assert not run_to(config, 760).lost
    return out


@pytest.fixture
def half(tmp_path: Path, half_run: Path) -> Path:
    """Gives a copy of that."""
    return Path(shutil.copytree(half_run, tmp_path / "half"))


def given(folder: Path, **more: Any) -> dict[str, Any]:
    """Returns what a command line that goes on from a folder says."""
    return {
        "continue_from": str(folder / "Breakout-v0_weights.h5"), "out": str(folder), **more
    }  # fmt: skip


def test_the_settings_of_the_run_are_taken_where_nothing_else_is_said(half: Path) -> None:
    found = find_checkpoint(given(half))
    assert found
    config, origins = make_config(given(half, learning_rate=0.001), found)
    assert {name: getattr(config, name) for name in SMALL if name != "progress"} == {
        name: value for name, value in SMALL.items() if name != "progress"
    }
    assert config.learning_rate == 0.001
    assert origins["learning_rate"] == "given"
    assert origins["memory_size"] == "checkpoint"
    assert "discount" not in origins


GPU = Gpu("some", "jax", (9, 0), 60 << 30)


@pytest.mark.parametrize("gpu", [None, GPU], ids=["processor", "GPU"])
def test_a_run_keeps_its_environments_and_the_place_of_its_frames_on_any_machine(
    gpu: Gpu | None, half: Path
) -> None:
    found = find_checkpoint(given(half))
    assert found
    machine = Machine(16, has_bfloat16=True, gpu=gpu)
    # One that auto chooses nowhere.
    assert SMALL["envs"] == 2 != environments(machine).value
    for on_device in (False, True):
        found.attributes["settings"]["memory_on_device"] = on_device
        for flags in ({}, {"envs": "auto", "memory_on_device": "auto"}):
            config, origins = make_config(given(half, **flags), found, machine=machine)
            assert (config.envs, origins["envs"]) == (2, "checkpoint")
            assert (config.memory_on_device, origins["memory_on_device"]) == (
                on_device, "checkpoint",
            )  # fmt: skip
        with pytest.raises(ConfigError, match="--memory-on-device is "):
            make_config(given(half, memory_on_device=not on_device), found, machine=machine)
    with pytest.raises(ConfigError, match="--envs is 8 environments, and 2 environments in "):
        make_config(given(half, envs=8), found)


def test_a_run_of_before_frames_could_lie_on_a_gpu_keeps_them_on_the_host(half: Path) -> None:
    found = find_checkpoint(given(half))
    assert found
    del found.attributes["settings"]["memory_on_device"]
    config, _ = make_config(given(half), found, machine=Machine(16, True, GPU))
    assert not config.memory_on_device


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--network", "nature"], "--network is nature, and nips in "),
        (["-env", "Pong-v0"], "--environment is Pong-v0, and Breakout-v0 in "),
        (["--memory", "4000"], "--memory is 4,000 transitions, and 3,000 transitions in "),
        (["--framestacksize", "5"], "--framestacksize is 5 frames, and 4 frames in "),
        (["--seed", "4"], "--seed is 4, and 3 in "),
    ],
)
def test_what_cannot_change_within_a_run_is_refused_with_both_values(
    half: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = str(half / "Breakout-v0_weights.h5")
    assert main(["--continue", weights, "--out", str(half), *flags]) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert "--weights-only" in errors
    assert errors.count("\n") == 1


def test_a_given_step_size_is_that_of_the_updates_to_come(half: Path) -> None:
    found = find_checkpoint(given(half))
    config, _ = make_config(given(half, learning_rate=0.0625), found)
    trainer = assemble(config, frozenset({"learning_rate"}), found)
    trainer.close()
    assert float(trainer.agent.optimizer.learning_rate.numpy()) == 0.0625


def test_flags_of_the_schedule_start_a_new_one_there(half: Path) -> None:
    found = find_checkpoint(given(half))
    config, _ = make_config(
        given(half, epsilon_start=0.5, epsilon_end=0.1, explore_steps=150), found
    )
    trainer = assemble(config, frozenset({"epsilon_start", "epsilon_end", "explore_steps"}), found)
    assert trainer.step == 760
    epsilons = [(trainer.step, trainer.epsilon) for _ in trainer.train()]
    trainer.close()
    for step, epsilon in epsilons:
        assert epsilon == pytest.approx(max(0.1, 0.5 - 0.4 * (step - 2 - 760) / 150))
    assert not trainer.lost


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory, half_run: Path) -> Path:
    """Gives the folder of that run, which went on to its end with its own flags, made once.

    Its log went on beyond the checkpoint, and its weights were not there.
    """
    half = Path(shutil.copytree(half_run, tmp_path_factory.mktemp("resumed") / "half"))
    with (half / "Breakout-v0_log.txt").open("a") as file:
        file.write("Episode: 99 Reward: 1.0 Steps: 800 Current Epsilon: 0.1 Loss: 0.0 Acc: 0.0\n")
    (half / "Breakout-v0_weights.h5").unlink()
    same = [
        f"-exs={SMALL['explore_steps']}",
        f"-pre={SMALL['pretrain_transitions']}",
        "-s=1",
        "--seed=3",
    ]
    weights = str(half / "Breakout-v0_weights.h5")
    assert main(["-c", weights, "--out", str(half), *same, "--keep=1"]) == 0
    return half


def test_a_run_can_be_resumed_twice_and_its_flags_given_again_change_nothing(
    resumed: Path, whole_run: Path
) -> None:
    assert_same(resumed, whole_run)


def test_what_the_log_says_beyond_the_checkpoint_is_taken_back(resumed: Path) -> None:
    assert "Episode: 99 " not in (resumed / "Breakout-v0_log.txt").read_text()


def test_a_missing_weights_file_is_no_loss_beside_a_checkpoint(
    resumed: Path, whole_run: Path
) -> None:
    assert outcome(resumed)[1].keys() == outcome(whole_run)[1].keys()


def test_so_many_checkpoints_are_kept(half_run: Path, resumed: Path) -> None:
    names = sorted(path.name for path in (half_run / "Breakout-v0_checkpoint").iterdir())
    assert names == ["000001", "000002"]
    assert [path.name for path in (resumed / "Breakout-v0_checkpoint").iterdir()] == ["000003"]


def test_pretraining_that_is_asked_for_is_the_networks(half: Path) -> None:
    found = find_checkpoint(given(half))
    config, _ = make_config(given(half, pretrain_transitions=160), found)
    trainer = assemble(config, frozenset({"pretrain_transitions"}), found)
    before = len(trainer.memory)
    assert trainer.pretrain_epsilon == 0
    assert list(trainer.pretrain())[-1] == 160
    assert len(trainer.memory) == before + 160
    trainer.close()
    assert trainer.lost == ["the games in progress, as pretraining begins with new ones"]


def test_a_memory_that_is_left_out_is_gathered_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(**SMALL, out=str(tmp_path), replay_checkpoint=False)
    interrupted(config, 500)
    assert not list(tmp_path.glob("*/*/memory"))
    assert main(["-c", str(config.weights_path), "--out", str(tmp_path)]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "the whole run but the replay memory, which was left out and the games in " in output
    assert "pretraining, the network decides: from step 0 to 200" in output
    numbers = [episode.number for episode in read_log(config.log_path).episodes]
    assert numbers == list(range(len(numbers)))


def test_leaving_the_memory_out_is_said_with_what_it_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(Config(**{**SMALL, "steps": 8}, out=str(tmp_path), replay_checkpoint=False))
    assert "gathers 200 transitions anew" in " ".join(capsys.readouterr().out.split())


def test_weights_only_takes_no_checkpoint_and_keeps_it(
    half: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = str(half / "Breakout-v0_weights.h5")
    flags = [
        word
        for field in dataclasses.fields(Config)
        if field.name in SMALL.keys() - {"explore_steps", "progress"}
        for word in as_flags(field, SMALL[field.name])
    ]
    assert main([*flags, "--continue", weights, "--out", str(half), "--weights-only"]) == 0
    output = capsys.readouterr().out
    assert "restored" not in output
    assert "Breakout-v0_checkpoint is of an earlier run: renamed to " in output
    assert list((half / "Breakout-v0_checkpoint.1").iterdir())


def test_weights_of_another_run_are_taken_alone(
    half: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Config(**{**SMALL, "seed": 4, "steps": 8}, out=str(tmp_path / "other"))
    train(other)
    shutil.copy(other.weights_path, half / "Breakout-v0_weights.h5")
    assert find_checkpoint(given(half)) is None
    assert "is of another run than" in capsys.readouterr().out


def test_a_run_goes_on_in_another_folder_and_leaves_the_first_as_it_is(
    half: Path, tmp_path: Path, whole_run: Path
) -> None:
    before = {path: path.read_bytes() for path in half.rglob("*") if path.is_file()}
    weights = str(half / "Breakout-v0_weights.h5")
    assert main(["-c", weights, "--out", str(tmp_path / "new")]) == 0
    assert {path: path.read_bytes() for path in half.rglob("*") if path.is_file()} == before
    (lines, arrays), (whole_lines, whole_arrays) = outcome(tmp_path / "new"), outcome(whole_run)
    assert lines == whole_lines[-len(lines) :]
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, whole_arrays[name])


@pytest.mark.parametrize("name", ["run", "memory"])
def test_the_checkpoint_before_a_damaged_one_is_used(
    half: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = half / "Breakout-v0_checkpoint" / "000002" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    found = find_checkpoint(given(half))
    assert found
    assert found.path.name == "000001"
    [line] = capsys.readouterr().out.splitlines()
    assert re.search(rf"000002/{name} is damaged: .*: going on from .*000001", line)


def test_any_damaged_byte_of_a_checkpoint_is_found(half: Path) -> None:
    folder = half / "Breakout-v0_checkpoint"
    shutil.rmtree(folder / "000001")
    rng = np.random.default_rng(0)
    for name in ("run", "memory"):
        file = folder / "000002" / name
        whole = file.read_bytes()
        for position in [*range(20), *rng.integers(len(whole), size=80)]:
            damaged = bytearray(whole)
            damaged[position] ^= int(rng.integers(1, 256))
            file.write_bytes(damaged)
            with pytest.raises(CheckpointError, match=r"--weights-only") as error:
                newest(folder)
            assert str(file) in str(error.value)
        file.write_bytes(whole)
    assert newest(folder)[0]


@pytest.mark.parametrize(
    ("oldest", "newest"),
    [(1, checkpoints.VERSION - 1), (checkpoints.VERSION + 1, checkpoints.VERSION + 2)],
)
def test_a_checkpoint_of_an_older_or_newer_program_is_refused_by_name(
    half: Path, monkeypatch: pytest.MonkeyPatch, oldest: int, newest: int
) -> None:
    monkeypatch.setattr(checkpoints, "VERSION", newest)
    monkeypatch.setattr(checkpoints, "OLDEST_VERSION", oldest)
    expected = rf"of format version {VERSION}, and only versions {oldest} to {newest} can be read"
    with pytest.raises(CheckpointError, match=expected):
        find_checkpoint(given(half))


def test_a_checkpoint_of_version_2_goes_on_with_what_the_settings_were_then(tmp_path: Path) -> None:
    settings = {**PLAIN, **SMALL, "steps": 320}
    whole, config = (Config(**settings, out=str(tmp_path / name)) for name in ("whole", "parted"))
    assert train(whole) == 0
    Path(config.out).mkdir()
    interrupted(config, 160)
    file = max(config.checkpoint_path.iterdir()) / "run"
    with ArrayFile(file, "run") as opened:
        attributes = {**opened.attributes, "version": 2}
        arrays = {name: opened.read(name) for name in opened.names}
    for name in ("dead relus", "dead relus step", "diagnosis"):
        del attributes["training"][name]
    # Nor were there these settings.
    newer = {"n_step_start", "discount_start", "hidden_biases", "initializer", "value_scale"}
    for name in newer:
        del attributes["settings"][name]
    for former, name in FORMER_NAMES.items():
        if name in attributes["settings"]:
            attributes["settings"][former] = attributes["settings"].pop(name)
    for name in ("sums", "sums before"):
        arrays[f"training/{name}"] = arrays[f"training/{name}"][..., :4]
    save(file, "run", attributes, arrays)
    assert go_on(config) == 0
    (_, arrays), (_, whole_arrays) = outcome(Path(config.out)), outcome(Path(whole.out))
    for name, array in whole_arrays.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_games_that_the_emulators_play_in_another_way_are_given_up(half: Path) -> None:
    folder = half / "Breakout-v0_checkpoint" / "000002"
    with ArrayFile(folder / "run", "run") as file:
        attributes = file.attributes
        arrays = {name: file.read(name) for name in file.names}
    arrays["environments/actions"][:] = 0  # as if the actions meant something else
    save(folder / "run", "run", attributes, arrays)
    found = find_checkpoint(given(half))
    config, _ = make_config(given(half), found)
    trainer = assemble(config, frozenset(), found)
    assert trainer.lost == ["the games in progress, which these emulators play in another way"]
    for _ in trainer.train():
        pass
    trainer.close()


def test_a_log_that_has_changed_is_named(half: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = half / "Breakout-v0_log.txt"
    log.write_text("Episode: 7" + log.read_text()[10:])
    assert go_on(Config(**SMALL, out=str(half))) == 0
    assert re.search(r"warning: .*Breakout-v0_log.txt", capsys.readouterr().err)


def test_a_finished_run_asks_for_more_steps(whole_run: Path) -> None:
    found = find_checkpoint(given(whole_run))
    config, _ = make_config(given(whole_run), found)
    with pytest.raises(ConfigError, match="give more --steps"):
        train(config, frozenset(), {}, found)


def test_playing_takes_the_settings_of_the_run(half: Path) -> None:
    config, _ = make_config(
        {"play": True, "environment": "Breakout-v0", "out": str(half)},
        find_checkpoint({"play": True, "environment": "Breakout-v0", "out": str(half)}),
    )
    assert config.memory_size == SMALL["memory_size"]


def test_the_state_of_a_run_is_plain_json_and_arrays(half: Path) -> None:
    found = find_checkpoint(given(half))
    assert isinstance(found, Checkpoint)
    assert json.loads(json.dumps(found.attributes)) == found.attributes
    assert all(isinstance(array, np.ndarray) for array in found.read().arrays.values())
