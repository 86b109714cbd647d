"""How a screen of the emulator becomes a frame that the agent gets."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import ale_py
import cv2
import numpy as np
from ale_py import roms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atari.games import Game

FRAME_SIZE = 84
SQUARE_SIZE = 160  # the whole width of the screen
CROP_HEIGHT, CROP_TOP = 110, 26  # Mnih et al. 2013, section 4.1, does not say which rows


def frame_shape(screen: str) -> tuple[int, int]:
    """Returns the (height, width) of the frames that `--screen` makes."""
    size = SQUARE_SIZE if screen == "square" else FRAME_SIZE
    return size, size


class FrameMaker:
    """Makes frames of screens: resizes them, grey or in colour, then cuts them.

    - `resize`: grey, resized to 84×84.
    - `crop`: grey, resized to a height of 110 and a width of 84; rows 26 to 109 are kept.
    - `square`: in colour and not resized; the 160×160 pixels at the centre are kept. A pixel of the
      frame is the mean of its three colours, rounded down.

    Attributes:
        in_colour: whether it takes screens in colour.
        height: of the resized screens, in pixels.
        width: of the resized screens, in pixels.
    """

    def __init__(self, game: Game, screen: str):
        """Sets it up for "resize", "crop" or "square"; only the last depends on the game."""
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
        """Cuts the frames out of resized screens.

        Args:
            resized: [n, height, width(, 3)] uint8.

        Returns:
            [n, H, W] uint8.
        """
        frames = resized[:, self._rows, self._columns]
        if self.in_colour:
            return (frames.sum(axis=-1, dtype=np.uint16) // 3).astype(np.uint8)
        return frames

    def frame(self, screens: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the frame, [H, W] uint8, of the maximum of screens as the emulator has them.

        Args:
            screens: at least one, [height, width(, 3)] uint8 each.
        """
        maximum = functools.reduce(np.maximum, screens)
        resized = cv2.resize(maximum, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return self.cut(resized[None])[0]


@functools.cache
def _screen_size(game: Game) -> tuple[int, int]:
    """Returns the (height, width) of a game's screen, which only its emulator knows."""
    emulator = ale_py.ALEInterface()
    emulator.loadROM(roms.get_rom_path(game.rom))
    return emulator.getScreenDims()
