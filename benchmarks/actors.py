"""Measures what actors on Ray cost, and says what a run with many of them waits for.

    python3 -m benchmarks.actors                          what each part takes, and the model
    python3 -m benchmarks.actors --runs 0 1 2 --seconds 60    whole runs with so many actors, too

Parts are timed by the processor time of the process or thread that does them, so that other work on
the machine does not count. Those of 64 and 1,024 actors are simulated in one process: as many parts
of the memory, and as many calls under way. Whole runs are timed by the clock and need a quiet
machine. With --update-ms there is a second model, in which an update takes so long.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster.actor import Actor
from cluster.chunks import CHUNK_STEPS, CREDITS, Chunk, Shape, turns_of
from cluster.connection import connected
from cluster.run import make_trainer as make_actor_trainer
from preprocessing import state_shape
from replay_memory import make_part
from settings.config import Config
from training.memory_parts import MemoryParts, make_run_memory
from training.run import make_trainer

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (4, 64, 1024)  # numbers of actors
NETWORK = 125e6  # bytes a second, 1 Gbit/s
STEPS_OF_A_PART = 400  # appended to each part before transitions are drawn


def seconds(function: Callable[[], Any], clock: Callable[[], float], times: int) -> float:
    """Returns the median time of a call."""
    taken = []
    for _ in range(times):
        start = clock()
        function()
        taken.append(clock() - start)
    return float(np.median(taken))


def play(config: Config) -> tuple[dict[str, float], Chunk, Shape, list[np.ndarray]]:
    """Returns what an actor's work takes, by name; with a chunk, its shape, and weights."""
    actor = Actor(dataclasses.asdict(config), 0)
    actor.prepare(0)
    turns = max(1, CHUNK_STEPS // config.envs)
    weights = actor._agent.online.get_weights()
    chunk = actor.play(turns, 0.4, True, weights)
    frames = (config.envs, *actor._environments.frame_shape)
    shape = Shape(turns, frames, actor._environments.num_actions)
    steps = turns * config.envs
    taken = seconds(lambda: actor.play(turns, 0.4, False, None), time.process_time, 15)
    chunk = actor.play(turns, 0.4, False, None)
    online = actor._agent.online
    figures = {
        "playing a step, with packing, µs": 1e6 * taken / steps,
        "sent for a step, bytes": chunk.nbytes / steps,
        "weights, bytes": float(sum(array.nbytes for array in weights)),
        "an actor takes weights, ms": 1e3
        * seconds(lambda: online.set_weights(weights), time.process_time, 15),
    }
    actor._environments.close()
    return figures, chunk, shape, weights


def received(chunk: Chunk, shape: Shape, memory: MemoryParts) -> float:
    """Returns the seconds that a step takes to be checked, unpacked and remembered."""
    parts = memory.parts

    def take() -> None:
        for turn in turns_of(chunk, shape, 0, 0.1):
            step = turn.step
            parts[0].append(step.frames, turn.actions, step.rewards, step.terminals, step.ends)

    return seconds(take, time.thread_time, 40) / (shape.turns * shape.frames[0])


def drawn(config: Config, count: int, chunk: Chunk, shape: Shape) -> tuple[float, float]:
    """Returns the seconds to draw a batch from so many parts, and the bytes of one of them."""
    states = state_shape(config.screen, config.frame_stack_size)
    memory = MemoryParts([make_part(config, states) for _ in range(count)])
    turns = turns_of(chunk, shape, 0, 0.1)
    for part in memory.parts:
        for number in range(STEPS_OF_A_PART):
            turn = turns[number % len(turns)]
            step = turn.step
            part.append(step.frames, turn.actions, step.rewards, step.terminals, step.ends)
    rng, batch = np.random.default_rng(0), memory.empty_batch(config.batch_size)
    for part in memory.parts:
        part.sample(config.batch_size, rng, 0.4, batch)  # the system gives its room only now
    taken = seconds(lambda: memory.sample(config.batch_size, rng, 0.4, batch), time.thread_time, 20)
    return taken, memory.nbytes / len(memory.parts)


class Idle:
    """Stands in for an actor on Ray."""

    def send(self, chunk: Chunk) -> Chunk:
        """Returns a chunk at once."""
        return chunk

    def wait(self) -> None:
        """Never returns while somebody measures."""
        time.sleep(3600)


def putting(weights: list[np.ndarray]) -> float:
    """Returns the seconds of processor time that a set of weights takes to the object store."""
    import ray

    return seconds(lambda: ray.put(weights), time.process_time, 20)


def calls(chunk: Chunk, count: int, times: int = 50) -> tuple[float, float]:
    """Returns what Ray's part takes in the learner, in seconds of processor time.

    For a chunk that is asked for and fetched; and for a look at what is ready, with as many calls
    under way as `count` actors have.
    """
    import ray

    idle = ray.remote(num_cpus=0)(Idle)
    sender, busy = idle.remote(), idle.remote()
    stored = ray.put(chunk)
    ray.get(sender.send.remote(stored))
    once = seconds(lambda: ray.get(sender.send.remote(stored)), time.process_time, times)
    under_way = [busy.wait.remote() for _ in range(count * CREDITS)]
    look = seconds(
        lambda: ray.wait(under_way, num_returns=len(under_way), timeout=0), time.process_time, 20
    )
    for each in (sender, busy):
        ray.kill(each)
    return once, look


def update_seconds(config: Config) -> float:
    """Returns the seconds of the clock that an update takes here, of several in a call."""
    with closing(make_trainer(config)) as trainer:
        for _ in trainer.pretrain():
            pass
        batch = trainer.memory.empty_batch(4 * config.batch_size)
        rng = np.random.default_rng(0)
        trainer.memory.sample(config.batch_size, rng, 0.4, batch)
        trainer.agent.learn(batch).wait()
        return seconds(lambda: trainer.agent.learn(batch).wait(), time.perf_counter, 10) / 4


def speed(config: Config, duration: float) -> tuple[float, float]:
    """Returns steps and updates a second of a run, by the clock."""
    make = make_actor_trainer if config.actors else make_trainer
    trainer = make(config)
    for _ in trainer.pretrain():
        pass
    updates: list[Any] = []
    trainer.learning.after_update = updates.append
    started, first = 0.0, 0
    for _ in trainer.train():
        now = time.perf_counter()
        if not started and trainer.step >= 2_000:  # all is compiled
            started, first = now, trainer.step
            updates.clear()
        if started and now - started >= duration:
            break
    taken, steps = time.perf_counter() - started, trainer.step - first
    trainer.close()
    return steps / taken, len(updates) / taken


def model(figures: dict[str, float], draws: dict[int, tuple[float, float]], config: Config) -> None:
    """Prints the steps a second that each part allows: the least is what a run makes.

    Parts of the learner share its cores, so where several are near the least it is less.
    """
    updates = config.updates / config.train_every  # for each step
    # Weights go out with a request for a chunk, so no more often than that.
    steps_of_a_set = max(CHUNK_STEPS, config.weights_every / updates)
    rows: dict[str, list[str]] = {}
    for count in SIZES:
        draw, part_bytes = draws[count]
        calls_ms = (
            figures["a chunk's calls, ms"] + figures[f"a look at the calls of {count:,} actors, ms"]
        )
        allowed = {
            "actors": count * 1e6 / figures["playing a step, with packing, µs"],
            "updates": 1e3 / (updates * figures["an update, ms"]),
            "drawing": 1 / (updates * draw),
            "receiving": 1e6 / figures["the learner takes a step, µs"],
            "Ray's calls": 1e3 * CHUNK_STEPS / calls_ms,
            "weights": 1e3 * steps_of_a_set / figures["the learner puts weights, ms"],
            "network to the learner": NETWORK / figures["sent for a step, bytes"],
            "network, weights to a machine": NETWORK * steps_of_a_set / figures["weights, bytes"],
        }
        bytes_of_chunks = CREDITS * CHUNK_STEPS * figures["sent for a step, bytes"]
        row = {name: f"{steps:,.0f}" for name, steps in allowed.items()} | {
            "the least": min(allowed, key=lambda name: allowed[name]),
            "chunks in the object store at most, MB": f"{count * bytes_of_chunks / 1e6:,.1f}",
            "memory, still empty, MB": f"{count * part_bytes / 1e6:,.0f}",
        }
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    print(f"\nan update of {figures['an update, ms']:.3g} ms:")
    print("| steps/s allowed by | " + " | ".join(f"{count:,} actors" for count in SIZES) + " |")
    print("| --- " * (1 + len(SIZES)) + "|")
    for name, values in rows.items():
        print(f"| {name} | {' | '.join(values)} |")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, nargs="*", default=[], help="actors of whole runs")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each whole run")
    parser.add_argument("--envs", type=int, default=32, help="environments of an actor")
    parser.add_argument("--update-ms", type=float, help="of an update elsewhere, such as on a GPU")
    options = parser.parse_args()
    config = Config(
        "Pong-v4", envs=options.envs, memory_size=1_000_000, pretrain_transitions=1_000,
        steps=10**9, seed=1, out=tempfile.gettempdir(),
    )  # fmt: skip
    figures, chunk, shape, weights = play(config)
    memory = make_run_memory(dataclasses.replace(config, actors=1), (84, 84, 4))
    assert isinstance(memory, MemoryParts)
    figures["the learner takes a step, µs"] = 1e6 * received(chunk, shape, memory)
    figures["an update, ms"] = 1e3 * update_seconds(config)
    draws = {}
    for count in SIZES:
        # How large a part is does not matter here.
        of_part = dataclasses.replace(config, envs=1, memory_size=2 * STEPS_OF_A_PART)
        draws[count] = drawn(of_part, count, *one_environment(chunk, shape))
    with connected("local", cpus=max(1, *options.runs, 1)):
        figures["the learner puts weights, ms"] = 1e3 * putting(weights)
        for count in SIZES:
            once, look = calls(chunk, count)
            figures["a chunk's calls, ms"] = 1e3 * once
            figures[f"a look at the calls of {count:,} actors, ms"] = 1e3 * look
        for name, value in figures.items():
            print(f"{name:<40} {value:,.6g}")
        for count, (draw, _) in draws.items():
            print(f"drawing a batch from {count:,} parts, ms {1e3 * draw:14.3g}")
        model(figures, draws, config)
        if options.update_ms:
            model({**figures, "an update, ms": options.update_ms}, draws, config)
        for count in options.runs:
            steps, updates = speed(dataclasses.replace(config, actors=count), options.seconds)
            print(f"{count} actors: {steps:,.0f} steps/s, {updates:,.1f} updates/s", flush=True)


def one_environment(chunk: Chunk, shape: Shape) -> tuple[Chunk, Shape]:
    """Returns what a chunk has of its first environment."""
    columns = (array[:, :1] for array in chunk[2:])
    first = Chunk(chunk.frames[: chunk.lengths[0]], chunk.lengths[:1], *columns)
    return first, shape._replace(frames=(1, *shape.frames[1:]))


if __name__ == "__main__":
    main()
