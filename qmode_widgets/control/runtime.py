"""What lives once a process: the threads of each instance, and the controllers that there are."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakValueDictionary

from qiskit_ibm_runtime import QiskitRuntimeService

from ..ibm.link import Link, PerInstance, link_of
from .submission import Submitter
from .sync import Watcher

PACE = 1.0  # factor on the seconds between two looks at a workload; tests set it lower before they begin


class Runtime:
    """The threads that all controllers of one instance share. Each ends by itself when it has nothing to do."""

    def __init__(self, link: Link) -> None:
        self.submitter = Submitter(link)
        self.watcher = Watcher(link.budget, PACE)

    @property
    def here(self) -> bool:
        """The caller runs on one of these threads, so it must not wait for what they do."""
        return self.watcher.here or self.submitter.here


_runtimes = PerInstance(lambda service, instance: Runtime(link_of(service, instance)))


def runtime_of(service: QiskitRuntimeService, instance: str) -> Runtime:
    """The runtime of an instance (a CRN) of this service object; made on first use, let go with the service object."""
    return _runtimes(service, instance)


class Registered(Protocol):
    """What the registry needs of a controller."""

    @property
    def id(self) -> str:
        """The id that stays."""
        ...

    @property
    def workload_ids(self) -> tuple[str, ...]:
        """The ids of the workloads it watches: the present one, and those that it continues."""
        ...

    def at_exit(self) -> None:
        """The process ends."""
        ...


class Registry:
    """The controllers of this process: one a workload id. Screens are told of new ones.

    A controller whose workload may still change is kept alive here: its caps and retries must go on when no name refers
    to it. One with nothing left to learn is held weakly, so that its results go with the last name of the user's.
    """

    def __init__(self) -> None:
        self._empty()

    def _empty(self) -> None:
        self._lock = threading.RLock()
        self._kept: dict[str, Registered] = {}
        self._known: WeakValueDictionary[str, Registered] = WeakValueDictionary()
        self._callbacks: list[Callable[[Any], object]] = []
        self.display: Callable[[Any], dict[str, Any] | None] | None = None  # set by the package: how one is shown
        self.widget: Callable[[Any], Any] | None = None  # likewise: its widget
        self.gone: Callable[[Any], object] | None = None  # likewise: takes it off the screens

    def add(self, controller: Registered) -> None:
        """A new controller: keep it, and tell whoever wants to hear of new ones."""
        with self._lock:
            self._known[controller.id] = self._kept[controller.id] = controller
            callbacks = list(self._callbacks)
        for tell in callbacks:
            tell(controller)

    def keep(self, controller: Registered) -> None:
        """It has something to do again."""
        with self._lock:
            if self._known.get(controller.id) is controller:
                self._kept[controller.id] = controller

    def release(self, controller: Registered) -> None:
        """Nothing is left to learn: hold it weakly from now on."""
        with self._lock:
            if self._kept.get(controller.id) is controller:
                del self._kept[controller.id]

    def remove(self, controller: Registered) -> None:
        """Forget it, and tell the screens."""
        with self._lock:
            self.release(controller)
            if self._known.get(controller.id) is controller:
                del self._known[controller.id]
        if self.gone is not None:
            self.gone(controller)

    def find(self, id_: str) -> Any:
        """The controller of a workload, by its own id or by that of a workload it continued into; None without one."""
        with self._lock:
            there = self._known.get(id_)
            return there or next((c for c in self.all() if id_ in c.workload_ids), None)

    def all(self) -> list[Any]:
        """All of them, oldest first."""
        with self._lock:
            return list(self._known.values())

    def on_add(self, callback: Callable[[Any], object]) -> None:
        """Call back with each new controller, and now with those that are there."""
        with self._lock:
            self._callbacks.append(callback)
            there = self.all()
        for controller in there:
            callback(controller)

    def at_exit(self) -> None:
        """Let each controller do what its `on_exit` says."""
        for controller in self.all():
            controller.at_exit()

    def in_child(self) -> None:
        """This process was forked: what its parent controls and shows is none of its business."""
        self._empty()  # with a new lock: another thread may have held the old one


registry = Registry()
atexit.register(registry.at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=registry.in_child)
