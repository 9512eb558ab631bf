"""Whether a circuit uses only the backend's instruction set.

The client-side primitives leave this check to the service, which answers after the job has queued (code 1517); here it
is made before anything is sent.
"""

from __future__ import annotations

from math import pi
from typing import Any

_ANYWHERE = frozenset({"barrier", "store"})
_ROUNDING = 1e-10


def why_not_isa(circuit: Any, target: Any) -> str | None:
    """Why `circuit` (a QuantumCircuit) is not an ISA circuit of `target`, or None. Walks control flow and boxes."""
    if target.num_qubits is not None and circuit.num_qubits > target.num_qubits:
        return f"it has {circuit.num_qubits} qubits, the backend {target.num_qubits}"
    return _walk(circuit, target, {bit: i for i, bit in enumerate(circuit.qubits)})


def _walk(circuit: Any, target: Any, place: dict[Any, int]) -> str | None:
    for instruction in circuit.data:
        operation = instruction.operation
        qubits = tuple(place[bit] for bit in instruction.qubits)
        blocks = getattr(operation, "blocks", None)
        supported = operation.name in _ANYWHERE or operation.name == "box"
        if not supported and not target.instruction_supported(operation.name, qubits):
            return f"{operation.name} on qubits {qubits} is not in the backend's instruction set"
        angle = operation.params[0] if operation.name == "rzz" else None
        if isinstance(angle, int | float) and not -_ROUNDING <= angle <= pi / 2 + _ROUNDING:
            return f"rzz on qubits {qubits} has the angle {angle:.4g}; the backend takes 0 to π/2"
        for block in blocks or ():
            inner = {b: place[outer] for outer, b in zip(instruction.qubits, block.qubits, strict=True)}
            if (found := _walk(block, target, inner)) is not None:
                return found
    return None
