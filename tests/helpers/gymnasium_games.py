"""Random games played with Gymnasium and nothing of ours, to compare with."""

from __future__ import annotations

import ale_py
import gymnasium
import numpy as np

gymnasium.register_envs(ale_py)

FRAME_SKIP, MOST_FRAMES, MOST_NO_OPS = 4, 108_000, 30


def random_scores(environment: str, games: int, seed: int) -> list[float]:
    """Returns the scores of so many random games, such as of `PongNoFrameskip-v4`.

    Each begins with FIRE, where the game has it, and 0 to 30 no-ops; each action is repeated for
    four frames; a game is cut off after 108,000 frames.
    """
    env = gymnasium.make(environment, disable_env_checker=True)
    meanings = env.unwrapped.get_action_meanings()
    rng = np.random.default_rng(seed)
    scores = []
    for game in range(games):
        env.reset(seed=seed if not game else None)
        score, frames, over = 0.0, 0, False
        start = [meanings.index("FIRE")] if "FIRE" in meanings else []
        start += [meanings.index("NOOP")] * int(rng.integers(MOST_NO_OPS + 1))
        for action in start:
            env.step(action)
        while not over and frames < MOST_FRAMES:
            action = int(rng.integers(len(meanings)))
            for _ in range(FRAME_SKIP):
                if not over:
                    _, points, over, _, _ = env.step(action)
                    score += float(points)
                    frames += 1
        scores.append(score)
    env.close()
    return scores
