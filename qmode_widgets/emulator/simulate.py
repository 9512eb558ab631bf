"""Runs circuits on Aer: reduced to the qubits they use, by state vector or, where that is too large, stabilizer."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import BoxOp
from qiskit.converters import circuit_to_dag, dag_to_circuit
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_aer import AerError
from qiskit_aer.primitives import SamplerV2

from .backends import Device

# Aer returns one string per shot: this many at a time keep a worker's memory bounded.
_SHOTS_AT_ONCE = 500_000


class Simulator:
    """Simulates ISA circuits of one backend."""

    def __init__(self, device: Device, *, noise: bool, max_qubits: int, threads: int) -> None:
        self.device = device
        self._noise = noise
        self._max_qubits = max_qubits
        self._threads = threads

    def check(self, circuit: QuantumCircuit) -> None:
        """Refuse what the backend cannot run.

        Raises:
            JobError: code 1517, naming the instruction.
        """
        from .programs import JobError

        names, edges = _instructions(self.device)
        if circuit.num_qubits > self.device.qubits:
            raise JobError(
                1517,
                f"The circuit has {circuit.num_qubits} qubits but {self.device.name} has {self.device.qubits}.",
                "Transpile the circuit for this backend.",
            )
        for inst in circuit.data:
            name = inst.operation.name
            pair = tuple(circuit.find_bit(q).index for q in inst.qubits)
            gate = len(pair) == 2 and name not in _FREE and not getattr(inst.operation, "blocks", None)
            if name not in names:
                why = f"The instruction {name} is not supported"
            elif gate and pair not in edges:
                why = f"The instruction {name} on qubits {pair} is not supported"
            else:
                continue
            raise JobError(1517, f"{why} by the target system.", "Transpile the circuit for this backend.")

    def sample(
        self, circuit: QuantumCircuit, values: NDArray[np.float64], shots: int, seed: int | None = None
    ) -> dict[str, NDArray[np.bool_]]:
        """Measured bits per classical register.

        Args:
            circuit: with its parameters unbound.
            values: shape (..., parameters), in the order of `circuit.parameters`.
            shots: per parameter set.
            seed: of the simulation; None draws one.

        Returns:
            Arrays of shape (..., shots, bits of the register), bit 0 first.
        """
        from .programs import JobError

        small, physical = compact(circuit, keep_delays=self._noise)
        shape = values.shape[:-1]
        column = {p: i for i, p in enumerate(circuit.parameters)}
        kept = np.array([column[p] for p in small.parameters], dtype=np.intp)
        flat = _snap(values.reshape(math.prod(shape), values.shape[-1])[:, kept])
        out = {
            reg.name: np.zeros((len(flat), shots, len(reg)), dtype=np.bool_) for reg in circuit.cregs if len(reg)
        }
        if not out or not len(flat):
            return {name: bits.reshape(*shape, *bits.shape[1:]) for name, bits in out.items()}
        method = "statevector" if small.num_qubits <= self._max_qubits else "stabilizer"
        sampler = SamplerV2(seed=seed, options={"backend_options": self._options(method, physical)})
        step = max(1, _SHOTS_AT_ONCE // shots)
        for start in range(0, len(flat), step):
            part = flat[start : start + step]
            binds = BindingsArray({tuple(small.parameters): part}) if small.num_parameters else None
            pubs = [SamplerPub(small, binds, shots)] if binds else [SamplerPub(small, None, shots)] * len(part)
            try:
                results = sampler.run(pubs).result()
            except AerError as error:
                if method == "statevector":
                    raise
                raise JobError(
                    9999,
                    f"The circuit uses {small.num_qubits} qubits and is not Clifford: the emulator simulates up to "
                    f"{self._max_qubits} qubits, and more for Clifford circuits only.",
                    "Use fewer qubits, a Clifford circuit, or start the emulator with a larger max_qubits.",
                ) from error
            for i, pub in enumerate(results):
                where = slice(start, start + len(part)) if binds else start + i
                for name, bits in out.items():
                    bits[where] = getattr(pub.data, name).to_bool_array(order="little")
        return {name: bits.reshape(*shape, *bits.shape[1:]) for name, bits in out.items()}

    def _options(self, method: str, physical: tuple[int, ...]) -> dict[str, Any]:
        options: dict[str, Any] = {"method": method, "max_parallel_threads": self._threads}
        if self._noise:
            options["noise_model"] = _noise_model(self.device, physical)
        return options


_FREE = frozenset({"barrier", "measure", "delay", "store"})


@lru_cache(maxsize=8)
def _instructions(device: Device) -> tuple[frozenset[str], frozenset[tuple[int, int]]]:
    config = device.configuration
    names = {*config["basis_gates"], *config.get("supported_instructions", ()), "barrier", "store", "measure_2"}
    names |= {"while_loop", "for_loop", "if_else", "switch_case", "box", "break_loop", "continue_loop"}
    return frozenset(names), frozenset((a, b) for a, b in config["coupling_map"])


def compact(circuit: QuantumCircuit, *, keep_delays: bool = False) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """The circuit on the qubits it uses, and which these were. Barriers go, and delays unless they matter."""
    circuit = _unbox(circuit)
    dag = circuit_to_dag(circuit, copy_operations=False)
    for node in [*dag.named_nodes("barrier"), *([] if keep_delays else dag.named_nodes("delay"))]:
        dag.remove_op_node(node)
    if keep_delays:
        busy = {q for node in dag.op_nodes() if node.name != "delay" for q in node.qargs}
        for node in dag.named_nodes("delay"):
            if node.qargs[0] not in busy:
                dag.remove_op_node(node)
    idle = [w for w in dag.idle_wires() if w in dag.qubits]
    kept = [i for i, q in enumerate(circuit.qubits) if q not in set(idle)]
    dag.remove_qubits(*idle)
    return dag_to_circuit(dag, copy_operations=False), tuple(kept)


def _unbox(circuit: QuantumCircuit) -> QuantumCircuit:
    if not any(isinstance(inst.operation, BoxOp) for inst in circuit.data):
        return circuit
    flat = circuit.copy_empty_like()
    for inst in circuit.data:
        if isinstance(inst.operation, BoxOp):
            flat.compose(_unbox(inst.operation.body), inst.qubits, inst.clbits, inplace=True, copy=False)
        else:
            flat.append(inst, copy=False)
    return flat


def _snap(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles a rounding error away from a multiple of π/2 become one, so that Clifford circuits stay Clifford."""
    quarter = np.round(values / (np.pi / 2)) * (np.pi / 2)
    snapped: NDArray[np.float64] = np.where(np.abs(values - quarter) < 1e-9, quarter, values)
    return snapped


@lru_cache(maxsize=32)
def _noise_model(device: Device, physical: tuple[int, ...]) -> Any:
    """The calibration's noise on these qubits, numbered as the reduced circuit numbers them."""
    from datetime import datetime

    from qiskit_aer.noise import NoiseModel
    from qiskit_ibm_runtime.models import BackendProperties

    place = {q: i for i, q in enumerate(physical)}
    properties = dict(device.properties)
    properties["qubits"] = [properties["qubits"][q] for q in physical]
    properties["gates"] = [
        {**gate, "qubits": [place[q] for q in gate["qubits"]]}
        for gate in properties["gates"]
        if all(q in place for q in gate["qubits"])
    ]
    properties["last_update_date"] = datetime.fromisoformat(properties["last_update_date"])
    return NoiseModel.from_backend_properties(
        BackendProperties.from_dict(properties), dt=float(device.configuration.get("dt", 1.0)) * 1e-9
    )
