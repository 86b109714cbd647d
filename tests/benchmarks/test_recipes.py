"""Recipes: trained to their end however often they are stopped, and shown as they went."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import agents, recipe_table, recipes
from benchmarks.recipe_settings import PEER, RECIPES, flags
from dqn_atari import make_config, make_parser
from settings.config import Config
from settings.presets import PRESETS
from storage.arrays import save
from storage.checkpoints import RUN_KIND, VERSION
from system.root import ROOT
from tests.helpers.logs import episode, write_log, write_run
from tests.helpers.outcomes import assert_same

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from storage.episode_log import Episode

TINY: dict[str, Any] = {
    "envs": 2,
    "memory_size": 3_000,
    "batch_size": 8,
    "pretrain_transitions": 100,
    "train_every": 16,
    "target_update_period": 160,
    "explore_steps": 600,
}
STEPS = 1_000
# The command line with one more recipe, as a process.
DRIVER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from benchmarks import recipes
recipes.RECIPES["tiny"] = {TINY!r}
sys.exit(recipes.main())
"""
# What stands in for the program where only its process matters.
ENDS_ON_SIGTERM = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "tiny", TINY)


def command(folder: Path, *more: str) -> list[str]:
    """Returns the arguments that train the tiny recipe."""
    length = [] if "--minutes" in more else ["--steps", str(STEPS)]
    game = [] if "--environments" in more else ["--environments", "Breakout-v0"]
    return ["run", str(folder), "--recipes", "tiny", "--seeds", "3", *game, *length, *more]


def run_folder(folder: Path) -> Path:
    return folder / "Breakout-v0" / "tiny" / "3"


def note(folder: Path) -> dict[str, Any]:
    return json.loads((run_folder(folder) / "run.json").read_text())


def stopped_while_training(folder: Path) -> subprocess.CompletedProcess[str]:
    """Starts the command, sends it Ctrl-C's signal when it has begun to train, and waits."""
    arguments = [sys.executable, "-c", DRIVER, *command(folder)]
    output = run_folder(folder) / "output.txt"
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (output.exists() and "training: from step" in output.read_text()):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, printed, errors)


# ---------------------------------------------------------------- running


def test_an_interrupted_run_goes_on_and_ends_like_one_that_was_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert recipes.main(command(whole)) == 0
    stopped = stopped_while_training(parted)
    assert (stopped.returncode, stopped.stderr) == (130, "")
    assert note(parted)["done"] == {}
    assert recipes.main(command(parted)) == 0
    assert "going on after step" in (run_folder(parted) / "output.txt").read_text()
    assert_same(run_folder(whole), run_folder(parted))
    assert note(whole)["done"] == note(parted)["done"] == {"steps": STEPS}
    assert [len(note(folder)["parts"]) for folder in (whole, parted)] == [1, 2]

    # What has finished is not started again.
    capsys.readouterr()
    assert recipes.main(command(parted)) == 0
    assert capsys.readouterr().out == f"{run_folder(parted)}: finished before\n"
    assert len(note(parted)["parts"]) == 2

    # Its updates are those that the table tells.
    [result] = recipe_table.read_results(parted)
    saved = recipes.newest(result.run.path.with_name("Breakout-v0_checkpoint"))[0]
    assert saved
    assert (result.steps, result.updates()) == (STEPS, STEPS // 16)
    assert saved.attributes["training"]["step"] == STEPS


def test_a_run_is_ended_when_its_minutes_are_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program.py"
    program.write_text(ENDS_ON_SIGTERM)
    monkeypatch.setattr(recipes, "PROGRAM", program)
    started = time.monotonic()
    assert recipes.main(command(tmp_path, "--minutes", "0.03")) == 0
    assert 1.8 <= time.monotonic() - started < 30
    assert note(tmp_path)["done"] == {"minutes": 0.03}


def test_a_run_goes_on_to_more_minutes_less_those_of_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"import sys; print(sys.argv, flush=True)\n{ENDS_ON_SIGTERM}")
    monkeypatch.setattr(recipes, "PROGRAM", program)
    out = write_result(tmp_path, "tiny", 3, settings=TINY, environment="Breakout-v0")
    written = note(tmp_path)
    (out / "run.json").write_text(json.dumps({**written, "done": {"minutes": 60}}))
    saved = out / "Breakout-v0_checkpoint" / "000001" / "run"
    saved.parent.mkdir(parents=True)
    progress = {"step": 9, "seconds": 3_600.0}
    attributes = {"training": progress, "version": VERSION, "memory saved": False}
    save(saved, RUN_KIND, attributes, {})
    assert recipes.main(command(tmp_path, "--minutes", "60")) == 0
    assert not (out / "output.txt").exists()
    started = time.monotonic()
    assert recipes.main(command(tmp_path, "--minutes", "60.03")) == 0
    assert 1.8 <= time.monotonic() - started < 30
    weights = str(out / "Breakout-v0_weights.h5")
    assert f"'--continue', '{weights}'" in (out / "output.txt").read_text()
    assert note(tmp_path)["done"] == {"minutes": 60.03}


def test_a_run_that_fails_is_said_to_and_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys; sys.exit('no such game')")
    monkeypatch.setattr(recipes, "PROGRAM", program)
    assert recipes.main(command(tmp_path)) == 1
    assert "failed with status 1" in capsys.readouterr().out
    assert (run_folder(tmp_path) / "output.txt").read_text() == "no such game\n"
    assert note(tmp_path)["done"] == {}


def test_each_game_recipe_and_seed_has_a_folder_of_its_own(tmp_path: Path) -> None:
    many = ["--environments", "ALE/Pong-v5", "Qbert-v4", "--recipes", "tiny", "default"]
    words = command(tmp_path, *many, "--seeds", "3", "4")
    found = recipes.wanted(recipes.parser().parse_args(words))
    assert [str(run.folder.relative_to(tmp_path)) for run in found] == [
        f"{game}/{recipe}/{seed}"
        for game in ("ALE-Pong-v5", "Qbert-v4")
        for seed in (3, 4)
        for recipe in ("tiny", "default")
    ]
    for run in found:
        trained = run.training_command()
        assert trained[trained.index("--environment") + 1] == run.environment


def test_a_game_that_there_is_not_is_told_before_any_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recipes.main(command(tmp_path, "--environments", "Pong-v4", "Breakou-v4")) == 2
    assert re.fullmatch("recipes.py: error: .*'Breakou-v4'.*\n", capsys.readouterr().err)
    assert not [*tmp_path.iterdir()]


def test_each_of_several_jobs_has_cores_of_its_own_over_all_games(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = os.sched_getaffinity(0)
    if len(ours) < 2:
        pytest.skip("there is one core")
    program = tmp_path / "program.py"
    program.write_text("import os; print(sorted(os.sched_getaffinity(0)))")
    monkeypatch.setattr(recipes, "PROGRAM", program)
    games = ["--environments", "Breakout-v0", "Pong-v4"]
    assert recipes.main(command(tmp_path, *games, "--jobs", "2")) == 0
    outputs = tmp_path.glob("*/tiny/3/output.txt")
    used = [set(json.loads(output.read_text())) for output in outputs]
    assert len(used) == 2
    assert all(len(cores) == len(ours) // 2 for cores in used)
    assert not used[0] & used[1]
    assert os.sched_getaffinity(0) == ours
    assert note(tmp_path)["parts"][0]["cores"] == len(ours) // 2


def test_a_folder_of_other_settings_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_result(tmp_path, "tiny", 3, settings={**TINY, "envs": 8}, environment="Breakout-v0")
    assert recipes.main(command(tmp_path)) == 1
    assert re.fullmatch("recipes.py: error: .* other settings.*\n", capsys.readouterr().err)


@pytest.mark.parametrize("module", [recipes, agents], ids=lambda module: module.__name__)
def test_every_command_in_the_documentation_can_be_parsed(module: ModuleType) -> None:
    assert module.__doc__
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    texts = [module.__doc__, *(page.read_text() for page in pages)]
    program = f"python3 -m {module.__name__} "
    assert program in texts[0]
    assert program in (ROOT / "docs" / "playing.md").read_text()
    for words in re.findall(f"{re.escape(program)}([^\n`]+)", "\n".join(texts).replace("\\\n", "")):
        module.parser().parse_args(shlex.split(words))


# ---------------------------------------------------------------- flags


@pytest.mark.parametrize("name", PRESETS)
def test_flags_of_a_preset_stand_for_its_settings(name: str) -> None:
    # No flag gives None, which is the default where presets have it.
    settings = {each: value for each, value in PRESETS[name].settings.items() if value is not None}
    assert vars(make_parser().parse_args(flags(settings))) == settings
    # Beside --noisy, which presets may have, a command line gives no epsilon.
    if not settings.get("noisy"):
        assert parsed(flags(settings)) == parsed(["--preset", name])


@pytest.mark.parametrize("name", [name for name in RECIPES if name != PEER])
def test_flags_of_a_recipe_stand_for_its_settings(name: str) -> None:
    assert vars(make_parser().parse_args(flags(RECIPES[name]))) == RECIPES[name]
    config, _ = make_config(RECIPES[name])
    assert parsed(flags(RECIPES[name])) == config


def parsed(words: list[str]) -> Config:
    return make_config(vars(make_parser().parse_args(words)))[0]


def test_every_setting_can_be_given_by_its_flags() -> None:
    for each in dataclasses.fields(Config):
        if each.default is not None:
            given = flags({each.name: each.default})
            assert vars(make_parser().parse_args(given)) == {each.name: each.default}


# ---------------------------------------------------------------- tables


def write_result(
    folder: Path,
    recipe: str,
    seed: int,
    scores: list[float] | None = None,
    settings: dict[str, Any] | None = None,
    environment: str = "Pong-v4",
) -> Path:
    """Writes what a run leaves; game n (from 0) ends at step 100(n + 1), 10 s after that before."""
    out = folder / environment / recipe / str(seed)
    if scores is None:
        out.mkdir(parents=True)
    else:
        write_run(out, scores, environment=environment, train_every=4, updates=2)
    part = {"commit": "0123456789", "changed since": False, "processor": "Z80", "cores": 1}
    written = {
        "environment": environment,
        "recipe": recipe,
        "seed": seed,
        "settings": settings or {},
        "parts": [{**part, "jobs": 1}],
        "done": {},
    }
    (out / "run.json").write_text(json.dumps(written))
    return out


def rows(text: str) -> list[list[str]]:
    """Returns the cells of the rows of tables."""
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_tables_have_numbers_worked_out_by_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 30 games lost, then won: the last 20 are at 0 after 10 games that were won, game 40.
    out = write_result(tmp_path, "default", 1, [-21.0] * 30 + [21.0] * 90)
    (out / "evaluation.json").write_text(json.dumps({"results": {"agent": {"mean": 12.5}}}))
    write_result(tmp_path, "default", 2, [-21.0] * 30)
    flags = ["--at", "2000", "4000", "12001", "--passes", "0", "10.4"]
    assert recipes.main(["show", str(tmp_path), *flags]) == 0
    text = capsys.readouterr().out
    ends, passes = rows(text)[:4], rows(text)[4:]
    assert ends[0][:2] == ["recipe", "seed"]
    assert ends[1] == [
        *("default", "1", "12,000", "6,000", "20.0", "10", "-21.0", "0.0", "–"),
        # 10 of the last 100 were lost.
        *("21.0", f"{(-21 * 10 + 21 * 90) / 100:.1f}", "12.5", "0.200", "10.0%"),
    ]
    assert ends[2] == [
        *("default", "2", "3,000", "1,500", "5.0", "10", "-21.0", "–", "–"),
        *("-21.0", "–", "–", "0.200", "10.0%"),
    ]
    assert ends[3][:5] == [
        *("**default**", "2 seeds", "7,500 (3,000 to 12,000)", "3,750 (1,500 to 6,000)"),
        "12.5 (5.0 to 20.0)",
    ]
    # 15 of 20 won are 10.5. Of 100, 50 won are 0, after game 100; 75 won are 10.5 after game 105.
    first = ["6.7", "4,000", "7.5", "4,500", "16.7", "10,000", "17.5", "10,500"]
    assert passes[1] == ["default", "1", *first]
    assert passes[2] == ["default", "2", *["–"] * 8]
    assert passes[3][2:4] == ["– (6.7 to –)", "– (4,000 to –)"]
    assert "- commit `0123456`; Z80, 1 core, one at a time\n" in text


def test_scores_are_told_by_minutes_and_by_millions_of_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A game of 100,000 steps every 10 minutes: the fifth ends with the second million frames.
    out = write_result(tmp_path, "default", 1)
    games = [
        episode(n, float(n), steps=100_000 * n, frames=400_000 * n, seconds=600.0 * n)
        for n in range(1, 23)
    ]
    write_log(out / "Pong-v4_log.txt", games)
    marks = ["--at-minutes", "199", "219", "221", "--millions", "1", "2", "3", "8", "9"]
    assert recipes.main(["show", str(tmp_path), "--at", "--passes", *marks]) == 0
    shown = rows(capsys.readouterr().out)
    ends, millions = shown[:2], shown[2:]
    assert ends[0][6:9] == [f"{what} at minute 199" for what in ("steps", "20 games", "100 games")]
    assert ends[1][6:9] == ["1,900,000", "–", "–"]
    assert ends[1][9:15] == ["2,100,000", "11.5", "–", "–", "–", "–"]
    # The games 1 and 2; 3 to 5; 6 and 7; 18 to 20; and the ninth million has not been played.
    assert millions[1] == ["default", "1", "1.5", "4.0", "6.5", "19.0", "–"]


def test_the_log_of_the_peer_is_shown_with_its_updates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = write_result(tmp_path, PEER, 1)
    games: list[Episode] = [episode(n, 5.0, steps=5_000 * (n + 1)) for n in range(22)]
    write_log(out / "Pong-v4_log.txt", games)
    assert recipes.main(["show", str(tmp_path), "--at", "--passes"]) == 0
    # 10,000 steps beyond the 100,000 that it gathers before, an update each 4.
    assert rows(capsys.readouterr().out)[1][:4] == [PEER, "1", "110,000", "2,500"]


def test_the_picture_has_a_line_for_each_seed(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_result(tmp_path, "default", seed, [-21.0] * 30)
    for by in ("steps", "minutes"):
        picture = tmp_path / "pictures" / f"{by}.png"
        assert recipes.main(["show", str(tmp_path), "--by", by, "--picture", str(picture)]) == 0
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_runs_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recipes.main(["show", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
