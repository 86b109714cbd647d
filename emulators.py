"""The emulators of a game, n at a time: C++ ones, or Gymnasium's where the game is shown.

They skip frames, take the maximum of the last two, turn them grey and resize them, both to the same
bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import ale_py
import gymnasium
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.wrappers import AtariPreprocessing

from games import Game

FRAME_SIZE = 84
MAX_NO_OPS = 30  # emulator frames without action at the start of a game, Mnih et al. 2015
CROP_HEIGHT, CROP_TOP = 110, 26  # Mnih et al. 2013, section 4.1; which rows, it does not say


class Emulation(NamedTuple):
    """What n emulators give after one step of each."""

    frames: np.ndarray  # [n, 84, 84] uint8
    points: np.ndarray  # [n] float32, the game's own, summed over the skipped frames
    over: np.ndarray  # [n] bool, the game is over
    lives: np.ndarray  # [n] int32, 0 in a game that has none


class Emulators(Protocol):
    """A batch of n games that step together; a start is fixed by its seed."""

    actions: list[str]  # names, such as NOOP or UPFIRE, of what an action index means

    def reset(self, seeds: np.ndarray, mask: np.ndarray) -> Emulation:
        """Starts the games in `mask` ([n] bool) anew, one of `seeds` ([mask.sum()]) for each."""

    def step(self, actions: np.ndarray) -> Emulation:
        """Repeats each of `actions` ([n] int) for the skipped frames."""

    def close(self) -> None:
        """Frees the emulators."""


def _screen_rows(screen: str) -> tuple[int, slice]:
    """Returns how high the screen is shrunk to, and which of those rows make a frame."""
    if screen == "crop":
        return CROP_HEIGHT, slice(CROP_TOP, CROP_TOP + FRAME_SIZE)
    return FRAME_SIZE, slice(None)


class VectorEmulators:
    """The C++ emulators of ale-py, in threads of their own."""

    def __init__(self, game: Game, count: int, frame_skip: int, screen: str):
        """Makes `count` emulators; `screen` is "resize" or "crop"."""
        height, self._crop = _screen_rows(screen)
        self._envs = AtariVectorEnv(
            game.rom,
            count,
            frameskip=frame_skip,
            repeat_action_probability=game.sticky_actions,
            img_width=FRAME_SIZE,
            img_height=height,
            stack_num=1,
            noop_max=MAX_NO_OPS,
            use_fire_reset=True,
            reward_clipping=False,
            # Time limits and the starts of games are ours, so the emulators' own are put out of
            # reach: a game that is over is reset by its mask before the next step is taken.
            max_num_frames_per_episode=10**9,
            autoreset_mode="NextStep",
        )
        self.actions = [action.name for action in self._envs.ale.get_action_set()]

    def reset(self, seeds: np.ndarray, mask: np.ndarray) -> Emulation:
        """Starts the games in `mask` anew."""
        frames, info = self._envs.reset(seed=seeds, options={"reset_mask": mask})
        nothing = np.zeros(len(mask), np.float32)
        return Emulation(self._cut(frames), nothing, nothing > 0, info["lives"])

    def step(self, actions: np.ndarray) -> Emulation:
        """Steps all games."""
        frames, points, over, _, info = self._envs.step(actions)
        return Emulation(self._cut(frames), points.astype(np.float32), over, info["lives"])

    def close(self) -> None:
        """Frees the emulators."""
        self._envs.close()

    def _cut(self, frames: np.ndarray) -> np.ndarray:
        """Returns the rows of [n, 1, height, 84] frames that a state is made of."""
        return frames[:, 0, self._crop]


class _SeededStart(gymnasium.Wrapper):
    """Starts a game from a seed just as `VectorEmulators` does: FIRE, then some no-ops.

    How many no-ops a seed means is the secret of the C++ emulator's random numbers, so one such
    emulator is asked: the frame that it starts at tells.
    """

    def __init__(self, env: gymnasium.Env, game: Game):
        super().__init__(env)
        self._reference = AtariVectorEnv(game.rom, 1, noop_max=MAX_NO_OPS, use_fire_reset=True)
        self._has_fire = "FIRE" in env.unwrapped.get_action_meanings()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Brings the emulator to the start that `seed` stands for; the frame is not that one's."""
        _, info = self._reference.reset(seed=seed)
        first_frame = int(info["frame_number"][0])
        # Gymnasium's own reset derives another seed from the one it is given.
        atari = self.env.unwrapped
        atari.ale.setInt("random_seed", seed)
        atari.load_game()
        frame, info = self.env.reset()
        # Past the environment's own step, because not every game counts a no-op among its actions.
        if self._has_fire:
            atari.ale.act(ale_py.Action.FIRE)
        while atari.ale.getFrameNumber() < first_frame:
            atari.ale.act(ale_py.Action.NOOP)
            if atari.ale.game_over():
                atari.ale.reset_game()
        return frame, info

    def close(self) -> None:
        """Frees both emulators."""
        self._reference.close()
        super().close()


class GymnasiumEmulators:
    """Gymnasium's own environments, one after the other: slower, but they can be looked at."""

    def __init__(self, game: Game, count: int, frame_skip: int, screen: str):
        """Makes `count` environments; `screen` is "resize" or "crop"."""
        height, self._crop = _screen_rows(screen)
        self._envs = [self._make(game, frame_skip, height) for _ in range(count)]
        self._frames = np.zeros((count, FRAME_SIZE, FRAME_SIZE), np.uint8)
        self.actions = self._envs[0].unwrapped.get_action_meanings()

    @staticmethod
    def _make(game: Game, frame_skip: int, height: int) -> AtariPreprocessing:
        env = gymnasium.make(
            f"ALE/{game.name}-v5",
            frameskip=1,
            repeat_action_probability=game.sticky_actions,
            max_num_frames_per_episode=None,
            render_mode="rgb_array",
            disable_env_checker=True,
        )
        return AtariPreprocessing(
            _SeededStart(env, game),
            noop_max=0,
            frame_skip=frame_skip,
            screen_size=(FRAME_SIZE, height),
        )

    def reset(self, seeds: np.ndarray, mask: np.ndarray) -> Emulation:
        """Starts the games in `mask` anew."""
        for index, seed in zip(np.flatnonzero(mask), seeds, strict=True):
            frame, _ = self._envs[index].reset(seed=int(seed))
            self._frames[index] = frame[self._crop]
        nothing = np.zeros(len(mask), np.float32)
        return Emulation(self._frames.copy(), nothing, nothing > 0, self._lives())

    def step(self, actions: np.ndarray) -> Emulation:
        """Steps all games."""
        points = np.zeros(len(actions), np.float32)
        over = np.zeros(len(actions), bool)
        for index, env in enumerate(self._envs):
            frame, points[index], over[index], _, _ = env.step(int(actions[index]))
            self._frames[index] = frame[self._crop]
        return Emulation(self._frames.copy(), points, over, self._lives())

    def picture(self) -> np.ndarray:
        """Returns the first game's screen, [height, width, 3] uint8 RGB in its own size."""
        return self._envs[0].render()

    def close(self) -> None:
        """Frees the environments."""
        for env in self._envs:
            env.close()

    def _lives(self) -> np.ndarray:
        return np.array([env.ale.lives() for env in self._envs], np.int32)
