"""What the settings promise."""

import dataclasses
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settings.config import Config
from settings.declaration import GROUPS, ConfigError, check_range, describe

FIELDS = fields(Config)
NUMBERS = [each for each in FIELDS if each.metadata["low"] is not None]
CHOICES = [each for each in FIELDS if each.metadata["choices"]]
by_name = [each.name for each in FIELDS]


def refusal(**settings: Any) -> str:
    """Returns the one line that these settings are refused with."""
    with pytest.raises(ConfigError) as refused:
        Config(**settings)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


# ---------------------------------------------------------------- each field


@pytest.mark.parametrize("each", FIELDS, ids=by_name)
def test_each_setting_has_all_that_the_command_line_needs(each: dataclasses.Field) -> None:
    assert each.metadata["group"] in GROUPS
    assert each.metadata["flags"][-1].startswith("--")
    assert all(flag.startswith("-") for flag in each.metadata["flags"])
    help_text = each.metadata["help"]
    assert help_text.strip() == help_text != ""
    assert "%" not in help_text  # argparse would take it for a placeholder
    assert isinstance(each.metadata["type"], type)


def test_no_two_settings_share_a_flag_or_a_help_text() -> None:
    flags = [flag for each in FIELDS for flag in each.metadata["flags"]]
    assert len(set(flags)) == len(flags)
    assert len({each.metadata["help"] for each in FIELDS}) == len(FIELDS)


def test_every_group_has_a_setting() -> None:
    assert {each.metadata["group"] for each in FIELDS} == set(GROUPS)


@pytest.mark.parametrize("each", NUMBERS, ids=lambda each: each.name)
def test_default_of_each_number_is_in_its_range(each: dataclasses.Field) -> None:
    low, high = each.metadata["low"], each.metadata["high"]
    assert low < high
    assert each.default is None or low <= each.default <= high


def test_every_number_has_a_range() -> None:
    numeric = {each.name for each in FIELDS if each.metadata["type"] in (int, float)}
    assert numeric == {each.name for each in NUMBERS}


def test_defaults_are_accepted() -> None:
    Config()


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().batch_size = 64


def test_flags_of_the_original_are_all_there() -> None:
    original = {
        *("-env", "--environment", "-r", "--render", "-st", "--steps", "-n", "--nothing"),
        *("-m", "--memory", "-pre", "--pretrain", "-g", "--gamma", "-u", "--update"),
        *("-s", "--start", "-e", "--end", "-exs", "--exploresteps", "-p", "--play"),
        *("-fss", "--framestacksize", "-b", "--batch", "-c", "--continue"),
    }
    assert original <= {flag for each in FIELDS for flag in each.metadata["flags"]}


# ---------------------------------------------------------------- ranges


def outside(each: dataclasses.Field) -> st.SearchStrategy:
    """Returns values outside of a setting's range."""
    low, high = each.metadata["low"], each.metadata["high"]
    if each.metadata["type"] is int:
        return st.integers(max_value=low - 1) | st.integers(min_value=high + 1)
    return st.floats().filter(lambda value: not low <= value <= high)


@pytest.mark.parametrize("each", NUMBERS, ids=lambda each: each.name)
@given(data=st.data())
def test_value_out_of_range_is_refused_by_its_flag(
    each: dataclasses.Field, data: st.DataObject
) -> None:
    value = data.draw(outside(each))
    assert refusal(**{each.name: value}).startswith(each.metadata["flags"][-1] + " ")


@pytest.mark.parametrize("each", NUMBERS, ids=lambda each: each.name)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_nan_and_infinity_are_refused_by_their_flag(each: dataclasses.Field, value: float) -> None:
    line = refusal(**{each.name: value})
    assert line.startswith(each.metadata["flags"][-1] + " ")
    assert str(value) in line


@pytest.mark.parametrize("each", NUMBERS, ids=lambda each: each.name)
def test_both_ends_of_a_range_belong_to_it(each: dataclasses.Field) -> None:
    for value in (each.metadata["low"], each.metadata["high"]):
        check_range(each.metadata, value)


@pytest.mark.parametrize("each", CHOICES, ids=lambda each: each.name)
def test_word_that_is_no_choice_is_refused_with_the_choices(each: dataclasses.Field) -> None:
    assert each.default in each.metadata["choices"]
    line = refusal(**{each.name: "nonsense\n"})
    assert line.startswith(each.metadata["flags"][-1] + " ")
    assert all(choice in line for choice in each.metadata["choices"])


@pytest.mark.parametrize("value", [1.0000001, -1e-9])
def test_refused_value_is_not_rounded_into_the_range(value: float) -> None:
    assert str(value) in refusal(discount=value)


# ---------------------------------------------------------------- pairs


def test_start_below_end_is_refused() -> None:
    line = refusal(epsilon_start=0.05, epsilon_end=0.1)
    assert "--start 0.05" in line
    assert "--end 0.1" in line


def test_start_equal_to_end_is_accepted() -> None:
    assert Config(epsilon_start=0.1, epsilon_end=0.1).epsilon_start == 0.1


def test_start_just_below_end_is_told_apart_from_it() -> None:
    line = refusal(epsilon_start=0.1, epsilon_end=0.10000001)
    assert "--end 0.10000001" in line


def test_memory_below_the_batch_is_refused() -> None:
    line = refusal(memory_size=99, batch_size=100, envs=1)
    assert "--memory 99" in line
    assert "--batch 100" in line
    assert Config(memory_size=100, batch_size=100, envs=1).memory_size == 100


def test_memory_too_small_for_the_environments_is_refused() -> None:
    line = refusal(memory_size=69, batch_size=1, envs=10, frame_stack_size=4, n_step=3)
    assert "--memory 69" in line
    assert "70" in line
    assert (
        Config(memory_size=70, batch_size=1, envs=10, frame_stack_size=4, n_step=3).memory_size
        == 70
    )


def test_a_schedule_of_returns_in_the_wrong_order_is_refused() -> None:
    line = refusal(n_step=3, n_step_start=2)
    assert "--n-step-start 2 is below --n-step 3" in line
    line = refusal(discount=0.98, discount_start=0.99)
    assert "--gamma-start 0.99 is above --gamma 0.98" in line
    assert "--gamma 1.0" in refusal(discount=1.0, discount_start=0.9)
    assert Config(n_step=3, n_step_start=3, discount=1.0, discount_start=1.0).n_step_start == 3


def test_memory_too_small_for_the_longest_returns_is_refused() -> None:
    line = refusal(
        memory_size=139, batch_size=1, envs=10, frame_stack_size=4, n_step=3, n_step_start=10
    )
    assert "10-step returns: give at least 140" in line


def test_munchausen_with_double_is_refused() -> None:
    line = refusal(munchausen=True, double=True)
    assert "--munchausen" in line
    assert "--no-double" in line
    assert Config(munchausen=True, double=False).munchausen


def test_munchausen_with_rescaled_values_is_refused() -> None:
    assert "--value-rescaling" in refusal(munchausen=True, double=False, value_rescaling=True)


@pytest.mark.parametrize("distribution", ["c51", "qr", "iqn"])
@pytest.mark.parametrize("loss", ["mse", "log-cosh"])
def test_loss_of_td_errors_is_refused_where_a_distribution_is_learnt(
    distribution: str, loss: str
) -> None:
    line = refusal(distribution=distribution, loss=loss)
    assert f"--distribution {distribution}" in line
    assert f"--loss {loss}" in line


@pytest.mark.parametrize("how", ["sign", "none", "1", "7.5", "1e-6", "1e9"])
def test_rewards_can_be_clipped_in_these_ways(how: str) -> None:
    assert Config(reward_clip=how).reward_clip == how


@pytest.mark.parametrize(
    "how", ["", "signs", "0", "-1", "nan", "inf", "-inf", "1e999", "1e-9", "1,5", "1\n2"]
)
def test_other_ways_to_clip_rewards_are_refused(how: str) -> None:
    assert refusal(reward_clip=how).startswith(f"--reward-clip {how!r}: give sign, none, or")


def test_raw_frames_make_a_state_only_if_it_is_as_many_as_a_step_has() -> None:
    line = refusal(state_frames="raw", frame_stack_size=4, frame_skip=2)
    assert "--framestacksize 4" in line
    assert "--frame-skip 2" in line
    assert Config(state_frames="raw", frame_stack_size=3, frame_skip=3).frames_per_step == 3
    assert Config(frame_stack_size=3, frame_skip=3).frames_per_step == 1


# ---------------------------------------------------------------- what is made of them


@pytest.mark.parametrize("each", FIELDS, ids=by_name)
def test_description_has_each_setting_once_with_its_value(each: dataclasses.Field) -> None:
    name = each.metadata["flags"][-1].removeprefix("--")
    (line,) = [line for line in describe(Config()).splitlines() if line.split()[:1] == [name]][-1:]
    shown = line.split()[1]
    words = {"True": "on", "False": "off", "None": each.metadata["unset"].split()[0]}
    expected = words.get(str(each.default), str(each.default))
    assert shown.replace(",", "") == expected
    unit = each.metadata["unit"]
    assert line.endswith(unit.removesuffix("s") if each.default == 1 else unit)


def test_description_has_nothing_but_groups_and_settings() -> None:
    lines = describe(Config()).splitlines()
    assert [line for line in lines if not line.startswith(" ")] == list(GROUPS)
    assert len(lines) == len(GROUPS) + len(FIELDS)


def test_description_says_where_settings_came_from() -> None:
    lines = describe(
        Config(), {"discount": "given", "target_update_period": "preset x"}
    ).splitlines()
    assert [line.split("(")[1] for line in lines if "(" in line] == ["given)", "preset x)"]
    assert [line.split()[0] for line in lines if "(" in line] == ["gamma", "update"]


def test_description_shows_the_seed_as_it_has_to_be_typed() -> None:
    assert "1234567" in describe(Config(seed=1234567))


@pytest.mark.parametrize(
    ("environment", "log", "weights"),
    [
        ("Pong-v0", "Pong-v0_log.txt", "Pong-v0_weights.h5"),
        ("ALE/Pong-v5", "ALE-Pong-v5_log.txt", "ALE-Pong-v5_weights.h5"),
    ],
)
def test_files_are_named_after_the_environment(environment: str, log: str, weights: str) -> None:
    config = Config(environment=environment, out="runs")
    assert config.log_path == Path("runs") / log
    assert config.weights_path == Path("runs") / weights


# ---------------------------------------------------------------- actors


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"actors": -1}, "--actors -1 is out of range: from 0 to 10,000"),
        ({"ray": "local"}, "--ray says how actors play: give --actors as well"),
        ({"actors_in_step": True}, "--actors-in-step says how actors play"),
        ({"actors": 2, "count_by": "games"}, "--count-by games does not go with --actors"),
        ({"actors": 2, "memory_on_device": True}, "--memory-on-device does not go with --actors"),
        ({"actors": 2, "render": True}, "--render shows a game of this process"),
        ({"actors": 4, "memory_size": 127}, "below --batch 32 for each of 4 actors: give a memory"),
        ({"actors": 4, "memory_size": 1_000}, "for 128 environments with"),
    ],
)
def test_what_does_not_go_together_with_actors_is_refused(
    settings: dict[str, Any], words: str
) -> None:
    assert words in refusal(**settings)


def test_each_actor_has_environments_of_its_own() -> None:
    assert [Config(envs=8, actors=count).streams for count in (0, 1, 4)] == [8, 8, 32]
