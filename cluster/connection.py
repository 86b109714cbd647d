"""Ray: started for this process alone, or joined where it runs; ended as it was found.

    with connected("local"):             # a cluster of this machine's cores, on loopback only
        check_room(4, cpus=1)
        ...                              # ray.remote, ray.get
    with connected("10.0.0.1:6379"):     # one that `ray start` has started
        ...

Ray is imported here when it is asked for and not before: most users have none, and it reads the
environment as it is loaded.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from system.console import counted
from system.cores import usable_cores
from system.errors import OneLineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOCAL = "local"
INSTALL = "pip install -r requirements-ray.txt"
SECONDS_TO_ANSWER = 5  # of each of three attempts, so that 15 s are enough to say that nobody does
OBJECT_STORE_BYTES = 200 << 20  # of a cluster of our own; what goes through it is small
LOOPBACK = "127.0.0.1"
TRIES = 3  # to start a cluster of our own

# What Ray reads as it is loaded and started. It prints what befalls workers, which is ours to say.
QUIET = {
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
# Without them Ray tries for minutes, and looks for itself on this machine for one.
IMPATIENT = {
    "RAY_gcs_rpc_server_connect_timeout_s": str(SECONDS_TO_ANSWER // 2),
    "RAY_py_gcs_connect_timeout_s": str(SECONDS_TO_ANSWER),
    "RAY_gcs_server_port_wait_time_s": "1",
    "RAY_gcs_server_request_timeout_seconds": "15",
}
# On Linux Ray takes an address of the network in place of loopback, but for this variable.
ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


class ClusterError(OneLineError):
    """Ray cannot be used, or not for this, said in one line."""


def check_installed() -> None:
    """Raises ClusterError where there is no Ray. It loads nothing."""
    if not find_spec("ray"):
        raise ClusterError(f"Ray is not installed: {INSTALL}")


@contextmanager
def connected(
    address: str, cpus: int | None = None, object_store: int = OBJECT_STORE_BYTES
) -> Iterator[None]:
    """Starts Ray or joins it; at the end all that was started is ended, and nothing else.

    Args:
        address: "local", or where a cluster answers: HOST:PORT, or "auto" for that of this machine.
        cpus: of a local cluster, by default the cores that this process may use.
        object_store: bytes of a local cluster's object store.

    Raises:
        ClusterError: there is no Ray, nobody answers at the address, or another version does.
    """
    check_installed()
    if address == LOCAL:
        joined = _started(cpus or usable_cores(), object_store)
    else:
        joined = _attached(address)
    with joined:
        yield


@contextmanager
def _started(cpus: int, object_store: int) -> Iterator[None]:
    """Starts a cluster of this machine alone, which ends with this process at the latest."""
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        _variables({**QUIET, **ON_LOOPBACK, **_token()}),
    ):
        options = {
            "num_cpus": cpus,
            "include_dashboard": False,
            "object_store_memory": object_store,
            "_node_ip_address": LOOPBACK,
            "_temp_dir": folder,
        }
        try:
            with _initialized(LOCAL, options, "Ray cannot be started on this machine"):
                import ray

                [node] = ray.nodes()
                # As where another part of this process had loaded Ray before.
                if node["NodeManagerAddress"] != LOOPBACK:
                    raise ClusterError(
                        f"Ray listens on {node['NodeManagerAddress']}, not on loopback"
                    )
                yield
        finally:
            _end_those_of(folder)


def _end_those_of(folder: str) -> None:
    """Ends what a start that has failed leaves behind: processes of ours that name its folder."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(folder in word for word in child.cmdline()):
                child.kill()


@cache
def _token() -> dict[str, str]:
    """Returns what lets processes that this one starts be served; Ray reads it once.

    Other users of this machine reach loopback too. In the environment a token leaves no file.
    """
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextmanager
def _attached(address: str) -> Iterator[None]:
    """Joins a cluster that runs."""
    if address != "auto":
        _check_answers(address)
    problem = f"--ray {address}: it cannot be joined"
    with _variables({**QUIET, **IMPATIENT}), _initialized(address, {}, problem):
        yield


def _check_answers(address: str) -> None:
    """Raises ClusterError where an address is none, or nobody listens there."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ClusterError(f"--ray {address}: give {LOCAL}, auto, or HOST:PORT of a cluster's head")
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise ClusterError(
            f"--ray {address}: nobody answers ({error.strerror or error}): start a cluster with "
            "`ray start --head`, or give --ray local"
        ) from None


@contextmanager
def _initialized(address: str, options: Mapping[str, Any], problem: str) -> Iterator[None]:
    """Calls `ray.init`, and `ray.shutdown` at the end.

    Raises:
        ClusterError: it fails; it begins with `problem`.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    import ray

    try:
        _init(address, options)
    except Exception as error:
        raise ClusterError(f"{problem}: {_reason(error)}") from error
    finally:
        # Ray puts its own in place, which ends the process at once.
        if in_main_thread:
            signal.signal(signal.SIGTERM, handler)
    # It prints a paragraph on each process that dies, which those who start some tell in a line.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        ray.shutdown()


def _init(address: str, options: Mapping[str, Any]) -> None:
    """Calls `ray.init`, again where the machine was too busy for the 30 s that it waits."""
    import ray

    for tries_left in reversed(range(TRIES)):
        try:
            with _without_stderr():
                ray.init(address, log_to_driver=False, logging_level="ERROR", **options)
            return
        except Exception as error:
            ray.shutdown()
            if not tries_left or "timed out during startup" not in str(error):
                raise


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Drops what is written to stderr: Ray's libraries tell there of each attempt to connect."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _reason(error: BaseException) -> str:
    """Returns in one line why Ray could not be started or joined."""
    text = "\n".join(map(str, _chain(error)))
    if "Version mismatch" in text:
        theirs, ours = re.findall(r"Ray: (\S+)\s+Python: (\S+)", text)[:2]
        return (
            f"it has Ray {theirs[0]} on Python {theirs[1]}, and here are Ray {ours[0]} on Python "
            f"{ours[1]}: all machines need the same"
        )
    if "uthentication" in text or "AuthToken" in text:
        return (
            "it asks for a token: set RAY_AUTH_MODE=token, and copy ~/.ray/auth_token from its "
            "head, or set RAY_AUTH_TOKEN"
        )
    if "No node info found" in text or "Can't find" in text:
        return "this machine is no node of it: run `ray start --address=HOST:PORT` here first"
    if "Failed to connect" in text or "not find any running" in text:
        return "nobody answers: start a cluster with `ray start --head`, or give --ray local"
    return " ".join(str(error).split()) or type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and those that it came of."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables, and sets them back at the end."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def check_room(count: int, cpus: float, gpus: float = 0, what: str = "") -> None:
    """Checks that the cluster has room for so many processes at the same time.

    Args:
        count: how many.
        cpus: that each of them needs, all on one machine.
        gpus: likewise; a share of one may be below 1.
        what: is asked for, for the error.

    Raises:
        ClusterError: there is less, which it tells.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(min(_times(node, "CPU", cpus), _times(node, "GPU", gpus)) for node in nodes)
    if room < count:
        cores = sum(int(node.get("CPU", 0)) for node in nodes)
        gpu_count = sum(int(node.get("GPU", 0)) for node in nodes)
        most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
        there = f"{counted(cores, 'core')} and {counted(gpu_count, 'GPU')}"
        if len(nodes) > 1:
            there += f" on {len(nodes)} machines, at most {counted(most, 'core')} on one"
        raise ClusterError(f"{what}: the cluster has room for {room or 'none'}: it has {there}")


def most_cores() -> int:
    """Returns the cores of the cluster's largest machine, at least 1."""
    import ray

    return max(
        [1, *(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])]
    )


def _times(node: Mapping[str, float], name: str, amount: float) -> int:
    """Returns how many times a node has so much of a resource."""
    return int(node.get(name, 0) / amount + 1e-6) if amount else sys.maxsize
