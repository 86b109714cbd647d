"""Files that others wrote, and file systems that cannot do all: cases of `benchmarks.outside`."""

from __future__ import annotations

import errno
import functools
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from typing import TYPE_CHECKING

from benchmarks.outside import (
    GAME,
    QUIET,
    REFUSED,
    SAME,
    TOLD,
    TRAIN,
    Case,
    end,
    files,
    run,
    start,
    trained,
    undisturbed,
    without_temporary_files,
)
from benchmarks.refused_calls import refuse
from storage.episode_log import Episode, format_episode, read_log
from system.console import PLOTTER, PROGRAM
from system.root import ROOT

if TYPE_CHECKING:
    from pathlib import Path

WRONG_USAGE = "status 2, 1 line on stderr"
# Few long steps make a short game.
PLAY = f"-env {GAME} -p --episodes 1 --seed 1 --frame-skip 40"
# 6,750 steps of an agent that never fires; the 27,000 of the default frame skip take two minutes.
LONG_GAME = f"-env {GAME} -p --episodes 1 --seed 1 --frame-skip 16"
MOST_FOR_RECORDING = 300e6  # bytes beyond what playing takes
CURVES = f"{TRAIN} --frame-skip 40 --tensorboard"
LONGEST_WAIT = 60.0  # seconds, for a live picture to be drawn
# What Python loads at its start: it flushes as Windows does; its clock is a day late.
WINDOWS = """
import fcntl, os, stat
flush = os.fsync
def fsync(opened):
    is_read = fcntl.fcntl(opened, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    if is_read and not stat.S_ISDIR(os.fstat(opened).st_mode):
        raise OSError(9, "Bad file descriptor")
    flush(opened)
os.fsync = fsync
"""
A_DAY_LATE = "import time; now = time.time; time.time = lambda: now() - 86_400"
# Writes weights of Keras 2, and those that the program would write of the same network.
KERAS_2 = """
import sys
import numpy as np, tf_keras
from pathlib import Path
from learning.networks import NetworkOptions, nips_network
from storage import weights
folder, name, save = sys.argv[1:]
states = np.random.default_rng(0).integers(0, 256, (3, 84, 84, 4), np.uint8)
model = tf_keras.Sequential([
    tf_keras.Input((84, 84, 4)),
    tf_keras.layers.Rescaling(1 / 255),
    tf_keras.layers.Conv2D(16, 8, 4, activation="relu"),
    tf_keras.layers.Conv2D(32, 4, 2, activation="relu"),
    tf_keras.layers.Flatten(),
    tf_keras.layers.Dense(256, activation="relu"),
    tf_keras.layers.Dense(4),
])
model.compile(optimizer="adam", loss="mse", metrics=["mae"])
model.train_on_batch(states.astype(np.float32), np.ones((3, 4), np.float32))
getattr(model, save)(Path(folder, name))
network = nips_network((84, 84, 4), 4, 0, NetworkOptions())
weights.load(Path(folder, name), network)
theirs = model.predict_on_batch(states.astype(np.float32))
same = np.allclose(network.predict_on_batch(states), theirs, rtol=1e-5)
print("same values" if same else "OTHER VALUES")
"""
# Prints the steps of the points that TensorBoard shows of a curve.
CURVE = """
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
curves = EventAccumulator(sys.argv[1]).Reload()
print(*[point.step for point in curves.Scalars("episode/reward")], sep="\\n")
"""
# Writes weights whose first action is always the best one.
IDLE = """
import sys
from pathlib import Path
from agent import network_options
from learning.networks import NETWORKS
from settings.config import Config
from storage import weights
network = NETWORKS[Config().network]((84, 84, 4), 4, 0, network_options(Config()))
values = network.get_weights()
values[-1][0] = 5
network.set_weights(values)
weights.save(Path(sys.argv[1]), network)
"""


def script(code: str, *arguments: object) -> str:
    """Runs a script that can import the program's modules; returns what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip


# ---------------------------------------------------------------- file systems


def without(folder: Path, **calls: int) -> str:
    """Trains where the kernel refuses system calls, each with an error number."""
    return trained(folder, preexec_fn=functools.partial(refuse, calls))


# ---------------------------------------------------------------- weights of other programs


def archive(*names: str) -> bytes:
    """Returns a zip archive with empty files of these names."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, b"")
    return content.getvalue()


def refused(words: str, content: bytes, folder: Path) -> str:
    """Plays with a file that is no weights file, and looks for words in the error."""
    path = folder / "weights.h5"
    path.write_bytes(content)
    _, errors = (process := start(PROGRAM, PLAY, "-c", path)).communicate()
    is_told = words in errors and errors.count("\n") == 1
    return f"status {process.returncode}, {'told what it is' if is_told else errors.strip()}"


def damaged(folder: Path) -> str:
    """Plays with weights of which one byte is another one."""
    content = bytearray(undisturbed("tensorflow"))
    content[len(content) // 2] ^= 1
    return refused("is damaged: its checksum does not match", bytes(content), folder)


def of_keras_2(name: str, save: str, folder: Path) -> str:
    """Plays with weights of a network that Keras 2 has trained, saved by a method of its models."""
    values = script(KERAS_2, folder, name, save).splitlines()[-1]
    played = run(PROGRAM, PLAY, "--preset", "plain", "-c", folder / name)
    return f"{played}, {values}"


# ---------------------------------------------------------------- logs


def write_log(path: Path, episodes: int) -> Path:
    """Writes a log of so many episodes."""
    lines = (Episode(n, n % 7 - 21.0, 100 * (n + 1), 1.0, 0.01, 0.9) for n in range(episodes))
    path.write_text("".join(f"{format_episode(line)}\n" for line in lines))
    return path


def plotted_beside(content: bytes, flags: str, folder: Path) -> str:
    """Plots a folder with a run and a log of some content, and compares with the run alone."""
    pictures = []
    for name in ("alone", "beside"):
        runs = folder / name / "runs"
        runs.mkdir(parents=True)
        write_log(runs / "Pong-v4_log.txt", 20)
        if name == "beside":
            (runs / "Qbert-v4_log.txt").write_bytes(content)
        result = run(PLOTTER, f"-f runs {flags}", cwd=folder / name)
        pictures += [path for path in (folder / name).iterdir() if path.is_file()]
    same = len(pictures) == 2 and len({path.read_bytes() for path in pictures}) == 1
    return f"{result}{SAME if same else ', ANOTHER RESULT'}"


def live_picture(folder: Path) -> str:
    """Draws a live picture of a run and of one that begins later."""
    runs = [folder / f"{game}_log.txt" for game in ("Pong-v4", "Qbert-v4")]
    write_log(runs[0], 20)
    runs[1].touch()
    picture = folder / "picture.png"
    process = start(
        PLOTTER, "--y reward --live -f", folder, "--out", picture, stdout=subprocess.PIPE,
        variables={"DISPLAY": "", "WAYLAND_DISPLAY": "", "XDG_RUNTIME_DIR": str(folder)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout
    process.stdout.readline()
    before = picture.read_bytes()
    write_log(runs[1], 20)
    end_of_wait = time.monotonic() + LONGEST_WAIT
    while (is_old := picture.read_bytes() == before) and time.monotonic() < end_of_wait:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    return f"{end(process)}, {'NOT DRAWN' if is_old else 'drawn once it has lines'}"


def curves_after_midnight(folder: Path) -> str:
    """Goes on with a run on a clock that was set back by a day, and reads its curves."""
    run(PROGRAM, f"{CURVES} -st 400", "--out", folder)
    more = f"{CURVES} -st 800 -c {GAME}_weights.h5 --out ."
    late = {"PYTHONPATH": files(folder, sitecustomize_py=A_DAY_LATE)}
    result = run(PROGRAM, more, cwd=folder, variables=late)
    shown = script(CURVE, folder / f"{GAME}_tensorboard").splitlines()
    logged = [str(episode.steps) for episode in read_log(folder / f"{GAME}_log.txt").episodes]
    same = shown == logged and len(shown) > 1
    return f"{result}, {'all points' if same else f'{len(shown)} of {len(logged)}'}"


# ---------------------------------------------------------------- recordings and places


def memory_of(*arguments: object) -> int:
    """Runs the program and returns the most memory that it has taken, in bytes."""
    process = start(PROGRAM, LONG_GAME, *arguments, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def long_recording(folder: Path) -> str:
    """Records a long game, and compares what it takes of memory with just playing."""
    idle = folder / "idle.h5"
    script(IDLE, idle)
    more = memory_of("-c", idle, "--record", folder) - memory_of("-c", idle)
    few = more <= MOST_FOR_RECORDING
    return f"at most {MOST_FOR_RECORDING / 1e6:.0f} MB more" if few else f"{more / 1e6:.0f} MB MORE"


def nowhere_to_write(folder: Path) -> str:
    """Plays where no file can be written, but in memory."""
    path = folder / "weights.h5"
    path.write_bytes(undisturbed("tensorflow"))
    return run(PROGRAM, PLAY, "-c", path, cwd="/proc", variables=without_temporary_files(folder))


def empty_continue(folder: Path) -> str:
    """Gives an empty path to go on from, where a run has left files."""
    (folder / f"{GAME}_weights.h5").write_bytes(undisturbed("tensorflow"))
    result = run(PROGRAM, TRAIN, "--out", folder, "--continue", "")
    untouched = [path.name for path in folder.iterdir()] == [f"{GAME}_weights.h5"]
    return f"{result}{', all left as it was' if untouched else ', FILES CHANGED'}"


SB3 = "data", "policy.pth", "pytorch_variables.pth", "system_info.txt"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
TOLD_KIND = "status 1, told what it is"

CASES = [
    Case("no locks (ENOLCK)", f"{TOLD}{SAME}", lambda at: without(at, flock=errno.ENOLCK)),
    Case("no flushing (EINVAL)", f"{QUIET}{SAME}", lambda at: without(at, fsync=errno.EINVAL)),
    Case(
        "files that are still open elsewhere (NFS)",
        f"{QUIET}{SAME}",
        lambda at: without(at, unlinkat=errno.ENOTEMPTY),
    ),
    Case(
        "flushing as on Windows",
        f"{QUIET}{SAME}",
        lambda at: trained(at, variables={"PYTHONPATH": files(at, sitecustomize_py=WINDOWS)}),
    ),
    Case("no place to write but memory: a game", QUIET, nowhere_to_write),
    Case(
        "Keras 2's .keras, trained",
        f"{QUIET}, same values",
        lambda at: of_keras_2("w.keras", "save", at),
    ),
    Case(
        "Keras 2's .weights.h5, trained",
        f"{QUIET}, same values",
        lambda at: of_keras_2("w.weights.h5", "save_weights", at),
    ),
    Case(
        "an agent of Stable-Baselines3",
        TOLD_KIND,
        lambda at: refused("is an agent of Stable-Baselines3", archive(*SB3), at),
    ),
    Case(
        "a file of PyTorch",
        TOLD_KIND,
        lambda at: refused("is a file of PyTorch", archive("w/data.pkl", "w/data/0"), at),
    ),
    Case("a file that Git LFS left out", TOLD_KIND, lambda at: refused("is a text, ", LFS, at)),
    Case("weights with a damaged byte", TOLD_KIND, damaged),
    Case(
        "an empty log in a folder: a picture",
        f"{TOLD}{SAME}",
        lambda at: plotted_beside(b"", "--y reward", at),
    ),
    Case(
        "a damaged log in a folder: a page",
        f"{TOLD}{SAME}",
        lambda at: plotted_beside(bytes(9), "--dashboard page.html", at),
    ),
    Case(
        "an empty log that is named",
        REFUSED,
        lambda at: run(PLOTTER, "--y reward -f log", cwd=files(at, log=b"")),
    ),
    Case("a live picture of a run to come", f"{TOLD}, drawn once it has lines", live_picture),
    Case("a clock that was set back", f"{QUIET}, all points", curves_after_midnight),
    Case("a recording of a long game", "at most 300 MB more", long_recording),
    Case('--continue ""', f"{WRONG_USAGE}, all left as it was", empty_continue),
    Case('--record ""', WRONG_USAGE, lambda _: run(PROGRAM, PLAY, "--record", "")),
    Case('the plotter\'s --out ""', WRONG_USAGE, lambda _: run(PLOTTER, "-f log", "--out", "")),
]
