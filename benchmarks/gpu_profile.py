"""What a GPU, or another device that JAX computes on, has done: kernels in a trace of JAX's."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Kernel(NamedTuple):
    """All runs of one kernel in a trace."""

    name: str
    share: float  # of the time of all kernels
    runs: int
    microseconds: float  # of one run, in the mean


@contextmanager
def traced() -> Iterator[list[Mapping[str, Any]]]:
    """Traces what JAX does in this context; the events are in the list that it gives afterwards."""
    import jax

    events: list[Mapping[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            yield events
        # In the Trace Event Format of Chrome's viewer.
        for path in Path(folder).rglob("*.trace.json.gz"):
            events += json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]


def dearest(events: Iterable[Mapping[str, Any]], count: int) -> list[Kernel]:
    """Returns the kernels that took most time, the dearest first.

    On a GPU a kernel is what ran in a stream of the device. The trace also has lines that sum up
    others, such as "XLA Modules". On a processor, which has no streams, it is an operation of XLA.

    Args:
        events: of a trace, `ts` and `dur` in microseconds.
        count: of kernels to return, at most.
    """
    events = [*events]
    names = {
        (event["name"], event["pid"], event.get("tid")): event["args"]["name"]
        for event in events
        if event.get("ph") == "M" and event["name"] in ("process_name", "thread_name")
    }

    def is_in_stream(event: Mapping[str, Any]) -> bool:
        process = names.get(("process_name", event["pid"], None), "")
        thread = names.get(("thread_name", event["pid"], event["tid"]), "")
        return process.startswith("/device:") and thread.startswith("Stream")

    timed = [event for event in events if event.get("ph") == "X"]
    kernels = [event for event in timed if is_in_stream(event)]
    kernels = kernels or [event for event in timed if "hlo_op" in event.get("args", {})]
    durations: dict[str, list[float]] = defaultdict(list)
    for event in kernels:
        durations[event["name"]].append(event.get("dur", 0.0))
    whole = sum(map(sum, durations.values())) or 1.0
    found = [
        Kernel(name, sum(each) / whole, len(each), sum(each) / len(each))
        for name, each in durations.items()
    ]
    return sorted(found, key=lambda kernel: -kernel.share)[:count]
