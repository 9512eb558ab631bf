"""Caps and conditions of a workload. They run on the watcher's thread, so also while a cell blocks.

What lives in this kernel dies with it; so a usage cap is also given to the service as each job's maximum execution
time, and `limits` of the snapshot says which bound lives where and when it acted.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..model.snapshot import JobSnapshot, JobState, Limit, WorkloadState
from .ending import retryable
from .ledger import Ledger
from .record import Record
from .results import Results

log = logging.getLogger(__name__)

WARN_AT = 0.8                       # of the usage cap
WARN_BEFORE_MAX, WARN_BEFORE_IDLE = 300.0, 15.0             # seconds before max TTL, interactive TTL run out


class Guards:
    """Looks at the ledger after each refresh and acts through `act(what)`."""

    def __init__(self, ledger: Ledger, act: Callable[[str], None], *, retries: int) -> None:
        self._ledger, self._act, self._retries = ledger, act, retries
        self._predicates: list[tuple[Callable[[Any, JobSnapshot], bool], Results, set[str]]] = []
        self._idle_close: float | None = None
        self._warned: set[str] = set()
        self.stopped: str | None = None             # why no further job is sent
        if retries:
            ledger.limit(Limit("retries", f"{retries} a partition, transient and system errors only", "kernel"))

    def cap(self, seconds: float) -> None:
        """A cap on the usage in QPU seconds."""
        if not seconds > 0 or not math.isfinite(seconds):
            raise ValueError(f"usage_cap={seconds!r}: pass a positive number of seconds")
        self._ledger.cap = float(seconds)
        self._ledger.limit(Limit("usage cap", f"{seconds:g} s", "kernel"))
        self._ledger.limit(Limit("usage cap of each job", f"{math.ceil(seconds)} s max_execution_time", "service"))

    def max_execution_time(self) -> int | None:
        """What the service enforces for each job: no single one may use more than the whole cap leaves."""
        if self._ledger.cap is None:
            return None
        used = self._ledger.snapshot().usage.reported or 0.0
        return max(1, math.ceil(self._ledger.cap - used))

    def close_when_idle(self, seconds: float) -> None:
        """Close after so many seconds without a queued or running job."""
        if not seconds >= 0:
            raise ValueError(f"close_when_idle({seconds!r}): pass a number of seconds, 0 or more")
        self._idle_close = float(seconds)
        self._ledger.limit(Limit("idle close", f"{seconds:g} s", "kernel"))

    def stop_when(self, predicate: Callable[[Any, JobSnapshot], bool], results: Results) -> None:
        """Cancel what remains once `predicate(result, job)` is true."""
        self._predicates.append((predicate, results, set()))
        self._ledger.limit(Limit("stop condition", getattr(predicate, "__name__", "given"), "kernel"))

    @property
    def idle_deadline(self) -> float | None:
        """When `close_when_idle` will act, on the service's clock."""
        since = self._idle_since()
        return None if since is None or self._idle_close is None else since + self._idle_close

    def look(self) -> None:
        """Compare the state with every bound; what acts says so in the events."""
        self._check_cap()
        self._check_predicates()
        self._check_ttls()
        self._check_idle()
        if self._retries and self.stopped is None and self.to_retry():
            self._act("retry")

    def _check_cap(self) -> None:
        ledger, cap = self._ledger, self._ledger.cap
        used = ledger.snapshot().usage.reported
        if cap is None or used is None:
            return
        if used >= cap and self.stopped is None:
            self.stopped = f"the usage cap of {cap:g} s is reached ({used:.1f} s)"
            self._acted("usage cap")
            ledger.event("error", f"{self.stopped}: the queue is cancelled and the workload closed")
            self._act("cancel_remaining")
            self._act("close")
        elif used >= WARN_AT * cap and self._once("cap"):
            ledger.event("warning", f"{used:.1f} s of the usage cap of {cap:g} s are used")

    def _check_predicates(self) -> None:
        for predicate, results, seen in self._predicates:
            with self._ledger.lock:
                done = [r for r in self._ledger.records.values() if r.state is JobState.DONE and r.row not in seen]
            for record in done:
                seen.add(record.row)
                shot = record.snapshot()
                if shot.private:                    # it can be read once, by its owner
                    continue
                try:
                    met = predicate(results.of(record), shot)
                except Exception as error:
                    log.exception("the stop condition failed")
                    self._ledger.event("error", f"the stop condition failed and is off: {error!r}", record.row)
                    self._predicates = []
                    return
                if met:
                    self._acted("stop condition")
                    text = f"the stop condition was met by {record.row}: the remaining jobs are cancelled"
                    self._ledger.event("warning", text, record.row)
                    self._act("cancel_all")
                    self._predicates = []
                    return

    def _check_ttls(self) -> None:
        ledger = self._ledger
        ttl, now = ledger.snapshot().ttl, ledger.link.now()
        if ttl.max_deadline is not None and 0 < ttl.max_deadline - now < WARN_BEFORE_MAX and self._once("max"):
            ledger.event("warning", f"max TTL runs out in {ttl.max_deadline - now:.0f} s: queued jobs will fail then")
        idle = ttl.interactive_deadline
        left = None if idle is None or ledger.mode != "session" else idle - now
        if left is not None and 0 < left < WARN_BEFORE_IDLE and self._once(f"i{idle}"):
            ledger.event("warning", f"interactive TTL runs out in {left:.0f} s: the session then loses the QPU")

    def _check_idle(self) -> None:
        deadline = self.idle_deadline
        if deadline is not None and self._ledger.link.now() >= deadline and self._once(f"idle{deadline}"):
            self._acted("idle close")
            self._ledger.event("info", f"idle for {self._idle_close:g} s: closed")
            self._act("close")

    def _idle_since(self) -> float | None:
        shot = self._ledger.snapshot()
        if shot.state is not WorkloadState.ACTIVE or shot.ttl.interactive_deadline is None:
            return None
        return shot.ttl.interactive_deadline - (shot.ttl.interactive_ttl or 0.0)

    def to_retry(self) -> list[Record]:
        """Failed attempts that the policy runs again: by reason, never an error of the user's."""
        with self._ledger.lock:
            return [
                r for r in self._ledger.records.values()
                if r.state is JobState.FAILED and not r.superseded and r.key is not None
                and r.key.attempt < self._retries
                and retryable(r.reason_code, r.snapshot().reason_solution)
            ]

    def _acted(self, name: str) -> None:
        if name in self._ledger.limits:
            self._ledger.limit(replace(self._ledger.limits[name], acted=self._ledger.link.now()))

    def _once(self, what: str) -> bool:
        if what in self._warned:
            return False
        self._warned.add(what)
        return True
