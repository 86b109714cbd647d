"""Says what the host does in a turn of the training loop, by the processor time of each part.

    KERAS_BACKEND=jax python3 -m benchmarks.host_time

The loop is the program's own, on Pong, with batches of 64 and an update every 8 steps. Updates are
joined as on a GPU, and the network is so small that the host is what is seen. The times are those
of the thread that runs the loop, but for drawing, which has a thread of its own. So neither waiting
for the device or the emulators nor other work on the machine counts.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import keras

from learning.compiled import Calls, JaxCalls
from learning.networks import NETWORKS
from settings.config import Config
from training.run import assemble

if TYPE_CHECKING:
    from agent import Agent
    from learning.networks import NetworkOptions

# Steps before the first that is measured. All is compiled in them: at the first copy to the target
# network there is a call of another number of updates.
WARM_UP = 2_500
# The parts of a turn: the object and the method that are timed. A part is without those within it.
PARTS = {
    "acting": ("agent", "act"),
    "sending": ("environments", "send"),
    "drawing, in its own thread": ("batches", "_draw"),
    "taking batches": ("batches", "take"),
    "learning": ("agent", "learn"),
    "reading what updates tell": ("learning", "read"),
    "copies to the target network": ("agent", "copy_to_target"),
    "receiving": ("environments", "receive"),
    "appending": ("batches", "append"),
    "priorities": ("batches", "update_priorities"),
    "stacking frames": ("stack", "push"),
    "episodes": (None, "_count_episodes"),
}
ASSIGNING, REST = "assigning variables", "the rest, Python's"


def small_network(
    state_shape: tuple[int, int, int], num_actions: int, seed: int, options: NetworkOptions
) -> keras.Model:
    """Returns a network of three layers with weights, too small for its arithmetic to count."""
    states = keras.Input(state_shape, dtype="uint8", name="states")
    hidden = keras.layers.Flatten()(states[:, ::28, ::28])
    hidden = keras.layers.Rescaling(1 / 255)(hidden)
    for number in range(2):
        initializer = keras.initializers.GlorotUniform(seed + number)
        hidden = keras.layers.Dense(16, "relu", kernel_initializer=initializer)(hidden)
    return keras.Model(states, keras.layers.Dense(num_actions)(hidden))


def joined_calls(agent: Agent) -> Calls:
    """Returns an agent's compiled calls, where one makes several updates, as on a GPU."""
    calls = agent.calls
    return JaxCalls(calls.models, joined=True) if isinstance(calls, JaxCalls) else calls


class Clock:
    """Adds up the processor time of parts, each without the parts within it.

    Attributes:
        seconds: so far, by part.
    """

    def __init__(self) -> None:
        """Starts with nothing added up."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._within = 0.0  # of parts that ended within the one in progress

    def around(self, owner: Any, method: str, part: str) -> None:
        """Puts a clock around a method of an object or a class."""
        original = getattr(owner, method)
        has_own_thread = method == "_draw"

        def clocked(*given: Any, **named: Any) -> Any:
            outer = self._within
            if not has_own_thread:
                self._within = 0.0
            started = time.thread_time()
            try:
                return original(*given, **named)
            finally:
                taken = time.thread_time() - started
                if has_own_thread:
                    self.seconds[part] += taken
                else:
                    self.seconds[part] += taken - self._within
                    self._within = outer + taken

        setattr(owner, method, clocked)


def turn_of(envs: int, on_device: bool, turns: int, clock: Clock) -> tuple[dict[str, float], float]:
    """Returns the milliseconds of a turn's parts, and those of the whole process."""
    config = Config(
        environment="PongNoFrameskip-v4",
        envs=envs,
        batch_size=64,
        memory_size=20_000,
        memory_on_device=on_device,
        target_update_period=2_000,
        pretrain_transitions=3_000,
        epsilon_start=0.1,
        epsilon_end=0.1,
        seed=1,
    )
    trainer = assemble(config)
    trainer.agent.calls = joined_calls(trainer.agent)
    for _ in trainer.pretrain():
        pass
    for part, (name, method) in PARTS.items():
        clock.around(trainer if name is None else getattr(trainer, name), method, part)
    loop = trainer.train()
    while trainer.step < WARM_UP:
        next(loop)
    clock.seconds.clear()
    started, process_started = time.thread_time(), time.process_time()
    for _ in itertools.islice(loop, turns):
        pass
    whole, process = time.thread_time() - started, time.process_time() - process_started
    trainer.close()
    seconds = clock.seconds
    own = sum(taken for part, taken in seconds.items() if "own thread" not in part)
    seconds[REST] = whole - own
    return {part: 1e3 * taken / turns for part, taken in seconds.items()}, 1e3 * process / turns


def print_turns(counts: list[int], turns: int) -> None:
    """Prints what a turn takes with several numbers of environments."""
    NETWORKS["nips"] = small_network
    clock = Clock()
    clock.around(keras.Variable, "assign", ASSIGNING)
    columns = [(envs, on_device) for on_device in (False, True) for envs in counts]
    found = [turn_of(*column, turns, clock) for column in columns]
    heads = [f"{envs}, {'device' if on_device else 'host'}" for envs, on_device in columns]
    print(f"\n| ms a turn; environments, frames | {' | '.join(heads)} |")
    print("| --- |" + " --- |" * len(heads))
    for part in (*PARTS, ASSIGNING, REST):
        print(f"| {part} | {' | '.join(f'{parts.get(part, 0):.2f}' for parts, _ in found)} |")
    loops = [sum(t for part, t in parts.items() if "own thread" not in part) for parts, _ in found]
    print(f"| **the loop's thread** | {' | '.join(f'**{taken:.2f}**' for taken in loops)} |")
    print(f"| the whole process | {' | '.join(f'{process:.2f}' for _, process in found)} |")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", nargs="+", type=int, default=[8, 32, 128], metavar="N")
    parser.add_argument("--turns", type=int, default=150, metavar="N", help="measured of each")
    options = parser.parse_args()
    print_turns(options.envs, options.turns)


if __name__ == "__main__":
    main()
