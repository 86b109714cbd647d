"""The evaluations of a run as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atari.published_scores import published_scores
from storage.episode_log import LogError
from storage.evaluation_log import Evaluation, read_evaluations, write_evaluations

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = st.integers(0, 10**12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
EVALUATIONS = st.builds(
    Evaluation,
    step=COUNTS, frames=COUNTS, seconds=NUMBERS, epsilon=NUMBERS, games=COUNTS, mean=NUMBERS,
    median=NUMBERS, deviation=NUMBERS, lowest=NUMBERS, highest=NUMBERS, length=NUMBERS,
    cut_off=COUNTS, human_normalised=st.none() | NUMBERS,
)  # fmt: skip
ONE = Evaluation(250_000, 10**6, 9.5, 0.05, 10, 2.5, 2.0, 1.5, -1.0, 7.0, 900.5, 2, 0.25)


@given(evaluations=st.lists(EVALUATIONS, max_size=5))
def test_what_was_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, evaluations: list[Evaluation]
) -> None:
    path = tmp_path_factory.getbasetemp() / "evaluations.csv"
    write_evaluations(path, evaluations)
    assert read_evaluations(path) == evaluations


def test_the_file_is_one_that_spreadsheets_read(tmp_path: Path) -> None:
    write_evaluations(tmp_path / "e.csv", [ONE])
    assert (tmp_path / "e.csv").read_text() == (
        "step,frames,seconds,epsilon,games,mean,median,deviation,lowest,highest,length,cut_off,"
        "human_normalised\n250000,1000000,9.5,0.05,10,2.5,2.0,1.5,-1.0,7.0,900.5,2,0.25\n"
    )


@pytest.mark.parametrize(
    "content",
    [b"step,frames\n1,2\n", b"\xff\xfe\x00", b"Episode: 0 Reward: -28.0\n", b"mean\nmuch\n",
     b"step," * 9 + b"\n\0", b""],
)  # fmt: skip
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(content)
    with pytest.raises(LogError, match=r"e\.csv is no file of evaluations") as error:
        read_evaluations(path)
    assert "\n" not in str(error.value)


def test_a_line_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    write_evaluations(path, [ONE, ONE])
    path.write_text(path.read_text()[:-20])
    with pytest.raises(LogError, match="has been changed"):
        read_evaluations(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="none: no such file"):
        read_evaluations(tmp_path / "none")
    with pytest.raises(LogError, match="can't be read"):
        read_evaluations(tmp_path)


def test_a_game_that_was_cut_off_is_said() -> None:
    assert ONE.line() == (
        "evaluation at step 250,000: mean score 2.5 of 10 games, 25% of the way from random play "
        "to a person, 2 cut off by the limit of frames"
    )


@pytest.mark.parametrize(
    "environment", ["MsPacman-v0", "MsPacmanNoFrameskip-v4", "ALE/MsPacman-v5"]
)
def test_published_scores_are_found_by_every_kind_of_id(environment: str) -> None:
    scores = published_scores(environment)
    assert scores == (307.3, 6951.6, 2311)
    assert scores.human_normalised(307.3) == 0
    assert scores.human_normalised(6951.6) == 1


def test_games_without_published_scores_have_none() -> None:
    assert published_scores("Tetris-v0") is None
    surround = published_scores("Surround-v4")
    assert surround
    assert surround.dqn is None
