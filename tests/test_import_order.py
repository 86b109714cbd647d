"""Imports point one way: from the front doors down to the machine, and never sideways."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.root import ROOT

# What each room, and each module beside them, may import of the others, from the bottom up.
ROOMS = {
    "system": "",
    "settings": "system",
    "storage": "system",
    "atari": "storage system",
    "replay": "settings storage system",
    "preprocessing": "atari settings storage",
    "plotting": "atari settings storage system",
    "learning": "replay settings storage system",
    "replay_memory": "replay settings storage system",
    "reward_visualizer": "plotting storage system",
    "agent": "learning replay settings storage system",
    "playing": "agent preprocessing atari settings storage system",
    "training": "playing agent replay_memory learning preprocessing replay atari settings storage "
    "system",
    "cluster": "training playing agent replay_memory learning plotting preprocessing replay atari "
    "settings storage system",
    "dqn_atari": "cluster training playing settings atari storage system",
    "sweep": "dqn_atari cluster plotting settings atari storage system",
}
FRONT_DOORS = {"agent", "dqn_atari", "preprocessing", "replay_memory", "reward_visualizer", "sweep"}


def imports(path: Path) -> Iterator[str]:
    """Yields the top-level names that a file imports, wherever in it that is."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)


def files_of(room: str) -> list[Path]:
    """Returns the files of a room, or of a module beside the rooms."""
    return [ROOT / f"{room}.py"] if room in FRONT_DOORS else [*(ROOT / room).rglob("*.py")]


@pytest.mark.parametrize("room", ROOMS)
def test_imports_only_what_lies_below(room: str) -> None:
    allowed = {room, *ROOMS[room].split()}
    for path in files_of(room):
        upwards = ROOMS.keys() & set(imports(path)) - allowed
        assert not upwards, f"{path.relative_to(ROOT)} imports {', '.join(sorted(upwards))}"


def test_table_has_each_room_and_front_door() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} == FRONT_DOORS
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"benchmarks"} == ROOMS.keys() - FRONT_DOORS


def test_table_points_one_way() -> None:
    below: set[str] = set()
    for room, allowed in ROOMS.items():
        assert set(allowed.split()) <= below, room
        below.add(room)


@pytest.mark.parametrize("room", sorted(ROOMS.keys() - FRONT_DOORS))
def test_opening_a_room_loads_nothing(room: str) -> None:
    """So `-h` and the plotter start fast."""
    tree = ast.parse((ROOT / room / "__init__.py").read_text())
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def test_what_has_no_network_loads_without_keras() -> None:
    """Keras takes seconds to load, and neither games nor a memory on the host need it."""
    code = "import preprocessing, replay_memory, sys; print('keras' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
