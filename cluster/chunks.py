"""What an actor sends: the turns that it has played, as arrays, checked when they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import zstandard

from preprocessing import Step
from replay.packing import ZstdCodec
from system.errors import OneLineError

if TYPE_CHECKING:
    from collections.abc import Sequence

CREDITS = 2  # chunks that an actor is asked for ahead
CHUNK_STEPS = 256  # of all environments of an actor, about


class ChunkError(OneLineError):
    """What has arrived is no chunk, or not the one that was asked for, said in one line."""


class Chunk(NamedTuple):
    """T turns in n environments."""

    frames: np.ndarray  # [bytes] uint8, what was acted on, environment after environment, packed
    lengths: np.ndarray  # [n] int64, packed bytes of each environment
    actions: np.ndarray  # [T, n] uint8
    rewards: np.ndarray  # [T, n] float32
    points: np.ndarray  # [T, n] float32
    terminals: np.ndarray  # [T, n] bool
    ends: np.ndarray  # [T, n] bool

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self)


class Shape(NamedTuple):
    """What a chunk has to be like."""

    turns: int  # T
    frames: tuple[int, int, int, int]  # (n, H, W, p), of a turn
    num_actions: int


class Turn(NamedTuple):
    """One step of all environments of an actor."""

    actor: int  # its number
    is_anew: bool  # whether it has taken the place of one whose games are lost
    epsilon: float
    actions: np.ndarray  # [n] uint8
    step: Step  # what came of them; but with the frames, [n, H, W, p] uint8, that were acted on


def pack(frames: np.ndarray, actions: np.ndarray, steps: Sequence[Step]) -> Chunk:
    """Returns a chunk.

    Args:
        frames: [T, n, H, W, p] uint8, what was acted on.
        actions: [T, n] int, what was done.
        steps: T, what came of it.
    """
    codec = ZstdCodec()
    packed = [codec.pack(of_one.reshape(-1).data) for of_one in frames.swapaxes(0, 1).copy()]
    lengths = np.array([len(each) for each in packed])
    columns = (np.stack([getattr(step, name) for step in steps]) for name in Chunk._fields[3:])
    return Chunk(
        np.frombuffer(b"".join(packed), np.uint8), lengths, actions.astype(np.uint8), *columns
    )


def turns_of(
    chunk: Chunk, shape: Shape, actor: int, epsilon: float, is_anew: bool = False
) -> list[Turn]:
    """Returns the turns in a chunk, in their order.

    Args:
        chunk: what an actor has sent.
        shape: what was asked for.
        actor: the number of the actor.
        epsilon: that it has played with.
        is_anew: whether the first turn begins new games in place of lost ones.

    Raises:
        ChunkError: it is no such chunk.
    """
    if problem := _problem(chunk, shape):
        raise ChunkError(f"actor {actor} has sent what no actor sends: {problem}")
    frames = _unpacked(chunk, shape)
    if frames is None:
        raise ChunkError(f"actor {actor} has sent frames that cannot be unpacked")
    return [
        Turn(
            actor,
            is_anew and number == 0,
            epsilon,
            chunk.actions[number],
            Step(
                frames[:, number],
                chunk.rewards[number],
                chunk.points[number],
                chunk.terminals[number],
                chunk.ends[number],
            ),
        )
        for number in range(shape.turns)
    ]


def _problem(chunk: Chunk, shape: Shape) -> str:
    """Returns what is wrong with the arrays of a chunk; empty where nothing is."""
    if type(chunk) is not Chunk:
        return f"{type(chunk).__name__} in place of a chunk"
    count = shape.frames[0]
    wanted = {
        "frames": (np.uint8, (len(chunk.frames),)),
        "lengths": (np.int64, (count,)),
        "actions": (np.uint8, (shape.turns, count)),
        "rewards": (np.float32, (shape.turns, count)),
        "points": (np.float32, (shape.turns, count)),
        "terminals": (np.bool_, (shape.turns, count)),
        "ends": (np.bool_, (shape.turns, count)),
    }
    for name, (dtype, dimensions) in wanted.items():
        array = getattr(chunk, name)
        if type(array) is not np.ndarray or array.dtype != dtype or array.shape != dimensions:
            return f"{name} that are not {np.dtype(dtype)} {dimensions}"
    if (chunk.actions >= shape.num_actions).any():
        return f"an action that is not below {shape.num_actions}"
    if not np.isfinite(chunk.rewards + chunk.points).all():
        return "rewards or points that are not finite"
    if (chunk.lengths < 1).any() or chunk.lengths.sum() != len(chunk.frames):
        return "frames that are not as long as they are said to be"
    return ""


def _unpacked(chunk: Chunk, shape: Shape) -> np.ndarray | None:
    """Returns the frames, [n, T, H, W, p] uint8, of a chunk; None where they are something else."""
    count, *of_one = shape.frames
    frames = np.empty((count, shape.turns, *of_one), np.uint8)
    flat = frames.reshape(count, -1)
    starts = np.cumsum(chunk.lengths) - chunk.lengths
    packed = chunk.frames.data
    try:
        for start in starts.tolist():
            # Where a frame holds less, its room would not be filled.
            if zstandard.frame_content_size(packed[start : start + 18]) != flat.shape[1]:
                return None
        ZstdCodec().unpack(packed, starts, chunk.lengths, 0, flat)
    except zstandard.ZstdError:
        return None
    return frames
