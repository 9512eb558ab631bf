"""Runs circuits on Aer, reduced to the qubits that matter.

The method is the state vector or, for circuits that are too large for it, the stabilizer.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import BoxOp, CircuitInstruction, Gate, Measure, Parameter, Reset
from qiskit.circuit.library import XGate
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_aer import AerError
from qiskit_aer.primitives import SamplerV2

from ..backends import Device
from .errors import JobError

# Aer returns one string per shot: this many at a time keep a worker's memory bounded.
_SHOTS_AT_ONCE = 500_000
_QUBITS_FOR_THREADS = 16


class Simulator:
    """Simulates ISA circuits of one backend."""

    def __init__(self, device: Device, *, noise: bool, max_qubits: int, threads: int) -> None:
        self.device = device
        self.noisy = noise
        self._max_qubits = max_qubits
        self._threads = threads

    def check(self, circuit: QuantumCircuit) -> None:
        """Check that the backend can run a circuit.

        Raises:
            JobError: it cannot; code 1517, the reason names the instruction.
        """
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
        """Return the measured bits of each classical register.

        Args:
            circuit: with its parameters unbound.
            values: shape (..., parameters), in the order of `circuit.parameters`.
            shots: per parameter set.
            seed: of the simulation; None draws one.

        Returns:
            Arrays of shape (..., shots, bits of the register), bit 0 first.
        """
        shape = values.shape[:-1]
        column = {p: i for i, p in enumerate(circuit.parameters)}
        flat = _snap(values.reshape(math.prod(shape), values.shape[-1]))
        out = {reg.name: np.zeros((len(flat), shots, len(reg)), dtype=np.bool_) for reg in circuit.cregs if len(reg)}
        if out and len(flat):
            circuit = _plain(circuit)
            alone = set() if self.noisy else _sample_alone(circuit, column, flat, shots, seed, out)
            together = min(10, self._max_qubits)
            for part, physical in parts(circuit, keep_delays=self.noisy, together=together, without=alone):
                kept = np.array([column[p] for p in part.parameters], dtype=np.intp)
                self._sample_part(part, physical, flat[:, kept], shots, seed, out)
        return {name: bits.reshape(*shape, *bits.shape[1:]) for name, bits in out.items()}

    def _sample_part(
        self,
        circuit: QuantumCircuit,
        physical: tuple[int, ...],
        values: NDArray[np.float64],
        shots: int,
        seed: int | None,
        out: dict[str, NDArray[np.bool_]],
    ) -> None:
        """Add one part's bits to `out`. No two parts write the same bit."""
        method = "statevector" if circuit.num_qubits <= self._max_qubits else "stabilizer"
        sampler = SamplerV2(seed=seed, options={"backend_options": self._options(method, physical, circuit.num_qubits)})
        step = max(1, _SHOTS_AT_ONCE // shots)
        for start in range(0, len(values), step):
            some = values[start : start + step]
            bound = circuit.num_parameters > 0
            binds = BindingsArray({tuple(circuit.parameters): some}) if bound else None
            pubs = [SamplerPub(circuit, binds, shots)] * (1 if bound else len(some))
            try:
                results = sampler.run(pubs).result()
            except AerError as error:
                if method == "statevector":
                    raise
                raise JobError(
                    9999,
                    f"The circuit entangles {circuit.num_qubits} qubits and is not Clifford: the emulator simulates up "
                    f"to {self._max_qubits} qubits, and more for Clifford circuits only.",
                    "Use fewer qubits, a Clifford circuit, or start the emulator with a larger max_qubits.",
                ) from error
            for i, pub in enumerate(results):
                where = slice(start, start + len(some)) if bound else start + i
                for name, bits in out.items():
                    bits[where] |= getattr(pub.data, name).to_bool_array(order="little")

    def _options(self, method: str, physical: tuple[int, ...], qubits: int) -> dict[str, Any]:
        # Threads wait for each other by spinning: on a busy machine two took 50 times as long as one for two qubits.
        threads = self._threads if qubits >= _QUBITS_FOR_THREADS else 1
        options: dict[str, Any] = {"method": method, "max_parallel_threads": threads}
        if self.noisy:
            options["noise_model"] = _noise_model(self.device, physical)
        return options


_FREE = frozenset({"barrier", "measure", "delay", "store"})


@lru_cache(maxsize=8)
def _instructions(device: Device) -> tuple[frozenset[str], frozenset[tuple[int, int]]]:
    config = device.configuration
    names = {*config["basis_gates"], *config.get("supported_instructions", ()), "barrier", "store"}
    names |= {"while_loop", "for_loop", "if_else", "switch_case", "box", "break_loop", "continue_loop"}
    return frozenset(names), frozenset((a, b) for a, b in config["coupling_map"])


def parts(
    circuit: QuantumCircuit, *, keep_delays: bool = False, together: int = 10, without: Collection[int] = ()
) -> list[tuple[QuantumCircuit, tuple[int, ...]]]:
    """Cut a circuit into parts that can be simulated by themselves, each with its physical qubits.

    Only qubits that are measured, or entangled with such, matter. Parts share no gate and no classical bit; small ones
    are put together, up to `together` qubits, since each is a run of its own. Barriers are dropped, and delays unless
    they are to be kept. Qubits in `without` are left out.
    """
    circuit = _plain(circuit)
    skipped = ("barrier",) if keep_delays else ("barrier", "delay")
    data = [inst for inst in circuit.data if inst.operation.name not in skipped]
    groups = _connected(circuit, data)
    measured = {groups[inst.qubits[0]] for inst in data if inst.qubits and inst.clbits}
    members: dict[int, list[int]] = {}
    for i, qubit in enumerate(circuit.qubits):
        if groups.get(qubit) in measured and i not in without:
            members.setdefault(groups[qubit], []).append(i)
    packs: list[list[int]] = []
    for qubits in sorted(members.values(), key=len):
        if packs and len(packs[-1]) + len(qubits) <= together:
            packs[-1].extend(qubits)
        else:
            packs.append(list(qubits))
    return [(_part(circuit, data, sorted(pack)), tuple(sorted(pack))) for pack in packs]


def _sample_alone(
    circuit: QuantumCircuit,
    column: dict[Parameter, int],
    values: NDArray[np.float64],
    shots: int,
    seed: int | None,
    out: dict[str, NDArray[np.bool_]],
) -> set[int]:
    """Sample the qubits that are entangled with no other, without Aer; add their bits to `out`.

    The client-side primitives measure every qubit of the backend, most of them alone: Aer takes a second for what is a
    product of 2×2 matrices. A qubit is left to Aer if it is measured more than once or in the middle, or has a gate
    with another kind of parameter than a number or a `Parameter`.

    Returns:
        The qubits that were sampled.
    """
    rng = np.random.default_rng(seed)
    sampled = set()
    for qubit, chain in _alone(circuit).items():
        state = np.zeros((len(values), 2), dtype=np.complex128)
        state[:, 0] = 1.0
        for operation in chain[:-1]:
            matrices = _matrices(operation.operation, column, values)
            if matrices is None:
                break
            state = np.einsum("...ij,...j->...i", matrices, state)
        else:
            bits = rng.random((len(values), shots)) < np.abs(state[:, 1, None]) ** 2
            for register, index in circuit.find_bit(chain[-1].clbits[0]).registers:
                if register.name in out:
                    out[register.name][:, :, index] |= bits
            sampled.add(qubit)
    return sampled


def _alone(circuit: QuantumCircuit) -> dict[int, list[CircuitInstruction]]:
    """Return the instructions of each qubit that has gates of its own only, and one measurement at the end."""
    chains: dict[Any, list[CircuitInstruction]] = {}
    excluded: set[Any] = set()
    uses: dict[Any, int] = {}
    for inst in circuit.data:
        if inst.operation.name in ("barrier", "delay"):
            continue
        for clbit in inst.clbits:
            uses[clbit] = uses.get(clbit, 0) + 1
        if len(inst.qubits) == 1 and inst.operation.name != "reset":
            chains.setdefault(inst.qubits[0], []).append(inst)
        else:
            excluded.update(inst.qubits)
    if circuit.num_vars + circuit.num_stretches:
        return {}
    return {
        circuit.find_bit(qubit).index: chain
        for qubit, chain in chains.items()
        if qubit not in excluded
        and chain[-1].operation.name == "measure"
        and uses[chain[-1].clbits[0]] == 1
        and not any(inst.clbits for inst in chain[:-1])
    }


_FIXED: dict[str, NDArray[np.complex128]] = {}


def _matrices(
    operation: Any, column: dict[Parameter, int], values: NDArray[np.float64]
) -> NDArray[np.complex128] | None:
    """Return a gate's 2×2 matrix, or one for each parameter set; None for a gate without."""
    name, params = operation.name, operation.params
    if not params:
        if name not in _FIXED:
            if not isinstance(operation, Gate):
                return None
            _FIXED[name] = np.asarray(operation.to_matrix())
        return _FIXED[name]
    if name not in ("rx", "ry", "rz") or len(params) != 1:
        return None
    if isinstance(params[0], Parameter):
        half = values[:, column[params[0]]] / 2
    elif isinstance(params[0], (int, float)):
        half = np.full(1, params[0] / 2)
    else:
        return None
    zero = np.zeros_like(half, dtype=np.complex128)
    if name == "rz":
        rows = [[np.exp(-1j * half), zero], [zero, np.exp(1j * half)]]
    else:
        turn = np.sin(half) * (-1j if name == "rx" else -1)
        rows = [[np.cos(half), turn], [turn if name == "rx" else -turn, np.cos(half)]]
    return np.moveaxis(np.array(rows, dtype=np.complex128), 2, 0)


def _connected(circuit: QuantumCircuit, data: list[CircuitInstruction]) -> dict[Any, int]:
    """Return a number for each qubit, equal for those that an instruction, classical bit or variable connects."""
    parent: dict[Any, Any] = {}

    def root(x: Any) -> Any:
        while parent.setdefault(x, x) is not x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    together = circuit.num_vars + circuit.num_stretches > 0
    for inst in data:
        wires = [*inst.qubits, *inst.clbits, *([circuit] if together else [])]
        for wire in wires[1:]:
            parent[root(wire)] = root(wires[0])
    return {q: id(root(q)) for q in {q for inst in data for q in inst.qubits}}


def _part(circuit: QuantumCircuit, data: list[CircuitInstruction], qubits: list[int]) -> QuantumCircuit:
    mine = {circuit.qubits[q] for q in qubits}
    part = QuantumCircuit(global_phase=circuit.global_phase)
    part.add_bits([circuit.qubits[q] for q in qubits])
    part.add_bits(circuit.clbits)
    part.add_register(*circuit.cregs)
    for var in circuit.iter_declared_vars():
        part.add_uninitialized_var(var)
    for stretch in circuit.iter_declared_stretches():
        part.add_stretch(stretch)
    for inst in data:
        if mine.issuperset(inst.qubits):
            part.append(inst, copy=False)
    return part


# The specially calibrated instructions, as Aer knows them.
_SUBSTITUTES = {
    "measure_2": (Measure,),
    "reset_2": (Reset,),
    "measure_reset": (Measure, Reset),
    "measure_reset_2": (Measure, Reset),
    "xslow": (XGate,),
}


def _plain(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit without boxes and without specially calibrated instructions."""
    if not any(_replaced(inst.operation) for inst in circuit.data):
        return circuit
    plain = circuit.copy_empty_like()
    for inst in circuit.data:
        operation = inst.operation
        if isinstance(operation, BoxOp):
            plain.compose(_plain(operation.body), inst.qubits, inst.clbits, inplace=True, copy=False)
        elif blocks := getattr(operation, "blocks", None):
            plain.append(operation.replace_blocks([_plain(b) for b in blocks]), inst.qubits, inst.clbits)
        elif kinds := _SUBSTITUTES.get(operation.name):
            for kind in kinds:
                plain.append(kind(), inst.qubits, inst.clbits if kind is Measure else ())
        else:
            plain.append(inst, copy=False)
    return plain


def _replaced(operation: Any) -> bool:
    return bool(getattr(operation, "blocks", None)) or operation.name in _SUBSTITUTES


def iq_points(bits: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.complex128]:
    """Return synthetic kerneled data: one cloud around −1 for 0 and one around +1 for 1."""
    noise = rng.normal(scale=0.3, size=bits.shape) + 1j * rng.normal(scale=0.3, size=bits.shape)
    points: NDArray[np.complex128] = np.where(bits, 1.0, -1.0) + noise
    return points


def _snap(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round angles that are a rounding error away from a multiple of π/2, so that Clifford circuits stay Clifford."""
    quarter = np.round(values / (np.pi / 2)) * (np.pi / 2)
    snapped: NDArray[np.float64] = np.where(np.abs(values - quarter) < 1e-6, quarter, values)
    return snapped


@lru_cache(maxsize=32)
def _noise_model(device: Device, physical: tuple[int, ...]) -> Any:
    """Return the calibration's noise on these qubits, numbered as in the reduced circuit."""
    from datetime import datetime

    from qiskit_aer.noise import NoiseModel
    from qiskit_ibm_runtime.models import BackendProperties

    place = {q: i for i, q in enumerate(physical)}
    properties = dict(device.properties)
    # The frequency matters only at a temperature above 0, which is not used here. Newer backends give none.
    frequency = {"date": properties["last_update_date"], "name": "frequency", "unit": "GHz", "value": 5.0}
    properties["qubits"] = [
        [p for p in properties["qubits"][q] if p["name"] != "frequency"] + [frequency] for q in physical
    ]
    properties["gates"] = [
        {**gate, "qubits": [place[q] for q in gate["qubits"]]}
        for gate in properties["gates"]
        if all(q in place for q in gate["qubits"])
    ]
    properties["last_update_date"] = datetime.fromisoformat(properties["last_update_date"])
    return NoiseModel.from_backend_properties(
        BackendProperties.from_dict(properties), dt=float(device.configuration.get("dt", 1.0)) * 1e-9
    )
