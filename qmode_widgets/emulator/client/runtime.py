"""The client of an embedded service: IBM's own, which also finds its way to the account's other instances."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from qiskit_ibm_runtime import IBMBackend, QiskitRuntimeService, RuntimeJobV2


class EmulatedRuntimeService(QiskitRuntimeService):
    """A `QiskitRuntimeService` that makes the clients of further instances with the embedded service's addresses.

    IBM's client reads them from the environment each time it makes one; where they are not set it asks IBM for a token.

    Args:
        variables: sets them while a block runs.
    """

    def __init__(self, variables: Callable[[], AbstractContextManager[None]]) -> None:
        self.variables = variables
        self._reached: set[str] = set()
        with variables():
            super().__init__()

    def backends(
        self,
        name: str | None = None,
        min_num_qubits: int | None = None,
        instance: str | None = None,
        *args: Any,
        **more: Any,
    ) -> list[IBMBackend]:
        """See `QiskitRuntimeService.backends`."""
        self._reach(instance)
        found: list[IBMBackend] = super().backends(name, min_num_qubits, instance, *args, **more)
        return found

    def jobs(
        self,
        limit: int | None = 10,
        skip: int = 0,
        backend_name: str | None = None,
        pending: bool | None = None,
        program_id: str | None = None,
        instance: str | None = None,
        *args: Any,
        **more: Any,
    ) -> list[RuntimeJobV2]:
        """See `QiskitRuntimeService.jobs`."""
        self._reach(instance)
        found: list[RuntimeJobV2] = super().jobs(
            limit, skip, backend_name, pending, program_id, instance, *args, **more
        )
        return found

    def _reach(self, instance: str | None) -> None:
        """Let a client be made: looking for a backend without a name finds none, and takes no longer than needed."""
        if instance is not None and instance not in self._reached:
            with self.variables():
                super().backends(" ", instance=instance)
            self._reached.add(instance)
