"""What `--evaluate` prints, for people and for programs."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest

from dqn_atari import main, make_config
from playing.evaluate import interval
from settings.config import Config
from training.resuming import find_checkpoint
from training.run import train

BREAKOUT = ["-env", "Breakout-v4", "--evaluate", "--episodes", "2", "--seed", "1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Gives the settings of a run that is no more than its weights and a checkpoint."""
    config = Config(
        environment="Breakout-v4",
        envs=1,
        memory_size=200,
        batch_size=4,
        pretrain_transitions=8,
        steps=8,
        network_width=2,
        progress=False,
        out=str(tmp_path_factory.mktemp("run")),
    )
    assert train(config) == 0
    shutil.copy(config.weights_path, config.best_weights_path)
    return config


def printed(flags: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(flags) == 0
    return capsys.readouterr().out


def test_random_play_needs_no_weights_and_repeats(capsys: pytest.CaptureFixture[str]) -> None:
    document: dict[str, Any] = json.loads(printed([*BREAKOUT, "--random", "--json"], capsys))
    [(who, result)] = document["results"].items()
    assert who == "random play"
    assert result["epsilon"] == 1
    assert result["games"] == len(result["scores"]) == 2
    assert result["mean"] == np.mean(result["scores"])
    assert result["interval"][0] <= result["mean"] <= result["interval"][1]
    assert document["published"] == {"random": 1.7, "human": 30.5, "dqn": 401.2}
    again = json.loads(printed([*BREAKOUT, "--random", "--json"], capsys))
    assert again == document


def test_an_agent_stands_beside_random_play_of_the_same_run(
    run: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    # At random, so that the game ends soon.
    flags = [*BREAKOUT, "-c", str(run.best_weights_path), "--eval-epsilon", "0.9"]
    lines = printed(flags, capsys).splitlines()
    assert all(len(line) <= 80 for line in lines if str(run.out) not in line)
    [head] = [line for line in lines if "random play" in line]
    assert head.split("  ")[-1].strip() == "dqn*"
    rows = {line[:17].strip(): line[17:].split() for line in lines if line[:17].strip()}
    assert len(rows["mean"]) == 5
    assert rows["mean"][2:] == ["1.7", "30.5", "401.2"]
    assert rows["human-normalised"][2:] == ["0%", "100%", "1387%"]
    assert rows["cut off"] == ["0", "0"]


@pytest.mark.parametrize("flag", ["--evaluate", "--play"])
def test_the_best_weights_are_played_with_the_settings_of_their_run(run: Config, flag: str) -> None:
    given = {flag[2:]: True, "continue_from": str(run.best_weights_path)}
    config, _ = make_config(given, find_checkpoint(given))
    assert config.network_width == 2
    assert config.environment == "Breakout-v4"


def test_the_best_weights_are_no_run_to_go_on_with(run: Config) -> None:
    assert find_checkpoint({"continue_from": str(run.best_weights_path)}) is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--random"], "--random says how to --evaluate"),
        (["--json"], "--json says how to --evaluate"),
        (["--evaluate", "--play"], "give one of them"),
        (["--evaluate", "--episodes", "0"], "--episodes 0 is out of range"),
        (["--eval-epsilon", "1.5"], "--eval-epsilon 1.5 is out of range"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.count("\n") == 1


def test_weights_of_another_game_are_told_in_one_line(
    run: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-env", "Pong-v4", "--evaluate", "-c", str(run.weights_path)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "does not fit" in line


def test_the_interval_of_equal_scores_is_one_point() -> None:
    assert interval([7.0] * 5, np.random.default_rng(0)) == (7, 7)
    assert interval([7.0], np.random.default_rng(0)) == (7, 7)


def test_the_interval_is_that_of_the_normal_approximation_where_there_is_much() -> None:
    scores = [0.0, 1.0] * 500
    low, high = interval(scores, np.random.default_rng(0))
    error = 0.5 / np.sqrt(1_000)
    assert low == pytest.approx(0.5 - 1.96 * error, abs=error / 10)
    assert high == pytest.approx(0.5 + 1.96 * error, abs=error / 10)
