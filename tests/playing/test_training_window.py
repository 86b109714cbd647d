"""A run that is watched is the same run, and what is shown of it is its first environment."""

from __future__ import annotations

import os
import signal
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from playing.mirrored_game import MirroredGame, pictures_of
from playing.training_window import MOST_STEPS, LiveView
from preprocessing import AtariEnvironments, make_environments
from settings.config import Config
from system.root import ROOT
from tests.helpers.outcomes import assert_same
from training.run import train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONFIG = Config(environment="Breakout-v0", frame_skip=16, life_loss="penalty", no_op_limit=3)
# Takes the place of the window's process, and keeps what it was to show.
KEEPER = """
import sys
sys.path.insert(0, {root!r})
import numpy as np
from playing.window_process import receive
print(flush=True)
number = 0
while (shown := receive(sys.stdin.buffer)) is not None:
    np.savez({folder!r} + f"/{{number:04}}.npz", picture=shown.picture, size=shown.size)
    number += 1
"""


def environments_of(config: Config, count: int, shown: bool) -> AtariEnvironments:
    return make_environments(config, count, np.random.default_rng(5), shown=shown)


def steps_of(
    environments: AtariEnvironments, count: int, start: bool = True
) -> Iterator[np.ndarray]:
    """Plays at random; yields the ends, [n] bool, of each step."""
    rng = np.random.default_rng(6)
    if start:
        environments.reset()
    for _ in range(count):
        actions = rng.integers(environments.num_actions, size=environments.count)
        yield environments.step(actions).ends


class Pair(NamedTuple):
    """The same game with the emulators of training and with those that are shown."""

    config: Config
    fast: AtariEnvironments
    shown: AtariEnvironments


@pytest.fixture(params=["Breakout-v0", "Pong-v4"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    config = Config(environment=request.param, frame_skip=50, no_op_limit=3)
    pair = Pair(config, environments_of(config, 1, False), environments_of(config, 1, True))
    yield pair
    pair.fast.close()
    pair.shown.close()


def test_the_followed_game_is_that_of_the_first_environment_over_its_episodes(pair: Pair) -> None:
    game = MirroredGame(pair.config)
    ends = 0
    for end, _ in zip(steps_of(pair.fast, 80), steps_of(pair.shown, 80), strict=True):
        *_, newest = game.follow(pair.fast.history(0))
        np.testing.assert_array_equal(newest, pair.shown.picture())
        ends += int(end[0])
    game.close()
    assert ends > 0


def test_it_can_begin_late_and_be_left_on_the_way(pair: Pair) -> None:
    fast, shown = pair.fast, pair.shown
    list(steps_of(fast, 20))
    list(steps_of(shown, 20))
    game = MirroredGame(pair.config)
    history = fast.history(0)
    first = list(islice(game.follow(history), 7))
    rest = list(game.follow(history))
    assert len(first + rest) == len(history.actions) + 1
    np.testing.assert_array_equal(rest[-1], shown.picture())
    assert list(game.follow(history)) == []
    for _ in zip(steps_of(fast, 3, False), steps_of(shown, 3, False), strict=True):
        [newest] = game.follow(fast.history(0))
        np.testing.assert_array_equal(newest, shown.picture())
    game.close()


def test_the_pictures_of_a_game_are_its_first_and_as_many_as_asked_for() -> None:
    shown = environments_of(CONFIG, 1, True)
    shown.reset()
    screens = [shown.picture()]
    for _ in range(12):
        shown.step(np.array([1]))
        screens.append(shown.picture())
    history = shown.history(0)
    shown.close()
    assert len(history.actions) == 12
    for most in (0, 5, 13, 99):
        pictures = list(pictures_of(CONFIG, history, most))
        assert len(pictures) == min(most, 13)
        for ours, theirs in zip(pictures, screens, strict=False):
            np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[np.ndarray]]:
    """Has windows keep their pictures in files, which it returns a function to read."""
    folder = tmp_path / "kept"
    folder.mkdir()
    keeper = tmp_path / "keeper.py"
    root = str(ROOT)
    keeper.write_text(KEEPER.format(root=root, folder=str(folder)))
    monkeypatch.setattr("playing.window.COMMAND", (sys.executable, str(keeper)))
    return lambda: [np.load(path) for path in sorted(folder.iterdir())]


def test_the_window_shows_the_game_of_the_first_environment_in_its_colours(
    kept: Callable[[], list[dict]],
) -> None:
    fast = environments_of(CONFIG, 3, False)
    shown = environments_of(CONFIG, 3, True)
    with LiveView(Config(**{**vars(CONFIG), "render": True})) as view:
        for _ in zip(steps_of(fast, 25), steps_of(shown, 25), strict=True):
            view.update(lambda: fast.history(0))
    newest = kept()[-1]
    np.testing.assert_array_equal(newest["picture"], shown.picture())
    assert tuple(newest["size"]) == (624, 630)
    fast.close()
    shown.close()


def test_a_signal_opens_and_closes_the_window_and_it_catches_up(
    kept: Callable[[], list[dict]],
) -> None:
    fast = environments_of(CONFIG, 2, False)
    list(steps_of(fast, 3 * MOST_STEPS))
    history = fast.history(0)
    turns = -(-(len(history.actions) + 1) // MOST_STEPS)
    *_, last = pictures_of(CONFIG, history, 10_000)
    with LiveView(CONFIG) as view:
        view.update(lambda: pytest.fail("nobody is watching"))
        for _ in range(2):
            signal.raise_signal(signal.SIGUSR1)
            # No turn of the run is held up for long.
            for _ in range(turns):
                view.update(lambda: history)
            signal.raise_signal(signal.SIGUSR1)
            view.update(lambda: pytest.fail("nobody is watching"))
            np.testing.assert_array_equal(kept()[-1]["picture"], last)
    fast.close()


def test_a_window_that_cannot_be_opened_meanwhile_is_said_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    fast = environments_of(CONFIG, 1, False)
    fast.reset()
    with LiveView(CONFIG) as view:
        signal.raise_signal(signal.SIGUSR1)
        until = time.monotonic() + 30
        errors = ""
        while not errors:
            view.update(lambda: fast.history(0))
            errors = capsys.readouterr().err
            assert time.monotonic() < until
        view.update(lambda: pytest.fail("nobody is watching"))
    fast.close()
    assert errors.count("\n") == 1
    assert "needs a display" in errors


def test_the_signal_is_given_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with LiveView(CONFIG):
        assert signal.getsignal(signal.SIGUSR1) != before
    assert signal.getsignal(signal.SIGUSR1) == before


def test_a_watched_run_writes_the_same_log_and_weights(
    tmp_path: Path, kept: Callable[[], list[dict]], capsys: pytest.CaptureFixture
) -> None:
    for watched in (False, True):
        config = Config(
            environment="Breakout-v0",
            envs=2,
            memory_size=2_000,
            pretrain_transitions=64,
            steps=700,
            train_every=100,
            explore_steps=700,
            seed=3,
            progress=False,
            render=watched,
            out=str(tmp_path / str(watched)),
        )
        assert train(config) == 0
        output, errors = capsys.readouterr()
        assert errors == ""
        assert f"\nkill -USR1 {os.getpid()} opens or closes a window" in output
    assert_same(tmp_path / "True", tmp_path / "False")
    assert (tmp_path / "True" / "Breakout-v0_log.txt").read_text().count("\n") > 1
    assert len(kept()) > 1
