"""A window that shows a game."""

from __future__ import annotations

import os
import sys

import numpy as np

from errors import OneLineError

SCALE = 3  # screen pixels for each of the game's
NO_DISPLAY = "--render needs a display, and there is none: leave it out or set DISPLAY"


class NoDisplayError(OneLineError):
    """No window can be opened, said in one line."""


class Window:
    """A window on the desktop; when the user closes it, showing goes on doing nothing."""

    def __init__(self, title: str):
        """Makes sure that a window can be opened; it appears with the first picture.

        Raises:
            NoDisplayError: there is no display.
        """
        chosen = bool(os.environ.get("SDL_VIDEODRIVER"))
        on_linux = sys.platform.startswith("linux")
        if on_linux and not chosen and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
            raise NoDisplayError(NO_DISPLAY)
        # Drawn through OpenGL, the window crashes the process once TensorFlow is loaded: Mesa's
        # drivers then find TensorFlow's LLVM in place of their own.
        os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
        # pygame greets on stdout when it is imported.
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame

        self._pygame = pygame
        self._title = title
        self._screen: pygame.Surface | None = None
        self._open = True
        try:
            pygame.display.init()
        except pygame.error as error:
            raise NoDisplayError(NO_DISPLAY) from error
        # Where SDL finds no display it draws into nothing, without a word.
        if pygame.display.get_driver() in ("offscreen", "dummy") and not chosen:
            raise NoDisplayError(NO_DISPLAY)
        self._clock = pygame.time.Clock()

    def show(self, picture: np.ndarray, pictures_per_second: float = 0.0) -> None:
        """Shows a picture.

        Args:
            picture: [height, width, 3] uint8 RGB.
            pictures_per_second: how often at most; it waits to keep to that. 0 never waits.
        """
        if not self._open:
            return
        pygame = self._pygame
        height, width, _ = picture.shape
        # The pixels of these games are about twice as wide as high.
        size = (int(width * SCALE * 1.3), height * SCALE)
        if self._screen is None:
            self._screen = pygame.display.set_mode(size)
            pygame.display.set_caption(self._title)
        surface = pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        pygame.transform.scale(surface, size, self._screen)
        pygame.display.flip()
        if any(event.type == pygame.QUIT for event in pygame.event.get()):
            self.close()
        self._clock.tick(pictures_per_second)

    def close(self) -> None:
        """Closes the window."""
        self._open = False
        self._pygame.display.quit()
