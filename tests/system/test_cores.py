"""How many cores there are said to be, and that no more threads than these are at work."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from atari.emulators import VectorEmulators
from atari.games import find_game
from system import cores
from system.cores import GIVEN, emulator_threads, network_threads, usable_cores
from system.root import ROOT
from tests.helpers.control_group_files import SPOILT, V2, belongs_to, spoil

if TYPE_CHECKING:
    from pathlib import Path

V1 = "sys/fs/cgroup/cpu"
NO_LIMIT = -1
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says where to run")


def quotas(root: Path) -> list[int]:
    return list(cores._quotas(root))


def allow_v2(group: Path, quota: object, period: int = 100_000) -> None:
    """Writes how many microseconds a control group has in each period."""
    group.mkdir(parents=True, exist_ok=True)
    (group / "cpu.max").write_text(f"{quota} {period}\n")


def allow_v1(group: Path, quota: int, period: int = 100_000) -> None:
    """As `allow_v2`, in the files of version 1."""
    group.mkdir(parents=True, exist_ok=True)
    (group / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (group / "cpu.cfs_period_us").write_text(f"{period}\n")


@pytest.mark.parametrize(
    ("quota", "period", "whole"),
    [(200_000, 100_000, 2), (150_000, 100_000, 2), (1_000, 100_000, 1), (100_001, 50_000, 3)],
)
def test_time_of_a_container_is_rounded_up_to_whole_cores(
    tmp_path: Path, quota: int, period: int, whole: int
) -> None:
    belongs_to(tmp_path, "1:cpu:/", "0::/")
    allow_v1(tmp_path / V1, quota, period)
    assert quotas(tmp_path) == [whole]
    allow_v1(tmp_path / V1, NO_LIMIT)
    allow_v2(tmp_path / V2, quota, period)
    assert quotas(tmp_path) == [whole]


@pytest.mark.parametrize(
    ("given", "cores"), [("1", 1), ("0", 1), ("many", None), ("", None), ("1000", None)]
)
def test_a_run_of_a_sweep_uses_no_more_cores_than_it_is_given(
    given: str, cores: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_cores = usable_cores()
    monkeypatch.setenv(GIVEN, given)
    assert usable_cores() == (cores or all_cores)


def test_groups_without_a_limit_set_none(tmp_path: Path) -> None:
    belongs_to(tmp_path, "1:cpu:/own", "0::/own")
    allow_v1(tmp_path / V1 / "own", NO_LIMIT)
    allow_v2(tmp_path / V2 / "own", "max")
    assert quotas(tmp_path) == []


@pytest.mark.parametrize("tightest", ["parent/own", "parent", ""])
def test_tightest_of_nested_limits_counts(tmp_path: Path, tightest: str) -> None:
    belongs_to(tmp_path, "1:cpu:/parent/own", "0::/parent/own")
    for folder in ("parent/own", "parent", ""):
        allow_v2(tmp_path / V2 / folder, 300_000 if folder == tightest else 900_000)
    assert min(quotas(tmp_path)) == 3
    allow_v1(tmp_path / V1 / tightest, 200_000)
    assert min(quotas(tmp_path)) == 2


def test_limits_of_siblings_and_other_controllers_do_not_count(tmp_path: Path) -> None:
    belongs_to(tmp_path, "3:cpuset:/cpuset", "2:cpu:/own", "1:name=systemd:/systemd")
    allow_v1(tmp_path / V1 / "own", 400_000)
    for group in ("other", "cpuset", "systemd"):
        allow_v1(tmp_path / V1 / group, 100_000)
        allow_v2(tmp_path / V2 / group, 100_000)
    assert quotas(tmp_path) == [4]


def test_v1_controllers_that_share_a_mount_count(tmp_path: Path) -> None:
    belongs_to(tmp_path, "4:cpu,cpuacct:/docker/0123abcd")
    allow_v1(tmp_path / "sys/fs/cgroup/cpu,cpuacct", 200_000)
    assert quotas(tmp_path) == [2]


@SPOILT
def test_limit_that_can_not_be_read_sets_none(tmp_path: Path, how: str) -> None:
    belongs_to(tmp_path, "1:cpu:/", "0::/")
    allow_v2(tmp_path / V2, 200_000)
    spoil(tmp_path / V2 / "cpu.max", how)
    for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"):
        allow_v1(tmp_path / V1, 200_000)
        spoil(tmp_path / V1 / name, how)
        assert quotas(tmp_path) == []
        if how == "folder":
            (tmp_path / V1 / name).rmdir()


def test_there_are_no_more_cores_than_the_container_has_time_of(tmp_path: Path) -> None:
    unlimited = usable_cores(tmp_path)
    assert 1 <= unlimited <= (os.cpu_count() or 1)
    belongs_to(tmp_path, "0::/")
    allow_v2(tmp_path / V2, 10_000_000)
    assert usable_cores(tmp_path) == unlimited
    allow_v2(tmp_path / V2, 50_000)
    assert usable_cores(tmp_path) == 1


@only_linux
def test_emulators_run_in_as_many_threads_as_there_are_cores() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        for count in {1, len(allowed)}:
            os.sched_setaffinity(0, [*allowed][:count])
            assert emulator_threads(8) == min(8, count)
            before = set(os.listdir("/proc/self/task"))
            emulators = VectorEmulators(find_game("Pong-v0"), 8, 4, "resize")
            assert len(set(os.listdir("/proc/self/task")) - before) == min(8, count)
            emulators.close()
    finally:
        os.sched_setaffinity(0, allowed)


def test_one_emulator_has_one_thread() -> None:
    assert emulator_threads(1) == 1


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("0", None), ("", None), ("x", None)])
def test_threads_that_the_user_chose_are_those_that_are_told(
    monkeypatch: pytest.MonkeyPatch, value: str, threads: int | None
) -> None:
    for variable, backend in (("TF_NUM_INTRAOP_THREADS", "tensorflow"), ("NPROC", "jax")):
        monkeypatch.setenv(variable, value)
        assert network_threads(backend) == (threads or usable_cores())


# Libraries see by themselves where they may run, but not how much time a container has.
COUNTED = """
import os, sys
from system import cores
cores._quotas = lambda root: [1]
{work}
for task in os.listdir("/proc/self/task"):
    print("thread", open(f"/proc/self/task/{{task}}/comm").read(), end="")
"""


def with_time_of_one_core(work: str, *arguments: str) -> str:
    """Returns what a process prints, and the names of the threads that it has then.

    Those of a pool, that is; the first of them have no name.
    """
    environment = {name: each for name, each in os.environ.items() if name not in cores.VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", COUNTED.format(work=work), *arguments], cwd=ROOT, env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


# XLA's threads that compile, which are idle later, may have the name of the one that started them:
# "tf_Compute". So TensorFlow's own are counted without XLA.
@only_linux
@pytest.mark.parametrize(
    ("flag", "kind"), [("--no-whitening", "tf_Compute"), ("--whitening", "tf_XLAEigen")]
)
def test_a_run_with_one_core_has_one_thread_of_each_kind_and_says_so(
    tmp_path: Path, flag: str, kind: str
) -> None:
    flags = ["-m", "2000", "-pre", "64", "-st", "64", "-b", "8", "--envs", "2", "--no-progress"]
    flags += ["--train-every", "32", "--out", str(tmp_path), flag]
    printed = with_time_of_one_core("import dqn_atari; dqn_atari.main(sys.argv[1:])", *flags)
    assert "\n2 environments in 1 thread, 1 thread for the networks (of 1 core)\n" in printed
    assert printed.splitlines().count(f"thread {kind}") == 1


@only_linux
def test_jax_with_one_core_has_one_thread_to_compute_in() -> None:
    work = (
        "from system.cores import share_cores; share_cores(); import jax; jax.numpy.ones(3).sum()"
    )
    assert with_time_of_one_core(work).splitlines().count("thread tf_XLAEigen") == 1
