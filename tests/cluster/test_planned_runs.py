"""The runs of a sweep as their files tell of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.planned_runs import TAIL_BYTES, PlannedRun, Progress, last_episodes, run_folder
from settings.config import Config
from storage.episode_log import format_episode, read_log
from sweep import plan
from tests.helpers.logs import STEPS, episode, write_log

if TYPE_CHECKING:
    from pathlib import Path


def planned(folder: Path, **settings: object) -> PlannedRun:
    return PlannedRun("a group", (), Config(out=str(folder), seed=2, **settings))


def test_each_run_has_a_folder_and_a_command_of_its_own(tmp_path: Path) -> None:
    games, groups = ["Pong-v4", "ALE/Breakout-v5"], {"a": [], "b c": ["--no-double"]}
    runs = plan(games, groups, 3, tmp_path, ["--steps", "700"], 2)
    assert len({run.folder for run in runs}) == len({run.name for run in runs}) == 12
    # Seeds come one after another, so that the first results are of all games and groups.
    assert [run.seed for run in runs] == [1] * 4 + [2] * 4 + [3] * 4
    last = runs[-1]
    assert last.folder == run_folder(tmp_path, "ALE/Breakout-v5", "b c", 3)
    assert last.folder == tmp_path / "ALE-Breakout-v5" / "b c" / "3"
    assert (last.config.steps, last.config.double, last.config.seed) == (700, False, 3)
    words = last.arguments()
    assert words[-6:] == [
        *["--environment", "ALE/Breakout-v5", "--seed", "3", "--out", str(last.folder)]
    ]
    assert {"--steps", "700", "--no-double", "--envs", "--precision"} < {*words}
    assert not any(tmp_path.iterdir())


def test_what_suits_a_machine_is_chosen_once_for_all_runs(tmp_path: Path) -> None:
    """Else runs of one group would differ by the machine that they came to."""
    [run] = plan(["Pong-v4"], {"a": []}, 1, tmp_path, [], 24)
    assert run.config.envs == 64
    assert run.arguments()[:2] == ["--envs", "64"]
    [run] = plan(["Pong-v4"], {"a": []}, 1, tmp_path, ["--envs", "3"], 24)
    assert run.config.envs == 3


def test_a_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    run = planned(tmp_path)
    assert "--continue" not in run.arguments()
    run.config.checkpoint_path.mkdir()
    assert run.arguments()[-2:] == ["--continue", str(run.config.weights_path)]
    assert not run.is_done()


def test_how_far_a_run_is(tmp_path: Path) -> None:
    run = planned(tmp_path, steps=1_000)
    assert run.progress() is None
    episodes = [episode(number, float(number)) for number in range(4)]
    write_log(run.config.log_path, episodes)
    # 100 steps in 10 s, and 400 are done.
    assert run.progress() == Progress(4 * STEPS, 1.5, pytest.approx(60.0))
    # Games come first: one is left.
    few = dataclasses.replace(run, config=dataclasses.replace(run.config, games=5))
    assert few.progress() == Progress(4 * STEPS, 1.5, pytest.approx(10.0))


def test_the_time_left_is_not_told_where_it_is_not_known(tmp_path: Path) -> None:
    config = planned(tmp_path).config
    assert Progress.of([episode(0, 1.0)], config) == Progress(STEPS, 1.0, None)
    assert Progress.of([episode(0), episode(1)], config) == Progress(2 * STEPS, None, None)
    assert Progress.of([], config) is None


def test_the_score_is_that_of_the_newest_100_games(tmp_path: Path) -> None:
    episodes = [episode(n, -21.0 if n < 50 else 5.0) for n in range(150)]
    progress = Progress.of(episodes, planned(tmp_path).config)
    assert progress is not None
    assert progress.score == 5


@given(games=st.integers(1, 900), cut=st.integers(0, 120))
def test_the_tail_of_a_log_is_what_the_whole_log_ends_in(
    games: int, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A line that is being written is left out."""
    path = tmp_path_factory.getbasetemp() / "Pong-v4_log.txt"
    text = "".join(f"{format_episode(episode(n, -20.5))}\n" for n in range(games))
    path.write_text(text + text[:cut])
    whole = read_log(path).episodes
    tail = last_episodes(path)
    assert tail == whole[-len(tail) :]
    assert len(tail) == games or len(text) > TAIL_BYTES / 2
    assert len(tail) >= min(games, 100)


def test_settings_of_a_run_are_checked_before_it_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        plan(["Pong-v4"], {"a": ["--n-step", "many"]}, 1, tmp_path, [], 2)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error == "sweep.py: error: argument --n-step: invalid int value: 'many'\n"
