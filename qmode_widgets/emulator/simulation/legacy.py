"""What the programs of the legacy V2 primitives (deprecated since 0.50) share."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit_ibm_runtime.json import RuntimeEncoder

from ..backends import Device
from .errors import InvalidInputError
from .payload import read
from .program import at


def encode(result: Any) -> str:
    """A result in the client's JSON."""
    return json.dumps(result, cls=RuntimeEncoder)


def parameter_values(circuit: Any, given: Any) -> NDArray[np.float64]:
    """Parameter values of a PUB as an array of shape (..., parameters of the circuit)."""
    values = np.asarray([] if given is None else given, dtype=np.float64)
    if circuit.num_parameters == 0 and values.size == 0:
        return values.reshape(*values.shape[:-1], 0) if values.ndim else np.zeros((0,))
    if values.ndim == 0 or values.shape[-1] != circuit.num_parameters:
        raise InvalidInputError(f"a circuit has {circuit.num_parameters} parameters but values of shape {values.shape}")
    return values


def _options(params: dict[str, Any]) -> dict[str, Any]:
    options = params.get("options") or {}
    if not isinstance(options, dict):
        raise InvalidInputError("options must be an object")
    return options


class LegacyProgram:
    """Params of a legacy primitive: PUBs as lists that begin with a circuit, and options."""

    def __init__(self, params: dict[str, Any], device: Device) -> None:
        if params.get("version", 2) != 2:
            raise InvalidInputError("only version 2 of the primitives is supported")
        self._device = device
        self._options = _options(params)
        pubs = params.get("pubs")
        if not isinstance(pubs, list) or not pubs:
            raise InvalidInputError("pubs must be a list that is not empty")
        self._raw_pubs = [read(pub) for pub in pubs]
        if any(not isinstance(pub, list) or not pub for pub in self._raw_pubs):
            raise InvalidInputError("a PUB must be a list that begins with a circuit")
        execution = self._options.get("execution") or {}
        self.rep_delay: float | None = execution.get("rep_delay")
        simulator = self._options.get("simulator") or {}
        self._seed: int | None = simulator.get("seed_simulator")
        self.notes: list[str] = []
        for name in ("twirling", "dynamical_decoupling"):
            given = self._options.get(name) or {}
            if given.get("enable") or given.get("enable_gates") or given.get("enable_measure"):
                self.notes.append(f"{name}: accepted, not simulated by the emulator's legacy programs.")


def span(pub: int, shape: tuple[int, ...], start: float, stop: float) -> dict[str, Any]:
    """A `DoubleSliceSpan` in the client's JSON: one PUB, all of its data."""

    def moment(fraction: float) -> dict[str, str]:
        return {"__type__": "datetime", "__value__": at(fraction)}

    slices = {str(pub): [list(shape), 0, math.prod(shape[:-1]), 0, shape[-1]]}
    value = {"start": moment(start), "stop": moment(stop), "data_slices": slices}
    return {"__type__": "DoubleSliceSpan", "__value__": value}
