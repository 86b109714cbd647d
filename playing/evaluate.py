"""`--evaluate`: prints an agent's scores beside those of random play and published ones."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from atari.published_scores import published_scores
from playing.players import Player, load_player
from playing.rollouts import MOST_SIDE_BY_SIDE, game_statistics
from preprocessing import MAX_FRAMES
from system.console import counted, terminal_columns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from settings.config import Config

RESAMPLES = 10_000
CONFIDENCE = 0.95
NAME_WIDTH, MEASURED_WIDTH, PUBLISHED_WIDTH = 17, 16, 10


def evaluate(config: Config) -> int:
    """Plays games by the agent and at random, and prints their scores. Writes no files.

    Args:
        config: the settings; `load_player` says which weights play.

    Returns:
        The exit status, 0.

    Raises:
        EmulatorError: an emulator failed.
        EnvironmentIdError: there is no such game.
        FloatingPointError: the network gives values that are not finite.
        WeightsError: the weights cannot be loaded.
    """
    # The first two are those of `load_player`.
    _, _, *seeds = np.random.SeedSequence(config.seed).spawn(4)
    epsilons = {"random play": 1.0}
    if not config.random_play:
        epsilons = {"agent": config.eval_epsilon, **epsilons}
    with load_player(config, min(config.games_to_play, MOST_SIDE_BY_SIDE)) as player:
        results = {
            name: measure(player, name, epsilon, np.random.default_rng(seed))
            for (name, epsilon), seed in zip(epsilons.items(), seeds, strict=False)
        }
    if config.json_output:
        print(json.dumps(_document(config, player.weights, results), indent=2))
    else:
        print("\n".join(_lines(config, player.weights, results)))
    return 0


def measure(player: Player, name: str, epsilon: float, rng: np.random.Generator) -> dict[str, Any]:
    """Plays `--episodes` games and returns their statistics.

    Args:
        player: the player.
        name: shown beside the progress.
        epsilon: probability of a random action.
        rng: draws the random actions, and the samples of the interval.

    Returns:
        Epsilon, `game_statistics`, the bounds of the mean's interval and each score.
    """
    config = player.config
    turns = player.play(config.games_to_play, rng, epsilon)
    games = list(
        tqdm(
            (game for turn in turns for game in turn.games),
            desc=name,
            total=config.games_to_play,
            unit="game",
            disable=not (config.progress and terminal_columns(sys.stderr)),
            leave=False,
        )
    )
    scores = [game.score for game in games]
    statistics = game_statistics(games, config.environment)
    return {"epsilon": epsilon, **statistics, "interval": interval(scores, rng), "scores": scores}


def interval(scores: list[float], rng: np.random.Generator) -> tuple[float, float]:
    """Returns the bounds of the mean score of all possible games, with a confidence of 95%.

    Source: the percentile bootstrap of Efron & Tibshirani 1993, section 13.3.

    Args:
        scores: at least one.
        rng: draws the samples.
    """
    means = [rng.choice(scores, len(scores)).mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _document(
    config: Config, weights: Path | None, results: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Returns the results, the rules of the games and published scores, for JSON."""
    published = published_scores(config.environment)
    return {
        "environment": config.environment,
        "weights": str(weights) if weights else None,
        "seed": config.seed,
        "frame_skip": config.frame_skip,
        "most_frames": MAX_FRAMES,
        "confidence": CONFIDENCE,
        "results": results,
        "published": published._asdict() if published else None,
    }


def _lines(
    config: Config, weights: Path | None, results: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Returns the lines of the table, at most 80 columns wide."""
    columns = {name: _cells(result) for name, result in results.items()}
    published = published_scores(config.environment)
    scores = published._asdict() if published else {}
    for name, score in scores.items():
        if score is not None:
            assert published
            share = published.human_normalised(score)
            columns[f"{name}*"] = {"mean": f"{score:,g}", "human-normalised": f"{share:.0%}"}
    widths = [MEASURED_WIDTH if name in results else PUBLISHED_WIDTH for name in columns]
    games = counted(config.games_to_play, "game")
    lines = [f"{config.environment}: {games} each, of at most {MAX_FRAMES:,} frames"]
    if weights:
        lines.append(f"agent: {weights}, epsilon {config.eval_epsilon:g}")
    rows = dict.fromkeys(row for cells in columns.values() for row in cells)
    lines += ["", _row("", list(columns), widths)]
    lines += [_row(row, [cells.get(row, "") for cells in columns.values()], widths) for row in rows]
    if published:
        lines += ["", "* published, under other rules: docs/scores.md says which"]
    return lines


def _row(name: str, cells: list[str], widths: list[int]) -> str:
    aligned = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"{name:<{NAME_WIDTH}}{''.join(aligned)}".rstrip()


def _cells(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns the column of a result, by the names of its rows."""
    low, high = result["interval"]
    cells = {
        "mean": f"{result['mean']:,.1f}",
        f"{CONFIDENCE:.0%} interval": f"{low:,.1f} – {high:,.1f}",
        "median": f"{result['median']:,.1f}",
        "deviation": f"{result['deviation']:,.1f}",
        "lowest": f"{result['lowest']:,.0f}",
        "highest": f"{result['highest']:,.0f}",
        "steps a game": f"{result['length']:,.0f}",
        "cut off": f"{result['cut_off']:,}",
    }
    if result["human_normalised"] is not None:
        cells["human-normalised"] = f"{result['human_normalised']:.0%}"
    return cells
