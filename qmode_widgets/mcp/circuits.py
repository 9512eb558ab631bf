"""Circuits that an agent wrote, as PUBs for a backend: OpenQASM or QPY, read in a process of its own (`reading`).

The text is data; it reads no file.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import Any

import numpy as np
from qiskit import QuantumCircuit, qasm2, qasm3, qpy
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target, generate_preset_pass_manager

from ..errors import PubError
from ..model.isa import why_not_isa
from .circuit_input import MOST_TERMS, MOST_VALUES, CircuitInput, Primitive

MOST_OPERATIONS = 500_000  # of one circuit, those in the blocks of its control flow included
OLDEST_QPY = 13  # older formats could carry expressions that are evaluated when they are loaded

Terms = list[tuple[str, float]]

# Comments and blanks, then the version. Atomic: no text makes it slow.
_VERSION = re.compile(r"(?>\s+|//[^\n]*|/\*.*?\*/)*+OPENQASM\s+(\d+)", re.DOTALL)


def read(
    number: int,
    given: CircuitInput,
    primitive: Primitive,
    target: Target,
    backend: str,
    *,
    transpile: bool,
    translation: str | None,
) -> tuple[bytes, list[Terms]]:
    """One ISA circuit of the backend as QPY, and its observables on the backend's qubits.

    Raises:
        PubError: naming the circuit and what is wrong with it.
    """
    circuit = _parse(number, given)
    if target.num_qubits is not None and circuit.num_qubits > target.num_qubits:
        raise PubError(number, f"it has {circuit.num_qubits:,} qubits, and {backend} has {target.num_qubits}")
    if primitive == "sampler" and not circuit.cregs:
        lacks = "its bits are in no register (write bit[1] c;)" if circuit.clbits else "it measures nothing"
        raise PubError(number, f"{lacks}, so a sampler has nothing to return")
    values(number, circuit, given.parameters or {})
    observables = _observables(number, circuit, given.observables, primitive)
    _bounded(number, circuit)
    if transpile:
        manager = generate_preset_pass_manager(
            target=target, optimization_level=1, seed_transpiler=0, translation_method=translation
        )
        circuit = manager.run(circuit)
        if circuit.layout is not None:
            observables = [o.apply_layout(circuit.layout) for o in observables]
        _bounded(number, circuit)
    elif (why := why_not_isa(circuit, target)) is not None:
        raise PubError(number, f"it is not an ISA circuit of {backend}: {why}. Pass transpile=true")
    out = io.BytesIO()
    qpy.dump(circuit, out)
    return out.getvalue(), [[(str(p), float(c.real)) for p, c in o.to_list()] for o in observables]


def pub_of(number: int, given: CircuitInput, data: bytes, terms: list[Terms], primitive: Primitive) -> Any:
    """The PUB of a circuit that `read` has read."""
    circuit = qpy.load(io.BytesIO(data))[0]
    found = values(number, circuit, given.parameters or {})
    own = [] if found is None else [found]
    if primitive == "sampler":
        return (circuit, *own)
    observables = [SparsePauliOp.from_list(t) for t in terms]
    # Observables along the first axis, parameter sets along the second: each with each.
    return (circuit, [[o] for o in observables] if own and own[0].ndim > 1 else observables, *own)


def _parse(number: int, given: CircuitInput) -> QuantumCircuit:
    if (given.qasm is None) == (given.qpy is None):
        raise PubError(number, "give its circuit as qasm or as qpy, one of them")
    if given.qpy is not None:
        return _load(number, given.qpy)
    text = given.qasm or ""
    found = _VERSION.match(text)
    if found is None:
        raise PubError(number, "its text does not begin with OPENQASM 3.0; or OPENQASM 2.0;")
    try:
        if found[1] == "3":
            return qasm3.loads(text)
        if found[1] == "2":
            # No include path: `include` finds qelib1.inc, and no file of this machine.
            return qasm2.loads(text, include_path=(), custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    except (RecursionError, MemoryError):
        raise
    except Exception as error:  # the parsers raise whatever they like
        raise PubError(number, f"its OpenQASM {found[1]} cannot be read: {error}") from error
    raise PubError(number, f"it is OpenQASM {found[1]}: use 3.0 or 2.0")


def _load(number: int, text: str) -> QuantumCircuit:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise PubError(number, "its qpy is not base64 text") from None
    if data[:6] != b"QISKIT" or len(data) < 7:
        raise PubError(number, "its qpy is not the output of qiskit.qpy.dump in base64")
    if data[6] < OLDEST_QPY:
        raise PubError(number, f"it is QPY version {data[6]}: use version {OLDEST_QPY} or newer")
    try:
        found = qpy.load(io.BytesIO(data))
    except (RecursionError, MemoryError):
        raise
    except Exception as error:  # damaged data raises anything
        raise PubError(number, f"its QPY cannot be read: {error}") from error
    if len(found) != 1:
        raise PubError(number, f"its QPY holds {len(found)} circuits: pass each as a PUB of its own")
    return found[0]


def _bounded(number: int, circuit: QuantumCircuit) -> None:
    if (n := _operations(circuit)) > MOST_OPERATIONS:
        raise PubError(number, f"it has {n:,} operations, more than {MOST_OPERATIONS:,}")


def _operations(circuit: QuantumCircuit) -> int:
    inner = (b for i in circuit.data for b in (getattr(i.operation, "blocks", None) or ()))
    return len(circuit.data) + sum(map(_operations, inner))


def values(number: int, circuit: QuantumCircuit, given: dict[str, float | list[float]]) -> Any:
    """The parameter values, in the order that a PUB takes them; None for a circuit without parameters.

    Raises:
        PubError: one is missing, unknown, or of another length.
    """
    names = [p.name for p in circuit.parameters]
    if missing := [n for n in names if n not in given]:
        raise PubError(number, f"no value for its parameters {', '.join(missing)}")
    if unknown := sorted(set(given) - set(names)):
        raise PubError(number, f"it has no parameter {', '.join(unknown)}; it has {', '.join(names) or 'none'}")
    if not names:
        return None
    lengths = {len(v) for v in given.values() if isinstance(v, list)}
    if len(lengths) > 1 or 0 in lengths:
        raise PubError(number, f"its parameters have lists of {sorted(lengths)} values: give lists of one length")
    if (n := len(names) * max(lengths, default=1)) > MOST_VALUES:
        raise PubError(number, f"it has {n:,} parameter values, more than {MOST_VALUES:,}")
    return np.stack(np.broadcast_arrays(*(np.asarray(given[n], dtype=float) for n in names)), axis=-1)


def _observables(
    number: int, circuit: QuantumCircuit, given: list[dict[str, float]] | None, primitive: Primitive
) -> list[SparsePauliOp]:
    if primitive == "sampler":
        if given:
            raise PubError(number, "it has observables: those are for primitive='estimator'")
        return []
    if not given or not all(given):
        raise PubError(number, 'it has no observables: pass them, such as [{"ZZ": 1.0}]')
    if (n := sum(map(len, given))) > MOST_TERMS:
        raise PubError(number, f"its observables have {n:,} Pauli strings, more than {MOST_TERMS:,}")
    for term in (t for o in given for t in o):
        if not re.fullmatch("[IXYZ]+", term) or len(term) != circuit.num_qubits:
            raise PubError(number, f"the observable {term!r} is no Pauli string of its {circuit.num_qubits} qubits")
    return [SparsePauliOp.from_list(list(o.items())) for o in given]
