"""Runs circuits on Aer, reduced to the qubits that matter, by the first of these methods that can:

state vector up to `max_qubits`, stabilizer for Clifford circuits, matrix product state within a bond dimension and a
budget of seconds, the nearest Clifford circuit. Every part of a circuit has its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import BoxOp, CircuitInstruction, Gate, Measure, Parameter, ParameterExpression, Reset
from qiskit.circuit.classical import expr
from qiskit.circuit.library import CXGate, HGate, RXGate, RZGate, RZZGate, XGate
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_aer import AerError
from qiskit_aer.primitives import SamplerV2
from scipy.sparse import coo_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from ..backends import Device
from .errors import JobError
from .methods import CLIFFORD, MPS, SHAPES, STABILIZER, STATEVECTOR, Inexact, Settings, Simulated, worst

# Aer returns one string per shot: this many at a time keep a worker's memory bounded.
_SHOTS_AT_ONCE = 500_000
_QUBITS_FOR_THREADS = 16
_SNAP = 1e-6  # radians: an angle that is closer to a multiple of π/2 is taken for it
PAULI_NOISE = "with the noise of gates and readout, without relaxation"
NO_MEMORY = "The job ran out of memory."


class Simulator:
    """Simulates ISA circuits of one backend."""

    def __init__(self, device: Device, settings: Settings) -> None:
        self.device = device
        self.noisy = settings.noise and settings.choice != SHAPES
        self._settings = settings
        self._used: list[Simulated] = []
        self._told: list[Simulated] = []
        self._until = math.inf if settings.seconds is None else time.monotonic() + settings.seconds

    def used(self) -> Simulated | None:
        """Return the least exact method since the last call; None if nothing was simulated."""
        self._told += self._used
        used, self._used = worst(self._used), []
        return used

    def used_by_job(self) -> Simulated | None:
        """Return the least exact method of all; None if nothing was simulated."""
        return worst(self._told + self._used)

    def hold(self, sizes: Collection[int]) -> None:
        """Check that results of so many measured bits can be held, a byte each and three times as much to encode them.

        Raises:
            JobError: they cannot.
        """
        if (needed := 4 * sum(sizes)) > self._settings.memory:
            raise JobError(
                9998,
                f"{NO_MEMORY} Its results need {needed / 2**30:.1f} GiB, a simulation may use "
                f"{self._settings.memory / 2**30:.1f} GiB.",
                "Use fewer shots, parameter sets or measured qubits, or split the job.",
            )

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
            if self._settings.choice == SHAPES:
                rng = np.random.default_rng(seed)
                out = {name: rng.integers(2, size=bits.shape, dtype=np.bool_) for name, bits in out.items()}
                self._used.append(Simulated(SHAPES))
            elif circuit.num_vars:
                raise JobError(
                    9999,
                    "The circuit has classical variables, which the emulator does not simulate.",
                    "Use classical bits and expressions of them, or start the emulator with simulation='shapes'.",
                )
            else:
                self._sample_parts(_plain(circuit), column, flat, shots, seed, out)
        return {name: bits.reshape(*shape, *bits.shape[1:]) for name, bits in out.items()}

    def _sample_parts(
        self,
        circuit: QuantumCircuit,
        column: dict[Parameter, int],
        values: NDArray[np.float64],
        shots: int,
        seed: int | None,
        out: dict[str, NDArray[np.bool_]],
    ) -> None:
        alone = set() if self.noisy else _sample_alone(circuit, column, values, shots, seed, out)
        if alone:
            self._used.append(Simulated(STATEVECTOR))
        together = min(10, self._settings.max_qubits)
        for part, physical in parts(circuit, keep_delays=self.noisy, together=together, without=alone):
            kept = np.array([column[p] for p in part.parameters], dtype=np.intp)
            run = Run(part, physical, values[:, kept], shots, seed, out)
            self._used.append(self._methods[self._settings.choice](self, run))

    def _auto(self, run: Run) -> Simulated:
        settings = self._settings
        if settings.holds_statevector(run.circuit.num_qubits):
            return self._statevector(run)
        try:
            return self._stabilizer(run)
        except AerError:
            if settings.inexact is None:
                raise Inexact(slow=not settings.holds_mps(run.circuit.num_qubits)) from None
        return self._mps(run) if settings.inexact == MPS else self._nearest_clifford(run)

    def _statevector(self, run: Run) -> Simulated:
        n, memory = run.circuit.num_qubits, self._settings.memory
        if not self._settings.holds_statevector(n):
            raise JobError(
                9998,
                f"{NO_MEMORY} A state vector of {n} entangled qubits needs {2.0 ** (n - 26):g} GiB; the emulator holds "
                f"up to {self._settings.max_qubits} qubits and {memory / 2**30:.1f} GiB.",
                "Use fewer qubits, or start the emulator with simulation='auto' or a larger max_qubits.",
            )
        self._aer(STATEVECTOR, run)
        return Simulated(STATEVECTOR)

    def _stabilizer(self, run: Run) -> Simulated:
        self._aer(STABILIZER, run.of(_without_rotations(run.circuit)))
        return Simulated(STABILIZER, noise=PAULI_NOISE if self.noisy else None)

    def _only_stabilizer(self, run: Run) -> Simulated:
        try:
            return self._stabilizer(run)
        except AerError as error:
            raise JobError(
                9999,
                f"The circuit entangles {run.circuit.num_qubits} qubits and is not Clifford: simulation='stabilizer' "
                "takes Clifford circuits only.",
                "Use a Clifford circuit, or start the emulator with simulation='auto'.",
            ) from error

    def _mps(self, run: Run) -> Simulated:
        """One parameter set at a time, so that a job that would take too long is given up early."""
        if not self._settings.holds_mps(run.circuit.num_qubits):
            raise JobError(
                9998,
                f"{NO_MEMORY} A matrix product state of bond dimension {self._settings.bond_dimension} does not fit.",
                "Start the emulator with a smaller bond_dimension.",
            )
        ordered = run.of(*along_line(run.circuit, run.physical))
        began = time.monotonic()
        for done in range(len(run.values)):
            now = time.monotonic()
            if done and now + (now - began) / done * (len(run.values) - done) > self._until:
                raise Inexact(slow=True)
            self._aer(MPS, ordered, slice(done, done + 1))
        return Simulated(MPS, self._settings.bond_dimension)

    def _nearest_clifford(self, run: Run) -> Simulated:
        found, changed = nearest_clifford(run.circuit, run.values)
        for where, circuit, values in found:
            part = run.of(_without_rotations(circuit), values=values)
            self._aer(STABILIZER, part, slice(0, len(values)), where.start)
        method = CLIFFORD if changed else STABILIZER
        return Simulated(method, noise=PAULI_NOISE if self.noisy else None)

    _methods: ClassVar[dict[str, Callable[[Simulator, Run], Simulated]]] = {
        "auto": _auto,
        STATEVECTOR: _statevector,
        STABILIZER: _only_stabilizer,
        MPS: _mps,
        CLIFFORD: _nearest_clifford,
    }

    def _aer(self, method: str, run: Run, chosen: slice = slice(None), first: int = 0) -> None:
        """Add the bits of one part to those of its circuit. No two parts write the same bit.

        Args:
            method: Aer's.
            run: the part.
            chosen: which of its parameter sets.
            first: the row of the bits that the first of them has.
        """
        options = self._options(method, run)
        sampler = SamplerV2(seed=run.seed, options={"backend_options": options})
        step = max(1, _SHOTS_AT_ONCE // run.shots)
        circuit, indices = run.circuit, range(*chosen.indices(len(run.values)))
        for start in range(indices.start, indices.stop, step):
            some = run.values[start : min(start + step, indices.stop)]
            bound = circuit.num_parameters > 0
            binds = BindingsArray({tuple(circuit.parameters): some}) if bound else None
            pubs = [SamplerPub(circuit, binds, run.shots)] * (1 if bound else len(some))
            for i, pub in enumerate(sampler.run(pubs).result()):
                row = first + start
                where = slice(row, row + len(some)) if bound else row + i
                for name, bits in run.out.items():
                    bits[where] |= getattr(pub.data, name).to_bool_array(order="little")

    def _options(self, method: str, run: Run) -> dict[str, Any]:
        # Threads wait for each other by spinning: on a busy machine two took 50 times as long as one for two qubits.
        threads = self._settings.threads if run.circuit.num_qubits >= _QUBITS_FOR_THREADS else 1
        options: dict[str, Any] = {"method": method, "max_parallel_threads": threads}
        if method == STATEVECTOR:
            options["max_memory_mb"] = max(1, self._settings.memory // 2**20)
        if method == MPS:
            options["matrix_product_state_max_bond_dimension"] = self._settings.bond_dimension
        if self.noisy:
            options["noise_model"] = _noise_model(self.device, run.physical, relaxation=method != STABILIZER)
        return options


@dataclass(frozen=True, slots=True)
class Run:
    """One part of a circuit, with what it is run with.

    Args:
        circuit: with its parameters unbound.
        physical: the qubit of the backend that each of its qubits is.
        values: shape (sets, parameters), in the order of `circuit.parameters`.
        shots: per parameter set.
        seed: of the simulation; None draws one.
        out: the bits of the whole circuit by register, to which those of this part are added.
    """

    circuit: QuantumCircuit
    physical: tuple[int, ...]
    values: NDArray[np.float64]
    shots: int
    seed: int | None
    out: dict[str, NDArray[np.bool_]]

    def of(
        self,
        circuit: QuantumCircuit,
        physical: tuple[int, ...] | None = None,
        values: NDArray[np.float64] | None = None,
    ) -> Run:
        """Return the same run of another form of the circuit."""
        return replace(
            self,
            circuit=circuit,
            physical=self.physical if physical is None else physical,
            values=self.values if values is None else values,
        )


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
    """Return a number for each qubit, equal for those that an instruction or a classical bit connects."""
    parent: dict[Any, Any] = {}

    def root(x: Any) -> Any:
        while parent.setdefault(x, x) is not x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    for inst in data:
        wires = [*inst.qubits, *inst.clbits]
        for wire in wires[1:]:
            parent[root(wire)] = root(wires[0])
    return {q: id(root(q)) for q in {q for inst in data for q in inst.qubits}}


def _part(circuit: QuantumCircuit, data: list[CircuitInstruction], qubits: list[int]) -> QuantumCircuit:
    mine = {circuit.qubits[q] for q in qubits}
    part = QuantumCircuit(global_phase=circuit.global_phase)
    part.add_bits([circuit.qubits[q] for q in qubits])
    part.add_bits(circuit.clbits)
    part.add_register(*circuit.cregs)
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
    """Return a circuit without boxes, specially calibrated instructions and stretches, whose length is not known."""
    if not circuit.num_stretches and not any(_replaced(inst.operation) for inst in circuit.data):
        return circuit
    plain = circuit.copy_empty_like(vars_mode="drop")
    for inst in circuit.data:
        operation = inst.operation
        if operation.name == "delay" and isinstance(operation.duration, expr.Expr):
            continue
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


def _rebuilt(
    circuit: QuantumCircuit, rewrite: Callable[[Any], list[tuple[Any, tuple[int, ...]]] | None]
) -> QuantumCircuit:
    """Return a circuit with some operations replaced, also in its blocks.

    Args:
        circuit: the circuit.
        rewrite: takes an operation and returns what stands in its place, each with the indices of the operation's
            qubits that it acts on; None leaves the operation as it is.
    """
    rebuilt = circuit.copy_empty_like()
    for inst in circuit.data:
        operation = inst.operation
        if blocks := getattr(operation, "blocks", None):
            changed = operation.replace_blocks([_rebuilt(block, rewrite) for block in blocks])
            rebuilt.append(changed, inst.qubits, inst.clbits)
        elif (instead := rewrite(operation)) is not None:
            for other, indices in instead:
                rebuilt.append(other, [inst.qubits[i] for i in indices], copy=False)
        else:
            rebuilt.append(inst, copy=False)
    return rebuilt


def _without_rotations(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit with `rx` and `rzz` in terms of `rz`, the one rotation that Aer's stabilizer method takes."""

    def rewrite(operation: Any) -> list[tuple[Any, tuple[int, ...]]] | None:
        if operation.name == "rx":
            return [(HGate(), (0,)), (RZGate(operation.params[0]), (0,)), (HGate(), (0,))]
        if operation.name == "rzz":
            return [(CXGate(), (0, 1)), (RZGate(operation.params[0]), (1,)), (CXGate(), (0, 1))]
        return None

    return _rebuilt(circuit, rewrite)


_ROTATIONS = {"rz": RZGate, "rx": RXGate, "rzz": RZZGate}


def nearest_clifford(
    circuit: QuantumCircuit, values: NDArray[np.float64]
) -> tuple[list[tuple[slice, QuantumCircuit, NDArray[np.float64]]], bool]:
    """Round every angle to the nearest multiple of π/2.

    This is the rule of the client's `ConvertISAToClifford`, which itself takes no control flow and gives parameters
    random angles.

    Returns:
        Circuits and their parameter values, each with the slice of the parameter sets that it stands for. There is one
        circuit if each angle is a number or a parameter; where it is an expression, one for each parameter set. And
        whether an angle changed.
    """
    changed = False

    def quarters(angles: Any) -> NDArray[np.float64]:
        nonlocal changed
        rounded: NDArray[np.float64] = np.floor(np.asarray(angles) / (np.pi / 2) + 0.5) * (np.pi / 2)
        changed = changed or not np.allclose(angles, rounded, rtol=0, atol=_SNAP)
        return rounded

    def rewrite(operation: Any) -> list[tuple[Any, tuple[int, ...]]] | None:
        kind = _ROTATIONS.get(operation.name)
        if kind is None or isinstance(operation.params[0], ParameterExpression):
            return None
        return [(kind(float(quarters(float(operation.params[0])))), tuple(range(operation.num_qubits)))]

    if not _has_expressions(circuit):
        one = (slice(0, len(values)), _rebuilt(circuit, rewrite), quarters(values))
        return [one], changed
    found = []
    for i, row in enumerate(values):
        bound = circuit.assign_parameters(dict(zip(circuit.parameters, row, strict=True)))
        found.append((slice(i, i + 1), _rebuilt(bound, rewrite), np.zeros((1, 0))))
    return found, changed


def _has_expressions(circuit: QuantumCircuit) -> bool:
    for inst in circuit.data:
        operation = inst.operation
        if any(_has_expressions(block) for block in getattr(operation, "blocks", None) or ()):
            return True
        if any(isinstance(p, ParameterExpression) and not isinstance(p, Parameter) for p in operation.params):
            return True
    return False


def along_line(circuit: QuantumCircuit, physical: tuple[int, ...]) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Order the qubits so that entangled ones are neighbours, as a matrix product state needs them.

    Reverse Cuthill–McKee keeps a line as it is, and gives other graphs a small bandwidth.
    """
    n = circuit.num_qubits
    pairs = [
        (circuit.find_bit(a).index, circuit.find_bit(b).index)
        for inst in circuit.data
        for i, a in enumerate(inst.qubits)
        for b in inst.qubits[:i]
    ]
    rows, columns = zip(*(pairs + [(b, a) for a, b in pairs]), strict=True) if pairs else ((), ())
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(n, n)).tocsr()
    order = [int(q) for q in reverse_cuthill_mckee(graph, symmetric_mode=True)]
    return _part(circuit, list(circuit.data), order), tuple(physical[q] for q in order)


def iq_points(bits: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.complex128]:
    """Return synthetic kerneled data: one cloud around −1 for 0 and one around +1 for 1."""
    noise = rng.normal(scale=0.3, size=bits.shape) + 1j * rng.normal(scale=0.3, size=bits.shape)
    points: NDArray[np.complex128] = np.where(bits, 1.0, -1.0) + noise
    return points


def _snap(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round angles that are a rounding error away from a multiple of π/2, so that Clifford circuits stay Clifford."""
    quarter = np.round(values / (np.pi / 2)) * (np.pi / 2)
    snapped: NDArray[np.float64] = np.where(np.abs(values - quarter) < _SNAP, quarter, values)
    return snapped


@lru_cache(maxsize=32)
def _noise_model(device: Device, physical: tuple[int, ...], *, relaxation: bool) -> Any:
    """Return the calibration's noise on these qubits, numbered as in the reduced circuit.

    Without relaxation it is Pauli noise, which the stabilizer method can simulate.
    """
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
        BackendProperties.from_dict(properties),
        thermal_relaxation=relaxation,
        dt=float(device.configuration.get("dt", 1.0)) * 1e-9,
    )
