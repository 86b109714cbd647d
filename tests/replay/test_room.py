"""What a memory takes at most is known before it is made, and one that does not fit is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import islice

import numpy as np
import pytest

from replay.room import most_bytes
from replay.sampling import PrioritizedSampler, Sampler, UniformSampler
from settings.config import Config
from system.root import ROOT
from tests.helpers.memories import a_memory
from tests.helpers.plays import random_play

CODECS = ("none", "lz4", "zstd")


def test_plain_frames_take_a_byte_for_each_pixel() -> None:
    memory = a_memory(800, 2, (84, 84), 4, 3, 0.99, codec="none")
    empty = memory.nbytes
    for step in islice(random_play(np.random.default_rng(0), 2, (84, 84)), 500):
        memory.append(*step)
    assert memory.nbytes - empty == 800 * (84 * 84 + 8)


@pytest.mark.parametrize("exponent", [0.0, 0.6])
@pytest.mark.parametrize("codec", CODECS)
def test_what_it_takes_at_most_is_known_before(codec: str, exponent: float) -> None:
    memory = a_memory(2_003, 4, (84, 84), 3, 2, 0.99, codec=codec, priority_exponent=exponent)
    sampler = PrioritizedSampler if exponent else UniformSampler
    assert memory.max_nbytes == most_bytes(2_003, 4, (84, 84, 3), codec, sampler)
    before = 0
    for step in islice(random_play(np.random.default_rng(0), 4, (84, 84)), 600):
        memory.append(*step)
        assert before <= memory.nbytes <= memory.max_nbytes
        before = memory.nbytes


def test_steps_and_priorities_count_for_what_it_takes_at_most() -> None:
    def most(codec: str, sampler: type[Sampler]) -> int:
        return most_bytes(10**7, 8, (84, 84, 4), codec, sampler)

    # The frames and 8 bytes of each transition, and those of a state and its next, a few at a time.
    assert 0 <= most("none", UniformSampler) - 10**7 * (84 * 84 + 8) < 2**25
    for codec in CODECS:
        # A sum tree: 8 bytes, and a 31st part of that.
        more = most(codec, PrioritizedSampler) - most(codec, UniformSampler)
        assert 8 * 32 / 31 <= more / 10**7 < 9


def test_a_million_transitions_take_less_than_a_gibibyte() -> None:
    most = most_bytes(10**6, 8, (84, 84, 4), "zstd", PrioritizedSampler)
    assert 10**6 * 100 < most < 2**30
    memory = a_memory(10**6, 8, (84, 84), 4, 3, 0.99, priority_exponent=0.6)
    assert memory.max_nbytes == most


# Fills a memory of 60,000 transitions once and a bit; prints by how many bytes the process grew.
FILL = """
import gc, itertools, sys
import numpy as np

sys.path.insert(0, ".")
from tests.helpers.memories import a_memory
from tests.helpers.plays import random_play, real_play

def most_resident():
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))

game, codec = sys.argv[1:]
if game == "noise":
    play = list(itertools.islice(random_play(np.random.default_rng(1), 8, (84, 84)), 200))
else:
    play = real_play(game, 8, 200, seed=1)
gc.collect()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # counts the most from here on
before = most_resident()
memory = a_memory(60_000, 8, (84, 84), 4, 3, 0.99, codec=codec, priority_exponent=0.6)
for step in itertools.islice(itertools.cycle(play), 7_600):
    memory.append(*step)
memory.sample(32, np.random.default_rng(0))
print(len(memory), most_resident() - before, memory.max_nbytes)
"""


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="asks Linux what the process takes"
)
@pytest.mark.parametrize(
    ("game", "codec"), [("ALE/Riverraid-v5", "zstd"), ("noise", "zstd"), ("noise", "lz4")]
)
def test_the_process_grows_by_no_more_than_was_said(game: str, codec: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL, game, codec],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    length, growth, most = map(int, done.stdout.split())
    assert (length == 60_000) == (game != "noise")
    assert growth < most
    assert growth < 60_000 * 84 * 84 / 3


# ---------------------------------------------------------------- what fits


# Asks for memories where the process may come to take so much more; prints what comes of each.
ASK_FOR_MEMORIES = """
import json, resource
import psutil
from settings.config import Config
from replay_memory import make_memory

def attempt(memory, codec, exponent):
    config = Config(memory_size=memory, frame_codec=codec, priority_exponent=exponent)
    try:
        made = make_memory(config, (84, 84, 4))
    except MemoryError as error:
        return str(error)
    return f"{made.capacity} {made.max_nbytes}"

def largest_in(error):
    return int(error.rpartition(" ")[2])

def attempts(codec, exponent):
    for _ in range(5):  # the process itself may grow a little between two attempts
        said = [attempt(10**9, codec, exponent)]
        largest = largest_in(said[0])
        for memory in (largest * 102 // 100, largest):
            said.append(attempt(memory, codec, exponent))
        if "give at most" not in said[-1]:
            break
    return said

answers = {}
for codec in ("none", "lz4", "zstd"):
    for exponent in (0.0, 0.6):
        most = psutil.Process().memory_info().vms + (700 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        answers[f"{codec} {exponent}"] = attempts(codec, exponent)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, list[str]]:
    """Gives what comes of each memory, by codec and exponent, from one process for all."""
    done = subprocess.run(
        [sys.executable, "-c", ASK_FOR_MEMORIES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="limits what a process takes as Linux does")
@pytest.mark.parametrize("exponent", [0.0, 0.6])
@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
def test_the_largest_memory_that_an_error_gives_fits(
    codec: str, exponent: float, answers: dict[str, list[str]]
) -> None:
    too_large, a_bit_larger, fitting = answers[f"{codec} {exponent}"]
    largest = int(too_large.rpartition("give at most --memory ")[2])
    # Networks, frameworks and batches need some of the 700 MiB as well.
    spare = re.search(r" has (\d+) MiB to spare: ", too_large)
    assert 350 < int(spare[1]) <= 700 - 256 - 32
    assert f"--memory {largest * 102 // 100} can come to take " in a_bit_larger
    sampler = PrioritizedSampler if exponent else UniformSampler
    envs = Config().envs
    taken = most_bytes(largest, envs, (84, 84, 4), codec, sampler)
    assert fitting == f"{largest // envs * envs} {taken}"


# Asks for a memory that is too large where 900 MiB are left, and for the largest that is said to
# fit.
ASK_FOR_DEVICE_MEMORIES = r"""
import re, resource
import psutil
from replay.device_frames import DeviceFrames
from settings.config import Config
from replay_memory import make_memory

DeviceFrames(1, 1, (1, 1))  # what the device needs itself is there
most = psutil.Process().memory_info().vms + (900 << 20)
resource.setrlimit(resource.RLIMIT_AS, (most, most))

def attempt(memory):
    config = Config(memory_size=memory, memory_on_device=True)
    return make_memory(config, (84, 84, 4))

try:
    attempt(10**9)
except MemoryError as error:
    print(error)
    largest = int(re.search(r"at most --memory (\d+)", str(error))[1])
# The process itself may grow a little between the two.
print(largest, attempt(largest * 49 // 50).device_frames.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits what a process takes as Linux does")
def test_the_largest_memory_that_fits_on_the_device_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK_FOR_DEVICE_MEMORIES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    error, fitting = done.stdout.splitlines()
    # A billion frames of 84×84, 8 bytes for each transition, and 8.5 for its priority.
    said = r"--memory 1000000000 can come to take 6,744,862 MiB, and this machine has (\d+) MiB to "
    fits = r"give at most --memory (\d+), or --memory-on-device no"
    found = re.fullmatch(rf"{said}spare: {fits}", error)
    assert found
    largest, taken = map(int, fitting.split())
    assert largest == int(found[2])
    assert 0.97 * int(found[1]) < taken / 2**20 < int(found[1])
