"""What the programs of the legacy V2 primitives (deprecated since 0.50) share."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.primitives.containers import BitArray
from qiskit_ibm_runtime.json import RuntimeEncoder

from ..backends import Device
from .errors import InvalidInputError
from .payload import circuit_of, read
from .program import at, check_values

# Fields of the params and of their options, from the REST reference, which allows no others.
_PARAMS = {"pubs", "options", "support_qiskit", "version"}
_OPTIONS = {"default_shots", "dynamical_decoupling", "execution", "twirling", "simulator", "experimental"}


def encode(result: Any) -> str:
    """Return a result in the client's JSON."""
    return json.dumps(result, cls=RuntimeEncoder)


def encode_plain(result: Any) -> str:
    """Return a `PrimitiveResult` in JSON without types of Qiskit's, as for `support_qiskit: false`.

    Samples are hexadecimal texts, as the guide "Primitives with REST API" shows them. Arrays are lists, spans begin
    with their two times, and complex numbers are pairs: the last two are guesses.
    """
    entries = [
        {"data": {name: _plain(data) for name, data in pub.data.items()}, "metadata": pub.metadata} for pub in result
    ]
    return json.dumps({"results": entries, "metadata": result.metadata}, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, BitArray):
        packed = value.array.reshape(-1, value.array.shape[-1])
        samples = np.array([hex(int.from_bytes(shot.tobytes())) for shot in packed])
        return {"samples": samples.reshape(*value.shape, value.num_shots).tolist(), "num_bits": value.num_bits}
    if isinstance(value, np.ndarray | np.generic):
        return value.view(np.float64).reshape(*value.shape, 2).tolist() if np.iscomplexobj(value) else value.tolist()
    raise InvalidInputError(f"a result with {type(value).__name__} needs support_qiskit: true")


def parameter_values(circuit: Any, given: Any) -> NDArray[np.float64]:
    """Return the parameter values of a PUB as an array of shape (..., parameters of the circuit)."""
    try:
        values = np.asarray([] if given is None else given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInputError(f"parameter values must be numbers, not {str(given)[:100]}") from None
    if circuit.num_parameters == 0 and values.size == 0:
        return values.reshape(*values.shape[:-1], 0) if values.ndim else np.zeros((0,))
    if values.ndim == 0 or values.shape[-1] != circuit.num_parameters:
        raise InvalidInputError(f"a circuit has {circuit.num_parameters} parameters but values of shape {values.shape}")
    return check_values(values)


class LegacyProgram:
    """Params of a legacy primitive: PUBs as lists that begin with a circuit, and options.

    Args:
        params: as submitted.
        device: the backend.
        more_params: fields that this program has beside the common ones.
        more_options: options that it has beside the common ones.
    """

    seconds = 0.0

    def __init__(self, params: dict[str, Any], device: Device, more_params: set[str], more_options: set[str]) -> None:
        if params.get("version", 2) != 2:
            raise InvalidInputError("only version 2 of the primitives is supported")
        self._device = device
        self._options = params.get("options") or {}
        if not isinstance(self._options, dict):
            raise InvalidInputError("options must be an object")
        refuse_unknown("params have", params, _PARAMS | more_params)
        refuse_unknown("options have", self._options, _OPTIONS | more_options)
        pubs = params.get("pubs")
        if not isinstance(pubs, list) or not pubs:
            raise InvalidInputError("pubs must be a list that is not empty")
        qiskit = params.get("support_qiskit")
        if not isinstance(qiskit, bool | None):
            raise InvalidInputError("support_qiskit must be true or false")
        self._encode = encode if qiskit else encode_plain
        self._raw_pubs = [self._raw_pub(pub) for pub in pubs]
        execution = self._group("execution")
        self.rep_delay: float | None = execution.get("rep_delay")
        if self.rep_delay is not None and not (
            isinstance(self.rep_delay, (int, float)) and 0 <= self.rep_delay < math.inf
        ):
            raise InvalidInputError(f"rep_delay={self.rep_delay!r}: give seconds, 0 or more")
        self._seed: int | None = self._group("simulator").get("seed_simulator")
        self.notes: list[str] = []
        for name in ("twirling", "dynamical_decoupling"):
            given = self._group(name)
            if given.get("enable") or given.get("enable_gates") or given.get("enable_measure"):
                self.notes.append(f"{name}: accepted, not simulated by the emulator's legacy programs.")

    def _raw_pub(self, given: Any) -> list[Any]:
        """Return a PUB as a list that begins with a circuit; a circuit by itself is one."""
        pub = read(given)
        if not isinstance(pub, list):
            pub = [pub]
        if not pub:
            raise InvalidInputError("a PUB must begin with a circuit")
        return [circuit_of(pub[0], self._device.qubits), *pub[1:]]

    def _randomizations(self) -> tuple[int | None, int | None]:
        """Return the asked number of twirling randomizations and the shots of each; None: "auto"."""
        twirling = self._group("twirling")
        number, each = (twirling.get(n, "auto") for n in ("num_randomizations", "shots_per_randomization"))
        for name, value in (("num_randomizations", number), ("shots_per_randomization", each)):
            if value != "auto" and (type(value) is not int or value < 1):
                raise InvalidInputError(f'twirling.{name}={str(value)[:60]!r}: give "auto", or 1 or more')
        return (None if number == "auto" else number), (None if each == "auto" else each)

    def _group(self, name: str) -> dict[str, Any]:
        """Return a group of options."""
        given = self._options.get(name) or {}
        if not isinstance(given, dict):
            raise InvalidInputError(f"options.{name} must be an object")
        return given


def refuse_unknown(what: str, given: dict[str, Any], known: set[str]) -> None:
    """Raise InvalidInputError for a field that the REST reference does not allow."""
    if unknown := sorted(set(given) - known):
        raise InvalidInputError(f"{what} no {unknown[0][:60]!r}; there are {', '.join(sorted(known))}")


def spans(found: list[tuple[int, tuple[int, ...], float, float]], *, qiskit: bool) -> Any:
    """Return the execution spans of a sampler's result: (PUB, shape of its data, start, stop) of each."""
    if qiskit:
        return {"__type__": "ExecutionSpans", "__value__": {"spans": [span(*one) for one in found]}}
    return [
        [{"date": at(start)}, {"date": at(stop)}, {str(pub): [list(shape), [0, math.prod(shape)]]}]
        for pub, shape, start, stop in found
    ]


def span(pub: int, shape: tuple[int, ...], start: float, stop: float) -> dict[str, Any]:
    """Return a `DoubleSliceSpan` in the client's JSON: one PUB, all of its data."""

    def moment(fraction: float) -> dict[str, str]:
        return {"__type__": "datetime", "__value__": at(fraction)}

    slices = {str(pub): [list(shape), 0, math.prod(shape[:-1]), 0, shape[-1]]}
    value = {"start": moment(start), "stop": moment(stop), "data_slices": slices}
    return {"__type__": "DoubleSliceSpan", "__value__": value}
