"""From a game to n environments that give frames and rewards, and from frames to states.

    id ──► Game ──► emulators (C++, or Gymnasium's where the game is shown) ──► AtariEnvironments

What the agent learns from (clipped rewards, penalties, ends) is made here, above the emulators, so
that it is the same on both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from emulators import FRAME_SIZE, Emulators, GymnasiumEmulators, VectorEmulators
from games import Game

MAX_FRAMES = 108_000  # half an hour of play, after which a game is cut off


class Step(NamedTuple):
    """What one step of n environments gives. `frames` are those to act on next."""

    frames: np.ndarray  # [n, 84, 84] uint8; where the episode ended, the first of the next one
    rewards: np.ndarray  # [n] float32, clipped to their sign, penalties added
    points: np.ndarray  # [n] float32, the game's own
    terminals: np.ndarray  # [n] bool, nothing that comes after counts for the return
    ends: np.ndarray  # [n] bool, the episode is over: game over, time limit or too many no-ops


class AtariEnvironments:
    """n environments that step together, and start anew by themselves when an episode ends.

    All randomness comes from `rng`: it draws the seed of each episode, and a seed with the actions
    since is the state of an emulator.
    """

    def __init__(
        self,
        game: Game,
        count: int,
        rng: np.random.Generator,
        *,
        frame_skip: int = 4,
        screen: str = "resize",
        life_loss: str = "none",
        no_op_limit: int = 0,
        shown: bool = False,
    ):
        """Makes the environments; `reset` has to come before the first step.

        Args:
            game: what to play.
            count: n.
            rng: draws the seeds of the episodes.
            frame_skip: emulator frames for each step.
            screen: "resize" or "crop".
            life_loss: what a lost life is: "none", "terminal" (the return ends, the game goes on)
                or "penalty" (a reward of -1).
            no_op_limit: no-op steps allowed at the start of an episode or a life; one more gives a
                reward of -1 and ends the episode. 0 allows any number.
            shown: whether `picture` is wanted, which takes slower emulators.
        """
        emulators = GymnasiumEmulators if shown else VectorEmulators
        self._emulators: Emulators = emulators(game, count, frame_skip, screen)
        self._rng = rng
        self._life_loss = life_loss
        self._no_op_limit = no_op_limit
        self._max_steps = -(-MAX_FRAMES // frame_skip)
        self.num_actions = len(self._emulators.actions)
        # Some games have no such action; then -1, which no action is.
        actions = self._emulators.actions
        self._no_op = actions.index("NOOP") if "NOOP" in actions else -1
        self.count = count
        self._lives = np.zeros(count, np.int32)
        self._lengths = np.zeros(count, np.int64)
        self._no_ops = np.zeros(count, np.int64)
        self._round_starts = np.ones(count, bool)

    def reset(self) -> np.ndarray:
        """Starts an episode in every environment; returns its first frames, [n, 84, 84] uint8."""
        return self._start(np.ones(self.count, bool))

    def step(self, actions: np.ndarray) -> Step:
        """Takes one step in every environment.

        Args:
            actions: [n] int, indices into the game's minimal action set.
        """
        emulation = self._emulators.step(actions)
        self._lengths += 1
        rewards = np.sign(emulation.points)
        lost = emulation.lives < self._lives
        self._lives = emulation.lives.copy()
        terminals = emulation.over.copy()
        if self._life_loss == "penalty":
            rewards -= lost
        elif self._life_loss == "terminal":
            terminals |= lost
        stalled = self._count_no_ops(actions, lost)
        rewards -= stalled
        terminals |= stalled
        ends = emulation.over | stalled | (self._lengths >= self._max_steps)
        frames = self._start(ends) if ends.any() else emulation.frames
        return Step(frames, rewards, emulation.points, terminals, ends)

    def picture(self) -> np.ndarray:
        """Returns the screen of the first environment, [height, width, 3] uint8 RGB.

        Only where `shown` was asked for.
        """
        return self._emulators.picture()  # type: ignore[attr-defined]

    def close(self) -> None:
        """Frees the emulators."""
        self._emulators.close()

    def _start(self, mask: np.ndarray) -> np.ndarray:
        """Starts an episode where `mask` is set; returns the newest frames of all."""
        seeds = self._rng.integers(2**31, size=int(mask.sum()))
        emulation = self._emulators.reset(seeds, mask)
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


def state_shape(stack_size: int) -> tuple[int, int, int]:
    """Returns the (height, width, frames) of a state of so many frames."""
    return FRAME_SIZE, FRAME_SIZE, stack_size


class FrameStack:
    """The states of n environments: the newest k frames of each, black before the first.

    # frame:  A        B        C        (A starts an episode)
    # state:  [0 0 0 A][0 0 A B][0 A B C]
    """

    def __init__(self, count: int, size: int):
        """Makes states of `size` frames for `count` environments."""
        self.states = np.zeros((count, *state_shape(size)), np.uint8)

    def push(self, frames: np.ndarray, starts: np.ndarray) -> None:
        """Takes in [n, 84, 84] frames; `starts` ([n] bool) says which begin an episode."""
        self.states[..., :-1] = self.states[..., 1:]
        self.states[starts] = 0
        self.states[..., -1] = frames
