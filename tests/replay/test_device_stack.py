"""The states to act on are the same on the device as on the host."""

from __future__ import annotations

import pytest

from preprocessing import FrameStack
from replay.device_stack import DeviceStack
from settings.config import Config
from tests.helpers.stacks import differences
from training.run import assemble


@pytest.mark.parametrize(("frames_per_step", "size"), [(1, 4), (1, 1), (3, 4), (4, 4)])
def test_states_are_those_of_the_host(frames_per_step: int, size: int) -> None:
    assert differences(frames_per_step, size) == []


@pytest.mark.parametrize(("on_device", "kind"), [(False, FrameStack), (True, DeviceStack)])
def test_a_run_acts_where_the_frames_of_its_memory_are(on_device: bool, kind: type) -> None:
    trainer = assemble(
        Config(environment="Breakout-v0", envs=2, memory_size=200, memory_on_device=on_device)
    )
    trainer.close()
    assert type(trainer.stack) is kind
