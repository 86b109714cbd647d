"""From the settings to n environments that give frames and rewards, and from frames to states.

    id ──► Game ──► emulators (C++, or Gymnasium's where the game is shown) ──► AtariEnvironments

What the agent learns from (clipped rewards, penalties, ends) is made here, above the emulators, so
that it is the same on both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from atari.emulators import (
    SAME_SEED,
    Emulators,
    GymnasiumEmulators,
    VectorEmulators,
    frame_shape,
)
from atari.games import Game, find_game
from settings.config import Config

MAX_FRAMES = 108_000  # half an hour of play, after which a game is cut off
SEED_STEPS = 1_000  # after which an emulator is given a new seed, at the next end of an episode


class Step(NamedTuple):
    """What one step of n environments gives. `frames` are those to act on next."""

    # [n, H, W, p] uint8, p of each environment; where the episode ended, the first of the next one.
    frames: np.ndarray
    rewards: np.ndarray  # [n] float32, clipped, penalties added
    points: np.ndarray  # [n] float32, the game's own
    terminals: np.ndarray  # [n] bool, nothing that comes after counts for the return
    ends: np.ndarray  # [n] bool, the episode is over: game over, time limit or too many no-ops


class History(NamedTuple):
    """All that was done with an emulator since it was given its seed, which is its state."""

    seed: int
    actions: np.ndarray  # [T] uint8
    starts: np.ndarray  # [T + 1] bool, whether a game was started before an action, or after all

    def until(self, step: int) -> History:
        """Returns it as it was after so many steps."""
        return History(self.seed, self.actions[:step], self.starts[: step + 1])


class AtariEnvironments:
    """n environments that step together, and start anew by themselves when an episode ends.

    All randomness comes from `rng`: it draws a seed for each emulator, and a seed with all that was
    done since is the state of an emulator. A new seed takes ten times as long as a new game with
    the same one, so a seed lasts for `SEED_STEPS`, and then to the end of the episode.
    """

    def __init__(
        self,
        game: Game,
        count: int,
        rng: np.random.Generator,
        *,
        frame_skip: int = 4,
        screen: str = "resize",
        frame_max: bool = True,
        raw: bool = False,
        reward_clip: str = "sign",
        life_loss: str = "none",
        life_penalty: float = 1.0,
        no_op_limit: int = 0,
        shown: bool = False,
    ):
        """Makes the environments; `reset` has to come before the first step.

        Args:
            game: what to play.
            count: n.
            rng: draws the seeds of the episodes.
            frame_skip: emulator frames for each step.
            screen: "resize", "crop" or "square".
            frame_max: whether a frame is the maximum of the last two of the emulator or the last.
            raw: whether a step gives all the emulator's frames, as they are, and not one.
            reward_clip: what a reward is: "sign" (that of the points), "none" (the points) or a
                number (the points, clipped to that and its negative).
            life_loss: what a lost life is: "none", "terminal" (the return ends, the game goes on)
                or "penalty" (`life_penalty` off the reward).
            life_penalty: what a lost life then costs.
            no_op_limit: no-op steps allowed at the start of an episode or a life; one more gives a
                reward of -1 and ends the episode. 0 allows any number.
            shown: whether `picture` is wanted, which takes slower emulators.
        """
        emulators = GymnasiumEmulators if shown else VectorEmulators
        self._emulators: Emulators = emulators(game, count, frame_skip, screen, frame_max, raw)
        self._rng = rng
        self._reward_clip = reward_clip
        self._life_loss, self._life_penalty = life_loss, life_penalty
        self._no_op_limit = no_op_limit
        self._max_steps = -(-MAX_FRAMES // frame_skip)
        self.action_names = self._emulators.actions
        self.num_actions = len(self.action_names)
        # Some games have no such action; then -1, which no action is.
        names = self.action_names
        self._no_op = names.index("NOOP") if "NOOP" in names else -1
        self.count = count
        # (height, width, p) of what each environment gives at each step.
        self.frame_shape = (*frame_shape(screen), frame_skip if raw else 1)
        self._lives = np.zeros(count, np.int32)
        self._lengths = np.zeros(count, np.int64)
        self._no_ops = np.zeros(count, np.int64)
        self._round_starts = np.ones(count, bool)
        # Where a step is made of several of the emulators', these go on by themselves after the end
        # of a game, and each kind in its own way: only a seed makes them alike again.
        self._seed_steps = 0 if raw else SEED_STEPS
        # What was done since the seed; for environment i at its age a, in row a.
        self._seeds = np.zeros(count, np.int64)
        self._ages = np.zeros(count, np.int64)
        most = self._seed_steps + self._max_steps
        self._actions = np.zeros((most, count), np.uint8)
        self._starts = np.zeros((most + 1, count), bool)
        self._shown = shown
        self._last_picture: np.ndarray | None = None

    def reset(self) -> np.ndarray:
        """Starts an episode in every environment; returns its first frames, [n, H, W, p] uint8."""
        everywhere = np.ones(self.count, bool)
        return self._start(everywhere, everywhere)

    def step(self, actions: np.ndarray) -> Step:
        """Takes one step in every environment; see `send`."""
        self.send(actions)
        return self.receive()

    def send(self, actions: np.ndarray) -> None:
        """Begins to take one step in every environment, in threads of the emulators.

        Args:
            actions: [n] int, indices into the game's actions.
        """
        self._actions[self._ages, np.arange(self.count)] = actions
        self._emulators.send(actions)

    def receive(self) -> Step:
        """Waits for the step that was begun; returns what came of it."""
        actions = self._actions[self._ages, np.arange(self.count)]
        emulation = self._emulators.receive()
        self._lengths += 1
        self._ages += 1
        rewards = clipped(emulation.points, self._reward_clip)
        lost = emulation.lives < self._lives
        self._lives = emulation.lives.copy()
        terminals = emulation.over.copy()
        if self._life_loss == "penalty":
            rewards -= self._life_penalty * lost
        elif self._life_loss == "terminal":
            terminals |= lost
        stalled = self._count_no_ops(actions, lost)
        rewards -= stalled
        terminals |= stalled
        ends = emulation.over | stalled | (self._lengths >= self._max_steps)
        if self._shown and ends[0]:
            self._last_picture = self.picture()
        frames = emulation.frames
        if ends.any():
            frames = self._start(ends, ends & (self._ages >= self._seed_steps))
        return Step(frames, rewards, emulation.points, terminals, ends)

    def get_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Returns what all later steps depend on: numbers for JSON, and copies of arrays."""
        arrays = {name: array.copy() for name, array in self._arrays.items()}
        # Without those of earlier seeds: a resumed run has them not, and is to give the same.
        places = np.arange(self._ages.max() + 1)[:, None]
        arrays["actions"] = self._actions[: len(places) - 1] * (places[:-1] < self._ages)
        arrays["starts"] = self._starts[: len(places)] & (places <= self._ages)
        return {"random generator": self._rng.bit_generator.state}, arrays

    def set_state(self, numbers: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Takes what `get_state` returned, and plays the games up to where they were.

        Returns:
            The newest frames, [n, H, W, p] uint8; they differ from those of then if the emulators
            play these games in another way.
        """
        self._rng.bit_generator.state = numbers["random generator"]
        for name, array in self._arrays.items():
            array[:] = arrays[name]
        longest = int(self._ages.max())
        self._actions[:longest] = arrays["actions"]
        self._starts[: longest + 1] = arrays["starts"]
        everywhere = np.arange(self.count)
        emulation = self._emulators.reset(self._seeds, np.ones(self.count, bool))
        # All end together: one with a newer seed is given it later, and idles before.
        for time in range(longest + 1):
            places = time - (longest - self._ages)
            is_seeded = (places == 0) & (time > 0)
            is_started = is_seeded | ((places > 0) & self._starts[places.clip(0), everywhere])
            if is_started.any():
                seeds = np.where(is_seeded, self._seeds, SAME_SEED)[is_started]
                emulation = self._emulators.reset(seeds, is_started)
            if time < longest:
                actions = self._actions[places.clip(0), everywhere].astype(np.int64)
                emulation = self._emulators.step(np.where(places < 0, 0, actions))
        return emulation.frames

    def history(self, index: int) -> History:
        """Returns how to bring another emulator to where that of one environment is."""
        age = self._ages[index]
        actions, starts = self._actions[:age, index], self._starts[: age + 1, index]
        return History(int(self._seeds[index]), actions.copy(), starts.copy())

    def picture(self) -> np.ndarray:
        """Returns the screen of the first environment, [height, width, 3] uint8 RGB.

        Only where `shown` was asked for.
        """
        return self._emulators.picture()  # type: ignore[attr-defined]

    @property
    def last_picture(self) -> np.ndarray | None:
        """The screen that the last episode of the first environment ended with, as `picture`.

        The step that ends an episode starts the next. None where none has ended.
        """
        return self._last_picture

    def close(self) -> None:
        """Frees the emulators."""
        self._emulators.close()

    @property
    def _arrays(self) -> dict[str, np.ndarray]:
        """What is kept of each environment, [n] each."""
        return {
            "seeds": self._seeds,
            "ages": self._ages,
            "lengths": self._lengths,
            "lives": self._lives,
            "no-ops": self._no_ops,
            "round starts": self._round_starts,
        }

    def _start(self, mask: np.ndarray, seeded: np.ndarray) -> np.ndarray:
        """Starts an episode where `mask` is set, with a new seed where `seeded` is set as well.

        Returns:
            The newest frames of all, [n, H, W, p] uint8.
        """
        self._seeds[seeded] = self._rng.integers(2**31, size=int(seeded.sum()))
        self._ages[seeded] = 0
        self._starts[:, seeded] = False
        emulation = self._emulators.reset(np.where(seeded, self._seeds, SAME_SEED)[mask], mask)
        self._starts[self._ages, np.arange(self.count)] = mask & ~seeded
        self._lives[mask] = emulation.lives[mask]
        self._lengths[mask] = 0
        self._no_ops[mask] = 0
        self._round_starts[mask] = True
        return emulation.frames

    def _count_no_ops(self, actions: np.ndarray, lost: np.ndarray) -> np.ndarray:
        """Returns where the no-ops at the start of a round exceed the limit, [n] bool."""
        self._round_starts &= actions == self._no_op
        self._no_ops = np.where(self._round_starts, self._no_ops + 1, 0)
        stalled = (self._no_ops > self._no_op_limit) & (self._no_op_limit > 0)
        self._no_ops[lost] = 0
        self._round_starts |= lost
        return stalled


def game_of(config: Config) -> Game:
    """Returns the game that the settings name, with its rules.

    Raises:
        EnvironmentIdError: there is no such game.
    """
    game = find_game(config.environment)._replace(full_action_space=config.full_action_space)
    if config.sticky_actions is not None:
        game = game._replace(sticky_actions=config.sticky_actions)
    return game


def make_environments(
    config: Config, count: int, rng: np.random.Generator, *, shown: bool, for_scores: bool = False
) -> AtariEnvironments:
    """Returns the environments that the settings describe.

    Args:
        config: the settings.
        count: how many.
        rng: draws the seeds of the episodes.
        shown: whether the first is to be looked at.
        for_scores: whether an episode has to be a whole game, whatever happens in it.

    Raises:
        EnvironmentIdError: there is no such game.
    """
    return AtariEnvironments(
        game_of(config),
        count,
        rng,
        frame_skip=config.frame_skip,
        screen=config.screen,
        frame_max=config.frame_max,
        raw=config.state_frames == "raw",
        reward_clip=config.reward_clip,
        life_loss="none" if for_scores else config.life_loss,
        life_penalty=config.life_penalty,
        no_op_limit=0 if for_scores else config.no_op_limit,
        shown=shown,
    )


def clipped(points: np.ndarray, how: str) -> np.ndarray:
    """Returns new rewards for points, both [n] float32; see `--reward-clip`."""
    if how == "sign":
        return np.sign(points)
    return points.copy() if how == "none" else points.clip(-float(how), float(how))


def state_shape(screen: str, stack_size: int) -> tuple[int, int, int]:
    """Returns the (height, width, frames) of a state of so many frames of such a screen."""
    return (*frame_shape(screen), stack_size)


class FrameStack:
    """The states of n environments: the newest k frames of each, black before the first.

    # frame:  A        B        C        (A starts an episode)
    # state:  [0 0 0 A][0 0 A B][0 A B C]

    A step brings p frames at once, mostly one. Where it brings k, a state is one step's frames.
    """

    def __init__(self, count: int, frame_shape: tuple[int, int, int], size: int):
        """Makes states of `size` frames for `count` environments.

        Args:
            count: n.
            frame_shape: (height, width, p) of the frames of a step.
            size: k, at least p.
        """
        height, width, self._new = frame_shape
        self.states = np.zeros((count, height, width, size), np.uint8)

    @property
    def newest(self) -> np.ndarray:
        """The frames of the last step, [n, H, W, p] uint8, written over by the next."""
        return self.states[..., -self._new :]

    def push(self, frames: np.ndarray, starts: np.ndarray) -> None:
        """Takes in [n, H, W, p] frames; `starts` ([n] bool) says which begin an episode."""
        self.states[..., : -self._new] = self.states[..., self._new :]
        self.states[starts] = 0
        self.states[..., -self._new :] = frames
