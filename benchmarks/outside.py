"""What a process gets from outside, case by case: `python3 -m benchmarks.faults outside`.

A case is an entry of `CASES`, here or in `benchmarks/outside_files.py`: its name, the right result,
and a function that takes an empty folder and returns the result. Results are short texts, so that a
table shows both.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from system.console import PLOTTER, PROGRAM, counted
from system.root import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GAME = "Breakout-v4"
TRAIN = f"-env {GAME} -m 2000 -pre 64 --envs 4 --seed 1 -b 8 --precision float32"
SHORT = f"{TRAIN} -st 80"
PLAY = f"-env {GAME} -p --episodes 1000 --seed 1"
EVALUATE = f"-env {GAME} --evaluate --random --seed 1"
PLOT = f"-f {ROOT / 'res/pong/Pong-v4_log.txt'} --y loss"
# Python loads it at its start. With it there is no folder for temporary files.
SITE = "import tempfile; tempfile._candidate_tempdir_list = list"
ABORT = "import os; os.write(2, b'no AVX\\n'); os.abort()"
# Results.
QUIET, TOLD, REFUSED = "status 0", "status 0, 1 line on stderr", "status 1, 1 line on stderr"
SAME, SAVED = ", the same result", ", all saved"


class Case(NamedTuple):
    """Something that a process gets from outside."""

    name: str
    right: str
    see: Callable[[Path], str]


def start(program: str, flags: str, *more: object, **options: Any) -> subprocess.Popen:
    """Starts one of the programs.

    Args:
        program: its name.
        flags: separated by spaces.
        *more: arguments that may have spaces in them.
        **options: of `subprocess.Popen`; `variables` are beside the process's own, and `python` is
            a flag of Python.
    """
    environment = {**os.environ, **options.pop("variables", {})}
    python = [sys.executable, *options.pop("python", "").split()]
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options}
    words = [*python, str(ROOT / program), *flags.split(), *map(str, more)]
    return subprocess.Popen(words, text=True, env=environment, **options)


def end(process: subprocess.Popen) -> str:
    """Returns how a process ends, in a few words."""
    _, errors = process.communicate()
    status = f"status {process.returncode}"
    if "Traceback" in errors:
        return f"{status}, TRACEBACK: {errors.splitlines()[-1]}"
    return f"{status}, {counted(len(errors.splitlines()), 'line')} on stderr" if errors else status


def run(program: str, flags: str, *more: object, **options: Any) -> str:
    """Runs one of the programs to its end; takes what `start` takes."""
    return end(start(program, flags, *more, **options))


# ---------------------------------------------------------------- what is compared


@functools.cache
def undisturbed(backend: str) -> bytes:
    """Returns the weights of a run that gets nothing unusual."""
    with tempfile.TemporaryDirectory() as folder:
        run(PROGRAM, SHORT, "--out", folder, variables={"KERAS_BACKEND": backend})
        return weights(Path(folder)).read_bytes()


def weights(folder: Path) -> Path:
    """Returns the path of a run's weights."""
    return folder / f"{GAME}_weights.h5"


def trained(folder: Path, name: str = "run", **options: Any) -> str:
    """Trains, and compares with the undisturbed run; takes what `start` takes."""
    result = run(PROGRAM, SHORT, "--out", folder / name, **options)
    backend = options.get("variables", {}).get("KERAS_BACKEND", "tensorflow")
    path = weights(folder / name)
    same = path.exists() and path.read_bytes() == undisturbed(backend)
    return f"{result}{SAME if same else ', ANOTHER RESULT'}"


def plotted(folder: Path, **options: Any) -> str:
    """Draws a picture, and compares with an undisturbed one; takes what `start` takes."""
    result = run(PLOTTER, PLOT, "--out", folder / "picture.png", **options)
    run(PLOTTER, PLOT, "--out", folder / "undisturbed.png")
    pictures = [folder / "picture.png", folder / "undisturbed.png"]
    same = pictures[0].exists() and len({path.read_bytes() for path in pictures}) == 1
    return f"{result}{SAME if same else ', ANOTHER RESULT'}"


# ---------------------------------------------------------------- what happens to a process


def without_reader(see: Callable[..., str], *arguments: Any) -> str:
    """Does something with a standard output that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    result = see(*arguments, stdout=writer)
    os.close(writer)
    return result


def on_a_full_disk(see: Callable[..., str], *arguments: Any) -> str:
    """Does something with a standard output that takes nothing."""
    with open("/dev/full", "w") as full:
        return see(*arguments, stdout=full)


def files(folder: Path, **contents: str | bytes) -> str:
    """Writes files into a folder, their names with `_` for `.`, and returns the folder's path."""
    for name, content in contents.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(folder)


def keras_json(folder: Path, **settings: object) -> dict[str, str]:
    """Writes a `keras.json` and returns the variables that have Keras read it."""
    return {"KERAS_HOME": files(folder, keras_json=json.dumps(settings))}


def without_temporary_files(folder: Path) -> dict[str, str]:
    """Returns the variables of a process that has no folder for temporary files, nor a home."""
    return {"PYTHONPATH": files(folder, sitecustomize_py=SITE), "MPLCONFIGDIR": os.devnull}


def set_hang_up(ignored: bool) -> None:
    """Has a hang-up ignored from here on, or not, whatever this process got from its own parent."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)


def hung_up(folder: Path, ignored: bool) -> str:
    """Hangs up a run in training, and ends it by SIGTERM if it ignores that."""
    process = start(
        PROGRAM, TRAIN, "--out", folder, stdout=subprocess.PIPE,
        preexec_fn=lambda: set_hang_up(ignored),
    )  # fmt: skip
    assert process.stdout
    next(line for line in process.stdout if "training: from step" in line)
    process.send_signal(signal.SIGHUP)
    if ignored:
        process.send_signal(signal.SIGTERM)
    return f"{end(process)}{saved(folder)}"


def saved(folder: Path) -> str:
    """Returns whether a run has left weights and a checkpoint."""
    checkpoints = folder / f"{GAME}_checkpoint"
    whole = weights(folder).exists() and checkpoints.is_dir() and any(checkpoints.iterdir())
    return SAVED if whole else ", NOT SAVED"


def stopped(number: int, folder: Path) -> str:
    """Stops a recording by a signal, and says whether it leaves something half written."""
    weights(folder).write_bytes(undisturbed("tensorflow"))
    videos = folder / "videos"
    process = start(
        PROGRAM, PLAY, "--out", folder, "--record", videos,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    while process.poll() is None and not any(videos.glob("*")):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    process.send_signal(number)
    result = end(process)
    return f"{result}{', HALF WRITTEN' if any(videos.glob('.*')) else ''}"


def in_a_terminal(
    size: tuple[int, int], flags: str, folder: Path, ignored: bool = False
) -> tuple[str, str]:
    """Runs the program in a terminal, and closes that when training begins.

    Args:
        size: of the terminal, in lines and columns.
        flags: separated by spaces.
        folder: of the run.
        ignored: whether the run ignores that it is hung up.

    Returns:
        How it has ended, with its errors in a pipe, and what the terminal has shown.
    """

    def take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        set_hang_up(ignored)

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, size)
    process = start(
        PROGRAM, flags, "--out", folder, stdin=theirs, stdout=theirs, start_new_session=True,
        preexec_fn=take_terminal,
    )  # fmt: skip
    os.close(theirs)
    shown = ""
    while "training:" not in shown:
        shown += os.read(ours, 65536).decode()
    os.close(ours)
    return end(process), shown


def closed_terminal(folder: Path, ignored: bool) -> str:
    """Closes the terminal of a run, which ends by itself if it ignores that."""
    flags = f"{TRAIN} -st 800" if ignored else TRAIN
    result, _ = in_a_terminal((24, 80), flags, folder, ignored)
    return f"{result}{saved(folder)}"


def terminal_of_no_size(folder: Path) -> str:
    """Looks at what a terminal of 0 columns is shown."""
    _, shown = in_a_terminal((0, 0), TRAIN, folder)
    return "plain lines" if "pretraining at random: from step 0" in shown else "NOTHING"


def full_pipe(_: Path) -> str:
    """Reads late what is printed into a pipe that does not block."""
    process = start(
        PROGRAM, "-h", stdout=subprocess.PIPE, preexec_fn=lambda: os.set_blocking(1, False)
    )  # fmt: skip
    assert process.stdout
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    whole = subprocess.run(
        [sys.executable, str(ROOT / PROGRAM), "-h"], capture_output=True, text=True, check=True
    ).stdout
    text, errors = process.communicate()
    return "all of it" if (text, errors) == (whole, "") else f"{len(text)} letters, {errors}"


def printed(encoding: str, flags: str, text: str) -> str:
    """Returns whether a text is among what the program prints in an encoding."""
    process = start(
        PROGRAM, flags, stdout=subprocess.PIPE, encoding=encoding,
        variables={"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    output, errors = process.communicate()
    return "readable" if text in output else f"NOT READABLE: {errors}"


def last_words(folder: Path) -> str:
    """Returns what is seen of a library that aborts."""
    process = start(
        PROGRAM, EVALUATE, variables={"PYTHONPATH": files(folder, keras_py=ABORT)}
    )  # fmt: skip
    _, errors = process.communicate()
    return f"status {process.returncode}, {errors.strip()!r}"


def gone_folder(folder: Path) -> str:
    """Starts the program in a folder that is removed."""
    return run(PROGRAM, "-h", cwd=folder, preexec_fn=folder.rmdir)


JAX = {"KERAS_BACKEND": "jax"}
FOR_DEVELOPERS = {"JAX_ENABLE_X64": "1", "JAX_NUMPY_RANK_PROMOTION": "raise"}
NOTEBOOK = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
BROKEN = "raise AttributeError('np.float')"

CASES = [
    # What a process inherits.
    Case("SIGHUP, in training", f"status 129{SAVED}", lambda at: hung_up(at, ignored=False)),
    Case("SIGHUP under nohup", f"status 143{SAVED}", lambda at: hung_up(at, ignored=True)),
    Case("SIGINT, while recording", "status 130", lambda at: stopped(signal.SIGINT, at)),
    Case("SIGTERM, while recording", "status 143", lambda at: stopped(signal.SIGTERM, at)),
    Case("SIGHUP, while recording", "status 129", lambda at: stopped(signal.SIGHUP, at)),
    Case(
        "a terminal that closes",
        f"status 129, 1 line on stderr{SAVED}",
        lambda at: closed_terminal(at, ignored=False),
    ),
    Case(
        "a terminal that closes under nohup",
        f"{TOLD}{SAVED}",
        lambda at: closed_terminal(at, ignored=True),
    ),
    Case("output on a full disk", f"{TOLD}{SAME}", lambda at: on_a_full_disk(trained, at)),
    Case("output nobody reads", f"{TOLD}{SAME}", lambda at: without_reader(trained, at)),
    Case(
        "output closed",
        f"{TOLD}{SAME}",
        lambda at: trained(at, stdout=None, preexec_fn=lambda: os.close(1)),
    ),
    Case("-h that nobody reads", QUIET, lambda _: without_reader(run, PROGRAM, "-h")),
    Case("presets nobody reads", QUIET, lambda _: without_reader(run, PROGRAM, "--list-presets")),
    Case("plotter nobody reads", f"{QUIET}{SAME}", lambda at: without_reader(plotted, at)),
    Case("scores on a full disk", REFUSED, lambda _: on_a_full_disk(run, PROGRAM, EVALUATE)),
    Case("a pipe that does not block", "all of it", full_pipe),
    Case("-h in cp1251", "readable", lambda _: printed("cp1251", "-h", "84x84")),
    Case("scores in ASCII", "readable", lambda _: printed("ascii", EVALUATE, "95% interval")),
    Case("a path that is no UTF-8", f"{QUIET}{SAME}", lambda at: trained(at, "r\udcff")),
    Case(
        "keras.json: channels first",
        f"{QUIET}{SAME}",
        lambda at: trained(at, variables=keras_json(at, image_data_format="channels_first")),
    ),
    Case(
        "keras.json: float64",
        f"{QUIET}{SAME}",
        lambda at: trained(at, variables=keras_json(at, floatx="float64", epsilon=0.1)),
    ),
    Case(
        "keras.json: torch",
        REFUSED,
        lambda at: run(PROGRAM, EVALUATE, variables=keras_json(at, backend="torch")),
    ),
    Case(
        "KERAS_BACKEND=theano",
        REFUSED,
        lambda _: run(PROGRAM, EVALUATE, variables={"KERAS_BACKEND": "theano"}),
    ),
    Case(
        "JAX_PLATFORMS=cuda without one",
        REFUSED,
        lambda _: run(PROGRAM, EVALUATE, variables={**JAX, "JAX_PLATFORMS": "cuda"}),
    ),
    Case(
        "JAX's switches for developers",
        f"{QUIET}{SAME}",
        lambda at: trained(at, variables={**JAX, **FOR_DEVELOPERS}),
    ),
    Case("a notebook's MPLBACKEND", f"{QUIET}{SAME}", lambda at: plotted(at, variables=NOTEBOOK)),
    Case(
        "a matplotlibrc",
        f"{QUIET}{SAME}",
        lambda at: plotted(at, cwd=files(at, matplotlibrc=b"text.usetex: True # \xff")),
    ),
    Case("a terminal of 0x0", "plain lines", terminal_of_no_size),
    Case("no libraries", REFUSED, lambda _: run(PROGRAM, "-h", python="-S")),
    Case(
        "a broken library",
        REFUSED,
        lambda at: run(
            PROGRAM, EVALUATE, variables={"PYTHONPATH": files(at, tensorflow_py=BROKEN)}
        ),
    ),
    Case("a library that aborts", "status -6, 'no AVX'", last_words),
    Case(
        "no temporary files: a run",
        f"{QUIET}{SAME}",
        lambda at: trained(at, variables=without_temporary_files(at)),
    ),
    Case(
        "no temporary files: a picture",
        f"{QUIET}{SAME}",
        lambda at: plotted(at, variables=without_temporary_files(at)),
    ),
    Case("Python's -OO", f"{QUIET}{SAME}", lambda at: trained(at, python="-OO")),
    Case(
        "PYTHONWARNINGS=error",
        f"{QUIET}{SAME}",
        lambda at: trained(at, variables={"PYTHONWARNINGS": "error"}),
    ),
    Case(
        "TQDM_MININTERVAL that is no number",
        QUIET,
        lambda _: run(PROGRAM, "-h", variables={"TQDM_MININTERVAL": "often"}),
    ),
    Case("a folder that is gone", REFUSED, gone_folder),
]


def table(folder: Path, cases: Sequence[Case]) -> str:
    """Tries cases, and prints a row of a table for each; returns how many were right."""
    print("| case | right | result |\n| --- | --- | --- |")
    right = 0
    for number, case in enumerate(cases):
        place = folder / f"case {number}"
        place.mkdir()
        result = case.see(place)
        right += result == case.right
        wrong = "" if result == case.right else " **WRONG**"
        print(f"| {case.name} | {case.right} | {result}{wrong} |", flush=True)
    return f"{right} of {len(cases)} cases right"
