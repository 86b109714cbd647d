"""Environments that give frames and rewards of a game, and states made of the frames.

    id ──► Game ──► emulators (C++, or Gymnasium's where the game is shown) ──► AtariEnvironments

Clipped rewards, penalties and ends of episodes are made here, above the emulators, so that they are
the same with both kinds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from atari.emulators import SAME_SEED, Emulators, GymnasiumEmulators, VectorEmulators
from atari.games import Game, find_game
from atari.histories import Histories, History
from atari.screens import frame_shape
from storage.state import State

if TYPE_CHECKING:
    from settings.config import Config

MAX_FRAMES = 108_000  # half an hour of play, after which a game is cut off
SEED_STEPS = 1_000  # after so many, an emulator gets a new seed when its episode ends


class Step(NamedTuple):
    """What one step of n environments gives."""

    # [n, H, W, p] uint8, the frames to act on next: where an episode ended, the first of the next.
    frames: np.ndarray
    rewards: np.ndarray  # [n] float32, clipped, penalties added
    points: np.ndarray  # [n] float32, the game's own
    terminals: np.ndarray  # [n] bool, the return ends here
    ends: np.ndarray  # [n] bool, the episode ends here: game over, time limit or too many no-ops


class AtariEnvironments:
    """n environments that step together. Where an episode ends, the next one starts by itself.

    All randomness comes from `rng`, which draws the seeds of the emulators. To start a game with a
    new seed takes ten times as long as with the same seed, so a seed is kept for `SEED_STEPS`, and
    then to the end of the episode.

    Attributes:
        count: n.
        action_names: the name of each action.
        num_actions: how many there are.
        frame_shape: (height, width, p) of the frames of a step of one environment.
        frames: [n, H, W, p] uint8, the newest frames; no step changes them.
        shown: whether `picture` and `last_picture` can be used.
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
        """Makes the environments. `reset` or `set_state` has to come before the first step.

        Args:
            game: the game.
            count: n.
            rng: draws the seeds of the emulators.
            frame_skip: emulator frames in a step.
            screen: "resize", "crop" or "square".
            frame_max: whether a frame is the maximum of the last two screens, or the last screen.
            raw: whether a step gives a frame of each of its screens, and not one frame.
            reward_clip: how a reward is made of the points: "sign" (their sign), "none" (the points
                themselves) or a number (the points, clipped to that number and its negative).
            life_loss: what a lost life does: "none", "terminal" (the return ends, the game goes on)
                or "penalty" (subtracts `life_penalty` from the reward).
            life_penalty: the penalty of a lost life.
            no_op_limit: no-op steps allowed at the start of an episode or a life. One more gives a
                reward of -1 and ends the episode. 0 allows any number.
            shown: whether to use the slower emulators, which have pictures.
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
        # -1 is no action: some games have no NOOP.
        names = self.action_names
        self._no_op = names.index("NOOP") if "NOOP" in names else -1
        self.count = count
        self.frame_shape = (*frame_shape(screen), frame_skip if raw else 1)
        self.frames = np.zeros((count, *self.frame_shape), np.uint8)
        self.shown = shown
        self._lives = np.zeros(count, np.int32)
        self._lengths = np.zeros(count, np.int64)
        self._no_ops = np.zeros(count, np.int64)
        self._round_starts = np.ones(count, bool)
        # With raw frames each kind of emulator goes on in its own way after the end of a game. Only
        # a seed makes both alike again.
        self._seed_steps = 0 if raw else SEED_STEPS
        self._histories = Histories(count, self._seed_steps + self._max_steps)
        self._sent = np.zeros(count, np.int64)  # the actions of the step in progress
        self._last_picture: np.ndarray | None = None

    def reset(self) -> np.ndarray:
        """Starts an episode in every environment and returns its first frames.

        Returns:
            [n, H, W, p] uint8.
        """
        everywhere = np.ones(self.count, bool)
        self.frames = self._start(everywhere, everywhere)
        return self.frames

    def step(self, actions: np.ndarray) -> Step:
        """Takes one step in every environment.

        Args:
            actions: [n] int, indices into `action_names`.
        """
        self.send(actions)
        return self.receive()

    def send(self, actions: np.ndarray) -> None:
        """Starts a step in every environment, in threads of the emulators.

        Args:
            actions: [n] int, indices into `action_names`.
        """
        self._sent[:] = actions
        self._emulators.send(actions)

    def receive(self) -> Step:
        """Waits for the step that was started and returns what it gave."""
        emulation = self._emulators.receive()
        self._histories.step(self._sent)
        self._lengths += 1
        rewards = clipped(emulation.points, self._reward_clip)
        lost = emulation.lives < self._lives
        self._lives = emulation.lives.copy()
        terminals = emulation.over.copy()
        if self._life_loss == "penalty":
            rewards -= self._life_penalty * lost
        elif self._life_loss == "terminal":
            terminals |= lost
        stalled = self._count_no_ops(self._sent, lost)
        rewards -= stalled
        terminals |= stalled
        ends = emulation.over | stalled | (self._lengths >= self._max_steps)
        if self.shown and ends[0]:
            self._last_picture = self.picture()
        self.frames = emulation.frames
        if ends.any():
            self.frames = self._start(ends, ends & (self._histories.ages >= self._seed_steps))
        return Step(self.frames, rewards, emulation.points, terminals, ends)

    def get_state(self) -> State:
        """Returns what all later steps depend on, with copies of arrays."""
        arrays = {name: array.copy() for name, array in self._arrays.items()}
        of_histories = self._histories.get_state().arrays
        return State(
            {"random generator": self._rng.bit_generator.state}, {**of_histories, **arrays}
        )

    def set_state(self, state: State) -> None:
        """Takes what `get_state` returned, and plays the games again up to that point.

        `frames` are the newest frames then. They differ from those of the saved environments where
        the emulators, of another version, play the games in another way.
        """
        attributes, arrays = state
        self._rng.bit_generator.state = attributes["random generator"]
        for name, array in self._arrays.items():
            array[:] = arrays[name]
        self._histories.set_state(State({}, arrays))
        self.frames = self._histories.replay(self._emulators).frames

    def history(self, index: int) -> History:
        """Returns the history of the emulator of one environment."""
        return self._histories.history(index)

    def picture(self) -> np.ndarray:
        """Returns the screen of the first environment, [height, width, 3] uint8 RGB.

        Only environments that are `shown` have it.
        """
        assert isinstance(self._emulators, GymnasiumEmulators)
        return self._emulators.picture()

    @property
    def last_picture(self) -> np.ndarray | None:
        """The last screen of the first environment's last episode, [height, width, 3] uint8 RGB.

        `picture` does not return it, as the step that ends an episode starts the next. None before
        the first end.
        """
        return self._last_picture

    def close(self) -> None:
        """Frees the emulators."""
        self._emulators.close()

    @property
    def _arrays(self) -> dict[str, np.ndarray]:
        """The state of the environments themselves, [n] each."""
        return {
            "lengths": self._lengths,
            "lives": self._lives,
            "no-ops": self._no_ops,
            "round starts": self._round_starts,
        }

    def _start(self, mask: np.ndarray, seeded: np.ndarray) -> np.ndarray:
        """Starts episodes.

        Args:
            mask: [n] bool, where to start one.
            seeded: [n] bool, where in `mask` the emulator gets a new seed.

        Returns:
            The newest frames of all environments, [n, H, W, p] uint8.
        """
        seeds = np.full(self.count, SAME_SEED)
        seeds[seeded] = self._rng.integers(2**31, size=int(seeded.sum()))
        emulation = self._emulators.reset(seeds[mask], mask)
        self._histories.start(seeds, mask)
        self._lives[mask] = emulation.lives[mask]
        self._lengths[mask] = 0
        self._no_ops[mask] = 0
        self._round_starts[mask] = True
        return emulation.frames

    def _count_no_ops(self, actions: np.ndarray, lost: np.ndarray) -> np.ndarray:
        """Counts the no-ops since an episode or a life started.

        Args:
            actions: [n] int, of this step.
            lost: [n] bool, where this step lost a life.

        Returns:
            [n] bool, where there are more than the limit.
        """
        self._round_starts &= actions == self._no_op
        self._no_ops = np.where(self._round_starts, self._no_ops + 1, 0)
        stalled = (self._no_ops > self._no_op_limit) & (self._no_op_limit > 0)
        self._no_ops[lost] = 0
        self._round_starts |= lost
        return stalled


def game_of(config: Config) -> Game:
    """Returns the game of the settings, with its rules.

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
        rng: draws the seeds of the emulators.
        shown: whether pictures of the first environment are needed.
        for_scores: whether each episode is a whole game: lost lives and no-ops do not end it.

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
    """Returns the rewards for points, both [n] float32, in a new array; see `--reward-clip`."""
    if how == "sign":
        return np.sign(points)
    return points.copy() if how == "none" else points.clip(-float(how), float(how))


def state_shape(screen: str, stack_size: int) -> tuple[int, int, int]:
    """Returns the shape of a state, (height, width, k), of `stack_size` frames of a screen."""
    return (*frame_shape(screen), stack_size)


class FrameStack:
    """The states of n environments: the newest k frames of each, black before the first.

    # frame:  A        B        C        (A starts an episode)
    # state:  [0 0 0 A][0 0 A B][0 A B C]

    A step gives p frames, mostly one. Where p is k, a state is the frames of one step.
    """

    def __init__(self, count: int, frame_shape: tuple[int, int, int], size: int):
        """Makes black states.

        Args:
            count: n.
            frame_shape: (height, width, p) of the frames of a step.
            size: k, at least p.
        """
        height, width, self._new = frame_shape
        self.states = np.zeros((count, height, width, size), np.uint8)
        self._frames = [np.zeros((count, height, width), np.uint8) for _ in range(size)]

    @property
    def newest(self) -> np.ndarray:
        """The frames of the last step, [n, H, W, p] uint8; later ones write over them."""
        if self._new == 1:
            return self._frames[-1][..., np.newaxis]
        return np.stack(self._frames[-self._new :], axis=-1)

    def push(self, frames: np.ndarray, starts: np.ndarray) -> None:
        """Adds the frames of a step.

        Args:
            frames: [n, H, W, p] uint8.
            starts: [n] bool, where they are the first of an episode.
        """
        # The oldest frames give their room to the newest.
        self._frames = self._frames[self._new :] + self._frames[: self._new]
        for number, frame in enumerate(self._frames[-self._new :]):
            frame[:] = frames[..., number]
        if starts.any():
            for frame in self._frames[: -self._new]:
                frame[starts] = 0
        _, _, width, size = self.states.shape
        # NumPy takes several times as long to put a state's frames side by side.
        rows = [frame.reshape(-1, width) for frame in self._frames]
        cv2.merge(rows, self.states.reshape(-1, width, size))

    def set_states(self, states: np.ndarray) -> None:
        """Takes the states of another stack, [n, H, W, k] uint8."""
        self.states[:] = states
        for number, frame in enumerate(self._frames):
            frame[:] = states[..., number]
