"""Makes the pictures of `docs/theory.md` and prints the numbers that its text gives.

    python3 -m docs.make_pictures       from the root of the repository; writes res/theory/*.png

Screens are of real games, made by the program's own preprocessing; all else is computed here. All
seeds are fixed, so that the pictures stay the same from run to run.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")  # pictures go to files; there may be no display

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from atari.emulators import GymnasiumEmulators
from atari.games import find_game
from atari.screens import CROP_HEIGHT, CROP_TOP, FRAME_SIZE
from learning.random_actions import duration_shares
from preprocessing import AtariEnvironments, FrameStack
from replay_memory import ReplayMemory, make_memory
from settings.config import Config
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FOLDER = ROOT / "res" / "theory"
BLUE, ORANGE, GREY = "#2166ac", "#d6604d", "#777777"
TIMES = ("#fde725", "#5ec962", "#21918c", "#8f7bd0")  # oldest frame first

# The corridor of the worked example: START is its left end, and a step right out of the last
# square gives the reward and ends the game.
SQUARES = 5
LEFT, RIGHT = 0, 1
ALPHA, GAMMA = 0.5, 0.9


class Player:
    """One game played by a scripted hand, in the program's own emulator."""

    def __init__(self, name: str, seed: int, *, frame_skip: int = 4, screen: str = "resize"):
        """Starts the game that `seed` stands for."""
        game = find_game(f"{name}NoFrameskip-v4")  # this kind of id has no sticky actions
        self._emulators = GymnasiumEmulators(game, 1, frame_skip, screen)
        self.num_actions = len(self._emulators.actions)
        start = self._emulators.reset(np.array([seed]), np.ones(1, bool))
        self.frame = start.frames[0, ..., 0]

    def play(self, actions: Sequence[int]) -> None:
        """Takes these actions, a step each."""
        for action in actions:
            self.frame = self._emulators.step(np.array([action])).frames[0, ..., 0]

    def screen(self) -> np.ndarray:
        """Returns the screen as a television would show it, [210, 160, 3] uint8."""
        return self._emulators.picture()


def random_actions(count: int, num_actions: int, held: int, seed: int) -> list[int]:
    """Returns `count` random actions, each of them held for so many steps."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(num_actions, size=-(-count // held))
    return [int(action) for action in np.repeat(drawn, held)[:count]]


def luminance(screen: np.ndarray) -> np.ndarray:
    """Returns the grey of a screen, [H, W] uint8, with the weights of television."""
    return np.round(screen @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def bare(axes: Any, title: str = "") -> None:
    """Takes ticks and frame off axes that show a picture."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(title, fontsize=11)


def save(name: str) -> None:
    """Writes the figure at hand and forgets it."""
    path = FOLDER / f"{name}.png"
    # Metadata would name the version of matplotlib and change the file with it.
    plt.savefig(path, dpi=110, facecolor="white", metadata={"Software": None})
    plt.close()
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KiB")


def screen_to_frame() -> None:
    """Draws how a screen of Breakout becomes 84×84 in both ways."""
    actions = random_actions(292, 4, 1, seed=0)
    resized, cropped = Player("Breakout", 0), Player("Breakout", 0, screen="crop")
    resized.play(actions)
    cropped.play(actions)
    screen = resized.screen()
    shape = "×".join(str(length) for length in screen.shape)
    _, axes = plt.subplots(
        1, 4, figsize=(8.6, 3.3), width_ratios=(160, 160, 180, 180), layout="constrained"
    )
    axes[0].imshow(screen)
    bare(axes[0], f"the screen\n{shape} bytes")
    axes[1].imshow(luminance(screen), cmap="gray", vmin=0, vmax=255)
    bare(axes[1], f"grey\n{screen.shape[0]}×{screen.shape[1]}")
    axes[2].imshow(resized.frame, cmap="gray", vmin=0, vmax=255)
    bare(axes[2], f"--screen resize\n{FRAME_SIZE}×{FRAME_SIZE}")
    axes[3].imshow(cropped.frame, cmap="gray", vmin=0, vmax=255)
    bare(axes[3], f"--screen crop\nrows {CROP_TOP}–{CROP_TOP + FRAME_SIZE - 1} of {CROP_HEIGHT}")
    save("screen")
    print(f"bytes of a screen: {screen.size:,}; of a frame: {resized.frame.size:,}")


def four_frames() -> None:
    """Draws a state of Pong: its four frames, and all of them in one with colours for time."""
    rng = np.random.default_rng(1)
    actions, action = [], 2
    for step in range(134):
        if step % 6 == 0:
            action = int(rng.choice([2, 3, 2, 3, 0]))
        actions.append(action)
    player = Player("Pong", 1)
    player.play(actions[:130])
    state = []
    for action in actions[130:]:
        player.play([action])
        state.append(player.frame)
    _, axes = plt.subplots(
        1, 5, figsize=(8.6, 2.65), width_ratios=(1, 1, 1, 1, 1.5), layout="constrained"
    )
    names = ("3 steps ago", "2 steps ago", "1 step ago", "now")
    for number, frame in enumerate(state):
        axes[number].imshow(frame, cmap="gray", vmin=0, vmax=255)
        bare(axes[number], names[number])
        axes[number].add_patch(Rectangle((-0.5, 85), 84, 4, color=TIMES[number], clip_on=False))
    background = np.median(state, axis=0).astype(np.uint8)
    picture = np.repeat(background[..., np.newaxis] // 2, 3, axis=2)
    for colour, frame in zip(TIMES, state, strict=True):
        moved = frame.astype(int) - np.min(state, axis=0) > 20
        picture[moved] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    axes[4].imshow(picture)
    bare(axes[4], "all in one")
    save("state")


def flicker() -> None:
    """Draws why two frames are joined: Asteroids paints rocks and ship in turn."""
    steps, skip = 41, 4
    actions = random_actions(steps, 14, 2, seed=2)
    single, skipping = Player("Asteroids", 3, frame_skip=1), Player("Asteroids", 3)
    screens = []
    for action in np.repeat(actions, skip):
        single.play([int(action)])
        screens.append(luminance(single.screen()))
    skipping.play(actions)
    before, after = screens[-2:]
    _, axes = plt.subplots(
        1, 4, figsize=(8.6, 3.3), width_ratios=(160, 160, 160, 180), layout="constrained"
    )
    shown = (before, after, np.maximum(before, after), skipping.frame)
    titles = (
        "third frame of a step",
        "fourth frame",
        "maximum of both",
        "84×84, as the agent sees",
    )
    for panel, picture, title in zip(axes, shown, titles, strict=True):
        panel.imshow(picture, cmap="gray", vmin=0, vmax=255)
        bare(panel, title)
    save("flicker")
    # Rocks are the only large things that are bright.
    rocky = [int((screen > 200).sum() > 100) for screen in screens]
    print(f"Asteroids, {steps} steps: rocks in {sum(rocky[2::4])} third frames,", end=" ")
    print(f"in {sum(rocky[3::4])} fourth frames")


def epsilon_schedule() -> None:
    """Draws the exploration rate over the steps of a run with the program's defaults."""
    config = Config()
    shown = 2 * config.explore_steps
    _, axes = plt.subplots(figsize=(8, 2.9))
    axes.plot(
        [0, config.explore_steps, shown],
        [config.epsilon_start, config.epsilon_end, config.epsilon_end],
        BLUE,
        linewidth=2,
    )
    axes.fill_between(
        [0, config.explore_steps, shown],
        [config.epsilon_start, config.epsilon_end, config.epsilon_end],
        color="#d1e5f0",
    )
    axes.text(0.14 * shown, 0.25, "a random action", fontsize=12)
    axes.text(0.36 * shown, 0.6, "the best action by the network's values", fontsize=12)
    axes.annotate(
        f"{config.epsilon_end:g} from step {config.explore_steps:,} on",
        (config.explore_steps, config.epsilon_end), (1.15 * config.explore_steps, 0.22),
        arrowprops={"arrowstyle": "->"}, fontsize=11,
    )  # fmt: skip
    axes.set(xlim=(0, shown), ylim=(0, 1.02), xlabel="steps", ylabel="epsilon")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    plt.tight_layout(pad=0.6)
    save("epsilon")


def learn_from_walk(
    values: np.ndarray, squares: list[int], actions: list[int], n_step: int = 1
) -> None:
    """Updates a Q table with one walk to the reward, by n-step Q-learning.

    The update is Watkins's for n = 1; each target sums up to n rewards, of which only the last of
    the walk is 1, before the table's estimate.

    Args:
        values: [SQUARES, 2] float, the table; changed in place.
        squares: the squares that the walk was on.
        actions: what was done there; the last leaves the corridor.
        n_step: rewards in a return.
    """
    length = len(squares)
    for step, (square, action) in enumerate(zip(squares, actions, strict=True)):
        if step + n_step >= length:
            target = GAMMA ** (length - 1 - step)
        else:
            target = GAMMA**n_step * values[squares[step + n_step]].max()
        values[square, action] += ALPHA * (target - values[square, action])


def straight_walks(walks: int, n_step: int) -> np.ndarray:
    """Returns the values of going right after each of so many walks to the right, [walks, 5]."""
    values = np.zeros((SQUARES, 2))
    history = []
    for _ in range(walks):
        learn_from_walk(values, list(range(SQUARES)), [RIGHT] * SQUARES, n_step)
        history.append(values[:, RIGHT].copy())
    return np.array(history)


def random_walks(walks: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Returns the table [SQUARES, 2] of a player that tosses a coin, and the mean steps a walk."""
    values = np.zeros((SQUARES, 2))
    steps = 0
    for _ in range(walks):
        square, squares, actions = 0, [], []
        while square < SQUARES:
            action = int(rng.integers(2))
            squares.append(square)
            actions.append(action)
            square = max(0, square + (1 if action == RIGHT else -1))
        learn_from_walk(values, squares, actions)
        steps += len(squares)
    return values, steps / walks


def value_grid(axes: Any, values: np.ndarray, rows: list[str], title: str) -> None:
    """Draws values as a table with colours."""
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, f"{value:.3f}", ha="center", va="center", fontsize=10.5)
    axes.set_xticks(range(SQUARES), [f"square {i}" for i in range(SQUARES)], fontsize=9.5)
    axes.set_yticks(range(len(rows)), rows, fontsize=10.5)
    axes.tick_params(length=0)
    axes.set_title(title, fontsize=11)
    for spine in axes.spines.values():
        spine.set_visible(False)


def q_table() -> None:
    """Draws how the reward of the corridor spreads back through the Q table."""
    rows = (1, 2, 3, 4, 5, 10, 50)
    history = straight_walks(max(rows), 1)
    table, mean_steps = random_walks(200, np.random.default_rng(0))
    _, axes = plt.subplots(2, 1, figsize=(8, 4.9), height_ratios=(len(rows), 2.2))
    names = [f"after walk {row}" for row in rows]
    value_grid(
        axes[0], history[[row - 1 for row in rows]], names, "going straight: Q(square, right)"
    )
    value_grid(
        axes[1],
        table.T,
        ["Q(…, left)", "Q(…, right)"],
        "after 200 games of a player tossing a coin",
    )
    plt.tight_layout(pad=0.6)
    save("q_table")
    for row in (1, 2, 3):
        print(f"corridor, walk {row}:", history[row - 1])
    print(f"coin tosser: {mean_steps:.1f} steps a walk; table", *table.round(3).tolist())


def n_step_returns() -> None:
    """Draws what n-step returns do to the spreading of the reward."""
    _, axes = plt.subplots(2, 1, figsize=(8, 3.6))
    for panel, n_step in zip(axes, (1, 3), strict=True):
        names = [f"after walk {walk}" for walk in (1, 2, 3)]
        value_grid(panel, straight_walks(3, n_step), names, f"n = {n_step}: Q(square, right)")
    plt.tight_layout(pad=0.6)
    save("n_step")
    print("n = 3:", *straight_walks(3, 3).round(4).tolist())


def huber_loss() -> None:
    """Draws the Huber loss and its gradient beside those of half the squared error."""
    error = np.linspace(-4, 4, 801)
    size = np.abs(error)
    huber = np.where(size <= 1, 0.5 * error**2, size - 0.5)
    _, axes = plt.subplots(1, 2, figsize=(8, 2.9))
    lines = (
        (axes[0], "loss", 0.5 * error**2, huber),
        (axes[1], "gradient", error, np.clip(error, -1, 1)),
    )
    for panel, name, squared, ours in lines:
        panel.plot(error, squared, ORANGE, linewidth=2, label="squared error / 2")
        panel.plot(error, ours, BLUE, linewidth=2, label="Huber")
        panel.set(xlabel="TD error", title=name)
        panel.grid(color="#dddddd")
    axes[0].legend(loc="upper center")
    plt.tight_layout(pad=0.6)
    save("huber")


def overestimation() -> None:
    """Draws how the maximum of noisy estimates is too high, and two sets of them are not."""
    actions, states = 6, 100_000
    rng = np.random.default_rng(0)
    chooser, rater = rng.standard_normal((2, states, actions))
    single = chooser.max(axis=1)
    double = rater[np.arange(states), chooser.argmax(axis=1)]
    _, axes = plt.subplots(figsize=(8, 2.9))
    bins = np.linspace(-4, 4, 81).tolist()
    for estimate, colour, name in (
        (single, ORANGE, "one set chooses and rates"),
        (double, BLUE, "one chooses, the other rates"),
    ):
        label = f"{name}: mean {estimate.mean() + 0.0:.2f}"
        axes.hist(estimate, bins, color=colour, alpha=0.6, label=label)
        axes.axvline(estimate.mean(), color=colour, linewidth=2)
    axes.set(xlabel="estimate of the best action's value, which truly is 0", xlim=(-4, 4))
    axes.set_ylim(0, 1.45 * axes.get_ylim()[1])
    axes.set_yticks([])
    axes.legend(loc="upper left")
    plt.tight_layout(pad=0.6)
    save("double")
    print(f"maximum of {actions} noisy values: {single.mean():.3f}; double: {double.mean():.3f}")


def random_play(game: str, streams: int, steps: int) -> tuple[ReplayMemory, list[np.ndarray]]:
    """Returns what a random player remembers and the states it saw, [streams, 84, 84, 4] each."""
    environments = AtariEnvironments(
        find_game(f"{game}NoFrameskip-v4"), streams, np.random.default_rng(0)
    )
    stack = FrameStack(streams, environments.frame_shape, 4)
    config = Config(envs=streams, memory_size=streams * steps, n_step=1)
    memory = make_memory(config, (*environments.frame_shape[:2], 4))
    rng = np.random.default_rng(1)
    stack.push(environments.reset(), np.ones(streams, bool))
    states = []
    for _ in range(steps):
        states.append(stack.states.copy())
        actions = rng.integers(environments.num_actions, size=streams)
        step = environments.step(actions)
        memory.append(stack.newest, actions, step.rewards, step.terminals, step.ends)
        stack.push(step.frames, step.ends)
    environments.close()
    return memory, states


def batches() -> None:
    """Draws a batch of neighbours and one from the replay memory."""
    memory, states = random_play("SpaceInvaders", 8, 400)
    neighbours = [state[0, ..., -1] for state in states[200:208]]
    drawn = memory.sample(8, np.random.default_rng(5)).s_tm1[..., -1]
    figure = plt.figure(figsize=(8.6, 2.9), layout="constrained")
    parts: Any = figure.subfigures(2, 1)
    titles = ("eight steps in a row", "eight steps drawn from the replay memory")
    for part, title, pictures in zip(parts, titles, (neighbours, list(drawn)), strict=True):
        part.suptitle(title, fontsize=11)
        for panel, picture in zip(np.ravel(part.subplots(1, 8)), pictures, strict=True):
            panel.imshow(picture, cmap="gray", vmin=0, vmax=200)
            bare(panel)
    save("batches")


def count_states() -> None:
    """Prints how many of the states that a random player of Breakout sees come only once."""
    _, states = random_play("Breakout", 8, 1_000)
    seen = Counter(state.tobytes() for batch in states for state in batch)
    once = sum(times == 1 for times in seen.values())
    print(f"Breakout: {seen.total():,} states seen, {len(seen):,} different, {once:,} only once")


def data_flow() -> None:
    """Draws what the modules hand to one another."""
    _, axes = plt.subplots(figsize=(8.6, 4.3))
    axes.set(xlim=(0, 100), ylim=(0, 52))
    axes.axis("off")

    def box(x: float, y: float, width: float, title: str, text: str, colour: str) -> None:
        style = "round,pad=0,rounding_size=1.2"
        axes.add_patch(
            FancyBboxPatch((x, y), width, 12, boxstyle=style, facecolor=colour, edgecolor=GREY)
        )
        axes.text(
            x + width / 2, y + 8.1, title, ha="center", va="center", fontsize=11, weight="bold"
        )
        axes.text(x + width / 2, y + 3.6, text, ha="center", va="center", fontsize=9.5)

    def arrow(
        start: tuple[float, float],
        end: tuple[float, float],
        label: str,
        at: tuple[float, float],
        align: str = "center",
    ) -> None:
        axes.add_patch(
            FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, color="#333333")
        )
        axes.text(*at, label, ha=align, va="center", fontsize=9.5)

    box(1, 36, 25, "preprocessing.py", "the emulated games;\n84×84, rewards, ends", "#e0ecd8")
    box(39, 36, 22, "training/trainer.py", "the loop;\ncounts the steps", "#eeeeee")
    box(74, 36, 25, "agent.py: act", "online network\nand epsilon", "#d1e5f0")
    box(39, 4, 22, "replay_memory.py", "the newest transitions,\neach frame once", "#fbe3d6")
    box(74, 4, 25, "agent.py: learn", "online against\ntarget network", "#d1e5f0")
    arrow((26, 45), (39, 45), "frame, reward,\nend", (32.5, 48.6))
    arrow((39, 39), (26, 39), "actions", (32.5, 36.9))
    arrow((61, 45), (74, 45), "states", (67.5, 46.8))
    arrow((74, 39), (61, 39), "actions", (67.5, 36.9))
    arrow((50, 36), (50, 16), "(frame, action,\nreward, end)", (48.5, 26), "right")
    arrow((61, 10), (74, 10), "batch", (67.5, 11.9))
    arrow((86.5, 16), (86.5, 36), "better weights", (85, 26), "right")
    plt.tight_layout(pad=0.2)
    save("data_flow")


def numbers() -> None:
    """Prints the numbers of the text that belong to no picture."""
    gamma = Config().discount
    half = math.log(0.5) / math.log(gamma)
    print(f"discount {gamma:g}: after 100 steps {gamma**100:.3f}, one half after {half:.1f} steps,")
    print(f"    {half * Config().frame_skip / 60:.1f} s; sum of a reward at every step: "
          f"{1 / (1 - gamma):.0f}")  # fmt: skip
    print(f"possible states: a number of {math.floor(84 * 84 * 4 * math.log10(256)) + 1:,} digits")
    print(f"128 bytes of memory: a number of {math.floor(1024 * math.log10(2)) + 1} digits")
    sizes = 84 * 84, 2 * 4 * 84 * 84
    print(f"bytes: a frame {sizes[0]:,}; two states {sizes[1]:,}; a million of these "
          f"{sizes[1] / 1000:.1f} GB, of frames {sizes[0] / 1000:.2f} GB")  # fmt: skip
    epsilon = Config().epsilon_end
    print(f"epsilon {epsilon:g}, 6 actions: not the best in {epsilon * 5 / 6:.2%}")
    shares = duration_shares(Config().random_action_steps)
    mean = shares @ np.arange(1, len(shares) + 1)
    print(f"random actions: {shares[0]:.0%} are kept for 1 step, {shares[38:].sum():.1%} for more "
          f"than 38; mean {mean:.1f} steps")  # fmt: skip


def main() -> int:
    """Makes all pictures; returns the exit status."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    plt.rcParams.update({"font.size": 10.5, "axes.spines.top": False, "axes.spines.right": False})
    pictures: tuple[Callable[[], None], ...] = (
        screen_to_frame, four_frames, flicker, epsilon_schedule, q_table, n_step_returns,
        huber_loss, overestimation, batches, data_flow, count_states, numbers,
    )  # fmt: skip
    for picture in pictures:
        picture()
    return 0


if __name__ == "__main__":
    sys.exit(main())
