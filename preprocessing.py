"""From an environment id to a batch of Atari games: 84×84 uint8 frames in, actions out.

    id ──► Game ──► emulators (C++, or Gymnasium's where the game is shown) ──► AtariEnvironments

The emulators skip frames, take the maximum of the last two, turn them grey and resize them. What
the agent learns from (clipped rewards, penalties, ends) is added above them, so that it is the same
on both.
"""

from __future__ import annotations

import difflib
import functools
import re
from typing import Any, NamedTuple, Protocol

import ale_py
import gymnasium
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.wrappers import AtariPreprocessing

FRAME_SIZE = 84
MAX_NO_OPS = 30  # emulator frames without action at the start of a game, Mnih et al. 2015
MAX_FRAMES = 108_000  # half an hour of play, after which a game is cut off
CROP_HEIGHT, CROP_TOP = 110, 26  # Mnih et al. 2013, section 4.1; which rows, it does not say
# The probability that the emulator repeats the last action instead of the one it is given, as
# ale-py registers each version (Machado et al. 2018, section 5).
STICKY_ACTIONS = {"v0": 0.25, "v4": 0.0, "v5": 0.25}

gymnasium.register_envs(ale_py)
# The emulators greet on stderr, where only errors are to be.
ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)


class EnvironmentIdError(ValueError):
    """An id that names no Atari game, said in one line."""


class Game(NamedTuple):
    """What an environment id stands for."""

    name: str  # as in ids: MsPacman
    rom: str  # as ale-py names its file: ms_pacman
    sticky_actions: float  # probability of repeating the last action


@functools.cache
def game_roms() -> dict[str, str]:
    """Returns the ROM of every game that ale-py ships and that one player can play, by its name."""
    return {
        spec.id.removeprefix("ALE/").removesuffix("-v5"): spec.kwargs["game"]
        for spec in gymnasium.registry.values()
        if spec.id.startswith("ALE/") and spec.id.endswith("-v5")
    }


def find_game(environment_id: str) -> Game:
    """Returns the game that an id names.

    The kinds are `Pong-v0`, `Pong-v4`, `PongNoFrameskip-v4`, `PongDeterministic-v4`, `ALE/Pong-v5`.
    What an id says of skipped frames is passed over: the agent skips them, once.

    Raises:
        EnvironmentIdError: it names no game that ale-py ships.
    """
    match = re.fullmatch(
        r"(?:(\w+?)(?:NoFrameskip|Deterministic)?-(v0|v4))|(?:ALE/(\w+)-(v5))", environment_id
    )
    if match:
        name, version = match[1] or match[3], match[2] or match[4]
        if name in game_roms():
            return Game(name, game_roms()[name], STICKY_ACTIONS[version])
    kinds = ("{}-v0", "{}-v4", "{}NoFrameskip-v4", "{}Deterministic-v4", "ALE/{}-v5")
    known = {kind.format(name).lower(): kind.format(name) for kind in kinds for name in game_roms()}
    nearest = [
        known[match] for match in difflib.get_close_matches(environment_id.lower(), known, n=3)
    ]
    if environment_id in gymnasium.registry:
        problem = f"{environment_id} is no Atari game"
    else:
        problem = f"there is no environment {environment_id!r}"
    advice = f"nearest: {', '.join(nearest)}" if nearest else "try Pong-v0 or ALE/Breakout-v5"
    raise EnvironmentIdError(f"{problem}; {advice}")


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

    frame_shape = (FRAME_SIZE, FRAME_SIZE)  # height, width

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

    def __init__(
        self, count: int, size: int, frame_shape: tuple[int, int] = (FRAME_SIZE, FRAME_SIZE)
    ):
        """Makes states of `size` frames of (height, width) for `count` environments."""
        self.states = np.zeros((count, *frame_shape, size), np.uint8)

    def push(self, frames: np.ndarray, starts: np.ndarray) -> None:
        """Takes in [n, H, W] frames; `starts` ([n] bool) says which begin an episode."""
        self.states[..., :-1] = self.states[..., 1:]
        self.states[starts] = 0
        self.states[..., -1] = frames
