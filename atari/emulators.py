"""A batch of n emulators of a game: ale-py's in C++, or Gymnasium's where the game is shown.

They skip frames, take the maximum of the last two where that is asked for, and make frames of the
screens. Both kinds give the same bits. Their state is what `histories` records.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import ale_py
import gymnasium
import numpy as np
from ale_py.vector_env import AtariVectorEnv

from atari.screens import FrameMaker, frame_shape
from system.cores import emulator_threads
from system.errors import OneLineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atari.games import Game

SAME_SEED = -1  # in place of a seed: the emulator's random numbers go on
MAX_NO_OPS = 30  # emulator frames without action at the start of a game, Mnih et al. 2015


class EmulatorError(OneLineError):
    """Says in one line that an emulator failed."""


@contextmanager
def _failures_of(emulator: str) -> Iterator[None]:
    """Turns each exception into an EmulatorError that names the emulator."""
    try:
        yield
    except Exception as error:
        problem = " ".join(f"{type(error).__name__} {error}".split())
        raise EmulatorError(f"{emulator} has failed ({problem})") from error


class Emulation(NamedTuple):
    """What n emulators give after one step."""

    # [n, H, W, p] uint8, the newest last: p is 1, or the frame skip where all frames are wanted. A
    # game that is over gives no more frames: its last one takes their place.
    frames: np.ndarray
    points: np.ndarray  # [n] float32, the game's own, summed over the skipped frames
    over: np.ndarray  # [n] bool, the game is over
    lives: np.ndarray  # [n] int32, 0 in a game that has none


class Emulators(Protocol):
    """A batch of n games that step together."""

    actions: list[str]  # the name of each action, such as NOOP or UPFIRE

    def reset(self, seeds: np.ndarray, mask: np.ndarray) -> Emulation:
        """Starts new games.

        Args:
            seeds: [mask.sum()] int, one for each new game. A seed restarts the emulator. With
                `SAME_SEED` the emulator goes on, and draws how the new game begins.
            mask: [n] bool, which emulators start a game.

        Returns:
            What all emulators give now. Where all skipped frames are wanted, the first frame of a
            new game is repeated for each.
        """

    def send(self, actions: np.ndarray) -> None:
        """Starts a step: each of `actions`, [n] int, is repeated for the skipped frames."""

    def receive(self) -> Emulation:
        """Waits for the step and returns what it gave."""

    def step(self, actions: np.ndarray) -> Emulation:
        """Takes a step with `actions`, [n] int."""
        self.send(actions)
        return self.receive()

    def close(self) -> None:
        """Frees the emulators."""


class VectorEmulators(Emulators):
    """The C++ emulators of ale-py, which run in threads of their own."""

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
            game: the game.
            count: n.
            frame_skip: emulator frames in a step.
            screen: "resize", "crop" or "square".
            frame_max: whether a frame is the maximum of the last two screens, or the last screen.
            raw: whether a step gives a frame of each of its screens.
        """
        self._name = f"one of {count} emulators of {game.name}"
        self._maker = FrameMaker(game, screen)
        # Where all frames are wanted, the emulators skip none and take more steps instead.
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
            img_width=self._maker.width,
            img_height=self._maker.height,
            grayscale=not self._maker.in_colour,
            stack_num=1,
            noop_max=MAX_NO_OPS,
            use_fire_reset=True,
            reward_clipping=False,
            # `AtariEnvironments` limits the time and starts new games, so the emulators' own limit
            # is out of reach, and a game that is over is reset by its mask before the next step.
            max_num_frames_per_episode=10**9,
            autoreset_mode="NextStep",
        )
        self.actions = [action.name for action in self._envs.ale.get_action_set()]

    def reset(self, seeds: np.ndarray, mask: np.ndarray) -> Emulation:
        """Starts new games."""
        with _failures_of(self._name):
            screens, info = self._envs.reset(seed=seeds, options={"reset_mask": mask})
        # A game that goes on keeps all frames of its last step: the emulators give only one here.
        frames = self._frames.copy()
        frames[mask] = self._maker.cut(screens[mask, 0])[..., None]
        self._frames = frames
        nothing = np.zeros(len(mask), np.float32)
        return Emulation(frames, nothing, nothing > 0, info["lives"])

    def send(self, actions: np.ndarray) -> None:
        """Starts a step of all games, in threads of the emulators."""
        self._actions = actions
        with _failures_of(self._name):
            # In the threads nobody would see the error, and `receive` would wait for ever.
            if not ((actions >= 0) & (actions < len(self.actions))).all():
                raise IndexError(f"not all of {actions.tolist()} are actions")
            self._envs.send(actions)

    def receive(self) -> Emulation:
        """Waits for all games and returns what they gave."""
        screens, points, over, info = self._receive()
        frames = [self._maker.cut(screens[:, 0])]
        points, lives = points.astype(np.float32), info["lives"]
        for _ in range(self._repeats - 1):
            self.send(self._actions)
            screens, more_points, now_over, info = self._receive()
            # The emulator has started a new game where one was over. Nothing of the new game
            # counts: it does not have our seed, and is reset before the next step.
            newest = np.where(over[:, None, None], frames[-1], self._maker.cut(screens[:, 0]))
            frames.append(newest)
            points += np.where(over, 0, more_points)
            lives = np.where(over, lives, info["lives"])
            over = over | now_over
        self._frames = np.stack(frames, axis=-1)
        return Emulation(self._frames, points, over, lives)

    def _receive(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict]:
        """Returns resized screens, points, which games are over, and the emulators' info."""
        with _failures_of(self._name):
            screens, points, over, _, info = self._envs.recv()
        return screens, points, over, info

    def close(self) -> None:
        """Frees the emulators."""
        self._envs.close()


class _SeededStart(gymnasium.Wrapper):
    """Starts a game as `VectorEmulators` does: FIRE, then some no-ops.

    Only the C++ emulator's random numbers say how many no-ops. So a C++ emulator starts a game as
    well, and the number of its frames until the game begins gives the number of no-ops.
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
        """Starts a new game.

        Args:
            seed: restarts the emulator; with `SAME_SEED` the emulator goes on.
            options: not used.

        Returns:
            A frame from before the game begins, and Gymnasium's info.
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
        # Not through the environment's step, as not every game has a no-op among its actions.
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
    """Gymnasium's environments, one after the other: slower, but with pictures in colour."""

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
        self._maker = FrameMaker(game, screen)
        self._frame_skip, self._raw = frame_skip, raw
        # The last screens of a step that make its frame, where not each makes one.
        self._pooled = 2 if frame_max else 1
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
        """Starts new games."""
        for index, seed in zip(np.flatnonzero(mask), seeds, strict=True):
            env = self._envs[index]
            with _failures_of(self._names[index]):
                env.reset(seed=int(seed))
            self._frames[index] = self._maker.frame([self._screen(env)])[..., None]
        nothing = np.zeros(len(mask), np.float32)
        return Emulation(self._frames.copy(), nothing, nothing > 0, self._lives())

    def send(self, actions: np.ndarray) -> None:
        """Keeps the actions for `receive`."""
        self._actions = actions

    def receive(self) -> Emulation:
        """Steps the games one after the other and returns what they gave."""
        points = np.zeros(len(self._envs), np.float32)
        over = np.zeros(len(self._envs), bool)
        for index, action in enumerate(self._actions.tolist()):
            with _failures_of(self._names[index]):
                screens, points[index], over[index] = self._repeat(self._envs[index], action)
            frames = self._frames[index]
            if self._raw:
                # After the end of a game its last frame is repeated.
                frames[:] = frames[..., -1:]
                for number, screen in enumerate(screens):
                    frames[..., number:] = self._maker.frame([screen])[..., None]
            elif not over[index]:
                frames[..., 0] = self._maker.frame(screens[-self._pooled :])
        return Emulation(self._frames.copy(), points, over, self._lives())

    def picture(self) -> np.ndarray:
        """Returns the screen of the first environment, [height, width, 3] uint8 RGB."""
        return self._envs[0].render()

    def close(self) -> None:
        """Frees the emulators."""
        for env in self._envs:
            env.close()

    def _repeat(self, env: gymnasium.Env, action: int) -> tuple[list[np.ndarray], float, bool]:
        """Takes a step.

        Returns:
            Its screens but for those after the end of the game, its points, and whether the game is
            over.
        """
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
        """Returns the screen, [height, width] uint8, or [height, width, 3] in colour."""
        emulator = env.unwrapped.ale
        return emulator.getScreenRGB() if self._maker.in_colour else emulator.getScreenGrayscale()

    def _lives(self) -> np.ndarray:
        return np.array([env.unwrapped.ale.lives() for env in self._envs], np.int32)
