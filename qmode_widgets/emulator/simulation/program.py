"""What a program is to the pool: loads to time, and a run that gives a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from qiskit import QuantumCircuit

from .simulator import Simulator


@dataclass(frozen=True, slots=True)
class Load:
    """A circuit that is executed `sets × shots` times; `learning` executions come on top."""

    circuit: QuantumCircuit
    sets: int
    shots: int
    learning: int = 0

    @property
    def executions(self) -> int:
        """Of the payload and of what it learns."""
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
    def notes(self) -> list[str]:
        """What was accepted but is not simulated: goes into the job's log."""
        ...

    def run(self, simulator: Simulator) -> str:
        """The result's JSON. Moments on the QPU are written as `at(fraction)` of the job's QPU time."""
        ...


def at(fraction: float) -> str:
    """A moment on the QPU, as a fraction of the job's time there; the server puts the time in when it is known."""
    return f"%%QPU+{min(max(fraction, 0.0), 1.0):.9f}%%"
