"""The command line: its flags, its words for every mistake, and how a process ends."""

from __future__ import annotations

import argparse
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import fields
from typing import TYPE_CHECKING

import keras
import numpy as np
import pytest
import tensorflow as tf
from ale_py.vector_env import AtariVectorEnv

from dqn_atari import ListAgents, main, make_parser
from settings.command_line import ListPresets
from settings.config import Config
from settings.declaration import GROUPS
from storage import weights as weights_file
from storage.episode_log import read_log
from system.devices import has_gpu
from system.memory import mebibytes
from system.root import ROOT
from tests.helpers.default_networks import default_network
from tests.helpers.memories import a_memory
from tests.helpers.terminals import shown_in_a_terminal

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = ROOT / "dqn_atari.py"

# As the original has them: short name, long name, an example value and the field it sets.
ORIGINAL_FLAGS = [
    ("-env", "--environment", "Breakout-v0", "environment"),
    ("-r", "--render", None, "render"),
    ("-st", "--steps", "7", "steps"),
    ("-n", "--nothing", "7", "no_op_limit"),
    ("-m", "--memory", "700", "memory_size"),
    ("-pre", "--pretrain", "7", "pretrain_transitions"),
    ("-g", "--gamma", "0.5", "discount"),
    ("-u", "--update", "7", "target_update_period"),
    ("-s", "--start", "0.5", "epsilon_start"),
    ("-e", "--end", "0.015", "epsilon_end"),
    ("-exs", "--exploresteps", "7", "explore_steps"),
    ("-p", "--play", None, "play"),
    ("-fss", "--framestacksize", "3", "frame_stack_size"),
    ("-b", "--batch", "7", "batch_size"),
    ("-c", "--continue", "w.h5", "continue_from"),
]


@pytest.mark.parametrize(("short", "long", "value", "name"), ORIGINAL_FLAGS)
def test_original_flags_work_by_both_names(
    short: str, long: str, value: str | None, name: str
) -> None:
    results = [
        vars(make_parser().parse_args([flag] + ([value] if value else [])))
        for flag in (short, long)
    ]
    assert results[0] == results[1]
    assert results[0].keys() == {name}
    set_to = getattr(Config(**results[0]), name)
    assert set_to is True if value is None else str(set_to) == value


def test_nothing_given_is_all_defaults() -> None:
    assert Config(**vars(make_parser().parse_args([]))) == Config()


def test_switches_take_no_value_and_can_be_off() -> None:
    parse = make_parser().parse_args
    assert vars(parse(["--no-double", "--no-progress"])) == {"double": False, "progress": False}
    for switch in ("--double", "--render", "--play"):
        with pytest.raises(SystemExit):
            parse([switch, "False"])


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("--memory-on-device", True),
        ("--memory-on-device yes", True),
        ("--memory-on-device no", False),
        ("--no-memory-on-device", False),
        ("--memory-on-device auto", "auto"),
        ("--no-memory-on-device --memory-on-device -b 8", True),
    ],
)
def test_switch_that_is_chosen_for_the_machine_also_takes_a_word(
    words: str, value: bool | str
) -> None:
    assert vars(make_parser().parse_args(words.split()))["memory_on_device"] == value


def test_help_is_grouped_and_tells_unit_and_default_of_every_flag(
    capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["-h"])
    assert ended.value.code == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert [group for group in GROUPS if f" {group}: " not in text] == []
    for action in make_parser()._actions:
        if not isinstance(action, argparse._HelpAction | ListPresets | ListAgents):
            assert "(default: " in (action.help or ""), action.option_strings
    for field in fields(Config):
        if unit := field.metadata["unit"]:
            expected = unit.removesuffix("s") if field.default == 1 else unit
            assert f"{expected})" in text, field.name


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, dqn_atari\n"
        "try: dqn_atari.main(['-h'])\n"
        "except SystemExit: pass\n"
        "heavy = ('keras', 'tensorflow', 'ale_py', 'cv2', 'numpy', 'h5py')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROGRAM.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("-env Breakou-v0", "nearest: Breakout-v0"),
        ("-env CartPole-v1", "CartPole-v1 is no Atari game"),
        ("-env", "expected one argument"),
        ("-g 1.5", "--gamma 1.5 is out of range: from 0.0 to 1.0"),
        ("-g nan", "--gamma nan is out of range"),
        ("-b 0", "--batch 0 is out of range"),
        ("-b many", "invalid int value: 'many'"),
        ("-m 20 -b 32", "--memory 20 is below --batch 32"),
        ("-m 70 --envs 8", "give at least 72 transitions"),
        ("--envs many", "argument --envs: 'many' is no whole number, nor auto"),
        ("--memory-on-device maybe", "argument --memory-on-device: 'maybe': choose from yes, no"),
        ("--no-memory-on-device yes", "unrecognized arguments: yes"),
        ("--envs 0", "--envs 0 is out of range: from 1 to 1,024"),
        ("-s 0.1 -e 0.5", "--start 0.1 is below --end 0.5"),
        ("-st -5", "--steps -5 is out of range"),
        ("-exs 0", "--exploresteps 0 is out of range"),
        ("--learning-rate 0", "--learning-rate 0.0 is out of range"),
        ("--life-loss some", "choose from"),
        ("--reward-clip -1", "--reward-clip '-1': give sign, none, or a number"),
        ("--reward-clip nan", "--reward-clip 'nan': give sign, none, or a number"),
        ("--life-penalty -1", "--life-penalty -1.0 is out of range: from 0.0"),
        ("--sticky-actions 1", "--sticky-actions 1.0 is out of range: from 0.0 to 0.99"),
        ("--state-frames raw --frame-skip 3", "--framestacksize 4 is not --frame-skip 3"),
        ("--screen round", "invalid choice: 'round'"),
        ("--frame-codec gzip", "argument --frame-codec: invalid choice: 'gzip'"),
        ("--priority-exponent 1.5", "--priority-exponent 1.5 is out of range: from 0.0 to 1.0"),
        ("--priority-exponent -0.1", "--priority-exponent -0.1 is out of range"),
        ("--priority-exponent nan", "--priority-exponent nan is out of range"),
        ("--priority-exponent much", "invalid float value: 'much'"),
        ("--importance-exponent 1.01", "--importance-exponent 1.01 is out of range: from 0.0"),
        ("--importance-exponent -1", "--importance-exponent -1.0 is out of range"),
        ("--importance-end 2", "--importance-end 2.0 is out of range: from 0.0 to 1.0"),
        ("--n-step 101", "--n-step 101 is out of range: from 1 to 100"),
        ("-m 800 --envs 8 --n-step 100", "100-step returns: give at least 832 transitions"),
        ("-m 31", "--memory 31 is below --batch 32: give a memory of at least 32 transitions"),
        ("--frobnicate", "unrecognized arguments: --frobnicate"),
        ("--learning", "unrecognized arguments: --learning"),
        ("'two\nlines'", "unrecognized arguments: two lines"),
        ("--checkpoint-every 0", "--checkpoint-every 0.0 is out of range: from 0.001 to"),
        ("--keep 0", "--keep 0 is out of range: from 1 to"),
        ("--record videos", "--record writes the games of --play: give that as well"),
        ("--evaluate --record videos", "--record writes the games of --play"),
        ("-r --overlay", "--overlay is drawn beside the games of --play"),
        ("-p --overlay", "give that with --render or --record"),
        ("--continue ''", "argument -c/--continue: is empty: give a value, or leave the flag out"),
        ("--continue=", "argument -c/--continue: is empty"),
        ("-p --record ''", "argument --record: is empty"),
    ],
)
def test_wrong_usage_ends_in_one_line_and_status_2(
    arguments: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    try:
        status = main([*shlex.split(arguments), "--out", str(tmp_path / "new")])
    except SystemExit as ended:
        status = ended.code
    captured = capsys.readouterr()
    assert status == 2
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not (tmp_path / "new").exists()


def test_no_flag_takes_an_empty_text(capsys: pytest.CaptureFixture) -> None:
    taking_a_value = [each for each in fields(Config) if each.metadata["type"] is not bool]
    for flag in ("--preset", *(each.metadata["flags"][-1] for each in taking_a_value)):
        with pytest.raises(SystemExit) as ended:
            make_parser().parse_args([flag, ""])
        assert ended.value.code == 2, flag
        assert flag in capsys.readouterr().err


@pytest.fixture(scope="module")
def pong_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives weights for a game with 6 actions."""
    path = tmp_path_factory.mktemp("weights") / "Pong-v0_weights.h5"
    weights_file.save(path, default_network(6, 0))
    return path


def broken(kind: str, whole: bytes) -> bytes:
    return {
        "empty": b"",
        "cut short": whole[: len(whole) // 2],
        "text": b"these are no weights\n" * 50,
        "other game": whole,
    }[kind]


@pytest.mark.parametrize("mode", ["train", "--play"])
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "does not exist"),
        ("empty", "is empty"),
        ("cut short", "cannot be read"),
        ("text", "no weights file"),
        ("other game", "it has 6 values for the actions, this run has 4"),
    ],
)
def test_weights_that_cannot_be_used_end_in_one_line_and_status_1(
    mode: str, kind: str, says: str, pong_weights: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    weights = tmp_path / "weights.h5"
    if kind != "missing":
        weights.write_bytes(broken(kind, pong_weights.read_bytes()))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    arguments = ["-env", "Breakout-v0", "--envs", "1", "-m", "2000"]
    arguments += ["-c", str(weights), "--out", str(tmp_path)]
    status = main(arguments + [mode] * (mode != "train"))
    error = capsys.readouterr().err
    assert status == 1
    assert says in error
    assert str(weights) in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("out", ["/dev/null", "/proc/nowhere", "{file}"])
def test_a_folder_that_cannot_be_written_ends_in_one_line(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    assert main(["--out", out.format(file=file)]) == 1
    error = capsys.readouterr().err
    assert "--out" in error
    assert error.count("\n") == 1
    assert file.read_text() == "mine"


def start(*arguments: object, **options: object) -> subprocess.Popen:
    """Starts the program as its user does."""
    return subprocess.Popen(
        [sys.executable, PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_memory_that_the_machine_has_not_got_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["-m", str(10**9), "--envs", "1", "--out", str(tmp_path)]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    wanted = r"--memory 1000000000 can come to take [\d,]+ MiB, and this machine has [\d,]+ MiB to "
    largest = re.search(rf"{wanted}spare: give at most --memory (\d+)\n$", errors)
    assert largest
    assert int(largest[1]) < 10**9
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


SMALL = ("-m", 2000, "-pre", 64, "--envs", 2, "-b", 8, "-env", "Breakout-v0", "--seed", 1)


def test_a_run_begins_with_what_its_memory_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    more = ("--frame-codec", "lz4", "--priority-exponent", 0.6, "-st", 8, "--out", tmp_path)
    assert main([*map(str, SMALL), *map(str, more)]) == 0
    memory = a_memory(2000, 2, (84, 84), 4, 3, 0.99, codec="lz4", priority_exponent=0.6)
    sizes = f"{mebibytes(memory.nbytes)} now, at most {mebibytes(memory.max_nbytes)}"
    before, _, _ = capsys.readouterr().out.partition("pretraining")
    assert f"\nreplay memory: 2,000 transitions, {sizes}\n" in before


@pytest.mark.parametrize(
    ("number", "status", "stage"),
    [(signal.SIGINT, 130, "pretraining at random"), (signal.SIGTERM, 143, "training")],
    ids=["ctrl-c", "sigterm"],
)
def test_a_signal_ends_a_run_in_order(number: int, status: int, stage: str, tmp_path: Path) -> None:
    pretrain = () if stage == "training" else ("-m", 10**5, "-pre", 10**5)
    process = start(*SMALL, *pretrain, "--out", tmp_path)
    for line in process.stdout:
        if line.startswith(f"{stage}: from step"):
            break
    process.send_signal(number)
    output, errors = process.communicate()
    assert process.returncode == status
    assert errors == ""
    assert "Breakout-v0, stopped\n" in output
    assert "Breakout-v0_weights.h5" in output
    weights_file.load(tmp_path / "Breakout-v0_weights.h5", default_network(4, 0))
    log = tmp_path / "Breakout-v0_log.txt"
    assert log.read_text() == "" or log.read_text().endswith("\n")


def test_a_full_disk_does_not_end_a_run_and_its_status_tells(tmp_path: Path) -> None:
    weights = tmp_path / "Breakout-v0_weights.h5"
    weights_file.save(weights, default_network(4, 0))
    before = weights.read_bytes()
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000));"
        f"sys.path.insert(0, {str(PROGRAM.parent)!r}); import dqn_atari;"
        "sys.exit(dqn_atari.main(sys.argv[1:]))"
    )
    arguments = [*map(str, SMALL), "--out", tmp_path, "-st", "400", "--save-every=1", "-n=3"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    # A warning of each, once in ten minutes, and what came of it.
    goes_on = "cannot be written (File too large): the run goes on"
    assert done.stderr.splitlines() == [
        f"dqn_atari.py: warning: the weights {goes_on}",
        f"dqn_atari.py: warning: the checkpoint {goes_on}",
        "dqn_atari.py: error: cannot write the weights of the run's end: File too large",
    ]
    assert (tmp_path / "Breakout-v0_weights.1.h5").read_bytes() == before
    assert read_log(tmp_path / "Breakout-v0_log.txt").episodes
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "Breakout-v0_weights.1.h5",
        "Breakout-v0_log.txt",
        "Breakout-v0_checkpoint",
    }
    assert not list((tmp_path / "Breakout-v0_checkpoint").iterdir())


@pytest.mark.parametrize("mode", ["train", "--play"])
def test_an_emulator_that_fails_ends_in_one_line_and_status_1(
    mode: str, pong_weights: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(*_: object) -> None:
        raise RuntimeError("the ROM is\nno more")

    monkeypatch.setattr(AtariVectorEnv, "recv", fail)
    arguments = ["-m", "2000", "--envs", "2", "-c", str(pong_weights), "--out", str(tmp_path)]
    assert main(arguments + [mode] * (mode != "train")) == 1
    error = capsys.readouterr().err
    assert "one of 2 emulators of Pong has failed (RuntimeError the ROM is no more)" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "takes_less"),
    [
        ([], "give a smaller --batch or fewer --envs"),
        (["--memory-on-device"], "give --memory-on-device no, less --memory, a smaller --batch or "
         "fewer --envs"),
    ],
)  # fmt: skip
def test_a_device_without_memory_ends_in_one_line_that_names_what_takes_less(
    flags: list[str], takes_less: str, tmp_path: Path,
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(*_: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "failed to allocate memory")

    monkeypatch.setattr(keras.optimizers.Adam, "build", fail)
    assert main(["-m", "2000", "--envs", "1", "--out", str(tmp_path), *flags]) == 1
    error = capsys.readouterr().err
    device = "the GPU" if has_gpu() else "this machine"
    assert error.endswith(
        f"error: {device} has no memory left: {takes_less}, or end what else runs on it\n"
    )
    assert error.count("\n") == 1


def test_rendering_without_a_display_ends_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert main(["-r", "--envs", "1", "-m", "2000", "--out", str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "needs a display" in errors
    assert not list(tmp_path.iterdir())


def test_a_terminal_gets_a_progress_line(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), *map(str, SMALL), "-st", "400", "--out", str(tmp_path)]
    status, shown = shown_in_a_terminal(command, columns=120)
    assert status == 0
    last = shown.split("training: ")[-1]
    assert "400/400" in last
    assert "step/s" in last
    assert "epsilon" in last
    assert "loss" in last


def test_the_original_resume_command_works_and_pretrains_greedily(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-env", "Breakout-v0", "-m", "2000", "--no-progress", "--seed", "1", "--envs", "2"]
    assert main([*words, "-st", "8", "-pre", "64"]) == 0
    capsys.readouterr()
    schedule = ["--start", "0.1", "--end", "0.0", "-pre", "200", "-st", "400", "-b", "8"]
    more = ["--continue", "Breakout-v0_weights.h5", *schedule, "--progress"]
    assert main([*words, *more]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    assert "pretraining, the network decides: from step 0 to 200" in output
    log = tmp_path / "Breakout-v0_log.txt"
    # With this seed some games end, if the machine reckons as ours.
    for episode in read_log(log).episodes if log.stat().st_size else []:
        assert 0 <= episode.epsilon <= 0.1


def always(action: int, path: Path) -> None:
    """Writes weights of a network that always takes the same action of Pong's six."""
    network = default_network(6, 0)
    weights = [np.zeros_like(array) for array in network.get_weights()]
    weights[-1][action] = 1
    network.set_weights(weights)
    weights_file.save(path, network)


def test_play_shows_each_score_and_what_they_come_to_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    always(0, tmp_path / "Pong-v0_weights.h5")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["-p", "--episodes", "3", "--out", str(tmp_path), "--seed", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "game 1: score -21",
        "game 2: score -21",
        "game 3: score -21",
        "3 games: mean score -21.00, standard deviation 0.00, lowest -21, highest -21",
    ]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_play_takes_the_weights_of_continue_first(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "Pong-v0_weights.h5").write_text("not these")
    always(2, tmp_path / "other.keras.h5")
    arguments = ["-p", "--episodes", "1", "--out", str(tmp_path)]
    assert main([*arguments, "-c", str(tmp_path / "other.keras.h5")]) == 0
    assert "other.keras.h5" in capsys.readouterr().out


def test_weights_that_keras_wrote_can_be_played(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    always(0, tmp_path / "ours.h5")
    network = default_network(6, 0)
    weights_file.load(tmp_path / "ours.h5", network)
    network.save(tmp_path / "whole.keras")
    arguments = ["-p", "--episodes", "1", "-c", str(tmp_path / "whole.keras")]
    assert main(arguments) == 0
    assert "score -21" in capsys.readouterr().out
    assert keras.backend.backend() == "tensorflow"
