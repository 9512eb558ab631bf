"""Sixteen workloads as published: what a plan bills, against the naive way of a job for each circuit.

python tests/benchmarks/workloads.py     # the table

The sizes (circuits, shots, options) are like those of IBM's tutorials and of public repositories, in tests/data; the
circuits are small stand-ins of the same kind, so the lengths are not theirs. Bills are estimates on a fake Heron,
nothing is run. Naive: every circuit after broadcasting (parameter sets, and an Estimator's measurement bases) is a job
of its own, in job mode; of a variational algorithm every iteration.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.fake_provider import FakeFez

from qmode_widgets.planning.durations import billed, duration
from qmode_widgets.planning.forecast import Conditions, forecast
from qmode_widgets.planning.plan import Plan, plan
from qmode_widgets.planning.usage import job_usage

QUEUE = 600.0  # seconds of one passage through the queue
BACKEND = FakeFez()
RANDOM = np.random.default_rng(12)


@dataclass(frozen=True)
class Workload:
    """PUBs with their primitive and options; how often they are repeated; how many circuits a naive user sends."""

    name: str
    pubs: list[Any]
    primitive: str = "sampler"
    options: Mapping[str, Any] = field(default_factory=dict)
    iterations: int = 1
    classical: float = 10.0


@dataclass(frozen=True)
class Row:
    """One workload planned and done naively. Seconds."""

    name: str
    planned: Plan
    naive_jobs: int
    naive: float
    naive_end: float

    @property
    def ratio(self) -> float:
        return self.planned.bill.expected / self.naive

    @property
    def reason(self) -> str:
        """Why it is not cheaper than the naive way, as the plan itself says it."""
        if self.ratio < 1:
            return ""
        return self.planned.advice.trade or self.planned.reasons[0].text


def isa(circuit: QuantumCircuit) -> QuantumCircuit:
    layout = list(range(circuit.num_qubits))
    return generate_preset_pass_manager(1, BACKEND, initial_layout=layout, seed_transpiler=1).run(circuit)


def chain(qubits: int, layers: int = 1, *, parameters: int = 0, measured: bool = True) -> QuantumCircuit:
    """Layers of rotations and cz along a line."""
    circuit = QuantumCircuit(qubits)
    angles = [Parameter(f"a{i}") for i in range(parameters)]
    for layer in range(layers):
        for q in range(qubits):
            circuit.ry(angles[(layer * qubits + q) % parameters] if parameters else 0.3 * (q + 1), q)
        for q in range(layer % 2, qubits - 1, 2):
            circuit.cz(q, q + 1)
    if measured:
        circuit.measure_all()
    return isa(circuit)


def ghz(qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    circuit.h(0)
    for q in range(qubits - 1):
        circuit.cx(q, q + 1)
    circuit.measure_all()
    return isa(circuit)


def feed_forward(rounds: int) -> QuantumCircuit:
    circuit = QuantumCircuit(2, 1)
    for _ in range(rounds):
        circuit.sx(0)
        circuit.measure(0, 0)
        with circuit.if_test((0, 1)):
            circuit.x(1)
    circuit.measure(1, 0)
    return circuit


def laid_out(circuit: QuantumCircuit, *labels: str) -> SparsePauliOp:
    return SparsePauliOp(list(labels)).apply_layout(circuit.layout)


def sets(count: int, parameters: int = 1) -> np.ndarray[Any, Any]:
    return RANDOM.uniform(0, math.pi, (count, parameters))


def chsh() -> Workload:
    circuit = chain(2, parameters=1, measured=False)
    observables = [[laid_out(circuit, *terms)] for terms in (("ZZ", "ZX"), ("XZ", "XX"))]
    return Workload("CHSH, 21 phases", [(circuit, observables, sets(21))], "estimator")


def pea() -> Workload:
    circuit = chain(6, 12, parameters=1, measured=False)
    observables = [[laid_out(circuit, "I" * (5 - i) + "Z" + "I" * i)] for i in range(6)]
    options = {
        "resilience": {"zne_mitigation": True, "zne": {"amplifier": "pea", "noise_factors": (1, 1.3, 1.6)}},
        "twirling": {"enable_gates": True, "num_randomizations": 700, "shots_per_randomization": 64},
    }
    return Workload("PEA, kicked Ising, 12 fields", [(circuit, observables, sets(12))], "estimator", options)


def vqe() -> Workload:
    circuit = chain(4, 2, parameters=8, measured=False)
    pubs = [(circuit, laid_out(circuit, "ZZII", "IZZI", "XXII", "IIXX"), sets(1, 8)[0])]
    return Workload("VQE, 30 iterations", pubs, "estimator", {}, 30)


def qaoa() -> Workload:
    circuit = chain(6, 4, parameters=4)
    return Workload("QAOA, 50 iterations of 4,096 shots", [(circuit, sets(1, 4)[0], 4096)], iterations=50)


LIBRARY: tuple[Callable[[], Workload], ...] = (
    chsh,
    lambda: Workload("SKQD, 8 Krylov vectors", [(chain(10, 2 * d), None, 500) for d in range(1, 9)]),
    lambda: Workload("Trotter, 23 steps", [(chain(6, 2 * d), None, 8192 if d < 10 else 4096) for d in range(1, 24)]),
    lambda: Workload("GHZ, 5 to 80 qubits", [(ghz(q), None, 1000) for q in range(5, 81, 5)]),
    lambda: Workload("kernel, 4,548 overlaps", [(chain(4, 4, parameters=4), sets(4548, 4), 1024)]),
    lambda: Workload("teleportation, 54 dynamic circuits", [(feed_forward(1 + d % 3), None, 512) for d in range(54)]),
    lambda: Workload("cutting, 432 subexperiments", [(chain(4, 2, parameters=4), sets(432, 4), 4096)]),
    lambda: Workload("tomography, 324 circuits", [(chain(2, 2, parameters=4), sets(324, 4), 2048)]),
    lambda: Workload("hash, 256 messages", [(chain(8, 4, parameters=8), sets(256, 8), 1024)]),
    lambda: Workload("tiny PUBs, 100 of 16 shots", [(chain(2, 1), None, 16)] * 100),
    lambda: Workload("SQD, one ansatz circuit", [(chain(12, 8), None, 10_000)]),
    lambda: Workload("Grover, one circuit", [(chain(4, 120), None, 10_000)]),
    lambda: Workload("Shor, N = 15, one circuit", [(chain(7, 60), None, 1024)]),
    pea,
    vqe,
    qaoa,
)


def compare(workload: Workload) -> Row:
    """Planned, and a job for each circuit."""
    around: dict[str, Any] = {
        "queue_wait": QUEUE,
        "instance_plan": "premium",
        "usage_left": 1e9,
        "iterative": workload.iterations if workload.iterations > 1 else False,
        "classical": workload.classical,
    }
    planned = plan(workload.pubs, BACKEND, workload.primitive, workload.options, **around)
    work = planned.work
    circuits = [1 if workload.iterations > 1 else item.configurations for item in work.items]
    jobs = [
        job_usage(work, [(item, 1 / count)]).expected
        for item, count in zip(work.items, circuits, strict=True)
        for _ in range(count)
    ]
    given = Conditions(queue_wait=QUEUE)
    naive = forecast(jobs, "job", given, iterations=workload.iterations, classical=workload.classical, keep_bars=0)
    return Row(workload.name, planned, len(jobs) * workload.iterations, naive.usage, naive.last_result or math.nan)


def rows() -> list[Row]:
    return [compare(make()) for make in LIBRARY]


def table(found: list[Row]) -> str:
    """As Markdown."""
    lines = [
        "| workload | plan | billed | naive jobs | billed | ratio | why not cheaper |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for r in found:
        ours = r.planned
        jobs = f"{ours.mode}, {len(ours.partitions)} job" + "s" * (len(ours.partitions) > 1)
        lines.append(
            f"| {r.name} | {jobs} | {billed(ours.bill.expected)} | {r.naive_jobs:,} | {billed(r.naive)} | "
            f"{r.ratio:.2f} | {r.reason} |"
        )
    return "\n".join(lines)


def run() -> list[tuple[str, str, str]]:
    """Rows for `make bench`: what, measured, bar."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = rows()
    ratios = [r.ratio for r in found]
    out = [
        ("16 published workloads: bill planned over bill of a job a circuit, median", f"{median(ratios):.2f}", "≤ 0.3")
    ]
    for r in found:
        sooner = r.naive_end - (r.planned.forecasts[r.planned.mode].last_result or math.nan)
        how = f"{r.planned.mode}, {len(r.planned.partitions)} of {r.naive_jobs:,} jobs"
        text = f"{r.ratio:.2f} ({how}; ends {duration(max(0.0, sooner))} sooner)"
        out.append((f"  {r.name}", text, "≤ 1" if r.ratio <= 1 else r.reason))
    return out


if __name__ == "__main__":
    print(table(rows()))
