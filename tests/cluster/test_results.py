"""What a sweep tells of its runs at its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cluster.planned_runs import PlannedRun, run_folder
from cluster.results import Results
from cluster.results_picture import draw_results
from settings.config import Config
from tests.helpers.logs import write_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SPREAD = [float(number**3) for number in range(1, 12)]  # scores whose means all differ
RANDOM, HUMAN = -20.7, 14.6  # published for Pong


def a_run(
    out: Path,
    group: str,
    seed: int,
    scores: Sequence[float],
    evaluations: Sequence[float] = (),
    game: str = "Pong-v4",
) -> PlannedRun:
    folder = run_folder(out, game, group, seed)
    if scores:
        write_run(folder, scores, evaluations, game)
    return PlannedRun(group, (), Config(environment=game, out=str(folder), seed=seed))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[PlannedRun]:
    out = tmp_path_factory.mktemp("sweep")
    return [
        a_run(out, "a", 1, [-21.0] * 50 + [5.0] * 100),
        a_run(out, "a", 2, [-21.0, -21.0], [3.0, HUMAN]),
        a_run(out, "a", 1, [100.0], game="Breakout-v4"),
        *(a_run(out, "a", n, [score], game="Seaquest-v4") for n, score in enumerate(SPREAD)),
        a_run(out, "b $x$", 1, [RANDOM]),
        a_run(out, "b $x$", 2, []),
    ]


@pytest.fixture(scope="module")
def results(runs: list[PlannedRun]) -> Results:
    return Results.of(runs)


def test_a_score_is_of_the_last_evaluation_or_else_of_the_last_games(results: Results) -> None:
    known = {score.run.name: score for score in results.scores}
    trained, evaluated = known["Pong-v4 a 1"], known["Pong-v4 a 2"]
    assert (trained.score, trained.games, trained.evaluated_at) == (5.0, 100, None)
    assert (evaluated.score, evaluated.games, evaluated.evaluated_at) == (HUMAN, 3, 500)
    assert evaluated.normalised == 1
    assert known["Pong-v4 b $x$ 1"].normalised == 0
    assert results.missing == ["Pong-v4 b $x$ 2"]


def test_games_and_groups_have_their_means(results: Results) -> None:
    pong = results.by_game["a"]["Pong-v4"]
    assert pong.value == pytest.approx((5 + HUMAN) / 2)
    assert (pong.low, pong.high) == (5, HUMAN)
    shared_game = results.improvements["a", "b $x$"]
    assert shared_game == (1, 1, 1)
    share = results.together["b $x$"]
    assert {name: number.value for name, number in share.items()} == {
        "median": 0,
        "interquartile mean": 0,
        "mean": 0,
    }


def test_the_table_tells_all(results: Results) -> None:
    text = "\n".join(results.lines())
    assert "mean of its last evaluation (1 run), or mean of its last 100 games of training" in text
    assert "Pong-v4      a      2     9.8 [5.0, 14.6]" in text
    assert "without a score: Pong-v4 b $x$ 2" in text


def test_the_same_scores_give_the_same_intervals(
    results: Results, runs: list[PlannedRun], tmp_path: Path
) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    results.write(first)
    Results.of(runs).write(second)
    assert first.read_bytes() == second.read_bytes()
    content = json.loads(first.read_text())
    assert [run["score"] for run in content["runs"]] == [5.0, HUMAN, 100.0, *SPREAD, RANDOM]
    assert content["games"]["a"]["Pong-v4"]["high"] == HUMAN
    assert content["human-normalised"]["a"].keys() == {"median", "interquartile mean", "mean"}
    assert content["probability of improvement"][0]["value"] == 1


def test_the_picture_is_drawn(results: Results, tmp_path: Path) -> None:
    draw_results(results, tmp_path / "summary.png")
    assert (tmp_path / "summary.png").read_bytes().startswith(b"\x89PNG")


def test_a_game_without_published_scores_stays_out_of_what_is_normalised(tmp_path: Path) -> None:
    results = Results.of([a_run(tmp_path, "a", 1, [7.0], game="Trondead-v4")])
    assert results.by_game["a"]["Trondead-v4"].value == 7
    assert results.together == {}
    draw_results(results, tmp_path / "summary.png")
