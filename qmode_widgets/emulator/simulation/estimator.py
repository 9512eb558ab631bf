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
from qiskit.quantum_info import PauliList, SparsePauliOp
from qiskit_ibm_runtime.results.estimator_pub import EstimatorPubResult

from ..backends import Device
from .errors import InvalidInputError
from .legacy import LegacyProgram, parameter_values
from .program import Load, simulation
from .simulator import Simulator

DEFAULT_PRECISION = 1 / 64
# TREX, the default measurement mitigation, learns once a job: 32 randomizations of 1024 shots were billed.
TREX_RANDOMIZATIONS = 32
TREX_SHOTS = 1024
MAX_SHOTS = 10_000_000
# By resilience level: gates twirled, measurements twirled, TREX, ZNE.
_LEVELS = {0: (False, False, False, False), 1: (False, True, True, False), 2: (True, True, True, True)}
_TO_PAULI = str.maketrans({"0": "Z", "1": "Z", "+": "X", "-": "X", "r": "Y", "l": "Y"})

# A Pauli term: its letters, the qubits they act on, its coefficient.
Term = tuple[str, tuple[int, ...], float]
# A measurement basis: the letter that is measured on each qubit.
Basis = dict[int, str]


@dataclass(frozen=True, slots=True)
class Group:
    """Parameter sets that meet the same observables, and the bases that measure these."""

    observables: tuple[int, ...]
    sets: NDArray[np.intp]
    bases: list[Basis]


@dataclass(frozen=True, slots=True)
class EstimatorPub:
    """One PUB, its observables and parameter sets flattened."""

    circuit: QuantumCircuit
    observables: list[list[Term]]
    observables_shape: tuple[int, ...]
    values: NDArray[np.float64]
    precision: float
    shots: int
    randomizations: int
    groups: list[Group]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the results: observables and parameter sets broadcast against each other."""
        return np.broadcast_shapes(self.observables_shape, self.values.shape[:-1])

    @property
    def configurations(self) -> int:
        """Circuits after broadcasting: a parameter set counts once for each basis."""
        return sum(len(group.sets) * len(group.bases) for group in self.groups)


class EstimatorProgram(LegacyProgram):
    """A legacy estimator job's params."""

    def __init__(self, params: dict[str, Any], device: Device) -> None:
        more = {"seed_estimator", "default_precision", "resilience"}
        super().__init__(params, device, {"resilience_level", "precision"}, more)
        level = params.get("resilience_level", 1)
        if level not in _LEVELS:
            raise InvalidInputError(f"resilience_level={str(level)[:60]!r}: give 0, 1 or 2")
        twirl_gates, twirl_measure, trex, zne = _LEVELS[level]
        resilience, twirling = self._group("resilience"), self._group("twirling")
        self._trex = bool(resilience.get("measure_mitigation", trex))
        self._pec = bool(resilience.get("pec_mitigation"))
        self._zne = bool(resilience.get("zne_mitigation", zne and not self._pec))
        self._twirl_gates = bool(twirling.get("enable_gates", twirl_gates)) or self._pec
        self._twirl_measure = bool(twirling.get("enable_measure", twirl_measure)) or self._trex or self._pec
        self._layer_noise = resilience.get("layer_noise_model")  # given back as it came, never built
        factors = (resilience.get("zne") or {}).get("noise_factors")
        self._noise_factors = len(factors) if isinstance(factors, list) and factors else 3
        learning = resilience.get("measure_noise_learning") or {}
        self._trex_randomizations = _count(learning, "num_randomizations", TREX_RANDOMIZATIONS)
        self._trex_executions = self._trex_randomizations * _count(learning, "shots_per_randomization", TREX_SHOTS)
        self._own_precision = bool(params.get("precision"))  # given to `run()`: as if every PUB had it
        default = params.get("precision") or self._default_precision()
        self._pubs = [self._pub(pub, default) for pub in self._raw_pubs]
        asked = {"measure_mitigation": self._trex, "zne_mitigation": self._zne, "pec_mitigation": self._pec}
        for name, wanted in asked.items():
            if wanted:
                self.notes.append(f"{name}: accepted and counted in the usage, not simulated by the legacy estimator.")

    def _default_precision(self) -> Any:
        shots = self._options.get("default_shots")
        return 1 / math.sqrt(shots) if shots else self._options.get("default_precision") or DEFAULT_PRECISION

    def _pub(self, pub: list[Any], default: Any) -> EstimatorPub:
        circuit, observables, values, precision = [*pub, None, None, None][:4]
        own = precision is not None or self._own_precision
        precision = default if precision is None else precision
        if not isinstance(precision, (int, float)) or not 0 < precision < math.inf:
            raise InvalidInputError(f"precision={precision!r}: give a number above 0")
        randomizations, each = self._split(math.ceil(1 / precision**2), own=own)
        shots = randomizations * each
        if shots > MAX_SHOTS:
            raise InvalidInputError(f"precision={precision!r} needs {shots} shots, more than {MAX_SHOTS}")
        if observables is None:
            raise InvalidInputError("an estimator PUB needs observables")
        array = ObservablesArray.coerce(observables)
        flat = array.ravel()
        terms = [_terms(observable, circuit.num_qubits) for observable in flat.sparse_observables_array()]
        given = parameter_values(circuit, values)
        labels = [tuple(dict.fromkeys(str(key).translate(_TO_PAULI) for key in flat[i])) for i in range(len(terms))]
        groups = _groups(array.shape, given.shape[:-1], labels)
        return EstimatorPub(circuit, terms, array.shape, given, float(precision), shots, randomizations, groups)

    def _split(self, shots: int, *, own: bool) -> tuple[int, int]:
        """Return the number of randomizations and the shots of each, rounded as the client documents it.

        Where both are set, their product replaces the default precision, not a PUB's `own`, which is obeyed.
        """
        if not (self._twirl_gates or self._twirl_measure):
            return 1, shots
        number, per = self._randomizations()
        if number is not None and per is not None and own:
            number = None
        if per is None:
            least = 64 if self._pec else max(64, math.ceil(shots / 32))
            per = least if number is None else math.ceil(shots / number)
        return (math.ceil(shots / per) if number is None else number), per

    @property
    def loads(self) -> list[Load]:
        """One load for each PUB: circuits after broadcasting times noise factors; TREX learns once a job."""
        loads = []
        for i, pub in enumerate(self._pubs):
            sets = pub.configurations * (self._noise_factors if self._zne else 1)
            twirled = self._twirl_gates or self._twirl_measure
            randomized = sets * pub.randomizations if twirled else 0
            learning = 0
            if self._trex and i == 0:
                learning = self._trex_executions
                randomized += self._trex_randomizations
            loads.append(Load(pub.circuit, sets, pub.shots, learning, randomized))
        return loads

    def run(self, simulator: Simulator) -> str:
        """Return a `PrimitiveResult` of `EstimatorPubResult`s."""
        results = []
        for pub in self._pubs:
            evs, stds = self._estimate(pub, simulator)
            data = DataBin(evs=evs, stds=stds, ensemble_standard_error=stds.copy(), shape=pub.shape)
            metadata = {
                "shots": pub.shots,
                "target_precision": pub.precision,
                "circuit_metadata": pub.circuit.metadata or {},
                "resilience": {},
                "num_randomizations": pub.randomizations,
            } | simulation(simulator.used())
            results.append(EstimatorPubResult(data, metadata=metadata))
        metadata = {
            "dynamical_decoupling": {"enable": False},
            "twirling": {"enable_gates": self._twirl_gates, "enable_measure": self._twirl_measure},
            "resilience": {
                "measure_mitigation": self._trex,
                "zne_mitigation": self._zne,
                "pec_mitigation": self._pec,
                **({} if self._layer_noise is None else {"layer_noise_model": self._layer_noise}),
            },
            "version": 2,
        }
        return self._encode(PrimitiveResult(results, metadata=metadata))

    def _estimate(self, pub: EstimatorPub, simulator: Simulator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values and standard errors, both of the shape of the PUB."""
        shape = pub.shape
        which = np.broadcast_to(np.arange(len(pub.observables)).reshape(pub.observables_shape), shape)
        sets = np.broadcast_to(np.arange(_size(pub.values.shape[:-1])).reshape(pub.values.shape[:-1]), shape)
        evs, variances = np.zeros(shape), np.zeros(shape)
        for group in pub.groups:
            samples = [self._sample(pub, group.sets, basis, simulator) for basis in group.bases]
            row = {int(s): i for i, s in enumerate(group.sets)}
            for index in np.argwhere(np.isin(sets, group.sets)):
                place = tuple(index)
                mean, variance = _measured(pub.observables[which[place]], group.bases, samples, row[int(sets[place])])
                evs[place], variances[place] = mean, variance / pub.shots
        return evs, np.asarray(np.sqrt(variances))

    def _sample(
        self, pub: EstimatorPub, sets: NDArray[np.intp], basis: Basis, simulator: Simulator
    ) -> dict[int, NDArray[np.int8]]:
        """Return ±1 for each measured qubit, as arrays of shape (parameter sets, shots)."""
        if not basis:
            return {}
        register = ClassicalRegister(len(basis), "qmode_observable")
        circuit = pub.circuit.copy()
        circuit.add_register(register)
        for bit, (qubit, letter) in zip(register, basis.items(), strict=True):
            if letter == "Y":
                circuit.sdg(qubit)
            if letter in "XY":
                circuit.h(qubit)
            circuit.measure(qubit, bit)
        values = pub.values.reshape(_size(pub.values.shape[:-1]), pub.values.shape[-1])[sets]
        bits = simulator.sample(circuit, values, pub.shots, self._seed)[register.name]
        return {q: 1 - 2 * bits[:, :, i].astype(np.int8) for i, q in enumerate(basis)}


def _measured(
    terms: list[Term], bases: list[Basis], samples: list[dict[int, NDArray[np.int8]]], row: int
) -> tuple[float, float]:
    """Return the mean of an observable, and the sum over the bases of the variance of a shot."""
    mean = sum(coefficient for letters, _, coefficient in terms if not letters)
    variance = 0.0
    by_basis: dict[int, list[Term]] = {}
    for term in terms:
        if term[0]:
            by_basis.setdefault(_basis_of(term, bases), []).append(term)
    for i, mine in by_basis.items():
        signs = samples[i]
        per_shot = sum(
            coefficient * np.prod([signs[q][row] for q in qubits], axis=0, dtype=np.int8)
            for _, qubits, coefficient in mine
        )
        shots = np.asarray(per_shot, dtype=np.float64)
        mean += float(shots.mean())
        variance += float(shots.var(ddof=1)) if len(shots) > 1 else 1.0
    return mean, variance


def _count(options: dict[str, Any], name: str, default: int) -> int:
    value = options.get(name, "auto")
    if value == "auto":
        return default
    if type(value) is not int or value < 1:
        raise InvalidInputError(f"{name}={str(value)[:60]!r}: give a whole number of at least 1, or auto")
    return value


def _size(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


def _terms(observable: Any, num_qubits: int) -> list[Term]:
    if observable.num_qubits != num_qubits:
        raise InvalidInputError(f"an observable has {observable.num_qubits} qubits, its circuit {num_qubits}")
    operator = SparsePauliOp.from_sparse_observable(observable).simplify()
    return [(letters, tuple(qubits), float(np.real(c))) for letters, qubits, c in operator.to_sparse_list()]


def _groups(observables: tuple[int, ...], sets: tuple[int, ...], labels: list[tuple[str, ...]]) -> list[Group]:
    """Return the parameter sets of a PUB by the observables that they meet when both are broadcast.

    Bases are counted as in the client: all terms that a parameter set meets are grouped into qubit-wise commuting ones.
    """
    shape = np.broadcast_shapes(observables, sets)
    which = np.broadcast_to(np.arange(_size(observables)).reshape(observables), shape).ravel()
    meets = np.broadcast_to(np.arange(_size(sets)).reshape(sets), shape).ravel()
    met: dict[int, dict[int, None]] = {}
    for s, o in zip(meets.tolist(), which.tolist(), strict=True):
        met.setdefault(s, {})[o] = None
    together: dict[tuple[int, ...], list[int]] = {}
    for s, found in met.items():
        together.setdefault(tuple(sorted(found)), []).append(s)
    return [Group(o, np.array(s, dtype=np.intp), _bases([labels[i] for i in o])) for o, s in together.items()]


def _bases(labels: list[tuple[str, ...]]) -> list[Basis]:
    """Return measurement bases for all Pauli labels, by Qiskit's grouping of qubit-wise commuting ones."""
    every = list(dict.fromkeys(label for some in labels for label in some))
    bases = []
    for group in PauliList(every).group_commuting(qubit_wise=True) if len(every) > 1 else [PauliList(every)]:
        x, z = group.x.any(axis=0), group.z.any(axis=0)
        bases.append({int(q): "Y" if x[q] and z[q] else "X" if x[q] else "Z" for q in np.flatnonzero(x | z)})
    return bases


def _basis_of(term: Term, bases: list[Basis]) -> int:
    """Return the index of the first basis that measures a term."""
    letters, qubits, _ = term
    for i, basis in enumerate(bases):
        if all(basis.get(q) == letter for q, letter in zip(qubits, letters, strict=True)):
            return i
    raise AssertionError(f"no basis measures {letters} on {qubits}")
