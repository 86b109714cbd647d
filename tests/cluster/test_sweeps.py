"""Sweeps as real processes on one real cluster: killed, stopped, gone on with, and refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from cluster.connection import ClusterError, connected
from cluster.fitness import marked, problem_here, unfit_machines
from cluster.planned_runs import NOTE
from cluster.run_task import Share, Unfit, train
from cluster.version import code_version
from storage.episode_log import read_log
from sweep import main, plan
from system.root import ROOT
from tests.helpers.logs import write_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_ray = pytest.mark.skipif(
    not find_spec("ray"), reason="Ray is not installed: pip install -r requirements-ray.txt"
)
SMALL = [
    *["--envs", "4", "-m", "2000", "-pre", "64", "-b", "8", "--train-every", "32"],
    *["--eval-every", "0", "--checkpoint-every", "0.002", "--precision", "float32"],
    *["--frame-skip", "16", "--no-whitening", "--random-action-steps", "1"],
]
# Python loads it at its start. With it there is no Ray.
WITHOUT_RAY = """
from importlib.machinery import PathFinder
found = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name == "ray" else found(name, *more)
"""
MOST_SECONDS = 600  # of a sweep, on a machine that has much other work
RESULTS = {"summary.json", "summary.png", "dashboard.html"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Gives the address of a cluster, which processes that are started meanwhile can join."""
    # As of a job in the background of a script; all that Ray starts inherits that.
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with connected("local", cpus=2, object_store=100 << 20):
        import ray

        signal.signal(signal.SIGINT, usual)
        yield ray.get_runtime_context().gcs_address


def start(*words: object, **options: Any) -> subprocess.Popen:
    """Starts a sweep as its user does."""
    return subprocess.Popen(
        [sys.executable, ROOT / "sweep.py", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ended(sweep: subprocess.Popen) -> tuple[int, str, str]:
    """Waits for a sweep; returns its status, and what it has printed."""
    try:
        output, errors = sweep.communicate(timeout=MOST_SECONDS)
    finally:
        sweep.kill()
    return sweep.returncode, output, errors


def note_of(folder: Path) -> dict[str, str]:
    return json.loads((folder / NOTE).read_text())


def wait_until_saved(sweep: subprocess.Popen, folder: Path, attempt: int = 1) -> psutil.Process:
    """Waits until an attempt at a run has written a checkpoint; returns the process that trains."""
    lock, output = folder / ".Pong-v4_lock", folder / "output.txt"
    while True:
        with suppress(OSError, ValueError, psutil.NoSuchProcess):
            process, began = psutil.Process(int(lock.read_text())), lock.stat().st_mtime
            paths = [path for path in folder.glob("*_checkpoint/*") if path.name.isdecimal()]
            is_saved = any(path.stat().st_mtime > began for path in paths)
            if is_saved and output.read_text().count("training: from step") == attempt:
                return process
        with suppress(subprocess.TimeoutExpired):
            sweep.wait(0.05)
            raise AssertionError(sweep.communicate())


@needs_ray
def test_the_run_of_a_killed_worker_goes_on(address: str, tmp_path: Path) -> None:
    groups, out = tmp_path / "groups.toml", tmp_path / "results"
    groups.write_text("[groups.fits]\n[groups.'too large']\nmemory = 1_000_000_000\n")
    words = ["--games", "Pong-v4", "--groups", groups, "--out", out, "--ray", address]
    words += ["--cores", 1, "--", *SMALL, "--steps"]
    folder = out / "Pong-v4" / "fits" / "1"

    sweep = start(*words, 10**9)
    run = wait_until_saved(sweep, folder)
    first = note_of(folder)["attempt"]
    run.parent().send_signal(signal.SIGKILL)
    again = wait_until_saved(sweep, folder, attempt=2)
    sweep.send_signal(signal.SIGINT)
    status, output, errors = ended(sweep)
    assert (status, errors) == (130, "")
    assert re.search("Pong-v4 fits 1: waiting.* .its worker or machine has died", output)
    assert "raylet" not in output  # Ray tells nothing of its own
    assert note_of(folder)["attempt"] != first
    assert not run.is_running()
    assert not again.is_running()
    # What it has left behind was asked to stop, and wrote its checkpoint.
    printed = (folder / "output.txt").read_text()
    assert printed.count("Pong-v4, stopped\n") == 2
    stopped = re.findall(r"  steps +([\d,]+) of", printed)
    assert f"going on after step {stopped[0]} " in printed

    steps = int(stopped[1].replace(",", "")) + 1_200
    status, output, errors = ended(start(*words, steps))
    assert (status, errors) == (1, "")
    assert re.search(r"Pong-v4 fits 1: done, step \d+,\d", output), output
    # What fails by itself and has got nowhere is not tried again.
    assert re.search(r"too large 1: failed \(--memory 1000000000 can .*\(status 1, ", output)
    large = (out / "Pong-v4" / "too large" / "1" / "output.txt").read_text()
    assert 1 <= large.count("error") <= 2  # each sweep may have come to it
    assert {path.name for path in out.iterdir()} == {"Pong-v4", *RESULTS}
    [scored] = json.loads((out / "summary.json").read_text())["runs"]
    episodes = read_log(folder / "Pong-v4_log.txt").episodes
    assert scored["games"] == len(episodes)

    # The same command would do nothing, and with more steps it would go on.
    for more, is_done in ((0, True), (1, False)):
        words = [*SMALL, "--steps", str(steps + more)]
        [planned] = plan(["Pong-v4"], {"fits": []}, 1, out, words, 1)
        assert planned.is_done() == is_done
        assert "--continue" in planned.arguments()


@needs_ray
def test_ctrl_c_ends_the_runs_in_order_and_leaves_the_cluster(address: str, tmp_path: Path) -> None:
    import ray

    words = ["--games", "Pong-v4", "--out", tmp_path, "--ray", address, "--seeds", 2]
    sweep = start(*words, "--", *SMALL, "--steps", 10**9)
    folder = tmp_path / "Pong-v4" / "default" / "1"
    run = wait_until_saved(sweep, folder)
    sweep.send_signal(signal.SIGINT)
    status, output, errors = ended(sweep)
    assert (status, errors) == (130, "")
    assert "stopping: each run writes its checkpoint\n" in output
    assert "Pong-v4 default 1: stopped" in output
    assert "Pong-v4 default 2: stopped" in output  # it had no core yet
    assert output.endswith("stopped: the same command goes on\n")
    assert not run.is_running()
    assert "Pong-v4, stopped\n" in (folder / "output.txt").read_text()
    assert not (folder / ".Pong-v4_lock").exists()
    assert [node["Alive"] for node in ray.nodes()] == [True]


@needs_ray
def test_more_cores_than_there_are_is_one_line(address: str, tmp_path: Path) -> None:
    status, output, errors = ended(
        start("--games", "Pong-v4", "--out", tmp_path, "--ray", address, "--cores", 64)
    )
    assert (status, output) == (1, "")
    has = "the cluster has room for none: it has 2 cores and 0 GPUs"
    assert errors == f"sweep.py: error: --cores 64, --gpus 0: {has}\n"


@needs_ray
def test_a_cluster_of_this_process_listens_on_loopback_alone(address: str) -> None:
    ours = psutil.Process()
    listening = [
        connection.laddr.ip
        for process in (ours, *ours.children(recursive=True))
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 4  # this process, the head, and two of the machine
    assert {*listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}


@needs_ray
def test_who_has_no_token_is_not_served(address: str, tmp_path: Path) -> None:
    without = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_TOKEN"}
    without["HOME"] = str(tmp_path)  # where another token may lie
    words = ["--games", "Pong-v4", "--out", tmp_path / "out", "--ray", address]
    status, output, errors = ended(start(*words, env=without))
    assert (status, output) == (1, "")
    assert f"--ray {address}: it cannot be joined: it asks for a token" in errors
    assert errors.count("\n") == 1


@needs_ray
def test_each_machine_is_looked_at_once(address: str, tmp_path: Path) -> None:
    known: set[str] = set()
    with marked(tmp_path) as wanted:
        other = wanted._replace(version="0123456789ab")
        [problem] = unfit_machines(other, set()).values()
        assert "it has another version of the program in" in problem
        assert unfit_machines(wanted, known) == {}
        assert unfit_machines(other, known) == {}
    assert len(known) == 1
    assert not any(tmp_path.iterdir())


def test_what_makes_a_machine_unfit_is_one_line(tmp_path: Path) -> None:
    with marked(tmp_path) as wanted:
        assert problem_here(*wanted) is None
        cases = [
            ({"root": "/nowhere"}, "it has no /nowhere: put the program"),
            ({"version": "0123456789ab"}, "it has another version of the program in"),
            ({"folder": str(tmp_path / "other")}, "give an --out that all machines share"),
            ({"mark": (wanted.mark[0], "0")}, "give an --out that all machines share"),
        ]
        if sys.platform == "linux":
            # Nobody can make a file there.
            kernel = {"folder": "/proc/sys/kernel", "mark": ("ostype", "Linux\n")}
            cases += [(kernel, "it cannot write in /proc/sys/kernel (")]
        for other, says in cases:
            problem = problem_here(*wanted._replace(**other))
            assert problem
            assert says in problem
            assert "\n" not in problem


@needs_ray
def test_a_run_that_comes_to_an_unfit_machine_leaves_nothing(address: str, tmp_path: Path) -> None:
    import ray

    [run] = plan(["Pong-v4"], {"a": []}, 1, tmp_path, [], 1)
    with marked(tmp_path) as wanted:
        other = wanted._replace(version="0123456789ab")
        reference = ray.remote(train).remote(run, "first", Share(1, 0, "tensorflow"), other)
        outcome = ray.get(reference)
    assert isinstance(outcome, Unfit)
    assert outcome.node == ray.nodes()[0]["NodeID"]
    assert not run.folder.exists()


def test_a_changed_module_is_another_version(tmp_path: Path) -> None:
    """Its hash is taken by a process of the other program, as a worker's would be."""
    other = tmp_path / "program"
    shutil.copytree(ROOT, other, ignore=shutil.ignore_patterns(".*", "res", "tests"))
    look = [sys.executable, "-c", "from cluster.version import code_version as v; print(v())"]
    same = subprocess.run(look, cwd=other, capture_output=True, text=True, check=True)
    assert same.stdout == f"{code_version()}\n"
    with (other / "agent.py").open("a") as file:
        file.write("# changed\n")
    changed = subprocess.run(look, cwd=other, capture_output=True, text=True, check=True)
    assert changed.stdout != same.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--games", "Pong"], "there is no environment 'Pong'; nearest: Pong-v"),
        (["--games", "Pong-v4", "--seeds", "0"], "'0' is no whole number from 1 to"),
        (["--games", "Pong-v4", "--gpus", "1.5"], "'1.5' is no share from 0 to 1"),
        (["--games", "Pong-v4", "--cores", "0"], "'0' is no whole number from 1 to"),
        (["--games"], "argument --games: expected at least one argument"),
        ([], "the following arguments are required: --games"),
        (["--games", "Pong-v4", "--", "-g", "2"], "Pong-v4, group default: --gamma 2.0 is out of"),
        (["--games", "Pong-v4", "--", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["--games", "Pong-v4", "--", "--seed", "3"], "--seed is not for the runs of a sweep"),
        (["--games", "Pong-v4", "--groups", "none.toml"], "none.toml cannot be read: No such"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    try:
        status = main(["--out", str(out), *words])
    except SystemExit as ended:
        status = ended.code
    output, errors = capsys.readouterr()
    assert (status, output) == (2, "")
    assert errors.startswith("sweep.py: error: ")
    assert says in errors
    assert errors.count("\n") == 1
    assert not out.exists()


def test_a_run_that_was_begun_keeps_its_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_run(tmp_path / "Pong-v4" / "default" / "1", [1.0], seed=1, envs=4)
    words = ["--games", "Pong-v4", "--out", str(tmp_path), "--", "--envs", "8"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "Pong-v4, group default: --envs is 8 environments, and 4 environments in " in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:9", "nobody answers (Connection refused): start a cluster with `ray start"),
        ("nobody", "give local, auto, or HOST:PORT of a cluster's head"),
        ("ray://127.0.0.1:10001", "give local, auto, or HOST:PORT"),
        ("127.0.0.1:99999", "give local, auto, or HOST:PORT"),
    ],
)
@needs_ray
def test_an_address_that_nobody_answers_at_is_one_line(address: str, says: str) -> None:
    with pytest.raises(ClusterError) as error, connected(address):
        pass
    assert f"--ray {address}: " in str(error.value)
    assert says in str(error.value)


def test_without_ray_the_command_that_installs_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_RAY)
    sweep = start(
        *["--games", "Pong-v4", "--out", tmp_path / "out"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    told = "Ray is not installed: pip install -r requirements-ray.txt"
    assert ended(sweep) == (1, "", f"sweep.py: error: {told}\n")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_one_line(capsys: pytest.CaptureFixture) -> None:
    assert main(["--games", "Pong-v4", "--out", "/proc/nowhere"]) == 1
    error = capsys.readouterr().err
    assert "--out is no folder to write in" in error
    assert error.count("\n") == 1


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, sweep\n"
        "try: sweep.main(['-h'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('ray', 'keras', 'ale_py', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
