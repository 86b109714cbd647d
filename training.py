"""The training loop: act, step, remember, learn, log and save."""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import keras
import numpy as np

from agent import Agent, make_agent
from config import Config
from console import Progress, StopSignals
from machine import mebibytes
from prefetching import Prefetcher, make_prefetcher
from preprocessing import AtariEnvironments, FrameStack, Step, make_environments, state_shape
from reward_log import Episode, RewardLog, read_log
from settings import ConfigError, describe
from window import Window


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


@dataclass(frozen=True)
class Origin:
    """Where a run starts to count: at zero, or where the log that it goes on from ends."""

    episode: int = 0
    step: int = 0
    seconds: float = 0.0
    scores: tuple[float, ...] = ()  # of the last games, oldest first


class Training:
    """The loop itself. Whoever runs it sees the episodes, and writes, shows and stops."""

    def __init__(
        self,
        config: Config,
        environments: AtariEnvironments,
        agent: Agent,
        batches: Prefetcher,
        epsilon: LinearSchedule,
        origin: Origin,
        window: Window | None = None,
    ):
        """Puts the parts together; nothing happens yet.

        Args:
            config: the settings of the run.
            environments: what to step.
            agent: what acts and learns.
            batches: the memory, with one stream for each environment, and what is drawn from it.
            epsilon: the schedule of exploration.
            origin: where to count from.
            window: shows the first environment.
        """
        self._config = config
        self._environments = environments
        self.agent = agent
        self.memory = batches.memory
        self._batches = batches
        self._epsilon = epsilon
        # Over the whole run, as what the weights make up for matters most at its end.
        self._importance = LinearSchedule(config.importance_exponent, 1.0, config.steps)
        self._window = window
        self.origin = origin
        # Gathering stops when the memory is full.
        self.pretrain_steps = min(config.pretrain, self.memory.capacity)
        self.step = origin.step
        self.episode = origin.episode  # the number of the next that ends
        self.epsilon = epsilon(self._count)
        self.loss = 0.0
        self._earlier_seconds = origin.seconds
        self._started = time.monotonic()
        count = environments.count
        self._stack = FrameStack(count, environments.frame_shape, config.frame_stack_size)
        self._rewards = np.zeros(count)
        self._scores = np.zeros(count)
        self._lengths = np.zeros(count, np.int64)
        # Sums over all updates: their number, loss, accuracy and mean Q; and what they were when
        # each environment's episode began, so that the difference is the episode's.
        self._sums = np.zeros(4)
        self._sums_before = np.zeros((count, 4))

    def pretrain(self) -> Iterator[int]:
        """Fills the memory up to `--pretrain` transitions, without learning.

        Acts at random, or with `--continue` lets the network decide everything.

        Yields:
            How many transitions there are, after each step of all environments.
        """
        epsilon = 0.0 if self._config.continue_from else 1.0
        gathered = 0
        if self.pretrain_steps:
            self._start_episodes()
        while gathered < self.pretrain_steps:
            gathered += self._environments.count
            # Training starts with new episodes, so the last of these are cut off.
            self._act(epsilon, cut=gathered >= self.pretrain_steps)
            yield gathered

    def run(self) -> Iterator[list[Episode]]:
        """Trains until `--steps` or `--games`.

        Yields:
            The episodes that ended, after each step of all environments.
        """
        self._start_episodes()
        while not self._is_over:
            self.epsilon = self._epsilon(self._count)
            self._prepare()
            step = self._act(self.epsilon)
            before = self._count
            self.step += self._environments.count
            ended = int(step.ends.sum())
            self._learn(before, before + ended if self._by_games else self.step)
            yield self._finish_episodes(step)

    @property
    def phase(self) -> str:
        """What the agent is doing: "exploring", while epsilon falls, or "training" after that."""
        last = self._epsilon.first_step + self._epsilon.steps
        return "exploring" if self._count < last else "training"

    @property
    def _by_games(self) -> bool:
        return self._config.count_by == "games"

    @property
    def _count(self) -> int:
        """How far the run is, in steps or games, as schedules count."""
        return self.episode if self._by_games else self.step

    @property
    def _is_over(self) -> bool:
        return self.step >= self._config.steps or 0 < self._config.games <= self.episode

    def close(self) -> None:
        """Frees the emulators, the thread and the window."""
        self._environments.close()
        self._batches.close()
        if self._window:
            self._window.close()

    def _start_episodes(self) -> None:
        frames = self._environments.reset()
        self._stack.push(frames, np.ones(self._environments.count, bool))

    def _act(self, epsilon: float, cut: bool = False) -> Step:
        """Takes one step in all environments and remembers it; `cut` ends all episodes there."""
        frames = self._stack.newest.copy()
        actions = self.agent.act(self._stack.states, epsilon, explore=True)
        step = self._environments.step(actions)
        self._batches.append(frames, actions, step.rewards, step.terminals, step.ends | cut)
        self._stack.push(step.frames, step.ends)
        if self._window:
            self._window.show(self._environments.picture())
        return step

    def _learn(self, before: int, now: int) -> None:
        """Makes the updates and copies that are due as the count goes from `before` to `now`."""
        last = now // self._config.train_every * self._config.train_every
        for count in range(before + 1, now + 1):
            if count % self._config.train_every == 0 and self._can_learn():
                for update in range(self._config.updates, 0, -1):
                    self._update(ahead=count < last or update > 1)
            if count % self._config.update == 0 and not self._config.target_averaging:
                self.agent.copy_to_target()

    def _prepare(self) -> None:
        """Draws the batch of the first update after the next step, if one is known to follow.

        Its frames are unpacked while the emulators work; during an update, for which there is no
        other time to prepare the one after it, that would slow the update down.
        """
        next_count = self.step + self._environments.count
        follows = next_count // self._config.train_every > self.step // self._config.train_every
        if follows and not self._by_games and self._can_learn():
            self._batches.prepare(self._importance(next_count))

    def _update(self, ahead: bool) -> None:
        """Makes one update; `ahead` has the next batch drawn and unpacked meanwhile."""
        batch = self._batches.take(self._importance(self.step), ahead)
        update = self.agent.learn(batch)
        if not math.isfinite(update.loss):
            raise FloatingPointError(
                f"the loss is {update.loss} at step {self.step:,}, the network has diverged: "
                "give a smaller --learning-rate"
            )
        self._batches.update_priorities(batch.indices, update.td_errors)
        self._sums += 1, update.loss, update.accuracy, update.mean_q
        self.loss = update.loss

    def _can_learn(self) -> bool:
        return len(self.memory) >= self._config.batch and self.memory.can_sample

    def _finish_episodes(self, step: Step) -> list[Episode]:
        """Returns the episodes that ended with this step, and counts anew for those after them."""
        self._rewards += step.rewards
        self._scores += step.points
        self._lengths += 1
        episodes = []
        for index in np.flatnonzero(step.ends):
            updates, *sums = self._sums - self._sums_before[index]
            loss, accuracy, mean_q = (round(total / max(1, updates), 8) for total in sums)
            episodes.append(
                Episode(
                    number=self.episode,
                    reward=float(self._rewards[index]),
                    steps=self.step,
                    epsilon=round(self.epsilon, 10),
                    loss=loss,
                    accuracy=accuracy,
                    score=float(self._scores[index]),
                    length=int(self._lengths[index]),
                    mean_q=mean_q,
                    frames=self.step * self._config.frame_skip,
                    seconds=round(self._earlier_seconds + time.monotonic() - self._started, 1),
                )
            )
            self.episode += 1
        for totals in (self._rewards, self._scores, self._lengths):
            totals[step.ends] = 0
        self._sums_before[step.ends] = self._sums
        return episodes


def train(
    config: Config, new_schedule: bool, origins: Mapping[str, str] = MappingProxyType({})
) -> int:
    """Trains as the settings say, until the steps are done or a signal asks to stop.

    Args:
        config: the settings of the run.
        new_schedule: whether exploration starts anew although the run goes on from weights.
        origins: where settings that are no defaults came from, by their names.

    Returns:
        The exit status: 0, or 130 or 143 where a signal ended the run.

    Raises:
        ConfigError: the run that it goes on from has done all its steps.
        EnvironmentIdError: there is no such game.
        FloatingPointError: a loss is not finite; the weights written last stay.
        LogError: the log that it goes on from cannot be read.
        MemoryError: the machine has no room for the replay memory.
        NoDisplayError: a window is asked for, and there is no display.
        OSError: a file cannot be written.
        WeightsError: the weights cannot be loaded.
    """
    with StopSignals() as stop:
        _check_folder(Path(config.out))
        training = assemble(config, new_schedule)
        _introduce(config, training, origins)
        _set_aside_others(config)
        sys.stdout.flush()
        with RewardLog(config.log_path) as log:
            _pretrain(config, training, stop)
            if stop.received is None:
                _train(config, training, log, stop)
            training.agent.save_weights(config.weights_path)
        training.close()
    print(f"step {training.step:,}; weights in {config.weights_path}, log in {config.log_path}")
    return 0 if stop.received is None else 128 + stop.received


def assemble(config: Config, new_schedule: bool) -> Training:
    """Returns the loop that the settings describe, ready to run; raises what `train` raises."""
    window = Window(f"{config.environment}: training") if config.render else None
    origin = _origin(config)
    seeds = np.random.SeedSequence(config.seed).spawn(3)
    environments_rng, agent_rng, memory_rng = (np.random.default_rng(seed) for seed in seeds)
    environments = make_environments(
        config, config.envs, environments_rng, shown=window is not None
    )
    states = state_shape(config.screen, config.frame_stack_size)
    agent = make_agent(config, states, environments.num_actions, agent_rng)
    if config.continue_from:
        agent.load_weights(Path(config.continue_from), config.channels_first)
    batches = make_prefetcher(config, states, memory_rng)
    epsilon = _exploration(config, origin if new_schedule else Origin())
    return Training(config, environments, agent, batches, epsilon, origin, window)


def _exploration(config: Config, origin: Origin) -> LinearSchedule:
    """Returns the schedule of epsilon, which starts to move at `origin`."""
    first = origin.episode if config.count_by == "games" else origin.step
    if config.noisy:
        return LinearSchedule(0.0, 0.0, config.explore_steps, first)
    return LinearSchedule(config.start, config.end, config.explore_steps, first)


def _introduce(config: Config, training: Training, origins: Mapping[str, str]) -> None:
    """Prints the settings, what Keras runs on, and what the memory will take."""
    print(describe(config, origins))
    devices = ", ".join(keras.distribution.list_devices())
    print(f"Keras {keras.__version__} on {keras.backend.backend()}, device {devices}")
    memory, origin = training.memory, training.origin
    print(
        f"replay memory: {memory.capacity:,} transitions, {mebibytes(memory.nbytes)} now, "
        f"at most {mebibytes(memory.max_nbytes)}"
    )
    if origin.step:
        print(f"going on after step {origin.step:,} and {origin.episode:,} episodes")


def _check_folder(folder: Path) -> None:
    """Makes the folder of the run if need be; raises OSError where no file can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            error.errno, f"--out is no folder to write in ({error.strerror})", str(folder)
        ) from error


def _pretrain(config: Config, training: Training, stop: StopSignals) -> None:
    """Gathers what the first updates learn from."""
    stage = "observing" if config.episode_lines else "pretraining"
    what = f"{stage}, the network decides" if config.continue_from else f"{stage} at random"
    if not training.pretrain_steps:
        return
    with Progress(what, training.pretrain_steps, 0, config.progress, sys.stdout) as progress:
        for gathered in training.pretrain():
            progress.update(gathered)
            _warn_of_short_memory(training, progress)
            if stop.received is not None:
                return


def _train(
    config: Config,
    training: Training,
    log: RewardLog,
    stop: StopSignals,
) -> None:
    """Runs the loop; logs every episode and writes the weights now and then."""
    scores = deque(training.origin.scores, maxlen=100)
    last = "no episode yet"
    with Progress("training", config.steps, training.step, config.progress, sys.stdout) as progress:
        for episodes in training.run():
            for episode in episodes:
                log.append(episode)
                scores.append(episode.score or 0.0)
                if config.episode_lines:
                    progress.say(_status(training, episode))
                last = f"episode {episode.number:,}, mean score {np.mean(scores):.1f}"
            if any((episode.number + 1) % config.save_every == 0 for episode in episodes):
                training.agent.save_weights(config.weights_path)
            progress.update(
                training.step,
                f"{last}, epsilon {training.epsilon:.3f}, loss {training.loss:.4f}",
            )
            _warn_of_short_memory(training, progress)
            if stop.received is not None:
                return


def _status(training: Training, episode: Episode) -> str:
    """Returns a line that says where the run is as an episode has ended."""
    return (
        f"{training.phase}: episode {episode.number:,}, score {episode.score:g}, "
        f"memory {len(training.memory):,}, epsilon {episode.epsilon:.3f}, step {episode.steps:,}"
    )


def _warn_of_short_memory(training: Training, progress: Progress) -> None:
    """Says that the memory holds less than was asked for, if it does."""
    memory = training.memory
    if memory.is_short:
        progress.say_once(
            f"frames of this game pack badly: {mebibytes(memory.max_nbytes)} are not enough for "
            f"{memory.capacity:,} transitions, so the oldest go earlier"
        )


def _origin(config: Config) -> Origin:
    """Returns where the log beside the weights that the run goes on from ends."""
    if not config.continue_from:
        return Origin()
    path = Path(config.continue_from).parent / config.log_path.name
    if not path.exists() or not path.stat().st_size:
        return Origin()
    episodes = read_log(path).episodes
    last = episodes[-1]
    if 0 < config.games <= last.number + 1:
        raise ConfigError(
            f"--games {config.games:,} are done, {path} ends with game {last.number + 1:,}: "
            "give more --games to go on"
        )
    if last.steps >= config.steps:
        raise ConfigError(
            f"--steps {config.steps:,} are done, {path} ends at step {last.steps:,}: "
            "give more --steps to go on"
        )
    scores = tuple(e.score for e in episodes[-100:] if e.score is not None)
    return Origin(last.number + 1, last.steps, last.seconds or 0.0, scores)


def _set_aside_others(config: Config) -> None:
    """Renames the files of an earlier run that this one does not go on from."""
    continued = Path(config.continue_from) if config.continue_from else None
    kept = [continued, continued.parent / config.log_path.name] if continued else []
    for path in (config.log_path, config.weights_path):
        if path.exists() and not any(k.exists() and path.samefile(k) for k in kept):
            number = 1
            while (aside := path.with_stem(f"{path.stem}.{number}")).exists():
                number += 1
            path.rename(aside)
            print(f"{path} is of an earlier run: renamed to {aside}")
