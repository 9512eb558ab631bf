"""What adoption costs: tiny jobs in a row, submitted and waited for by the client's own objects, plainly and
adopted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench_control import Row, prepared
from qiskit_ibm_runtime import Session
from qiskit_ibm_runtime.executor_sampler import Sampler

import qmode_widgets as qmode

JOBS, ROUNDS = 12, 7


def in_a_row(run: Callable[[], Any]) -> float:
    """Seconds a job: submitted, waited for, and then the next one. The first one makes the session active."""
    run()
    begun = time.perf_counter()
    for _ in range(JOBS):
        run()
    return (time.perf_counter() - begun) / JOBS


def plainly(backend: Any, circuit: Any) -> float:
    """The client alone."""
    with Session(backend) as session:
        sampler = Sampler(mode=session)
        return in_a_row(lambda: sampler.run([circuit], shots=10).result())


def adopted(backend: Any, circuit: Any) -> float:
    """The same lines, with the session taken over."""
    with Session(backend) as session:
        qmode.SessionController(session)
        sampler = Sampler(mode=session)
        return in_a_row(lambda: sampler.run([circuit], shots=10).result())


def submitted(backend: Any, circuit: Any) -> float:
    """The controller's own way."""
    with qmode.SessionController.open(backend) as session:
        sampler = session.sampler()
        return in_a_row(lambda: session.submit(sampler, [circuit], partitions=1, shots=10).result())


def run() -> list[Row]:
    """Medians of rounds in which the ways take turns, one session at a time: the machine's load changes meanwhile."""
    with qmode.emulator.start(shared=False, speed=float("inf")) as emulator:
        backend = emulator.service.backend("emu_fez")
        circuit = prepared(backend)
        plainly(backend, circuit)  # the simulation's workers start
        times = [[way(backend, circuit) for way in (plainly, adopted, submitted)] for _ in range(ROUNDS)]
    a, b, own = (sorted(t[i] for t in times)[ROUNDS // 2] for i in range(3))
    return [
        (
            f"{JOBS} tiny jobs in a row, adopted {b * 1e3:.0f} ms a job / plainly {a * 1e3:.0f} ms",
            f"{b / a - 1:+.1%}",
            "< 5 %",
        ),
        ("submit().result() in an active session, a step", f"{own * 1e3:.0f} ms", "≤ 300 ms"),
    ]
