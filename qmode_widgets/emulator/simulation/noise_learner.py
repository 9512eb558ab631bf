"""The program `noise-learner`: schema v0.3 of `NoiseLearnerV3`, and the deprecated version 2 of `NoiseLearner`.

The noise model is not learned from simulated experiments. It is taken from the calibration, with the statistical error
of the number of shots asked for. Without the option `noise` the emulated QPU has none, and the rates are zero.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from itertools import accumulate, combinations, product
from typing import Any, Protocol

import numpy as np
from ibm_quantum_schemas.common import F64TensorModel
from ibm_quantum_schemas.noise_learner_v3.version_0_3 import ParamsModel
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression, Qubit
from qiskit.quantum_info import PauliList, SparsePauliOp
from qiskit_ibm_runtime.results.noise_learner import LayerError, PauliLindbladError

from ..backends import Device
from .errors import InvalidInputError
from .legacy import encode, refuse_unknown
from .payload import check_qpy, circuit_of, read
from .program import Load
from .simulator import Simulator

VERSION = "v0.3"
_BASES = 9  # measurement bases that learn all weight-two Paulis of a layer


Generator = tuple[str, tuple[int, ...], float]  # a Pauli's letters, the qubits of the box they are on, its rate


class Experiments(Protocol):
    """How much is learned of a box."""

    @property
    def num_randomizations(self) -> int:
        """Random circuits for each measurement basis and depth."""
        ...

    @property
    def shots_per_randomization(self) -> int:
        """Shots of each of them."""
        ...

    @property
    def layer_pair_depths(self) -> list[int]:
        """Depths in pairs of the box."""
        ...


def program(params: dict[str, Any], device: Device) -> NoiseLearnerProgram:
    """Return a noise learner's job: version 2 has no `schema_version`."""
    return NoiseLearnerProgram(params, device) if "schema_version" in params else NoiseLearnerV2Program(params, device)


class NoiseLearnerProgram:
    """A noise learner job's params: boxes of gates (Lindblad) or of measurements (TREX)."""

    seconds = 0.0

    def __init__(self, params: dict[str, Any], device: Device) -> None:
        if (version := params["schema_version"]) != VERSION:
            raise InvalidInputError(f"schema_version {version!r} is not supported: this emulator supports {VERSION}")
        check_qpy(params["instructions"].get("circuit_b64"), compressed=False)
        model = ParamsModel.model_validate({k: v for k, v in params.items() if k != "version"})
        self._circuit = model.instructions.to_quantum_circuit()
        self._options: Experiments = model.options
        self._device = device
        self.rep_delay: float | None = model.options.rep_delay
        self.notes = ["noise-learner: the model comes from the calibration, not from simulated experiments."]
        if any(not getattr(inst.operation, "blocks", None) for inst in self._circuit.data):
            raise InvalidInputError("instructions must be boxes")

    @property
    def loads(self) -> list[Load]:
        """The experiments that each box needs; one execution takes as long as the box."""
        options, loads = self._options, []
        for box, qubits in self._boxes():
            circuit = QuantumCircuit(self._device.qubits, box.num_clbits)
            circuit.compose(box, qubits, range(box.num_clbits), inplace=True)
            trex = _measures(box)
            sets = options.num_randomizations * (1 if trex else _BASES * len(options.layer_pair_depths))
            loads.append(Load(circuit, sets, options.shots_per_randomization, randomized=sets))
        return loads

    def _boxes(self) -> list[tuple[QuantumCircuit, list[int]]]:
        return [(inst.operation.blocks[0], [self._physical(q) for q in inst.qubits]) for inst in self._circuit.data]

    def _physical(self, qubit: Qubit) -> int:
        """Return the physical qubit: the client sends the boxes' qubits in any order, each with its index."""
        index = qubit._index if qubit._register is not None else self._circuit.find_bit(qubit).index
        if not 0 <= index < self._device.qubits:
            raise InvalidInputError(f"a box is on qubit {index}, but {self._device.name} has {self._device.qubits}")
        return int(index)

    def run(self, simulator: Simulator) -> str:
        """Return a `NoiseLearnerV3ResultsModel` as JSON."""
        rng = np.random.default_rng()
        learned = [self._shown(box, *self._learn(box, qubits, simulator, rng)) for box, qubits in self._boxes()]
        return json.dumps({"schema_version": VERSION, "data": learned})

    def _shown(
        self,
        box: QuantumCircuit,
        generators: list[Generator],
        rates: NDArray[np.float64],
        stds: NDArray[np.float64],
    ) -> dict[str, Any]:
        trex = _measures(box)
        selected: dict[str, Any] = {"fraction_kept": 1.0 if trex else {}, "success_rates": {}}
        return {
            "generators_sparse": [[(letters, list(where))] for letters, where, _ in generators],
            "num_qubits": box.num_qubits,
            "rates": F64TensorModel.from_numpy(rates).model_dump(mode="json"),
            "rates_std": F64TensorModel.from_numpy(stds).model_dump(mode="json"),
            "metadata": {"learning_protocol": "trex" if trex else "lindblad", "post_selection": selected},
        }

    def _learn(
        self, box: QuantumCircuit, qubits: list[int], simulator: Simulator, rng: np.random.Generator
    ) -> tuple[list[Generator], NDArray[np.float64], NDArray[np.float64]]:
        """Return a box's generators, their rates and the standard errors of these."""
        # Generators count the box's qubits in the order of their physical numbers.
        place = {q: i for i, q in enumerate(sorted(qubits))}
        if _measures(box):
            generators: list[Generator] = [("X", (place[q],), _rate(self._readout(q))) for q in sorted(qubits)]
        else:
            generators = self._lindblad(box, qubits, place)
        rates = np.array([rate if simulator.noisy else 0.0 for _, _, rate in generators])
        shots = self._options.num_randomizations * self._options.shots_per_randomization
        stds = np.sqrt(rates / shots)
        return generators, np.maximum(0.0, rates + rng.normal(size=len(rates)) * stds), stds

    def _lindblad(self, box: QuantumCircuit, qubits: list[int], place: dict[int, int]) -> list[Generator]:
        """Spread each gate's depolarizing noise over the Paulis on its qubits; neighbours without a gate get none."""
        rates: dict[tuple[str, tuple[int, ...]], float] = {}
        edges = {tuple(sorted(edge)) for edge in self._device.configuration["coupling_map"]}
        for a in qubits:
            rates |= {(letter, (place[a],)): 0.0 for letter in "XYZ"}
        for a, b in combinations(sorted(qubits), 2):
            if (a, b) in edges:
                rates |= {("".join(pair), (place[a], place[b])): 0.0 for pair in product("XYZ", repeat=2)}
        for inst in box.data:
            physical = [qubits[box.find_bit(q).index] for q in inst.qubits]
            error = self._errors().get((inst.operation.name, tuple(physical)), 0.0)
            n = len(physical)
            if error <= 0 or n > 2:
                continue
            each = _rate(error * (2**n + 1) / 2**n / (4**n - 1))
            inside = {place[q] for q in physical}
            for letters, where in rates:
                if set(where) <= inside:
                    rates[letters, where] += each
        return [(letters, where, rate) for (letters, where), rate in rates.items()]

    def _errors(self) -> dict[tuple[str, tuple[int, ...]], float]:
        gates = self._device.properties["gates"]
        return {
            (gate["gate"], tuple(gate["qubits"])): float(p["value"])
            for gate in gates
            for p in gate["parameters"]
            if p["name"] == "gate_error"
        }

    def _readout(self, qubit: int) -> float:
        values = {p["name"]: float(p["value"]) for p in self._device.properties["qubits"][qubit]}
        return values.get("readout_error", 0.0)


STRATEGIES = ("active", "active-accum", "active-circuit", "all")
_V2_PARAMS = {"circuits", "options", "version", "support_qiskit"}
_V2_OPTIONS = {"support_qiskit", "simulator", "experimental", "max_execution_time"}


@dataclass(frozen=True)
class V2Options:
    """The options of version 2 with their defaults, as the docstring of the client's `NoiseLearnerOptions` has them."""

    max_layers_to_learn: int | None = 4
    shots_per_randomization: int = 128
    num_randomizations: int = 32
    layer_pair_depths: list[int] = field(default_factory=lambda: [0, 1, 2, 4, 16, 32])
    twirling_strategy: str = "active-accum"

    def __post_init__(self) -> None:
        for name, least in (("max_layers_to_learn", 0), ("shots_per_randomization", 1), ("num_randomizations", 1)):
            value = getattr(self, name)
            if value is None and name == "max_layers_to_learn":
                continue
            if type(value) is not int or value < least:
                raise InvalidInputError(f"{name}={str(value)[:60]!r}: give a whole number, {least} or more")
        depths: Any = self.layer_pair_depths
        if not isinstance(depths, list) or not all(type(depth) is int and depth >= 0 for depth in depths):
            raise InvalidInputError("layer_pair_depths must be whole numbers, 0 or more")
        if self.twirling_strategy not in STRATEGIES:
            raise InvalidInputError(f"twirling_strategy must be one of {', '.join(STRATEGIES)}")


class NoiseLearnerV2Program(NoiseLearnerProgram):
    """A version 2 job's params: circuits, whose layers of two-qubit gates are the boxes.

    A layer holds gates that can run at the same time, each as early as possible: how the service forms layers is not
    documented. The most frequent layers are learned, of equally frequent ones those with more gates.
    """

    rep_delay = None

    def __init__(self, params: dict[str, Any], device: Device) -> None:
        circuits, given = params.get("circuits"), params.get("options") or {}
        if not isinstance(circuits, list) or not circuits:
            raise InvalidInputError("circuits must be a list that is not empty")
        if not isinstance(given, dict):
            raise InvalidInputError("options must be an object")
        known = {f.name for f in fields(V2Options)}
        refuse_unknown("params have", params, _V2_PARAMS)
        refuse_unknown("options have", given, known | _V2_OPTIONS)
        options = V2Options(**{name: value for name, value in given.items() if name in known})
        self._options, self._input_options = options, {"max_execution_time": None, **asdict(options)}
        self._device = device
        self.notes = ["noise-learner: the model comes from the calibration, not from simulated experiments."]
        found: Counter[Layer] = Counter()
        for circuit in circuits:
            found.update(_layers(circuit_of(read(circuit), device.qubits), options.twirling_strategy))
        ordered = sorted(found, key=lambda layer: (-found[layer], -len(layer.gates)))
        self._layers = ordered[: options.max_layers_to_learn]

    def _boxes(self) -> list[tuple[QuantumCircuit, list[int]]]:
        return [(layer.circuit, list(layer.qubits)) for layer in self._layers]

    def run(self, simulator: Simulator) -> str:
        """Return what the client reads a `NoiseLearnerResult` from."""
        rng = np.random.default_rng()
        learned = []
        for box, qubits in self._boxes():
            generators, rates, _ = self._learn(box, qubits, simulator, rng)
            terms = [(letters, where, 1.0) for letters, where, _ in generators]
            paulis: PauliList = SparsePauliOp.from_sparse_list(terms, num_qubits=len(qubits)).paulis
            learned.append(LayerError(box, qubits, PauliLindbladError(paulis, rates)))
        metadata = {"backend": self._device.name, "input_options": self._input_options}
        return encode({"data": learned, "metadata": metadata})


@dataclass(frozen=True)
class Layer:
    """Two-qubit gates that run at the same time (name, angles, qubits), and the twirled qubits. All are physical."""

    gates: frozenset[tuple[str, tuple[float, ...], tuple[int, ...]]]
    qubits: tuple[int, ...]

    @property
    def circuit(self) -> QuantumCircuit:
        """The gates, on the twirled qubits in their order."""
        place = {q: i for i, q in enumerate(self.qubits)}
        circuit = QuantumCircuit(len(self.qubits))
        for name, angles, qubits in sorted(self.gates, key=lambda gate: gate[2]):
            getattr(circuit, name)(*angles, *(place[q] for q in qubits))
        return circuit


def _layers(circuit: QuantumCircuit, strategy: str) -> list[Layer]:
    """Return the layers of a circuit in order."""
    depth: dict[int, int] = {}
    gates: list[list[tuple[str, tuple[float, ...], tuple[int, ...]]]] = []
    for inst in circuit.data:
        operation, qubits = inst.operation, tuple(circuit.find_bit(q).index for q in inst.qubits)
        if operation.name == "barrier":
            depth |= dict.fromkeys(qubits, max((depth.get(q, 0) for q in qubits), default=0))
        if len(qubits) != 2 or operation.name not in ("cx", "cz", "ecr", "rzz"):
            continue
        if any(isinstance(angle, ParameterExpression) for angle in operation.params):
            continue  # a layer whose angle is not known is not twirled
        level = max(depth.get(q, 0) for q in qubits)
        gates += [[] for _ in range(level + 1 - len(gates))]
        gates[level].append((operation.name, tuple(map(float, operation.params)), qubits))
        depth |= dict.fromkeys(qubits, level + 1)
    active = [{q for _, _, qubits in layer for q in qubits} for layer in gates]
    every: set[int] = set().union(*active)
    twirled = {
        "active": active,
        "active-accum": list(accumulate(active, lambda before, now: before | now)),
        "active-circuit": [every] * len(gates),
        "all": [set(range(circuit.num_qubits))] * len(gates),
    }[strategy]
    return [Layer(frozenset(g), tuple(sorted(q))) for g, q in zip(gates, twirled, strict=True)]


def _measures(box: QuantumCircuit) -> bool:
    return any(inst.operation.name.startswith("measure") for inst in box.data)


def _rate(probability: float) -> float:
    """Return the rate r of a Pauli that occurs with probability p = (1 − e^(−2r)) / 2."""
    return -0.5 * math.log(1 - 2 * min(probability, 0.49))
