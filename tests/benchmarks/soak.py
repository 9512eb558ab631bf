"""`make soak`: 200 partitions while every fifth request and job goes wrong, seeded; and the same without faults.

Passes when every PUB has its result exactly once, no duplicate job is left running, and the merged result is the same.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Any

from qiskit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.executor_sampler import Sampler

import qmode_widgets as qmode
from qmode_widgets.errors import ServiceError, UnreachableError
from qmode_widgets.model.snapshot import JobState

PARTITIONS, PROBABILITY, SEED = int(os.environ.get("PARTITIONS", 200)), 0.2, 7
QUBITS = 8  # PUB i prepares the bits of i: its result says without noise which PUB it was


def circuits(backend: Any) -> list[Any]:
    """One ISA circuit a partition, each with an outcome of its own."""
    made = []
    for i in range(PARTITIONS):
        circuit = QuantumCircuit(QUBITS)
        for bit in range(QUBITS):
            if i >> bit & 1:
                circuit.x(bit)
        circuit.measure_all()
        made.append(circuit)
    return list(generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=1).run(made))


def outcomes(result: Any) -> list[dict[int, int]]:
    """Counts of each PUB, by the number its bits spell."""
    return [pub.data.meas.get_int_counts() for pub in result]


def insist(work: Any) -> Any:
    """A user who tries again when the service did not answer."""
    while True:
        try:
            return work()
        except (ServiceError, UnreachableError, qmode.QmodeError) as error:
            print(f"  again after: {error}", file=sys.stderr)


def carry_out(emulator: Any, probability: float) -> tuple[list[dict[int, int]], dict[str, Any]]:
    """Submit, repair and merge; with what was seen on the way."""
    backend = emulator.service.least_busy()
    pubs = circuits(backend)
    batch = qmode.BatchController.open(backend)
    batch._runtime.submitter.pace = 0.05
    sampler = Sampler(mode=batch.mode)
    sampler.options.default_shots = 64
    emulator.faults.soak(probability)
    run = batch.submit(sampler, pubs, partitions=PARTITIONS)
    rounds = 0
    while True:
        batch.wait()
        if all(j.state is JobState.DONE for j in run.jobs):
            break
        rounds += 1
        insist(batch.resubmit_failed)
    result = insist(run.result)
    emulator.faults.soak(0)
    emulator.faults.clear()
    jobs = emulator.service.jobs(session_id=batch.workload_id, limit=None)
    keys = Counter(
        next(t for t in job.tags if t.startswith("qmode:") and t.count(".") == 2)
        for job in jobs
        if job.status() in ("DONE", "QUEUED", "RUNNING")
    )
    reported = sum("duplicate" in e.text for e in batch.events)
    doubted = sum(r.doubted is not None for r in batch._ledger.records.values())
    batch.cancel_workload()
    seen = {
        "jobs on the service": len(jobs),
        "rounds of resubmission": rounds,
        "answers lost": doubted,
        "partitions that ran twice": sum(n > 1 for n in keys.values()),
        "duplicates reported": reported,
    }
    return outcomes(result), seen


def main() -> int:
    """Both runs, compared."""
    with qmode.emulator.start(shared=False, speed=float("inf"), seed=SEED) as emulator:
        plain, _ = carry_out(emulator, 0.0)
        shaken, seen = carry_out(emulator, PROBABILITY)
    for what, number in seen.items():
        print(f"{what}: {number}")
    right = [{i: 64} for i in range(PARTITIONS)]
    same = plain == shaken == right
    once = seen["partitions that ran twice"] == 0
    print(f"same result as without faults: {same}; every partition once: {once}")
    return 0 if same and once else 1


if __name__ == "__main__":
    sys.exit(main())
