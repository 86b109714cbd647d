"""What a run prints: to be read in 80 columns, in colour only on a terminal, and to be acted on."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dqn_atari import make_config, make_parser
from settings.config import Config
from settings.declaration import GROUPS
from storage.episode_log import read_log
from storage.evaluation_log import read_evaluations
from system.console import folded
from system.root import ROOT
from tests.helpers.terminals import shown_in_a_terminal
from training.report import duration
from training.resuming import find_checkpoint

COLUMNS = 80
FLAGS = (
    *("-env", "Breakout-v0", "--envs", 4, "-m", 2_000, "-pre", 64, "-st", 800),
    *("--frame-skip", 8, "--train-every", 100, "--seed", 3),
    *("--eval-every", 800, "--eval-episodes", 1, "--eval-epsilon", 0.5),
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# A path or a command makes lines longer than 80 columns; it is what follows a name.
FORCED = re.compile(r"  [a-z ]+ {2,}\S*/|restored from ")


def environment(**variables: str) -> dict[str, str]:
    """Returns that of a person at a terminal which has colours."""
    left_out = ("NO_COLOR", "COLUMNS", "LINES", "DISPLAY", "WAYLAND_DISPLAY")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"} | variables


def in_a_terminal(*arguments: object, **variables: str) -> str:
    """Returns what the program shows in a terminal of 80 columns."""
    command = [sys.executable, str(ROOT / "dqn_atari.py"), *map(str, arguments)]
    _, shown = shown_in_a_terminal(command, COLUMNS, environment(**variables))
    return shown


def in_a_pipe(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the program where it has no terminal."""
    command = [sys.executable, ROOT / "dqn_atari.py", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(**variables), check=False
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives the folder of the runs, whose name has to be quoted in commands."""
    return tmp_path_factory.mktemp("two words")


@pytest.fixture(scope="module")
def shown(out: Path) -> str:
    """Gives what a run shows in a terminal, all of it."""
    return in_a_terminal(*FLAGS, "--out", out)


@pytest.fixture(scope="module")
def printed(shown: str) -> str:
    """Gives what the command to go on prints into a pipe, a little further and with curves."""
    command = commands(COLOUR.sub("", shown))["to go on"]
    assert command[-2:] == ["--steps", "1600"]
    done = in_a_pipe(*command[2:], "-st", 840, "--tensorboard")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def lines(shown: str) -> list[str]:
    """Returns the lines that have been on the screen, those drawn over included."""
    return [line for line in re.split(r"[\r\n]+", COLOUR.sub("", shown)) if line]


def commands(printed: str) -> dict[str, list[str]]:
    """Returns the commands at the end of a run by what they are for, split as a shell does."""
    rows = printed.split("\nnext\n")[1].splitlines()
    return {name: shlex.split(rest) for name, rest in (re.split(" {2,}", row[2:]) for row in rows)}


def test_no_line_is_longer_than_80_columns(shown: str, printed: str) -> None:
    for line in [*lines(shown), *printed.splitlines()]:
        assert len(line) <= COLUMNS or FORCED.match(line), line


def test_a_terminal_shows_colours_and_a_bar_with_the_mean_score(shown: str) -> None:
    assert f"\x1b[1;36m{GROUPS[0]}\x1b[0m\n" in shown
    assert re.search(r"\x1b\[1m  memory +2,000 transitions +\(given\)\x1b\[0m\n", shown)
    bars = [line for line in lines(shown) if line.startswith("training: |")]
    assert re.search(r"\| 800/800 .*, mean score \d\.\d, epsilon 0.97", bars[-1])


def test_a_pipe_gets_no_control_characters(printed: str) -> None:
    assert printed.replace("\n", "").isprintable()
    assert "going on after step 800 and " in printed
    assert "training: step 840 of 840, " in printed


def test_settings_are_grouped_and_say_where_they_come_from(printed: str) -> None:
    found = printed.splitlines()
    headings = [line for line in found if not line.startswith(" ")]
    assert headings[: len(GROUPS)] == list(GROUPS)
    assert any(re.fullmatch(r"  memory +2,000 transitions +\(checkpoint\)", each) for each in found)
    assert any(re.fullmatch(r"  steps +840 steps +\(given\)", each) for each in found)
    assert any(re.fullmatch(r"  gamma +0.99 per step", each) for each in found)


def test_what_was_chosen_for_the_machine_is_said_with_its_reason(shown: str, printed: str) -> None:
    said, later = (" ".join(COLOUR.sub("", text).split()) for text in (shown, printed))
    frames = "the replay memory's frames on the host, as there is no GPU"
    precision = "(float32, as the processor has no bfloat16|bfloat16, as the processor has it)"
    # The environments are given.
    assert re.search(f" chosen for this machine: {frames}; {precision} ", said)
    assert "chosen for this machine" not in later  # it goes on as it was


def test_a_run_ends_with_what_it_came_to(printed: str, out: Path) -> None:
    config = Config(environment="Breakout-v0", out=str(out))
    results = printed.split("\nBreakout-v0, done\n")[1]
    episodes = read_log(config.log_path).episodes
    mean = sum(episode.score or 0 for episode in episodes) / len(episodes)
    [evaluation] = read_evaluations(config.evaluations_path)
    for name, wanted in {
        "steps": "840 of 840",
        "episodes": f"{len(episodes):,}",
        "mean score": f"{mean:.1f} in the last {len(episodes)} games",
        "best evaluation": f"{evaluation.mean:.1f} at step 800",
        "for comparison": "random play 1.7, a person 30.5",
    }.items():
        assert f"  {name:<18} {wanted}\n" in results
    for path in config.run_paths:
        assert f" {path}\n" in results


def test_the_command_to_plot_works(printed: str, out: Path) -> None:
    command = commands(printed)["to plot its log"]
    subprocess.run(command, check=True)
    assert list(out.glob("average_1/*.png"))


@pytest.mark.parametrize(
    ("what", "weights", "name"),
    [
        ("to go on", "Breakout-v0_weights.h5", "is_training"),
        ("to watch it play", "Breakout-v0_best_weights.h5", "play"),
        ("to evaluate it", "Breakout-v0_best_weights.h5", "evaluate"),
    ],
)
def test_the_other_commands_are_as_the_program_takes_them(
    what: str, weights: str, name: str, printed: str, out: Path
) -> None:
    interpreter, program, *arguments = commands(printed)[what]
    assert Path(interpreter) == Path(sys.executable)
    assert Path(program).resolve() == ROOT / "dqn_atari.py"
    given = vars(make_parser().parse_args(arguments))
    config, _ = make_config(given, find_checkpoint(given))
    assert getattr(config, name)
    assert config.continue_from == str(out / weights)
    assert Path(config.continue_from).exists()
    assert config.memory_size == 2_000  # from the checkpoint


def test_errors_are_red_on_a_terminal_that_has_colours(tmp_path: Path) -> None:
    mistake = ("-g", 2, "--out", tmp_path)
    said = "--gamma 2.0 is out of range: from 0.0 to 1.0"
    assert in_a_terminal(*mistake) == f"dqn_atari.py: \x1b[1;31merror:\x1b[0m {said}\n"
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert in_a_terminal(*mistake, **variables) == f"dqn_atari.py: error: {said}\n"
    assert in_a_pipe(*mistake).stderr == f"dqn_atari.py: error: {said}\n"


def test_long_text_is_folded_between_words_and_a_long_path_stays_whole() -> None:
    path = "/" + 90 * "x"
    assert folded(f"{'word ' * 20}{path} end").splitlines() == [
        " ".join(["word"] * 16), f"  {' '.join(['word'] * 4)}", f"  {path}", "  end",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (3_599, "59 min 59 s"), (3_600, "1 h 00 min"),
     (360_061, "100 h 01 min")],
)  # fmt: skip
def test_a_duration_reads_as_a_person_says_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said
