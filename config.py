"""The settings of a run: each declared once, with its flags, help, unit, default and range."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

GROUPS = ("environment", "memory", "learning", "exploration", "files", "watching")


class ConfigError(ValueError):
    """A setting out of its range, or two that do not go together, said in one line."""


def setting(
    default: Any,
    *flags: str,
    group: str,
    help: str,
    unit: str = "",
    type: type | None = None,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    metavar: str | None = None,
) -> Any:
    """Returns a dataclass field that carries all that the command line needs to know of it.

    Args:
        default: the value when no flag is given; a bool makes the flag a switch.
        *flags: the names on the command line, shortest first.
        group: the heading of `-h` that it stands under, one of `GROUPS`.
        help: what it does, without unit and default, which are added.
        unit: what a number counts.
        type: the type of the value, where the default does not tell.
        low: the lowest value allowed, in the setting's unit.
        high: the highest value allowed, in the setting's unit.
        choices: the values allowed, where they are words.
        metavar: the placeholder for the value in `-h`.
    """
    metadata = {
        "flags": flags,
        "group": group,
        "help": help,
        "unit": unit,
        "type": type or default.__class__,
        "low": low,
        "high": high,
        "choices": choices,
        "metavar": metavar,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """Every setting of a run. A step is one decision of the agent, a frame one of the emulator.

    Raises:
        ConfigError: a value is out of its range, or two do not go together.
    """

    environment: str = setting(
        "Pong-v0", "-env", "--environment", group="environment", metavar="ID",
        help="game and its rules, such as Breakout-v0, PongNoFrameskip-v4 or ALE/Pong-v5",
    )  # fmt: skip
    envs: int = setting(
        8, "--envs", group="environment", unit="environments", low=1, high=1024,
        help="environments that step together",
    )  # fmt: skip
    frame_skip: int = setting(
        4, "--frame-skip", group="environment", unit="frames", low=1, high=60,
        help="emulator frames that each step repeats its action for",
    )  # fmt: skip
    frame_stack_size: int = setting(
        4, "-fss", "--framestacksize", group="environment", unit="frames", low=1, high=16,
        help="newest frames that make a state",
    )  # fmt: skip
    screen: str = setting(
        "resize", "--screen", group="environment", choices=("resize", "crop"),
        help="how the screen becomes 84×84: resize it whole, or to 84×110 and crop rows 26 to 109",
    )  # fmt: skip
    life_loss: str = setting(
        "terminal", "--life-loss", group="environment", choices=("none", "terminal", "penalty"),
        help="what a lost life is to the learner: nothing, an end of the return, or a reward of -1",
    )  # fmt: skip
    nothing: int = setting(
        30, "-n", "--nothing", group="environment", unit="steps", low=0, high=27_000,
        help="no-ops allowed at the start of an episode or life; one more costs -1 and ends the "
        "episode; 0 allows any number",
    )  # fmt: skip

    memory: int = setting(
        1_000_000, "-m", "--memory", group="memory", unit="transitions", low=1, high=10**9,
        help="size of the replay memory",
    )  # fmt: skip
    frame_codec: str = setting(
        "zstd", "--frame-codec", group="memory", choices=("none", "lz4", "zstd"),
        help="how the memory packs frames: not at all, or with lz4 or zstd (the smallest)",
    )  # fmt: skip
    pretrain: int = setting(
        20_000, "-pre", "--pretrain", group="memory", unit="transitions", low=0, high=10**9,
        help="gathered before training starts: at random, or with --continue by the loaded "
        "network; no more than the memory holds",
    )  # fmt: skip
    n_step: int = setting(
        3, "--n-step", group="memory", unit="steps", low=1, high=100,
        help="rewards summed before the target network's estimate; 1 is plain Q-learning",
    )  # fmt: skip
    priority_exponent: float = setting(
        0.0, "--priority-exponent", group="memory", low=0.0, high=1.0,
        help="how much more often transitions with large TD errors are drawn; 0 draws all alike",
    )  # fmt: skip
    importance_exponent: float = setting(
        0.4, "--importance-exponent", group="memory", low=0.0, high=1.0,
        help="how far weights make up for drawing by priority at the first step, rising to 1, "
        "fully, at the last",
    )  # fmt: skip

    steps: int = setting(
        5_000_000, "-st", "--steps", group="learning", unit="steps", low=1, high=10**12,
        help="length of the run, all environments and resumes counted, the pretraining not",
    )  # fmt: skip
    batch: int = setting(
        32, "-b", "--batch", group="learning", unit="transitions", low=1, high=65_536,
        help="transitions in the batch of an update",
    )  # fmt: skip
    train_every: int = setting(
        4, "--train-every", group="learning", unit="steps", low=1, high=10**6,
        help="steps for each update",
    )  # fmt: skip
    gamma: float = setting(
        0.99, "-g", "--gamma", group="learning", unit="per step", low=0.0, high=1.0,
        help="discount of later rewards",
    )  # fmt: skip
    update: int = setting(
        1_000, "-u", "--update", group="learning", unit="steps", low=1, high=10**9,
        help="steps between copies of the online to the target network",
    )  # fmt: skip
    learning_rate: float = setting(
        1e-4, "--learning-rate", group="learning", unit="per update", low=1e-9, high=1.0,
        help="step size of Adam",
    )  # fmt: skip
    network: str = setting(
        "nips", "--network", group="learning", choices=("nips", "nature"),
        help="the convolutional network of Mnih et al. 2013 (the faster) or 2015",
    )  # fmt: skip
    double: bool = setting(
        True, "--double", group="learning",
        help="Double DQN: the online network chooses the action that the target network rates",
    )  # fmt: skip
    seed: int | None = setting(
        None, "--seed", group="learning", type=int, low=0, high=2**31 - 1, metavar="N",
        help="seed of all random numbers; the same seed, machine and flags give the same run "
        "(default: drawn and printed)",
    )  # fmt: skip

    start: float = setting(
        1.0, "-s", "--start", group="exploration", unit="probability", low=0.0, high=1.0,
        help="epsilon, the probability of a random action, at the first step",
    )  # fmt: skip
    end: float = setting(
        0.02, "-e", "--end", group="exploration", unit="probability", low=0.0, high=1.0,
        help="epsilon from the last step of the decay on",
    )  # fmt: skip
    explore_steps: int = setting(
        100_000, "-exs", "--exploresteps", group="exploration", unit="steps", low=1, high=10**12,
        help="length of the linear decay of epsilon",
    )  # fmt: skip

    continue_from: str | None = setting(
        None, "-c", "--continue", group="files", type=str, metavar="WEIGHTS",
        help="weights to go on from, or to play with; episodes and steps count on from the log "
        "beside them (default: none)",
    )  # fmt: skip
    weights_layout: str = setting(
        "channels-last", "--weights-layout", group="files",
        choices=("channels-last", "channels-first"),
        help="where the network of --continue has its channels; a file that holds a whole model "
        "tells itself",
    )  # fmt: skip
    out: str = setting(
        ".", "--out", group="files", metavar="DIR",
        help="folder for the log and the weights",
    )  # fmt: skip
    save_every: int = setting(
        10, "--save-every", group="files", unit="episodes", low=1, high=10**9,
        help="episodes between two writings of the weights",
    )  # fmt: skip

    render: bool = setting(
        False, "-r", "--render", group="watching",
        help="show the first environment in a window",
    )  # fmt: skip
    play: bool = setting(
        False, "-p", "--play", group="watching",
        help="play without learning or writing, with --continue or <env id>_weights.h5",
    )  # fmt: skip
    episodes: int = setting(
        100, "--episodes", group="watching", unit="games", low=1, high=10**9,
        help="games that --play plays",
    )  # fmt: skip
    progress: bool = setting(
        True, "--progress", group="watching",
        help="show how the run goes",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Checks every range, then the pairs."""
        for each in fields(self):
            _check_range(each.metadata, getattr(self, each.name))
        if self.start < self.end:
            raise ConfigError(
                f"--start {self.start} is below --end {self.end}: epsilon decays, "
                f"so give a --start of at least {self.end}"
            )
        if self.memory < self.batch:
            raise ConfigError(
                f"--memory {self.memory} is below --batch {self.batch}: "
                f"give a memory of at least {self.batch} transitions"
            )
        smallest = self.envs * (self.frame_stack_size + self.n_step)
        if self.memory < smallest:
            raise ConfigError(
                f"--memory {self.memory} is too small for {self.envs} environments with states of "
                f"{self.frame_stack_size} frames and {self.n_step}-step returns: "
                f"give at least {smallest} transitions"
            )

    @property
    def channels_first(self) -> bool:
        """Whether the weights to go on from are of a network with its channels first."""
        return self.weights_layout == "channels-first"

    @property
    def log_path(self) -> Path:
        """The episode log of the run."""
        return self._path("log.txt")

    @property
    def weights_path(self) -> Path:
        """The newest weights of the run."""
        return self._path("weights.h5")

    def _path(self, ending: str) -> Path:
        return Path(self.out) / f"{self.environment.replace('/', '-')}_{ending}"


def _check_range(metadata: Any, value: Any) -> None:
    """Raises ConfigError, naming the flag and the range, where the value is not in it."""
    flag = metadata["flags"][-1]
    low, high = metadata["low"], metadata["high"]
    # Written so that NaN, which compares false with everything, is refused as well.
    if low is not None and value is not None and not low <= value <= high:
        raise ConfigError(f"{flag} {value} is out of range: from {_number(low)} to {_number(high)}")
    if metadata["choices"] and value not in metadata["choices"]:
        raise ConfigError(f"{flag} {value!r}: choose from {', '.join(metadata['choices'])}")


def _number(value: float) -> str:
    """Returns a bound as a person writes it: 1,000,000 or 1e-09."""
    return f"{value:,}" if isinstance(value, int) or math.floor(value) == value else f"{value:g}"


def describe(config: Config) -> str:
    """Returns the settings as the start of a run prints them, a group a paragraph."""
    lines = []
    for group in GROUPS:
        lines.append(group)
        for each in fields(config):
            if each.metadata["group"] != group:
                continue
            value = getattr(config, each.name)
            if isinstance(value, bool):
                shown = "on" if value else "off"
            elif isinstance(value, int) and each.name != "seed":
                shown = f"{value:,}"
            else:
                shown = "none" if value is None else str(value)
            name = each.metadata["flags"][-1].lstrip("-")
            lines.append(f"  {name:<20} {shown} {each.metadata['unit']}".rstrip())
    return "\n".join(lines)
