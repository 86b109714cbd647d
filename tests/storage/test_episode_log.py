"""What the episode log promises."""

import errno
import math
import os
import subprocess
import sys
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from string import ascii_letters

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from storage.episode_log import (
    Episode,
    Log,
    LogError,
    RewardLog,
    cut_back,
    format_episode,
    parse_episode,
    read_log,
)
from system.root import ROOT
from tests.helpers.prepared import prepared

ORIGINAL = (
    "Episode: 0 Reward: -28.0 Steps: 255 Current Epsilon: 0.9997705000000076 "
    "Loss: 0.003062747186049819 Acc: 0.875"
)
OURS = (
    "Episode: 0 Reward: -28.0 Steps: 255 Current Epsilon: 0.9997705 Loss: 0.00306275 Acc: 0.875 "
    "Score: -21.0 Length: 255 Mean Q: 0.0132 Q Spread: 0.0205 Dead ReLUs: 0.125 Frames: 1020 "
    "Seconds: 12.3"
)
EPISODE = Episode(
    0,
    -28.0,
    255,
    0.9997705,
    0.00306275,
    0.875,
    -21.0,
    255,
    0.0132,
    0.0205,
    0.125,
    1020,
    seconds=12.3,
)

counts = st.integers(0, 10**18 - 1)
numbers = st.floats()
actions = st.text(ascii_letters + "_", min_size=1)
episodes = st.builds(
    Episode,
    *(counts, numbers, counts, numbers, numbers, numbers),
    *(
        st.none() | kind
        for kind in (
            *(numbers, counts, numbers, numbers, numbers, counts, actions, counts, numbers),
        )
    ),
)


def bare(number: int, steps: int) -> Episode:
    """Returns an episode as the original logs it."""
    return Episode(number, -1.0, steps, 1.0, 0.0, 0.0)


# ---------------------------------------------------------------- one line


def test_line_is_exactly_the_documented_one() -> None:
    assert format_episode(EPISODE) == OURS


def test_documented_line_is_read() -> None:
    assert parse_episode(OURS) == EPISODE


def test_line_of_before_the_spread_and_the_dead_relus_is_read_without_them() -> None:
    before = OURS.replace(" Q Spread: 0.0205 Dead ReLUs: 0.125", "")
    assert parse_episode(before) == replace(EPISODE, q_spread=None, dead_relus=None)
    assert format_episode(parse_episode(before) or EPISODE) == before


def test_only_action_stands_before_the_seconds() -> None:
    line = OURS.replace(" Seconds", " Only Action: FIRE Seconds")
    assert format_episode(replace(EPISODE, only_action="FIRE")) == line
    assert parse_episode(line) == replace(EPISODE, only_action="FIRE")


def test_line_of_the_original_is_read_without_the_added_fields() -> None:
    assert parse_episode(ORIGINAL) == Episode(
        0, -28.0, 255, 0.9997705000000076, 0.003062747186049819, 0.875
    )


def test_original_fields_alone_are_written_as_the_original_writes_them() -> None:
    assert format_episode(parse_episode(ORIGINAL) or EPISODE) == ORIGINAL


@given(episodes)
@example(EPISODE)
def test_what_is_written_is_read_back_exactly(episode: Episode) -> None:
    # repr, because nan is not equal to itself.
    assert repr(parse_episode(format_episode(episode))) == repr(episode)


@given(episodes)
def test_nothing_is_written_in_scientific_notation(episode: Episode) -> None:
    for word in format_episode(episode).split():
        if word[0] in "-0123456789" and word != "-inf":
            assert "e" not in word.lower()


@given(st.text() | st.text("Episode: 0.-+eE Reward\n\x00١"))
@example("Episode: " + "1" * 5000 + ORIGINAL[10:])
@example(ORIGINAL.replace("Loss: 0", "Loss: " + "1" * 100_000))
@example(ORIGINAL.replace("255", "٢٥٥"))
@example(ORIGINAL + " Only Action: " + "FIRE" * 100_000 + "!")
def test_no_text_makes_the_parser_raise(text: str) -> None:
    parse_episode(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9.5e-05", 0.000095),
        ("9.5E-05", 0.000095),
        ("1e+2", 100.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("inf", math.inf),
        ("-inf", -math.inf),
    ],
)
def test_scientific_notation_is_read(text: str, value: float) -> None:
    episode = parse_episode(ORIGINAL.replace("0.003062747186049819", text))
    assert episode is not None
    assert episode.loss == value


def test_nan_is_read() -> None:
    episode = parse_episode(ORIGINAL.replace("0.003062747186049819", "nan"))
    assert episode is not None
    assert math.isnan(episode.loss)


@pytest.mark.parametrize(
    "line",
    [
        "",
        ORIGINAL.removesuffix(" Acc: 0.875"),
        ORIGINAL.removesuffix("0.875"),
        OURS.removesuffix("12.3"),
        OURS + " Lives",
        OURS + " Only Action: FIRE",
        ORIGINAL + " Only Action: ",
        ORIGINAL + " Only Action: 3",
        ORIGINAL + " Only Action: FIRE UP",
        OURS.replace("Reward", "Score"),
        ORIGINAL[:30] + ORIGINAL,
        ORIGINAL.replace("255", "255.5"),
    ],
)
def test_line_that_is_not_whole_is_no_episode(line: str) -> None:
    assert parse_episode(line) is None


# ---------------------------------------------------------------- a whole log


def write(path: Path, text: str) -> Path:
    """Writes a file as it stands and returns its path."""
    path.write_bytes(text.encode())
    return path


def test_lines_that_cannot_be_used_are_skipped_and_named(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "log", f"{OURS}\nhello\n\n{ORIGINAL}\n"))
    assert [episode.score for episode in log.episodes] == [-21.0, None]
    assert log.skipped == [(2, "not an episode line")]


def test_last_line_without_newline_is_skipped(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "log", f"{ORIGINAL}\n{ORIGINAL[:-2]}"))
    assert [episode.accuracy for episode in log.episodes] == [0.875]
    assert log.skipped == [(2, "cut short (no newline at its end)")]


def test_windows_line_ends_and_byte_order_mark_are_read(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "log", f"\ufeff{OURS}\r\n{OURS}\r\n"))
    assert log == Log([EPISODE, EPISODE], [])


def test_zeros_that_a_power_cut_left_do_not_hide_the_log(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "log", f"{OURS}\n" + "\0" * 512))
    assert log.episodes == [EPISODE]


def error_of(path: Path | str) -> str:
    """Returns what read_log says is wrong with a path."""
    with pytest.raises(LogError) as caught:
        read_log(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_missing_log_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'none.txt'}: no such file" in error_of(tmp_path / "none.txt")


def test_folder_is_named_as_such(tmp_path: Path) -> None:
    assert "is a folder" in error_of(tmp_path)


def test_device_is_not_read() -> None:
    assert "is a device" in error_of("/dev/null")


def test_empty_log_is_named_as_such(tmp_path: Path) -> None:
    assert "is empty" in error_of(write(tmp_path / "log", ""))


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0\0", b"\xff\xfe\n\n", b"\0" * 10_000])
def test_binary_file_is_named_as_such(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "log").write_bytes(data)
    assert "is a binary file" in error_of(tmp_path / "log")


def test_text_without_an_episode_says_how_a_line_reads(tmp_path: Path) -> None:
    assert "Episode: 0 Reward:" in error_of(write(tmp_path / "log", "a\nb\n"))


def test_only_line_cut_short_is_said(tmp_path: Path) -> None:
    assert "line 1 is cut short" in error_of(write(tmp_path / "log", ORIGINAL))


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "\udcff", "x" * 5000])
def test_odd_names_are_one_line_errors(name: str) -> None:
    assert error_of(name)


def test_log_without_permission_is_named_as_such(tmp_path: Path) -> None:
    path = write(tmp_path / "log", OURS)
    path.chmod(0)
    code = (
        "import os, sys\nfrom storage import episode_log\n"
        "if os.getuid() == 0: os.setuid(65534)\n"  # The superuser may read everything.
        "try: episode_log.read_log(sys.argv[1])\n"
        "except episode_log.LogError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{path}: no permission to read it\n"


# ---------------------------------------------------------------- runs


def test_runs_split_where_the_episode_number_does_not_increase() -> None:
    first = [bare(0, 10), bare(1, 20)]
    second = [bare(0, 15), bare(2, 30)]
    third = [bare(2, 40)]
    assert Log(first + second + third).runs == [first, second, third]


def test_runs_split_where_the_steps_decrease() -> None:
    first, second = [bare(0, 500)], [bare(1, 20)]
    assert Log(first + second).runs == [first, second]


def test_log_without_episodes_has_no_run() -> None:
    assert Log([]).runs == []


# ---------------------------------------------------------------- writing


def test_each_append_can_be_read_at_once(tmp_path: Path) -> None:
    with RewardLog(tmp_path / "log") as log:
        for count in (1, 2):
            log.append(EPISODE)
            assert read_log(tmp_path / "log") == Log([EPISODE] * count, [])


def test_existing_lines_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "log", f"{ORIGINAL}\n")
    with RewardLog(path) as log:
        log.append(EPISODE)
    assert path.read_text() == f"{ORIGINAL}\n{OURS}\n"


@pytest.mark.parametrize("kept", ["", f"{ORIGINAL}\n", f"{OURS}\n" * 100])
@pytest.mark.parametrize("tail", ["Ep", ORIGINAL[:-2], "Episode: " + "1" * 10_000])
def test_line_that_a_killed_run_left_is_cut_away(tmp_path: Path, kept: str, tail: str) -> None:
    path = write(tmp_path / "log", kept + tail)
    with RewardLog(path):
        pass
    assert path.read_text() == kept


@pytest.mark.parametrize("text", ["notes of mine", f"{OURS}\nnotes"])
def test_tail_that_is_not_ours_is_kept(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "log", text)
    with RewardLog(path) as log:
        log.append(EPISODE)
    assert path.read_text() == f"{text}\n{OURS}\n"


def test_closing_twice_does_nothing(tmp_path: Path) -> None:
    log = RewardLog(tmp_path / "log")
    log.close()
    log.close()


def test_folder_that_is_missing_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RewardLog(tmp_path / "none" / "log")


def room(size: int) -> str:
    """Returns code that lets no file grow beyond so many bytes, as if the disk were full."""
    return f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"


def test_full_disk_leaves_only_whole_lines(tmp_path: Path) -> None:
    limit = 3 * len(OURS)  # Two lines and a piece of the third.
    code = (
        "import sys\nfrom storage import episode_log\n"
        "episode = episode_log.parse_episode(sys.argv[2])\n"
        "log = episode_log.RewardLog(sys.argv[1])\n"
        "for count in range(9):\n"
        "    try: log.append(episode)\n"
        "    except OSError as error: print(count, error.strerror)\n"
        "log.close()\n"
    )
    command = prepared(room(limit), sys.executable, "-c", code, tmp_path / "log", OURS)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    failed = "".join(f"{count} {os.strerror(errno.EFBIG)}\n" for count in range(2, 9))
    assert (done.stdout, done.stderr) == (failed, "")
    assert (tmp_path / "log").read_text() == f"{OURS}\n" * 2


# ---------------------------------------------------------------- positions

logs = st.lists(st.sampled_from([OURS, ORIGINAL, "notes of mine", ""])).map(
    lambda lines: "".join(f"{line}\n" for line in lines).encode()
)


def position_of(content: bytes) -> tuple[int, int]:
    """Returns the position of a log that holds this."""
    return len(content), zlib.crc32(content)


@settings(deadline=None)
@given(logs, st.sampled_from([b"", b"Epi", OURS.encode(), b"notes"]), st.lists(episodes))
def test_position_is_that_of_the_file_as_it_stands(
    content: bytes, tail: bytes, added: list[Episode]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(content + tail)
        with RewardLog(path) as log:
            assert log.position == position_of(path.read_bytes())
            for episode in added:
                log.append(episode)
                assert log.position == position_of(path.read_bytes())


def test_position_of_a_failed_append_is_the_one_before(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom storage import episode_log\n"
        "log = episode_log.RewardLog(sys.argv[1])\n"
        "before = log.position\n"
        "try: log.append(episode_log.parse_episode(sys.argv[2]))\n"
        "except OSError: print(log.position == before)\n"
    )
    path = write(tmp_path / "log", f"{OURS}\n")
    limit = len(OURS) + 20
    command = prepared(room(limit), sys.executable, "-c", code, path, OURS)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@settings(deadline=None)
@given(logs, logs, st.sampled_from([b"", b"Epi", b"notes"]))
def test_log_is_cut_back_to_a_position_it_had(content: bytes, added: bytes, tail: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(content + added + tail)
        assert cut_back(path, *position_of(content)) is None
        assert path.read_bytes() == content


def test_run_that_goes_on_after_a_cut_writes_on_from_the_position(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with RewardLog(path) as log:
        log.append(bare(0, 10))
        position = log.position
        log.append(bare(1, 20))
    assert cut_back(path, *position) is None
    with RewardLog(path) as log:
        assert log.position == position
        log.append(bare(1, 30))
    assert read_log(path).episodes == [bare(0, 10), bare(1, 30)]


def test_missing_log_is_told_and_not_made(tmp_path: Path) -> None:
    assert cut_back(tmp_path / "log", 0, 0) == f"{tmp_path / 'log'} is missing"
    assert not (tmp_path / "log").exists()


@settings(deadline=None)
@given(st.binary(), st.binary(min_size=1))
def test_shorter_log_is_told_and_kept(kept: bytes, lost: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(kept)
        why = cut_back(path, *position_of(kept + lost))
        assert why == f"{path} has lost lines: it has {len(kept)} bytes, and had {len(kept + lost)}"
        assert path.read_bytes() == kept


@settings(deadline=None)
@given(st.binary(min_size=1), st.binary(), st.binary())
@example(b"ab\n", b"ac\n", b"more\n")
@example(b"ab\n", b"\nac", b"more\n")
@example(b"ab\n", b"acd", b"more\n")
def test_changed_log_is_told_and_cut_at_the_last_line_before_the_position(
    had: bytes, found: bytes, added: bytes
) -> None:
    content = found + had[len(found) :] + added  # no shorter than it was
    position, before = position_of(had), content[: len(had)]
    assume(before != had)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(content)
        why = cut_back(path, *position)
        assert why == f"{path} was changed: its first {len(had)} bytes are not those that it had"
        kept = before[: before.rfind(b"\n") + 1]
        assert path.read_bytes() == (kept or content)


def test_log_that_cannot_be_read_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        cut_back(tmp_path, 0, 0)


def test_sync_has_the_log_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    with RewardLog(tmp_path / "log") as log:
        log.append(EPISODE)
        monkeypatch.setattr(os, "fsync", lambda opened: synced.append(os.fstat(opened).st_ino))
        log.sync()
    assert synced == [(tmp_path / "log").stat().st_ino]


def test_sync_that_fails_names_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with RewardLog(tmp_path / "log") as log:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError) as caught:
            log.sync()
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(tmp_path / "log"))
