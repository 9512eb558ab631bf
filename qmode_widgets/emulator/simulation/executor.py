"""The program `executor`, schema v2.0: what the client-side Sampler and Estimator, and `Executor`, send."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from ibm_quantum_schemas.common import CompressedTensorModel
from ibm_quantum_schemas.executor.version_2_0 import ItemMetadataModel, ParamsModel, QuantumProgramResultItemModel
from numpy.typing import NDArray
from qiskit_ibm_runtime.fake_provider.executor.broadcast_sample import broadcast_sample
from qiskit_ibm_runtime.quantum_program.converters.converters_2_0 import quantum_program_from_2_0
from samplomatic.quantum_program import CircuitItem

from ..backends import Device
from .errors import InvalidInputError
from .methods import Simulated, worst
from .payload import check_qpy
from .program import Load, at, check_values, simulation
from .simulator import Simulator, iq_points

VERSION = "v2.0"


class ExecutorProgram:
    """An executor job's params."""

    seconds = 0.0

    def __init__(self, params: dict[str, Any], device: Device) -> None:
        if (version := params.get("schema_version")) != VERSION:
            raise InvalidInputError(f"schema_version {version!r} is not supported: this emulator supports {VERSION}")
        check_qpy(params["quantum_program"]["circuits"].get("b64_data"), compressed=True)
        self._model = ParamsModel.model_validate(params)
        self._program, self._options = quantum_program_from_2_0(self._model)
        for item in self._program.items:
            if isinstance(item, CircuitItem):
                check_values(np.asarray(item.circuit_arguments, dtype=np.float64))
                continue
            item.samplex.finalize()
            for given in item.samplex_arguments.values():
                if isinstance(given, np.ndarray) and given.dtype.kind in "fc":
                    check_values(np.asarray(given))
        self._shots = int(self._program.shots)
        self._meas_level = self._model.quantum_program.meas_level
        self.rep_delay: float | None = self._model.options.rep_delay
        self.notes: list[str] = []
        if self._model.options.scheduler_timing or self._model.options.stretch_values:
            self.notes.append("scheduler_timing and stretch_values: accepted, not computed by the emulator.")
        if self._meas_level != "classified":
            self.notes.append(f"meas_level {self._meas_level!r}: IQ points are synthetic, drawn around the bits.")

    @property
    def loads(self) -> list[Load]:
        """One load for each item; randomizations count as sets."""
        loads = []
        for item in self._program.items:
            sets = math.prod(_shape(item))
            randomized = 0 if isinstance(item, CircuitItem) else sets
            loads.append(Load(item.circuit, sets, self._shots, randomized=randomized))
        return loads

    def run(self, simulator: Simulator) -> str:
        """Return a `QuantumProgramResultModel` as JSON."""
        rng = np.random.default_rng()
        data, spans, done = [], [], 0
        used: list[Simulated | None] = []
        sizes = [load.executions for load in self.loads]
        total = sum(sizes) or 1
        for i, item in enumerate(self._program.items):
            arrays = self._item(item, simulator, rng)
            used.append(simulator.used())
            data.append(
                QuantumProgramResultItemModel(
                    results={name: CompressedTensorModel.from_numpy(array) for name, array in arrays.items()},
                    metadata=ItemMetadataModel(),
                ).model_dump(mode="json")
            )
            shape = _shape(item)
            size = math.prod(shape)
            part = {"idx_item": i, "size": size, "permutation": list(range(len(shape))), "element_range": [0, size, 1]}
            spans.append({"start": at(done / total), "stop": at((done + sizes[i]) / total), "parts": [part]})
            done += sizes[i]
        program = self._model.model_dump(mode="json")["quantum_program"]
        return json.dumps(
            {
                "schema_version": VERSION,
                "data": data,
                "metadata": {"chunk_timing": spans},
                "passthrough_data": _with_simulation(program["passthrough_data"], used),
                "semantic_role": program["semantic_role"],
            }
        )

    def _item(self, item: Any, simulator: Simulator, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        extra: dict[str, NDArray[Any]] = {}
        if isinstance(item, CircuitItem):
            values = np.asarray(item.circuit_arguments, dtype=np.float64)
        else:
            extra = broadcast_sample(item.samplex, item.samplex_arguments, tuple(item.shape), rng)
            values = np.asarray(extra.pop("parameter_values"), dtype=np.float64)
        bits = simulator.sample(item.circuit, values, self._shots)
        return extra | {name: array for reg, b in bits.items() for name, array in self._levels(reg, b, rng)}

    def _levels(
        self, register: str, bits: NDArray[np.bool_], rng: np.random.Generator
    ) -> list[tuple[str, NDArray[Any]]]:
        if self._meas_level == "classified":
            return [(register, bits)]
        points = iq_points(bits, rng)
        if self._meas_level == "kerneled":
            return [(f"{register}_iq", points)]
        if self._meas_level == "avg_kerneled":
            return [(f"{register}_avg_iq", points.mean(axis=-2))]
        return [(register, bits), (f"{register}_iq", points)]


def _with_simulation(passthrough: Any, used: list[Simulated | None]) -> Any:
    """Say in the data that the client passes on which items were not simulated exactly.

    The metadata of items and results have no field for it, and the client's decoders drop what they do not know. What
    they show to the user are the circuits' metadata, one for each PUB, and for a program of `Executor` the data itself.
    """
    said = [simulation(item) for item in used]
    if not any(said) or not isinstance(passthrough, dict | None):
        return passthrough
    marked = (passthrough or {}) | {"simulation": [item.get("simulation") for item in said]}
    of_client = marked.get("post_processor")
    if isinstance(of_client, dict) and isinstance(circuits := of_client.get("circuits_metadata"), list) and circuits:
        each = max(1, len(used) // len(circuits))  # ZNE has an item for each noise factor; TREX adds one for all PUBs
        groups = (used[i * each : (i + 1) * each] for i in range(len(circuits)))
        of_pubs = [simulation(worst([item for item in group if item is not None])) for group in groups]
        circuits = [
            (c or {}) | pub if isinstance(c, dict | None) else c for c, pub in zip(circuits, of_pubs, strict=True)
        ]
        marked["post_processor"] = of_client | {"circuits_metadata": circuits}
    return marked


def _shape(item: Any) -> tuple[int, ...]:
    if isinstance(item, CircuitItem):
        return tuple(np.asarray(item.circuit_arguments).shape[:-1])
    return tuple(item.shape)
