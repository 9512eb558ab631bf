"""The controllers of this kernel: one a workload id."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .workload import Workload

Registered = Callable[["Workload"], None]


class Registry:
    """The controllers of this kernel: one a workload id. Screens are told of new ones."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._all: dict[str, Workload] = {}
        self._callbacks: list[Registered] = []
        self.display: Callable[[Workload], dict[str, Any] | None] | None = None  # set by the package

    def add(self, controller: Workload) -> None:
        """A new controller."""
        with self._lock:
            self._all[controller.id] = controller
            callbacks = list(self._callbacks)
        for tell in callbacks:
            tell(controller)

    def find(self, id_: str) -> Workload | None:
        """The controller of a workload, by its own id or by that of a workload it continued into."""
        with self._lock:
            there = self._all.get(id_)
            return there or next((c for c in self._all.values() if id_ in (c.workload_id, *c._ledger.lineage)), None)

    def all(self) -> list[Workload]:
        """All of them, oldest first."""
        with self._lock:
            return list(self._all.values())

    def on_add(self, callback: Registered) -> None:
        """Call back with each new controller, and now with those that are there."""
        with self._lock:
            self._callbacks.append(callback)
            there = list(self._all.values())
        for controller in there:
            callback(controller)


registry = Registry()
