"""Groups of settings in TOML, and what is wrong with a file in one line."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.groups import NAME, SETTINGS, GroupsError, check_words, read_groups
from dqn_atari import make_config, make_parser
from settings.config import Config
from system.root import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = {name: field for name, field in SETTINGS.items() if field.metadata["choices"]}
SWITCHES = [name for name, field in SETTINGS.items() if field.metadata["type"] is bool]
WHOLE = ["steps", "batch", "n-step", "memory", "update", "eval-every"]


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "groups.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_without_a_file_there_is_one_group_that_changes_nothing() -> None:
    assert read_groups(None) == {"default": []}


def test_the_example_of_the_documents_can_be_used() -> None:
    groups = read_groups(ROOT / "docs" / "sweep.toml")
    assert len(groups) > 1
    for words in groups.values():
        make_config(vars(make_parser().parse_args(words)))


settings = st.one_of(
    *(
        st.tuples(st.just(name), st.sampled_from(field.metadata["choices"]))
        for name, field in TEXTS.items()
    ),
    st.tuples(st.sampled_from(SWITCHES), st.booleans()),
    st.tuples(st.sampled_from(WHOLE), st.integers(64, 90)),
    st.tuples(st.just("learning-rate"), st.floats(1e-9, 1)),
)


@given(
    name=st.from_regex(NAME, fullmatch=True),
    values=st.lists(settings, min_size=1).map(dict),
)
def test_each_setting_reaches_the_run(
    name: str, values: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = [f'[groups."{name}"]']
    for setting, value in values.items():
        text = f'"{value}"' if isinstance(value, str) else str(value).lower()
        lines.append(f"{setting} = {text}")
    path = write(tmp_path_factory.getbasetemp(), "\n".join(lines))
    [(read_name, words)] = read_groups(path).items()
    given = vars(make_parser().parse_args(words))
    assert read_name == name
    assert given == {SETTINGS[setting].name: value for setting, value in values.items()}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[groups.a]\nlearning-rat = 1", "[groups.a] has 'learning-rat', no setting of a sweep's"),
        ("[groups.a]\nlearning-rat = 1", "nearest: learning-rate"),
        ("[groups.a]\nseed = 1", "has 'seed', no setting"),
        ("[groups.a]\nout = 'x'", "has 'out', no setting"),
        ("[groups.a]\nsteps = [1]", "steps is no text, number, true or false"),
        ("[groups.a]\ndouble = 1", "double has to be true or false"),
        ("[groups.a]\nsteps = true", "steps has to be a text or a number"),
        ("[groups.'a/b']\nsteps = 1", "[groups.a/b]: a name is of letters"),
        ("[groups.'..']\nsteps = 1", "[groups...]: a name is of letters"),
        ("[groups]\na = 1", "[groups.a] is no table"),
        ("[settings]\nsteps = 1", "has settings beside [groups.NAME]"),
        ("groups = 1", "has no group"),
        ("", "has no group"),
        ("[groups.a", "is no TOML"),
        (b"[groups.a]\n\xff = 1", "is no TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(
    text: str | bytes, says: str, tmp_path: Path
) -> None:
    with pytest.raises(GroupsError) as error:
        read_groups(write(tmp_path, text))
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.status == 2


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(GroupsError, match="cannot be read: No such file or directory"):
        read_groups(tmp_path / "none.toml")


def test_what_a_sweep_sets_itself_is_refused() -> None:
    for words in (
        ["--seed", "1"],
        ["--out", "x"],
        ["--continue", "w.h5"],
        ["--play"],
        ["--actors", "2"],
    ):
        with pytest.raises(GroupsError, match="is not for the runs of a sweep"):
            check_words(vars(make_parser().parse_args(words)))
    check_words(vars(make_parser().parse_args(["--steps", "7"])))


def test_each_setting_of_training_can_stand_in_a_group() -> None:
    settable = {field.name for field in SETTINGS.values()}
    others = "files", "watching", "actors"
    training = {field.name for field in fields(Config) if field.metadata["group"] not in others}
    assert training - settable == {"environment", "seed"}
