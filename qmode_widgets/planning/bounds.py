"""The service's limits as numbers, and how much of them a PUB takes. Sources in brackets; in full in the README."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..model.partition import Partition, Piece
from .work import CONTROL_INSTRUCTIONS, INIT_INSTRUCTIONS, OTHER_INSTRUCTION, PubWork, Work

EXECUTIONS = 10_000_000  # sampler jobs; estimator jobs are split into sub-jobs [guide: job limits]
EXECUTIONS_OLDER = 5_000_000  # what another page of the same guide says
INSTRUCTIONS = 26_800_000  # control instructions a qubit and job [job limits; 32 million on an older page]
TWO_QUBIT_GATES = 10_000  # below this a job always passes; the limit above depends on the options [job limits]
PAYLOAD = 300e6  # bytes; 50 MB until mid-2026 [Qiskit/documentation#5369]
PAYLOAD_OLDER = 50e6
INSTRUCTION_BYTES = 5.0  # of one instruction: 1.3–3.6 bytes of compressed QPY on ISA circuits, in base64
VALUE_BYTES = 4 / 3  # base64 of a parameter value's byte; random values do not compress
JOB_SECONDS = 3 * 3600.0  # QPU usage at which the service ends a job [guide: maximum execution time]
OPEN_PLAN_SECONDS = 600.0  # a rolling 28 days


def folds(work: Work) -> float:
    """How often gate folding brings a circuit's gates: the sum of the noise factors [guide: job limits]."""
    s = work.settings
    return sum(s.noise_factors) if s.noise_factors and not s.pea else 1.0


def control_instructions(work: Work, item: PubWork) -> float:
    """A bound from above on the control instructions a PUB puts on any one qubit."""
    return sum(f.weight + INIT_INSTRUCTIONS for f in item.facts) * folds(work)


def payload_bytes(item: PubWork, part: float = 1.0) -> float:
    """About how many bytes a PUB, or a part of its parameter sets, adds to a job's inputs."""
    return item.payload * VALUE_BYTES * part + sum(f.size for f in item.facts) * INSTRUCTION_BYTES


def too_many_instructions(work: Work, partition: Partition) -> tuple[float, int] | None:
    """Control instructions of a job on its busiest qubit and the PUB that brings most, if they are too many.

    A PUB's circuit is loaded once, its parameter values at run time. Only where the bounds do not settle it are the
    circuits counted qubit by qubit.
    """
    if sum(control_instructions(work, work.items[p.pub]) for p in partition.pieces) <= INSTRUCTIONS:
        return None
    most, pub = busiest_qubit(work, partition.pieces)
    return (most, pub) if most > INSTRUCTIONS else None


def busiest_qubit(work: Work, pieces: Iterable[Piece]) -> tuple[float, int]:
    """Control instructions of these pieces' circuits on their busiest qubit, and the PUB that brings most."""
    times = folds(work)
    qubits: dict[int, float] = {}
    most, pub = 0.0, 0
    for piece in pieces:
        for facts in work.items[piece.pub].facts:
            key = id(facts.circuit)
            if key not in work.per_qubit:
                work.per_qubit[key] = count_per_qubit(facts.circuit)
            counts = work.per_qubit[key]
            for qubit, n in counts.items():
                qubits[qubit] = qubits.get(qubit, 0.0) + n * times
            if (own := max(counts.values(), default=0) * times) > most:
                most, pub = own, piece.pub
    return max(qubits.values(), default=0.0), pub


def count_per_qubit(circuit: Any) -> dict[int, int]:
    """Control instructions on each qubit of a circuit, all blocks of its control flow included."""
    counts = dict.fromkeys(range(circuit.num_qubits), INIT_INSTRUCTIONS)
    _add(circuit, range(circuit.num_qubits), counts)
    return counts


def _add(circuit: Any, qubits: Iterable[int], counts: dict[int, int]) -> None:
    index = dict(zip(circuit.qubits, qubits, strict=True))
    for instruction in circuit.data:
        op = instruction.operation
        on = [index[q] for q in instruction.qubits]
        for block in getattr(op, "blocks", None) or ():
            _add(block, on, counts)
        if getattr(op, "blocks", None) or op.name == "barrier":
            continue
        for qubit in on:
            counts[qubit] += CONTROL_INSTRUCTIONS.get(op.name, OTHER_INSTRUCTION)
