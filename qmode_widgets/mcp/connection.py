"""The account that the server works for, connected when it is first needed; and its key, kept out of every text."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any

from ..errors import QmodeError

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

FRESH = 600.0  # seconds for which a backend object serves: loading its calibration takes a while
SHORTEST_KEY = 8  # characters: anything shorter would cut up ordinary words


class Connection:
    """A service, by the saved account or the embedded one.

    Args:
        emulator: connect to the embedded service of this user, started where none runs.
        account: the name of a saved account; the default one if left out.
        instance: only this instance, by name or CRN.
    """

    def __init__(self, *, emulator: bool = False, account: str | None = None, instance: str | None = None) -> None:
        self._emulator, self._account, self._instance = emulator, account, instance
        self._lock = threading.Lock()  # calls run on worker threads: one of them connects
        self._service: QiskitRuntimeService | None = None
        self._secrets: set[str] = set()
        self._backends: dict[str, tuple[Any, float]] = {}  # and when (monotonic) they were loaded

    @property
    def service(self) -> QiskitRuntimeService:
        """The service.

        Raises:
            QmodeError: there is no account, or it is refused.
        """
        with self._lock:
            if self._service is None:
                self._service = self._connect()
                key = (self._service.active_account() or {}).get("token")
                if isinstance(key, str) and len(key) >= SHORTEST_KEY:
                    self._secrets.add(key)
            return self._service

    def _connect(self) -> QiskitRuntimeService:
        if self._emulator:
            from .. import emulator

            running = emulator.start()
            return running.connect(self._instance or "emulator-payg")
        from qiskit_ibm_runtime import QiskitRuntimeService  # it takes seconds: not before an agent asks for something

        from ..control.attach import find_service

        if self._account is None and self._instance is None:
            return find_service()
        given = {"name": self._account, "instance": self._instance}
        return QiskitRuntimeService(**{k: v for k, v in given.items() if v is not None})

    def backend(self, name: str | None) -> Any:
        """The backend of this name, or the one with the shortest queue.

        Raises:
            QmodeError: there is none; it names those there are.
        """
        if name is None:
            return self.service.least_busy()
        known, loaded = self._backends.get(name, (None, -math.inf))
        if time.monotonic() - loaded < FRESH:
            return known
        from qiskit.providers.exceptions import QiskitBackendNotFoundError

        try:
            found = self.service.backend(name)
            self._backends[name] = found, time.monotonic()
            return found
        except QiskitBackendNotFoundError as error:
            there = ", ".join(sorted({b.name for b in self.service.backends()}))
            raise QmodeError(f"there is no backend {name!r}: choose one of {there}") from error

    def clean(self, text: str) -> str:
        """The text without the account's key, should an error of somebody else's code hold it."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text


class CleanFormatter(logging.Formatter):
    """Formats as another one does, and leaves the account's key out."""

    def __init__(self, connection: Connection, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self._connection, self._formatter = connection, formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        return self._connection.clean(self._formatter.format(record))
