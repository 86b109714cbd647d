"""The README says what is so: its flags, their defaults, and the uses of the original."""

from __future__ import annotations

import re
import shlex
from dataclasses import Field, fields
from statistics import mean

import pytest

from dqn_atari import make_config, make_parser
from settings.config import Config
from storage.episode_log import read_log
from system.root import ROOT

README = (ROOT / "README.md").read_text()


def shown_default(field: Field) -> str:
    if field.name == "seed":
        return "drawn"
    if field.metadata["auto"]:
        return "auto"
    if isinstance(field.default, bool):
        return "on" if field.default else "off"
    if field.default is None:
        return field.metadata["unset"]
    return f"{field.default:,}" if isinstance(field.default, int) else str(field.default)


@pytest.mark.parametrize("field", fields(Config), ids=lambda field: field.name)
def test_every_flag_stands_in_the_table_with_its_default(field: Field) -> None:
    flag = re.escape(field.metadata["flags"][-1])
    rows = re.findall(rf"^\| [^|]*`{flag}`[^|]*\|[^|]+\| ([^|]+) \| [^|]+ \|$", README, re.M)
    assert len(rows) == 1
    assert rows[0].removesuffix(f" {field.metadata['unit']}") == shown_default(field)


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


def test_every_file_it_links_to_is_there() -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "theory.md", ROOT / "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_scores_it_tells_are_those_of_the_log() -> None:
    episodes = read_log(ROOT / "res" / "pong" / "Pong-v4_log.txt").episodes
    first, last = ([e.score for e in part] for part in (episodes[:100], episodes[-100:]))
    text = " ".join(README.split())
    assert f"from {mean(first):.1f} over its first 100 games" in text
    assert f"to {mean(last):.1f} over its last 100" in text
