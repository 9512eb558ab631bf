"""Speed of planning. `run()` gives rows (what, measured, bar) for `make bench`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime.fake_provider import FakeFez

from qmode_widgets.planning.forecast import Conditions, compare_modes
from qmode_widgets.planning.plan import plan
from qmode_widgets.planning.splitting import Rules, Sizes, cut_sizes


def best(work: Callable[[], Any], times: int = 5) -> float:
    """The shortest of a few runs, in seconds: the machine's noise only adds."""
    found = []
    for _ in range(times):
        start = perf_counter()
        work()
        found.append(perf_counter() - start)
    return min(found)


def isa_circuit(backend: Any, seed: int, qubits: int = 100, layers: int = 100) -> QuantumCircuit:
    """Alternating layers of single- and two-qubit gates along the coupling map, written in the basis, measured."""
    random = np.random.default_rng(seed)
    edges = [e for e in backend.coupling_map.get_edges() if max(e) < qubits]
    circuit = QuantumCircuit(qubits, qubits)
    for _ in range(layers):
        for qubit in range(qubits):
            for gate in ("rz", "sx", "rz", "sx", "rz"):
                if gate == "rz":
                    circuit.rz(float(random.random()), qubit)
                else:
                    circuit.sx(qubit)
        used: set[int] = set()
        for a, b in (edges[i] for i in random.permutation(len(edges))):
            if a not in used and b not in used:
                circuit.cz(a, b)
                used |= {a, b}
    circuit.measure(range(qubits), range(qubits))
    return circuit


def sizes(count: int) -> Sizes:
    """PUBs of random sizes."""
    random = np.random.default_rng(count)
    seconds = random.lognormal(0.0, 1.5, count)
    return Sizes(
        seconds,
        seconds / 260e-6,
        random.integers(1, 50, count),
        [(int(n),) for n in random.integers(1, 50, count)],
        [4096.0] * count,
        [None] * count,
        np.ones(count, dtype=np.bool_),
    )


def many_terms(count: int, qubits: int = 20) -> tuple[QuantumCircuit, SparsePauliOp]:
    """A circuit that does nothing, and an observable of random terms."""
    random = np.random.default_rng(0)
    labels = ["".join(random.choice(list("IXYZ"), qubits)) for _ in range(count)]
    return QuantumCircuit(qubits), SparsePauliOp(labels, np.ones(count))


def growth(work: Callable[[int], Callable[[], Any]], counts: tuple[int, ...]) -> str:
    """Seconds over n log n, relative to the smallest n: 1.0 is n log n."""
    base = None
    out = []
    for n in counts:
        unit = best(work(n)) / (n * math.log2(n))
        base = base or unit
        out.append(f"{n:,}: {unit / base:.2f}")
    return ", ".join(out)


def side_by_side(ours: Callable[[], Any], theirs: Callable[[], Any], times: int = 5) -> tuple[float, float]:
    """The shortest of each, run in turn, so that both meet the same machine."""
    pairs = [(best(ours, 1), best(theirs, 1)) for _ in range(times)]
    return min(a for a, _ in pairs), min(b for _, b in pairs)


def run() -> list[tuple[str, str, str]]:
    """Measure everything; about half a minute."""
    jobs = 10_000
    seconds = np.random.default_rng(0).uniform(1, 100, jobs).tolist()
    forecast = best(lambda: compare_modes(seconds, Conditions(queue_wait=60, max_ttl=1e7)))
    hundred = sizes(100_000)
    cut = best(lambda: cut_sizes(hundred, Rules()))
    many = best(lambda: cut_sizes(hundred, Rules(seconds=60)))
    backend = FakeFez()
    target = backend.target
    circuits = [isa_circuit(backend, seed) for seed in range(20)]
    pubs = [(circuits[i % 20], None, 1000) for i in range(1000)]
    circuits[0].estimate_duration(target)  # the target's own tables are made on first use
    ours, own = side_by_side(lambda: plan(pubs, backend), lambda: [c.estimate_duration(target) for c in circuits])
    small = circuits[0]
    ten_thousand = [(small, None, 100 + i % 7) for i in range(10_000)]
    many_pubs = best(lambda: plan(ten_thousand, backend, queue_wait=60), 3)
    terms = many_terms(8_000)
    grouped = best(lambda: plan([terms], backend, "estimator", queue_wait=0), 1)
    decades = (100, 1_000, 10_000, 100_000)
    return [
        (
            "plan: 1,000 PUBs, 20 distinct 100-qubit ISA circuits, against Qiskit's duration of the 20",
            f"{ours * 1e3:.0f} ms / {own * 1e3:.0f} ms = {ours / own:.2f}",
            "at most 1.5",
        ),
        ("plan: 10,000 PUBs of one circuit", f"{many_pubs:.2f} s", "seconds"),
        ("plan: an observable of 8,000 random terms on 20 qubits", f"{grouped:.1f} s", "seconds"),
        ("forecast: 10,000 jobs in three modes", f"{forecast:.2f} s", "under 1 s"),
        ("partition: 100,000 PUB sizes, the guide's rules", f"{cut:.2f} s", "under 1 s"),
        ("partition: 100,000 PUB sizes, a minute a job", f"{many:.2f} s", "under 1 s"),
        (
            "partition: cost over n log n, three decades",
            growth(lambda n: partial(cut_sizes, sizes(n), Rules(seconds=60)), decades),
            "about 1 or less",
        ),
        (
            "forecast: cost over n log n, three decades",
            growth(lambda n: partial(compare_modes, [30.0] * n, Conditions(max_ttl=1e8)), (10, 100, 1_000, 10_000)),
            "about 1 or less",
        ),
    ]


if __name__ == "__main__":
    for row in run():
        print(*row, sep=" | ")
