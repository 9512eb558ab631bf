"""Caps and conditions of a workload. They decide on what is known, and wait for no request and no code of the user's.

What is irreversible (closing, cancelling the queue) needs a figure that the service reported. Where only an estimate
is at hand, because the laptop slept or the network is away, the answer is *hold*: nothing new is sent until the service
has been heard.

What lives in this kernel dies with it; so a usage cap is also given to the service as each job's maximum execution
time, and `limits` of the snapshot says which bound lives where and when it acted.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

from ...errors import ArgumentError, QmodeError, ServiceError, UnreachableError
from ...model.snapshot import JobSnapshot, JobState, Limit, WorkloadState
from ...portal import portal
from ..runs.results import Results
from ..state.ledger import Ledger
from ..state.record import METRICS_TRIES, Record
from .actions import remaining, retryable
from .observers import Subscription

log = logging.getLogger(__name__)

LEFT_OPEN = 20.0  # seconds after which a session that a library left idle is worth a warning
WARN_AT = 0.8  # of the usage cap
WARN_BEFORE_MAX, WARN_BEFORE_IDLE = 300.0, 15.0  # seconds before max TTL, interactive TTL run out


def check_cap(seconds: float | None) -> None:
    """Raises ArgumentError for a usage cap that is no positive number of seconds; None is no cap."""
    if seconds is not None and not (_is_number(seconds) and seconds > 0 and math.isfinite(seconds)):
        raise ArgumentError(f"usage_cap={seconds!r}: pass a positive number of QPU seconds")


def check_retries(times: object) -> None:
    """Raises ArgumentError for what is no number of retries."""
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 0):
        raise ArgumentError(f"retries={times!r}: pass a whole number, 0 or more")


def check_idle(seconds: float | None) -> None:
    """Raises ArgumentError for what is no number of seconds; None is no limit."""
    if seconds is not None and not (_is_number(seconds) and seconds >= 0 and math.isfinite(seconds)):
        raise ArgumentError(f"close_when_idle={seconds!r}: pass a number of seconds, 0 or more")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


class Guards:
    """The bounds of one workload: looks at the ledger whenever it changed, and acts through `act(what)`.

    `act` begins what it is told to do and returns at once; asked again while that is under way, it does nothing.
    """

    def __init__(self, ledger: Ledger, act: Callable[[str], None], *, retries: int) -> None:
        self._ledger, self._act, self._retries = ledger, act, retries
        self._conditions: list[StopCondition] = []
        self._idle_close: float | None = None
        self._opener: str | None = None  # the library that opened it, and where
        self._warned: set[str] = set()
        self._gave_up: set[str] = set()  # rows the retry policy leaves alone
        self._to_cancel: set[str] = set()  # rows a stop condition cancels, until the service took it
        self._closing = False  # its user asked for it, and the service did not take it yet
        self.stopped: str | None = None  # why no further job is sent
        self._unknown: str | None = None  # the service does not say what a job used
        self._guess: str | None = None  # a cap is reached by the clock alone
        if retries:
            self.retry(retries)

    @property
    def held(self) -> str | None:
        """Why no job is sent just now."""
        return self._guess or self._unknown

    @property
    def retries(self) -> int:
        """How often a failed partition is run again by itself."""
        return self._retries

    def retry(self, times: int) -> None:
        """Run a partition again up to `times` times."""
        check_retries(times)
        self._retries = times
        self._ledger.limit(Limit("retries", f"{times} a partition, transient and system errors only", "kernel"))

    def cap(self, seconds: float) -> None:
        """A cap on the usage in QPU seconds."""
        check_cap(seconds)
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
        check_idle(seconds)
        self._idle_close = float(seconds)
        self._ledger.limit(Limit("idle close", f"{seconds:g} s", "kernel"))

    def left_open_by(self, library: str | None, where: str) -> None:
        """A library opened it: warn once if it leaves it open and idle."""
        self._opener = None if library is None else where

    def stop_when(self, predicate: Callable[[Any, JobSnapshot], bool], results: Results) -> None:
        """Cancel what remains once `predicate(result, job)` is true."""
        self._conditions.append(StopCondition(predicate, results, self))
        self._ledger.limit(Limit("stop condition", getattr(predicate, "__name__", "given"), "kernel"))

    def look(self) -> None:
        """Compare the state with every bound; what acts says so in the events. One that fails keeps none of the others
        from acting, and what the service did not take is asked for again at the next look.
        """
        checks = {
            "closing": self._check_closing,
            "the usage cap": self._check_cap,
            "the usage of ended jobs": self._check_known,
            "the stop condition": self._check_conditions,
            "a TTL": self._check_ttls,
            "closing when idle": self._check_idle,
            "an idle session": self._check_left_open,
            "running again": self._retry,
        }
        for what, check in checks.items():
            try:
                check()
            except Exception as error:
                log.exception("%s of workload %s failed inside", what, self._ledger.id)
                self.failed(what, error)

    def failed(self, what: str, error: BaseException) -> None:
        """Something a bound asked for was not done; said once."""
        text = f"{what}: {str(error) or repr(error)}; it is tried again"
        if self._once(text):
            self._ledger.event("error", text)
            self._ledger.changed()

    @property
    def alarm(self) -> float | None:
        """When the next look is due even if nothing else happens, on the service's clock."""
        ledger, times = self._ledger, []
        if (idle := self._idle_deadline()) is not None:
            times.append(idle)
        if self._opener is not None and ledger.mode == "session" and (since := ledger.idle_since()) is not None:
            times.append(since + LEFT_OPEN)
        used = ledger.used_by_the_clock()
        by_the_clock = ledger.mode == "session" and ledger.state is WorkloadState.ACTIVE  # billed even while idle
        if by_the_clock and ledger.cap is not None and used is not None:
            times.append(ledger.link.now() + max(0.0, ledger.cap - used))
        return None if ledger.closed else min(times, default=None)

    def close(self) -> None:
        """Close the workload at the next looks, until the service took it."""
        self._closing = True

    def _check_closing(self) -> None:
        if self._closing and not self._ledger.closed:
            self._act("close")
        self._closing = self._closing and not self._ledger.closed

    def _check_known(self) -> None:
        """While the service reports no usage of an ended job, nothing is sent: the cap cannot be checked."""
        ledger, cap, before = self._ledger, self._ledger.cap, self._unknown
        missing = [] if cap is None else ledger.where(lambda r: r.usage_missing)
        if not missing:
            self._unknown = None
            if before is not None:
                ledger.event("info", "the usage of all jobs is known again: what was held is sent")
            return
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        self._unknown = f"the service does not say what {missing[0].name}{more} used, so the usage cap cannot be kept"
        if before is None:
            ledger.event("error", f"{self._unknown}: nothing more is sent until it does", missing[0].row)
        if self.stopped is None and any(r.asked_metrics >= METRICS_TRIES for r in missing):
            self.stopped = self._unknown
            ledger.limit_acted("usage cap")

    def _check_cap(self) -> None:
        ledger, cap, used = self._ledger, self._ledger.cap, self._ledger.used()
        if cap is None:
            return
        self._check_clock(cap, used)
        if used is None:
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

    def _check_clock(self, cap: float, used: float | None) -> None:
        """By the clock alone the cap may be reached: nothing more is sent until the service says what was used."""
        ledger, before = self._ledger, self._guess
        guess = ledger.used_by_the_clock() or 0.0
        reached = guess >= cap and (used is None or used < cap) and not ledger.closed and self.stopped is None
        self._guess = (
            f"by the clock the usage cap of {cap:g} s may be reached, and the service has not been heard since"
            if reached
            else None
        )
        if self._guess is not None:
            self._act("look")
            if before is None:
                ledger.event("warning", f"{self._guess}: nothing more is sent until it is")
        elif before is not None and self.stopped is None:
            ledger.event("info", "the service was heard, and the usage cap is not reached: what was held is sent")

    def _check_conditions(self) -> None:
        if self._to_cancel:
            self._cancel_rest()
        for condition in self._conditions:
            condition.look()

    def met(self, condition: StopCondition, record: Record) -> None:
        """A user's stop condition was met: what remains is cancelled."""
        if condition not in self._conditions:
            return
        self._ledger.limit_acted("stop condition")
        text = f"the stop condition was met by {record.row}: the remaining jobs are cancelled"
        self._ledger.event("warning", text, record.row)
        self._end_conditions()
        self._to_cancel = {r.row for r in self._ledger.records.values() if not r.state.final}
        self._gave_up.update(self._ledger.records)  # nor is what failed run again
        self._cancel_rest()
        self._ledger.changed()

    def broken(self, condition: StopCondition, error: BaseException, row: str | None) -> None:
        """A user's stop condition raised: it is off."""
        if condition in self._conditions:
            condition.end()
            self._conditions.remove(condition)
            self._ledger.event("error", f"the stop condition failed and is off: {error!r}", row)
            self._ledger.changed()

    def _end_conditions(self) -> None:
        for condition in self._conditions:
            condition.end()
        self._conditions = []

    def end(self) -> None:
        """No further acts: the workload is let go."""
        self._end_conditions()

    def _cancel_rest(self) -> None:
        left = [self._ledger.records.get(row) for row in self._to_cancel]
        self._to_cancel = {
            r.row for r in left if r is not None and not (r.state.final or r.cancelling or r.cancel_when_found)
        }
        if self._to_cancel:
            self._act("cancel_stopped")

    def to_cancel(self) -> list[Record]:
        """What a stop condition cancels."""
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
        ledger, deadline = self._ledger, self._idle_deadline()
        if deadline is None or ledger.link.now() < deadline or ledger.closed:
            return
        if not ledger.told_since(deadline):  # somebody may have submitted meanwhile: hear the service first
            self._act("look")
            return
        if self._once(f"idle {deadline}"):
            ledger.limit_acted("idle close")
            ledger.event("info", f"idle for {self._idle_close:g} s: it is closed")
        self._act("close")  # until the service took it

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


class StopCondition:
    """A user's condition: results are fetched by tasks of the loop, and judged on a thread of its own."""

    def __init__(self, predicate: Callable[[Any, JobSnapshot], bool], results: Results, guards: Guards) -> None:
        self._predicate, self._results, self._guards = predicate, results, guards
        self._asked: set[str] = set()
        self._row: str | None = None
        self._heard = Subscription(self._judge, self._failed, every=True)

    def look(self) -> None:
        """Fetch what has finished and was not judged yet.

        Private results can be read once, by their owner: never by us.
        """
        for record in self._results.ledger.records.values():
            if record.state is JobState.DONE and record.row not in self._asked and not record.private:
                self._asked.add(record.row)
                portal().spawn(self._fetch(record))

    def end(self) -> None:
        """It judges no more."""
        self._heard.end()

    async def _fetch(self, record: Record) -> None:
        try:
            raw = await self._results.fetch(record)
        except UnreachableError:
            self._asked.discard(record.row)  # judged at a later look
        except QmodeError as error:
            if isinstance(error, ServiceError) and error.passing:
                self._asked.discard(record.row)
                return
            self._results.ledger.event("warning", f"the stop condition cannot judge {record.row}: {error}", record.row)
            self._results.ledger.changed()
        else:
            self._heard.tell(record, raw, record.snapshot())

    def _judge(self, record: Record, raw: tuple[str, str], job: JobSnapshot) -> None:
        self._row = record.row
        try:
            result = self._results.decoded(record, raw)
        except QmodeError as error:
            said = f"the stop condition cannot judge {record.row}: {error}"
            portal().send(self._results.ledger.event, "warning", said, record.row)
            return
        if bool(self._predicate(result, job)):
            self._heard.end()  # at once: what is in its queue is judged no more
            portal().send(self._guards.met, self, record)

    def _failed(self, error: BaseException) -> None:
        portal().send(self._guards.broken, self, error, self._row)
