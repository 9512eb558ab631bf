"""Caps and conditions of a workload. They run on the watcher's thread, so also while a cell blocks.

What lives in this kernel dies with it; so a usage cap is also given to the service as each job's maximum execution
time, and `limits` of the snapshot says which bound lives where and when it acted.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import QmodeError, ServiceError, UnreachableError
from ..model.snapshot import JobSnapshot, JobState, Limit, WorkloadState
from .actions import remaining, retryable
from .ledger import Ledger
from .record import METRICS_TRIES, Record
from .results import OnItsWayError, Results

log = logging.getLogger(__name__)

LEFT_OPEN = 20.0  # seconds after which a session that a library left idle is worth a warning
WARN_AT = 0.8  # of the usage cap
WARN_BEFORE_MAX, WARN_BEFORE_IDLE = 300.0, 15.0  # seconds before max TTL, interactive TTL run out


class Guards:
    """The bounds of one workload: looks at the ledger after each refresh and acts through `act(what)`."""

    def __init__(self, ledger: Ledger, act: Callable[[str], None], *, retries: int) -> None:
        self._ledger, self._act, self._retries = ledger, act, retries
        self._predicates: list[_Predicate] = []
        self._idle_close: float | None = None
        self._opener: str | None = None  # the library that opened it, and where
        self._warned: set[str] = set()
        self._gave_up: set[str] = set()  # rows the retry policy leaves alone
        self._to_cancel: set[str] = set()  # rows a stop condition cancels, until the service took it
        self._looking = False
        self._closing = False  # its user asked for it, and the service did not take it yet
        self.stopped: str | None = None  # why no further job is sent
        self.held: str | None = None  # why none is sent just now
        if retries:
            self.retry(retries)

    def retry(self, times: int) -> None:
        """Run a partition again up to `times` times."""
        self._retries = times
        self._ledger.limit(Limit("retries", f"{times} a partition, transient and system errors only", "kernel"))

    def cap(self, seconds: float) -> None:
        """A cap on the usage in QPU seconds."""
        if not seconds > 0 or not math.isfinite(seconds):
            raise ValueError(f"usage_cap={seconds!r}: pass a positive number of seconds")
        self._ledger.set_cap(float(seconds))
        self.stopped = None  # a higher cap: the next look compares anew
        self._warned.discard("cap")
        self._ledger.limit(Limit("usage cap", f"{seconds:g} s", "kernel"))
        self._ledger.limit(Limit("usage cap of each job", f"{math.ceil(seconds)} s max_execution_time", "service"))

    def max_execution_time(self) -> int | None:
        """What the service enforces for each job: no single one may use more than the whole cap leaves."""
        if self._ledger.cap is None:
            return None
        return max(1, math.ceil(self._ledger.cap - (self._ledger.used() or 0.0)))

    def close_when_idle(self, seconds: float) -> None:
        """Close after `seconds` seconds without a queued or running job."""
        if not seconds >= 0:
            raise ValueError(f"close_when_idle({seconds!r}): pass a number of seconds, 0 or more")
        self._idle_close = float(seconds)
        self._ledger.limit(Limit("idle close", f"{seconds:g} s", "kernel"))

    def left_open_by(self, library: str | None, where: str) -> None:
        """A library opened it: warn once if it leaves it open and idle."""
        self._opener = None if library is None else where

    def stop_when(self, predicate: Callable[[Any, JobSnapshot], bool], results: Results) -> None:
        """Cancel what remains once `predicate(result, job)` is true."""
        self._predicates.append(_Predicate(predicate, results))
        self._ledger.limit(Limit("stop condition", getattr(predicate, "__name__", "given"), "kernel"))

    def look(self) -> None:
        """Compare the state with every bound; what acts says so in the events. One that fails keeps none of the others
        from acting, and what the service did not take is asked for again at the next look.
        """
        if self._looking:  # a predicate that refreshes comes back here
            return
        self._looking = True
        try:
            checks = {
                "closing": self._check_closing,
                "the usage cap": self._check_cap,
                "the usage of ended jobs": self._check_known,
                "the stop condition": self._check_predicates,
                "a TTL": self._check_ttls,
                "closing when idle": self._check_idle,
                "an idle session": self._check_left_open,
                "running again": self._retry,
            }
            for what, check in checks.items():
                try:
                    check()
                except Exception as error:
                    if not isinstance(error, QmodeError):
                        log.exception("%s of workload %s failed inside", what, self._ledger.id)
                    text = f"{what}: {str(error) or repr(error)}; it is tried again"
                    if self._once(text):
                        self._ledger.event("error", text)
        finally:
            self._looking = False

    @property
    def alarm(self) -> float | None:
        """When the next look is due even if nothing else happens, on the service's clock."""
        ledger, times = self._ledger, []
        if (idle := self._idle_deadline()) is not None:
            times.append(idle)
        if self._opener is not None and ledger.mode == "session" and (since := ledger.idle_since()) is not None:
            times.append(since + LEFT_OPEN)
        used = ledger.used()
        by_the_clock = ledger.mode == "session" and ledger.state is WorkloadState.ACTIVE  # billed even while idle
        if by_the_clock and ledger.cap is not None and used is not None and ledger.seen_at is not None:
            times.append(ledger.seen_at + max(0.0, ledger.cap - used))
        return None if ledger.closed else min(times, default=None)

    def close(self) -> None:
        """Close the workload at the next looks, until the service took it."""
        self._closing = True

    def _check_closing(self) -> None:
        if self._closing and not self._ledger.closed:
            self._act("close")
        self._closing = self._closing and not self._ledger.closed

    def _check_known(self) -> None:
        """A cap that cannot be compared with anything does not hold: nothing is sent until it can be."""
        ledger, cap, before = self._ledger, self._ledger.cap, self.held
        missing = [] if cap is None else ledger.where(lambda r: r.usage_missing)
        if not missing:
            self.held = None
            if before is not None:
                ledger.event("info", "the usage of all jobs is known again: what was held is sent")
            return
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        self.held = f"the service does not say what {missing[0].name}{more} used, so the usage cap cannot be kept"
        if before is None:
            ledger.event("error", f"{self.held}: nothing more is sent until it does", missing[0].row)
        if self.stopped is None and any(r.asked_metrics >= METRICS_TRIES for r in missing):
            self.stopped = self.held
            ledger.limit_acted("usage cap")

    def _check_cap(self) -> None:
        ledger, cap, used = self._ledger, self._ledger.cap, self._ledger.used()
        if cap is None or used is None:
            return
        if used >= cap and self.stopped is None:
            self.stopped = f"the usage cap of {cap:g} s is reached ({used:.1f} s)"
            self._ledger.limit_acted("usage cap")
            ledger.event("error", f"{self.stopped}: the queue is cancelled and the workload closed")
        elif used >= WARN_AT * cap and self.stopped is None and self._once("cap"):
            ledger.event("warning", f"{used:.1f} s of the usage cap of {cap:g} s are used")
        if self.stopped is not None:  # again at each look, until the service took all of it
            if remaining(ledger):
                self._act("cancel_remaining")
            if ledger.mode != "job" and not ledger.closed:
                self._act("close")

    def _check_predicates(self) -> None:
        if self._to_cancel:
            self._cancel_rest()
        for given in list(self._predicates):
            for record in given.unseen(self._ledger):
                try:
                    met = given.judge(record)
                except Exception as error:
                    log.exception("the stop condition failed")
                    self._ledger.event("error", f"the stop condition failed and is off: {error!r}", record.row)
                    self._predicates.remove(given)
                    break
                if met:
                    self._ledger.limit_acted("stop condition")
                    text = f"the stop condition was met by {record.row}: the remaining jobs are cancelled"
                    self._ledger.event("warning", text, record.row)
                    self._predicates = []
                    with self._ledger.lock:
                        self._to_cancel = {r.row for r in self._ledger.records.values() if not r.state.final}
                        self._gave_up.update(self._ledger.records)  # nor is what failed run again
                    self._cancel_rest()
                    return

    def _cancel_rest(self) -> None:
        rows = self._to_cancel
        self._act("cancel_stopped")
        with self._ledger.lock:
            left = [self._ledger.records.get(row) for row in rows]
            self._to_cancel = {
                r.row for r in left if r is not None and not (r.state.final or r.cancelling or r.cancel_when_found)
            }

    def to_cancel(self) -> list[Record]:
        """What a stop condition cancels."""
        with self._ledger.lock:
            return [r for row in self._to_cancel if (r := self._ledger.records.get(row)) and not r.state.final]

    def _check_ttls(self) -> None:
        ledger = self._ledger
        ttl, now = ledger.ttl(), ledger.link.now()
        left = None if ttl.max_deadline is None else ttl.max_deadline - now
        if left is not None and 0 < left < WARN_BEFORE_MAX and self._once(f"max{ttl.max_deadline}"):
            ledger.event("warning", f"max TTL runs out in {left:.0f} s: queued jobs will fail then")
        idle = ttl.interactive_deadline
        left = None if idle is None or ledger.mode != "session" else idle - now
        if left is not None and 0 < left < WARN_BEFORE_IDLE and self._once(f"i{idle}"):
            ledger.event("warning", f"interactive TTL runs out in {left:.0f} s: the session then loses the QPU")

    def _check_idle(self) -> None:
        deadline = self._idle_deadline()
        if deadline is None or self._ledger.link.now() < deadline or self._ledger.closed:
            return
        self._act("close")  # first: if the service does not take it, the next look tries again
        self._ledger.limit_acted("idle close")
        self._ledger.event("info", f"idle for {self._idle_close:g} s: closed")

    def _check_left_open(self) -> None:
        """Libraries open sessions and forget to close them: nobody else will tell the user what that costs."""
        ledger = self._ledger
        active = ledger.mode == "session" and ledger.state is WorkloadState.ACTIVE and not ledger.closed
        if self._opener is None or not active:
            return
        since = ledger.idle_since()
        idle = None if since is None else ledger.link.now() - since
        if idle is not None and idle >= LEFT_OPEN and self._once(f"left open since {since}"):
            used = ledger.used()
            cost = "" if used is None else f", {used:.0f} s of usage so far"
            ledger.event(
                "warning",
                f"{self._opener} left this session open: idle for {idle:.0f} s, which is billed{cost}. close() ends it",
            )

    def _idle_deadline(self) -> float | None:
        """When `close_when_idle` will act, on the service's clock; None before the first job and while one is there."""
        since = self._ledger.idle_since() if self._idle_close is not None else None
        return None if since is None or self._idle_close is None else since + self._idle_close

    def _retry(self) -> None:
        if self.to_retry():
            self._act("retry")

    def to_retry(self) -> list[Record]:
        """Failed attempts that the policy runs again."""
        return self._ledger.where(self.will_retry)

    def will_retry(self, record: Record) -> bool:
        """By reason, never an error of the user's, and not once a cap or a stop condition has acted.

        A retry that was refused because its workload was closed meanwhile never ran: it goes into a new one.
        """
        if record.superseded or record.key is None or record.row in self._gave_up:
            return False
        if self.stopped is not None or self._ledger.read_only:
            return False
        attempt = record.key.attempt
        if record.state is JobState.REFUSED:
            return record.came_too_late and 0 < attempt <= self._retries
        failed = record.state is JobState.FAILED and attempt < self._retries
        return failed and retryable(record.reason_code, record.reason_solution)

    def give_up(self, records: Iterable[Record]) -> None:
        """Leave these to the user."""
        self._gave_up.update(r.row for r in records)

    def _once(self, what: str) -> bool:
        if what in self._warned:
            return False
        self._warned.add(what)
        return True


class _Predicate:
    """A user's stop condition and the jobs it has judged."""

    def __init__(self, predicate: Callable[[Any, JobSnapshot], bool], results: Results) -> None:
        self._predicate, self._results, self._seen = predicate, results, set[str]()

    def unseen(self, ledger: Ledger) -> list[Record]:
        """Finished, and not judged yet. Private results can be read once, by their owner: never by us."""
        return ledger.where(lambda r: r.state is JobState.DONE and r.row not in self._seen and not r.private)

    def judge(self, record: Record) -> bool:
        """Whether the condition is met. A result that cannot be had now is judged at a later look."""
        try:
            result = self._results.of(record, patient=False)
        except (UnreachableError, OnItsWayError):
            return False
        except QmodeError as error:
            if not (isinstance(error, ServiceError) and error.passing):
                self._seen.add(record.row)
                text = f"the stop condition cannot judge {record.row}: {error}"
                self._results.ledger.event("warning", text, record.row)
            return False
        self._seen.add(record.row)
        return bool(self._predicate(result, record.snapshot()))
