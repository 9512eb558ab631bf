"""One refresh of a workload in few requests, merged into its ledger; and the task that looks again and again.

A refresh is one GET of the workload and one page of its pending jobs. Only when a job has left that page, one page of
ended jobs follows, and one metrics GET for each job that ended, until its usage is complete; after that it is never
asked again. The client's own way is one GET a job and status.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import ServiceError, UnreachableError, WrongAnswerError
from ...ibm.link import PAGE, Link
from ...ibm.wire import Job
from ...model import tags
from ...model.snapshot import JobState, WorkloadState
from ...portal import clock, portal
from ..state.ledger import Ledger
from ..state.merge import merge

log = logging.getLogger(__name__)

MOST = 10_000  # jobs of a workload that are listed: some 80 MB
FEW = 2  # single jobs that are asked for one by one
METRICS_AT_ONCE = 20  # requests for metrics in one refresh: a burst of ended jobs is spread


async def refresh(ledger: Ledger, *, quick: bool = False, listed: Callable[[], None] = lambda: None) -> None:
    """Ask the service and merge; the caller calls `ledger.changed()`.

    A `quick` one ends after the pending jobs where none has left that list: one request. `listed` is called when
    jobs have ended, before their metrics are asked for: of those as many as the budget has left, the rest next time.

    Pending jobs are listed before the session object is read: a job that ends in between was listed, or it has moved
    the session's last completion, so it is never missed.

    Raises:
        ServiceError, UnreachableError: the service did not answer; what was merged so far stays.
    """
    link = ledger.link
    ledger.look_begins()
    scopes = _scopes(ledger)
    problems: list[str] = []  # parts of answers that could not be read: named, and no reason to miss the rest
    left: dict[str, set[str]] = {}
    for scope in scopes:
        try:
            listed_now = await pages(link, problems, pending=True, oldest_first=True, **scope.query)
        except ServiceError as error:
            _unless_forbidden(error, problems)
            continue
        left[scope.name] = set(scope.watched - merge(ledger, listed_now, scope=scope.home))
    if scopes and not left:
        raise ServiceError("; ".join(problems), status=FORBIDDEN)
    if quick and not any(left.values()):
        ledger.seen(problems)
        return
    if ledger.mode != "job":
        for id_ in ledger.unsettled():
            await _read_session(ledger, id_, problems)
    for scope in scopes:
        if scope.name in left:
            await _read_ended(ledger, scope, left[scope.name], problems)
    await _read_singles(ledger, problems)
    ledger.look_ends()
    if any(left.values()):
        listed()
    await _read_metrics(ledger, link, problems)
    ledger.seen(problems)
    await _read_instance(ledger, link)


async def _read_session(ledger: Ledger, id_: str, problems: list[str]) -> None:
    try:
        session = await ledger.link.session(id_)
    except WrongAnswerError as error:
        problems.append(str(error))
        return
    except ServiceError as error:
        _unless_forbidden(error, problems)
        return
    problems += session.problems
    ledger.read_session(session)


FORBIDDEN = 403


def _unless_forbidden(error: ServiceError, problems: list[str]) -> None:
    """A 403 means "not allowed to look now": it is noted, and what can be read is read all the same.

    Raises:
        ServiceError: any other error.
    """
    if error.status != FORBIDDEN:
        raise error
    problems.append(f"not allowed to look: {error}")


@dataclass(frozen=True, slots=True)
class _Scope:
    """What narrows a listing to this workload: a session id, or in job mode the tag of a run."""

    name: str
    query: dict[str, Any]
    watched: frozenset[str]  # ids of jobs that have not ended

    @property
    def home(self) -> str | None:
        """The session that jobs of this listing belong to; None in job mode."""
        found: str | None = self.query.get("session_id")
        return found


def _scopes(ledger: Ledger) -> list[_Scope]:
    """The listings in which anything can be new."""
    found: list[_Scope] = []
    live = [r for r in ledger.records.values() if r.state.on_service and r.job_id]
    if ledger.mode == "job":
        alone = {r.key.run for r in ledger.singles() if r.key is not None}
        for run in ledger.runs:
            if run in alone:
                continue
            ids = frozenset(str(r.job_id) for r in live if r.key and r.key.run == run)
            doubted = any(r.key and r.key.run == run and r.in_doubt for r in ledger.records.values())
            if ids or doubted or not ledger.was_listed(run):
                found.append(_Scope(run, {"tags": [tags.run_tag(run)]}, ids))
        return found
    for id_, session in ledger.homes().items():
        ids = frozenset(str(r.job_id) for r in live if (r.workload or ledger.workload_id) == id_)
        closed = session is not None and session.closed and ledger.was_listed(id_)
        if ids or not closed or ledger.listed_at(id_) != _mark(ledger, id_):
            found.append(_Scope(id_, {"session_id": id_}, ids))
    return found


async def _read_singles(ledger: Ledger, problems: list[str]) -> None:
    """Jobs in job mode that are known by their ids: each by itself, or where there are many by one listing."""
    link = ledger.link
    asked = {str(r.job_id) for r in ledger.singles() if not r.state.final}
    if len(asked) > FEW:
        pending = [j for j in await pages(link, problems, pending=True, oldest_first=True) if j.id in asked]
        merge(ledger, pending)
        asked -= {j.id for j in pending}
    if len(asked) > FEW:  # many ended together: one page answers for all
        ended = await _ended(link, problems, asked, everything=False)
        merge(ledger, [j for j in ended if j.id in asked], ended=True)
        asked -= {j.id for j in ended}
    for job_id in sorted(asked):
        try:
            job = await link.job(job_id)
        except ServiceError as error:
            _unless_forbidden(error, problems)
            continue
        problems += job.problems
        merge(ledger, [job])


def _mark(ledger: Ledger, scope: str) -> object:
    """What changes when a job of a scope ends: the session's last completion."""
    session = ledger.homes().get(scope)
    return session and session.last_job_completed


async def _read_ended(ledger: Ledger, scope: _Scope, left: set[str], problems: list[str]) -> None:
    """List ended jobs where there are new ones.

    A job that left the pending page has ended; one that was never seen there may have come and gone since the last
    look: then the session object tells that a job was completed.
    """
    first, mark = not ledger.was_listed(scope.name), _mark(ledger, scope.name)
    if left or first or ledger.listed_at(scope.name) != mark:
        found = await _ended(ledger.link, problems, left, everything=first, **scope.query)
        merge(ledger, found, scope=scope.home, ended=True)
        ledger.listed(scope.name, mark)
        if len(found) >= MOST:
            ledger.event("warning", f"{scope.name} has more than {MOST} ended jobs: only the newest are shown")


async def pages(link: Link, problems: list[str] | None = None, **query: Any) -> list[Job]:
    """All pages of a listing; one request where 200 jobs or fewer match. `problems` gets what could not be read."""
    return await _each(link, query, lambda _: False, [] if problems is None else problems)


async def _ended(link: Link, problems: list[str], wanted: set[str], *, everything: bool, **scope: Any) -> list[Job]:
    """Pages of ended jobs, newest first, until all wanted ones are found."""

    def enough(found: Mapping[str, Job]) -> bool:
        return not everything and wanted <= found.keys()

    return await _each(link, {"pending": False} | scope, enough, problems)


async def _each(
    link: Link, query: dict[str, Any], enough: Callable[[Mapping[str, Job]], bool], problems: list[str]
) -> list[Job]:
    """Jobs page by page; a job that moved between pages is there once."""
    found: dict[str, Job] = {}
    offset = 0
    while True:
        page = await link.jobs(offset=offset, **query)
        problems += page.problems
        fresh = {j.id: j for j in page.jobs if j.id not in found}
        found |= fresh
        offset += page.listed
        over = page.count is not None and offset >= page.count
        if over or page.listed < PAGE or not fresh or enough(found) or len(found) >= MOST:
            return list(found.values())


async def _read_metrics(ledger: Ledger, link: Link, problems: list[str]) -> None:
    now = clock.monotonic()
    asked = [r for r in ledger.records.values() if r.needs_metrics and r.metrics_due <= now]
    # Nothing waits here: the next look at this workload would wait with it, and its cap.
    for record in asked[: link.budget.spend(now, min(len(asked), METRICS_AT_ONCE))]:
        found = None
        try:
            found = await link.metrics(str(record.job_id))
            problems += found.problems
        except WrongAnswerError as error:
            problems.append(str(error))
        except ServiceError as error:  # one job's metrics must not keep the rest from view
            if error.status == 429:
                raise
        ledger.read_metrics(record, found)


async def _read_instance(ledger: Ledger, link: Link) -> None:
    """What the instance may still use: asked when jobs have ended, at most every half minute."""
    if not ledger.instance_due():
        return
    link.budget.spend(clock.monotonic(), 1)
    try:
        left = await link.usage_left()
    except ServiceError as error:  # not every user may ask for it
        log.info("what the instance has left is not told: %s", error)
        left = None
    ledger.set_instance_left(left)


RUNNING, QUEUED, IDLE, ENDING = 1.0, 3.0, 10.0, 2.0  # seconds between refreshes
AWAITED = 0.15  # of an active session while somebody waits for its job: each second until the next step is billed
LEAST = 0.05  # seconds between two looks of one workload, however often somebody asks
BACK_OFF = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
LOOK = 2  # requests of a usual look


class Watch:
    """Looks at one workload as often as it can change. A look that hangs holds up this workload's view, nothing else.

    Args:
        ledger: of the workload.
        awaited: somebody waits for its jobs.
        after: runs after each look, whether or not the service answered.
        settled: runs once nothing is left to learn; the watching has then ended.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        awaited: Callable[[], bool],
        after: Callable[[], None],
        settled: Callable[[], None],
    ) -> None:
        self._ledger, self._awaited, self._after, self._settled = ledger, awaited, after, settled
        self._bell = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._errors = 0
        self._not_before = 0.0  # `Retry-After`: not even for a click

    def start(self, *, now: bool = True) -> None:
        """Look, `now` or when it is time, and from then on as often as the workload can change."""
        if now:
            self._bell.set()
        if self._task is None or self._task.done():
            self._task = portal().spawn(self._run(now=now), name=f"watch {self._ledger.id}")

    def stop(self) -> None:
        """Stop watching it."""
        for task in (self._task, self._looking):
            if task is not None:
                task.cancel()
        self._task = None

    @property
    def running(self) -> bool:
        """It is being watched."""
        return self._task is not None and not self._task.done()

    async def _run(self, *, now: bool) -> None:
        while True:
            self._bell.clear()
            pause = await self._visit() if now else self._pace()
            now = True
            if pause is None:
                if self._bell.is_set():
                    continue  # something was sent, cancelled or closed meanwhile
                self._task = None
                self._settled()
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._bell.wait()
            await asyncio.sleep(max(LEAST if pause > AWAITED else 0.0, self._not_before - clock.monotonic()))

    async def _visit(self) -> float | None:
        """One look. Returns the seconds until the next, None when there is nothing more to learn."""
        if not self._urgent():
            await asyncio.sleep(self._ledger.link.budget.turn(clock.monotonic(), LOOK))
        try:
            await self.look()
        except (ServiceError, UnreachableError) as error:
            asked = error.retry_after if isinstance(error, ServiceError) else None
            return asked or BACK_OFF[min(self._errors, len(BACK_OFF)) - 1]
        except Exception as error:  # noqa: BLE001 - an error of ours, which `look` has noted: the watching goes on
            log.debug("looked in vain: %r", error)
            return BACK_OFF[-1]
        return self._pace()

    async def look(self, *, fresh: bool = False) -> None:
        """One look; who asks while one is under way gets that one or, `fresh`, the one after it.

        Raises:
            ServiceError, UnreachableError: the service did not answer.
        """
        if fresh and self._looking is not None and not self._looking.done():
            await asyncio.wait([self._looking])
        if self._looking is None or self._looking.done():
            # Where all have ended, whoever waits for all jobs waits for a whole look: meanwhile the session is billed.
            quick = not fresh and self._urgent() and not all(r.over for r in self._ledger.records.values())
            recent = clock.monotonic() - self._ledger.looked_at < RUNNING
            self._looking = portal().spawn(self._noted(quick=quick and recent))
        await asyncio.shield(self._looking)

    async def _noted(self, *, quick: bool) -> None:
        """A look whose failure the workload knows, whoever asked for it."""
        ledger = self._ledger
        try:
            await refresh(ledger, quick=quick, listed=self._listed)
            self._errors = 0
        except (ServiceError, UnreachableError) as error:
            self._errors += 1
            told = str(error)
            if isinstance(error, ServiceError) and error.retry_after:
                self._not_before = clock.monotonic() + error.retry_after
                told += f" (the service asked to wait {error.retry_after:.0f} s)"
            ledger.failed(told)
            raise
        except Exception:
            log.exception("refreshing workload %s failed inside", ledger.id)
            ledger.failed("an error of qmode_widgets itself, see the log")
            raise
        finally:
            self._look_after()

    def _listed(self) -> None:
        if self._awaited():
            self._look_after()  # who waits for a result need not wait for its metrics

    def _look_after(self) -> None:
        try:
            self._after()
        except Exception:
            log.exception("a guard of workload %s failed", self._ledger.id)
        self._ledger.changed()

    def _urgent(self) -> bool:
        """Somebody waits for a job of an active session: until the next step every second is billed."""
        ledger = self._ledger
        return ledger.mode == "session" and self._awaited() and ledger.state is WorkloadState.ACTIVE

    def _pace(self) -> float | None:
        """Seconds until the next look, by what can change."""
        ledger, now = self._ledger, clock.monotonic()
        records = ledger.records.values()
        states = {r.state for r in records if not r.held}
        ending = [r.metrics_due - now for r in records if r.needs_metrics]
        if self._urgent() and states & {JobState.QUEUED, JobState.RUNNING}:
            return AWAITED
        if JobState.RUNNING in states:
            return RUNNING
        if states & {JobState.QUEUED, JobState.UNKNOWN, JobState.WAITING}:
            soon = ledger.state is WorkloadState.ACTIVE or (ledger.mode == "session" and self._awaited())
            return RUNNING if soon else QUEUED
        if ending:
            return max(ENDING, min(ending))
        if any(r.in_doubt for r in records):
            return IDLE
        if ledger.mode == "job":
            return None if states else IDLE
        if ledger.state is WorkloadState.CLOSED:
            return ENDING if states and ledger.unsettled() else None
        deadline = ledger.next_deadline()
        if deadline is not None:
            return min(IDLE, max(0.2, clock.of(deadline - ledger.link.now()) + 0.2))
        return IDLE
