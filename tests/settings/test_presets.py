"""Presets: they hold good settings, flags win over them, and each says where it came from."""

from __future__ import annotations

from dataclasses import fields

import pytest

from dqn_atari import main, make_config
from settings.choices import environments, precision, this_machine
from settings.config import Config
from settings.declaration import ConfigError
from settings.presets import PRESETS
from system.root import ROOT

PAGE = (ROOT / "docs" / "presets.md").read_text()
NAMES = [
    *(
        "default",
        "plain",
        "script",
        "dying-penalty",
        "teaching",
        "dqn-2013",
        "dqn-2015",
        "double",
        "dueling",
    ),
    *("prioritized", "c51", "qr-dqn", "iqn", "munchausen", "rainbow"),
]
AUTO = {"envs", "memory_on_device", "precision"}  # what is chosen for the machine


def test_presets_are_those_that_users_know() -> None:
    assert list(PRESETS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_settings_of_a_preset_exist_and_go_together(name: str) -> None:
    config, origins = make_config({"preset": name})
    assert {each.name for each in fields(Config)} >= PRESETS[name].settings.keys()
    for setting, value in PRESETS[name].settings.items():
        assert getattr(config, setting) == value
        assert origins[setting] == f"preset {name}"
    assert origins.keys() == PRESETS[name].settings.keys() | AUTO


def test_presets_of_papers_do_not_follow_what_is_recommended_today() -> None:
    plain = PRESETS["plain"].settings
    for name in set(NAMES) - {"default"}:
        assert PRESETS[name].settings.keys() >= plain.keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_has_its_section_in_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_flags_win_over_the_preset_and_say_so() -> None:
    given = {"preset": "rainbow", "n_step": 5, "noisy": False, "seed": 1}
    config, origins = make_config(given)
    assert (config.n_step, config.noisy, config.atoms) == (5, False, 51)
    assert origins["n_step"] == origins["noisy"] == origins["seed"] == "given"
    assert origins["atoms"] == "preset rainbow"
    assert "discount" in origins
    assert "save_every" not in origins


def test_without_a_preset_all_is_as_the_defaults_have_it() -> None:
    for given in ({}, {"preset": "default"}):
        config = Config(envs=here(), precision=precision(this_machine()).value)
        assert make_config(given) == (config, dict.fromkeys(AUTO, "auto"))


def here() -> int:
    return environments(this_machine()).value


def test_environments_for_the_machine_take_the_place_of_those_of_a_preset() -> None:
    given = {"preset": "dqn-2015", "envs": "auto"}
    config, origins = make_config(given)
    assert (config.envs, origins["envs"]) == (here(), "auto")
    config, origins = make_config({**given, "envs": 3})
    assert (config.envs, origins["envs"]) == (3, "given")


@pytest.mark.parametrize("flag", ["epsilon_start", "epsilon_end"])
def test_epsilon_beside_noise_is_refused(flag: str) -> None:
    with pytest.raises(ConfigError, match="--noisy"):
        make_config({"noisy": True, flag: 0.01})
    with pytest.raises(ConfigError, match="--noisy"):
        make_config({"preset": "rainbow", flag: 0.01})


def test_list_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--list-presets"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert all(len(line) <= 100 and len(line.split()) > 3 for line in lines)


def test_unknown_preset_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--preset", "rainbows"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "rainbow" in error
