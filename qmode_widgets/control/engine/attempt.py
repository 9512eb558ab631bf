"""Post each partition's attempt exactly once, in order, paced; one outbox an instance, one task a request.

Every attempt ends as posted, refused, or **unknown**: a 5xx, a time-out or a lost connection does not tell whether a
paid job was created. An unknown attempt is looked up by its key (a tag only it carries), in its workload's listing and
in the account's. A listing may lag, so a "no" counts only when the listing has caught up: it shows a job that was
created after the answer was lost, or it was looked at for `ABSENT_AFTER` seconds and misses no other job of ours. Only
then the attempt is posted again, under the same key, or held where the user wants it so. What was posted again is
looked up twice more: should the first job turn up all the same, it is cancelled and reported, run or not.

An attempt of which a second job is possible (it is posted again, or another machine may submit the same work) and that
had to wait since it was last looked for, is looked for just before it is posted.

A workload has one request under way at a time, so that its PUB order is the order of submission; one that hangs holds
up no other workload.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from ...errors import ServiceError, UnreachableError
from ...ibm.link import PAGE, Link
from ...ibm.wire import Job, JobPage
from ...model.snapshot import JobState
from ...portal import aside, clock, portal
from ..state.ledger import Ledger
from ..state.merge import merge
from ..state.record import Record

log = logging.getLogger(__name__)

LAG = 20.0  # seconds for which an attempt is looked up in any case
ARRIVED_AFTER = 15.0  # seconds after which a request that was given up has arrived, or never does
ABSENT_AFTER = 90.0  # seconds after which a job that no listing shows does not exist, if no listing is known to lag
LONGEST_DOUBT = 900.0  # seconds after which an attempt is held: a listing that lags for so long proves nothing
LOOKED_FOR_AGAIN_AFTER = (30.0, 120.0)  # seconds after posting again when the first job is looked for once more
LOOK_UP = (0.5, 1.0, 2.0, 4.0)  # pauses between look-ups; the last one repeats
RETRY = (1.0, 2.0, 5.0, 10.0, 30.0)  # pauses while the service cannot be reached at all
UNAUTHORISED = 600.0  # seconds for which a 401 is taken for a passing one
STALE = LAG  # seconds after which "it has no job" is asked again before it is posted: another machine looks for so long
HELD_LOOK_EVERY = 2.0  # seconds until a submission that a bound holds back is looked at again
MOST_POSTS = 3  # of one attempt whose answers are lost
LONGEST_ATTEMPT = 240.0  # seconds after its first lost answer at which an attempt is not posted again by itself
SLOW_BODY = 1_000_000  # bytes: a payload of this size that was not taken in time is not uploaded again by itself


class Attempt(ABC):
    """What the outbox needs of one attempt. Its methods run on the loop and make no request."""

    def __init__(self, tag: str, group: str = "", *, resend: bool = True) -> None:
        self.tag = tag  # finds this attempt, and only it
        self.group = group  # its workload: one request at a time, and workloads take turns
        self.resend = resend  # False: once its answer is lost it is never posted again
        self.tries = 0
        self.unauthorised_since: float | None = None
        self.doubt_since: float | None = None
        self.looks = 0
        self.sent_again = False  # or may have been sent by another kernel: a second job is possible
        self.absent_at = (0.0, 0.0)  # when it was last known to have no job: by the clock, and by the calendar
        self.posts = 0  # whose answers were lost
        self.first_lost: float | None = None
        self.given_up: str | None = None  # why it is not posted again by itself, though no job exists
        self.afterwards: list[float] = []  # when to look for a second job

    @property
    def home(self) -> str | None:
        """The id of the session or batch it was posted into."""
        return None

    def hold(self) -> str | None:
        """Why it must not be sent now, None when it may."""
        return None

    @abstractmethod
    def body(self) -> Callable[[], str] | None:
        """Makes what to post, on a thread of its own; None when it was taken back meanwhile."""

    @abstractmethod
    def wanted(self) -> bool:
        """It is still to be sent."""

    def lives_in(self, home: str | None) -> None:  # noqa: B027 - most attempts need not know
        """Its job was found in this session or batch: that of another kernel, perhaps."""

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
    def waiting(self, why: str, pause: float | None = None) -> None:
        """It was not sent yet; it is tried again, after `pause` seconds where that is known."""

    @abstractmethod
    def held(self, why: str) -> None:
        """Nobody can tell whether a job exists, and it is not posted again by itself."""

    @abstractmethod
    def found(self, jobs: Sequence[Job]) -> None:
        """All jobs that carry its key, after it was posted again: more than one is one too many."""


class Poster(Protocol):
    """What the outbox needs of a link."""

    async def post_job(self, body: str) -> str:
        """Create a job; its id."""
        ...

    async def jobs(
        self,
        *,
        session_id: str | None = None,
        tags: Sequence[str] = (),
        limit: int = PAGE,
        oldest_first: bool = False,
    ) -> JobPage:
        """A page of the jobs of a workload, or that carry the tags, or of the whole account."""
        ...


class _Queue:
    """One workload's attempts: those to be sent, which keep the pace and PUB order, and those to be looked up."""

    def __init__(self) -> None:
        self._ready: list[tuple[int, Attempt]] = []  # to be sent as soon as the pace allows
        self._later: list[tuple[float, int, Attempt]] = []  # to be sent, not before a time of their own
        self._look: list[tuple[float, int, Attempt]] = []

    def __bool__(self) -> bool:
        return bool(self._ready or self._later or self._look)

    def put(self, attempt: Attempt, due: float, order: int) -> None:
        """Keep it until it is due; of those that may be sent the one with the lowest order comes first."""
        looks = attempt.doubt_since is not None or attempt.afterwards
        heapq.heappush(self._look if looks else self._later, (due, order, attempt))

    def clean(self, pace: float) -> list[Attempt]:
        """Take out what was taken back, as far as it stands first: one look at the heads, not at thousands."""
        dropped = []
        while self._later and (self._later[0][0] <= pace or not self._later[0][2].wanted()):
            _, order, attempt = heapq.heappop(self._later)
            heapq.heappush(self._ready, (order, attempt))
        while self._ready and not self._ready[0][1].wanted():
            dropped.append(heapq.heappop(self._ready)[1])
        return dropped

    def due(self, pace: float) -> float:
        """When its next attempt is due; nothing is sent before `pace`."""
        send = pace if self._ready else self._later[0][0] if self._later else float("inf")
        return min(send, self._look[0][0] if self._look else float("inf"))

    @property
    def order(self) -> int:
        """The order of what comes first."""
        heads = [heap[0][1] for heap in (self._later, self._look) if heap]
        return min([self._ready[0][0], *heads] if self._ready else heads)

    def pop(self, pace: float) -> tuple[int, Attempt]:
        """Take out the one that is due first."""
        if self._look and self._look[0][0] <= (
            pace if self._ready else self._later[0][0] if self._later else float("inf")
        ):
            return heapq.heappop(self._look)[1:]
        return heapq.heappop(self._ready) if self._ready else heapq.heappop(self._later)[1:]


class Outbox:
    """Posts and looks up, while there is something to post or to look up. Lives on the loop."""

    def __init__(
        self, link: Poster, *, now: Callable[[], float] = clock.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._link, self._clock, self._wall = link, now, wall
        self.pacer = Pacer()
        self._queues: dict[str, _Queue] = {}  # by workload
        self._keys: set[str] = set()  # of the attempts that are queued, or have a request under way
        self._order = itertools.count()
        self._turns = itertools.count(1)
        self._served: dict[str, int] = {}  # each workload's last turn
        self._busy: set[str] = set()  # workloads that have a request under way
        # When a job's id came, and the id: enough to recognise one of them in a listing that hides the newest hundreds.
        self._accepted: deque[tuple[float, str]] = deque(maxlen=10 * PAGE)
        self._behind = 0.0  # seconds by which a listing was seen to lag
        self._bell = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, attempts: Sequence[Attempt]) -> None:
        """Queue attempts; returns at once."""
        self.queue(attempts)
        self.nudge()
        if self._task is None or self._task.done():
            self._task = portal().spawn(self._run(), name="outbox")

    def queue(self, attempts: Sequence[Attempt]) -> None:
        """Queue attempts for whoever calls `step`."""
        now = self._clock(), self._wall()
        for a in attempts:
            a.absent_at = now
            self._keys.add(a.tag)
            self._put(a, 0.0, next(self._order))

    def _put(self, attempt: Attempt, due: float, order: int) -> None:
        self._queues.setdefault(attempt.group, _Queue()).put(attempt, due, order)

    def has(self, tag: str) -> bool:
        """The attempt with this key is queued, or its request is under way."""
        return tag in self._keys

    def nudge(self) -> None:
        """Look at the queue again now: something was dropped."""
        self._bell.set()

    async def _run(self) -> None:
        while True:
            self._bell.clear()
            pause = self._pause()
            if pause is None:
                return
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._bell.wait()
                continue
            order, attempt = self._next()
            self._busy.add(attempt.group)
            portal().spawn(self._step(order, attempt), name=f"post {attempt.tag}")

    def _pause(self) -> float | None:
        """Seconds until something is due; None when nothing is left."""
        now = self._clock()
        pace = self.pacer.due(now)
        for group in list(self._queues):
            for dropped in self._queues[group].clean(pace):
                self._keys.discard(dropped.tag)
            if not self._queues[group]:
                del self._queues[group]
        if not self._queues:
            return None if not self._busy else 1.0
        free = [queue.due(pace) for group, queue in self._queues.items() if group not in self._busy]
        return max(0.0, min(free) - now) if free else 1.0  # the busy ones ring when they are free

    async def step(self) -> float | None:
        """Do what is due for one attempt. Returns the pause until something is due again, None when done."""
        pause = self._pause()
        if pause is None or pause > 0:
            return pause
        order, attempt = self._next()
        self._busy.add(attempt.group)
        await self._step(order, attempt)
        return self._pause()

    async def _step(self, order: int, attempt: Attempt) -> None:
        again: float | None = None
        try:
            again = await self._act(attempt)
        except Exception as error:  # no proof that nothing was created; and an attempt lost here would wait for ever
            log.exception("%s failed inside; it is looked up", attempt.tag)
            again = self._clock() + LOOK_UP[-1]
            attempt.doubt_since = attempt.doubt_since or self._clock()
            with contextlib.suppress(Exception):
                attempt.unknown(f"an error of qmode_widgets itself: {error!r}")
        finally:
            self._busy.discard(attempt.group)
            if again is not None:  # keeps its place: PUB order is the order of submission
                self._put(attempt, again, order)
            else:
                self._keys.discard(attempt.tag)
            self._bell.set()

    def _next(self) -> tuple[int, Attempt]:
        """What is due: in a workload by PUB order, among workloads by turns, since submissions may be minutes apart and
        an active session must not wait for another workload's hundreds.
        """
        now = self._clock()
        pace = self.pacer.due(now)
        free = [g for g in self._queues if g not in self._busy]
        group = min(
            free, key=lambda g: (max(now, self._queues[g].due(pace)), self._served.get(g, 0), self._queues[g].order)
        )
        self._served = {g: n for g, n in self._served.items() if g in self._queues}
        self._served[group] = next(self._turns)
        return self._queues[group].pop(pace)

    async def _act(self, attempt: Attempt) -> float | None:
        if attempt.doubt_since is not None:
            return await self._look_up(attempt)
        if attempt.afterwards:
            return await self._look_afterwards(attempt)
        return await self._post(attempt)

    # --- sending -----------------------------------------------------------------------------------------------

    async def _post(self, attempt: Attempt) -> float | None:
        """One POST. Returns when to come back, or None when the attempt is settled."""
        if (why := attempt.hold()) is not None:
            attempt.waiting(why)
            return self._clock() + HELD_LOOK_EVERY
        if attempt.sent_again and self._waited(attempt) >= STALE:
            return await self._look_before(attempt)
        make = attempt.body()
        if make is None:
            return None
        try:
            body = await aside(make)
        except OSError as error:
            return self._later(attempt, str(error))
        except Exception as error:
            log.exception("the body of %s cannot be made", attempt.tag)
            attempt.refused(ServiceError(f"its body cannot be made: {error!r}", status=0))
            return None
        try:
            job_id = await self._link.post_job(body)
        except ServiceError as error:
            return self._refused(attempt, error)
        except UnreachableError as error:
            if error.sent:
                if error.timed_out and len(body) >= SLOW_BODY:
                    attempt.given_up = f"its payload of {len(body) / 1e6:.0f} MB was not taken in time ({error})"
                return self._doubt(attempt, str(error))
            return self._later(attempt, str(error))
        except Exception as error:  # not foreseen: no proof that nothing was created
            log.exception("posting %s failed inside", attempt.tag)
            return self._doubt(attempt, f"an error of qmode_widgets itself: {error!r}")
        return self._exists(attempt, job_id)

    def _refused(self, attempt: Attempt, error: ServiceError) -> float | None:
        now = self._clock()
        if error.status == 429:
            wait = self.pacer.refused(now, error.retry_after)
            attempt.waiting(f"the service asked to wait {wait:.0f} s: too many submissions", wait)
            return now + wait
        if error.outcome_unknown:
            return self._doubt(attempt, str(error))
        if error.status == 401:  # with a fresh token: IAM and the service disagree for a while
            attempt.unauthorised_since = attempt.unauthorised_since or now
            if now - attempt.unauthorised_since < UNAUTHORISED:
                return self._later(attempt, str(error))
        attempt.refused(error)
        return None

    def _later(self, attempt: Attempt, why: str) -> float:
        """It certainly did not reach the service."""
        wait = RETRY[min(attempt.tries, len(RETRY) - 1)]
        attempt.tries += 1
        attempt.waiting(why, wait)
        return self._clock() + wait

    def _exists(self, attempt: Attempt, job_id: str) -> float | None:
        now = self._clock()
        self.pacer.accepted(now)
        self._accepted.append((now, job_id))
        attempt.posted(job_id)
        if not attempt.sent_again:
            return None
        attempt.afterwards = [now + pause for pause in LOOKED_FOR_AGAIN_AFTER]
        return attempt.afterwards[0]

    # --- looking up --------------------------------------------------------------------------------------------

    def _waited(self, attempt: Attempt) -> float:
        """Seconds since it was known to have no job, with those for which the machine slept: other machines did not."""
        at, day = attempt.absent_at
        return max(self._clock() - at, clock.of(abs(self._wall() - day)))

    async def _look_before(self, attempt: Attempt) -> float | None:
        """It had to wait: has another kernel sent it meanwhile? If not, it is posted next."""
        asked, day = self._clock(), self._wall()
        try:
            found = await self._with_its_tag(attempt)
        except (ServiceError, UnreachableError) as error:
            return self._later(attempt, f"it cannot be looked for before it is sent: {error}")
        if not attempt.wanted():  # taken back meanwhile, which is final: nothing of ours was on its way
            return None
        if found:
            self._found(attempt, found[0])
            return None
        attempt.absent_at = asked, day
        return asked

    async def _with_its_tag(self, attempt: Attempt) -> tuple[Job, ...]:
        return (await self._link.jobs(tags=[attempt.tag], limit=10, oldest_first=True)).jobs

    def _found(self, attempt: Attempt, job: Job) -> None:
        attempt.doubt_since = None
        attempt.lives_in(job.session_id)
        attempt.posted(job.id)

    def _doubt(self, attempt: Attempt, why: str) -> float:
        attempt.doubt_since, attempt.looks = self._clock(), 0
        attempt.posts += 1
        attempt.first_lost = attempt.first_lost or attempt.doubt_since
        attempt.unknown(why)
        return attempt.doubt_since + LOOK_UP[0]

    async def _look_up(self, attempt: Attempt) -> float | None:
        """Is there a job with this attempt's key? Only listings that answered, and have caught up, count as a no."""
        assert attempt.doubt_since is not None
        asked = self._clock()
        age = asked - attempt.doubt_since
        try:
            found = await self._with_its_tag(attempt)
            absent = False
            if not found and age >= LAG:
                found, absent = await self._look_around(attempt, asked)
        except Exception as error:  # whatever it is, it is no proof that the job is not there
            if not isinstance(error, ServiceError | UnreachableError):
                log.exception("looking up %s failed inside", attempt.tag)
            wait = getattr(error, "retry_after", None) or LOOK_UP[-1]
            attempt.unknown(f"its answer was lost and the service cannot be asked now: {error}")
            return self._clock() + float(wait)
        if found:
            self.pacer.accepted(self._clock())
            self._found(attempt, found[0])
            return None
        first = attempt.first_lost or attempt.doubt_since
        if absent and attempt.resend:
            attempt.doubt_since = None
            if attempt.given_up is None and (attempt.posts >= MOST_POSTS or asked - first >= LONGEST_ATTEMPT):
                attempt.given_up = f"the answers to {attempt.posts} submissions were lost"
            if attempt.given_up is not None:
                attempt.refused(
                    ServiceError(f"{attempt.given_up}; no job was created. resubmit() sends it again", status=0)
                )
                return None
            attempt.sent_again, attempt.absent_at = True, (asked, self._wall())
            attempt.waiting("not on the service: sending it again")  # or drops it, if it was taken back
            return asked
        if absent or age >= LONGEST_DOUBT:
            attempt.doubt_since = None
            attempt.held("no listing shows it" if absent else f"the service's listings lag by more than {age:.0f} s")
            return None
        attempt.looks += 1
        wait = LOOK_UP[min(attempt.looks, len(LOOK_UP) - 1)]
        if age >= LAG:
            return asked + wait
        return min(asked + wait, max(attempt.doubt_since + LAG, asked + 0.05))

    async def _look_around(self, attempt: Attempt, asked: float) -> tuple[tuple[Job, ...], bool]:
        """The attempt's jobs in the listings of its workload and of the account; and if there is none, whether that
        proves that none exists.
        """
        assert attempt.doubt_since is not None
        account = await self._link.jobs(limit=PAGE)
        pages = [account]
        if attempt.home is not None:
            pages.insert(0, await self._link.jobs(session_id=attempt.home, limit=PAGE))
        for page in pages:
            if found := tuple(job for job in page.jobs if attempt.tag in job.tags):
                return found, False
        shown = {job.id for page in pages for job in page.jobs}
        accepted = list(self._accepted)
        newest = max((at for at, id_ in accepted if id_ in shown), default=float("-inf"))
        if newest >= attempt.doubt_since + ARRIVED_AFTER:
            return (), True  # a job is listed that is younger than this one can be
        if newest == float("-inf") and account.listed >= PAGE:
            accepted = []  # other users' jobs fill the page: it says nothing about ours
        missing = [at for at, id_ in accepted if at > newest and id_ not in shown]
        if missing:
            self._behind = max(self._behind, asked - min(missing))
        return (), not missing and asked - attempt.doubt_since >= max(ABSENT_AFTER, 1.25 * self._behind + LOOK_UP[-1])

    async def _look_afterwards(self, attempt: Attempt) -> float | None:
        """It was posted again: has the first job turned up?"""
        due = attempt.afterwards.pop(0)
        try:
            attempt.found(await self._with_its_tag(attempt))
        except (ServiceError, UnreachableError) as error:
            attempt.afterwards.insert(0, due)
            return self._clock() + float(getattr(error, "retry_after", None) or LOOK_UP[-1])
        return attempt.afterwards[0] if attempt.afterwards else None


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
        tidy: asks to cancel what turned up twice, or after it was taken back.
        held_back: says why nothing may be sent just now, None while it may.
    """

    def __init__(
        self,
        ledger: Ledger,
        record: Record,
        *,
        stopped: Callable[[], str | None],
        wake: Callable[[], None],
        tidy: Callable[[], None],
        held_back: Callable[[], str | None] = lambda: None,
    ) -> None:
        assert record.key is not None
        super().__init__(record.key.tag, group=ledger.id, resend=record.resend)
        if record.state is JobState.UNKNOWN:  # another kernel may have sent it
            self.doubt_since = clock.monotonic()
        self._ledger, self._record, self._key = ledger, record, record.key
        self._stopped, self._held_back, self._wake, self._tidy = stopped, held_back, wake, tidy

    @property
    def home(self) -> str | None:
        """The id of the session or batch it was posted into."""
        return self._record.workload

    def hold(self) -> str | None:
        """Why it must not be sent now."""
        return self._held_back()

    def body(self) -> Callable[[], str] | None:
        """What to post; from here on only the answer tells whether a job exists."""
        ledger, record = self._ledger, self._record
        why = self._stopped()
        if why is not None and record.state is JobState.WAITING:
            record.settle(JobState.DROPPED, f"not sent: {why}")
            ledger.changed()
        if record.state is not JobState.WAITING or record.captured is None or record.sending:
            return None
        record.sending = True
        record.workload = ledger.workload_id if ledger.mode != "job" else None
        captured, home = record.captured, record.workload
        written = record.tags(ledger.label(self._key.run))
        return lambda: captured.body(written, home)

    def wanted(self) -> bool:
        """It is still to be sent, or to be looked up."""
        return self._record.state in (JobState.WAITING, JobState.UNKNOWN)

    def lives_in(self, home: str | None) -> None:
        """Its job was found in this session or batch: another kernel that submits the same key has one of its own."""
        if home is not None and self._ledger.mode != "job" and self._record.job_id is None:
            self._ledger.include(home)
            self._record.workload = home

    def posted(self, job_id: str) -> None:
        """A job exists for it."""
        ledger, record = self._ledger, self._record
        record.sending = False
        if record.job_id is None:
            record.certain = not self.sent_again and self.posts == 0 and self._key.attempt == 0
            record.exists(job_id)
        elif record.job_id != job_id:  # the watcher found the first one while this was on its way
            extra = Record(JobState.QUEUED, job_id=job_id, workload=record.workload, superseded=True)
            extra.note = f"a duplicate of {record.job_id}: the answer to its submission was lost"
            extra.doubled = record.name
            ledger.duplicate(extra)
        self._tidy()
        ledger.changed()
        self._wake()

    def refused(self, error: ServiceError) -> None:
        """The service took nothing."""
        ledger, record = self._ledger, self._record
        record.sending = False
        if record.job_id is not None:  # it was found meanwhile: it exists
            return
        if record.cancel_when_found:
            record.settle(JobState.DROPPED, f"taken back; the service had refused it: {error}")
        else:
            record.error = error
            record.settle(JobState.REFUSED, str(error))
            if record.came_too_late and record.workload == ledger.workload_id:
                ledger.refuse_jobs()
            ledger.event("error", f"{record.name} was refused, nothing is billed: {error}", record.row)
        ledger.changed()
        self._wake()

    def unknown(self, why: str) -> None:
        """Its answer was lost."""
        ledger, record = self._ledger, self._record
        if record.job_id is not None:  # the watcher found it first
            return
        first = record.state is not JobState.UNKNOWN
        record.sending, record.doubted = False, clock.monotonic()
        after = ", to be cancelled" if record.cancel_when_found else ""
        record.settle(JobState.UNKNOWN, f"{why}; looking whether the job exists{after}")
        if first:
            ledger.event("warning", f"{record.name}: the answer was lost ({why})", record.row)
        ledger.changed()

    def waiting(self, why: str, pause: float | None = None) -> None:
        """It was not sent; it is tried again unless it was taken back."""
        ledger, record = self._ledger, self._record
        record.sending = False
        if record.job_id is None and record.cancel_when_found:
            record.settle(JobState.DROPPED, "taken back: it never reached the service")
        elif record.job_id is None and not record.state.final:
            record.settle(JobState.WAITING, why)
            record.next_try = None if pause is None else ledger.link.now() + pause
        ledger.changed()

    def held(self, why: str) -> None:
        """Nobody can tell whether a job exists."""
        ledger, record = self._ledger, self._record
        if record.job_id is not None:
            return
        if record.cancel_when_found:
            record.settle(JobState.DROPPED, "taken back; should it turn up on the service it is cancelled")
        else:
            record.held = True
            text = f"its answer was lost and {why}: it is not sent again by itself. resubmit() sends it"
            record.settle(JobState.UNKNOWN, text)
            ledger.event("error", f"{record.name}: {text}", record.row)
        ledger.changed()

    def found(self, jobs: Sequence[Job]) -> None:
        """All jobs with its key, after it was posted again."""
        merge(self._ledger, jobs)
        self._tidy()
        self._ledger.changed()
        self._wake()


_outboxes: weakref.WeakKeyDictionary[Link, Outbox] = weakref.WeakKeyDictionary()


def outbox_of(link: Link) -> Outbox:
    """The one outbox of an instance of a service object; to be called on the loop."""
    found = _outboxes.get(link)
    if found is None:
        found = _outboxes[link] = Outbox(weakref.proxy(link))  # the ledgers that it serves keep the link
    return found
