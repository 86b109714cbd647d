"""What the window promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OPEN = """
from window import NoDisplayError, Window
try:
    Window("Pong")
except NoDisplayError as error:
    print(error)
"""
SHOW = """
import numpy as np
from window import SCALE, Window
window = Window("Pong")
import pygame
red = np.zeros((210, 160, 3), np.uint8)
red[:100] = 200, 10, 20  # the upper part
window.show(red)
"""


def run(code: str, **environment: str) -> list[str]:
    """Runs a script with these display variables and no others; returns what it wrote."""
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    others = {name: value for name, value in os.environ.items() if name not in displays}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=others | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"DISPLAY": ""},
        {"DISPLAY": ":4242"},
        {"WAYLAND_DISPLAY": "no-such-socket"},
        {"SDL_VIDEODRIVER": "no-such-driver"},
    ],
    ids=str,
)
def test_no_display_is_said_in_one_line(environment: dict[str, str]) -> None:
    (line,) = run(OPEN, **environment)
    assert "--render" in line
    assert "DISPLAY" in line


def test_a_picture_is_shown_upright_and_in_its_colours() -> None:
    shown = run(
        SHOW
        + "screen = pygame.display.get_surface()\n"
        + "width, height = screen.get_size()\n"
        + "assert height == 210 * SCALE, height\n"
        + "assert width > 160 * SCALE, width\n"
        + "for x in (5, width - 5):\n"
        + "    print(*screen.get_at((x, 5))[:3], *screen.get_at((x, height - 5))[:3])\n"
        + "print(pygame.display.get_caption()[0])\n",
        SDL_VIDEODRIVER="dummy",
    )
    assert shown == ["200 10 20 0 0 0"] * 2 + ["Pong"]


def test_a_later_picture_takes_the_place_of_an_earlier() -> None:
    shown = run(
        SHOW
        + "window.show(np.full((210, 160, 3), 7, np.uint8))\n"
        + "print(*pygame.display.get_surface().get_at((5, 5))[:3])\n",
        SDL_VIDEODRIVER="dummy",
    )
    assert shown == ["7 7 7"]


def test_closing_the_window_makes_showing_harmless() -> None:
    shown = run(
        SHOW
        + "pygame.event.post(pygame.event.Event(pygame.QUIT))\n"
        + "for rate in (0, 60, 0):\n"
        + "    window.show(red, rate)\n"
        + "print(pygame.display.get_init())\n"
        + "window.close()\n",
        SDL_VIDEODRIVER="dummy",
    )
    assert shown == ["False"]


def test_other_events_do_not_close_the_window() -> None:
    shown = run(
        SHOW
        + "pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_a))\n"
        + "window.show(red)\n"
        + "print(pygame.display.get_init())\n",
        SDL_VIDEODRIVER="dummy",
    )
    assert shown == ["True"]


def test_pictures_come_no_faster_than_asked() -> None:
    (seconds,) = run(
        SHOW
        + "import time\n"
        + "start = time.perf_counter()\n"
        + "for _ in range(6):\n"
        + "    window.show(red, 30)\n"
        + "print(time.perf_counter() - start)\n",
        SDL_VIDEODRIVER="dummy",
    )
    assert float(seconds) > 5 / 30 * 0.9
