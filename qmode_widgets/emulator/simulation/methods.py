"""The simulation methods, and how a result says which one it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STATEVECTOR = "statevector"
STABILIZER = "stabilizer"
MPS = "matrix_product_state"
CLIFFORD = "nearest_clifford"
SHAPES = "shapes"
# From exact to nothing at all; a job or PUB of several circuits is told by the last method that it took.
RANKED = (STATEVECTOR, STABILIZER, MPS, CLIFFORD, SHAPES)


@dataclass(frozen=True, slots=True)
class Settings:
    """How circuits are simulated.

    Args:
        choice: "auto", or one of the methods.
        max_qubits: the largest state vector.
        bond_dimension: the largest of a matrix product state.
        memory: bytes that a worker may use.
        threads: of a large state vector.
        noise: with the calibration's noise.
        inexact: what "auto" may do with a circuit that has no exact method: None raises `Inexact`; MPS and CLIFFORD
            simulate it so.
        seconds: what a job's matrix product states may take; None: as long as it takes.
    """

    choice: str = "auto"
    max_qubits: int = 24
    bond_dimension: int = 64
    memory: int = 2**33
    threads: int = 1
    noise: bool = False
    inexact: str | None = CLIFFORD
    seconds: float | None = None

    def holds_statevector(self, qubits: int) -> bool:
        """Return whether a state vector is allowed and fits: 16 bytes for each of 2^n amplitudes."""
        return qubits <= self.max_qubits and 16 * 2**qubits <= self.memory

    def holds_mps(self, qubits: int) -> bool:
        """Return whether a matrix product state fits: two matrices of a qubit, and as much again to work on."""
        return qubits * 64 * self.bond_dimension**2 <= self.memory


class Inexact(Exception):  # noqa: N818 - no error: it asks for a method that is allowed to be inexact
    """A circuit has no exact method within the settings.

    Args:
        slow: a matrix product state takes longer than it may.
    """

    def __init__(self, *, slow: bool = False) -> None:
        super().__init__()
        self.slow = slow


@dataclass(frozen=True, slots=True)
class Simulated:
    """The method that a circuit was simulated by, and what is not as in the circuit."""

    method: str
    bond_dimension: int | None = None
    noise: str | None = None  # what is left of the calibration's noise, where it is not all of it

    @property
    def exact(self) -> bool:
        """Whether nothing was left out or approximated."""
        return self.method in (STATEVECTOR, STABILIZER) and self.noise is None

    def to_dict(self) -> dict[str, Any]:
        """Return what goes into metadata: `method`, `exact`, `description`, and the bond dimension."""
        said = {
            STATEVECTOR: "simulated by state vector",
            STABILIZER: "simulated by stabilizer",
            MPS: f"simulated by matrix product state of bond dimension {self.bond_dimension}",
            CLIFFORD: "simulated as the nearest Clifford circuit",
            SHAPES: "not simulated: random bits of the right shape",
        }[self.method]
        shown: dict[str, Any] = {"method": self.method, "exact": self.exact}
        if self.bond_dimension is not None:
            shown["bond_dimension"] = self.bond_dimension
        return shown | {"description": said if self.noise is None else f"{said}, {self.noise}"}


def worst(used: list[Simulated]) -> Simulated | None:
    """Return the least exact of several, or None without any."""
    return max(used, key=lambda s: (RANKED.index(s.method), s.noise or ""), default=None)
