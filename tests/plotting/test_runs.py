"""Which logs are found, and which runs are joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from plotting.runs import find_logs, grouped, read_run
from storage.episode_log import LogError
from tests.helpers import logs
from tests.helpers.logs import episode, write_log, write_run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five logs in folders, of which one was set aside, in the current folder."""
    for name in ("a/1/Pong-v4", "a/2/Pong-v4", "b/Pong-v4", "ALE-Pong-v5"):
        write_log(tmp_path / f"{name}_log.txt", [episode(0, 1.0)])
    write_log(tmp_path / "b/Pong-v4_log.1.txt", [episode(0, 1.0)])
    (tmp_path / "b/notes.txt").write_text("no log")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["b/Pong-v4_log.txt"], ["b/Pong-v4_log.txt"]),
        (["b"], ["b/Pong-v4_log.txt"]),
        (["a"], ["a/1/Pong-v4_log.txt", "a/2/Pong-v4_log.txt"]),
        (["a/*"], ["a/1/Pong-v4_log.txt", "a/2/Pong-v4_log.txt"]),
        (["a/*/*_log.txt"], ["a/1/Pong-v4_log.txt", "a/2/Pong-v4_log.txt"]),
        (["b/*_log.*"], ["b/Pong-v4_log.1.txt", "b/Pong-v4_log.txt"]),
        (["b", "a/2", "b/Pong-v4_log.txt"], ["b/Pong-v4_log.txt", "a/2/Pong-v4_log.txt"]),
    ],
)
def test_files_folders_and_patterns_give_each_log_once(
    names: list[str], found: list[str], tree: Path
) -> None:
    assert [str(path) for path in find_logs(names)] == found


@pytest.mark.parametrize(
    ("name", "words"),
    [("empty", "empty is a folder without a log"), ("c/*", "c/*: no log has such a name")],
)
def test_what_gives_no_log_is_refused_in_one_line(name: str, words: str, tree: Path) -> None:
    with pytest.raises(LogError, match="^" + words.replace("*", r"\*")):
        find_logs([name])


def test_pattern_that_is_the_name_of_a_file_is_that_file(tree: Path) -> None:
    log = write_log(tree / "a[1]_log.txt", [episode(0, 1.0)])
    assert find_logs([str(log)]) == {log: True}


def labels_of(*logs: Path) -> list[str]:
    return [group.label for group in grouped(map(read_run, logs))]


def test_runs_whose_settings_differ_in_the_seed_and_in_files_are_joined(tmp_path: Path) -> None:
    logs = [
        write_run(tmp_path / name, [1.0], seed=seed, checkpoints_kept=seed)
        for seed, name in enumerate(["x", "other"], start=1)
    ]
    assert labels_of(*logs) == ["Pong-v4 (2 runs)"]


def test_runs_of_other_settings_are_told_apart_by_these_settings_alone(tmp_path: Path) -> None:
    logs = [
        write_run(tmp_path / "1", [1.0], n_step=1, seed=1),
        write_run(tmp_path / "2", [1.0], n_step=1, seed=2),
        write_run(tmp_path / "3", [1.0], n_step=3, double=False),
    ]
    assert labels_of(*logs) == ["--n-step 1 --double (2 runs)", "--n-step 3 --no-double"]


def test_older_checkpoint_without_a_setting_has_its_default(tmp_path: Path) -> None:
    new = read_run(write_run(tmp_path / "1", [1.0]))
    assert new.settings
    older = {name: value for name, value in new.settings.items() if name != "n_step"}
    assert new.likeness == type(new)(new.path, new.table, older, ()).likeness


def test_without_checkpoints_folders_of_one_name_but_for_a_number_are_joined(
    tmp_path: Path,
) -> None:
    names = ("adam/seed-1", "adam/seed-2", "rmsprop/seed-1", "rmsprop/seed")
    logs = [write_log(tmp_path / name / "Pong-v4_log.txt", [episode(0, 1.0)]) for name in names]
    assert labels_of(*logs) == ["adam/seed (2 runs)", "rmsprop/seed-1", "rmsprop/seed"]


def test_other_games_are_other_groups(tmp_path: Path) -> None:
    logs = [
        write_log(tmp_path / f"{name}_log.txt", [episode(0, 1.0)]) for name in ("A-v4", "ALE-A-v5")
    ]
    assert labels_of(*logs) == ["A-v4", "ALE/A-v5"]
    logs = [
        write_run(tmp_path / "r", [1.0], environment=name) for name in ("Pong-v4", "ALE/Pong-v5")
    ]
    assert labels_of(*logs) == ["Pong-v4", "ALE/Pong-v5"]


def test_labels_are_never_alike(tmp_path: Path) -> None:
    logs = [write_run(tmp_path / "a", [1.0]), write_log(tmp_path / "Pong-v4_log.txt", [episode(0)])]
    labels = labels_of(*logs)
    assert len(set(labels)) == 2


def test_settings_of_older_checkpoints_are_known_by_their_names_of_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "saved_settings", lambda _: {"gamma": 0.5})
    assert read_run(write_run(tmp_path, [1.0])).settings == {"discount": 0.5}


def test_files_that_were_set_aside_together_are_read_together(tmp_path: Path) -> None:
    log = write_run(tmp_path, [1.0], evaluations=[5.0], discount=0.5)
    for name in ("log.txt", "checkpoint", "evaluations.csv"):
        path = tmp_path / f"Pong-v4_{name}"
        path.rename(path.with_stem(f"{path.stem}.1"))
    write_run(tmp_path, [1.0], evaluations=[7.0], discount=0.9)
    earlier, later = read_run(tmp_path / "Pong-v4_log.1.txt"), read_run(log)
    assert (earlier.settings or {})["discount"] == 0.5
    assert (later.settings or {})["discount"] == 0.9
    assert [run.evaluations[0].mean for run in (earlier, later)] == [5.0, 7.0]
    assert earlier.environment == "Pong-v4"


def test_damaged_files_beside_a_log_are_said_and_left_out(tmp_path: Path) -> None:
    log = write_run(tmp_path, [1.0], evaluations=[5.0])
    state = tmp_path / "Pong-v4_checkpoint" / "000001" / "run"
    state.write_bytes(state.read_bytes()[:-1] + b"?")
    (tmp_path / "Pong-v4_evaluations.csv").write_text("hello\n")
    run = read_run(log)
    assert (run.settings, list(run.evaluations)) == (None, [])
    assert len(run.notes) == 2
    assert "no checkpoint in" in run.notes[0]
    assert "is no file of evaluations" in run.notes[1]
    assert not any("\n" in note for note in run.notes)
