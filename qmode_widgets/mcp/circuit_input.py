"""A circuit as an agent writes it. Without the MCP package, which the process that reads circuits does not need."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Primitive = Literal["sampler", "estimator"]
Number = Annotated[float, Field(allow_inf_nan=False)]

MOST_CHARACTERS = 2_000_000  # of one circuit's text, or of its QPY in base64
MOST_VALUES = 100_000  # parameter values of one circuit
MOST_TERMS = 10_000  # Pauli strings of one circuit

BELL = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;'
CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class CircuitInput(BaseModel):
    """One PUB: a circuit, and where it needs them parameter values and observables."""

    model_config = CLOSED

    qasm: Annotated[
        str | None,
        Field(
            description="OpenQASM 3 or 2 text, beginning with its OPENQASM line. Give qasm or qpy.",
            max_length=MOST_CHARACTERS,
            examples=[BELL],
        ),
    ] = None
    qpy: Annotated[
        str | None,
        Field(
            description="One circuit as QPY (qiskit.qpy.dump, version 13 or newer) in base64.",
            max_length=MOST_CHARACTERS,
        ),
    ] = None
    parameters: Annotated[
        dict[str, Number | Annotated[list[Number], Field(max_length=MOST_VALUES)]] | None,
        Field(
            description="Value of each parameter of the circuit (radians for an angle), or a list of values to sweep; "
            "lists have one length.",
            max_length=10_000,
            examples=[{"theta": [0.0, 1.57, 3.14]}],
        ),
    ] = None
    observables: Annotated[
        list[dict[str, Number]] | None,
        Field(
            description='For the estimator: observables as Pauli strings with coefficients, such as {"ZZ": 1.0}. The '
            "rightmost letter acts on the circuit's qubit 0.",
            max_length=MOST_TERMS,
            examples=[[{"ZZ": 1.0, "XX": 0.5}, {"IZ": 1.0}]],
        ),
    ] = None
