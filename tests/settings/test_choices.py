"""What auto stands for goes by plain facts of the machine, and its reason is said."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dqn_atari import make_config, suited_to
from settings.choices import (
    GPU_RESERVE_BYTES,
    Machine,
    environments,
    frames_on_device,
    precision,
    this_machine,
)
from settings.config import Config
from system.cores import usable_cores
from system.devices import Gpu, has_bfloat16
from system.memory import learner_bytes

H100 = Gpu("H100", "jax", (9, 0), 60 << 30)
MILLION_FRAMES = 10**6 * 84 * 84


def machine(gpu: Gpu | None, cores: int = 16, has_bfloat16: bool = True) -> Machine:
    return Machine(cores, has_bfloat16, gpu)


def test_this_machine_is_described_without_a_gpu_until_one_is_found() -> None:
    assert this_machine() == (usable_cores(), has_bfloat16(), None)
    assert this_machine(H100).gpu == H100


def test_environments_grow_with_the_cores_within_bounds() -> None:
    cores = (1, 2, 3, 4, 5, 8, 9, 16, 17, 256)
    without = [environments(machine(None, count)).value for count in cores]
    assert without == [32, 32, 32, 32, 32, 32, 32, 32, 64, 64]
    with_gpu = [environments(machine(H100, count)).value for count in cores]
    assert with_gpu == [32, 32, 32, 32, 32, 64, 64, 128, 128, 128]
    assert all(fewer <= more for fewer, more in pairwise(with_gpu))


@pytest.mark.parametrize(
    ("gpu", "processor_has_it", "words"),
    [
        (None, True, "bfloat16, as the processor has it"),
        (None, False, "float32, as the processor has no bfloat16"),
        (H100, True, "float32, as bfloat16 was no faster on the GPU that was measured"),
        (H100, False, "float32, as bfloat16 was no faster on the GPU that was measured"),
        (Gpu("T4", "jax", (7, 5), 12 << 30), True, "float32, as this GPU has no bfloat16"),
    ],
)
def test_precision_is_what_is_known_to_be_fastest(
    gpu: Gpu | None, processor_has_it: bool, words: str
) -> None:
    chosen = precision(machine(gpu, has_bfloat16=processor_has_it))
    assert chosen == (words.partition(",")[0], words)


def test_frames_lie_on_the_gpu_as_long_as_the_networks_have_room_beside_them() -> None:
    learner = learner_bytes(64, 84 * 84)
    fitting = MILLION_FRAMES + learner + GPU_RESERVE_BYTES
    for spare, on_device in ((fitting, True), (fitting - 1, False), (0, False)):
        gpu = H100._replace(spare_bytes=spare)
        chosen = frames_on_device(machine(gpu), MILLION_FRAMES, learner)
        assert chosen.value == on_device
        place = "on the GPU: " if on_device else "on the host, not on the GPU: "
        room = f"they take 6,729 MiB, and it has {spare / 2**20:,.0f} MiB to spare"
        assert chosen.words == f"the replay memory's frames {place}{room}"


@pytest.mark.parametrize(
    ("gpu", "reason"),
    [
        (None, "as there is no GPU"),
        (H100._replace(backend="tensorflow"), "as a GPU has held them on JAX alone"),
        (H100._replace(spare_bytes=None), "as the GPU does not tell what it has to spare"),
    ],
)
def test_frames_lie_on_the_host_where_a_gpu_is_not_known_to_hold_them(
    gpu: Gpu | None, reason: str
) -> None:
    chosen = frames_on_device(machine(gpu), 1, 1)
    assert chosen == (False, f"the replay memory's frames on the host, {reason}")


# ---------------------------------------------------------------- the settings of a run


def test_all_that_is_left_to_a_machine_with_a_gpu_suits_it() -> None:
    config, origins = make_config({}, machine=machine(H100))
    assert config == Config(envs=128, precision="float32", memory_on_device=True)
    assert origins == dict.fromkeys(("envs", "precision", "memory_on_device"), "auto")
    assert suited_to(machine(H100), config, origins).keys() == origins.keys()


def test_actors_play_on_processors_and_what_they_send_stays_on_the_host() -> None:
    config, _ = make_config({"actors": 4}, machine=machine(H100))
    alone, _ = make_config({}, machine=machine(None))
    assert (config.envs, config.memory_on_device) == (alone.envs, False)


def test_what_is_given_wins_over_what_suits_the_machine() -> None:
    given = {"envs": 8, "precision": "bfloat16", "memory_on_device": False}
    config, origins = make_config(given, machine=machine(H100))
    assert config == Config(**given)
    assert suited_to(machine(H100), config, origins) == {}


@pytest.mark.parametrize(
    ("settings", "fits"),
    [
        ({}, True),
        ({"screen": "square"}, False),  # 160×160
        ({"state_frames": "raw"}, False),  # four frames a step
        ({"batch_size": 4_096}, False),
        ({"screen": "square", "memory_size": 200_000}, True),
    ],
)
def test_all_that_makes_frames_large_counts(settings: dict[str, object], fits: bool) -> None:
    small = H100._replace(spare_bytes=9 << 30)
    config, _ = make_config(settings, machine=machine(small))
    assert config.memory_on_device == fits


def test_a_preset_names_no_place_so_its_frames_lie_where_they_fit() -> None:
    config, origins = make_config({"preset": "dqn-2015"}, machine=machine(H100))
    assert (config.envs, config.precision, config.memory_on_device) == (1, "float32", True)
    assert origins["memory_on_device"] == "auto"
