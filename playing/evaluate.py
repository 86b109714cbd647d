"""What `--evaluate` prints: an agent's scores beside those of random play and published ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from agent import Agent, make_agent
from atari.published_scores import published_scores
from playing.rollouts import play_games, scoring_environments, summarised
from preprocessing import MAX_FRAMES, AtariEnvironments, state_shape
from settings.config import Config
from system.console import counted

RESAMPLES = 10_000
CONFIDENCE = 0.95
NAME_WIDTH, MEASURED_WIDTH, PUBLISHED_WIDTH = 17, 16, 10


def evaluate(config: Config) -> int:
    """Plays games by the agent and by chance, and prints what they scored. Writes nothing.

    Args:
        config: the settings; the weights are those of `--continue`, else the newest of the run.

    Returns:
        The exit status, 0.

    Raises:
        EmulatorError: an emulator failed.
        EnvironmentIdError: there is no such game.
        FloatingPointError: the network gives values that are not finite.
        WeightsError: the weights cannot be loaded.
    """
    environments_seed, agent_seed, *seeds = np.random.SeedSequence(config.seed).spawn(4)
    environments = scoring_environments(config, config.games_to_play, environments_seed)
    shape = state_shape(config.screen, config.frame_stack_size)
    rng = np.random.default_rng(agent_seed)
    agent = make_agent(config, shape, environments.num_actions, rng)
    epsilons = {"random play": 1.0}
    weights = None
    if not config.random_play:
        weights = Path(config.continue_from or config.weights_path)
        agent.load_weights(weights, config.channels_first)
        epsilons = {"agent": config.eval_epsilon, **epsilons}
    results = {
        who: measured(config, agent, environments, epsilon, np.random.default_rng(seed))
        for (who, epsilon), seed in zip(epsilons.items(), seeds, strict=False)
    }
    environments.close()
    if config.json_output:
        print(json.dumps(_document(config, weights, results), indent=2))
    else:
        print("\n".join(_lines(config, weights, results)))
    return 0


def measured(
    config: Config,
    agent: Agent,
    environments: AtariEnvironments,
    epsilon: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Returns what `--episodes` games come to, with the interval of their mean and each score.

    Args:
        config: the settings.
        agent: who plays.
        environments: where.
        epsilon: probability of a random action.
        rng: draws the random actions, and the samples of the interval.
    """
    games = list(
        tqdm(
            play_games(
                agent, environments, config.frame_stack_size, config.games_to_play, rng, epsilon
            ),
            desc="random play" if epsilon == 1 else "agent",
            total=config.games_to_play,
            unit="game",
            disable=not (config.progress and sys.stderr.isatty()),
            leave=False,
        )
    )
    scores = [game.score for game in games]
    summary = summarised(games, config.environment)
    return {"epsilon": epsilon, **summary, "interval": interval(scores, rng), "scores": scores}


def interval(scores: list[float], rng: np.random.Generator) -> tuple[float, float]:
    """Returns the bounds between which the mean of all games lies, with a confidence of 95%.

    The percentile bootstrap of Efron & Tibshirani 1993, section 13.3.
    """
    means = [rng.choice(scores, len(scores)).mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _document(
    config: Config, weights: Path | None, results: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Returns all that is known of the results, for JSON."""
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
    """Returns the table that a person reads, no more than 80 columns wide."""
    columns = {who: _cells(result) for who, result in results.items()}
    published = published_scores(config.environment)
    scores = published._asdict() if published else {}
    for who, score in scores.items():
        if score is not None:
            assert published
            share = published.human_normalised(score)
            columns[f"{who}*"] = {"mean": f"{score:,g}", "human-normalised": f"{share:.0%}"}
    widths = [MEASURED_WIDTH if who in results else PUBLISHED_WIDTH for who in columns]
    games = counted(config.games_to_play, "game")
    lines = [f"{config.environment}: {games} each, of at most {MAX_FRAMES:,} frames"]
    if weights:
        lines.append(f"agent: {weights}, epsilon {config.eval_epsilon:g}")
    rows = dict.fromkeys(name for cells in columns.values() for name in cells)
    lines += ["", _row("", list(columns), widths)]
    lines += [_row(row, [cells.get(row, "") for cells in columns.values()], widths) for row in rows]
    if published:
        lines += ["", "* published, under other rules: docs/scores.md says which"]
    return lines


def _row(name: str, cells: list[str], widths: list[int]) -> str:
    aligned = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"{name:<{NAME_WIDTH}}{''.join(aligned)}".rstrip()


def _cells(result: Mapping[str, Any]) -> dict[str, str]:
    """Returns the column of one who played, by the names of its rows."""
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
