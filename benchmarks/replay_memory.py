"""Measures the replay memory: bytes of a transition, time of a step and of a batch.

    pip install -r benchmarks/requirements.txt
    python3 -m benchmarks.replay_memory                  ten games, 1,000,000 transitions each
    python3 -m benchmarks.replay_memory --games Pong --transitions 100000
    python3 -m benchmarks.replay_memory play --games SpaceInvaders MsPacman Enduro
    python3 -m benchmarks.replay_memory learner --games SpaceInvaders
    python3 -m benchmarks.replay_memory save --games SpaceInvaders
    python3 -m benchmarks.replay_memory loop

Each measurement is a process of its own. Frames are of random play in 8 environments: 40,000 of
each game, again and again until the memory is full; "play" fills it with a million different ones.
Bytes are the growth of the process's resident memory. Times are in ms: the mean of `append`, which
is one step of 8 environments, and the median of `sample(32)`. Stable-Baselines3 keeps whole states,
as many as half of the free memory holds. "learner" prints the median of what a learner waits for
its batches while it makes real updates, "save" the time that files take. "loop" trains on Pong with
plain and with packed frames, by turns of 80 steps in one process, at the program's defaults, with
the memories full of frames that were played before.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from ale_py.vector_env import AtariVectorEnv

from atari.games import game_roms
from replay_memory import ReplayMemory, make_memory
from settings.config import Config
from system.memory import available_memory
from system.root import ROOT
from training.prefetching import Prefetcher

GAMES = ["Pong", "Breakout", "SpaceInvaders", "Seaquest", "Qbert"]
GAMES += ["MsPacman", "Enduro", "Riverraid", "BeamRider", "Phoenix"]
STREAMS, BATCH, RECORDED, SAMPLES = 8, 32, 40_000, 300
STATE = (84, 84, 4)
Steps = Iterator[tuple[np.ndarray, ...]]  # what `ReplayMemory.append` takes


def play(game: str) -> Steps:
    """Yields steps of random play, without end."""
    environments = AtariVectorEnv(game_roms()[game], STREAMS, frameskip=4, stack_num=1)
    rng = np.random.default_rng(1)
    states, _ = environments.reset(seed=1)
    while True:
        actions = rng.integers(environments.single_action_space.n, size=STREAMS)
        following, rewards, terminals, cuts, _ = environments.step(actions)
        yield states[:, -1], actions, np.sign(rewards), terminals, terminals | cuts
        states = following


def record(game: str, path: Path) -> None:
    """Writes steps of random play to a file."""
    steps = itertools.islice(play(game), RECORDED // STREAMS)
    np.savez(path, *(np.stack(parts) for parts in zip(*steps, strict=True)))


def recordings(games: list[str], folder: Path) -> Iterator[tuple[str, Path]]:
    """Records one game after the other; yields each with its file, which is removed afterwards."""
    for game in games:
        file = folder / f"{game}.npz"
        record(game, file)
        yield game, file
        file.unlink()


def recorded(path: Path) -> Steps:
    """Yields the recorded steps, again and again."""
    with np.load(path) as file:
        steps = list(zip(*(file[name] for name in file.files), strict=True))
    return itertools.cycle(steps)


def times(call: Callable[[], Any], repeats: int) -> list[float]:
    """Returns how long each of some calls takes, in ms."""
    clock = [time.perf_counter()]
    for _ in range(repeats):
        call()
        clock.append(time.perf_counter())
    return [1e3 * (end - start) for start, end in itertools.pairwise(clock)]


def memory_of(codec: str, n_step: int, exponent: float, transitions: int) -> ReplayMemory:
    """Returns an empty memory."""
    config = Config(
        envs=STREAMS, memory_size=transitions, frame_codec=codec, n_step=n_step,
        priority_exponent=exponent,
    )  # fmt: skip
    return make_memory(config, STATE)


def fill(memory: ReplayMemory, steps: Steps) -> tuple[float, float]:
    """Fills a memory; returns its resident bytes a transition and the ms of an `append`."""
    process = psutil.Process()
    first = next(steps)  # whatever else that loads is there before the memory grows
    before = process.memory_info().rss
    memory.append(*first)
    # The last thousand of them, when all that they touch has been touched before.
    for step in itertools.islice(steps, memory.capacity // STREAMS - 1_001):
        memory.append(*step)
    milliseconds = statistics.mean(times(lambda: memory.append(*next(steps)), 1_000))
    return (process.memory_info().rss - before) / memory.capacity, milliseconds


def ours(file: Path, codec: str, n_step: int, exponent: float, transitions: int) -> list[float]:
    """Returns bytes of a transition, ms of `append` and ms of `sample`."""
    steps = recorded(file)
    memory = memory_of(codec, n_step, exponent, transitions)
    size, append = fill(memory, steps)
    rng = np.random.default_rng(1)
    batch = memory.sample(BATCH, rng)
    samples = times(lambda: memory.sample(BATCH, rng, 0.4, batch), SAMPLES)
    return [size, append, statistics.median(samples)]


def stable_baselines3(file: Path, transitions: int) -> list[float]:
    """Returns the same of Stable-Baselines3's buffer, and the number of its transitions."""
    from gymnasium.spaces import Box, Discrete
    from stable_baselines3.common.buffers import ReplayBuffer

    states = np.zeros((STREAMS, STATE[2], *STATE[:2]), np.uint8)
    fitting = int(available_memory() * 0.5 / states[0].nbytes)
    size = min(transitions, fitting) // STREAMS * STREAMS
    space = Box(0, 255, states.shape[1:], np.uint8)
    steps, process = recorded(file), psutil.Process()
    before = process.memory_info().rss
    buffer = ReplayBuffer(
        size, space, Discrete(18), "cpu", n_envs=STREAMS, optimize_memory_usage=True,
        handle_timeout_termination=False,
    )  # fmt: skip

    def add() -> None:
        frames, actions, rewards, terminals, _ = next(steps)
        states[:, :-1] = states[:, 1:]
        states[:, -1] = frames
        buffer.add(states, states, actions, rewards, terminals, [{}] * STREAMS)

    for _ in range(size // STREAMS - 1_000):
        add()
    append = statistics.mean(times(add, 1_000))
    grown = process.memory_info().rss - before
    samples = times(lambda: buffer.sample(BATCH), SAMPLES)
    return [grown / size, append, statistics.median(samples), size]


def learner(file: Path, codec: str, exponent: float, transitions: int) -> list[float]:
    """Returns the ms of `take` between real updates, with a thread and without."""
    from system.quiet_imports import loading_libraries

    with loading_libraries():
        from agent import make_agent

    steps = recorded(file)
    memory = memory_of(codec, 3, exponent, transitions)
    fill(memory, steps)
    agent = make_agent(Config(), STATE, 18, np.random.default_rng(1))
    waits = []
    for in_background in (True, False):
        batches = Prefetcher(memory, BATCH, np.random.default_rng(1), in_background=in_background)
        waited = []
        for update in range(SAMPLES):
            if update % 2 == 0:
                batches.append(*next(steps))
            started = time.perf_counter()
            batch = batches.take(0.4)
            waited.append((time.perf_counter() - started) * 1e3)
            batches.update_priorities(batch.indices, agent.learn(batch)[0].td_errors)
        waits.append(statistics.median(waited))
        batches.close()
    return waits


def loop(file: Path, transitions: int, turns: int) -> list[float]:
    """Returns steps/s with plain and with packed frames, and quartiles of the times' ratio."""
    from system.quiet_imports import loading_libraries

    with loading_libraries():
        from training.run import assemble
    runs = []
    for codec in ("none", "zstd"):
        config = Config(
            memory_size=transitions,
            pretrain_transitions=0,
            epsilon_start=0.1,
            epsilon_end=0.1,
            seed=1,
            frame_codec=codec,
        )
        trainer = assemble(config)
        fill(trainer.memory.parts[0], recorded(file))
        runs.append(trainer.train())
    steps_of_all = 10
    taken = np.array(
        [[sum(times(partial(next, run), steps_of_all)) for run in runs] for _ in range(turns + 5)]
    )[5:]  # the first ones compile
    ratios = np.quantile(taken[:, 1] / taken[:, 0], [0.25, 0.5, 0.75])
    return [*(1e3 * 8 * steps_of_all / np.median(taken, axis=0)), *ratios]


def saved(file: Path, codec: str, transitions: int) -> list[float]:
    """Returns the MB of a saved memory, the seconds to save it and to load it."""
    memory = memory_of(codec, 3, 0.5, transitions)
    fill(memory, recorded(file))
    path = Path(file).with_suffix(".memory")
    other = memory_of(codec, 3, 0.5, transitions)
    save, load = (times(lambda: memory.save(path), 1), times(lambda: other.load(path), 1))
    size = path.stat().st_size
    path.unlink()
    return [size / 1e6, save[0] / 1e3, load[0] / 1e3]


def played(game: str, codec: str, transitions: int) -> list[float]:
    """Returns bytes of a transition where all frames are different, and what was expected."""
    memory = memory_of(codec, 3, 0.5, transitions)
    size, _ = fill(memory, play(game))
    return [size, len(memory), memory.nbytes / transitions, memory.max_nbytes / transitions]


def in_a_process(measure: Callable[..., list[float]], *arguments: object) -> list[float]:
    """Returns what a measurement returns in a process of its own."""
    order = json.dumps([measure.__name__, *arguments], default=str)
    command = [sys.executable, "-m", "benchmarks.replay_memory", "--measure", order]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(games: list[str], transitions: int, folder: Path) -> None:
    """Prints a table of all ways to remember these games."""
    print("| game | codec | sampling | n | bytes | append, ms | sample(32), ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for game, file in recordings(games, folder):
        for codec, exponent, n_step in itertools.product(
            ("none", "lz4", "zstd"), (0.0, 0.5), (1, 3)
        ):
            size, append, sample = in_a_process(ours, file, codec, n_step, exponent, transitions)
            sampling = "by priority" if exponent else "uniform"
            print(
                f"| {game} | {codec} | {sampling} | {n_step} | {size:,.0f} | {append:.3f} "
                f"| {sample:.2f} |",
                flush=True,
            )
        size, append, sample, count = in_a_process(stable_baselines3, file, transitions)
        print(
            f"| {game} | Stable-Baselines3, {count:,.0f} transitions | uniform | 1 | {size:,.0f} "
            f"| {append:.3f} | {sample:.2f} |",
            flush=True,
        )


def compare_waits(games: list[str], transitions: int, folder: Path) -> None:
    """Prints what a learner waits for its batches."""
    print("| game | codec | sampling | wait with a thread, ms | without, ms |")
    print("| --- | --- | --- | --- | --- |")
    for game, file in recordings(games, folder):
        for codec, exponent in itertools.product(("none", "lz4", "zstd"), (0.0, 0.5)):
            with_thread, without = in_a_process(learner, file, codec, exponent, transitions)
            sampling = "by priority" if exponent else "uniform"
            print(
                f"| {game} | {codec} | {sampling} | {with_thread:.3f} | {without:.3f} |", flush=True
            )


def compare_files(games: list[str], transitions: int, folder: Path) -> None:
    """Prints how long memories take to be saved and loaded."""
    print("| game | codec | MB | save, s | load, s |")
    print("| --- | --- | --- | --- | --- |")
    for game, file in recordings(games, folder):
        for codec in ("lz4", "zstd"):
            size, save, load = in_a_process(saved, file, codec, transitions)
            print(f"| {game} | {codec} | {size:.0f} | {save:.2f} | {load:.2f} |", flush=True)


def fill_with_play(games: list[str], transitions: int, _: Path) -> None:
    """Prints how a process grows by a memory of frames that are all different."""
    print("| game | transitions | resident bytes of each | counted | at most |")
    print("| --- | --- | --- | --- | --- |")
    for game in games:
        size, count, counted, most = in_a_process(played, game, "zstd", transitions)
        print(f"| {game} | {count:,.0f} | {size:.0f} | {counted:.0f} | {most:.0f} |", flush=True)


def compare_loops(games: list[str], transitions: int, folder: Path) -> None:
    """Prints how much longer training takes with packed frames than with plain ones."""
    for _, file in recordings(["Pong"], folder):
        plain, packed, low, middle, high = in_a_process(loop, file, transitions, 400)
    print(
        "| steps/s, plain frames | packed | time, packed / plain: lower quartile | median | upper |"
    )
    print("| --- | --- | --- | --- | --- |")
    print(f"| {plain:.0f} | {packed:.0f} | {low:.3f} | {middle:.3f} | {high:.3f} |")


TABLES: dict[str, Callable[[list[str], int, Path], None]] = {
    "ways": compare,
    "play": fill_with_play,
    "learner": compare_waits,
    "save": compare_files,
    "loop": compare_loops,
}


def main() -> None:
    """Prints the table that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", nargs="?", choices=TABLES, default="ways")
    parser.add_argument("--games", nargs="+", default=GAMES, metavar="NAME")
    parser.add_argument("--transitions", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, *arguments = json.loads(options.measure)
        measures = {
            each.__name__: each for each in (ours, stable_baselines3, learner, loop, saved, played)
        }
        print(json.dumps(measures[name](*arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        TABLES[options.table](options.games, options.transitions, Path(folder))


if __name__ == "__main__":
    main()
