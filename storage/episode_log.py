"""The episode log: its fields and its line format, declared, written and parsed here alone.

A run appends one line to `<env id>_log.txt` at the end of each episode:

    Episode: 0 Reward: -28.0 Steps: 255 Current Epsilon: 0.9997705 Loss: 0.00306275 Acc: 0.875
    Score: -21.0 Length: 255 Mean Q: 0.0132 Q Spread: 0.0205 Dead ReLUs: 0.125 Frames: 1020
    Seconds: 12.3

(here broken in three). The first six fields are in every line, those of other programs' logs as
well; the others may be missing. All are declared in `Episode`. The plots' columns and axes and the
table of docs/files.md come from it, so a new field is declared there, is filled in
`training/episode_tracker.py`, and needs no other change. To write:

    with RewardLog("Pong-v0_log.txt") as log:
        log.append(Episode(number=0, reward=-28.0, steps=255, epsilon=0.9997705, ...))

and to read: `read_log("Pong-v0_log.txt").episodes`.
"""

import contextlib
import operator
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

from storage.files import flush
from storage.log_fields import Axis, fields_of, log_field
from system.errors import OneLineError

RECENT_GAMES = 100  # whose mean score tells how a run does
SECONDS_IN_AN_HOUR = 3600


class LogError(OneLineError):
    """A log or a file of evaluations cannot be read, said in one line."""


@dataclass(frozen=True, slots=True)
class Episode:
    """What the log holds about one episode; the fields are in the order of the line."""

    number: int = log_field(
        "Episode", "episodes of the run that ended before this one", unit="episodes",
        x=(Axis("episodes", "episodes of the run"),),
        average=Axis("episodes", "episode"),
    )  # fmt: skip
    reward: float = log_field(
        "Reward", "sum of the rewards that the agent learns from: clipped, with penalties",
        y=Axis("reward", "reward of an episode (clipped, with penalties)"),
        average=Axis("rewards", "reward of an episode (clipped, with penalties)"),
    )  # fmt: skip
    steps: int = log_field(
        "Steps", "steps of the run at the end of the episode, in all environments, without those "
        "before training", unit="steps",
        x=(Axis("steps", "steps of the run (agent decisions)"),),
        average=Axis("steps", "step (agent decisions)"),
    )  # fmt: skip
    epsilon: float = log_field(
        "Current Epsilon", "probability of a random action at the end of the episode, 0 to 1",
        y=Axis("epsilon", "probability of a random action (ε)"),
        average=Axis(
            "probability", "probability that the network decides (1 − ε)",
            convert=lambda epsilon: 1 - epsilon,
        ),
    )  # fmt: skip
    loss: float = log_field(
        "Loss", "mean loss of the updates during the episode, 0 where there were none",
        y=Axis("loss", "loss of an update"),
        average=Axis("loss", "loss (mean of the episode's updates)"),
    )  # fmt: skip
    accuracy: float = log_field(
        "Acc", "share of a batch's states whose greedy action is the same after the value of the "
        "action taken becomes its target, 0 to 1, mean of the episode's updates",
    )  # fmt: skip
    score: float | None = log_field(
        "Score", "the game's own points, unclipped", unit="points",
        left_out="in logs of other programs",
        y=Axis("score", "score of a game (the game's own points)"),
        average=Axis("scores", "score of a game (the game's own points)"),
    )  # fmt: skip
    length: int | None = log_field(
        "Length", "steps of this episode alone", unit="steps",
        left_out="in logs of other programs",
    )  # fmt: skip
    mean_q: float | None = log_field(
        "Mean Q", "the online network's value of the actions learnt from, mean of the episode's "
        "updates, 0 where there were none",
        left_out="in logs of other programs",
        y=Axis("mean-q", "value that the network gives to its actions"),
    )  # fmt: skip
    q_spread: float | None = log_field(
        "Q Spread", "standard deviation of an action's value over the states of a batch, mean of "
        "all actions and of the episode's updates",
        left_out="where there were no updates",
        y=Axis("q-spread", "standard deviation of a value over states"),
    )  # fmt: skip
    dead_relus: float | None = log_field(
        "Dead ReLUs", "share of the network's units whose ReLU gives 0 for all states of a batch, "
        "0 to 1, as last measured",
        left_out="before it is first measured",
        y=Axis("dead-relus", "share of dead ReLUs"),
    )  # fmt: skip
    frames: int | None = log_field(
        "Frames", "emulator frames of the run at the end of the episode", unit="frames",
        left_out="in logs of other programs",
        x=(Axis("frames", "emulator frames of the run"),),
    )  # fmt: skip
    only_action: str | None = log_field(
        "Only Action", "the one action that the agent took in the whole episode",
        left_out="where it took several",
    )  # fmt: skip
    games_lost: int | None = log_field(
        "Games Lost", "games of the run so far that were not finished, as the actor that played "
        "them died", unit="games",
        left_out="where there were none",
    )  # fmt: skip
    seconds: float | None = log_field(
        "Seconds", "wall time that the run has taken, that before resumes included", unit="seconds",
        left_out="in logs of other programs",
        x=(
            Axis("minutes", "minutes of the run", convert=lambda seconds: seconds / 60),
            Axis("hours", "hours of the run", convert=lambda seconds: seconds / SECONDS_IN_AN_HOUR),
        ),
    )  # fmt: skip


FIELDS = fields_of(Episode)

_TYPES = tuple(declared.type for declared in FIELDS)
_VALUES = operator.attrgetter(*(declared.attribute for declared in FIELDS))

# At most 18 digits, because int() refuses very long numbers. Possessive (`++`), so that a line that
# does not match is refused at once.
_PATTERNS = {
    int: "[0-9]{1,18}",
    float: r"[-+]?(?:(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?[0-9]++)?|(?i:nan|inf))",
    str: "[A-Za-z_]++",
}


def _line_pattern() -> str:
    """Returns the regular expression of a line, with a group for each field."""
    patterns = []
    for position, declared in enumerate(FIELDS):
        pattern = f"{' +' if position else ''}{declared.name}: *({_PATTERNS[declared.type]})"
        patterns.append(f"(?:{pattern})?" if declared.left_out else pattern)
    return "".join(patterns)


_LINE = re.compile(_line_pattern())

# Why a line of a log could not be used.
CUT_SHORT, NO_EPISODE = "cut short (no newline at its end)", "not an episode line"


def _number_text(value: float) -> str:
    """Returns the shortest fixed-point text that reads back as exactly the same float."""
    text = repr(float(value))
    # Other programs that read such logs take `9.5e-05` for 9.5.
    return format(Decimal(text), "f") if "e" in text else text


_TEXTS: dict[type, Callable[[Any], str]] = {
    int: lambda value: str(operator.index(value)),
    float: _number_text,
    str: str,
}


def format_episode(episode: Episode) -> str:
    """Returns the line of an episode, without a newline; fields that are None are left out."""
    return " ".join(
        f"{declared.name}: {_TEXTS[declared.type](value)}"
        for declared, value in zip(FIELDS, _VALUES(episode), strict=True)
        if value is not None
    )


def parse_episode(line: str) -> Episode | None:
    """Returns the episode that a line holds, or None where it is not a whole episode line.

    Floats may be in scientific notation, `nan` or `inf`. Spaces around the line are ignored.
    """
    match = _LINE.fullmatch(line.strip())
    if match is None:
        return None
    values: list[Any] = [
        text and type_(text) for type_, text in zip(_TYPES, match.groups(), strict=True)
    ]
    return Episode(*values)


@dataclass(frozen=True)
class Log:
    """A log as it was read.

    Attributes:
        episodes: the episodes, in the order of their lines.
        skipped: the number, from 1, of each line that could not be used, and why.
    """

    episodes: list[Episode]
    skipped: list[tuple[int, str]] = field(default_factory=list)

    @property
    def runs(self) -> list[list[Episode]]:
        """The episodes of each run that was appended to this log.

        A run begins where the episode number does not increase or the steps decrease.
        """
        starts = [
            position
            for position, (before, after) in enumerate(pairwise(self.episodes), start=1)
            if after.number <= before.number or after.steps < before.steps
        ]
        ends = [*starts, len(self.episodes)]
        return [
            self.episodes[start:end]
            for start, end in zip([0, *starts], ends, strict=True)
            if start < end
        ]


def shown(path: str | os.PathLike[str]) -> str:
    """Returns a path as one line shows it; quoted where it is empty or cannot be printed."""
    text = os.fspath(path)
    return text if text and text.isprintable() else repr(text)


def read_log(path: str | os.PathLike[str]) -> Log:
    """Reads a log.

    A last line without a newline is skipped even where it looks whole: a run that was killed while
    it wrote `Acc: 0.875` may have left `Acc: 0.8`. Empty lines are ignored.

    Raises:
        LogError: the path is missing, a folder or a device, must not be read, is empty or binary,
            or has no line that can be used.
    """
    with reading(path):
        log, first = _read_lines(path)
    if not log.episodes:
        raise no_episodes(shown(path), first, log.skipped)
    return log


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Reads a log within the body.

    Raises:
        LogError: it can't be opened or read.
    """
    name, right = shown(path), "give the log of a run, <env id>_log.txt"
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            raise LogError(f"{name} is a folder; give the log in it, <env id>_log.txt")
        if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
            raise LogError(f"{name} is a device; {right}")
        yield
    except FileNotFoundError:
        raise LogError(f"{name}: no such file; {right}") from None
    except PermissionError:
        raise LogError(f"{name}: no permission to read it") from None
    except OSError as error:
        raise LogError(f"{name} can't be read: {error.strerror or error}") from None
    except ValueError:  # A NUL in the path.
        raise LogError(f"{name} is not the name of a file") from None


def no_episodes(name: str, first: str, skipped: Sequence[tuple[int, str]]) -> LogError:
    """Returns the error for a file without episodes.

    Args:
        name: the file, as it is shown.
        first: its first line, empty where there is none.
        skipped: the number of each line that could not be used, and why.
    """
    if not first:
        return LogError(f"{name} is empty; a run writes a line when an episode ends")
    if "\0" in first or "\N{REPLACEMENT CHARACTER}" in first:
        return LogError(f"{name} is a binary file; give the log of a run, <env id>_log.txt")
    if len(skipped) == 1:
        return LogError("{} has no line that can be used: line {} is {}".format(name, *skipped[0]))
    return LogError(f"{name} has no episode line; one reads 'Episode: 0 Reward: -28.0 Steps: …'")


def _read_lines(path: str | os.PathLike[str]) -> tuple[Log, str]:
    """Returns the log and the text of its first line."""
    log = Log([])
    first = ""
    # newline="\n", so that no other control character ends a line.
    with open(path, encoding="utf-8-sig", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            first = first or line
            if not line.endswith("\n"):
                log.skipped.append((number, CUT_SHORT))
            elif (episode := parse_episode(line)) is not None:
                log.episodes.append(episode)
            elif not line.isspace():
                log.skipped.append((number, NO_EPISODE))
    return log, first


def cut_back(path: str | os.PathLike[str], length: int, checksum: int) -> str | None:
    """Cuts off what a log got after a position, for a run that goes on from there.

    A log that was changed meanwhile is cut at the end of its last line before the position, and one
    that ends before the position is left as it is.

    Args:
        path: the log, which must not be open.
        length: bytes that it had at the position, from `RewardLog.position`.
        checksum: their CRC-32, likewise.

    Returns:
        None where the log is as it was at the position, else one line that says what is wrong.

    Raises:
        OSError: the log can't be read or cut.
    """
    name = shown(path)
    try:
        with open(path, "rb") as file:
            content = file.read(length)
    except FileNotFoundError:
        return f"{name} is missing"
    if len(content) < length:
        return f"{name} has lost lines: it has {len(content):,} bytes, and had {length:,}"
    if zlib.crc32(content) == checksum:
        os.truncate(path, length)
        return None
    # Without a line that ends before the position, nothing is cut.
    if end := content.rfind(b"\n") + 1:
        os.truncate(path, end)
    return f"{name} was changed: its first {length:,} bytes are not those that it had"


class RewardLog:
    """A log that is open for appending; each line is written at once.

    Args:
        path: the log; it is created where it is missing. A piece of an episode line at its end,
            left by a run that was killed while it wrote, is cut off. Any other last line without a
            newline is kept and gets one.

    Attributes:
        position: the log's bytes, and their CRC-32; for `cut_back`.

    Raises:
        OSError: the log can't be opened for writing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens the log."""
        self.path = Path(path)
        self.position = 0, 0
        # Unbuffered: a buffer would write the line of a failed append again at close.
        self._file = open(path, "ab+", buffering=0)  # noqa: SIM115 - open as long as the object
        try:
            self._end_last_line()
        except BaseException:
            self._file.close()
            raise

    def append(self, episode: Episode) -> None:
        """Writes the line of an episode.

        Raises:
            OSError: the line could not be written, for instance on a full disk; the log is as it
                was before.
        """
        self._write(f"{format_episode(episode)}\n".encode("ascii"))

    def sync(self) -> None:
        """Flushes all that was written to the disk, on file systems that can do that.

        Raises:
            OSError: what was written may be lost.
        """
        try:
            flush(self._file.fileno())
        except OSError as error:
            error.filename = str(self.path)
            raise

    def close(self) -> None:
        """Closes the log; closing it again does nothing."""
        self._file.close()

    def __enter__(self) -> "RewardLog":
        """Returns the log itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the log."""
        self.close()

    def _write(self, data: bytes) -> None:
        """Appends bytes, all or none."""
        size = os.fstat(self._file.fileno()).st_size
        length, checksum = self.position
        left = data
        try:
            while left:
                left = left[self._file.write(left) :]
            self.position = length + len(data), zlib.crc32(data, checksum)
        except BaseException as error:
            # A device or a pipe can't be cut, and the first error is the one to raise.
            with contextlib.suppress(OSError):
                self._file.truncate(size)
            if isinstance(error, OSError):
                error.filename = str(self.path)
            raise

    def _end_last_line(self) -> None:
        """Cuts off a piece of an episode line, or ends another line that has no newline."""
        content = b""
        if size := os.fstat(self._file.fileno()).st_size:  # a device or a pipe has none
            self._file.seek(0)
            content = self._file.read(size)
        end = content.rfind(b"\n") + 1
        tail = content[end:]
        if tail.startswith(b"Episode:") or (tail and b"Episode:".startswith(tail)):
            self._file.truncate(end)
            content, tail = content[:end], b""
        self.position = len(content), zlib.crc32(content)
        if tail:
            self._write(b"\n")
