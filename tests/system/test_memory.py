"""What is said of the memory that is left."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from system import memory
from system.memory import available_memory
from system.root import ROOT
from tests.helpers.control_group_files import SPOILT, V2, belongs_to, spoil

V1 = "sys/fs/cgroup/memory"
V1_NO_LIMIT = 9223372036854771712  # 2**63 - 1, down to a whole page


def write(folder: Path, **files: object) -> None:
    """Writes a control group's files, named without "memory."."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"memory.{name}").write_text(f"{content}\n")


def rooms(root: Path) -> list[int]:
    return list(memory._container_rooms(root))


def test_there_is_some_memory_and_not_more_than_the_machine_has() -> None:
    assert 0 < available_memory() <= psutil.virtual_memory().total


def test_v2_limit_leaves_what_is_not_used_yet(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/")
    write(tmp_path / V2, max=1000, high="max", current=300)
    assert rooms(tmp_path) == [700]


def test_v1_limit_leaves_what_is_not_used_yet(tmp_path: Path) -> None:
    belongs_to(tmp_path, "5:cpu,cpuacct:/", "4:memory:/", "0::/")
    write(tmp_path / V1, limit_in_bytes=1000, usage_in_bytes=300)
    assert rooms(tmp_path) == [700]


def test_v1_memory_may_share_its_groups_with_another_controller(tmp_path: Path) -> None:
    belongs_to(tmp_path, "4:hugetlb,memory:/")
    write(tmp_path / V1, limit_in_bytes=1000, usage_in_bytes=300)
    assert rooms(tmp_path) == [700]


def test_groups_of_other_controllers_do_not_count(tmp_path: Path) -> None:
    belongs_to(tmp_path, "4:memory:/mine", "3:cpu:/other", "1:name=systemd:/other")
    write(tmp_path / V1 / "mine", limit_in_bytes=1000, usage_in_bytes=300)
    for group in (tmp_path / V1 / "other", tmp_path / V2 / "other"):
        write(group, limit_in_bytes=10, usage_in_bytes=0, max=10, current=0)
    assert rooms(tmp_path) == [700]


def test_v2_memory_beyond_the_high_mark_does_not_count(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/")
    write(tmp_path / V2, max=1000, high=800, current=300)
    assert min(rooms(tmp_path)) == 500


@pytest.mark.parametrize("tightest", ["own", "parent", "mount"])
def test_tightest_of_v2_nested_limits_counts(tmp_path: Path, tightest: str) -> None:
    belongs_to(tmp_path, "0::/parent/own")
    folders = {"own": "parent/own", "parent": "parent", "mount": ""}
    for name, folder in folders.items():
        write(tmp_path / V2 / folder, max=500 if name == tightest else 1000, current=300)
    assert min(rooms(tmp_path)) == 200


@pytest.mark.parametrize("tightest", ["own", "parent", "mount"])
def test_tightest_of_v1_nested_limits_counts(tmp_path: Path, tightest: str) -> None:
    belongs_to(tmp_path, "4:memory:/parent/own")
    folders = {"own": "parent/own", "parent": "parent", "mount": ""}
    for name, folder in folders.items():
        limit = 500 if name == tightest else V1_NO_LIMIT
        write(tmp_path / V1 / folder, limit_in_bytes=limit, usage_in_bytes=300)
    assert min(rooms(tmp_path)) == 200


def test_fuller_ancestor_counts_also_where_its_limit_is_larger(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/parent/own")
    write(tmp_path / V2 / "parent/own", max=1000, current=300)
    write(tmp_path / V2 / "parent", max=2000, current=1900)
    assert min(rooms(tmp_path)) == 100


def test_limits_of_siblings_do_not_count(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/parent/own")
    write(tmp_path / V2 / "parent/own", max=1000, current=300)
    write(tmp_path / V2 / "parent/other", max=10, current=0)
    write(tmp_path / V2 / "own", max=10, current=0)
    assert rooms(tmp_path) == [700]


@pytest.mark.parametrize(
    "path",
    ["/docker/0123abcd", "/kubepods/pod01", "/system.slice/containerd.service/pods:cri:0123abcd"],
)
def test_v1_container_that_sees_only_itself_has_its_own_limit(tmp_path: Path, path: str) -> None:
    belongs_to(tmp_path, f"4:memory:{path}")
    write(tmp_path / V1, limit_in_bytes=1000, usage_in_bytes=300)
    assert rooms(tmp_path) == [700]


@pytest.mark.skipif(sys.platform != "linux", reason="not every system takes such names")
@pytest.mark.parametrize("name", ["pods:cri:0123abcd", "two words", "a\x0bb", "caf\udce9"])
def test_group_of_any_name_counts(tmp_path: Path, name: str) -> None:
    belongs_to(tmp_path, f"0::/{name}")
    write(tmp_path / V2 / name, max=1000, current=300)
    assert rooms(tmp_path) == [700]


def test_v2_page_cache_counts_as_free(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/")
    stat = (
        "anon 100\nno_inactive_file 80\ninactive_anon 60\nactive_file 70\ninactive_file 200\nslab 5"
    )
    write(tmp_path / V2, max=1000, current=300, stat=stat)
    assert rooms(tmp_path) == [900]


def test_v1_page_cache_counts_as_free_that_of_descendants_too(tmp_path: Path) -> None:
    belongs_to(tmp_path, "4:memory:/")
    stat = "cache 100\ninactive_file 50\ntotal_cache 250\ntotal_inactive_file 200"
    write(tmp_path / V1, limit_in_bytes=1000, usage_in_bytes=300, stat=stat)
    assert rooms(tmp_path) == [900]


def test_v2_without_a_limit_sets_none(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/own")
    write(tmp_path / V2, stat="inactive_file 200")  # the machine's own root has no more
    write(tmp_path / V2 / "own", max="max", high="max", current=300)
    assert rooms(tmp_path) == []


def test_v1_without_a_limit_leaves_more_than_any_machine_has(tmp_path: Path) -> None:
    belongs_to(tmp_path, "4:memory:/")
    write(tmp_path / V1, limit_in_bytes=V1_NO_LIMIT, usage_in_bytes=300)
    assert min(rooms(tmp_path)) > 2**62


def test_system_without_control_groups_sets_no_limit(tmp_path: Path) -> None:
    assert rooms(tmp_path) == []


def test_list_of_groups_that_can_not_be_read_sets_no_limit(tmp_path: Path) -> None:
    (tmp_path / "proc/self/cgroup").mkdir(parents=True)  # a folder can't be read, not even by root
    write(tmp_path / V2, max=1000, current=300)
    assert rooms(tmp_path) == []


@SPOILT
@pytest.mark.parametrize("name", ["memory.max", "memory.current"])
def test_limit_or_usage_that_can_not_be_read_sets_no_limit(
    tmp_path: Path, name: str, how: str
) -> None:
    belongs_to(tmp_path, "0::/own")
    write(tmp_path / V2, max=1000, current=300)
    write(tmp_path / V2 / "own", max=500, current=300)
    spoil(tmp_path / V2 / "own" / name, how)
    assert rooms(tmp_path) == [700]


@SPOILT
def test_page_cache_that_can_not_be_read_counts_as_used(tmp_path: Path, how: str) -> None:
    belongs_to(tmp_path, "0::/")
    write(tmp_path / V2, max=1000, current=300, stat="inactive_file 200")
    spoil(tmp_path / V2 / "memory.stat", how)
    assert rooms(tmp_path) == [700]


def test_least_room_of_all_is_what_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_container_rooms", lambda _: [900, 700, V1_NO_LIMIT])
    assert available_memory() == 700


def test_machine_without_any_limit_has_all_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_container_rooms", lambda _: [])
    monkeypatch.setattr(memory, "_address_space_rooms", lambda: [])
    total = psutil.virtual_memory().total
    assert available_memory() == pytest.approx(psutil.virtual_memory().available, abs=total / 10)


def test_limits_are_those_of_the_real_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_container_rooms", lambda root: [700] if root == Path("/") else [])
    assert available_memory() == 700


def test_limit_that_is_already_exceeded_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    belongs_to(tmp_path, "0::/")
    write(tmp_path / V2, max=1000, high=200, current=300)
    left = rooms(tmp_path)
    monkeypatch.setattr(memory, "_container_rooms", lambda _: left)
    assert available_memory() == 0


def test_system_without_the_resource_module_sets_no_limit_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert available_memory() > 0


LIMIT_OF_ITS_OWN = """
import mmap, psutil, resource
from system.memory import available_memory
from system.root import ROOT

room, slack = 256 << 20, 16 << 20
available_memory()  # whatever it loads
size = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (size + room, resource.RLIM_INFINITY))
left = available_memory()
mmap.mmap(-1, left - slack).close()
try:
    mmap.mmap(-1, left + slack)
except (MemoryError, OSError):
    print(left)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is known to keep to this limit")
def test_process_under_a_limit_of_its_own_sees_what_it_can_really_have() -> None:
    child = subprocess.run(
        [sys.executable, "-c", LIMIT_OF_ITS_OWN],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (240 << 20) < int(child.stdout) <= (256 << 20)
