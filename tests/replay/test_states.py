"""States of a few frames, whose pixels are the numbers of the frames."""

from __future__ import annotations

import numpy as np
import pytest

from replay.batch import empty_batch
from replay.device_frames import DeviceFrames, states_at
from replay.plain_frames import PlainFrames
from replay.states import AT_A_TIME, DeviceStates, HostStates, States

STREAMS, SHAPE, ROWS = 2, (2, 3), 6


def on_host(frames_per_step: int = 1) -> States:
    frames = PlainFrames(ROWS * frames_per_step, STREAMS, SHAPE[0] * SHAPE[1])
    return HostStates(frames, (*SHAPE, 3), frames_per_step)


def on_device(frames_per_step: int = 1) -> States:
    frames = DeviceFrames(ROWS * frames_per_step, STREAMS, SHAPE)
    return DeviceStates(frames, (*SHAPE, 3), frames_per_step)


both = pytest.mark.parametrize("make", [on_host, on_device])


def filled(states: States, steps: int) -> States:
    """Appends steps whose frame n shows 10 (n + 1), and 1 more in the second stream."""
    new = states.frames_per_step
    for time in range(steps):
        numbers = 10 * (np.arange(new) + time * new + 1) + np.arange(STREAMS)[:, None]
        states.append(np.ones((1, *SHAPE, 1), np.uint8) * numbers[:, None, None].astype(np.uint8))
    return states


def written(
    states: States, times: list[list[int]], streams: list[int], reach: list[list[int]]
) -> list[list[list[int]]]:
    """Returns the frames of states before and after, the oldest first."""
    batch = empty_batch(len(streams), states.shape, states.device_frames)
    reached = np.array(reach, np.uint8)
    states.write(np.array(times), np.array(streams), reached, (batch.s_tm1, batch.s_t))
    found = [batch.s_tm1, batch.s_t]
    if batch.frames:
        found = [np.asarray(states_at(places, batch.frames.array)) for places in found]
    for pixels in found:
        assert pixels.shape == (len(streams), *SHAPE, 3)
        assert (pixels == pixels[:, :1, :1]).all()
    return [pixels[:, 0, 0].tolist() for pixels in found]


@both
def test_frames_before_the_episode_are_black(make: type[States]) -> None:
    states = filled(make(), 5)
    found = written(states, [[2, 4, 3], [3, 4, 4]], [0, 1, 0], [[2, 1, 0], [2, 2, 1]])
    assert found == [
        [[10, 20, 30], [0, 41, 51], [0, 0, 40]],
        [[20, 30, 40], [31, 41, 51], [0, 40, 50]],
    ]


@both
def test_steps_can_bring_all_their_frames(make: type[States]) -> None:
    states = filled(make(3), 2)
    assert (states.time, states.oldest) == (2, 0)
    assert written(states, [[0], [1]], [1], [[2], [2]]) == [[[11, 21, 31]], [[41, 51, 61]]]


@both
def test_a_state_is_held_as_long_as_all_its_frames_are(make: type[States]) -> None:
    states = filled(make(), 8)  # 2 to 7 are held
    assert (states.time, states.oldest) == (8, 2)
    assert states.holds(np.array([4, 3, 3]), np.array([2, 2, 1], np.uint8)).tolist() == [
        True, False, True,
    ]  # fmt: skip


@both
@pytest.mark.parametrize("size", [1, AT_A_TIME, AT_A_TIME + 1, 2 * AT_A_TIME + 5])
def test_a_batch_may_be_of_any_size(make: type[States], size: int) -> None:
    states = filled(make(), 6)
    times = np.random.default_rng(0).integers(2, 6, size=size).tolist()
    before, after = written(states, [times, [5] * size], [0] * size, [[2] * size] * 2)
    assert before == [[10 * (time - 1), 10 * time, 10 * (time + 1)] for time in times]
    assert after == [[40, 50, 60]] * size
