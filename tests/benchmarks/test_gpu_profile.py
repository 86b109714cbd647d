"""Which kernels of a trace took most time."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu_profile import Kernel, dearest

GPU, HOST = 1, 2
STREAM, MODULES, THREAD = 10, 11, 12


def named(kind: str, name: str, pid: int, **thread: int) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": pid, **thread, "args": {"name": name}}


def ran(name: str, pid: int, tid: int, duration: float, **more: Any) -> dict[str, Any]:
    return {"ph": "X", "name": name, "pid": pid, "tid": tid, "dur": duration, **more}


ON_HOST = [
    named("process_name", "/host:CPU", HOST),
    named("thread_name", "python", HOST, tid=THREAD),
    ran("a call", HOST, THREAD, 900.0),
    ran("dot.1", HOST, THREAD, 6.0, args={"hlo_op": "dot.1"}),
    ran("add.2", HOST, THREAD, 2.0, args={"hlo_op": "add.2"}),
    {},
]
ON_GPU = [
    named("process_name", "/device:GPU:0", GPU),
    named("thread_name", "Stream #16(Compute)", GPU, tid=STREAM),
    named("thread_name", "XLA Modules", GPU, tid=MODULES),
    ran("jit_updates", GPU, MODULES, 500.0),
    ran("gemm", GPU, STREAM, 20.0),
    ran("conv", GPU, STREAM, 30.0),
    ran("gemm", GPU, STREAM, 40.0),
    ran("copy", GPU, STREAM, 10.0),
]


def test_kernels_of_a_gpu_are_what_ran_in_its_streams() -> None:
    for events in (ON_HOST + ON_GPU, ON_GPU + ON_HOST):
        assert dearest(events, 2) == [Kernel("gemm", 0.6, 2, 30.0), Kernel("conv", 0.3, 1, 30.0)]


def test_kernels_of_a_processor_are_operations_of_xla() -> None:
    assert dearest(ON_HOST, 5) == [Kernel("dot.1", 0.75, 1, 6.0), Kernel("add.2", 0.25, 1, 2.0)]


def test_a_trace_without_kernels_has_none() -> None:
    assert dearest(ON_HOST[:3], 5) == []
