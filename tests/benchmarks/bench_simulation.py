"""Circuits of more than 100 qubits through the embedded service: which method each takes, seconds, memory.

The circuits have the structure and the size of those of IBM's tutorials at utility scale; they are written anew here.
"""

from __future__ import annotations

import time

import numpy as np
import psutil
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmode_widgets.emulator import start

Row = tuple[str, str, str]
SHOTS = 1000


def run() -> list[Row]:
    """What, measured, bar."""
    with start(shared=False, speed=float("inf"), workers=2) as emulator:
        backend = emulator.service.backend("emu_fez")
        pm = generate_preset_pass_manager(backend=backend, optimization_level=2, seed_transpiler=1)
        return [_measured(emulator.pid, backend, pm, *kind) for kind in KINDS]


def _measured(pid: int, backend, pm, name: str, circuit: QuantumCircuit, observable: str | None) -> Row:
    isa = pm.run(circuit)
    gates = sum(n for gate, n in isa.count_ops().items() if gate in ("cz", "rzz"))
    began = time.perf_counter()
    if observable is None:
        job = Sampler(mode=backend).run([isa], shots=SHOTS)
    else:
        pub = (isa, SparsePauliOp(observable).apply_layout(isa.layout))
        estimator = Estimator(
            mode=backend, options={"default_shots": SHOTS, "resilience": {"measure_mitigation": False}}
        )
        job = estimator.run([pub])
    peak = 0
    while job.status() not in job.JOB_FINAL_STATES:
        workers = psutil.Process(pid).children()
        peak = max([peak, *(w.memory_info().rss for w in workers)])
    seconds = time.perf_counter() - began
    metadata = job.result()[0].metadata.get("circuit_metadata") or {}
    said = metadata.get("simulation", {}).get("description", "exactly")
    return (
        f"{name}, {circuit.num_qubits} qubits, {gates} two-qubit gates, {SHOTS} shots",
        f"{said}: {seconds:.1f} s, {peak / 2**20:.0f} MB a worker",
        "60 s of matrix product states, then Clifford",
    )


def _ghz(n: int) -> QuantumCircuit:
    circuit = QuantumCircuit(n)
    circuit.h(0)
    for q in range(n - 1):
        circuit.cx(q, q + 1)
    circuit.measure_all()
    return circuit


def _ising(n: int, steps: int, field: float, coupling: float, *, measure: bool) -> QuantumCircuit:
    circuit = QuantumCircuit(n)
    for _ in range(steps):
        circuit.rx(field, range(n))
        for first in (0, 1):
            for q in range(first, n - 1, 2):
                circuit.rzz(coupling, q, q + 1)
    if measure:
        circuit.measure_all()
    return circuit


def _qaoa(n: int, layers: int) -> QuantumCircuit:
    rng = np.random.default_rng(7)
    circuit = QuantumCircuit(n)
    circuit.h(range(n))
    edges = [(q, q + 1) for q in range(n - 1)] + [(q, q + 4) for q in range(0, n - 4, 9)]
    for gamma, beta in rng.uniform(0, 1, (layers, 2)):
        for a, b in edges:
            circuit.rzz(gamma, a, b)
        circuit.rx(2 * beta, range(n))
    circuit.measure_all()
    return circuit


def _long_range_cnot(n: int) -> QuantumCircuit:
    """A teleported CNOT over n − 2 qubits: Bell pairs, measurements in the middle, corrections fed forward."""
    circuit = QuantumCircuit(n, n)
    circuit.h(0)
    for q in range(1, n - 1, 2):
        circuit.h(q)
        circuit.cx(q, q + 1)
    for q in range(0, n - 1, 2):
        circuit.cx(q, q + 1)
        circuit.measure(q + 1, q + 1)
    for q in range(1, n - 1, 2):
        with circuit.if_test((circuit.clbits[q], 1)):
            circuit.x(n - 1)
    circuit.measure(0, 0)
    circuit.measure(n - 1, n - 1)
    return circuit


KINDS: list[tuple[str, QuantumCircuit, str | None]] = [
    ("GHZ state", _ghz(120), None),
    ("Trotter steps of an Ising chain, 4", _ising(100, 4, 0.4, 0.3, measure=True), None),
    ("Trotter steps of an Ising chain, 10", _ising(100, 10, 0.9, 0.8, measure=True), None),
    ("magnetization after 6 kicks, Estimator", _ising(100, 6, 0.7, np.pi / 2, measure=False), "Z" + "I" * 99),
    ("QAOA, 1 layer", _qaoa(100, 1), None),
    ("CNOT over a distance by feed-forward", _long_range_cnot(100), None),
]

if __name__ == "__main__":
    for row in run():
        print(*row, sep=" | ")
