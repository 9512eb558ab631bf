"""One polling thread a link for all its workloads, at the pace each of them needs.

About once a second while something runs, slower while it queues, slow when idle, not at all when everything is final.
It honours `Retry-After`, backs off on errors, and says since when what is shown is old.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..model.snapshot import JobState, WorkloadState
from .errors import ServiceError, UnreachableError
from .ledger import Ledger
from .refresh import refresh

log = logging.getLogger(__name__)

RUNNING, QUEUED, IDLE, ENDING = 1.0, 3.0, 10.0, 2.0  # seconds between refreshes
BACK_OFF = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


class Watcher:
    """A daemon thread that ends by itself when nothing is left to watch."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._next: dict[str, float] = {}
        self._ledgers: dict[str, Ledger] = {}
        self._errors: dict[str, int] = {}
        self._after: dict[str, Callable[[], None]] = {}
        self._not_before = 0.0  # `Retry-After`: not even for a click
        self._thread: threading.Thread | None = None

    def watch(self, ledger: Ledger, after: Callable[[], None]) -> None:
        """Watch a workload from now on; `after` runs on the watcher's thread after each look (guards live there)."""
        with self._wake:
            self._ledgers[ledger.id], self._after[ledger.id] = ledger, after
            self._next[ledger.id] = 0.0
            self._ensure()

    def wake(self, ledger: Ledger) -> None:
        """Look at this workload now: something was sent, cancelled or closed."""
        with self._wake:
            if ledger.id in self._ledgers:
                self._next[ledger.id] = 0.0
                self._ensure()

    def forget(self, ledger: Ledger) -> None:
        """Stop watching it."""
        with self._wake:
            for table in (self._ledgers, self._next, self._errors, self._after):
                table.pop(ledger.id, None)
            self._wake.notify_all()

    @property
    def here(self) -> bool:
        """The caller runs on the thread that polls."""
        return threading.current_thread() is self._thread

    @property
    def alive(self) -> bool:
        """A thread is polling."""
        return self._thread is not None and self._thread.is_alive()

    def _ensure(self) -> None:
        if not self.alive:
            self._thread = threading.Thread(target=self._run, name="qmode-watch", daemon=True)
            self._thread.start()
        self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._wake:
                waiting = {i: t for i, t in self._next.items() if t != float("inf")}
                if not waiting:
                    self._thread = None
                    return
                due = min(waiting, key=waiting.__getitem__)
                left = max(waiting[due], self._not_before) - time.monotonic()
                if left > 0:
                    self._wake.wait(left)
                    continue
                self._next[due] = float("inf")  # a wake while it is being refreshed is not lost
                ledger, after = self._ledgers[due], self._after[due]
            try:
                pause = self._look(ledger, after)
            except Exception:  # a thread that dies here leaves everything unwatched
                log.exception("looking at workload %s failed inside", due)
                pause = BACK_OFF[-1]
            with self._wake:
                if due in self._next:
                    at = float("inf") if pause is None else time.monotonic() + pause
                    self._next[due] = min(self._next[due], at)

    def _look(self, ledger: Ledger, after: Callable[[], None]) -> float | None:
        """One refresh. Returns the pause until the next, None when there is nothing more to learn."""
        try:
            with ledger.looking:
                refresh(ledger)
                self._errors.pop(ledger.id, None)
                try:
                    after()
                except Exception:
                    log.exception("a guard of workload %s failed", ledger.id)
        except (ServiceError, UnreachableError) as error:
            n = self._errors[ledger.id] = self._errors.get(ledger.id, 0) + 1
            ledger.failed(str(error))
            ledger.changed()
            wait = BACK_OFF[min(n, len(BACK_OFF)) - 1]
            asked = getattr(error, "retry_after", None)
            if asked:
                self._not_before = time.monotonic() + asked
                return float(asked)
            return wait
        except Exception:
            log.exception("refreshing workload %s failed inside", ledger.id)
            ledger.failed("an error of qmode_widgets itself, see the log")
            ledger.changed()
            return BACK_OFF[-1]
        ledger.changed()
        return pace(ledger)


def pace(ledger: Ledger) -> float | None:
    """Seconds until the next look, by what can change."""
    now = time.monotonic()
    with ledger.lock:
        records = ledger.records.values()
        states = {r.state for r in records}
        ending = [r.metrics_due - now for r in records if r.needs_metrics]
        doubted = any(r.in_doubt for r in records)
    if JobState.RUNNING in states:
        return RUNNING
    if states & {JobState.QUEUED, JobState.UNKNOWN, JobState.WAITING}:
        return RUNNING if ledger.state is WorkloadState.ACTIVE else QUEUED
    if ending:
        return max(ENDING, min(ending))
    if doubted:
        return IDLE
    if ledger.mode == "job":
        return None if states else IDLE
    if ledger.state is WorkloadState.CLOSED:
        return ENDING if states and ledger.unsettled() else None
    deadline = ledger.next_deadline()
    if deadline is not None:
        return min(IDLE, max(0.2, deadline - ledger.link.now() + 0.2))
    return IDLE
