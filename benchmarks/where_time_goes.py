"""Says where the time of a training step goes, and how near an update is to the machine's limits.

    python3 -m benchmarks.where_time_goes                        our defaults
    python3 -m benchmarks.where_time_goes --network nature --precision bfloat16
    python3 -m benchmarks.where_time_goes --efficiency           batches of 32 to 256

The loop is the program's own, on Pong, with a clock around each of its parts. What goes on in the
background while another part runs is not seen, only the waiting for it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from agent import Agent, make_agent
from benchmarks.random_batches import ACTIONS, STATE, random_batch
from settings.config import Config
from training.run import assemble

if TYPE_CHECKING:
    from collections.abc import Callable

    from learning.learner import Learner

WARM_UP, STEPS = 800, 4_000
REPEATS = 40
MATRIX = 2_048
COPIED = 256 << 20  # bytes
TOGETHER = 1, 2, 4, 8  # updates in a call
# The parts of a step: of the training loop, the object and the method that are timed.
PARTS = {
    "choosing actions": ("agent", "act"),
    "sending them to the emulators": ("environments", "send"),
    "waiting for batches": ("batches", "take"),
    "updates": ("agent", "learn"),
    "copies to the target network": ("agent", "copy_to_target"),
    "waiting for the emulators": ("environments", "receive"),
    "remembering": ("batches", "append"),
    "priorities": ("batches", "update_priorities"),
    "episodes for the log": (None, "_count_episodes"),
}


def best_times(**works: Callable[[], object]) -> dict[str, float]:
    """Returns the median seconds that each of several things takes, done in turns."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(REPEATS):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in times.items()}


def best_time(work: Callable[[], object]) -> float:
    """Returns the median seconds that something takes."""
    return best_times(work=work)["work"]


def peak(precision: str) -> float:
    """Returns the GFLOP/s of a product of two large matrices."""
    matrix = tf.cast(tf.random.normal((MATRIX, MATRIX)), precision)
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(matrix, matrix)))
    product()
    return 2 * MATRIX**3 / best_time(lambda: product().numpy()) / 1e9


def bandwidth() -> float:
    """Returns the GB/s of a copy in memory, read and written bytes counted."""
    source = np.ones(COPIED, np.uint8)
    target = np.empty_like(source)
    return 2 * COPIED / best_time(lambda: np.copyto(target, source)) / 1e9


def multiplications(network: keras.Model) -> tuple[int, int]:
    """Returns the multiplications for one state, in all layers and in the first of them."""
    counts = []
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            _, height, width, _ = layer.output.shape
            counts.append(height * width * int(np.prod(layer.kernel.shape)))
        elif isinstance(layer, keras.layers.Dense):
            counts.append(int(np.prod(layer.kernel.shape)))
    return sum(counts), counts[0]


def update_flop(agent: Agent, config: Config) -> int:
    """Returns the floating-point operations of an update, those of matrix products alone.

    Forward in the online and in the target network, twice as much backward, but for the first
    layer, whose input needs no gradient; and once more forward for Double DQN.
    """
    every, first = multiplications(agent.online)
    passes = 5 if config.double else 4
    return 2 * config.batch_size * (passes * every - first)


def parts_of_an_update(agent: Agent, config: Config) -> dict[str, float]:
    """Returns the seconds of what an update is made of, each compiled alone."""
    learner: Learner = agent.learner
    fields = random_batch(config.batch_size).arrays
    del fields["indices"]
    batch = {name: tf.constant(array) for name, array in fields.items()}
    variables = [variable.value for variable in learner.trainable_variables]

    @tf.function
    def target() -> Any:
        return learner.target(batch["s_t"])

    @tf.function
    def loss() -> Any:
        return learner(batch)["loss"]

    @tf.function
    def gradients() -> Any:
        with tf.GradientTape() as tape:
            loss = learner(batch)["loss"]
        return tape.gradient(loss, variables)

    slopes = gradients()

    @tf.function
    def optimise() -> None:
        agent.optimizer.apply(slopes, learner.trainable_variables)

    calls: dict[str, Callable[[], object]] = {
        "target": target, "loss": loss, "gradients": gradients, "optimise": optimise,
    }  # fmt: skip
    wholes = {updates: f"a whole update, {updates} in a call" for updates in TOGETHER}
    for updates, name in wholes.items():
        calls[name] = partial(agent.learn, random_batch(updates * config.batch_size))
    for call in calls.values():
        call()
    seconds = best_times(**calls)
    return {
        "target network, forward": seconds["target"],
        "online network, forward": seconds["loss"] - seconds["target"],
        "backward": seconds["gradients"] - seconds["loss"],
        "optimiser": seconds["optimise"],
        **{name: seconds[name] / updates for updates, name in wholes.items()},
    }


def timed(trainer: Any) -> dict[str, float]:
    """Puts a clock around each part of the loop; returns the seconds so far, by part."""
    seconds = dict.fromkeys(PARTS, 0.0)
    for part, (name, method) in PARTS.items():
        owner = trainer if name is None else getattr(trainer, name)
        original = getattr(owner, method)

        def clocked(*given: Any, _part: str = part, _call: Any = original, **named: Any) -> Any:
            started = time.perf_counter()
            result = _call(*given, **named)
            seconds[_part] += time.perf_counter() - started
            return result

        setattr(owner, method, clocked)
    return seconds


def print_loop(config: Config, peak_speed: float) -> None:
    """Prints what each part of the loop takes of a step, and what some would take alone."""
    trainer = assemble(config)
    for _ in trainer.pretrain():
        pass
    seconds = timed(trainer)
    started, first = 0.0, 0
    for _ in trainer.train():
        if not started and trainer.step >= WARM_UP:
            started, first = time.perf_counter(), trainer.step
            seconds.update(dict.fromkeys(seconds, 0.0))
    whole, steps = time.perf_counter() - started, trainer.step - first
    seconds["the rest, Python's"] = whole - sum(seconds.values())
    print(f"\n{steps / whole:.0f} steps/s, {config.envs} environments\n")
    print("| part | ms a step | share |\n| --- | --- | --- |")
    for part, taken in seconds.items():
        print(f"| {part} | {1e3 * taken / steps:.3f} | {taken / whole:.1%} |")
    rng, environments = np.random.default_rng(1), trainer.environments
    every, _ = multiplications(trainer.agent.online)
    states = trainer.stack.states
    alone = {
        f"actions of {config.envs} environments": (
            2 * len(states) * every / peak_speed,
            best_time(lambda: trainer.agent.act(states, 0.0)),
        ),
        f"a step of {config.envs} emulators": (
            None,
            best_time(lambda: environments.step(rng.integers(ACTIONS, size=config.envs))),
        ),
        "a batch, drawn and unpacked": (
            None,
            best_time(lambda: trainer.memory.sample(config.batch_size, rng)),
        ),
    }
    trainer.close()
    print_limits(alone)


def print_update(config: Config, peak_speed: float, copy_speed: float) -> None:
    """Prints what an update is made of.

    Args:
        config: the settings.
        peak_speed: floating-point operations a second.
        copy_speed: bytes a second.
    """
    agent = make_agent(config, STATE, ACTIONS, np.random.default_rng(0))
    print("\n| part of an update | ms |\n| --- | --- |")
    seconds = parts_of_an_update(agent, config)
    for part, taken in seconds.items():
        print(f"| {part} | {1e3 * taken:.2f} |")
    # Adam reads gradients, weights and both moments, and writes all but the gradients.
    passed = 7 * sum(weights.nbytes for weights in agent.online.get_weights())
    print_limits(
        {
            "matrix products of an update": (
                update_flop(agent, config) / peak_speed,
                seconds["a whole update, 8 in a call"],
            ),
            "optimiser, once through memory": (passed / copy_speed, seconds["optimiser"]),
        }
    )


def print_limits(limits: dict[str, tuple[float | None, float]]) -> None:
    """Prints the least seconds that the machine could need, if known, and those it took alone."""
    print("\n| alone | at least, ms | took, ms |\n| --- | --- | --- |")
    for what, (least, taken) in limits.items():
        print(f"| {what} | {'' if least is None else f'{1e3 * least:.2f}'} | {1e3 * taken:.2f} |")


def print_efficiency(settings: dict[str, Any], peaks: dict[str, float]) -> None:
    """Prints the share of the peak that updates reach, for several sizes of batches."""
    print("\n| network | precision | batch | ms an update | GFLOP/s | of the peak |")
    print("| --- | --- | --- | --- | --- | --- |")
    for network in ("nips", "nature"):
        for precision in peaks:
            for size in (32, 64, 128, 256):
                changes = {"network": network, "precision": precision, "batch_size": size}
                config = Config(**{**settings, **changes})
                agent = make_agent(config, STATE, ACTIONS, np.random.default_rng(0))
                batch = random_batch(size)
                agent.learn(batch)
                taken = best_time(partial(agent.learn, batch))
                speed = update_flop(agent, config) / taken / 1e9
                print(
                    f"| {network} | {precision} | {size} | {1e3 * taken:.1f} | {speed:.0f} "
                    f"| {speed / peaks[precision]:.0%} |",
                    flush=True,
                )


def main() -> None:
    """Prints the machine's limits, then the parts of a step and of an update."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--efficiency", action="store_true", help="of batches of 32 to 256")
    parser.add_argument("--network", default="nips")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--envs", type=int, default=8)
    parser.add_argument("--batch", dest="batch_size", type=int, default=32)
    options = vars(parser.parse_args())
    efficiency = options.pop("efficiency")
    peaks = {precision: peak(precision) for precision in ("float32", "bfloat16")}
    for precision, speed in peaks.items():
        print(f"peak of a product of matrices in {precision}: {speed:.0f} GFLOP/s")
    copied = bandwidth()
    print(f"copying in memory: {copied:.1f} GB/s")
    if efficiency:
        print_efficiency({}, peaks)
        return
    config = Config(
        environment="PongNoFrameskip-v4",
        memory_size=100_000,
        pretrain_transitions=5_000,
        epsilon_start=0.1,
        epsilon_end=0.1,
        steps=WARM_UP + STEPS,
        seed=1,
        **options,
    )
    peak_speed = 1e9 * peaks[config.precision]
    print_update(config, peak_speed, 1e9 * copied)
    print_loop(config, peak_speed)


if __name__ == "__main__":
    main()
