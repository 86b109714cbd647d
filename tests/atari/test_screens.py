"""Frames are the part of the screen that they should be."""

from __future__ import annotations

import numpy as np
import pytest

from atari.emulators import GymnasiumEmulators, VectorEmulators
from atari.games import find_game
from atari.screens import FrameMaker, frame_shape


@pytest.mark.parametrize("screen", ["resize", "crop", "square"])
def test_a_frame_is_of_the_maximum_of_screens(screen: str) -> None:
    maker = FrameMaker(find_game("Pong-v0"), screen)
    shape = (210, 160, 3) if maker.in_colour else (210, 160)
    one, other = np.random.default_rng(0).integers(256, size=(2, *shape), dtype=np.uint8)
    frame = maker.frame([one, other])
    assert frame.shape == frame_shape(screen)
    assert frame.dtype == np.uint8
    np.testing.assert_array_equal(frame, maker.frame([np.maximum(one, other)]))
    assert not np.array_equal(frame, maker.frame([one]))


def test_crop_keeps_the_rows_from_26_on() -> None:
    maker = FrameMaker(find_game("Pong-v0"), "crop")
    rows = np.arange(maker.height, dtype=np.uint8)[:, None].repeat(maker.width, axis=1)
    np.testing.assert_array_equal(maker.cut(rows[None])[0, :, 0], np.arange(26, 110))


@pytest.mark.parametrize(("name", "height"), [("Carnival", 214), ("Pooyan", 220), ("AirRaid", 250)])
def test_square_is_the_centre_of_a_screen_of_any_height(name: str, height: int) -> None:
    fast, shown = (
        kind(find_game(f"{name}-v4"), 1, 3, "square", frame_max=False)
        for kind in (VectorEmulators, GymnasiumEmulators)
    )
    alone = np.zeros(1, int), np.ones(1, bool)
    np.testing.assert_array_equal(fast.reset(*alone).frames, shown.reset(*alone).frames)
    for action in (0, 1, 2, 1):
        frames = shown.step(np.array([action])).frames
        np.testing.assert_array_equal(fast.step(np.array([action])).frames, frames)
        picture = shown.picture()
        assert picture.shape == (height, 160, 3)
        top = (height - 160) // 2
        wanted = picture[top : top + 160].astype(int).sum(-1) // 3
        np.testing.assert_array_equal(frames[0, ..., 0], wanted)
    fast.close()
    shown.close()
