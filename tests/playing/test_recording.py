"""What a recorded game shows: the game, at its speed, and what its player sees."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import av
import cv2
import numpy as np
import pytest

from agent import make_agent
from atari.histories import History
from dqn_atari import main
from playing.mirrored_game import pictures_of
from playing.pictures import ACTIONS_WIDTH, LINE, MARGIN, Insight, game_picture, insight_picture
from playing.recording import Recording
from playing.rollouts import play_games
from playing.watch import Spectator, play
from preprocessing import FrameStack, make_environments
from settings.config import Config
from storage import weights as weights_file
from tests.helpers.default_networks import default_network
from tests.helpers.resident_memory import taken_by

if TYPE_CHECKING:
    from collections.abc import Iterator

# Few long steps make a short game.
FRAME_SKIP = 40
CONFIG = Config(environment="Pong-v0", frame_skip=FRAME_SKIP, envs=1)
SPEED = Fraction(60, FRAME_SKIP)
STRIP, GAME_WIDTH = 26, 416  # pixels: of the line of the score above the game; of the game


class KeptRecording(Recording):
    """A recording that also keeps its pictures."""

    def __init__(self, folder: Path):
        super().__init__(folder, "Pong-v0", SPEED)
        self.pictures: list[np.ndarray] = []

    def add(self, picture: np.ndarray) -> None:
        self.pictures.append(picture)
        super().add(picture)


class Played(NamedTuple):
    folder: Path
    pictures: list[np.ndarray]
    scores: list[float]
    states: np.ndarray  # [steps, 84, 84, 4] uint8, those that the agent acted on
    actions: np.ndarray  # [steps]
    values: np.ndarray  # [steps, A]
    lengths: list[int]


def played(folder: Path, overlay: bool, games: int) -> Played:
    """Plays games at random in the environments of recordings, as `watch.play` does."""
    environments = make_environments(
        CONFIG, 1, np.random.default_rng(4), shown=True, for_scores=True
    )
    agent = make_agent(CONFIG, (84, 84, 4), 6, np.random.default_rng(0))
    states, actions, act = [], [], agent.act

    def noted(given: np.ndarray, *args: object, **options: object) -> np.ndarray:
        states.append(given[0].copy())
        actions.append(act(given, *args, **options))
        return actions[-1]

    vars(agent)["act"] = noted
    with KeptRecording(folder) as recording:
        spectator = Spectator(
            agent, environments.action_names, window=None, recording=recording,
            pictures_per_second=SPEED, overlay=overlay,
        )  # fmt: skip
        done = []
        for turn in play_games(agent, environments, 4, games, np.random.default_rng(1), 0.7):
            spectator.watch(turn)
            done += turn.games
    environments.close()
    scores, lengths = [game.score for game in done], [game.length for game in done]
    values = agent.values(np.stack(states))
    return Played(
        folder, recording.pictures, scores, np.stack(states), np.concatenate(actions), values,
        lengths,
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return played(tmp_path_factory.mktemp("plain"), overlay=False, games=2)


@pytest.fixture(scope="module")
def overlaid(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return played(tmp_path_factory.mktemp("overlaid"), overlay=True, games=1)


def frames_of(path: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


def train_states(game: Played) -> tuple[np.ndarray, list[History]]:
    """Returns what the environments of training show for the same seed and actions.

    Returns:
        The states that they give, and how the emulator has come to the end of each game.
    """
    environments = make_environments(
        CONFIG, 1, np.random.default_rng(4), shown=False, for_scores=True
    )
    stack = FrameStack(1, environments.frame_shape, 4)
    stack.push(environments.reset(), np.ones(1, bool))
    states, histories = [], []
    for action in game.actions:
        states.append(stack.states[0].copy())
        before = environments.history(0)
        step = environments.step(np.array([action]))
        stack.push(step.frames, step.ends)
        if step.ends[0]:
            actions = np.append(before.actions, np.uint8(action))
            histories.append(History(before.seed, actions, np.append(before.starts, False)))
    environments.close()
    return np.stack(states), histories


def test_each_game_has_its_files_and_no_others(plain: Played) -> None:
    names = {f"Pong-v0_game_{n}.{ending}" for n in (1, 2) for ending in ("mp4", "gif")}
    assert {path.name for path in plain.folder.iterdir()} == names


def test_it_is_the_game_in_its_own_colours_from_its_start_to_its_end(plain: Played) -> None:
    """The GIF shows, to the last bit, the screens of the game as it was played in training."""
    _, histories = train_states(plain)
    assert len(histories) == 2
    for number, history in enumerate(histories, start=1):
        shown = [
            frame.to_ndarray(format="rgb24")
            for frame in frames_of(plain.folder / f"Pong-v0_game_{number}.gif")
        ]
        assert len(shown) == plain.lengths[number - 1] + 1
        # The seed may be that of the game before as well.
        screens = list(pictures_of(CONFIG, history, 10_000))[-len(shown) :]
        for picture, screen in zip(shown, screens, strict=True):
            aspect = cv2.resize(screen, (GAME_WIDTH, 420), interpolation=cv2.INTER_NEAREST)
            np.testing.assert_array_equal(picture[STRIP:], aspect)


def test_mp4_and_gif_play_at_the_speed_of_the_game(plain: Played) -> None:
    for ending in ("mp4", "gif"):
        times = [frame.time for frame in frames_of(plain.folder / f"Pong-v0_game_1.{ending}")]
        np.testing.assert_allclose(times, np.arange(len(times)) * FRAME_SKIP / 60, atol=0.006)


def test_the_mp4_shows_the_same(plain: Played) -> None:
    decoded = [f.to_ndarray(format="rgb24") for f in frames_of(plain.folder / "Pong-v0_game_2.mp4")]
    written = plain.pictures[-len(decoded) :]
    assert len(decoded) == plain.lengths[1] + 1
    for ours, theirs in zip(decoded, written, strict=True):
        assert np.abs(ours.astype(int) - theirs).mean() < 4


def test_the_score_of_each_game_is_drawn_from_zero_to_its_end(plain: Played) -> None:
    screen = np.zeros((210, 160, 3), np.uint8)

    def strip(score: float) -> np.ndarray:
        return game_picture(screen, score)[:STRIP]

    first_end = plain.lengths[0]
    shown = [plain.pictures[n][:STRIP] for n in (0, first_end, first_end + 1, -1)]
    for ours, score in zip(shown, (0, plain.scores[0], 0, plain.scores[1]), strict=True):
        np.testing.assert_array_equal(ours, strip(score))
    assert (strip(0) != strip(plain.scores[0])).any()


def test_the_network_sees_in_a_recording_what_it_saw_in_training(plain: Played) -> None:
    states, _ = train_states(plain)
    np.testing.assert_array_equal(plain.states, states)


def test_the_overlay_draws_the_very_state_that_the_agent_acts_on(overlaid: Played) -> None:
    assert len(overlaid.pictures) == len(overlaid.states) + 1  # and the end
    for picture, state in zip(overlaid.pictures, overlaid.states, strict=False):
        for number in range(4):
            left = GAME_WIDTH + ACTIONS_WIDTH + number * (84 + MARGIN)
            drawn = picture[LINE : LINE + 84, left : left + 84]
            np.testing.assert_array_equal(drawn, state[..., number, None].repeat(3, axis=-1))


def test_the_overlay_tells_values_and_the_chosen_action(overlaid: Played) -> None:
    """Drawn from another chosen action or other values, the picture is another."""
    names = ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")
    picture, state = overlaid.pictures[30], overlaid.states[30]
    nothing = np.zeros((84, 84), np.float32)
    insight = Insight(state, names, overlaid.values[30], int(overlaid.actions[30]), nothing)

    def actions(insight: Insight) -> np.ndarray:
        return insight_picture(insight)[:160, :ACTIONS_WIDTH]

    shown = picture[:160, GAME_WIDTH : GAME_WIDTH + ACTIONS_WIDTH]
    np.testing.assert_array_equal(shown, actions(insight))
    other = (insight.action + 1) % 6
    assert (shown != actions(insight._replace(action=other))).any()
    assert (shown != actions(insight._replace(values=insight.values[::-1]))).any()


def test_the_overlay_reddens_what_the_values_depend_on(overlaid: Played) -> None:
    state = overlaid.states[30]
    saliency = np.zeros((84, 84), np.float32)
    saliency[20:24, 50:60] = 3.0
    names = [str(n) for n in range(6)]
    picture = insight_picture(Insight(state, names, overlaid.values[30], 0, saliency))
    is_red = (picture == (255, 0, 0)).all(axis=-1)
    assert is_red.sum() == 4 * 10 * 3**2


@pytest.mark.parametrize("name", ["run:1", "https:", "%03d", os.fsdecode(b"\xe9"), "-y"])
def test_a_folder_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with Recording(Path(name), "Pong-v0", SPEED) as recording:
        recording.add(np.zeros((32, 32, 3), np.uint8))
        recording.end_game()
    names = {path.name for path in (tmp_path / name).iterdir()}
    assert names == {"Pong-v0_game_1.mp4", "Pong-v0_game_1.gif"}


def test_a_gif_has_the_first_minutes_of_a_long_game_and_the_mp4_all(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pictures = [np.full((32, 32, 3), 20 * number, np.uint8) for number in range(5)]
    with Recording(tmp_path, "Pong-v0", pictures_per_second=Fraction(1, 60)) as recording:
        for count in (5, 3):
            for picture in pictures[:count]:
                recording.add(picture)
            recording.end_game()
    said = "the MP4 has the whole game, the GIF its first 3 minutes\n"
    assert capsys.readouterr().out == said
    for game, ending, count in (1, "mp4", 5), (1, "gif", 3), (2, "mp4", 3), (2, "gif", 3):
        assert len(list(frames_of(tmp_path / f"Pong-v0_game_{game}.{ending}"))) == count


# Pictures in the size of a game's, of which a few lines change each time.
GROWING = """
from fractions import Fraction
from pathlib import Path
import numpy as np
from playing.recording import Recording
rng = np.random.default_rng(0)
recording = Recording(Path({folder!r}), "Pong-v0", Fraction(15))
picture = np.zeros((446, 416, 3), np.uint8)

def record(count):
    for number in range(count):
        picture[number % 440 : number % 440 + 4, :40] = rng.integers(200, size=(4, 40, 3))
        recording.add(picture)
    return recording

record(200)
"""


def test_a_long_game_takes_hardly_more_memory_than_a_short_one(tmp_path: Path) -> None:
    """Beyond the first pictures, which the encoders hold, a picture takes what is new in it.

    A game may last 27,000 steps, which are to take no more than 300 MB.
    """
    taken = taken_by(GROWING.format(folder=str(tmp_path)), "record(600)")
    assert taken < 600 * 300e6 / 27_000


def test_a_game_left_in_its_middle_leaves_no_files(tmp_path: Path) -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(KeyboardInterrupt), Recording(tmp_path / "new", "ALE/Pong-v5", SPEED) as it:
        it.add(picture)
        it.end_game()
        it.add(picture)
        raise KeyboardInterrupt
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"ALE-Pong-v5_game_1.mp4", "ALE-Pong-v5_game_1.gif"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "some.h5"
    weights_file.save(path, default_network(6, 3))
    return path


def test_recording_changes_nothing_in_the_game(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    settings = {
        "environment": "Pong-v0",
        "frame_skip": FRAME_SKIP,
        "envs": 1,
        "games_to_play": 1,
        "seed": 1,
        "play": True,
        "continue_from": str(weights),
    }
    outputs = []
    for more in ({}, {"video_folder": str(tmp_path)}):
        assert play(Config(**settings, **more)) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert re.search(r"^1 games: mean score -?\d", outputs[0], re.M)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_ends_in_one_line_before_playing(
    folder: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    record = tmp_path / folder
    status = main(["-env", "Pong-v0", "-p", "-c", str(weights), "--record", str(record)])
    output, errors = capsys.readouterr()
    assert (status, output) == (1, "")
    assert errors.count("\n") == 1
    assert str(record) in errors
    assert "--record is no folder to write in" in errors
