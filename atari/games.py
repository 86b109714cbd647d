"""The Atari game that an environment id names, with its rules."""

from __future__ import annotations

import difflib
import functools
import re
from typing import NamedTuple

import ale_py
import gymnasium

from system.errors import OneLineError

FRAMES_PER_SECOND = 60  # of the console
# The probability that the emulator repeats the last action instead of the one it is given, as
# ale-py registers each version (Machado et al. 2018, section 5).
STICKY_ACTIONS = {"v0": 0.25, "v4": 0.0, "v5": 0.25}

gymnasium.register_envs(ale_py)
# The emulators print a greeting on stderr, which is for errors.
ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)


class EnvironmentIdError(OneLineError):
    """Says in one line that an id names no Atari game."""

    status = 2


class Game(NamedTuple):
    """A game and its rules, as an environment id names them."""

    name: str  # as in ids: MsPacman
    rom: str  # as ale-py names its file: ms_pacman
    sticky_actions: float  # probability of repeating the last action
    full_action_space: bool = False  # all 18 actions of the console, or those that the game needs


@functools.cache
def game_roms() -> dict[str, str]:
    """Returns the ROMs of all games of ale-py that one player can play, by the games' names."""
    return {
        spec.id.removeprefix("ALE/").removesuffix("-v5"): spec.kwargs["game"]
        for spec in gymnasium.registry.values()
        if spec.id.startswith("ALE/") and spec.id.endswith("-v5")
    }


def find_game(environment_id: str) -> Game:
    """Returns the game that an id names.

    The kinds are `Pong-v0`, `Pong-v4`, `PongNoFrameskip-v4`, `PongDeterministic-v4`, `ALE/Pong-v5`.
    The frame skip of an id is ignored, as `--frame-skip` sets it.

    Raises:
        EnvironmentIdError: it names no game that ale-py ships.
    """
    match = re.fullmatch(
        r"(?:(\w+?)(?:NoFrameskip|Deterministic)?-(v0|v4))|(?:ALE/(\w+)-(v5))", environment_id
    )
    if match:
        name, version = match[1] or match[3], match[2] or match[4]
        if name in game_roms():
            return Game(name, game_roms()[name], STICKY_ACTIONS[version])
    kinds = ("{}-v0", "{}-v4", "{}NoFrameskip-v4", "{}Deterministic-v4", "ALE/{}-v5")
    known = {kind.format(name).lower(): kind.format(name) for kind in kinds for name in game_roms()}
    nearest = [
        known[match] for match in difflib.get_close_matches(environment_id.lower(), known, n=3)
    ]
    if environment_id in gymnasium.registry:
        problem = f"{environment_id} is no Atari game"
    else:
        problem = f"there is no environment {environment_id!r}"
    advice = f"nearest: {', '.join(nearest)}" if nearest else "try Pong-v0 or ALE/Breakout-v5"
    raise EnvironmentIdError(f"{problem}; {advice}")
