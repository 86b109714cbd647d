"""The evaluations of a run: games without learning, every so many steps."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from atari.histories import History
from playing.rollouts import MOST_SIDE_BY_SIDE, Turn, game_statistics, play_games
from preprocessing import AtariEnvironments, make_environments
from storage.evaluation_log import Evaluation
from storage.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent import Agent
    from settings.config import Config

# Of the seeds that are made of the run's: the first three are for environments, agent and memory.
EVALUATION_SEED = 3


class Evaluations:
    """Knows when the next evaluation is due, makes it, and keeps all results.

    Attributes:
        all: the evaluations so far, oldest first.
        first_game: how the first game of the newest evaluation went, without its last step.
    """

    def __init__(self, config: Config, agent: Agent, step: int, earlier: Iterable[Evaluation] = ()):
        """Makes no evaluation yet.

        Args:
            config: the settings of the run.
            agent: the agent that is evaluated.
            step: of the run now, at which no evaluation is due.
            earlier: evaluations of the run before this step.
        """
        self._config, self._agent = config, agent
        self._last_step = step
        self.all = list(earlier)
        self.first_game: History | None = None

    @property
    def best(self) -> Evaluation | None:
        """The first evaluation with the highest mean score; None where there is none."""
        return max(self.all, key=lambda evaluation: evaluation.mean, default=None)

    def is_due(self, step: int) -> bool:
        """Returns whether the run has passed a multiple of `--eval-every` since the last one."""
        every = self._config.eval_every
        return every > 0 and step // every > self._last_step // every

    def evaluate(self, step: int, seconds: float, is_stopped: Callable[[], bool]) -> bool:
        """Plays the games of an evaluation. Their seeds depend only on the run's seed and the step.

        Args:
            step: of the run now.
            seconds: of the run now.
            is_stopped: is asked after each step of the games. Where it returns True the evaluation
                is given up, and stays due.

        Returns:
            Whether the evaluation was made.

        Raises:
            EmulatorError: an emulator failed.
            FloatingPointError: the network has diverged.
        """
        config = self._config
        seed = np.random.SeedSequence(config.seed, spawn_key=(EVALUATION_SEED, step))
        environments_rng, actions_rng = (np.random.default_rng(part) for part in seed.spawn(2))
        count = min(config.eval_episodes, MOST_SIDE_BY_SIDE)
        games = []
        with closing(
            make_environments(config, count, environments_rng, shown=False, for_scores=True)
        ) as environments:
            first_game = _FirstGame(environments)
            for turn in play_games(
                self._agent,
                environments,
                config.frame_stack_size,
                config.eval_episodes,
                actions_rng,
                config.eval_epsilon,
            ):
                if is_stopped():
                    return False
                first_game.add(turn)
                games += turn.games
        statistics = game_statistics(games, config.environment)
        frames = step * config.frame_skip
        self.all.append(Evaluation(step, frames, seconds, config.eval_epsilon, **statistics))
        self._last_step = step
        self.first_game = first_game.history
        return True

    def get_state(self) -> State:
        """Returns all evaluations and the step of the last one."""
        evaluations = [asdict(evaluation) for evaluation in self.all]
        return State({"last step": self._last_step, "all": evaluations}, {})

    def set_state(self, state: State) -> None:
        """Takes what `get_state` returned."""
        self._last_step = state.attributes["last step"]
        self.all = [Evaluation(**fields) for fields in state.attributes["all"]]


class _FirstGame:
    """Records the first game of the first environment, without its last step."""

    def __init__(self, environments: AtariEnvironments):
        self._environments = environments
        self._seed: int | None = None
        self._actions: list[int] = []
        self._is_over = False

    @property
    def history(self) -> History:
        """The history of the emulator up to there; it has started one game only."""
        assert self._seed is not None
        actions = np.array(self._actions, np.uint8)
        return History(self._seed, actions, np.zeros(len(actions) + 1, bool))

    def add(self, turn: Turn) -> None:
        """Records a turn, if the first game is not over."""
        if self._seed is None:
            self._seed = self._environments.history(0).seed
        self._is_over |= bool(turn.step.ends[0])
        if not self._is_over:
            self._actions.append(int(turn.actions[0]))
