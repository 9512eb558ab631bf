"""The program `sampler` of the legacy V2 primitives (deprecated since 0.50)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives import PrimitiveResult
from qiskit.primitives.containers import BitArray, DataBin, SamplerPubResult

from ..backends import Device
from .errors import InvalidInputError
from .legacy import LegacyProgram, encode, parameter_values, spans
from .program import Load, simulation
from .simulator import Simulator, iq_points


class SamplerProgram(LegacyProgram):
    """A legacy sampler job's params."""

    def __init__(self, params: dict[str, Any], device: Device) -> None:
        super().__init__(params, device, {"shots"}, set())
        default = params.get("shots") or self._twirled_shots() or self._options.get("default_shots") or 4096
        self._pubs: list[tuple[Any, NDArray[np.float64], int]] = []
        for pub in self._raw_pubs:
            circuit, values, shots = [*pub, None, None][:3]
            shots = default if shots is None else shots
            if not isinstance(shots, int) or not 1 <= shots <= 10_000_000:
                raise InvalidInputError(f"shots={shots!r}: give a number between 1 and 10 million")
            self._pubs.append((circuit, parameter_values(circuit, values), shots))
        self._meas = self._group("execution").get("meas_type") or "classified"
        if self._meas != "classified":
            self.notes.append(f"meas_type {self._meas!r}: IQ points are synthetic, drawn around the bits.")

    def _twirled_shots(self) -> int | None:
        """Return what twirling puts in the place of `default_shots`; a PUB's own shots are obeyed.

        Source: docstring of the client's `TwirlingOptions`.
        """
        twirling, (number, each) = self._group("twirling"), self._randomizations()
        if number is None or each is None or not (twirling.get("enable_gates") or twirling.get("enable_measure")):
            return None
        return number * each

    @property
    def loads(self) -> list[Load]:
        """One load for each PUB."""
        loads = []
        for circuit, values, shots in self._pubs:
            sets = math.prod(values.shape[:-1])
            loads.append(Load(circuit, sets, shots, randomized=sets * self._twirled(shots)))
        return loads

    def _twirled(self, shots: int) -> int:
        """Return how many randomizations of a circuit twirling makes; 0 without it."""
        twirling, (number, each) = self._group("twirling"), self._randomizations()
        if not (twirling.get("enable_gates") or twirling.get("enable_measure")):
            return 0
        return number or math.ceil(shots / (each or max(64, math.ceil(shots / 32))))

    def run(self, simulator: Simulator) -> str:
        """Return a `PrimitiveResult` of `SamplerPubResult`s."""
        rng = np.random.default_rng(self._seed)
        results, ran, done = [], [], 0
        sizes = [load.executions for load in self.loads]
        total = sum(sizes) or 1
        for i, (circuit, values, shots) in enumerate(self._pubs):
            shape = values.shape[:-1]
            bits = simulator.sample(circuit, values, shots, self._seed)
            data = DataBin(**{name: self._data(b, rng) for name, b in bits.items()}, shape=shape)
            metadata = {"circuit_metadata": circuit.metadata or {}} | simulation(simulator.used())
            results.append(SamplerPubResult(data, metadata=metadata))
            ran.append((i, (*shape, shots), done / total, (done + sizes[i]) / total))
            done += sizes[i]
        spanned = {"execution": {"execution_spans": spans(ran, qiskit=self._encode is encode)}, "version": 2}
        return self._encode(PrimitiveResult(results, metadata=spanned))

    def _data(self, bits: NDArray[np.bool_], rng: np.random.Generator) -> Any:
        if self._meas == "classified":
            return BitArray.from_bool_array(bits, order="little")
        points = iq_points(bits, rng)
        return points.mean(axis=-2) if self._meas == "avg_kerneled" else points
