"""Reads the client's JSON with its typed values, without trusting the sender. Used in workers only.

Only the types that a primitive's params hold are read. No class is built by its name, nothing is unpickled, and data
that decompresses beyond a bound is refused. QPY below version 13 is refused: older formats could carry expressions
that are evaluated when they are loaded.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
import zlib
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qasm2, qpy
from qiskit.quantum_info import PauliLindbladMap

from .errors import InvalidInputError

LARGEST = 512 * 2**20
OLDEST_QPY = 13
_QPY_HEADER = struct.Struct("!6sB")


def inflate(data: Any, *, compressed: bool = True, limit: int = LARGEST) -> bytes:
    """Return base64 data decoded and decompressed, at most `limit` bytes."""
    if not isinstance(data, str):
        raise InvalidInputError("encoded data must be a string")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInputError("encoded data is not base64") from None
    if not compressed:
        return raw
    unzip = zlib.decompressobj()
    try:
        out = unzip.decompress(raw, limit)
    except zlib.error:
        raise InvalidInputError("encoded data cannot be decompressed") from None
    if unzip.unconsumed_tail:
        raise InvalidInputError(f"encoded data grows beyond {limit} bytes")
    return out


def check_qpy(data: Any, *, compressed: bool) -> None:
    """Refuse data that is not QPY, too old or too large."""
    _check_header(inflate(data, compressed=compressed))


def _check_header(raw: bytes) -> None:
    if len(raw) < _QPY_HEADER.size:
        raise InvalidInputError("a circuit's QPY data is too short")
    magic, version = _QPY_HEADER.unpack_from(raw)
    if magic != b"QISKIT":
        raise InvalidInputError("a circuit is not QPY data")
    if version < OLDEST_QPY:
        raise InvalidInputError(f"a circuit is QPY version {version}: versions below {OLDEST_QPY} are not accepted")


def circuit_of(value: Any, device_qubits: int) -> QuantumCircuit:
    """Return the circuit of a PUB: one that `read` made, OpenQASM 2 or 3 as text, or QPY as base64 text.

    A circuit on hardware qubits (`$0`) gets the width of the backend, as observables for it have.

    Raises:
        InvalidInputError: it is none of these.
    """
    if isinstance(value, QuantumCircuit):
        return value
    if not isinstance(value, str):
        raise InvalidInputError("a PUB must begin with a circuit")
    if "OPENQASM" not in value[:1000]:
        return _loaded(_inflated(value))
    return _qasm(value, device_qubits)


def _inflated(text: str) -> bytes:
    """Return QPY data from base64 text; it may be compressed, as the client sends it."""
    raw = inflate(text, compressed=False)
    return raw if raw.startswith(b"QISKIT") else inflate(text)


def _qasm(text: str, device_qubits: int) -> QuantumCircuit:
    import qiskit_qasm3_import  # a tenth of what a worker imports, for what clients rarely send

    try:
        if re.search(r"OPENQASM\s+2", text):
            return qasm2.loads(
                text, include_path=(), custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS, strict=False
            )
        circuit = qiskit_qasm3_import.parse(text)
    except (qasm2.QASM2ParseError, qiskit_qasm3_import.ConversionError) as error:
        raise InvalidInputError(f"OpenQASM: {str(error.message)[:300]}") from None
    except Exception as error:  # its parser raises many types of errors
        raise InvalidInputError("a circuit's OpenQASM text cannot be read") from error
    if circuit.layout is None or circuit.num_qubits >= device_qubits:
        return circuit
    wide = QuantumCircuit(device_qubits)
    for register in circuit.cregs:
        wide.add_register(register)
    return wide.compose(circuit, range(circuit.num_qubits), circuit.clbits)


def _circuit(data: Any) -> Any:
    return _loaded(inflate(data))


def _loaded(raw: bytes) -> QuantumCircuit:
    _check_header(raw)
    circuits: list[QuantumCircuit] = qpy.load(io.BytesIO(raw))
    if len(circuits) != 1:
        raise InvalidInputError("a PUB needs exactly one circuit")
    return circuits[0]


def _array(data: Any) -> Any:
    if isinstance(data, (int, float, list)):
        return np.array(data)
    return np.load(io.BytesIO(inflate(data)), allow_pickle=False)


def read(value: Any, depth: int = 0) -> Any:
    """Return the Python objects that JSON with the client's `__type__` marks stands for.

    Raises:
        InvalidInputError: a type that params do not hold, or data that cannot be read.
    """
    if depth > 60:
        raise InvalidInputError("params are nested too deeply")
    if isinstance(value, list):
        return [read(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if "__type__" not in value:
        return {key: read(item, depth + 1) for key, item in value.items()}
    kind, inner = value["__type__"], value.get("__value__")
    if kind == "QuantumCircuit":
        return _circuit(inner)
    if kind == "ndarray":
        return _array(inner)
    if kind == "complex" and isinstance(inner, list) and len(inner) == 2:
        return complex(*map(float, inner))
    if kind == "set" and isinstance(inner, list):
        return [read(item, depth + 1) for item in inner]
    if kind == "ObservablesArray":
        return read(inner, depth + 1)
    if kind == "PauliLindbladMap" and isinstance(inner, dict):
        return PauliLindbladMap.from_sparse_list([tuple(p) for p in inner["paulis"]], num_qubits=inner["num_qubits"])
    if kind == "Instruction":
        return _circuit(inner).data[0].operation
    raise InvalidInputError(f"params hold a {str(kind)[:60]!r}, which no program takes")
