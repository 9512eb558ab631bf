"""Circuits that an agent wrote: OpenQASM text into PUBs for a backend. The text is data; it reads no file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from qiskit import QuantumCircuit, qasm2, qasm3
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager

from ..errors import PubError
from ..model.isa import why_not_isa

Primitive = Literal["sampler", "estimator"]
LONGEST = 2_000_000  # characters of one circuit

# Comments and blanks, then the version. Atomic: no text makes it slow.
_VERSION = re.compile(r"(?>\s+|//[^\n]*|/\*.*?\*/)*+OPENQASM\s+(\d+)", re.DOTALL)


class CircuitInput(BaseModel):
    """One PUB."""

    model_config = ConfigDict(extra="forbid")

    qasm: Annotated[str, Field(description="OpenQASM 3 or 2 text, beginning with its OPENQASM line.")]
    parameters: Annotated[
        dict[str, float | list[float]] | None,
        Field(description="Value of each `input` parameter of the circuit, or a list of values to sweep."),
    ] = None
    observables: Annotated[
        list[dict[str, float]] | None,
        Field(
            description='For the estimator: observables as Pauli strings with coefficients, such as {"ZZ": 1.0}. The '
            "rightmost letter acts on the circuit's qubit 0."
        ),
    ] = None


def pubs_of(circuits: Sequence[CircuitInput], backend: Any, primitive: Primitive, *, transpile: bool) -> list[Any]:
    """The PUBs, with ISA circuits of the backend.

    Raises:
        PubError: naming the circuit and what is wrong with it.
    """
    if not circuits:
        raise ValueError("there are no circuits: pass at least one")
    manager = generate_preset_pass_manager(backend=backend, optimization_level=1, seed_transpiler=0)
    pubs = []
    for number, given in enumerate(circuits):
        circuit = _parse(number, given.qasm)
        if primitive == "sampler" and not circuit.cregs:
            lacks = "its bits are in no register (write bit[1] c;)" if circuit.clbits else "it measures nothing"
            raise PubError(number, f"{lacks}, so a sampler has nothing to return")
        values = _values(number, circuit, given.parameters or {})
        observables = _observables(number, circuit, given.observables, primitive)
        if transpile:
            circuit = manager.run(circuit)
            if circuit.layout is not None:
                observables = [o.apply_layout(circuit.layout) for o in observables]
        elif (why := why_not_isa(circuit, backend.target)) is not None:
            raise PubError(number, f"it is not an ISA circuit of {backend.name}: {why}. Pass transpile=true")
        values = [] if values is None else [values]
        if primitive == "sampler":
            pubs.append((circuit, *values))
        else:
            # Observables along the first axis, parameter sets along the second: each with each.
            pubs.append(
                (circuit, [[o] for o in observables] if values and values[0].ndim > 1 else observables, *values)
            )
    return pubs


def _parse(number: int, text: str) -> QuantumCircuit:
    if len(text) > LONGEST:
        raise PubError(number, f"its text has {len(text):,} characters, more than {LONGEST:,}")
    found = _VERSION.match(text)
    if found is None:
        raise PubError(number, "its text does not begin with OPENQASM 3.0; or OPENQASM 2.0;")
    try:
        if found[1] == "3":
            return qasm3.loads(text)
        if found[1] == "2":
            # No include path: `include` finds qelib1.inc, and no file of this machine.
            return qasm2.loads(text, include_path=(), custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    except Exception as error:  # the parsers raise whatever they like
        raise PubError(number, f"its OpenQASM {found[1]} cannot be read: {error}") from error
    raise PubError(number, f"it is OpenQASM {found[1]}: use 3.0 or 2.0")


def _values(number: int, circuit: QuantumCircuit, given: dict[str, float | list[float]]) -> Any:
    """The parameter values, in the order that a PUB takes them; None for a circuit without parameters."""
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
    for term in (t for o in given for t in o):
        if not re.fullmatch("[IXYZ]+", term) or len(term) != circuit.num_qubits:
            raise PubError(number, f"the observable {term!r} is no Pauli string of its {circuit.num_qubits} qubits")
    return [SparsePauliOp.from_list(list(o.items())) for o in given]
