"""The program `estimator` of the legacy V2 primitive: expectation values from sampled measurement bases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.primitives import PrimitiveResult
from qiskit.primitives.containers import DataBin
from qiskit.primitives.containers.observables_array import ObservablesArray
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime.results.estimator_pub import EstimatorPubResult

from ..backends import Device
from .errors import InvalidInputError
from .legacy import LegacyProgram, encode, parameter_values
from .program import Load
from .simulator import Simulator

DEFAULT_PRECISION = 1 / 64
# What TREX, the default measurement mitigation, learns a job: 32 randomizations of 1024 shots, as bills show.
TREX_EXECUTIONS = 32_768
MAX_SHOTS = 10_000_000

# A Pauli term: its letters, the qubits they act on, its coefficient.
Term = tuple[str, tuple[int, ...], float]


@dataclass(frozen=True, slots=True)
class EstimatorPub:
    """One PUB, its observables flattened."""

    circuit: QuantumCircuit
    observables: list[list[Term]]
    observables_shape: tuple[int, ...]
    values: NDArray[np.float64]
    precision: float
    shots: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the results: observables and parameter sets broadcast against each other."""
        return np.broadcast_shapes(self.observables_shape, self.values.shape[:-1])


class EstimatorProgram(LegacyProgram):
    """A legacy estimator job's params."""

    def __init__(self, params: dict[str, Any], device: Device) -> None:
        super().__init__(params, device)
        default_shots = self._options.get("default_shots")
        default = self._options.get("default_precision") or DEFAULT_PRECISION
        if default_shots:
            default = 1 / math.sqrt(default_shots)
        self._pubs = [self._pub(pub, default) for pub in self._raw_pubs]
        level = params.get("resilience_level", 1)
        resilience = self._options.get("resilience") or {}
        self._trex = bool(resilience.get("measure_mitigation", level >= 1))
        self._zne = bool(resilience.get("zne_mitigation", level >= 2))
        self._pec = bool(resilience.get("pec_mitigation"))
        factors = (resilience.get("zne") or {}).get("noise_factors")
        self._noise_factors = len(factors) if isinstance(factors, list) and factors else 3
        asked = {"measure_mitigation": self._trex, "zne_mitigation": self._zne, "pec_mitigation": self._pec}
        for name, wanted in asked.items():
            if wanted:
                self.notes.append(f"{name}: accepted and counted in the usage, not simulated by the legacy estimator.")

    def _pub(self, pub: list[Any], default: float) -> EstimatorPub:
        circuit, observables, values, precision = [*pub, None, None, None][:4]
        precision = default if precision is None else precision
        if not isinstance(precision, (int, float)) or not 0 < precision < math.inf:
            raise InvalidInputError(f"precision={precision!r}: give a number above 0")
        shots = math.ceil(1 / precision**2)
        if shots > MAX_SHOTS:
            raise InvalidInputError(f"precision={precision!r} needs {shots} shots, more than {MAX_SHOTS}")
        if observables is None:
            raise InvalidInputError("an estimator PUB needs observables")
        array = ObservablesArray.coerce(observables)
        flat = [_terms(observable, circuit.num_qubits) for observable in array.ravel().sparse_observables_array()]
        found = EstimatorPub(circuit, flat, array.shape, parameter_values(circuit, values), float(precision), shots)
        _ = found.shape  # refuses what cannot be broadcast
        return found

    @property
    def loads(self) -> list[Load]:
        """One per PUB: parameter sets times measurement bases times noise factors; TREX learns once a job."""
        loads = []
        for i, pub in enumerate(self._pubs):
            bases = max(1, len(_bases(pub.observables)))
            sets = max(1, math.prod(pub.values.shape[:-1])) * bases * (self._noise_factors if self._zne else 1)
            loads.append(Load(pub.circuit, sets, pub.shots, TREX_EXECUTIONS if self._trex and i == 0 else 0))
        return loads

    def run(self, simulator: Simulator) -> str:
        """A `PrimitiveResult` of `EstimatorPubResult`s."""
        results = []
        for pub in self._pubs:
            evs, stds = self._estimate(pub, simulator)
            data = DataBin(evs=evs, stds=stds, ensemble_standard_error=stds.copy(), shape=pub.shape)
            metadata = {
                "shots": pub.shots,
                "target_precision": pub.precision,
                "circuit_metadata": pub.circuit.metadata or {},
                "resilience": {},
                "num_randomizations": 32,
            }
            results.append(EstimatorPubResult(data, metadata=metadata))
        metadata = {
            "dynamical_decoupling": {"enable": False},
            "twirling": {"enable_gates": False, "enable_measure": self._trex},
            "resilience": {
                "measure_mitigation": self._trex,
                "zne_mitigation": self._zne,
                "pec_mitigation": self._pec,
            },
            "version": 2,
        }
        return encode(PrimitiveResult(results, metadata=metadata))

    def _estimate(self, pub: EstimatorPub, simulator: Simulator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values and standard errors, of the shape of the PUB."""
        samples = [self._sample(pub, basis, simulator) for basis in _bases(pub.observables)]
        shape = pub.shape
        sets = np.broadcast_to(np.arange(math.prod(pub.values.shape[:-1])).reshape(pub.values.shape[:-1]), shape)
        which = np.broadcast_to(np.arange(len(pub.observables)).reshape(pub.observables_shape), shape)
        evs, variances = np.zeros(shape), np.zeros(shape)
        for index in np.ndindex(shape):
            terms = pub.observables[which[index]]
            evs[index] = sum(coefficient for letters, _, coefficient in terms if not letters)
            for basis, signs in samples:
                mine = [term for term in terms if term[0] and _basis_of(term, samples) is basis]
                if not mine:
                    continue
                per_shot = np.zeros(pub.shots)
                for _, qubits, coefficient in mine:
                    per_shot += coefficient * np.prod([signs[q][sets[index]] for q in qubits], axis=0)
                evs[index] += per_shot.mean()
                variances[index] += per_shot.var(ddof=1) / pub.shots if pub.shots > 1 else 1.0
        return evs, np.sqrt(variances)

    def _sample(
        self, pub: EstimatorPub, basis: dict[int, str], simulator: Simulator
    ) -> tuple[dict[int, str], dict[int, NDArray[np.int8]]]:
        """±1 for each measured qubit, as arrays of shape (parameter sets, shots)."""
        register = ClassicalRegister(len(basis), "qmode_observable")
        circuit = pub.circuit.copy()
        circuit.add_register(register)
        for bit, (qubit, letter) in zip(register, basis.items(), strict=True):
            if letter == "Y":
                circuit.sdg(qubit)
            if letter in "XY":
                circuit.h(qubit)
            circuit.measure(qubit, bit)
        bits = simulator.sample(circuit, pub.values, pub.shots, self._seed)[register.name]
        flat = bits.reshape(-1, pub.shots, len(basis))
        return basis, {q: 1 - 2 * flat[:, :, i].astype(np.int8) for i, q in enumerate(basis)}


def _terms(observable: Any, num_qubits: int) -> list[Term]:
    if observable.num_qubits != num_qubits:
        raise InvalidInputError(f"an observable has {observable.num_qubits} qubits, its circuit {num_qubits}")
    operator = SparsePauliOp.from_sparse_observable(observable).simplify()
    return [(letters, tuple(qubits), float(np.real(c))) for letters, qubits, c in operator.to_sparse_list()]


def _bases(observables: list[list[Term]]) -> list[dict[int, str]]:
    """Measurement bases that cover all terms: qubit-wise commuting terms share one, first fit."""
    bases: list[dict[int, str]] = []
    for letters, qubits, _ in dict.fromkeys(term for terms in observables for term in terms if term[0]):
        wanted = dict(zip(qubits, letters, strict=True))
        for basis in bases:
            if all(basis.get(q, letter) == letter for q, letter in wanted.items()):
                basis.update(wanted)
                break
        else:
            bases.append(wanted)
    return bases


def _basis_of(term: Term, samples: list[tuple[dict[int, str], Any]]) -> dict[int, str] | None:
    """The first basis that measures a term."""
    letters, qubits, _ = term
    for basis, _ in samples:
        if all(basis.get(q) == letter for q, letter in zip(qubits, letters, strict=True)):
            return basis
    return None
