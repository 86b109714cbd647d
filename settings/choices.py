"""What the word auto stands for: what suits the machine, and why.

The environments and the precision go by the processor, or by the GPU where Keras computes on one;
the place of the replay memory's frames by the GPU's memory. docs/performance.md has the figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from system.console import counted
from system.cores import usable_cores
from system.devices import Gpu, has_bfloat16
from system.memory import learner_bytes, mebibytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from settings.config import Config

FEWEST_ENVIRONMENTS, MOST_ENVIRONMENTS, MOST_ON_GPU = 32, 64, 128
ENVIRONMENTS_PER_CORE = 8  # on a GPU
# Of the GPU's memory, for compiled code and for what convolutions and batches take meanwhile. It is
# an estimate and not measured.
GPU_RESERVE_BYTES = 1 << 30


class Machine(NamedTuple):
    """What settings are chosen by.

    Attributes:
        cores: that the process may use.
        has_bfloat16: whether the processor has instructions for it.
        gpu: what Keras computes on; None if that is the processor, or before Keras is loaded.
    """

    cores: int
    has_bfloat16: bool
    gpu: Gpu | None = None


class Choice(NamedTuple):
    """The value of a setting, and the value and its reason in words."""

    value: Any
    words: str


def this_machine(gpu: Gpu | None = None) -> Machine:
    """Returns this machine, with the GPU that Keras computes on."""
    return Machine(usable_cores(), has_bfloat16(), gpu)


def environments(machine: Machine) -> Choice:
    """Chooses the number of environments, a power of two.

    With more environments the network acts for more of them at once, and the threads of emulators
    and of the learner have more work in each turn of the loop. But all of them act by the network
    of the turn before. With 64 and an update every 8 steps it is 8 updates old, with 128 it is 16.

    On 2 cores a run of the defaults makes 1.3 times as many steps with 32 as with 8:
    docs/results.md. On a GPU an update takes less time than what the host does in a turn, so more
    steps should share a turn: on an H100 with 16 cores 128 environments made 2.6 times as many
    steps as 32. With fewer cores the emulators are the limit sooner.
    """
    cores = counted(machine.cores, "core")
    if machine.gpu:
        wanted, most = 1 << (ENVIRONMENTS_PER_CORE * machine.cores).bit_length() - 1, MOST_ON_GPU
        words = f"to keep the GPU at work with {cores}"
    else:
        wanted, most = 1 << (2 * machine.cores - 1).bit_length(), MOST_ENVIRONMENTS
        words = f"for {cores}"
    count = min(max(wanted, FEWEST_ENVIRONMENTS), most)
    return Choice(count, f"{count} environments {words}")


def precision(machine: Machine) -> Choice:
    """Chooses the precision in which networks are fastest: "bfloat16" or "float32".

    Updates take less time on a processor that has instructions for bfloat16: docs/results.md. On an
    H100, updates of the network of 2015 with batches of 32 took no less time in bfloat16.
    """
    if machine.gpu and machine.gpu.has_bfloat16:
        return Choice("float32", "float32, as bfloat16 was no faster on the GPU that was measured")
    if machine.gpu:
        return Choice("float32", "float32, as this GPU has no bfloat16")
    if machine.has_bfloat16:
        return Choice("bfloat16", "bfloat16, as the processor has it")
    return Choice("float32", "float32, as the processor has no bfloat16")


def frames_on_device(machine: Machine, frame_bytes: int, learner: int) -> Choice:
    """Chooses whether the replay memory's frames lie on the GPU: on JAX, where they fit.

    With TensorFlow that was never tried on a GPU.

    Args:
        machine: the machine.
        frame_bytes: of all frames, unpacked.
        learner: bytes that the learner takes on the GPU.
    """
    frames = "the replay memory's frames"
    if not machine.gpu:
        return Choice(False, f"{frames} on the host, as there is no GPU")
    if machine.gpu.backend != "jax":
        return Choice(False, f"{frames} on the host, as a GPU has held them on JAX alone")
    spare = machine.gpu.spare_bytes
    if spare is None:
        return Choice(False, f"{frames} on the host, as the GPU does not tell what it has to spare")
    room = f"take {mebibytes(frame_bytes)}, and it has {mebibytes(spare)} to spare"
    if frame_bytes + learner + GPU_RESERVE_BYTES > spare:
        return Choice(False, f"{frames} on the host, not on the GPU: they {room}")
    return Choice(True, f"{frames} on the GPU: they {room}")


def choices(
    names: Iterable[str], config: Config, machine: Machine, frame_pixels: int
) -> dict[str, Choice]:
    """Returns what is chosen for settings, by their names.

    Args:
        names: of settings that the command line takes the word auto for.
        config: all other settings.
        machine: what they are chosen by.
        frame_pixels: of a frame that the network sees.
    """
    frame_bytes = config.memory_size * config.frames_per_step * frame_pixels
    learner = learner_bytes(config.batch_size, frame_pixels)
    chosen = {
        "envs": environments(machine),
        "precision": precision(machine),
        "memory_on_device": frames_on_device(machine, frame_bytes, learner),
    }
    if config.actors:
        # They play on processors, and what they send is kept on the host.
        chosen["envs"] = environments(machine._replace(gpu=None))
        words = "the replay memory's frames on the host, where actors send them"
        chosen["memory_on_device"] = Choice(False, words)
    return {name: chosen[name] for name in names}


def takes_less(config: Config) -> str:
    """Returns in words which flags take less memory of the device than these settings."""
    if not config.is_training:
        return "give --cpu, or end what else runs on it"
    flags = ["a smaller --batch", "fewer --envs"]
    if config.memory_on_device:
        flags = ["--memory-on-device no", "less --memory", *flags]
    return f"give {', '.join(flags[:-1])} or {flags[-1]}, or end what else runs on it"
