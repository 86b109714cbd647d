"""The README and the documents say what is so: flags, commands, links and modules."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from statistics import mean
from typing import TYPE_CHECKING

import pytest

from benchmarks.recipe_settings import PEER
from benchmarks.recipe_table import NOTHING, read_results, text_of
from dqn_atari import make_config, make_parser
from playing.trained_agents import read_notes
from settings.config import Config
from settings.declaration import shown
from storage.episode_log import read_log
from system.root import ROOT

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ROOMS = sorted({path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks"})


@pytest.mark.parametrize(
    "use",
    [
        "python3 dqn_atari.py -h",
        "python3 dqn_atari.py -r",
        "python3 dqn_atari.py -env Breakout-v0 -r",
        "python3 dqn_atari.py -env Breakout-v0 --continue Breakout-v0_weights.h5 --start 0.1 "
        "--end 0.0 -pre 300000",
        "python3 reward_visualizer.py -f Pong-v0_log.txt -a 50",
    ],
)
def test_uses_of_the_original_are_in_it(use: str) -> None:
    assert f"\n{use}\n" in README


def test_every_command_in_it_can_be_parsed() -> None:
    commands = re.findall(r"python3 dqn_atari\.py([^\n`]*)", README)
    assert len(commands) >= 6
    for command in commands:
        arguments = shlex.split(command, comments=True)
        if arguments and arguments not in (["-h"], ["--list-presets"], ["--list-agents"]):
            make_config(vars(make_parser().parse_args(arguments)))


def slug(heading: str) -> str:
    """Returns the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^):]+)\)", page.read_text()):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in map(slug, re.findall(r"^#+ (.*)$", target.read_text(), re.M)), link


def test_it_is_short_and_links_to_every_document() -> None:
    assert len(README.splitlines()) < 250
    links = re.findall(r"\]\(([^)#:]+)", README[README.index("## All documents") :])
    assert {ROOT / link for link in links} - {ROOT / "LICENSE"} == {*PAGES} - {ROOT / "README.md"}


def test_flags_that_matter_have_their_defaults() -> None:
    table = README[README.index("## The ten flags") : README.index("## What a run writes")]
    rows = re.findall(r"^\| `(-[^|]*)` \| ([^|]+) \|", table, re.M)
    settings = {each.metadata["flags"][-1]: each for each in fields(Config)}
    settings |= {each.metadata["flags"][0]: each for each in fields(Config)}
    assert len(rows) == 10
    for flags, default in rows:
        name = flags.split("`")[-1]
        if name not in ("--preset", "--seed"):
            each = settings[name]
            expected = shown(each, each.default).removesuffix(each.metadata["unit"]).strip()
            assert default.strip("`") == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_modules_that_are_named_are_there(page: Path) -> None:
    rooms = "|".join([*ROOMS, "benchmarks", "docs", "tests"])
    for name in re.findall(rf"(?<![\w/])(?:{rooms})/[\w/]+\.py", page.read_text()):
        assert (ROOT / name).exists(), name


def test_map_of_the_code_has_every_module() -> None:
    text = (ROOT / "docs" / "code.md").read_text()
    modules = [*ROOT.glob("*.py"), *(path for room in ROOMS for path in (ROOT / room).glob("*.py"))]
    names = [str(path.relative_to(ROOT)) for path in modules if path.name != "__init__.py"]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_scores_it_tells_are_those_of_the_log_and_of_the_note() -> None:
    episodes = read_log(ROOT / "res" / "results" / "Pong-v4_log.txt").episodes
    text = " ".join(README.split())
    first, last = (mean(e.score for e in part) for part in (episodes[:20], episodes[-100:]))
    assert f"from {first:.0f}, against" in text
    assert f"to {last:.0f} on average over the last 100 games" in text
    assert f"in {episodes[-1].seconds / 60:.0f} minutes on two cores" in text
    notes = {path.parent.name: note for path, note in read_notes().items()}
    assert notes["Pong"].scores[0]["mean"] == 21
    assert notes["Pong"].scores[0]["lowest"] == 21
    assert notes["Freeway"].scores[0]["lowest"] == notes["Freeway"].scores[0]["highest"] == 32
    assert {note.steps for note in notes.values()} == {2_500_000}
    assert f"Q\\*bert scored {notes['Qbert'].scores[0]['mean']:,.0f} on average" in text
    minutes = [round(note.minutes) for note in notes.values()]
    assert f"two at a time on two cores, in {min(minutes)} to {max(minutes)} minutes" in text
    greedy, exploring = (scores["mean"] for scores in notes["Breakout"].scores)
    assert f"it scored {greedy:.1f} greedy, and {exploring:.1f} with 5 of 100 actions" in text


def test_half_hours_told_are_those_of_the_logs() -> None:
    results = {
        (result.environment, result.recipe): result
        for folder in ("runs", "half-hour")  # whose runs of the defaults count
        for result in read_results(ROOT / "res" / "results" / folder)
    }
    page = (ROOT / "docs" / "results.md").read_text()
    section = page.split("\n## Half an hour beside others\n")[1].split("\n## ")[0]
    game, hundreds = "", {}
    for row in re.findall(r"^\|(.*)\|$", section, re.MULTILINE)[2:]:
        name, agent, steps, *means = (cell.strip() for cell in row.split("|"))
        game = re.sub(r"\W", "", name) or game
        recipe = "default" if "ours" in agent else agent.strip("`").removeprefix("--preset ")
        result = results.pop((f"{game}-v4", recipe))
        assert steps == f"{result.steps_at_minute(30):,.0f}", row
        for games, told in zip((20, 100), means, strict=True):
            form = f",.{len(told.partition('.')[2])}f"
            measured = text_of(result.mean_at_minute(30, games), form)
            assert told.replace("fewer games", NOTHING) == measured, row
        hundreds[game, recipe] = means[1]
    assert not results
    text = " ".join(README.split())
    ours, peers = (
        (hundreds["Pong", recipe], hundreds["Breakout", recipe]) for recipe in ("default", PEER)
    )
    assert "brings Pong to {} and Breakout to {} over the last 100 games".format(*ours) in text
    assert "is then at {} and {}, and four of five".format(*peers) in text
