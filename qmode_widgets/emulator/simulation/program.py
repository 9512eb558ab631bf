"""What the pool needs of a program: loads to time, and a run that gives a result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterExpression

from .errors import InvalidInputError
from .methods import Simulated
from .simulator import Simulator

ASSIGN_IT = "as its duration: assign it before submitting, one circuit for each duration"


@dataclass(frozen=True, slots=True)
class Load:
    """A circuit that is executed `sets × shots` times, and `learning` times on top.

    `randomized` is how many randomised circuits that makes (twirling, learning); 0 for a circuit as it is.
    """

    circuit: QuantumCircuit
    sets: int
    shots: int
    learning: int = 0
    randomized: int = 0

    @property
    def executions(self) -> int:
        """Executions of the payload and of what it learns."""
        return self.sets * self.shots + self.learning


class Program(Protocol):
    """A job's params, read."""

    @property
    def loads(self) -> list[Load]:
        """What is executed, in order."""
        ...

    @property
    def rep_delay(self) -> float | None:
        """Seconds between executions, where the job sets it."""
        ...

    @property
    def seconds(self) -> float:
        """Seconds on the QPU beside the executions."""
        ...

    @property
    def notes(self) -> list[str]:
        """What was accepted but is not simulated; it goes into the job's log."""
        ...

    def run(self, simulator: Simulator) -> str:
        """Return the result's JSON. Times on the QPU are written as `at(fraction)` of the job's time there."""
        ...


def simulation(used: Simulated | None) -> dict[str, Any]:
    """Return what a PUB's metadata says of its simulation: nothing where it was exact, as a QPU's says nothing."""
    return {} if used is None or used.exact else {"simulation": used.to_dict()}


def at(fraction: float) -> str:
    """Return a placeholder for a time on the QPU, as a fraction of the job's time there; the server fills it in."""
    return f"%%QPU+{min(max(fraction, 0.0), 1.0):.9f}%%"


def check_values(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return parameter values, all of which must be finite."""
    if not np.isfinite(values).all():
        wrong = values[~np.isfinite(values)][0]
        raise InvalidInputError(
            f"parameter values must be finite numbers, not {wrong} (a missing value is read as nan)"
        )
    return values


def check_delays(circuit: QuantumCircuit) -> None:
    """Refuse a delay with a parameter as its duration, which the service does not run."""
    for inst in _instructions(circuit):
        duration = inst.operation.duration if inst.operation.name == "delay" else None
        if isinstance(duration, ParameterExpression) and duration.parameters:
            names = ", ".join(sorted(p.name for p in duration.parameters))
            raise InvalidInputError(f"a delay has the parameter {names} {ASSIGN_IT}")


def _instructions(circuit: QuantumCircuit) -> Iterator[Any]:
    for inst in circuit.data:
        yield inst
        for block in getattr(inst.operation, "blocks", None) or ():
            yield from _instructions(block)
