"""What the plots and their command line promise."""

import contextlib
import errno
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import reward_visualizer
from plotting import average_plots
from plotting.average_plots import draw
from plotting.drawing import bucket_means, count_text
from plotting.log_table import Values, table_of
from plotting.runs import environment_name
from reward_visualizer import main
from storage.episode_log import Episode, Log, format_episode
from system.root import ROOT
from tests.helpers.logs import write_run
from tests.helpers.prepared import prepared

PROGRAM = [sys.executable, str(ROOT / "reward_visualizer.py")]
SEVEN = [
    *("episodes_rewards", "episodes_probability", "episodes_loss", "probability_rewards"),
    *("steps_rewards", "steps_probability", "steps_loss"),
]
# In the background of a shell, where these tests may run, an interrupt is ignored.
HEARS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)"
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
SCORES = ["episodes_scores", "probability_scores", "steps_scores"]


def episode(number: int, reward: float = -21.0, score: float | None = None) -> Episode:
    """Returns an episode of 100 steps."""
    steps = 100 * (number + 1)
    return Episode(number, reward, steps, 1 - steps / 10_000, 0.01, 0.9, score)


def columns(log: Log) -> dict[str, Values]:
    return average_plots.columns(table_of(log))


def write_log(path: Path, episodes: list[Episode]) -> Path:
    """Writes a log and returns its path."""
    path.write_text("".join(f"{format_episode(one)}\n" for one in episodes))
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of 7 episodes as the original writes them."""
    return write_log(tmp_path / "Pong-v0_log.txt", [episode(number) for number in range(7)])


def labels(count: int, size: int, x_name: str = "episodes") -> list[str]:
    """Returns the legend of a plot of so many episodes."""
    data = columns(Log([episode(number) for number in range(count)]))
    legend = draw(data, x_name, "rewards", size, "Pong-v0").axes[0].get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


# ---------------------------------------------------------------- numbers


def test_bucket_means_are_those_of_consecutive_episodes() -> None:
    assert bucket_means(np.array([1.0, 3.0, 10.0, 20.0]), 2).tolist() == [2.0, 15.0]


def test_first_episode_counts_in_full_and_no_point_is_invented() -> None:
    assert bucket_means(np.array([-20.0, -10.0, 6.0]), 1).tolist() == [-20.0, -10.0, 6.0]


def test_episodes_left_over_are_averaged_over_their_own_number() -> None:
    assert bucket_means(np.array([2.0, 4.0, 6.0, 9.0, 10.0]), 3).tolist() == [4.0, 9.5]


def test_fewer_episodes_than_a_bucket_are_one_point() -> None:
    assert bucket_means(np.array([2.0, 4.0]), 50).tolist() == [3.0]


def test_probability_is_one_minus_epsilon() -> None:
    assert columns(Log([Episode(0, 0.0, 1, 0.75, 0.0, 0.0)]))["probability"].tolist() == [0.25]


def test_runs_are_counted_on_from_the_end_of_the_run_before() -> None:
    data = columns(Log([episode(0), episode(1), episode(0), episode(1), episode(0)]))
    assert data["episodes"].tolist() == [0, 1, 2, 3, 4]
    assert data["steps"].tolist() == [100, 200, 300, 400, 500]


def test_run_whose_first_lines_are_missing_joins_without_a_gap() -> None:
    later = Episode(8, 0.0, 950, 1.0, 0.0, 0.0, length=50)
    data = columns(Log([episode(9), later]))
    assert data["episodes"].tolist() == [9, 10]
    assert data["steps"].tolist() == [1000, 1050]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("logs/Pong-v0_log.txt", "Pong-v0"),
        ("ALE-Pong-v5_log.txt", "ALE/Pong-v5"),
        ("/tmp/notes.txt", "notes.txt"),
        ("_log.txt", "_log.txt"),
        ("bad\udcff_log.txt", r"'bad\udcff'"),
    ],
)
def test_environment_comes_from_the_file_name(path: str, name: str) -> None:
    assert environment_name(path) == name


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (5000, "5,000"), (-21, "-21"), (250_000, "250k"), (1_500_000, "1.5M")],
)
def test_large_numbers_on_an_axis_are_short(value: float, text: str) -> None:
    assert count_text(value) == text


# ---------------------------------------------------------------- what a plot shows


def test_last_part_filled_bucket_is_drawn_as_such() -> None:
    data = columns(Log([episode(number, reward=number) for number in range(7)]))
    axes = draw(data, "episodes", "rewards", 3, "Pong-v0").axes[0]
    whole, rest = axes.get_lines()[-2:]
    assert np.asarray(whole.get_xydata()).tolist() == [[1, 1], [4, 4]]
    assert (whole.get_label(), whole.get_linestyle()) == ("mean of 3 episodes", "-")
    assert np.asarray(rest.get_xydata()).tolist() == [[4, 4], [6, 6]]
    assert (rest.get_label(), rest.get_linestyle()) == ("last 1 episode", "--")
    assert (rest.get_markerfacecolor(), rest.get_markevery()) == ("white", [1])


def test_log_that_fills_its_buckets_has_no_part_filled_one() -> None:
    assert labels(6, 3) == ["single episodes", "mean of 3 episodes"]


def test_log_shorter_than_a_bucket_says_so() -> None:
    assert labels(4, 50) == ["single episodes", "only 4 episodes (fewer than 50)"]


@pytest.mark.parametrize("x_name", ["episodes", "probability"])
def test_average_of_one_is_each_episode(x_name: str) -> None:
    assert labels(4, 1, x_name) == ["each episode"]


def test_long_log_shows_a_range_in_place_of_single_episodes() -> None:
    assert labels(3001, 50) == ["range of 4 episodes", "mean of 50 episodes", "last 1 episode"]


def test_range_holds_every_episode() -> None:
    data = columns(Log([episode(number, reward=number) for number in range(3002)]))
    axes = draw(data, "episodes", "rewards", 50, "Pong-v0").axes[0]
    heights = np.asarray(axes.collections[0].get_paths()[0].vertices)[:, 1]
    assert (heights.min(), heights.max()) == (0, 3001)


def test_points_of_one_probability_are_told_apart_by_colour() -> None:
    flat = [Episode(number, number, number, 0.1, 0.0, 0.0) for number in range(9)]
    figure = draw(columns(Log(flat)), "probability", "rewards", 3, "Pong-v0")
    assert np.asarray(figure.axes[0].collections[0].get_array()).tolist() == [3, 6, 9]
    assert figure.axes[1].get_ylabel() == "episodes so far"


def test_values_that_are_not_finite_are_left_out_before_averaging() -> None:
    rewards = [1.0, float("nan"), 3.0, float("inf"), 10.0, 1e300, 20.0]
    data = columns(Log([episode(number, reward) for number, reward in enumerate(rewards)]))
    lines = draw(data, "episodes", "rewards", 2, "Pong-v0").axes[0].get_lines()
    assert np.asarray(lines[-1].get_xydata()).tolist() == [[1, 2], [5, 15]]


def test_log_without_finite_values_says_so_in_the_plot() -> None:
    data = columns(Log([episode(0, float("nan"))]))
    texts = draw(data, "episodes", "rewards", 2, "Pong-v0").axes[0].texts
    assert [text.get_text() for text in texts] == ["no finite values"]


def test_plot_names_its_run_its_average_and_its_axes() -> None:
    axes = draw(columns(Log([episode(0)])), "steps", "loss", 50, "Pong-v0").axes[0]
    assert axes.get_title() == "Pong-v0: mean of 50 episodes"
    assert axes.get_xlabel() == "step (agent decisions)"
    assert axes.get_ylabel() == "loss (mean of the episode's updates)"


# ---------------------------------------------------------------- files


def test_log_of_the_original_gives_its_seven_plots(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-f", str(log), "-a", "3", "--out", str(tmp_path / "new" / "out")]) == 0
    folder = tmp_path / "new" / "out" / "average_3"
    paths = [folder / f"{name}3.png" for name in SEVEN]
    # Nothing else is left beside them.
    assert sorted(folder.iterdir()) == sorted(paths)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [str(path) for path in paths]
    assert captured.err == ""


def test_log_with_scores_gives_their_plots_too(tmp_path: Path) -> None:
    log = write_log(tmp_path / r"a$\frac$_log.txt", [episode(0), episode(1, score=-21.0)])
    assert main(["-f", str(log), "--out", str(tmp_path)]) == 0
    written = {path.name for path in (tmp_path / "average_50").iterdir()}
    assert written == {f"{name}50.png" for name in SEVEN + SCORES}


def test_plots_go_to_the_current_folder_by_default(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--file", log.name, "--average", "7"]) == 0
    assert Path("average_7/episodes_rewards7.png").exists()


def test_skipped_lines_joined_runs_and_odd_values_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = Episode(0, 1.0, 100, 1.0, float("nan"), 0.0)
    log = write_log(tmp_path / "log", [episode(0), odd])
    log.write_text("hello\n" + log.read_text() + "Episode: 1 Rew")
    assert main(["-f", str(log), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "reward_visualizer.py: skipped 2 lines of the log; "
        "the first is line 1: not an episode line",
        "reward_visualizer.py: joined 2 runs; their episodes and steps are counted on",
        "reward_visualizer.py: left 1 episode without a finite value out of the plots of loss",
    ]


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        (["-f", "a", "-f", "b"], ["steps_score.png"]),
        (["-f", "a", "b"], ["steps_score.png"]),
        (["-f", "a"], ["steps_score.png"]),
        (["-f", "?"], ["steps_score.png"]),
        (["-f", "a/Pong-v4_log.txt", "--x", "hours"], ["hours_score.png"]),
        (["-f", "a/Pong-v4_log.txt", "--y", "mean-q"], ["steps_mean-q.png"]),
        (["-f", "a", "--out", "new/b.svg"], ["new/b.svg"]),
        (["-f", "a/Pong-v4_log.txt", "--out", "b.pdf"], ["b.pdf"]),
        (
            ["-f", "a", "--out", "c", "--format", "pdf", "svg"],
            ["c/steps_score.pdf", "c/steps_score.svg"],
        ),
    ],
)
def test_several_logs_or_an_axis_make_one_picture(
    arguments: list[str],
    paths: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    logs = [write_run(Path(name), [1.0, 2.0], [3.0], seed=ord(name)) for name in "ab"]
    before = set(tmp_path.rglob("*"))
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert (captured.out.splitlines(), captured.err) == (paths, "")
    new = {path for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    assert new == {tmp_path / path for path in paths}
    kinds = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert all(path.read_bytes().startswith(kinds[path.suffix]) for path in new)
    assert all(log.exists() for log in logs)


def test_ten_plots_can_have_other_formats(tmp_path: Path) -> None:
    log = write_log(tmp_path / "Pong-v4_log.txt", [episode(0, score=1.0)])
    assert main(["-f", str(log), "--format", "svg", "--out", str(tmp_path)]) == 0
    written = {path.name for path in (tmp_path / "average_50").iterdir()}
    assert written == {f"{name}50.svg" for name in SEVEN + SCORES}


def test_documentation_has_commands_that_are_right_and_pictures_that_are_there() -> None:
    page = ROOT / "docs" / "plotting.md"
    text = page.read_text()
    commands = re.findall(r"^python3 reward_visualizer\.py (.*)$", text, re.M)
    assert len(commands) >= 6
    for command in commands:
        options = reward_visualizer._parser().parse_args(shlex.split(command))
        assert reward_visualizer._problem(options) is None
        assert all((ROOT / name).exists() for name in options.file)
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert len(links) >= 6
    assert all((page.parent / link).exists() for link in links)
    for flag in reward_visualizer._parser()._option_string_actions:
        assert flag in ("-h", "--help") or f"`{flag}" in text


@pytest.mark.parametrize("flags", [["--y", "reward"], ["--dashboard", "page.html"]])
def test_logs_of_a_folder_that_cannot_be_read_are_left_out_with_one_note(
    flags: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs"), [1.0, 2.0])
    Path("runs/Alien-v4_log.txt").touch()
    Path("runs/Text-v4_log.txt").write_text("hello\n")
    Path("runs/Bytes-v4_log.txt").write_bytes(bytes(9))
    Path("runs/begun").mkdir()
    Path("runs/Gone-v4_log.txt").symlink_to("none")
    for names in (["runs"], ["runs/*"], ["runs/Pong-v4_log.txt", "runs"]):
        assert main(["-f", *names, *flags]) == 0
        assert capsys.readouterr().err == (
            "reward_visualizer.py: left out 4 logs, the first as runs/Alien-v4_log.txt is empty; a "
            "run writes a line when an episode ends\n"
        )
    assert main(["-f", "runs", "runs/Alien-v4_log.txt", *flags]) == 1
    assert "runs/Alien-v4_log.txt is empty" in only_error(capsys.readouterr().err)
    Path("runs/Pong-v4_log.txt").unlink()
    assert main(["-f", "runs", *flags]) == 1
    assert "runs/Alien-v4_log.txt is empty" in only_error(capsys.readouterr().err)


def test_log_of_a_folder_without_the_axis_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, [1.0, 2.0])
    write_log(tmp_path / "Old-v0_log.txt", [episode(0)])
    assert main(["-f", str(tmp_path), "--y", "score", "--out", str(tmp_path)]) == 0
    assert "left out 1 log, as " in (note := capsys.readouterr().err)
    assert "Old-v0_log.txt has no values of Score: --y reward" in note


def test_live_picture_follows_runs_from_their_first_lines_until_an_interrupt(
    tmp_path: Path,
) -> None:
    log, later = (tmp_path / name for name in ("Pong-v4_log.txt", "Qbert-v4_log.txt"))
    log.touch()
    later.touch()
    process = subprocess.Popen(
        prepared(
            HEARS_CTRL_C,
            *PROGRAM,
            "-f",
            tmp_path,
            "--y=reward",
            "--live",
            "--out",
            tmp_path / "p.svg",
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: os.environ[name] for name in os.environ if name not in DISPLAYS},
    )
    assert process.stdout
    assert process.stdout.readline() == "waiting for the end of the first episode\n"
    write_log(log, [episode(0)])
    assert process.stdout.readline().startswith(f"{tmp_path / 'p.svg'} is drawn anew")
    for written in (log, later):
        before = (tmp_path / "p.svg").read_bytes()
        write_log(written, [episode(number) for number in range(9)])
        end = time.monotonic() + 60
        while (tmp_path / "p.svg").read_bytes() == before and time.monotonic() < end:
            time.sleep(0.02)
        assert (tmp_path / "p.svg").read_bytes() != before
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output == ""
    assert errors.endswith(f"left out 1 log, as {later} is empty; a run writes a line when an "
                           "episode ends\n")  # fmt: skip
    assert errors.count("\n") == 1
    assert process.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {log.name, later.name, "p.svg"}


# ---------------------------------------------------------------- errors


def only_error(text: str) -> str:
    """Returns what the one line of an error says."""
    start = "reward_visualizer.py: error: "
    assert text.startswith(start)
    assert text.count("\n") == 1
    return text[len(start) :]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: -f/--file"),
        (["-f"], "-f/--file: expected at least one argument"),
        (["-f", "log", "-a"], "-a/--average: expected one argument"),
        (["-f", "log", "-a", "0"], "'0' is not a whole number from 1"),
        (["-f", "log", "-a", "-5"], "'-5' is not a whole number from 1"),
        (["-f", "log", "-a", "1.5"], "'1.5' is not a whole number from 1"),
        (["-f", "log", "-a", "9" * 5000], "is not a whole number from 1"),
        (["-f", "log", "--wide"], "unrecognized arguments: --wide"),
        (["-f", "log", "--x", "days"], "--x: invalid choice: 'days'"),
        (["-f", "log", "--y", "acc"], "--y: invalid choice: 'acc'"),
        (["-f", "log", "--format", "jpg"], "--format: invalid choice: 'jpg'"),
        (["-f", "log", "--format", "png", "png"], "--format names a format twice"),
        (["-f", "log", "--live", "--format", "png", "svg"], "in one --format"),
        (["-f", "log", "--format", "png", "--out", "a.svg"], "leave out --format"),
        (["-f", "log", "--dashboard", "a.html", "--live"], "--dashboard goes without --live"),
        (["-f", "log", "--dashboard", "a.html", "--y", "loss"], "--dashboard goes without --y"),
        (["-f", "log", "--dashboard", "a.html", "--out", "b"], "--dashboard goes without --out"),
        (["-f", "log", "--dashboard", "a.png"], "a.png has to end in .html"),
        (["-f", "log", "--videos", "a"], "--videos is for the page of --dashboard"),
        (["-f", "log", ""], "-f/--file: is empty: give a value, or leave the flag out"),
        (["-f", "log", "--out", ""], "--out: is empty"),
        (["-f", "log", "--dashboard", ""], "--dashboard: is empty"),
        (["-f", "log", "--dashboard", "a.html", "--videos="], "--videos: is empty"),
    ],
)
def test_wrong_arguments_are_one_line_and_status_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    error = only_error(capsys.readouterr().err)
    assert words in error
    assert error.endswith("; a right call: reward_visualizer.py -f Pong-v0_log.txt -a 50\n")


def test_log_that_cannot_be_read_is_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-f", str(tmp_path / "none.txt"), "--out", str(tmp_path)]) == 1
    assert "none.txt: no such file" in only_error(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-f", "empty"], "empty is a folder without a log"),
        (["-f", "x*"], "x*: no log has such a name"),
        (["-f", "text", "old"], "text has no line that can be used"),
        (["-f", "old", "none", "--y", "reward"], "none: no such file"),
        (["-f", "old", "--y", "score"], "old has no values of Score: --y reward"),
        (["-f", "old", "--x", "frames", "--y", "loss"], "old has no values of Frames: --x steps"),
        (["-f", "old", "--y", "loss", "--out", "text/a.png"], "can't write text"),
        (["-f", "old", "--y", "loss", "--out", "text"], "can't write text"),
        (["-f", "none", "--live"], "none: no such file"),
        (["-f", "text", "--live"], "text has no line that can be used"),
        (["-f", "old", "--live", "--y", "score"], "old has no values of Score"),
        (["-f", "old", "--dashboard", "text/a.html"], "can't write text"),
        (["-f", "old", "--dashboard", "a.html", "--x", "hours"], "old has no values of Seconds"),
        (["-f", "old", "--dashboard", "a.html", "--videos", "none"], "--videos none is no folder"),
    ],
)
def test_what_cannot_be_drawn_is_status_1(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    write_log(tmp_path / "old", [episode(0)])
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "empty").mkdir()
    assert main(arguments) == 1
    error = only_error(capsys.readouterr().err)
    assert error.startswith(words)
    if "can't write" in words:
        flag = "--dashboard" if "--dashboard" in arguments else "--out"
        assert f"; {flag} names a" in error
    assert {path.name for path in tmp_path.iterdir()} == {"old", "text", "empty"}


def test_out_that_is_a_file_is_status_1(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-f", str(log), "--out", str(log)]) == 1
    error = only_error(capsys.readouterr().err)
    assert "Pong-v0_log.txt" in error
    assert "--out names a folder" in error


def test_plot_that_cannot_be_replaced_is_status_1(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "average_50" / "episodes_rewards50.png"
    path.mkdir(parents=True)
    assert main(["-f", str(log), "--out", str(tmp_path)]) == 1
    assert str(path) in only_error(capsys.readouterr().err)
    assert list(path.parent.iterdir()) == [path]


def test_full_disk_is_one_line_and_keeps_the_plots_of_before(log: Path, tmp_path: Path) -> None:
    picture = tmp_path / "average_50" / "episodes_rewards50.png"
    picture.parent.mkdir()
    picture.write_bytes(b"before")
    little_room = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    command = prepared(little_room, *PROGRAM, "-f", log, "--out", tmp_path)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"can't write {picture}: {os.strerror(errno.EFBIG)}" in only_error(done.stderr)
    assert [path.read_bytes() for path in picture.parent.iterdir()] == [b"before"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_one_line(log: Path, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, "-f", log, "--out", tmp_path], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert "can't write the output" in only_error(done.stderr)


def test_interrupt_is_quiet_and_status_130(tmp_path: Path) -> None:
    fifo = tmp_path / "Pong-v0_log.txt"
    os.mkfifo(fifo)
    command = prepared(HEARS_CTRL_C, *PROGRAM, "-f", fifo)
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    # A pipe can be opened as soon as the program reads from it; it is then beyond its start.
    while process.poll() is None:
        with contextlib.suppress(OSError):
            pipe = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            break
    process.send_signal(signal.SIGINT)
    # Just before it begins to wait for the pipe it would not be woken by the signal alone.
    os.close(pipe)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, b"")


def test_wrong_arguments_are_told_without_loading_matplotlib() -> None:
    code = (
        "import sys, reward_visualizer\n"
        "try: reward_visualizer.main(['-a'])\n"
        "except SystemExit: print('numpy' in sys.modules or 'matplotlib' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n"
