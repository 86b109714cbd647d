"""What environment ids promise."""

import gymnasium
import pytest
from ale_py import roms
from hypothesis import example, given
from hypothesis import strategies as st

from atari.games import EnvironmentIdError, find_game, game_roms

REGISTERED = {
    spec.id: spec
    for spec in gymnasium.registry.values()
    if spec.id.startswith("ALE/") or "game" in spec.kwargs
}
STICKY = {"v0": 0.25, "v4": 0.0, "v5": 0.25}


def test_every_game_of_the_registry_is_known() -> None:
    declared = {spec.kwargs["game"] for spec in REGISTERED.values()}
    assert set(game_roms().values()) == declared
    assert len(declared) == 104


@pytest.mark.parametrize(
    "kind",
    [
        "{}-v0",
        "{}-v4",
        "{}NoFrameskip-v0",
        "{}NoFrameskip-v4",
        "{}Deterministic-v0",
        "{}Deterministic-v4",
        "ALE/{}-v5",
    ],
)
def test_every_kind_of_id_stands_for_what_its_registration_declares(kind: str) -> None:
    found_registered = 0
    for name, rom in game_roms().items():
        environment_id = kind.format(name)
        game = find_game(environment_id)
        assert (game.name, game.rom) == (name, rom)
        assert game.sticky_actions == STICKY[environment_id[-2:]]
        if environment_id in REGISTERED:
            found_registered += 1
            declared = REGISTERED[environment_id].kwargs
            assert game.rom == declared["game"]
            assert game.sticky_actions == declared["repeat_action_probability"]
            assert declared["full_action_space"] is False
    assert bool(found_registered) == ("Deterministic" not in kind)


def test_every_registered_id_is_accepted() -> None:
    for environment_id, spec in REGISTERED.items():
        assert find_game(environment_id).rom == spec.kwargs["game"]


def test_rom_of_every_game_is_shipped() -> None:
    assert all(roms.get_rom_path(rom) for rom in game_roms().values())


def test_deterministic_is_accepted_as_its_version() -> None:
    assert find_game("PongDeterministic-v4") == find_game("Pong-v4")
    assert find_game("PongDeterministic-v0") == find_game("Pong-v0")


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("Breakou-v0", "Breakout-v0"),
        ("breakout-v4", "Breakout-v4"),
        ("Pong-v5", "Pong-v4"),
        ("ALE/Pong-v4", "ALE/Pong-v5"),
        ("Pong", "Pong-v4"),
        ("SpaceInvader-v0", "SpaceInvaders-v0"),
        ("BreakotDeterministic-v4", "BreakoutDeterministic-v4"),
        ("PongNoFrameskip-v5", "PongNoFrameskip-v4"),
        ("pongnoframeskip-v4", "PongNoFrameskip-v4"),
    ],
)
def test_unknown_id_is_refused_with_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(EnvironmentIdError) as refused:
        find_game(wrong)
    line = str(refused.value)
    assert wrong in line
    assert line.split("nearest: ")[-1].split(", ")[0] == nearest


def test_environment_that_is_no_atari_game_is_called_so() -> None:
    with pytest.raises(EnvironmentIdError, match="CartPole-v1 is no Atari game"):
        find_game("CartPole-v1")


@given(st.text() | st.from_regex(r"(ALE/)?\w*(NoFrameskip|Deterministic)?-v[0-9]\n?"))
@example("")
@example("Pong-v0\n")
@example("ALE/ALE/Pong-v5")
@example("PongDeterministicNoFrameskip-v4")
@example("../Pong-v0")
@example("\0")
def test_odd_id_is_a_game_or_one_line(odd: str) -> None:
    try:
        assert find_game(odd).name in odd
        assert "\n" not in odd
    except EnvironmentIdError as error:
        assert len(str(error).splitlines()) == 1
