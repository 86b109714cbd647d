"""The emulators of a game, n at a time: C++ ones, or Gymnasium's where the game is shown.

They skip frames, join the last two or not, turn them grey and resize or cut them: both kinds to the
same bits.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import ale_py
import cv2
import gymnasium
import numpy as np
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv

from atari.games import Game
from system.cores import emulator_threads
from system.errors import OneLineError

FRAME_SIZE = 84
SQUARE_SIZE = 160  # the whole width of the screen
SAME_SEED = -1  # in place of a seed: the random numbers go on
MAX_NO_OPS = 30  # emulator frames without action at the start of a game, Mnih et al. 2015
CROP_HEIGHT, CROP_TOP = 110, 26  # Mnih et al. 2013, section 4.1; which rows, it does not say


class EmulatorError(OneLineError):
    """An emulator that failed, said in one line."""


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Turns whatever an emulator raises into an EmulatorError that says which one it was."""
    try:
        yield
    except Exception as error:
        problem = " ".join(f"{type(error).__name__} {error}".split())
        raise EmulatorError(f"{what} has failed ({problem})") from error


class Emulation(NamedTuple):
    """What n emulators give after one step of each."""

    # [n, H, W, p] uint8, the newest last: p is 1, or the frame skip where all frames are wanted. A
    # game that is over gives no more pictures: its last one stands in.
    frames: np.ndarray
    points: np.ndarray  # [n] float32, the game's own, summed over the skipped frames
    over: np.ndarray  # [n] bool, the game is over
    lives: np.ndarray  # [n] int32, 0 in a game that has none


class Emulators(Protocol):
    """A batch of n games that step together, each fixed by its seed and what was done since."""

    actions: list[str]  # names, such as NOOP or UPFIRE, of what an action index means

    def reset(self, seeds: np.ndarray, mask: np.ndarray) -> Emulation:
        """Starts the games in `mask` ([n] bool) anew, one of `seeds` ([mask.sum()]) for each.

        A seed starts the emulator anew as well; with `SAME_SEED` it goes on, and draws how the new
        game begins.

        Where all skipped frames are wanted, the first of a game stands for all of them.
        """

    def send(self, actions: np.ndarray) -> None:
        """Begins to repeat each of `actions` ([n] int) for the skipped frames."""

    def receive(self) -> Emulation:
        """Waits until that is done; returns what came of it."""

    def step(self, actions: np.ndarray) -> Emulation:
        """Sends actions and receives what comes of them."""
        self.send(actions)
        return self.receive()

    def close(self) -> None:
        """Frees the emulators."""


def frame_shape(screen: str) -> tuple[int, int]:
    """Returns the (height, width) of the frames that `--screen` makes."""
    size = SQUARE_SIZE if screen == "square" else FRAME_SIZE
    return size, size


class _Picture:
    """How a screen becomes a frame: first it is resized, grey or in colour, then cut.

    - `resize`: grey, to 84×84.
    - `crop`: grey, to 84×110, of which rows 26 to 109 are kept.
    - `square`: in colour and as large as it is, of which the 160×160 pixels at its centre are kept,
      and of each of these the mean of its colours, rounded down.
    """

    def __init__(self, game: Game, screen: str):
        """Takes "resize", "crop" or "square"; only the last depends on the game."""
        self.in_colour = screen == "square"
        if screen == "square":
            self.height, self.width = _screen_size(game)
            top, left = (self.height - SQUARE_SIZE) // 2, (self.width - SQUARE_SIZE) // 2
            self._rows = slice(top, top + SQUARE_SIZE)
            self._columns = slice(left, left + SQUARE_SIZE)
        else:
            self.width = FRAME_SIZE
            self.height = CROP_HEIGHT if screen == "crop" else FRAME_SIZE
            top = CROP_TOP if screen == "crop" else 0
            self._rows, self._columns = slice(top, top + FRAME_SIZE), slice(None)

    def cut(self, resized: np.ndarray) -> np.ndarray:
        """Returns the frames, [n, H, W] uint8, of resized screens, [n, height, width(, 3)]."""
        frames = resized[:, self._rows, self._columns]
        if self.in_colour:
            return (frames.sum(axis=-1, dtype=np.uint16) // 3).astype(np.uint8)
        return frames


@functools.cache
def _screen_size(game: Game) -> tuple[int, int]:
    """Returns the (height, width) of a game's screen, which only its emulator knows."""
    emulator = ale_py.ALEInterface()
    emulator.loadROM(roms.get_rom_path(game.rom))
    return emulator.getScreenDims()


class VectorEmulators(Emulators):
    """The C++ emulators of ale-py, in threads of their own."""

    def __init__(
        self,
        game: Game,
        count: int,
        frame_skip: int,
        screen: str,
        frame_max: bool = True,
        raw: bool = False,
    ):
        """Makes `count` emulators.

        Args:
            game: what to play.
            count: n.
            frame_skip: emulator frames for each step.
            screen: "resize", "crop" or "square".
            frame_max: whether a frame is the maximum of the last two or the last one.
            raw: whether a step gives all of its frames, each as it is.
        """
        self._name = f"one of {count} emulators of {game.name}"
        self._picture = _Picture(game, screen)
        # Where all frames are wanted, the emulators skip none, and are stepped that much more.
        self._repeats = frame_skip if raw else 1
        self._frames = np.zeros((count, *frame_shape(screen), self._repeats), np.uint8)
        self._envs = AtariVectorEnv(
            game.rom,
            count,
            num_threads=emulator_threads(count),
            frameskip=1 if raw else frame_skip,
            maxpool=frame_max and not raw,
            repeat_action_probability=game.sticky_actions,
            full_action_space=game.full_action_space,
            img_width=self._picture.width,
            img_height=self._picture.height,
            grayscale=not self._picture.in_colour,
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
        with _named(self._name):
            screens, info = self._envs.reset(seed=seeds, options={"reset_mask": mask})
        # A game that goes on keeps the frames of its last step, of which only one is given here.
        frames = self._frames.copy()
        frames[mask] = self._picture.cut(screens[mask, 0])[..., None]
        self._frames = frames
        nothing = np.zeros(len(mask), np.float32)
        return Emulation(frames, nothing, nothing > 0, info["lives"])

    def send(self, actions: np.ndarray) -> None:
        """Begins to step all games, in threads of the emulators."""
        self._actions = actions
        with _named(self._name):
            # The threads would say nothing of it, and be waited for without end.
            if not ((actions >= 0) & (actions < len(self.actions))).all():
                raise IndexError(f"not all of {actions.tolist()} are actions")
            self._envs.send(actions)

    def receive(self) -> Emulation:
        """Waits for all games."""
        screens, points, over, info = self._receive()
        frames = [self._picture.cut(screens[:, 0])]
        points, lives = points.astype(np.float32), info["lives"]
        for _ in range(self._repeats - 1):
            self.send(self._actions)
            screens, more_points, now_over, info = self._receive()
            # A game that was over has started anew by itself. Nothing of the new one counts: it is
            # of no seed of ours, and will be reset before the next step.
            newest = np.where(over[:, None, None], frames[-1], self._picture.cut(screens[:, 0]))
            frames.append(newest)
            points += np.where(over, 0, more_points)
            lives = np.where(over, lives, info["lives"])
            over = over | now_over
        self._frames = np.stack(frames, axis=-1)
        return Emulation(self._frames, points, over, lives)

    def _receive(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict]:
        """Returns screens, points, which games are over, and what else is known."""
        with _named(self._name):
            screens, points, over, _, info = self._envs.recv()
        return screens, points, over, info

    def close(self) -> None:
        """Frees the emulators."""
        self._envs.close()


class _SeededStart(gymnasium.Wrapper):
    """Starts a game just as `VectorEmulators` does: FIRE, then some no-ops.

    How many no-ops is the secret of the C++ emulator's random numbers, so one such emulator is
    asked: the frames that pass until its game has begun tell.
    """

    def __init__(self, env: gymnasium.Env, game: Game):
        super().__init__(env)
        self._reference = AtariVectorEnv(
            game.rom,
            1,
            full_action_space=game.full_action_space,  # it fires only where that is an action
            noop_max=MAX_NO_OPS,
            use_fire_reset=True,
        )
        self._reference_frame = 0
        self._has_fire = "FIRE" in env.unwrapped.get_action_meanings()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Brings the emulator to a new game; the frame is not the one that this starts with.

        Args:
            seed: what to start the emulator with; `SAME_SEED` lets it go on.
            options: none.
        """
        atari = self.env.unwrapped
        if seed == SAME_SEED:
            _, info = self._reference.reset()
            first_frame = atari.ale.getFrameNumber() - self._reference_frame
        else:
            _, info = self._reference.reset(seed=seed)
            # Gymnasium's own reset derives another seed from the one it is given.
            atari.ale.setInt("random_seed", seed)
            atari.load_game()
            first_frame = 0
        self._reference_frame = int(info["frame_number"][0])
        first_frame += self._reference_frame
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


class GymnasiumEmulators(Emulators):
    """Gymnasium's own environments, one after the other: slower, but they can be looked at."""

    def __init__(
        self,
        game: Game,
        count: int,
        frame_skip: int,
        screen: str,
        frame_max: bool = True,
        raw: bool = False,
    ):
        """Makes `count` environments; see `VectorEmulators`."""
        self._names = [f"emulator {n + 1} of {count} of {game.name}" for n in range(count)]
        self._picture = _Picture(game, screen)
        self._frame_skip, self._raw = frame_skip, raw
        # Screens of the end of a step that are joined, where not all are wanted.
        self._joined = 2 if frame_max else 1
        self._envs = [self._make(game) for _ in range(count)]
        planes = frame_skip if raw else 1
        self._frames = np.zeros((count, *frame_shape(screen), planes), np.uint8)
        self.actions = self._envs[0].unwrapped.get_action_meanings()

    @staticmethod
    def _make(game: Game) -> gymnasium.Env:
        env = gymnasium.make(
            f"ALE/{game.name}-v5",
            frameskip=1,
            repeat_action_probability=game.sticky_actions,
            full_action_space=game.full_action_space,
            max_num_frames_per_episode=None,
            render_mode="rgb_array",
            disable_env_checker=True,
        )
        return _SeededStart(env, game)

    def reset(self, seeds: np.ndarray, mask: np.ndarray) -> Emulation:
        """Starts the games in `mask` anew."""
        for index, seed in zip(np.flatnonzero(mask), seeds, strict=True):
            env = self._envs[index]
            with _named(self._names[index]):
                env.reset(seed=int(seed))
            self._frames[index] = self._frame([self._screen(env)])[..., None]
        nothing = np.zeros(len(mask), np.float32)
        return Emulation(self._frames.copy(), nothing, nothing > 0, self._lives())

    def send(self, actions: np.ndarray) -> None:
        """Takes the actions; the games step one after the other, when they are waited for."""
        self._actions = actions

    def receive(self) -> Emulation:
        """Steps all games."""
        points = np.zeros(len(self._envs), np.float32)
        over = np.zeros(len(self._envs), bool)
        for index, action in enumerate(self._actions.tolist()):
            with _named(self._names[index]):
                screens, points[index], over[index] = self._repeat(self._envs[index], action)
            frames = self._frames[index]
            if self._raw:
                # What follows the end of a game is like the last that was seen of it.
                frames[:] = frames[..., -1:]
                for number, screen in enumerate(screens):
                    frames[..., number:] = self._frame([screen])[..., None]
            elif not over[index]:
                frames[..., 0] = self._frame(screens[-self._joined :])
        return Emulation(self._frames.copy(), points, over, self._lives())

    def picture(self) -> np.ndarray:
        """Returns the screen of the first environment, [height, width, 3] uint8 RGB."""
        return self._envs[0].render()

    def close(self) -> None:
        """Frees the emulators."""
        for env in self._envs:
            env.close()

    def _repeat(self, env: gymnasium.Env, action: int) -> tuple[list[np.ndarray], float, bool]:
        """Returns the screens of a step, those of a game that is over left out, points and end."""
        screens: list[np.ndarray] = []
        total = 0.0
        for _ in range(self._frame_skip):
            _, points, over, _, _ = env.step(action)
            total += points
            if over:
                return screens, total, True
            screens.append(self._screen(env))
        return screens, total, False

    def _screen(self, env: gymnasium.Env) -> np.ndarray:
        """Returns the screen, [height, width] uint8, or [height, width, 3] where colour counts."""
        emulator = env.unwrapped.ale
        return emulator.getScreenRGB() if self._picture.in_colour else emulator.getScreenGrayscale()

    def _frame(self, screens: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the frame, [H, W] uint8, of the maximum of screens."""
        size = self._picture.width, self._picture.height
        joined = functools.reduce(np.maximum, screens)
        resized = cv2.resize(joined, size, interpolation=cv2.INTER_AREA)
        return self._picture.cut(resized[None])[0]

    def _lives(self) -> np.ndarray:
        return np.array([env.unwrapped.ale.lives() for env in self._envs], np.int32)
