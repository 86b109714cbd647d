"""What the window promises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from playing.window import Window
from playing.window_process import ClosedError, Newest
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPEN = """
from playing.window import NoDisplayError, Window
try:
    Window("Pong").wait_until_open()
except NoDisplayError as error:
    print(error)
"""
SHOW = """
import numpy as np
from playing.window_process import Screen, Shown
screen = Screen("Pong")
import pygame
red = np.zeros((210, 160, 3), np.uint8)
red[:100] = 200, 10, 20  # the upper part
screen.show(Shown(red, (624, 630)))
"""
GREY = np.full((210, 160, 3), 99, np.uint8)


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


def wait_for(condition: Callable[[], bool]) -> None:
    """Returns once a condition holds; fails where it does not come to."""
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Window:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = Window("Pong")
    window.wait_until_open()
    return window


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


def test_a_window_whose_process_fails_is_said_in_one_line() -> None:
    (line,) = run(
        "from playing import window\n"
        "window.COMMAND = (window.sys.executable, 'no-such-file.py')\n" + OPEN,
        SDL_VIDEODRIVER="dummy",
    )
    assert "status 2" in line


def test_a_picture_is_shown_upright_and_in_its_colours() -> None:
    shown = run(
        SHOW
        + "surface = pygame.display.get_surface()\n"
        + "print(*surface.get_size())\n"
        + "for x in (5, 619):\n"
        + "    print(*surface.get_at((x, 5))[:3], *surface.get_at((x, 625))[:3])\n"
        + "print(pygame.display.get_caption()[0])\n",
        SDL_VIDEODRIVER="dummy",
    )
    assert shown == ["624 630", *["200 10 20 0 0 0"] * 2, "Pong"]


def test_a_later_picture_takes_the_place_of_an_earlier() -> None:
    shown = run(
        SHOW
        + "screen.show(Shown(np.full((100, 90, 3), 7, np.uint8), (90, 100)))\n"
        + "surface = pygame.display.get_surface()\n"
        + "print(*surface.get_size(), *surface.get_at((5, 5))[:3])\n",
        SDL_VIDEODRIVER="dummy",
    )
    assert shown == ["90 100 7 7 7"]


def test_only_the_users_wish_closes_it() -> None:
    shown = run(
        SHOW
        + "pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_a))\n"
        + "print(screen.is_closed())\n"
        + "pygame.event.post(pygame.event.Event(pygame.QUIT))\n"
        + "print(screen.is_closed())\n",
        SDL_VIDEODRIVER="dummy",
    )
    assert shown == ["False", "True"]


def test_its_process_is_told_the_pictures_as_they_are(tmp_path: Path) -> None:
    """The last picture reaches the screen, in the game's aspect, and the end of stdin ends it."""
    (line,) = run(
        "import io, numpy as np\n"
        "from playing.window_process import Shown, receive, send\n"
        "sent, shown = io.BytesIO(), []\n"
        "for grey in (1, 2, 3): send(Shown(np.full((21, 16, 3), grey, np.uint8), (62, 63)), sent)\n"
        "sent.seek(0)\n"
        "while (each := receive(sent)): shown.append(each)\n"
        "print([(s.size, s.picture.shape, int(s.picture.mean())) for s in shown])"
    )
    assert line == str([((62, 63), (21, 16, 3), grey) for grey in (1, 2, 3)])


def test_half_a_picture_is_none() -> None:
    (line,) = run(
        "import io, numpy as np\n"
        "from playing.window_process import Shown, receive, send\n"
        "sent = io.BytesIO(); send(Shown(np.zeros((21, 16, 3), np.uint8), (62, 63)), sent)\n"
        "print([receive(io.BytesIO(sent.getvalue()[:n])) for n in (0, 3, 16, 100)])"
    )
    assert line == str([None] * 4)


def test_a_window_that_was_closed_makes_showing_harmless(window: Window) -> None:
    window.show(GREY)
    assert window.is_open
    window._process.terminate()  # SDL takes that for the user's wish
    wait_for(lambda: not window.is_open)
    for rate in (0, 60, 0):
        window.show(GREY, rate)
    window.close()


def test_closing_ends_its_process(window: Window) -> None:
    window.show(GREY)
    window.close()
    assert window._process.returncode == 0
    window.show(GREY)
    window.close()


def test_ctrl_c_is_for_the_run_and_not_for_the_window(window: Window) -> None:
    window._process.send_signal(signal.SIGINT)
    window.show(GREY)
    window.close()
    assert window._process.returncode == 0


def test_a_window_that_hangs_holds_nobody_up(window: Window) -> None:
    window._process.send_signal(signal.SIGSTOP)
    large = np.zeros((1000, 1000, 3), np.uint8)
    started = time.perf_counter()
    for _ in range(50):
        window.show(large)
    assert time.perf_counter() - started < 1
    window.close()


def test_pictures_come_no_faster_than_asked(window: Window) -> None:
    started = time.perf_counter()
    for _ in range(6):
        window.show(GREY, 30)
    assert time.perf_counter() - started > 5 / 30 * 0.9
    window.close()


def test_who_is_too_slow_misses_all_but_the_newest() -> None:
    newest: Newest[int] = Newest()
    assert newest.take(0.0) is None
    for number in range(3):
        newest.put(number)
    newest.close()
    assert newest.take() == 2
    with pytest.raises(ClosedError):
        newest.take()
