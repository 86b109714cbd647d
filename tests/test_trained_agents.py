"""Trained agents: made by the benchmark, listed, named where weights are missing, and played."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

import weights_file
from agent import make_agent
from config import Config
from dqn_atari import main, make_config
from games import find_game
from preprocessing import make_environments, state_shape
from resuming import find_note
from trained_agents import (
    AGENTS,
    GREEDY,
    HEADINGS,
    NOTE_NAME,
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

ROOT = Path(__file__).parent.parent
BENCHMARK = ROOT / "benchmarks" / "agents.py"
MOST_BYTES = 20_000_000  # of all agents together
# None of it is a default, so that only the note can tell.
FLAGS = "--network-width 2 -fss 3 -n 7 -m 2000 -pre 64 --envs 4 --eval-every 40 --eval-episodes 1"
SETTINGS = {"network_width": 2, "frame_stack_size": 3, "nothing": 7, "envs": 4, "memory": 2000}


def run(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives a folder with runs and, of these, agents: one of Pong, trained for 80 steps."""
    folder = tmp_path_factory.mktemp("made")
    flags = f"{FLAGS} --steps 80"
    for words in (
        ("train", folder / "runs", "--games", "Pong", "--minutes", 9, "--flags", flags),
        ("publish", folder / "runs", "--into", folder / "agents", "--episodes", 2),
    ):
        done = run(BENCHMARK, *words)
        assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture
def agents(made: Path) -> Path:
    return made / "agents"


@pytest.fixture
def weights(agents: Path) -> Path:
    return agents / "Pong" / "Pong-v4_weights.h5"


def loaded(weights: Path, note: Note) -> list[np.ndarray]:
    """Returns an agent's weights, by way of the network that the note describes."""
    config = Config(**note.settings)
    rng = np.random.default_rng(0)
    environments = make_environments(config, 1, rng, shown=False)
    environments.close()
    shape = state_shape(config.screen, config.frame_stack_size)
    agent = make_agent(config, shape, environments.num_actions, rng)
    agent.load_weights(weights)
    return agent.online.get_weights()


def check_complete(path: Path, note: Note) -> None:
    """Checks that a note has all that it promises, and that its weights fit what it says."""
    needed = {
        each.name for each in dataclasses.fields(Config) if each.metadata["group"] in PLAY_GROUPS
    }
    assert needed - note.settings.keys() == set(), "enter what it was trained with"
    assert path.parent.name == find_game(note.environment).name
    assert note.frames == note.steps * note.settings["frame_skip"] > 0
    assert note.steps <= note.run_steps
    assert all([note.chosen, note.commit, note.machine, note.beside])
    assert f"--seed {note.seed}" in note.train and f"--steps {note.steps}" in note.train
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


def test_published_weights_are_those_of_the_best_evaluation_in_half_precision(
    made: Path, weights: Path
) -> None:
    note = read_note(weights.with_name(NOTE_NAME))
    # Of evaluations that are alike the first is the best.
    assert (note.steps, note.run_steps) == (40, 80)
    assert "the best of the run's evaluations, 2 with 1 games each" in note.chosen
    best = loaded(made / "runs" / "Pong-v4" / "Pong-v4_best_weights.h5", note)
    for ours, theirs in zip(loaded(weights, note), best, strict=True):
        np.testing.assert_array_equal(ours, theirs.astype(np.float16).astype(np.float32))


def test_the_command_of_a_note_trains_the_same_weights(weights: Path, tmp_path: Path) -> None:
    note = read_note(weights.with_name(NOTE_NAME))
    python, *words = shlex.split(note.train)
    assert python == "python3"
    assert run(ROOT / words[0], *words[1:], "--out", tmp_path).returncode == 0
    again = loaded(tmp_path / "Pong-v4_weights.h5", note)
    for ours, theirs in zip(loaded(weights, note), again, strict=True):
        np.testing.assert_array_equal(ours, theirs.astype(np.float16).astype(np.float32))


def test_training_goes_on_to_more_minutes_from_its_checkpoint_and_stops_there(
    tmp_path: Path,
) -> None:
    # Up to an episode's end: Pong's have 800 steps at least, in each of 4 environments.
    flags = f"{FLAGS} --eval-every 0 --train-every 100"
    steps, minutes = [], 0.02
    for _ in range(3):
        words = ("train", tmp_path, "--games", "Pong", "--minutes", minutes, "--flags", flags)
        done = run(BENCHMARK, *words)
        assert (done.returncode, done.stderr) == (0, "")
        log = (tmp_path / "Pong-v4" / "Pong-v4_log.txt").read_text()
        steps.append(int(re.findall(r"Steps: (\d+)", log)[-1]))
        seconds = float(re.findall(r"Seconds: ([\d.]+)", log)[-1])
        assert seconds >= 60 * minutes
        if len(steps) == 2:
            minutes = (seconds + 1) / 60
    assert steps[0] == steps[1] < steps[2]
    output = (tmp_path / "Pong-v4" / "output.txt").read_text()
    assert output.count("restored from") == 1


# ---------------------------------------------------------------- listed


def test_the_list_has_a_line_for_each_agent(agents: Path) -> None:
    head, line, _, words, command = listing(agents)
    assert head.split() == " ".join(HEADINGS).split()
    note = read_note(agents / "Pong" / NOTE_NAME)
    means = [f"{each['mean']:.1f}" for each in note.scores]
    assert line.split()[:3] + line.split()[4:6] == ["Pong", "Pong-v4", "40", *means]
    assert line.endswith("%")
    assert len(head) <= 80 and len(words) <= 80
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
    given = {**flags, "continue_from": str(weights), "nothing": 5}
    config, origins = make_config(given, note=find_note(given))
    assert {name: getattr(config, name) for name in SETTINGS} == {**SETTINGS, "nothing": 5}
    assert (config.environment, config.seed) == ("Pong-v4", None)
    assert {origins[name] for name in SETTINGS} == {"agent", "given"}
    assert origins["nothing"] == "given"
    assert "gamma" not in origins


def test_a_default_that_has_changed_since_leaves_an_agent_as_it_was(weights: Path) -> None:
    note = find_note({"continue_from": str(weights)})
    assert note and note.settings["screen"] == Config().screen == "resize"
    given = {"continue_from": str(weights)}
    note.settings["screen"] = "crop"  # as if "resize" had come later
    config, origins = make_config(given, note=note)
    assert (config.screen, origins["screen"]) == ("crop", "agent")


def test_weights_alone_and_other_weights_have_no_note(weights: Path, tmp_path: Path) -> None:
    assert find_note({"continue_from": str(weights), "weights_only": True}) is None
    shutil.copy(weights.with_name(NOTE_NAME), tmp_path)
    assert find_note({"continue_from": str(tmp_path / "other_weights.h5")}) is None
    assert find_note({}) is None
    assert find_note({"evaluate": True, "random": True}) is None


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
        {"evaluate": True, "play": False, "random": True},
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
    shutil.copytree(made / "agents", folder / "res" / "agents")
    shutil.copy(ROOT / "res" / "published_scores.csv", folder / "res")
    return folder / "dqn_atari.py"


def in_folder(program: Path, words: Sequence[str], cwd: Path) -> tuple[int, str, str]:
    done = run(program, *words, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


def test_the_command_that_is_named_plays(program: Path) -> None:
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
    status, output, error = in_folder(program, words[1:], folder)
    assert (status, error) == (0, "")
    assert "game 1: score -" in output
    assert sorted(folder.rglob("*.h5")) == before


def test_training_on_from_an_agent_writes_beside_it_nothing(program: Path, tmp_path: Path) -> None:
    folder = program.parent / "res" / "agents"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    weights = folder / "Pong" / "Pong-v4_weights.h5"
    words = ["-c", str(weights), "--steps", "40", "--no-progress"]
    status, output, error = in_folder(program, words, tmp_path)
    assert (status, error) == (0, "")
    assert re.search(r"network-width +2 +\(agent\)", output)
    assert "restored from" not in output
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"Pong-v4_log.txt", "Pong-v4_weights.h5", "Pong-v4_checkpoint"}
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_damaged_note_ends_in_one_line(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(weights, tmp_path)
    (tmp_path / NOTE_NAME).write_text("{")
    assert main(["-p", "-c", str(tmp_path / weights.name)]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert f"{NOTE_NAME} is no note" in captured.err
