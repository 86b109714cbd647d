"""Values that change as a run goes on, by its steps or games alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from replay.n_step import Horizon

if TYPE_CHECKING:
    from settings.config import Config


@dataclass(frozen=True)
class LinearSchedule:
    """A value that moves in a straight line and then stays.

    So epsilon falls in Mnih et al. 2015, "Training details", and the importance exponent rises in
    Schaul et al. 2016, section 3.4.
    """

    start: float
    end: float
    steps: int  # from start to end; or games
    first_step: int = 0  # the step, or game, at which it starts to move

    def __call__(self, step: int) -> float:
        """Returns the value at this step, or game, of the run."""
        done = min(1.0, max(0.0, (step - self.first_step) / self.steps))
        value = self.start + done * (self.end - self.start)
        # Rounding must not take it beyond either.
        return min(max(value, min(self.start, self.end)), max(self.start, self.end))

    def is_over(self, step: int) -> bool:
        """Returns whether the value moves no more from this step, or game, on."""
        return step >= self.first_step + self.steps


@dataclass(frozen=True)
class HorizonSchedule:
    """The steps and the discount of a return, which look further ahead as a run goes on.

    Few steps and a discount near 1 are exact, but news of a reward then travels slowly. So at first
    there are more steps, and the discount is smaller. Both n and 1 - discount change by the same
    factor at each step, as in Schwarzer et al. 2023 (BBF), section 3, and then stay.
    """

    start: Horizon
    end: Horizon
    steps: int  # from start to end

    def __call__(self, step: int) -> Horizon:
        """Returns the horizon at this step of the run."""
        done = min(1.0, max(0.0, step / self.steps))
        if done == 1.0 or self.start == self.end:
            return self.end
        n_step = _geometric(self.start.n_step, self.end.n_step, done)
        shortfall = _geometric(1 - self.start.discount, 1 - self.end.discount, done)
        return Horizon(round(n_step), 1 - shortfall)


def _geometric(start: float, end: float, done: float) -> float:
    """Returns the value that lies between two, at a share `done` of the way by factors."""
    return start if start == end else start * (end / start) ** done


def make_horizon(config: Config) -> HorizonSchedule:
    """Returns the schedule of returns that the settings describe."""
    end = Horizon(config.n_step, config.discount)
    start = Horizon(
        config.n_step if config.n_step_start is None else config.n_step_start,
        config.discount if config.discount_start is None else config.discount_start,
    )
    return HorizonSchedule(start, end, config.horizon_steps)


def make_epsilon(config: Config) -> LinearSchedule:
    """Returns the schedule of epsilon; with `--noisy` it is 0, as noise explores instead."""
    if config.noisy:
        return LinearSchedule(0.0, 0.0, config.explore_steps)
    return LinearSchedule(config.epsilon_start, config.epsilon_end, config.explore_steps)


def make_learning_rate(config: Config) -> LinearSchedule:
    """Returns the schedule of the learning rate.

    Long steps learn much from little at first. Later they throw what has been learnt off its path,
    as each is of a few transitions only, and short ones do not.
    """
    end = config.learning_rate * config.learning_rate_factor
    return LinearSchedule(config.learning_rate, end, config.learning_rate_steps)


def make_importance(config: Config) -> LinearSchedule:
    """Returns the schedule of the importance exponent, Schaul et al. 2016, section 3.4.

    It may rise over the whole run, as what the weights make up for matters most at its end. Where
    it stays, what is learnt by a step does not depend on how long the run is to be.
    """
    start, end = config.importance_exponent, config.importance_end
    return LinearSchedule(start, start if end is None else end, config.steps)
