"""The program `noise-learner`, schema v0.3: what `NoiseLearnerV3` sends.

The noise model is not learned from simulated experiments. It is taken from the calibration, with the statistical error
of the number of shots asked for. Without the option `noise` the emulated QPU has none, and the rates are zero.
"""

from __future__ import annotations

import json
import math
from itertools import combinations, product
from typing import Any

import numpy as np
from ibm_quantum_schemas.common import F64TensorModel
from ibm_quantum_schemas.noise_learner_v3.version_0_3 import ParamsModel
from qiskit import QuantumCircuit
from qiskit.circuit import Qubit

from ..backends import Device
from .errors import InvalidInputError
from .payload import check_qpy
from .program import Load
from .simulator import Simulator

VERSION = "v0.3"
_BASES = 9  # measurement bases that learn all weight-two Paulis of a layer


class NoiseLearnerProgram:
    """A noise learner job's params: boxes of gates (Lindblad) or of measurements (TREX)."""

    seconds = 0.0

    def __init__(self, params: dict[str, Any], device: Device) -> None:
        if "schema_version" not in params:
            raise InvalidInputError("NoiseLearner (version 2) is not emulated: use NoiseLearnerV3")
        if (version := params["schema_version"]) != VERSION:
            raise InvalidInputError(f"schema_version {version!r} is not supported: this emulator supports {VERSION}")
        check_qpy(params["instructions"].get("circuit_b64"), compressed=False)
        self._model = ParamsModel.model_validate({k: v for k, v in params.items() if k != "version"})
        self._circuit = self._model.instructions.to_quantum_circuit()
        self._device = device
        self.rep_delay: float | None = self._model.options.rep_delay
        self.notes = ["noise-learner: the model comes from the calibration, not from simulated experiments."]
        if any(not getattr(inst.operation, "blocks", None) for inst in self._circuit.data):
            raise InvalidInputError("instructions must be boxes")

    @property
    def loads(self) -> list[Load]:
        """The experiments that each box needs; one execution takes as long as the box."""
        options, loads = self._model.options, []
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
        learned = [self._learn(box, qubits, simulator, rng) for box, qubits in self._boxes()]
        return json.dumps({"schema_version": VERSION, "data": learned})

    def _learn(
        self, box: QuantumCircuit, qubits: list[int], simulator: Simulator, rng: np.random.Generator
    ) -> dict[str, Any]:
        # Generators count the box's qubits in the order of their physical numbers.
        place = {q: i for i, q in enumerate(sorted(qubits))}
        if _measures(box):
            generators: list[tuple[str, tuple[int, ...], float]]
            generators = [("X", (place[q],), _rate(self._readout(q))) for q in sorted(qubits)]
            selected: dict[str, Any] = {"fraction_kept": 1.0, "success_rates": {}}
            protocol = "trex"
        else:
            generators = self._lindblad(box, qubits, place)
            selected = {"fraction_kept": {}, "success_rates": {}}
            protocol = "lindblad"
        rates = np.array([rate if simulator.noisy else 0.0 for _, _, rate in generators])
        shots = self._model.options.num_randomizations * self._model.options.shots_per_randomization
        stds = np.sqrt(rates / shots)
        rates = np.maximum(0.0, rates + rng.normal(size=len(rates)) * stds)
        return {
            "generators_sparse": [[(letters, list(where))] for letters, where, _ in generators],
            "num_qubits": len(qubits),
            "rates": F64TensorModel.from_numpy(rates).model_dump(mode="json"),
            "rates_std": F64TensorModel.from_numpy(stds).model_dump(mode="json"),
            "metadata": {"learning_protocol": protocol, "post_selection": selected},
        }

    def _lindblad(
        self, box: QuantumCircuit, qubits: list[int], place: dict[int, int]
    ) -> list[tuple[str, tuple[int, ...], float]]:
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


def _measures(box: QuantumCircuit) -> bool:
    return any(inst.operation.name.startswith("measure") for inst in box.data)


def _rate(probability: float) -> float:
    """Return the rate r of a Pauli that occurs with probability p = (1 − e^(−2r)) / 2."""
    return -0.5 * math.log(1 - 2 * min(probability, 0.49))
