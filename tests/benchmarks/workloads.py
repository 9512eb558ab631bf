"""Twenty-eight workloads, most of them as published: what a plan bills, against three naive ways.

python tests/benchmarks/workloads.py             # the table
python tests/benchmarks/workloads.py --write     # put it into qmode_widgets/planning/README.md

The sizes (circuits, shots, options) are like those of IBM's tutorials and of public repositories, in tests/data; the
circuits are small stand-ins of the same kind, so the lengths are not theirs. Bills are estimates on a fake Heron,
nothing is run. Naive, in job mode: all PUBs in one job; a job for each PUB (the loop that people write); a job for each
circuit after broadcasting (parameter sets, and an Estimator's measurement bases). Of a variational algorithm each of
these in every step.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import qiskit
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.fake_provider import FakeFez

from qmode_widgets.planning.durations import billed, duration
from qmode_widgets.planning.forecast import Conditions, Load, forecast
from qmode_widgets.planning.limits import EXECUTIONS
from qmode_widgets.planning.plan import Plan, plan
from qmode_widgets.planning.usage import job_usage

QUEUE = 600.0  # seconds of one passage through the queue
BACKEND = FakeFez()
COMPILED = ".".join(qiskit.__version__.split(".")[:2])
README = Path(__file__).parents[2] / "qmode_widgets" / "planning" / "README.md"
BEGIN, END = "<!-- workloads: begin -->", "<!-- workloads: end -->"
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
    queue: float = QUEUE


@dataclass(frozen=True)
class Naive:
    """One naive way. Seconds; `refused` where the service would not take a job of it."""

    jobs: int
    bill: float
    end: float
    refused: bool = False


WAYS = ("one job", "a job a PUB", "a job a circuit")


@dataclass(frozen=True)
class Row:
    """One workload planned and done naively. Seconds."""

    name: str
    planned: Plan
    naive: Mapping[str, Naive]

    def ratio(self, way: str) -> float:
        """The plan's bill over that of a naive way."""
        return self.planned.bill.expected / self.naive[way].bill

    @property
    def best(self) -> Naive:
        """The cheapest naive way that the service takes."""
        return min((n for n in self.naive.values() if not n.refused), key=lambda n: n.bill)

    @property
    def over_best(self) -> float:
        return self.planned.bill.expected / self.best.bill

    @property
    def sooner(self) -> float:
        """Seconds that the last result comes sooner than in the cheapest naive way."""
        return self.best.end - (self.planned.forecasts[self.planned.mode].last_result or math.inf)

    @property
    def reason(self) -> str:
        """Why it is dearer than the cheapest naive way, as the plan itself says it."""
        return "" if self.over_best <= 1.02 else (self.planned.advice.trade or "")


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


def grid() -> Workload:
    """Twenty points of a phase diagram, each a PUB of its own."""
    circuit = chain(6, 6, parameters=2, measured=False)
    energy = laid_out(circuit, "ZZIIII", "IIZZII", "XIIIII", "IIIIIX")
    return Workload("phase diagram, 20 PUBs", [(circuit, energy, point) for point in sets(20, 2)], "estimator")


def observables() -> Workload:
    """Observables of one circuit, given as several PUBs."""
    circuit = chain(4, 2, parameters=2, measured=False)
    labels = ("ZZII", "IZZI", "IIZZ", "ZIII", "IIIZ", "XXII", "IXXI")
    return Workload("7 observables of one circuit", [(circuit, laid_out(circuit, o), [0.1, 0.2]) for o in labels],
                    "estimator")  # fmt: skip


def mitigated(level: int) -> Workload:
    circuit = chain(6, 4, parameters=1, measured=False)
    z = laid_out(circuit, "ZZZZZZ")
    pubs = [(circuit, z, [angle]) for angle in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
    return Workload(f"6 PUBs at resilience {level}", pubs, "estimator", {"resilience_level": level})


def loop(queue: float, classical: float, steps: int = 50) -> Workload:
    circuit = chain(4, 2, parameters=8, measured=False)
    pubs = [(circuit, laid_out(circuit, "ZZII", "IZZI"), sets(1, 8)[0])]
    name = f"loop, {steps} steps of {classical:g} s, {queue:g} s queue"
    return Workload(name, pubs, "estimator", {"resilience_level": 0}, steps, classical, queue)


def twirled() -> Workload:
    options = {"twirling": {"enable_gates": True, "enable_measure": True}}
    return Workload(
        "twirled Trotter, 12 circuits", [(chain(6, 2 * d), None, 8192) for d in range(1, 13)], "sampler", options
    )


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
    grid,
    observables,
    lambda: mitigated(1),
    lambda: mitigated(2),
    twirled,
    lambda: Workload("Bell, 1,024 shots", [(chain(2, 1), None, 1024)]),
    lambda: Workload("25 million shots over 50 angles", [(chain(4, 4, parameters=1), sets(50), 500_000)]),
    lambda: Workload("two shot numbers, client-side", [(chain(3, 2), None, n) for n in (1000, 1000, 8000, 8000)],
                     "executor_sampler"),
    lambda: loop(60.0, 10.0),
    lambda: loop(60.0, 300.0),
    lambda: loop(3600.0, 10.0),
    lambda: loop(0.0, 30.0),
)  # fmt: skip


def compare(workload: Workload) -> Row:
    """Planned, and in the naive ways."""
    around: dict[str, Any] = {
        "queue_wait": workload.queue,
        "instance_plan": "premium",
        "usage_left": 1e9,
        "iterative": workload.iterations if workload.iterations > 1 else False,
        "classical": workload.classical,
    }
    planned = plan(workload.pubs, BACKEND, workload.primitive, workload.options, **around)
    return Row(workload.name, planned, {way: naive(way, planned, workload) for way in WAYS})


def naive(way: str, planned: Plan, workload: Workload) -> Naive:
    """A naive way, in job mode: its bill and its end by the same forecast."""
    work = planned.work
    if way == "one job":
        parts = [[(item, 1.0) for item in work.items]]
    elif way == "a job a PUB":
        parts = [[(item, 1.0)] for item in work.items]
    else:
        parts = [[(item, 1 / item.configurations)] for item in work.items for _ in range(item.configurations)]
    usages = [job_usage(work, part) for part in parts]
    sampler = work.settings.kind == "sampler"
    refused = any(sampler and u.executions > EXECUTIONS for u in usages)
    refused |= work.settings.same_shots and any(len({item.shots for item, _ in part}) > 1 for part in parts)
    loads = [Load(u.expected, u.configurations, not sampler) for u in usages]
    given = Conditions(queue_wait=workload.queue)
    course = forecast(loads, "job", given, iterations=workload.iterations, classical=workload.classical, keep_bars=0)
    return Naive(len(loads) * workload.iterations, course.usage, course.last_result or math.nan, refused)


def rows() -> list[Row]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [compare(make()) for make in LIBRARY]


def table(found: list[Row]) -> str:
    """As Markdown, with the median and the worst ratio of each naive way."""
    lines = [
        "| workload | plan | billed | one job | a job a PUB | a job a circuit | dearer than the best of these? |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for r in found:
        ours = r.planned
        jobs = f"{ours.mode}, {len(ours.partitions)} job" + "s" * (len(ours.partitions) > 1)
        cells = " | ".join("refused" if n.refused else f"{n.bill:,.0f} s" for n in r.naive.values())
        lines.append(f"| {r.name} | {jobs} | {billed(ours.bill.expected)} | {cells} | {r.reason} |")
    lines.append("")
    for way in WAYS:
        ratios = [r.ratio(way) for r in found if not r.naive[way].refused]
        lines.append(f"- bill over that of {way}: median {median(ratios):.2f}, worst {max(ratios):.2f}")
    lines.append(f"- circuits compiled by Qiskit {COMPILED}")
    return "\n".join(lines)


def run() -> list[tuple[str, str, str]]:
    """Rows for `make bench`: what, measured, bar."""
    found = rows()
    out = []
    for way, bar in (("a job a PUB", "≤ 1"), ("a job a circuit", "≤ 0.5")):
        ratios = [r.ratio(way) for r in found if not r.naive[way].refused]
        what = f"{len(found)} workloads: bill planned over bill of {way}, median"
        out.append((what, f"{median(ratios):.2f} (worst {max(ratios):.2f})", bar))
    for r in found:
        how = f"{r.planned.mode}, {len(r.planned.partitions)} job(s); ends {duration(max(0.0, r.sooner))} sooner"
        bar = "≤ 1.02 of the best naive way" if not r.reason else r.reason
        out.append((f"  {r.name}", f"{r.over_best:.2f} ({how})", bar))
    return out


def main() -> None:
    shown = table(rows())
    print(shown)
    if "--write" in sys.argv:
        text = README.read_text()
        before, rest = text.split(BEGIN)
        README.write_text(f"{before}{BEGIN}\n{shown}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
