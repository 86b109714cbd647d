"""Games played by an agent for their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from agent import Agent
from atari.histories import History
from atari.published_scores import published_scores
from preprocessing import AtariEnvironments, FrameStack, Step, make_environments
from settings.config import Config
from storage.evaluation_log import Evaluation

MOST_SIDE_BY_SIDE = 32
# Beside those of the environments, the agent and the memory, which come from the same seed.
EVALUATION_SEED = 3


class Game(NamedTuple):
    """A whole game that was played."""

    score: float
    length: int  # steps
    cut_off: bool  # ended by the limit of frames, and not by the game


def play_games(
    agent: Agent,
    environments: AtariEnvironments,
    stack_size: int,
    games: int,
    rng: np.random.Generator,
    epsilon: float = 0.0,
    before_step: Callable[[np.ndarray, np.ndarray], None] | None = None,
    after_step: Callable[[Step], None] | None = None,
) -> Iterator[Game]:
    """Plays whole games, side by side in all environments.

    Exactly so many games are started, and all of them finished: taking the first that finish would
    favour short ones.

    Args:
        agent: who plays.
        environments: where; lives and no-ops must not end their episodes.
        stack_size: frames in a state.
        games: how many to play.
        rng: draws the random actions, so that the agent's own generator stays as it is.
        epsilon: probability of a random action.
        before_step: is called with the states, [count, H, W, k] uint8, and the actions chosen in
            them, [count] int64, before each step; what it raises ends the play.
        after_step: is called with what came of it, before the games that ended are given; the same.

    Yields:
        The games, in the order that they end in.
    """
    count = environments.count
    stack = FrameStack(count, environments.frame_shape, stack_size)
    stack.push(environments.reset(), np.ones(count, bool))
    playing = np.arange(count) < games
    started = int(playing.sum())
    scores, lengths = np.zeros(count), np.zeros(count, np.int64)
    while playing.any():
        actions = agent.act(stack.states, epsilon, rng=rng)
        if before_step:
            before_step(stack.states, actions)
        step = environments.step(actions)
        stack.push(step.frames, step.ends)
        scores += step.points
        lengths += 1
        if after_step:
            after_step(step)
        for index in np.flatnonzero(step.ends & playing):
            yield Game(float(scores[index]), int(lengths[index]), not step.terminals[index])
            playing[index] = started < games
            started += int(playing[index])
        scores[step.ends] = 0
        lengths[step.ends] = 0


def scoring_environments(
    config: Config, games: int, seed: np.random.SeedSequence
) -> AtariEnvironments:
    """Returns environments for so many whole games, side by side as far as that is of use.

    Each game begins with up to 30 no-ops and is cut off after 108,000 frames, as in Mnih et al.
    2015, "Evaluation procedure", and van Hasselt et al. 2016.
    """
    rng = np.random.default_rng(seed)
    count = min(games, MOST_SIDE_BY_SIDE)
    return make_environments(config, count, rng, shown=False, for_scores=True)


def summarised(games: Sequence[Game], environment_id: str) -> dict[str, Any]:
    """Returns what games come to, at least one, by the names of the fields of `Evaluation`.

    The mean is compared with the published scores of that environment's game.
    """
    scores = np.array([game.score for game in games])
    mean = float(scores.mean())
    published = published_scores(environment_id)
    return {
        "games": len(games),
        "mean": mean,
        "median": float(np.median(scores)),
        "deviation": float(scores.std(ddof=1)) if len(games) > 1 else 0.0,
        "lowest": float(scores.min()),
        "highest": float(scores.max()),
        "length": float(np.mean([game.length for game in games])),
        "cut_off": sum(game.cut_off for game in games),
        "human_normalised": published.human_normalised(mean) if published else None,
    }


class Evaluations:
    """The evaluations of a run: when the next is due, what it finds, and which was the best."""

    def __init__(self, config: Config, agent: Agent, step: int, earlier: Iterable[Evaluation] = ()):
        """Takes whom to evaluate, and how.

        Args:
            config: the settings of the run.
            agent: who is evaluated.
            step: of the run now, at which no evaluation is due.
            earlier: those that there were before.
        """
        self._config, self._agent = config, agent
        self._last_step = step
        self.all = list(earlier)
        # How the first game of the newest went, but for its last step.
        self.first_game: History | None = None

    @property
    def best(self) -> Evaluation | None:
        """The one with the highest mean score, the first of several such; None without any."""
        return max(self.all, key=lambda each: each.mean, default=None)

    def is_due(self, step: int) -> bool:
        """Returns whether the run has passed a multiple of `--eval-every` since the last one."""
        every = self._config.eval_every
        return every > 0 and step // every > self._last_step // every

    def evaluate(self, step: int, seconds: float, is_stopped: Callable[[], bool]) -> bool:
        """Plays the games of an evaluation, with seeds that depend on the run's and the step alone.

        Args:
            step: of the run now.
            seconds: of the run now.
            is_stopped: whether to leave it: it is then still due.

        Returns:
            Whether it was played to its end.

        Raises:
            EmulatorError: an emulator failed.
            FloatingPointError: the network has diverged.
        """
        config = self._config
        seed = np.random.SeedSequence(config.seed, spawn_key=(EVALUATION_SEED, step))
        environments_seed, actions_seed = seed.spawn(2)
        environments = scoring_environments(config, config.eval_episodes, environments_seed)

        first_game = _FirstGame(environments)

        def after_step(step: Step) -> None:
            if is_stopped():
                raise _StoppedError
            first_game.after_step(step)

        try:
            games = list(
                play_games(
                    self._agent,
                    environments,
                    config.frame_stack_size,
                    config.eval_episodes,
                    np.random.default_rng(actions_seed),
                    config.eval_epsilon,
                    before_step=first_game.before_step,
                    after_step=after_step,
                )
            )
        except _StoppedError:
            return False
        finally:
            environments.close()
        summary = summarised(games, config.environment)
        frames = step * config.frame_skip
        self.all.append(Evaluation(step, frames, seconds, config.eval_epsilon, **summary))
        self._last_step = step
        self.first_game = first_game.history
        return True

    def get_state(self) -> dict[str, Any]:
        """Returns all evaluations and when the last one was, for JSON."""
        return {"last step": self._last_step, "all": [asdict(each) for each in self.all]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes what `get_state` returned."""
        self._last_step = state["last step"]
        self.all = [Evaluation(**each) for each in state["all"]]


class _FirstGame:
    """Keeps what is done in the first environment's first game, but for its last step."""

    def __init__(self, environments: AtariEnvironments):
        self._environments = environments
        self._seed = 0
        self._actions: list[int] = []
        self._is_over = False

    @property
    def history(self) -> History:
        """That of the emulator, in which no other game has been started."""
        actions = np.array(self._actions, np.uint8)
        return History(self._seed, actions, np.zeros(len(actions) + 1, bool))

    def before_step(self, _: np.ndarray, actions: np.ndarray) -> None:
        """Takes in what is about to be done."""
        if self._is_over:
            return
        if not self._actions:
            self._seed = self._environments.history(0).seed
        self._actions.append(int(actions[0]))

    def after_step(self, step: Step) -> None:
        """Takes in whether the game has ended by that."""
        if step.ends[0] and not self._is_over:
            self._is_over = True
            self._actions.pop()


class _StoppedError(Exception):
    """Ends the games of an evaluation in their middle."""
