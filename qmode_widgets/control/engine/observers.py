"""User code and screens: each callback on a daemon thread of its own, so that none holds up a watch, a cap or another.

`News` tells what changed: waiters on the loop at once, callbacks by frozen snapshots, at most every `VIEW_EVERY`
seconds and only where somebody listens.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

from ...model.snapshot import WorkloadSnapshot
from ...portal import clock, portal
from ..state.ledger import Ledger, same

VIEW_EVERY = 0.05  # seconds between two snapshots: faster is only noise to an eye
VIEW_SHARE = 5  # the loop rests this many times as long as making a snapshot took

Listener = Callable[[WorkloadSnapshot], object]
_in_callback = threading.local()


def in_callback() -> bool:
    """The caller runs on the thread of a callback."""
    return getattr(_in_callback, "on", False)


class Subscription:
    """Calls back on a thread of its own.

    Args:
        callback: of the user's. Whatever it raises, `SystemExit` included, ends nothing of ours.
        failed: hears what it raised, each kind of failure once: telling is news, and news calls back.
        every: pass on everything, in order; else only the latest, skipping what came while the callback was busy.
    """

    def __init__(
        self, callback: Callable[..., object], failed: Callable[[BaseException], object], *, every: bool = False
    ) -> None:
        self._callback, self._failed, self._every = callback, failed, every
        self._told: set[str] = set()
        self._news: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._ended = False
        threading.Thread(target=self._run, name="qmode-observer", daemon=True).start()

    def tell(self, *news: Any) -> None:
        """Never waits."""
        self._news.put(news)

    def end(self) -> None:
        """No further calls."""
        self._ended = True
        self._news.put(None)

    def _run(self) -> None:
        _in_callback.on = True
        while True:
            news = self._news.get()
            while not self._every and news is not None and not self._news.empty():
                news = self._news.get()
            if news is None or self._ended:
                return
            try:
                self._callback(*news)
            except BaseException as error:  # noqa: BLE001 - user code: sys.exit() in it ends nothing of ours
                if repr(error) not in self._told:
                    self._told.add(repr(error))
                    self._failed(error)
            del news


class News:
    """What changed in one workload, and who wants to hear of it. Lives on the loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._heard = asyncio.Event()
        self._bells: list[queue.SimpleQueue[None]] = []
        self._listeners: list[Listener] = []
        self._last: WorkloadSnapshot | None = None
        self._next: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self.waiting = 0  # how many wait for a job
        ledger.changed = self.changed
        self.on_news: Callable[[], None] = lambda: None  # the engine's own: guards look

    def changed(self) -> None:
        """Something may be new: waiters look now, listeners soon."""
        self._heard.set()
        self._heard = asyncio.Event()
        for bell in self._bells:
            bell.put(None)
        self.on_news()
        if self._listeners and self._next is None:
            loop = portal().loop
            self._next = loop.call_at(max(self._not_before, loop.time() + clock.of(0.002)), self._tell)

    def _tell(self) -> None:
        self._next = None
        began = clock.monotonic()
        snapshot = self._ledger.snapshot()
        took = clock.monotonic() - began
        self._not_before = clock.monotonic() + max(clock.of(VIEW_EVERY), VIEW_SHARE * took)
        if self._last is not None and same(self._last, snapshot):
            return
        self._last = snapshot
        for tell in list(self._listeners):
            tell(snapshot)

    async def until(self, ready: Callable[[], bool]) -> None:
        """Until `ready()`, which is ours and makes no request."""
        self.waiting += 1
        try:
            while not ready():
                await self._heard.wait()
        finally:
            self.waiting -= 1

    def ring(self, bell: queue.SimpleQueue[None]) -> None:
        """Put something into this queue at each change: somebody waits on a thread of their own."""
        self._bells.append(bell)
        self.waiting += 1

    def unring(self, bell: queue.SimpleQueue[None]) -> None:
        """No more."""
        if bell in self._bells:
            self._bells.remove(bell)
            self.waiting -= 1

    def listen(self, listener: Listener, *, now: bool = False) -> None:
        """Tell it each changed snapshot, on the loop, and the present one if `now`."""
        if not self._listeners:
            self._last = self._ledger.snapshot()
        self._listeners.append(listener)
        if now:
            listener(self._ledger.snapshot())

    def unlisten(self, listener: Listener) -> None:
        """No more."""
        if listener in self._listeners:
            self._listeners.remove(listener)
