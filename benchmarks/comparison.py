"""Trains presets for the same time each, one after the other, and compares what they have learnt.

    python3 benchmarks/comparison.py train runs              30 minutes of Pong for each of three
    python3 benchmarks/comparison.py show runs --picture res/presets/pong.png

`train` starts the program itself and ends it with a signal when its time is over; then the weights
play greedy games. `show` prints a table of the logs, and draws the scores over the time. The time
of a preset begins with its process, and so includes the pretraining.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

# Run as a script, this file's folder is on the path and the program's is not.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reward_log import Episode, read_log

PROGRAM = Path(__file__).resolve().parent.parent / "dqn_atari.py"
PRESETS = ["default", "dqn-2015", "rainbow"]
GAMES, WINDOW = 20, 20


def program(preset: str, environment: str, folder: Path, *flags: str) -> list[str]:
    """Returns a command line of the program."""
    common = ["-env", environment, "--preset", preset, "--out", str(folder), "--seed", "1"]
    return [sys.executable, str(PROGRAM), *common, *flags]


def train(preset: str, environment: str, folder: Path, minutes: float) -> None:
    """Trains for so long, then plays; what both print goes to files beside the log."""
    folder.mkdir(parents=True)
    with (folder / "training.txt").open("w") as file:
        running = subprocess.Popen(program(preset, environment, folder), stdout=file, stderr=file)
        try:
            running.wait(60 * minutes)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGTERM)
            running.wait()
    with (folder / "games.txt").open("w") as file:
        command = program(preset, environment, folder, "--play", "--episodes", str(GAMES))
        subprocess.run(command, stdout=file, stderr=file, check=True)


def show(folder: Path, environment: str, picture: Path | None) -> None:
    """Prints a table of the runs in a folder, and draws them."""
    runs = {each.name: each for each in sorted(folder.iterdir()) if each.is_dir()}
    logs = {
        name: read_log(run / f"{environment.replace('/', '-')}_log.txt").episodes
        for name, run in runs.items()
    }
    print(
        f"| preset | steps | steps/s, last {WINDOW} games | mean score, last {WINDOW} games "
        f"| {GAMES} greedy games |"
    )
    print("| --- | --- | --- | --- | --- |")
    for name, episodes in logs.items():
        first, last = episodes[-WINDOW:][0], episodes[-1]
        rate = (last.steps - first.steps) / (seconds(last) - seconds(first))
        score = np.mean([each.score for each in episodes[-WINDOW:]])
        played = re.findall(r"mean score (\S+),", (runs[name] / "games.txt").read_text())
        print(f"| `{name}` | {last.steps:,} | {rate:.0f} | {score:.1f} | {played[-1]} |")
    if picture:
        draw(logs, picture)


def seconds(episode: Episode) -> float:
    """Returns when an episode ended, since the run started; older programs did not say it."""
    return episode.seconds or 0.0


def draw(logs: dict[str, list[Episode]], picture: Path) -> None:
    """Draws the scores of runs over the minutes since training began."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    for name, episodes in logs.items():
        ends = range(WINDOW, len(episodes) + 1)
        minutes = [seconds(episodes[end - 1]) / 60 for end in ends]
        scores = [np.mean([each.score for each in episodes[end - WINDOW : end]]) for end in ends]
        axes.plot(minutes, scores, label=name)
    axes.set_xlabel("minutes of training")
    axes.set_ylabel(f"score, mean of {WINDOW} games")
    axes.legend()
    axes.grid(alpha=0.3)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=120, bbox_inches="tight")


def main() -> None:
    """Trains or shows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", "show"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--presets", nargs="+", default=PRESETS, metavar="NAME")
    parser.add_argument("--environment", default="Pong-v4", metavar="ID")
    parser.add_argument("--minutes", type=float, default=30, metavar="N")
    parser.add_argument("--picture", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.what == "show":
        show(options.folder, options.environment, options.picture)
        return
    for preset in options.presets:
        train(preset, options.environment, options.folder / preset, options.minutes)


if __name__ == "__main__":
    main()
