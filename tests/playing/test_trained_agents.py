"""Trained agents: made by the benchmark, listed, named where weights are missing, and played."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from atari.games import find_game
from benchmarks import agents as publishing
from benchmarks import recipes
from dqn_atari import EPSILON, main, make_config, make_parser
from playing.players import load_player
from playing.trained_agents import (
    AGENTS,
    GREEDY,
    HEADINGS,
    NOTE_NAME,
    NOTED_GROUPS,
    PLAY_GROUPS,
    WITH_EPSILON,
    AgentError,
    Note,
    check_has_weights,
    listing,
    note_of,
    read_note,
    read_notes,
)
from settings.choices import Machine
from settings.config import Config
from settings.presets import PRESETS
from storage import weights as weights_file
from system.root import ROOT
from training.resuming import find_note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MOST_BYTES = 20_000_000  # of all agents together
# None of it is a default, so that only the note can tell.
SETTINGS = {
    "network_width": 2,
    "frame_stack_size": 3,
    "no_op_limit": 7,
    "envs": 2,
    "memory_size": 2000,
}
# Few long steps make a short game.
TINY = {
    **SETTINGS,
    "frame_skip": 16,
    "pretrain_transitions": 64,
    "eval_every": 40,
    "eval_episodes": 1,
}


def run(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives a folder with a run and, of this, an agent of Pong, trained for 80 steps."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipes.RECIPES, "tiny", TINY)
        words = ["--recipes", "tiny", "--seeds", "3", "--environments", "Pong-v4", "--steps", "80"]
        assert recipes.main(["run", str(folder / "runs"), *words]) == 0
    words = [str(run_in(folder)), "--into", str(folder / "agents"), "--episodes", "2"]
    assert publishing.main(words) == 0
    return folder


def run_in(folder: Path) -> Path:
    """Returns the folder of the run that `made` has."""
    return folder / "runs" / "Pong-v4" / "tiny" / "3"


@pytest.fixture
def agents(made: Path) -> Path:
    return made / "agents"


@pytest.fixture
def weights(agents: Path) -> Path:
    return agents / "Pong" / "Pong-v4_weights.h5"


def loaded(weights: Path, note: Note) -> list[np.ndarray]:
    """Returns an agent's weights, by way of the network that the note describes."""
    config = Config(**note.settings, continue_from=str(weights))
    with load_player(config, 1) as player:
        return player.agent.online.get_weights()


def check_complete(path: Path, note: Note) -> None:
    """Checks that a note has all that it promises, and that its weights fit what it says."""
    needed = {
        each.name for each in dataclasses.fields(Config) if each.metadata["group"] in PLAY_GROUPS
    }
    assert needed - note.settings.keys() == set(), "enter what it was trained with"
    assert path.parent.name == find_game(note.environment).name
    assert note.frames == note.steps * note.settings["frame_skip"] > 0
    assert all([note.commit, note.machine, note.beside])
    assert f"--seed {note.seed}" in note.train
    assert f"--steps {note.steps}" in note.train
    assert [each["epsilon"] for each in note.scores] == [GREEDY, WITH_EPSILON]
    for score, command in zip(note.scores, note.evaluate, strict=True):
        assert score["interval"][0] <= score["mean"] <= score["interval"][1]
        assert "human_normalised" in score
        assert f"--eval-epsilon {score['epsilon']} " in command
        assert f"--episodes {score['games']} " in command
    weights = path.with_name(note.weights)
    assert weights_file.run_of(weights)
    loaded(weights, note)
    types = set()
    with h5py.File(weights) as file:
        file.visititems(lambda _, item: types.add(str(getattr(item, "dtype", "float16"))))
    assert types == {"float16"}


def test_every_agent_that_ships_is_complete_and_all_are_small() -> None:
    assert sum(path.stat().st_size for path in AGENTS.rglob("*") if path.is_file()) < MOST_BYTES
    for path, note in read_notes().items():
        check_complete(path, note)
        assert [score["games"] for score in note.scores] == [100, 100]
        assert all(str(path.parent.relative_to(ROOT)) in command for command in note.evaluate)


# ---------------------------------------------------------------- made


def test_what_is_published_is_complete(agents: Path) -> None:
    [(path, note)] = read_notes(agents).items()
    check_complete(path, note)
    assert {name: note.settings[name] for name in SETTINGS} == SETTINGS
    assert {each.name for each in path.parent.iterdir()} == {NOTE_NAME, note.weights}


def test_published_weights_are_the_newest_in_half_precision(made: Path, weights: Path) -> None:
    note = read_note(weights.with_name(NOTE_NAME))
    assert note.steps == 80
    newest = loaded(run_in(made) / "Pong-v4_weights.h5", note)
    for ours, theirs in zip(loaded(weights, note), newest, strict=True):
        np.testing.assert_array_equal(ours, theirs.astype(np.float16).astype(np.float32))


def test_the_command_of_a_note_trains_the_same_weights(weights: Path, tmp_path: Path) -> None:
    note = read_note(weights.with_name(NOTE_NAME))
    python, program, *words = shlex.split(note.train)
    assert (python, program) == ("python3", "dqn_atari.py")
    assert main([*words, "--out", str(tmp_path)]) == 0
    again = loaded(tmp_path / "Pong-v4_weights.h5", note)
    for ours, theirs in zip(loaded(weights, note), again, strict=True):
        np.testing.assert_array_equal(ours, theirs.astype(np.float16).astype(np.float32))


def test_the_command_of_a_note_names_what_the_machine_would_choose() -> None:
    settings = dataclasses.asdict(Config(environment="Pong-v4", seed=3))
    words = publishing.training_flags(settings)
    given = vars(make_parser().parse_args(words))
    assert given == {
        name: settings[name]
        for name in ("environment", "envs", "memory_on_device", "steps", "seed", "precision")
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_the_command_of_a_note_stands_for_all_that_is_learnt_from(preset: str) -> None:
    given = {"environment": "Pong-v4", "seed": 3, "envs": 2, "preset": preset}
    config, _ = make_config(given)
    words = publishing.training_flags(dataclasses.asdict(config))
    again, _ = make_config(vars(make_parser().parse_args(words)))
    for each in dataclasses.fields(Config):
        # A noisy network has no use for epsilon.
        is_used = not (config.noisy and each.name in EPSILON)
        if each.metadata["group"] in NOTED_GROUPS and is_used:
            assert getattr(again, each.name) == getattr(config, each.name), each.name


def copy_of_run(made: Path, folder: Path, game: str = "Pong-v4", **about: object) -> Path:
    """Copies the folder of the run, with other things noted of it."""
    copy = shutil.copytree(run_in(made), folder / game)
    note = copy / "run.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), **about}))
    return copy


def part(**about: object) -> dict[str, object]:
    known = {"commit": "0123", "changed since": False, "processor": "Z80", "cores": 1, "jobs": 1}
    return {**known, **about}


@pytest.mark.parametrize(
    ("parts", "more", "expected"),
    [
        ([part()], [], ("0123", "1 core of Z80", "nothing that was started with it")),
        (
            [part(jobs=3, cores=2)] * 2,
            [],
            ("0123", "2 cores of Z80", "up to 2 more such runs"),
        ),
        (
            [part(jobs=2), {**part(), "commit": "4567", "changed since": True}],
            [],
            (
                "0123, 4567-dirty",
                "1 core of Z80",
                "up to 1 more such run, nothing that was started with it",
            ),
        ),
        ([part()], ["--beside", "a fan"], ("0123", "1 core of Z80", "a fan")),
    ],
)
def test_a_note_says_what_each_part_of_the_run_was_made_with(
    parts: list,
    more: list[str],
    expected: tuple[str, str, str],
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = copy_of_run(made, tmp_path, parts=parts)
    [scored] = [note.scores for note in read_notes(made / "agents").values()]
    monkeypatch.setattr(publishing, "_measured", lambda epsilon, _: scored[epsilon > 0])
    monkeypatch.setattr(publishing, "_save_half", lambda config, target: target.touch())
    assert publishing.main([str(run), "--into", str(tmp_path / "agents"), *more]) == 0
    [note] = read_notes(tmp_path / "agents").values()
    assert (note.commit, note.machine, note.beside) == expected


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda run: (run / "run.json").unlink(), "is no folder of a run of recipes.py"),
        (lambda run: shutil.rmtree(run / "Pong-v4_checkpoint"), "it has not been trained"),
    ],
    ids=["without a note", "without a checkpoint"],
)
def test_a_run_that_cannot_be_published_is_told_in_one_line(
    spoil: Callable[[Path], None],
    expected: str,
    made: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = copy_of_run(made, tmp_path)
    spoil(run)
    assert publishing.main([str(run), "--into", str(tmp_path / "agents")]) == 1
    assert re.fullmatch(f"agents.py: error: .*{expected}.*\n", capsys.readouterr().err)
    assert not (tmp_path / "agents").exists()


def test_two_runs_of_a_game_are_not_published_over_one_another(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = copy_of_run(made, tmp_path, "Pong-v0", environment="Pong-v0")
    words = [str(run_in(made)), str(other), "--into", str(tmp_path / "agents")]
    assert publishing.main(words) == 1
    assert re.fullmatch("agents.py: error: .* are of one game: .*\n", capsys.readouterr().err)
    assert not (tmp_path / "agents").exists()


# ---------------------------------------------------------------- listed


def test_the_list_has_a_line_for_each_agent(agents: Path) -> None:
    head, line, _, words, command = listing(agents)
    assert head.split() == " ".join(HEADINGS).split()
    note = read_note(agents / "Pong" / NOTE_NAME)
    means = [f"{each['mean']:.1f}" for each in note.scores]
    assert line.split()[:3] + line.split()[4:6] == ["Pong", "Pong-v4", "80", *means]
    assert line.endswith("%")
    assert len(head) <= 80
    assert len(words) <= 80
    assert shlex.split(command)[2:] == ["-p", "-c", str(agents / "Pong" / note.weights)]


@pytest.mark.parametrize("folder", [".", "missing"])
def test_the_list_of_no_agents_is_one_line(folder: str, tmp_path: Path) -> None:
    [line] = listing(tmp_path / folder)
    assert line == f"there are no trained agents in {tmp_path / folder}"


def test_the_program_lists_what_ships_from_any_folder_and_quickly(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import dqn_atari\n"
        "try: dqn_atari.main(['--list-agents'])\n"
        "except SystemExit as ended: print(ended.code)\n"
        "heavy = ('keras', 'tensorflow', 'ale_py', 'cv2', 'numpy', 'h5py')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = run("-c", code, cwd=tmp_path)
    *lines, status, loaded_modules = done.stdout.splitlines()
    assert (status, loaded_modules, done.stderr) == ("0", "[]", "")
    games = [line.split()[0] for line in lines[1 : lines.index("")]] if "" in lines else []
    assert games == [path.parent.name for path in read_notes()]


def test_the_list_of_a_note_that_cannot_be_used_is_one_line(program: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(program.parent, tmp_path / "copy")
    (copy / "res" / "agents" / "Pong" / NOTE_NAME).write_text("{")
    status, output, error = in_folder(copy / program.name, ["--list-agents"], tmp_path)
    assert (status, output, error.count("\n")) == (2, "", 1)
    assert "agent.json is no note of an agent of this program" in error


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"weights": "w.h5"}', "no JSON", '"text"', "null"]
)
def test_a_file_that_is_no_note_is_told_in_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "Pong").mkdir()
    (tmp_path / "Pong" / NOTE_NAME).write_text(content)
    for refused in (listing, lambda folder: note_of(folder / "Pong" / "w.h5")):
        with pytest.raises(AgentError, match=r"agent\.json is no note of an agent"):
            refused(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"frame_skip": "four"}, {"network": "unknown"}, {"of_later": 1}, {"frame_skip": 0}],
)
def test_a_note_with_settings_that_are_none_is_refused(
    change: dict, agents: Path, tmp_path: Path
) -> None:
    document = json.loads((agents / "Pong" / NOTE_NAME).read_text())
    document["settings"] |= change
    (tmp_path / NOTE_NAME).write_text(json.dumps(document))
    with pytest.raises(AgentError):
        read_note(tmp_path / NOTE_NAME)


# ---------------------------------------------------------------- played


@pytest.mark.parametrize("flags", [{"play": True}, {"evaluate": True}, {}])
def test_settings_come_from_the_note_and_flags_win(flags: dict, weights: Path) -> None:
    given = {**flags, "continue_from": str(weights), "no_op_limit": 5}
    config, origins = make_config(given, note=find_note(given))
    assert {name: getattr(config, name) for name in SETTINGS} == {**SETTINGS, "no_op_limit": 5}
    assert (config.environment, config.seed) == ("Pong-v4", None)
    assert {origins[name] for name in SETTINGS} == {"agent", "given"}
    assert origins["no_op_limit"] == "given"
    assert "discount" not in origins


def test_a_default_that_has_changed_since_leaves_an_agent_as_it_was(weights: Path) -> None:
    note = find_note({"continue_from": str(weights)})
    assert note
    assert note.settings["screen"] == Config().screen == "resize"
    given = {"continue_from": str(weights)}
    note.settings["screen"] = "crop"  # as if "resize" had come later
    config, origins = make_config(given, note=note)
    assert (config.screen, origins["screen"]) == ("crop", "agent")


@pytest.mark.parametrize("trained", ["float32", "bfloat16"])
@pytest.mark.parametrize("here", ["float32", "bfloat16"])
def test_precision_is_that_of_the_note_where_the_machine_has_it(
    trained: str, here: str, weights: Path
) -> None:
    machine = Machine(cores=2, has_bfloat16=here == "bfloat16")
    given = {"continue_from": str(weights)}
    note = find_note(given)
    assert note
    note.settings["precision"] = trained
    config, _ = make_config(given, note=note, machine=machine)
    assert config.precision == ("bfloat16" if trained == here == "bfloat16" else "float32")


def test_weights_alone_and_other_weights_have_no_note(weights: Path, tmp_path: Path) -> None:
    assert find_note({"continue_from": str(weights), "weights_only": True}) is None
    shutil.copy(weights.with_name(NOTE_NAME), tmp_path)
    assert find_note({"continue_from": str(tmp_path / "other_weights.h5")}) is None
    assert find_note({}) is None
    assert find_note({"evaluate": True, "random_play": True}) is None


def command_in(error: str) -> list[str]:
    """Returns the words of the command that an error ends with, without the interpreter."""
    return shlex.split(error.rpartition(": ")[2])[1:]


@pytest.mark.parametrize("mode", ["play", "evaluate"])
def test_without_weights_the_agent_of_the_game_is_named(
    mode: str, agents: Path, weights: Path, tmp_path: Path
) -> None:
    config = Config(environment="ALE/Pong-v5", out=str(tmp_path), **{mode: True})
    with pytest.raises(AgentError) as refused:
        check_has_weights(config, "Pong", [f"--{mode}", "--episodes", "2"], agents)
    assert "Pong-v5_weights.h5 does not exist; there is a trained agent of Pong: " in str(
        refused.value
    )
    words = command_in(str(refused.value))
    assert words[1:] == [f"--{mode}", "--episodes", "2", "-c", str(weights)]


@pytest.mark.parametrize(
    "settings",
    [
        {"play": False},
        {"evaluate": True, "play": False, "random_play": True},
        {"continue_from": "w.h5"},
        {"environment": "Breakout-v4"},
    ],
    ids=str,
)
def test_no_agent_is_named_where_none_is_needed_or_there(
    settings: dict, agents: Path, tmp_path: Path
) -> None:
    wanted = {"environment": "Pong-v4", "out": str(tmp_path), "play": True, **settings}
    config = Config(**wanted)
    check_has_weights(config, find_game(config.environment).name, [], agents)


def test_no_agent_is_named_beside_weights(agents: Path, tmp_path: Path) -> None:
    (tmp_path / "Pong-v4_weights.h5").touch()
    config = Config(environment="Pong-v4", out=str(tmp_path), play=True)
    check_has_weights(config, "Pong", [], agents)


@pytest.fixture(scope="module")
def program(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives a copy of the program that ships with the agents that were made."""
    folder = tmp_path_factory.mktemp("program")
    for path in ROOT.glob("*.py"):
        shutil.copy(path, folder)
    for path in ROOT.glob("*/__init__.py"):
        shutil.copytree(path.parent, folder / path.parent.name)
    shutil.copytree(made / "agents", folder / "res" / "agents")
    shutil.copy(ROOT / "res" / "published_scores.csv", folder / "res")
    return folder / "dqn_atari.py"


def in_folder(program: Path, words: Sequence[str], cwd: Path) -> tuple[int, str, str]:
    done = run(program, *words, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


def test_the_command_that_is_named_plays(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = program.parent
    # Without sticky actions, as its id has it, though Pong-v0 is the default.
    status, output, error = in_folder(program, ["-p", "-env", "Pong-v4", "--episodes", "1"], folder)
    assert (status, output, error.count("\n")) == (1, "", 1)
    words = command_in(error)
    assert words == [
        "dqn_atari.py", "-p", "-env", "Pong-v4", "--episodes", "1",
        "-c", "res/agents/Pong/Pong-v4_weights.h5",
    ]  # fmt: skip
    before = sorted(folder.rglob("*.h5"))
    monkeypatch.chdir(folder)
    assert main(words[1:]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "game 1: score -" in captured.out
    assert sorted(folder.rglob("*.h5")) == before


def test_training_on_from_an_agent_writes_beside_it_nothing(
    agents: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {path: path.read_bytes() for path in agents.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    assert main(["-c", str(weights), "--steps", "40", "--no-progress"]) == 0
    output, error = capsys.readouterr()
    assert error == ""
    assert re.search(r"network-width +2 +\(agent\)", output)
    assert "restored from" not in output
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"Pong-v4_log.txt", "Pong-v4_weights.h5", "Pong-v4_checkpoint"}
    assert {path: path.read_bytes() for path in agents.rglob("*") if path.is_file()} == before


def test_a_damaged_note_ends_in_one_line(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(weights, tmp_path)
    (tmp_path / NOTE_NAME).write_text("{")
    assert main(["-p", "-c", str(tmp_path / weights.name)]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert f"{NOTE_NAME} is no note" in captured.err
