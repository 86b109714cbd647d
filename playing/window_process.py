"""The process of a window, which shows the pictures that it reads from stdin.

    python3 -m playing.window_process TITLE

It first writes a line: an empty one if a window can be opened, else the problem. It ends when the
user closes the window, or when stdin ends. A picture is a `HEADER`, then [height, width, 3] uint8
RGB.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading
from typing import IO, Generic, NamedTuple, TypeVar

import numpy as np

HEADER = struct.Struct("<4I")  # height and width of the picture, height and width on the screen
NO_DISPLAY = "--render needs a display, and there is none: leave it out or set DISPLAY"
LOOK_EVERY = 0.05  # seconds between two checks whether the user closes it, without pictures

Content = TypeVar("Content")


class ClosedError(Exception):
    """Says that nothing more will come."""


class Newest(Generic[Content]):
    """Hands things from one thread to another, which gets only the newest."""

    def __init__(self) -> None:
        """Starts empty."""
        self._content: Content | None = None
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, content: Content) -> None:
        """Adds something new, in place of what has not been taken yet."""
        with self._changed:
            self._content = content
            self._changed.notify()

    def close(self) -> None:
        """Says that nothing more will come. What has not been taken still can be."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def take(self, seconds: float | None = None) -> Content | None:
        """Waits for something new and returns it.

        Args:
            seconds: how long to wait at most; None waits for ever.

        Returns:
            The newest content, or None where nothing came in that time.

        Raises:
            ClosedError: nothing more will come.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._content is not None or self._is_closed, seconds)
            content, self._content = self._content, None
            if content is None and self._is_closed:
                raise ClosedError
        return content


class Shown(NamedTuple):
    """A picture and its size on the screen."""

    picture: np.ndarray  # [height, width, 3] uint8 RGB
    size: tuple[int, int]  # width, height


class DisplayError(Exception):
    """Says why no window can be opened."""


class Screen:
    """The window itself, which appears with the first picture."""

    def __init__(self, title: str):
        """Checks that a window can be opened.

        Raises:
            DisplayError: no window can be opened.
        """
        chosen = bool(os.environ.get("SDL_VIDEODRIVER"))
        on_linux = sys.platform.startswith("linux")
        if on_linux and not chosen and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
            raise DisplayError(NO_DISPLAY)
        # Without a GPU, OpenGL takes seven times as much of the cores that training needs.
        os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
        # pygame greets on stdout when it is imported.
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            import pygame
        except ImportError as error:
            raise DisplayError(
                f"--render needs pygame ({error}): pip install -r requirements.txt"
            ) from error
        self._pygame = pygame
        self._title = title
        self._surface: pygame.Surface | None = None
        try:
            pygame.display.init()
        except pygame.error as error:
            raise DisplayError(NO_DISPLAY) from error
        # Without a display SDL falls back to these drivers and reports no error.
        if pygame.display.get_driver() in ("offscreen", "dummy") and not chosen:
            raise DisplayError(NO_DISPLAY)

    def show(self, shown: Shown) -> None:
        """Shows a picture in place of the last one."""
        pygame = self._pygame
        if self._surface is None or self._surface.get_size() != shown.size:
            self._surface = pygame.display.set_mode(shown.size)
            pygame.display.set_caption(self._title)
        picture = pygame.surfarray.make_surface(shown.picture.swapaxes(0, 1))
        pygame.transform.scale(picture, shown.size, self._surface)
        pygame.display.flip()

    def is_closed(self) -> bool:
        """Returns whether the user has closed it since the last call."""
        return any(event.type == self._pygame.QUIT for event in self._pygame.event.get())


def send(shown: Shown, stream: IO[bytes]) -> None:
    """Writes a picture for `receive`, and waits until all of it is written."""
    height, width, _ = shown.picture.shape
    stream.write(HEADER.pack(height, width, shown.size[1], shown.size[0]))
    stream.write(np.ascontiguousarray(shown.picture).data)
    stream.flush()


def receive(stream: IO[bytes]) -> Shown | None:
    """Returns the next picture, or None where the stream ends."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    height, width, shown_height, shown_width = HEADER.unpack(header)
    pixels = stream.read(height * width * 3)
    if len(pixels) < height * width * 3:
        return None
    picture = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
    return Shown(picture, (shown_width, shown_height))


def _receive_all(stream: IO[bytes], pictures: Newest[Shown]) -> None:
    while (shown := receive(stream)) is not None:
        pictures.put(shown)
    pictures.close()


def main(title: str) -> None:
    """Shows the pictures from stdin, until stdin ends or the user closes the window."""
    # Ctrl-C is for the run, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        screen = Screen(title)
    except DisplayError as error:
        print(error, flush=True)
        return
    print(flush=True)
    pictures: Newest[Shown] = Newest()
    arguments = (sys.stdin.buffer, pictures)
    threading.Thread(target=_receive_all, args=arguments, daemon=True).start()
    try:
        while not screen.is_closed():
            shown = pictures.take(LOOK_EVERY)
            if shown:
                screen.show(shown)
    except ClosedError:
        pass
    sys.stdout.flush()
    # The thread may wait for a picture and hold stdin, which Python closes at a normal exit.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
