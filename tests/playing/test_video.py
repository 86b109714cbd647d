"""Videos are whole or not there, and play back as what was written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from playing.video import VideoError, VideoWriter, gif_writer, mp4_writer
from system.root import ROOT

Writer = Callable[[Path, Fraction], AbstractContextManager[VideoWriter]]
WRITERS = [(mp4_writer, "game.mp4"), (gif_writer, "game.gif")]
EACH = pytest.mark.parametrize(("writer", "name"), WRITERS, ids=["mp4", "gif"])


def moving_square(count: int, colours: int = 3) -> list[np.ndarray]:
    """Returns pictures of a red square that moves over a field of so many other colours."""
    field = np.zeros((64, 80, 3), np.uint8)
    field[..., 2] = np.arange(64)[:, None] * 4 * (colours > 2)
    if colours > 256:
        field[..., 1] = np.arange(80) * 3
    pictures = []
    for number in range(count):
        picture = field.copy()
        picture[20:36, 2 * number : 2 * number + 16] = 200, 30, 30
        pictures.append(picture)
    return pictures


def write(writer: Writer, path: Path, pictures: list[np.ndarray], rate: Fraction) -> None:
    with writer(path, rate) as video:
        for picture in pictures:
            video.add(picture)


def read(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """Returns the pictures of a video and the seconds that they appear at."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frame.to_ndarray(format="rgb24") for frame in frames], [frame.time for frame in frames]


@EACH
def test_a_video_plays_back_in_its_colours_and_speed(
    writer: Writer, name: str, tmp_path: Path
) -> None:
    pictures = moving_square(12)
    write(writer, tmp_path / name, pictures, Fraction(15))
    played, times = read(tmp_path / name)
    assert len(played) == 12
    np.testing.assert_allclose(times, np.arange(12) / 15, atol=0.006)
    for ours, theirs in zip(played, pictures, strict=True):
        # H.264 loses a little, at edges most; a GIF of few colours nothing.
        difference = np.abs(ours.astype(int) - theirs)
        assert difference.mean() < (3 if name.endswith("mp4") else 1e-9)


def test_a_gif_of_many_colours_has_near_ones_and_areas_keep_theirs(tmp_path: Path) -> None:
    area = np.full((64, 2_000, 3), (0, 100, 100), np.uint8)
    pictures = [np.hstack([area, picture]) for picture in moving_square(3, colours=5_000)]
    write(gif_writer, tmp_path / "game.gif", pictures, Fraction(15))
    played, _ = read(tmp_path / "game.gif")
    for ours, theirs in zip(played, pictures, strict=True):
        assert np.abs(ours.astype(int) - theirs).max() < 64
        np.testing.assert_array_equal(ours[:, : area.shape[1]], area)


def test_a_gif_holds_little_more_than_what_changes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(2, size=(200, 160, 1)).astype(np.uint8) * 200
    still = noise.repeat(3, axis=-1)
    write(gif_writer, tmp_path / "one.gif", [still], Fraction(15))
    changing = [still.copy() for _ in range(50)]
    for number, picture in enumerate(changing):
        picture[number : number + 4, 50:54] = 90
    write(gif_writer, tmp_path / "many.gif", changing, Fraction(15))
    one, many = ((tmp_path / name).stat().st_size for name in ("one.gif", "many.gif"))
    assert many - one < 50 * 200


def test_a_gif_has_no_pictures_too_short_to_be_shown_at_their_speed(tmp_path: Path) -> None:
    write(gif_writer, tmp_path / "game.gif", moving_square(30), Fraction(60))
    _, times = read(tmp_path / "game.gif")
    assert min(np.diff(times)) >= 0.0199
    assert times[-1] == pytest.approx(29 / 60, abs=0.02)


def test_odd_sides_can_be_written(tmp_path: Path) -> None:
    picture = np.full((33, 41, 3), 90, np.uint8)
    write(mp4_writer, tmp_path / "game.mp4", [picture], Fraction(15))
    [played], _ = read(tmp_path / "game.mp4")
    assert played.shape == (34, 42, 3)
    assert np.abs(played.astype(int) - 90).max() < 8


@EACH
@pytest.mark.parametrize("count", [0, 5])
def test_a_video_that_is_not_finished_leaves_the_one_before(
    writer: Writer, name: str, count: int, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(b"earlier")
    with pytest.raises(KeyboardInterrupt), writer(path, Fraction(15)) as video:
        for picture in moving_square(count):
            video.add(picture)
        raise KeyboardInterrupt
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"earlier"]


@EACH
def test_a_video_of_nothing_is_refused(writer: Writer, name: str, tmp_path: Path) -> None:
    with (
        pytest.raises(VideoError, match="at least one picture"),
        writer(tmp_path / name, Fraction(15)),
    ):
        pass
    assert not list(tmp_path.iterdir())


@EACH
def test_a_folder_that_is_none_is_named(writer: Writer, name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / name
    with pytest.raises(OSError) as failure:
        write(writer, path, moving_square(1), Fraction(15))
    assert failure.value.filename == str(path)


@EACH
def test_what_cannot_be_encoded_is_said_in_one_line(
    writer: Writer, name: str, tmp_path: Path
) -> None:
    with pytest.raises(VideoError, match=f"cannot write the {name[-3:].upper()} video"):
        write(writer, tmp_path / name, [np.zeros((2, 70_000, 3), np.uint8)], Fraction(15))
    assert not list(tmp_path.iterdir())


def test_without_pyav_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from fractions import Fraction; from pathlib import Path; from playing import video\n"
        "try:\n"
        "    with video.gif_writer(Path(sys.argv[1]), Fraction(15)): pass\n"
        "except video.VideoError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "game.gif"], cwd=ROOT, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    [line] = done.stdout.splitlines()
    assert "pip install" in line
