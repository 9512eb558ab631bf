"""Ten of IBM's tutorials at their published size through the embedded service: method, seconds, memory.

The circuits have the structure, the qubits and the options of the tutorials, and are written anew here; shots beyond
1,000 are 1,000. A tutorial yields its jobs in rounds: those of one round are submitted together.

    python tests/benchmarks/bench_tutorials.py [--markdown] [name …]
"""

from __future__ import annotations

import itertools
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import rustworkx as rx
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.circuit.classical import expr
from qiskit.circuit.library import efficient_su2, unitary_overlap
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import CouplingMap, generate_preset_pass_manager
from qiskit_ibm_runtime import EstimatorV2, SamplerV2
from qiskit_ibm_runtime.circuit import MidCircuitMeasure

from qmode_widgets.emulator import start

Row = tuple[str, str, str]
SHOTS = 1000
BACKEND = "emu_fez"  # 156 qubits, a Heron r2


@dataclass(frozen=True)
class Job:
    """One primitive's `run`."""

    pubs: list[Any]
    options: dict[str, Any] = field(default_factory=dict)
    estimator: bool = False

    def submit(self, backend: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the tutorials use the service's own primitives
            kind = EstimatorV2 if self.estimator else SamplerV2
            return kind(mode=backend, options={"default_shots": SHOTS} | self.options).run(self.pubs)


Tutorial = Callable[[Any, Any], Iterator[list[Job]]]  # a backend, and it with fractional gates -> rounds of jobs


@dataclass(frozen=True)
class Measured:
    """What running a tutorial's jobs took."""

    name: str
    jobs: int
    circuits: int  # or parameter sets
    qubits: int
    gates: int  # two-qubit gates of the largest circuit
    methods: str
    seconds: float
    memory: int  # of a worker, bytes


# --- parts of the tutorials ---------------------------------------------------------------------------------------


def transpiled(circuits: Any, backend: Any, level: int = 1, layout: list[int] | None = None) -> Any:
    manager = generate_preset_pass_manager(
        optimization_level=level, backend=backend, initial_layout=layout, seed_transpiler=1
    )
    return manager.run(circuits)


def layers_of(backend: Any, qubits: set[int]) -> list[list[tuple[int, int]]]:
    """The couplings among these qubits in disjoint layers."""
    graph = backend.coupling_map.graph.to_undirected(multigraph=False)
    colors = rx.graph_bipartite_edge_color(graph)
    layers = defaultdict(list)
    for edge, (a, b) in zip(graph.edge_indices(), graph.edge_list(), strict=True):
        if {a, b} <= qubits:
            layers[colors[edge]].append((a, b))
    return [layers[color] for color in sorted(layers)]


def kicked(backend: Any, qubits: set[int], steps: int, theta: Parameter) -> QuantumCircuit:
    """Trotter steps of the kicked Ising model on the QPU's own couplings, RZZ(−π/2) as one CZ."""
    circuit = QuantumCircuit(backend.num_qubits)
    layers = layers_of(backend, qubits)
    for _ in range(steps):
        circuit.rx(theta, sorted(qubits))
        for pair in itertools.chain(*layers):
            circuit.sdg(pair)
            circuit.cz(*pair)
    return circuit


def snake(length: int) -> list[int]:
    """A line of neighbours through the rows of a Heron's map: rows of 16, four connectors between two rows."""
    path: list[int] = []
    for r in range(8):
        row = list(range(20 * r, 20 * r + 16))
        if r % 2:  # leftwards from the last column, down at the second
            path += [*reversed(row[1:]), 20 * r + 16]
        else:
            path += [*row[1 if r else 0 :], 20 * r + 19]
    return path[:length]


# --- the tutorials ------------------------------------------------------------------------------------------------


def hello_world(backend: Any, _: Any) -> Iterator[list[Job]]:
    n = 100
    circuit = QuantumCircuit(n)
    circuit.h(0)
    for q in range(n - 1):
        circuit.cx(q, q + 1)
    isa = transpiled(circuit, backend)
    observables = [SparsePauliOp.from_sparse_list([("ZZ", [0, q], 1)], n).apply_layout(isa.layout) for q in range(1, n)]
    options = {"resilience_level": 1, "dynamical_decoupling": {"enable": True, "sequence_type": "XY4"}}
    yield [Job([(isa, observables)], options, estimator=True)]


def max_cut(backend: Any, _: Any) -> Iterator[list[Job]]:
    """29 evaluations of the cost, as the optimiser took, then a sample."""
    n = 100
    edges = [edge for edge in backend.coupling_map if max(edge) < n]  # both directions, as in the tutorial
    gamma, beta = Parameter("γ"), Parameter("β")
    ansatz = QuantumCircuit(n)
    ansatz.h(range(n))
    for a, b in edges:
        ansatz.rzz(2 * gamma, a, b)
    ansatz.rx(2 * beta, range(n))
    measured = ansatz.copy()
    measured.measure_all()
    isa, sampled = transpiled([ansatz, measured], backend, 3)
    cost = SparsePauliOp.from_sparse_list([("ZZ", [a, b], 1) for a, b in edges], n).apply_layout(isa.layout)
    options = {
        "dynamical_decoupling": {"enable": True, "sequence_type": "XY4"},
        "twirling": {"enable_gates": True, "num_randomizations": "auto"},
    }
    rng = np.random.default_rng(7)
    for _ in range(29):
        values = {beta: np.pi / 2 + rng.normal(0, 0.5), gamma: np.pi + rng.normal(0, 0.5)}
        yield [Job([(isa, cost, values)], options, estimator=True)]
    yield [Job([(sampled, {beta: 1.1, gamma: 2.8})], options)]


def error_amplification(backend: Any, _: Any) -> Iterator[list[Job]]:
    good = set(range(backend.num_qubits)) - {32, 33, 71, 72, 73, 102, 103}
    theta = Parameter("θ")
    isa = transpiled(kicked(backend, good, 6, theta), backend)
    observables = [
        [SparsePauliOp.from_sparse_list([("Z", [q], 1)], backend.num_qubits).apply_layout(isa.layout)]
        for q in sorted(good)
    ]
    options = {
        "resilience": {
            "measure_mitigation": True,
            "zne_mitigation": True,
            "measure_noise_learning": {"num_randomizations": 40, "shots_per_randomization": 1024},
            "layer_noise_learning": {
                "max_layers_to_learn": 3,
                "layer_pair_depths": [0, 1, 2, 4, 6, 12, 24],
                "shots_per_randomization": 64,
                "num_randomizations": 40,
            },
            "zne": {
                "amplifier": "pea",
                "noise_factors": [1, 1.3, 1.6],
                "extrapolator": ("exponential", "linear"),
                "extrapolated_noise_factors": np.linspace(0, 1.6, 20).tolist(),
            },
        },
        "twirling": {"num_randomizations": 15, "shots_per_randomization": 64, "strategy": "active-circuit"},
        "dynamical_decoupling": {"enable": True, "sequence_type": "XY4"},
    }
    yield [Job([(isa, observables, np.linspace(0, np.pi / 2, 12).reshape(12, 1))], options, estimator=True)]


def utility_experiment(backend: Any, _: Any) -> Iterator[list[Job]]:
    theta = Parameter("θ")
    isa = transpiled(kicked(backend, set(range(backend.num_qubits)), 20, theta), backend)
    observable = SparsePauliOp.from_sparse_list([("Z", [62], 1)], backend.num_qubits).apply_layout(isa.layout)
    angles = [[a] for a in (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, np.pi / 2)]
    yield [Job([(isa, observable, angles)], estimator=True)]


def hexagonal_ising(_: Any, backend: Any) -> Iterator[list[Job]]:
    """Unitary circuits of 46 qubits, dynamic ones of 106; each with and without decoupling by stretches."""
    depths, angles = range(9), np.linspace(0, np.pi / 2, 3)
    lattice = CouplingMap.from_hexagonal_lattice(3, 5, bidirectional=False)
    n, edges = lattice.size(), [tuple(edge) for edge in lattice.get_edges()]
    theta = Parameter("θ")

    def unitary(depth: int) -> QuantumCircuit:
        circuit = QuantumCircuit(n)
        for _ in range(depth):
            circuit.rx(theta, range(n))
            for a, b in edges:
                circuit.rzz(np.pi / 8, a, b)
        circuit.rx(theta, range(n))
        circuit.measure_all()
        return circuit

    def dynamic(depth: int, decoupled: bool, short: bool) -> QuantumCircuit:
        bits = ClassicalRegister(len(edges), "cr")
        circuit = QuantumCircuit(QuantumRegister(n + len(edges), "qr"), bits)
        for k in range(depth):
            circuit.rx(theta, range(n))
            circuit.barrier()
            for i, (a, b) in enumerate(edges):
                circuit.cx(a, n + i)
                circuit.cx(b, n + i)
            circuit.barrier()
            for i in range(len(edges)):
                circuit.rz(np.pi / 8, n + i)
                circuit.h(n + i)
            circuit.barrier()
            for i in range(len(edges)):
                circuit.append(MidCircuitMeasure() if short else _measure(), [n + i], [bits[i]])
            for q in range(n):
                if decoupled:
                    _stretched_pulses(circuit, q, f"q{q}_{k}")
                mine = [bits[i] for i, edge in enumerate(edges) if q in edge]
                parity: Any = expr.lift(mine[0])
                for bit in mine[1:]:
                    parity = expr.bit_xor(parity, bit)
                with circuit.if_test(parity):
                    circuit.z(q)
            for i in range(len(edges)):
                with circuit.if_test((bits[i], 1)):
                    circuit.x(n + i)
            circuit.barrier()
        circuit.rx(theta, range(n))
        circuit.measure_all()
        return circuit

    layout = transpiled(dynamic(1, False, False), backend, 3).layout.initial_index_layout(filter_ancillas=True)
    jobs = []
    plain = transpiled([unitary(d) for d in depths], backend, 3, layout[:n])
    jobs += [plain, plain]  # the second with pulses of decoupling, which change nothing without noise
    for short in (False, True):
        jobs += [transpiled([dynamic(d, dd, short) for d in depths], backend, 3, layout) for dd in (False, True)]
    yield [Job([(circuit, angles[: None if circuit.parameters else 0]) for circuit in made]) for made in jobs]


def _measure() -> Any:
    from qiskit.circuit import Measure

    return Measure()


def _stretched_pulses(circuit: QuantumCircuit, q: int, name: str) -> None:
    gap = circuit.add_stretch(name)
    circuit.delay(gap, q)
    circuit.x(q)
    circuit.delay(expr.mul(2, gap), q)
    circuit.rz(np.pi, q)
    circuit.x(q)
    circuit.rz(-np.pi, q)
    circuit.delay(gap, q)


def ghz_with_checks(backend: Any, _: Any) -> Iterator[list[Job]]:
    """100 qubits by breadth-first search, and six left out between two of them that check their parity."""
    graph = backend.coupling_map.graph.to_undirected(multigraph=False)
    left_out = {16, 26, 35, 43, 85, 126}
    tree, seen = [], [50]
    for q in seen:
        for other in sorted(graph.neighbors(q)):
            if other not in left_out and other not in seen and len(seen) < 100:
                seen.append(other)
                tree.append((q, other))
    checks = [c for c in sorted(left_out) if sum(q in seen for q in graph.neighbors(c)) >= 2]
    circuit = QuantumCircuit(backend.num_qubits)
    circuit.h(50)
    for pair in tree:
        circuit.cx(*pair)
    for check in checks:
        for q in [q for q in graph.neighbors(check) if q in seen][:2]:
            circuit.cx(q, check)
    state, parities = ClassicalRegister(len(seen), "c1"), ClassicalRegister(len(checks), "c2")
    circuit.add_register(state, parities)
    circuit.measure(seen, state)
    circuit.measure(checks, parities)
    options = {"dynamical_decoupling": {"enable": False}, "execution": {"rep_delay": 0.00025}}
    yield [Job([transpiled(circuit, backend, 2, list(range(backend.num_qubits)))], options)]


def nishimori(backend: Any, _: Any) -> Iterator[list[Job]]:
    """Entanglement by measurement on six hexagons (49 qubits) and on all of them (144), 21 angles each."""
    graph = backend.coupling_map.graph.to_undirected(multigraph=False)
    whole = set(graph.node_indices())
    while loose := {q for q in whole if sum(n in whole for n in graph.neighbors(q)) < 2}:
        whole -= loose
    hexagons = sorted({frozenset(ring) for q in whole for ring in _rings(graph, whole, q, 12)}, key=sorted)
    for qubits in (set().union(*hexagons[3:9]), whole):
        yield [Job(transpiled([_entangled(graph, qubits, a) for a in np.linspace(0, np.pi / 2, 21)], backend))]


def _rings(graph: Any, within: set[int], first: int, length: int) -> Iterator[list[int]]:
    """Rings of this length through a qubit, of which it is the lowest."""
    paths = [[first]]
    for _ in range(length - 1):
        paths = [
            [*path, q]
            for path in paths
            for q in graph.neighbors(path[-1])
            if q in within and q > first and q not in path
        ]
    yield from (path for path in paths if first in graph.neighbors(path[-1]))


def _entangled(graph: Any, qubits: set[int], angle: float) -> QuantumCircuit:
    joined = {q: [n for n in graph.neighbors(q) if n in qubits] for q in qubits}
    corner = next(q for q in sorted(qubits) if len(joined[q]) == 3)
    sites, ring = {corner: 0}, [corner]  # every second qubit, in two kinds by turns
    for q in ring:
        for bond in joined[q]:
            for other in joined[bond]:
                if other not in sites:
                    sites[other] = 1 - sites[q]
                    ring.append(other)
    circuit = QuantumCircuit(graph.num_nodes(), len(qubits))
    circuit.h(sorted(qubits))
    for site, kind in sorted(sites.items()):
        for bond in joined[site]:
            circuit.rzz(np.pi / 2 if kind else angle, site, bond)
    circuit.barrier()
    circuit.h([q for q in sorted(qubits) if q not in sites])
    circuit.measure(sorted(qubits), range(len(qubits)))
    return circuit


def periodic_chain(backend: Any, _: Any) -> Iterator[list[Job]]:
    """109 qubits in a ring, whose closing gate is cut: 36 circuits, and the uncut one with its swaps."""
    line = snake(109)
    n = len(line)
    pairs = [(i, i + 1) for i in range(n - 1)] + [(n - 1, 0)]
    ring = pairs[::2] + pairs[1::2]

    def ansatz(cuts: tuple[int, ...] | None) -> QuantumCircuit:
        circuit = QuantumCircuit(QuantumRegister(n), ClassicalRegister(n, "meas"), ClassicalRegister(2, "cuts"))
        for layer in range(2):
            circuit.rx(0.0, range(n))
            for a, b in ring:
                if (a, b) != pairs[-1] or cuts is None:
                    circuit.cx(a, b)
                    continue
                circuit.h(b)
                _half_gates(circuit, a, b, cuts[layer], n + layer)
                circuit.h(b)
        circuit.rx(np.pi, range(n))
        circuit.measure(range(n), range(n))
        return circuit

    cut = [ansatz(cuts) for cuts in itertools.product(range(6), repeat=2)]
    options = {
        "dynamical_decoupling": {"enable": False},
        "twirling": {"enable_gates": False, "enable_measure": False},
    }
    yield [Job(transpiled(cut, backend, 1, line), options), Job([transpiled(ansatz(None), backend, 1, line)], options)]


def _half_gates(circuit: QuantumCircuit, a: int, b: int, kind: int, bit: int) -> None:
    """One of the six pairs of local operations whose sum is a CZ."""
    if kind == 0:
        circuit.s([a, b])
    elif kind == 1:
        circuit.sdg([a, b])
    else:
        one, other = (a, b) if kind < 4 else (b, a)
        circuit.measure(one, bit)
        if kind % 2:
            circuit.z(other)


def long_range_cnot(backend: Any, _: Any) -> Iterator[list[Job]]:
    """13 distances up to 60 (62 qubits) in three bases, unitary and by feed-forward; one of its ten equal trials."""
    distances = (0, 1, 2, 3, 6, 11, 16, 21, 28, 35, 44, 55, 60)
    jobs = []
    for build in (_moved_cnot, _teleported_cnot):
        circuits = []
        for distance, basis in itertools.product(distances, "XYZ"):
            circuit = build(distance)
            ends = [0, distance + 1]
            if basis == "Y":
                circuit.sdg(ends)
            if basis != "Z":
                circuit.h(ends)
            circuit.measure(ends, [0, 1])
            circuits.append(transpiled(circuit, backend, 1, snake(distance + 2)))
        jobs.append(Job(circuits))
    yield jobs


def _moved_cnot(distance: int) -> QuantumCircuit:
    """Control and target are moved to the middle and back, by two CNOTs a place: between them is |0⟩."""
    circuit = QuantumCircuit(distance + 2, 2)
    circuit.h(0)
    steps = [(q, q + 1) for q in range(distance // 2)]
    steps += [(q, q - 1) for q in range(distance + 1, distance // 2 + 1, -1)]
    for here, there in steps:
        circuit.cx(here, there)
        circuit.cx(there, here)
    circuit.cx(distance // 2, distance // 2 + 1)
    for here, there in reversed(steps):
        circuit.cx(there, here)
        circuit.cx(here, there)
    return circuit


def _teleported_cnot(distance: int) -> QuantumCircuit:
    n, pairs = distance, distance // 2
    circuit = QuantumCircuit(QuantumRegister(n + 2), ClassicalRegister(2, "cr"))
    circuit.h(0)
    if not n:
        circuit.cx(0, 1)
        return circuit
    zz, xx = ClassicalRegister(pairs, "c1"), ClassicalRegister(n - pairs, "c2")
    circuit.add_register(*([zz, xx] if pairs else [xx]))
    first = 1 + n % 2  # an odd distance begins with the CNOT that is teleported
    if n % 2:
        circuit.cx(0, 1)
    for i in range(pairs):
        circuit.h(first + 2 * i)
        circuit.cx(first + 2 * i, first + 2 * i + 1)
    for i in range(pairs + 1):
        circuit.cx(first - 1 + 2 * i, first + 2 * i)
    measured = [first + 2 * i for i in range(pairs)]
    rotated = [q for q in range(1, n + 1) if q not in measured]
    circuit.h(rotated)
    circuit.barrier()
    if pairs:
        circuit.measure(measured, zz)
    circuit.measure(rotated, xx)
    for register, gate, q in ((xx, circuit.z, 0), (zz, circuit.x, n + 1)):
        if register.size:
            parity: Any = expr.lift(register[0])
            for bit in register[1:]:
                parity = expr.bit_xor(bit, parity)
            with circuit.if_test(parity):
                gate(q)
    return circuit


def combined_mitigation(backend: Any, _: Any) -> Iterator[list[Job]]:
    """A mirror circuit of 50 qubits; five jobs, each with one technique more."""
    n = 50
    ansatz = efficient_su2(n, entanglement="pairwise", reps=1)
    values = np.random.default_rng(0).uniform(-np.pi, np.pi, ansatz.num_parameters)
    half = ansatz.assign_parameters(values)
    half.barrier()
    isa = transpiled(unitary_overlap(half, half), backend, 3)
    observable = SparsePauliOp.from_sparse_list([("Z", [n - 1], 1)], n).apply_layout(isa.layout)
    options: dict[str, Any] = {"resilience_level": 0}
    jobs = [options]
    for more in (
        {"dynamical_decoupling": {"enable": True, "sequence_type": "XpXm"}},
        {"resilience": {"measure_mitigation": True}},
        {"twirling": {"enable_gates": True, "num_randomizations": "auto"}},
        {
            "resilience": {
                "measure_mitigation": True,
                "zne_mitigation": True,
                "zne": {"noise_factors": (1, 3, 5), "extrapolator": ("exponential", "linear")},
            }
        },
    ):
        jobs.append(jobs[-1] | more)
    yield [Job([(isa, observable)], options, estimator=True) for options in jobs]


TUTORIALS: dict[str, Tutorial] = {
    "Hello world": hello_world,
    "Quantum approximate optimization algorithm": max_cut,
    "Utility-scale error mitigation with PEA": error_amplification,
    "Utility-scale experiment I (course)": utility_experiment,
    "Kicked Ising Hamiltonian with dynamic circuits": hexagonal_ising,
    "GHZ state with spacetime codes": ghz_with_checks,
    "Nishimori phase transition": nishimori,
    "Periodic boundary conditions with circuit cutting": periodic_chain,
    "Long-range CNOT with parallel Bell pairs": long_range_cnot,
    "Combine error mitigation options": combined_mitigation,
}


# --- measuring ----------------------------------------------------------------------------------------------------


def measured(name: str, pid: int, backend: Any, fractional: Any) -> Measured:
    tutorial = TUTORIALS[name](backend, fractional)
    home = fractional if TUTORIALS[name] is hexagonal_ising else backend
    methods: Counter[str] = Counter()
    seconds, peak, jobs, sets, qubits, gates = 0.0, 0, 0, 0, 0, 0
    for ready in tutorial:  # building and transpiling is not measured
        began = time.perf_counter()
        sent = [job.submit(home) for job in ready]
        while any(job.status() not in job.JOB_FINAL_STATES for job in sent):
            workers = psutil.Process(pid).children(recursive=True)
            peak = max([peak, *(w.memory_info().rss for w in workers)])
            time.sleep(0.1)  # a sample of the memory each tenth of a second: nothing tells of a peak
        seconds += time.perf_counter() - began
        jobs += len(sent)
        for job, done in zip(ready, sent, strict=True):
            sets += sum(_sets(job, pub) for pub in job.pubs)
            for pub in job.pubs:
                circuit = pub[0] if isinstance(pub, tuple) else pub
                qubits = max(qubits, len({q for i in circuit.data for q in i.qubits if i.operation.name != "barrier"}))
                gates = max(gates, circuit.num_nonlocal_gates())
            if done.status() == "ERROR":
                methods[f"failed: {done.error_message()}"] += 1
                continue
            for result in done.result():
                methods[result.metadata.get("simulation", {}).get("description", "exactly")] += 1
    total = sum(methods.values())
    said = ", ".join(what if n == total else f"{n} of {total} {what}" for what, n in methods.most_common())
    return Measured(name, jobs, sets, qubits, gates, said, seconds, peak)


def _sets(job: Job, pub: Any) -> int:
    """The circuits that a PUB stands for."""
    kind = EstimatorPub if job.estimator else SamplerPub
    return max(1, int(kind.coerce(pub).parameter_values.size))


def all_measured(names: list[str]) -> Iterator[Measured]:
    with start(shared=False, speed=float("inf"), workers=2, backends=BACKEND) as emulator:
        backend = emulator.service.backend(BACKEND)
        fractional = emulator.connect(emulator.home.name).backend(BACKEND, use_fractional_gates=True)
        for name in names or TUTORIALS:
            yield measured(name, emulator.pid, backend, fractional)


def run() -> list[Row]:
    """What, measured, bar."""
    return [
        (
            f"{m.name}: {m.jobs} jobs, {m.circuits} circuits, {m.qubits} qubits, up to {m.gates} two-qubit gates",
            f"{m.methods}: {m.seconds:.0f} s, {m.memory / 2**20:.0f} MB a worker",
            "60 s of matrix product states a job, then Clifford",
        )
        for m in all_measured([])
    ]


def main(words: list[str]) -> None:
    names = [word for word in words if not word.startswith("-")]
    if "--markdown" in words:
        print("| Tutorial | Jobs, circuits | Qubits, two-qubit gates | Simulated | Seconds | A worker's memory |")
        print("|---|---|---|---|---|---|")
    for m in all_measured(names):
        row = (
            m.name,
            f"{m.jobs}, {m.circuits:,}",
            f"{m.qubits}, {m.gates:,}",
            m.methods,
            f"{m.seconds:.0f}",
            f"{m.memory / 2**20:.0f} MB",
        )
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
