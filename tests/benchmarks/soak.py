"""`make soak`: thousands of submissions while every fifth request goes wrong and listings are a minute late.

24 batches submit through a proxy that loses answers, hangs, trickles, truncates, answers HTML, errors, 401s, 429s and
JSON of the wrong shape, and that hides new jobs from every listing for 60 s. One in ten jobs fails with a transient
error and is run again by the retry policy. Then the service itself is asked, without the proxy, what really ran.

All times are scaled by SCALE: with 0.1 a lag of 60 s is 6 s, a look-up of 90 s is 9 s, a deadline of 30 s is 3 s;
so are pauses and paces. A submission that was refused because several answers to it were lost is sent again, as its
user would. All zeros from "lost" on is the goal; the exit code says whether it was met.
"""

from __future__ import annotations

import math
import os
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime import Batch
from qiskit_ibm_runtime.executor_sampler import Sampler

import qmode_widgets as qmode
from qmode_widgets.errors import UnreachableError
from qmode_widgets.ibm import client
from qmode_widgets.model.snapshot import JobState
from qmode_widgets.portal import clock, portal
from tests.peek import deadlines
from tests.proxy import Fault, Proxy

SUBMISSIONS = int(os.environ.get("SUBMISSIONS", 2_000))
PROBABILITY = float(os.environ.get("PROBABILITY", 0.2))
LATE = float(os.environ.get("LATE", 60.0))
SCALE = float(os.environ.get("SCALE", 0.1))  # a loaded machine needs more
SEED, BATCHES, SHOTS = 7, 24, 16
PATIENCE = float(os.environ.get("PATIENCE", 1800.0))  # seconds after which a wait counts as one without end
QUBITS = max(4, math.ceil(math.log2(SUBMISSIONS)))  # PUB i prepares the bits of i: its result says which PUB it was


def scale() -> None:
    """Every second of ours takes SCALE seconds: pauses and paces by the clock, deadlines of requests by themselves."""
    portal().call(clock.run, 1 / SCALE)
    client.IAM_SECONDS *= SCALE


def no_jobs(page: Any) -> Any:
    return {"jobs": None} if isinstance(page, dict) and "jobs" in page else page


def odd_usage(answer: Any) -> Any:
    if isinstance(answer, dict) and isinstance(answer.get("usage"), dict):
        answer["usage"]["qpu_charge_time_seconds"] = random.choice([-5, None, "five"])
    return answer


MANY = 10**9
KINDS = [
    Fault("drop", when="before", count=MANY),
    Fault("drop", count=MANY),
    Fault("truncate", count=MANY),
    Fault("hang", when="before", seconds=120 * SCALE, count=MANY),
    Fault("hang", seconds=120 * SCALE, count=MANY),
    Fault("trickle", seconds=0.05, count=MANY),
    Fault("delay", seconds=0.3, count=MANY),
    Fault("html", status=502, when="before", count=MANY),
    Fault("html", status=504, count=MANY),
    Fault("html", status=200, count=MANY),
    Fault("status", status=500, count=MANY),
    Fault("status", status=503, when="before", count=MANY),
    Fault("status", status=429, when="before", retry_after="1", count=MANY),
    Fault("status", status=429, when="before", method="GET", retry_after="86400", path="/jobs", count=5),
    Fault("status", status=401, when="before", path="/(jobs|sessions|instances).*", count=MANY),
    Fault("edit", "GET", "/jobs", edit=no_jobs, count=MANY),
    Fault("edit", "GET", "/jobs/[^/]+/metrics", edit=odd_usage, count=MANY),
]


def circuit(backend: Any) -> QuantumCircuit:
    """An ISA circuit that turns each qubit by a parameter."""
    angles = ParameterVector("a", QUBITS)
    made = QuantumCircuit(QUBITS)
    for qubit, angle in enumerate(angles):
        made.rx(angle, qubit)
    made.measure_all()
    return generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1).run(made)


def pub(isa: QuantumCircuit, number: int) -> tuple[QuantumCircuit, Any]:
    """Prepares the bits of `number`."""
    bits = [number >> bit & 1 for bit in range(QUBITS)]
    order = {p.name: np.pi * bit for p, bit in zip(sorted(isa.parameters, key=lambda p: p.index), bits, strict=True)}
    return isa, [order[p.name] for p in isa.parameters]


def warm(emulator: Any) -> None:
    """One plain job: a service that only starts, and imports, answers a first submission after half a minute."""
    plain = emulator.service.backend("emu_fez")
    Sampler(mode=plain).run([pub(circuit(plain), 0)], shots=SHOTS).result()


def insist(work: Any) -> Any:
    """A user who tries again when the service did not answer."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except (qmode.ServiceError, UnreachableError):
            if time.monotonic() > until:
                raise


class Worker(threading.Thread):
    """One batch: submits its share, waits, and reads the results."""

    def __init__(self, batch: Any, isa: QuantumCircuit, numbers: range) -> None:
        super().__init__(daemon=True)
        self.batch, self.isa, self.numbers = batch, isa, numbers
        self.endless = self.wrong = self.lost = self.refused = 0
        self.said: str | None = None

    def run(self) -> None:
        sampler = Sampler(mode=self.batch.primitive_mode)
        sampler.options.default_shots = SHOTS
        pubs = [pub(self.isa, n) for n in self.numbers]
        run = self.batch.submit(sampler, pubs, partitions=len(pubs))
        while run.wait(PATIENCE):
            refused = [j for j in run.jobs if "resubmit() sends it again" in (j.note or "")]
            if not refused:
                break
            self.refused += len(refused)
            insist(self.batch.resubmit_failed)  # as its user would
        self.endless = sum(not j.state.final for j in run.jobs)
        states = Counter(j.state for j in run.jobs)
        if set(states) != {JobState.DONE}:
            self.said = (
                str(dict(states))
                + " "
                + "; ".join(str(j.note or j.reason) for j in run.jobs if j.state is not JobState.DONE)[:300]
            )
        partial = insist(run.partial_result)
        self.lost = len(pubs) - len(partial.pubs)
        if self.lost:
            self.said = f"{self.said or ''} {dict(partial.why)}"
        for i, number in enumerate(self.numbers):
            if i in partial.pubs and partial.pubs[i].data.meas.get_int_counts() != {number: SHOTS}:
                self.wrong += 1


def truth(emulator: Any, workload: str) -> Counter[str]:
    """How often each attempt really ran, by the service's own list."""
    jobs = emulator.service.jobs(session_id=workload, limit=None)
    return Counter(
        next(t for t in job.tags if t.startswith("qmode:") and t.count(".") == 2)
        for job in jobs
        if job.status() in ("DONE", "RUNNING", "QUEUED")
    )


def main() -> int:
    """Run it and print the table."""
    began = time.monotonic()
    with (
        qmode.emulator.start(shared=False, speed=float("inf"), seed=SEED) as emulator,
        Proxy(emulator.url, seed=SEED) as proxy,
    ):
        service = proxy.connect(emulator)
        backend = service.backend("emu_fez")
        isa = circuit(backend)
        warm(emulator)
        scale()
        shares = [range(*(round(SUBMISSIONS * k / BATCHES) for k in (i, i + 1))) for i in range(BATCHES)]
        batches = [qmode.BatchController(Batch(backend), retries=5) for _ in shares]
        deadlines(batches[0], small=30.0 * SCALE, large=30.0 * SCALE)  # of all: they share the instance's link
        emulator.faults.fail_jobs(SUBMISSIONS // 10)
        proxy.lag = LATE * SCALE
        proxy.by_chance(PROBABILITY, KINDS)
        workers = [Worker(b, isa, share) for b, share in zip(batches, shares, strict=True)]
        for worker in workers:
            worker.start()
        while any(w.is_alive() for w in workers):
            workers[0].join(30.0 if workers[0].is_alive() else 0.0)
            time.sleep(1.0)
            jobs = [j for b in batches for j in b.jobs if not j.superseded]
            done = Counter(j.state.name for j in jobs)
            print(f"  {time.monotonic() - began:.0f} s: {dict(done)}", file=sys.stderr, flush=True)
        requests, met = sum(proxy.seen.values()), sum(proxy.faults.values())
        proxy.clear()
        deadlines(batches[0], small=30.0, large=30.0)
        for batch in batches:  # what came late is found and reported
            insist(batch.refresh)
        time.sleep(130 * SCALE)
        for batch in batches:
            insist(batch.refresh)
        doubled = unsaid = 0
        for batch in batches:
            twice = sum(n - 1 for n in truth(emulator, batch.workload_id).values())
            said = sum("duplicate" in e.text for e in batch.events)
            doubled += twice
            unsaid += max(0, twice - said)
        for batch in batches:
            for event in batch.events:
                if "duplicate" in event.text:
                    print(f"  {event.text}", file=sys.stderr)
        table = {
            "submissions": SUBMISSIONS,
            "faults": f"{met} of {requests} requests",
            "lost answers": sum("the answer was lost" in e.text for b in batches for e in b.events),
            "refused after several": sum(w.refused for w in workers),
            "lost": sum(w.lost for w in workers),
            "doubled": doubled,
            "doubled and not reported": unsaid,
            "wrong": sum(w.wrong for w in workers),
            "waits without end": sum(w.endless for w in workers),
            "seconds": round(time.monotonic() - began),
        }
        for worker in workers:
            if worker.said:
                print(f"  {worker.batch.id}: {worker.said}", file=sys.stderr)
        for batch in batches:
            insist(batch.end)
    for what, number in table.items():
        print(f"{what:>25}  {number}")
    print(dict(sorted(proxy.faults.items())))
    return (
        0
        if not any(table[w] for w in ("lost", "doubled", "doubled and not reported", "wrong", "waits without end"))
        else 1
    )


if __name__ == "__main__":
    sys.exit(main())
