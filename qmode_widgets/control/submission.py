"""Post each partition's attempt exactly once, in order, paced, from one thread a link.

Every attempt ends as posted, refused, or **unknown**: a 5xx, a time-out or a lost connection does not tell whether a
paid job was created. An unknown attempt is looked up by its key (a tag only it carries); the listing may lag, so it is
looked up until `LAG` seconds have passed without finding it, and only then posted again, under the same key. Should
the first one turn up all the same, the watcher cancels it and says so.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from ..errors import ServiceError, UnreachableError
from ..ibm.link import PAGE
from ..ibm.wire import JobPage
from ..model.snapshot import JobState
from .actions import cancel_found
from .ledger import Ledger
from .record import Record

log = logging.getLogger(__name__)

LAG = 20.0  # seconds a new job may be missing from the listing
LOOK_UP = (0.5, 1.0, 2.0, 4.0)  # pauses between look-ups; the last one repeats
RETRY = (1.0, 2.0, 5.0, 10.0, 30.0)  # pauses while the service cannot be reached at all


class Attempt(ABC):
    """What the submitter needs of one attempt. Its methods run on the submitter's thread."""

    def __init__(self, tag: str, group: str = "") -> None:
        self.tag = tag  # finds this attempt, and only it
        self.group = group  # its workload: workloads take turns
        self.tries = 0
        self.doubt_since: float | None = None
        self.looks = 0

    @abstractmethod
    def body(self) -> str | None:
        """What to post; None when it was taken back meanwhile."""

    @abstractmethod
    def wanted(self) -> bool:
        """It is still to be sent."""

    @abstractmethod
    def posted(self, job_id: str) -> None:
        """A job exists for it."""

    @abstractmethod
    def refused(self, error: ServiceError) -> None:
        """The service took nothing: no job exists."""

    @abstractmethod
    def unknown(self, why: str) -> None:
        """Its answer was lost; it is being looked up."""

    @abstractmethod
    def waiting(self, why: str) -> None:
        """It was not sent yet; it is tried again."""


class Poster(Protocol):
    """What the submitter needs of a link."""

    def post_job(self, body: str) -> str:
        """Create a job; its id."""
        ...

    def jobs(self, *, tags: Sequence[str] = (), limit: int = PAGE, oldest_first: bool = False) -> JobPage:
        """A page of the jobs that carry the tags."""
        ...


class Submitter:
    """A daemon thread that runs while there is something to send."""

    def __init__(self, link: Poster, *, lag: float = LAG, clock: Callable[[], float] = time.monotonic) -> None:
        self._link, self.lag, self._clock = link, lag, clock
        self.pacer = Pacer()
        self._due: list[tuple[float, int, Attempt]] = []
        self._order = itertools.count()
        self._turns = itertools.count(1)
        self._served: dict[str, int] = {}  # each workload's last turn
        self._lock = threading.RLock()
        # `with` takes the lock itself: an interrupt inside Condition's own `__exit__`, which is Python, would keep it.
        self._wake = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None

    def add(self, attempts: list[Attempt]) -> None:
        """Queue attempts; returns at once."""
        with self._lock:
            for a in attempts:
                heapq.heappush(self._due, (0.0, next(self._order), a))
            self._ensure()

    @property
    def here(self) -> bool:
        """The caller runs on the thread that sends."""
        return threading.current_thread() is self._thread

    def nudge(self) -> None:
        """Look at the queue again now: something was dropped."""
        with self._lock:
            self._wake.notify_all()

    def _ensure(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="qmode-submit", daemon=True)
            self._thread.start()
        self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._lock:
                pause = self._pause()
                if pause is None:
                    self._thread = None
                    return
                if pause > 0:
                    self._wake.wait(min(pause, 1.0))
                    continue
            try:
                self.step()
            except Exception:  # a thread that dies here leaves partitions waiting for ever
                log.exception("submitting failed inside")

    def _pause(self) -> float | None:
        """Seconds until something is due; None when nothing is left. Holds the lock."""
        self._due = [entry for entry in self._due if entry[2].doubt_since is not None or entry[2].wanted()]
        heapq.heapify(self._due)
        if not self._due:
            return None
        now = self._clock()
        return max(0.0, min(self._when(entry, now) for entry in self._due) - now)

    def _when(self, entry: tuple[float, int, Attempt], now: float) -> float:
        """A look-up is due at its own time; a submission also has to keep the pace."""
        return entry[0] if entry[2].doubt_since is not None else max(entry[0], self.pacer.due(now))

    def step(self) -> float | None:
        """Do what is due, one request at most. Returns the pause until something is due again, None when done."""
        with self._lock:
            pause = self._pause()
            if pause is None or pause > 0:
                return pause
            entry = self._next()
            self._due.remove(entry)
        _, order, attempt = entry
        again = self._look_up(attempt) if attempt.doubt_since is not None else self._post(attempt)
        with self._lock:
            if again is not None:  # keeps its place: PUB order is the order of submission
                heapq.heappush(self._due, (again, order, attempt))
            return self._pause()

    def _next(self) -> tuple[float, int, Attempt]:
        """What is due: in a workload by PUB order, among workloads by turns, since submissions may be minutes apart and
        an active session must not wait for another workload's hundreds. Holds the lock.
        """
        now = self._clock()
        entry = min(self._due, key=lambda e: (self._when(e, now), self._served.get(e[2].group, 0), e[1]))
        groups = {e[2].group for e in self._due}
        self._served = {g: n for g, n in self._served.items() if g in groups}
        self._served[entry[2].group] = next(self._turns)
        return entry

    def _post(self, attempt: Attempt) -> float | None:
        """One POST. Returns when to come back, or None when the attempt is settled."""
        try:
            body = attempt.body()
        except Exception as error:
            log.exception("the body of %s cannot be made", attempt.tag)
            attempt.refused(ServiceError(f"its body cannot be made: {error!r}", status=0))
            return None
        if body is None:
            return None
        try:
            job_id = self._link.post_job(body)
        except ServiceError as error:
            now = self._clock()
            if error.status == 429:
                wait = self.pacer.refused(now, error.retry_after)
                attempt.waiting(f"the service asked to wait {wait:.0f} s: too many submissions")
                return now + wait
            if error.outcome_unknown:
                return self._doubt(attempt, str(error))
            attempt.refused(error)
            return None
        except UnreachableError as error:
            if error.sent:
                return self._doubt(attempt, str(error))
            wait = RETRY[min(attempt.tries, len(RETRY) - 1)]
            attempt.tries += 1
            attempt.waiting(f"{error}: trying again in {wait:.0f} s")
            return self._clock() + wait
        except Exception as error:  # not foreseen: no proof that nothing was created
            log.exception("posting %s failed inside", attempt.tag)
            return self._doubt(attempt, f"an error of qmode_widgets itself: {error!r}")
        self.pacer.accepted(self._clock())
        attempt.posted(job_id)
        return None

    def _doubt(self, attempt: Attempt, why: str) -> float:
        attempt.doubt_since, attempt.looks = self._clock(), 0
        attempt.unknown(why)
        return attempt.doubt_since + LOOK_UP[0]

    def _look_up(self, attempt: Attempt) -> float | None:
        """Is there a job with this attempt's key? Only a listing that answered, after the lag, counts as a no."""
        asked = self._clock()
        try:
            found = self._link.jobs(tags=[attempt.tag], limit=10, oldest_first=True).jobs
        except Exception as error:  # whatever it is, it is no proof that the job is not there
            if not isinstance(error, ServiceError | UnreachableError):
                log.exception("looking up %s failed inside", attempt.tag)
            wait = getattr(error, "retry_after", None) or LOOK_UP[-1]
            attempt.unknown(f"its answer was lost and the service cannot be asked now: {error}")
            return self._clock() + float(wait)
        if found:
            attempt.doubt_since = None
            self.pacer.accepted(self._clock())
            attempt.posted(found[0].id)
            return None
        if attempt.doubt_since is not None and asked - attempt.doubt_since >= self.lag:
            attempt.doubt_since = None
            attempt.waiting("not on the service: sending it again")  # or drops it, if it was taken back
            return asked
        attempt.looks += 1
        wait = LOOK_UP[min(attempt.looks, len(LOOK_UP) - 1)]
        end = (attempt.doubt_since or asked) + self.lag
        return min(asked + wait, max(end, asked + 0.05))


DOCUMENTED = 5 / 60  # submissions a second
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


class Pacer:
    """How fast to submit: an adaptive least interval, learned from the service's 429s.

    IBM documents five submissions a minute for each user, not whether bursts are allowed. A 429 means that nothing was
    created, so asking is safe: there is no interval until the first 429; then the rate that was accepted in the last
    minute, at least the documented one, is the guess. `Retry-After` is obeyed where the service sends one, each further
    429 halves the rate, and each accepted submission raises it by a quarter.

    Pure: every method takes the time (seconds, monotonic).
    """

    def __init__(self) -> None:
        self.rate: float | None = None  # None: no 429 was seen yet
        self._not_before = 0.0
        self._pause = FIRST_PAUSE
        self._sent: deque[float] = deque(maxlen=1000)

    def due(self, now: float) -> float:
        """When the next submission may go: `now` or later."""
        return max(now, self._not_before)

    def accepted(self, now: float) -> None:
        """A submission was taken: keep the pace, a little faster than before."""
        self._sent.append(now)
        self._pause = FIRST_PAUSE
        if self.rate is not None:
            self.rate *= 1.25
            self._not_before = now + 1 / self.rate

    def refused(self, now: float, retry_after: float | None) -> float:
        """A 429: returns how long to wait, in seconds."""
        last_minute = sum(1 for t in self._sent if now - t < 60.0)
        guess = max(last_minute / 60.0, DOCUMENTED)
        self.rate = guess if self.rate is None else max(DOCUMENTED, self.rate / 2)
        wait = retry_after or self._pause  # a `Retry-After` of 0 says nothing
        if not retry_after:
            self._pause = min(LONGEST_PAUSE, self._pause * 2)
        self._not_before = now + wait
        return wait


class PartitionAttempt(Attempt):
    """One attempt at one partition: what each outcome of its submission does to its record.

    A partition that its user took back while its POST was under way is not final before the answer is known: it may be
    on the service by then.

    Args:
        ledger: of its workload.
        record: with a key and a captured payload.
        stopped: says why nothing may be sent any more, None while it may.
        wake: asks for a look at the workload.
    """

    def __init__(
        self, ledger: Ledger, record: Record, *, stopped: Callable[[], str | None], wake: Callable[[], None]
    ) -> None:
        assert record.key is not None
        super().__init__(record.key.tag, group=ledger.id)
        self._ledger, self._record, self._key = ledger, record, record.key
        self._stopped, self._wake = stopped, wake

    def body(self) -> str | None:
        """What to post; from here on only the answer tells whether a job exists."""
        ledger, record = self._ledger, self._record
        with ledger.lock:
            why = self._stopped()
            if why is not None and record.state is JobState.WAITING:
                record.settle(JobState.DROPPED, f"not sent: {why}")
            if record.state is not JobState.WAITING or record.captured is None:
                return None
            record.sending = True
            record.workload = ledger.workload_id if ledger.mode != "job" else None
            captured, home = record.captured, record.workload
            written = record.tags(ledger.label(self._key.run))
        return captured.body(written, home)

    def wanted(self) -> bool:
        """It is still to be sent, or to be looked up."""
        with self._ledger.lock:
            return self._record.state in (JobState.WAITING, JobState.UNKNOWN)

    def posted(self, job_id: str) -> None:
        """A job exists for it."""
        ledger, record = self._ledger, self._record
        with ledger.lock:
            record.sending = False
            if record.job_id is None:
                record.exists(job_id)
            elif record.job_id != job_id:  # the watcher found the first one while this was on its way
                extra = Record(JobState.QUEUED, job_id=job_id, workload=record.workload, superseded=True)
                extra.note = f"a duplicate of {record.job_id}: the answer to its submission was lost"
                ledger.duplicate(extra)
        cancel_found(ledger)
        ledger.changed()
        self._wake()

    def refused(self, error: ServiceError) -> None:
        """The service took nothing."""
        ledger, record = self._ledger, self._record
        with ledger.lock:
            record.sending = False
            if record.job_id is not None:  # it was found meanwhile: it exists
                return
            if record.cancel_when_found:
                record.settle(JobState.DROPPED, f"taken back; the service had refused it: {error}")
            else:
                record.settle(JobState.REFUSED, str(error))
                ledger.event("error", f"{record.name} was refused, nothing is billed: {error}", record.row)
        ledger.changed()

    def unknown(self, why: str) -> None:
        """Its answer was lost."""
        ledger, record = self._ledger, self._record
        with ledger.lock:
            if record.job_id is not None:  # the watcher found it first
                return
            first = record.state is not JobState.UNKNOWN
            record.sending, record.doubted = False, time.monotonic()
            after = ", to be cancelled" if record.cancel_when_found else ""
            record.settle(JobState.UNKNOWN, f"{why}; looking whether the job exists{after}")
            if first:
                ledger.event("warning", f"{record.name}: the answer was lost ({why})", record.row)
        ledger.changed()

    def waiting(self, why: str) -> None:
        """It was not sent; it is tried again unless it was taken back."""
        ledger, record = self._ledger, self._record
        with ledger.lock:
            record.sending = False
            if record.job_id is None and record.cancel_when_found:
                record.settle(JobState.DROPPED, "taken back: it never reached the service")
            elif record.job_id is None and not record.state.final:
                record.settle(JobState.WAITING, why)
        ledger.changed()
