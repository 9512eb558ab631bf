"""The controllers of this process: one a workload. Screens are told of new ones."""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary, ref

from ..model.snapshot import WorkloadState
from ..portal import at_exit, last_at_exit, portal


class Registry:
    """Changed on the loop alone.

    A controller whose workload may still change is kept alive here: its caps and retries must go on when no name refers
    to it. One with nothing left to learn is held weakly, so that its results go with the last name of the user's.
    """

    def __init__(self) -> None:
        self._empty()
        self.display: Callable[[Any], dict[str, Any] | None] | None = None  # set by the package: how one is shown
        self.show: Callable[[Any], bool] | None = None  # likewise: shows it in an output that the kernel renews
        self.widget: Callable[[Any], Any] | None = None  # likewise: its widget
        self.gone: Callable[[Any], object] | None = None  # likewise: takes it off the screens

    def _empty(self) -> None:
        self._kept: dict[str, Any] = {}
        self._claimed: set[str] = set()
        self._known: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self._callbacks: list[Callable[[Any], object]] = []

    def add(self, controller: Any, id_: str) -> None:
        """A new controller of this workload. On the loop."""
        self._known[id_] = self._kept[id_] = controller
        self._claimed.add(id_)

    def claimed(self, id_: str) -> bool:
        """The workload has, or once had, a controller. On the loop."""
        return id_ in self._claimed

    def tell(self, controller: Any) -> None:
        """Tell whoever wants to hear of new ones; on the thread that made it."""
        for callback in portal().call(lambda: list(self._callbacks)):
            callback(controller)

    def keeper(self, controller: Any) -> Callable[[bool], None]:
        """What the engine says: True where the controller has something to do again, False once nothing is left."""
        held: Callable[[], Any] = ref(controller)

        def kept(there_is_more: bool) -> None:
            found: Any = held()
            known: Any = None if found is None else self._known.get(found.id)
            if found is None or known is not found:
                return
            if there_is_more:
                self._kept[str(found.id)] = found
            else:
                self._kept.pop(str(found.id), None)

        return kept

    def remove(self, controller: Any) -> None:
        """Forget it, and tell the screens."""

        def drop() -> None:
            there: Any = self._known.get(controller.id)
            if there is controller:
                self._kept.pop(controller.id, None)
                del self._known[controller.id]

        portal().call(drop)
        if self.gone is not None:
            self.gone(controller)

    def find(self, id_: str) -> Any:
        """The controller of a workload, by its own id or by that of a workload it continued into; None without one."""

        def look() -> Any:
            there = self._known.get(id_)
            return there or next((c for c in list(self._known.values()) if id_ in c.workload_ids), None)

        return portal().call(look)

    def all(self) -> list[Any]:
        """All of them, oldest first."""
        return portal().call(lambda: list(self._known.values()))

    def on_add(self, callback: Callable[[Any], object]) -> None:
        """Call back with each new controller, and now with those that are there."""

        def add() -> list[Any]:
            self._callbacks.append(callback)
            return list(self._known.values())

        for controller in portal().call(add):
            callback(controller)

    async def exit(self) -> None:
        """Let each controller do what its `on_exit` says, all at once."""

        async def one(controller: Any) -> None:
            try:
                await controller._workload.exit()
            except (asyncio.CancelledError, Exception) as error:
                why = str(error) or "the service did not answer in time"
                mode, id_ = controller._ledger.mode, controller.workload_id
                warnings.warn(f"the {mode} {id_} could not be closed: {why}", stacklevel=1)
                raise

        await asyncio.gather(*(one(c) for c in list(self._known.values())), return_exceptions=True)

    def say_what_is_open(self) -> None:
        """A script ends: say on its terminal which workloads stay open, and how to find them again."""
        if "ipykernel" in sys.modules:
            return  # screens hear of it
        for controller in self.all():
            shot = controller.snapshot()
            left = sum(not job.state.final for job in shot.jobs)
            over = shot.state is WorkloadState.CLOSED or (shot.mode == "job" and not left)
            if not over and (left or shot.accepting_jobs is not False):
                jobs = f"{left} jobs have not ended" if left else "it takes further jobs"
                sys.stderr.write(
                    f"qmode_widgets: the {shot.mode} {shot.workload_id or shot.id} on {shot.backend} stays open "
                    f"({jobs}): qmode_widgets.attach({shot.id!r}) finds it again\n"
                )

    def in_child(self) -> None:
        """This process was forked: what its parent controls and shows is none of its business."""
        self._empty()


registry = Registry()
at_exit(registry.exit)
last_at_exit(registry.say_what_is_open)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=registry.in_child)
