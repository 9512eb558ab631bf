"""What one account's instance needs while the kernel lives: a link, a submitter, a watcher and a command thread."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from qiskit_ibm_runtime import QiskitRuntimeService

from .link import Link
from .service import open_link
from .submission import Submitter
from .watcher import Watcher

log = logging.getLogger(__name__)


class Commands:
    """One thread that talks to the service for the buttons: a handler only enqueues."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def put(self, work: Callable[[], None]) -> None:
        """Enqueue; returns at once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="qmode-commands", daemon=True)
                self._thread.start()
        self._queue.put(work)

    def _run(self) -> None:
        while True:
            work = self._queue.get()
            try:
                work()
            except Exception:
                log.exception("a command failed inside")


class Runtime:
    """Shared by all controllers of one instance."""

    def __init__(self, service: QiskitRuntimeService, instance: str) -> None:
        self.link: Link = open_link(service, instance)
        self.submitter = Submitter(self.link)
        self.watcher = Watcher()
        self.commands = Commands()


_runtimes: dict[tuple[int, str], Runtime] = {}
_lock = threading.Lock()


def runtime(service: QiskitRuntimeService, instance: str) -> Runtime:
    """The runtime of an instance of this service object; made on first use.

    Keyed by the object, which the link keeps alive: two service objects may be two accounts.
    """
    with _lock:
        key = (id(service), instance)
        if key not in _runtimes:
            _runtimes[key] = Runtime(service, instance)
        return _runtimes[key]
