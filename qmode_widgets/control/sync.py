"""One refresh of a workload in few requests, merged into its ledger.

A refresh is one GET of the workload and one page of its pending jobs. Only when a job has left that page, one page of
ended jobs follows, and one metrics GET for each job that ended, until its usage is complete; after that it is never
asked again. The client's own way is one GET a job and status.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ServiceError, UnreachableError, WrongAnswerError
from ..ibm.budget import Budget
from ..ibm.link import PAGE, Link
from ..ibm.wire import Job
from ..model import tags
from ..model.snapshot import JobState, WorkloadState
from .ledger import Ledger
from .record import Record

log = logging.getLogger(__name__)

MOST = 10_000  # jobs of a workload that are listed: some 80 MB
FEW = 2  # single jobs that are asked for one by one
METRICS_AT_ONCE = 20  # requests for metrics in one refresh: a burst of ended jobs is spread


def refresh(ledger: Ledger, *, quick: bool = False, listed: Callable[[], None] = lambda: None) -> None:
    """Ask the service and merge; the caller calls `ledger.changed()`.

    A `quick` one ends after the pending jobs where none has left that list: one request. `listed` is called when
    jobs have ended, before their metrics are asked for.

    Pending jobs are listed before the session object is read: a job that ends in between was listed, or it has moved
    the session's last completion, so it is never missed.

    Raises:
        ServiceError, UnreachableError: the service did not answer; what was merged so far stays.
    """
    link = ledger.link
    with ledger.looking:
        ledger.look_begins()
        scopes = _scopes(ledger)
        problems: list[str] = []  # parts of answers that could not be read: named, and no reason to miss the rest
        left: dict[str, set[str]] = {}
        for scope in scopes:
            here = merge(ledger, pages(link, problems, pending=True, oldest_first=True, **scope.query))
            left[scope.name] = set(scope.watched - here)
        if quick and not any(left.values()):
            ledger.seen(problems)
            return
        if ledger.mode != "job":
            for id_ in ledger.unsettled():
                _read_session(ledger, id_, problems)
        for scope in scopes:
            _read_ended(ledger, scope, left[scope.name], problems)
        _read_singles(ledger, problems)
        ledger.look_ends()
        if any(left.values()):
            listed()
        _read_metrics(ledger, link, problems)
        ledger.seen(problems)
        _read_instance(ledger, link)


def _read_session(ledger: Ledger, id_: str, problems: list[str]) -> None:
    try:
        session = ledger.link.session(id_)
    except WrongAnswerError as error:
        problems.append(str(error))
        return
    problems += session.problems
    ledger.read_session(session)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What narrows a listing to this workload: a session id, or in job mode the tag of a run."""

    name: str
    query: dict[str, Any]
    watched: frozenset[str]  # ids of jobs that have not ended


def _scopes(ledger: Ledger) -> list[_Scope]:
    """The listings in which anything can be new."""
    found: list[_Scope] = []
    with ledger.lock:
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


def _read_singles(ledger: Ledger, problems: list[str]) -> None:
    """Jobs in job mode that are known by their ids: each by itself, or where there are many by one listing."""
    link = ledger.link
    asked = {str(r.job_id) for r in ledger.singles() if not r.state.final}
    if len(asked) > FEW:
        pending = [j for j in pages(link, problems, pending=True, oldest_first=True) if j.id in asked]
        merge(ledger, pending)
        asked -= {j.id for j in pending}
    for job_id in sorted(asked):
        job = link.job(job_id)
        problems += job.problems
        merge(ledger, [job])


def _mark(ledger: Ledger, scope: str) -> object:
    """What changes when a job of a scope ends: the session's last completion."""
    session = ledger.homes().get(scope)
    return session and session.last_job_completed


def _read_ended(ledger: Ledger, scope: _Scope, left: set[str], problems: list[str]) -> None:
    """List ended jobs where there are new ones.

    A job that left the pending page has ended; one that was never seen there may have come and gone since the last
    look: then the session object tells that a job was completed.
    """
    first, mark = not ledger.was_listed(scope.name), _mark(ledger, scope.name)
    if left or first or ledger.listed_at(scope.name) != mark:
        found = _ended(ledger.link, problems, left, everything=first, **scope.query)
        merge(ledger, found)
        ledger.listed(scope.name, mark)
        if len(found) >= MOST:
            ledger.event("warning", f"{scope.name} has more than {MOST} ended jobs: only the newest are shown")


def pages(link: Link, problems: list[str] | None = None, **query: Any) -> list[Job]:
    """All pages of a listing; one request where 200 jobs or fewer match. `problems` gets what could not be read."""
    return _each(link, query, lambda _: False, [] if problems is None else problems)


def _ended(link: Link, problems: list[str], wanted: set[str], *, everything: bool, **scope: Any) -> list[Job]:
    """Pages of ended jobs, newest first, until all wanted ones are found."""

    def enough(found: Mapping[str, Job]) -> bool:
        return not everything and wanted <= found.keys()

    return _each(link, {"pending": False} | scope, enough, problems)


def _each(
    link: Link, query: dict[str, Any], enough: Callable[[Mapping[str, Job]], bool], problems: list[str]
) -> list[Job]:
    """Jobs page by page; a job that moved between pages is there once."""
    found: dict[str, Job] = {}
    offset = 0
    while True:
        page = link.jobs(offset=offset, **query)
        problems += page.problems
        fresh = {j.id: j for j in page.jobs if j.id not in found}
        found |= fresh
        offset += page.listed
        over = page.count is not None and offset >= page.count
        if over or page.listed < PAGE or not fresh or enough(found) or len(found) >= MOST:
            return list(found.values())


def merge(ledger: Ledger, listed: Iterable[Job]) -> set[str]:
    """Take over listings: known jobs by id, lost answers by key, the rest as jobs somebody submitted directly."""
    seen: set[str] = set()
    link_now = ledger.link.now()
    with ledger.lock:
        by_id = {r.job_id: r for r in ledger.records.values() if r.job_id}
        # Known jobs first: which of two jobs of one attempt stays is told by when each was created.
        for job in sorted(listed, key=lambda j: (j.id not in by_id, j.created or 0.0)):
            seen.add(job.id)
            record = by_id.get(job.id)
            if record is None:
                record = _new(ledger, job)
                if record is None:
                    continue
                by_id[job.id] = record
            before = record.state
            if record.read(job) and record.state is not before:
                if record.state is JobState.RUNNING:
                    record.seen_running = link_now
                    record.touch()
                _tell(ledger, record)
    return seen


def _new(ledger: Ledger, job: Job) -> Record | None:
    """A job this kernel had no id for; None: it can only be placed at a later look."""
    said = tags.read(job.tags)
    key = said.key
    row = ledger.records.get(key.row) if key else None
    home = job.session_id or (ledger.workload_id if ledger.mode != "job" else None)
    if row is not None and row.job_id is None:  # the answer to its submission was lost
        if row.superseded or row.state is JobState.DROPPED:  # given up meanwhile
            row.cancel_when_found = True
        row.workload = home
        row.exists(job.id)
        ledger.event("info", f"{row.name}: its submission had arrived, job {job.id}", row.row)
        return row
    if row is not None and row.job is None:
        return None  # when our own was created is not known yet
    record = Record(JobState.QUEUED, key=key, partition=said.partition, job_id=job.id, group=said.group)
    record.own_tags, record.workload = said.own, home
    if row is not None:  # the same attempt stands twice on the service
        return _twice(ledger, row, record, job)
    if key is not None:
        _supersede(ledger, record)
        ledger.add_run(key.run, said.label)
    ledger.add([record])
    return record


def _twice(ledger: Ledger, row: Record, other: Record, job: Job) -> Record:
    """Two jobs of one attempt: a lost answer, or two kernels that resubmitted it.

    One stays, and every kernel must choose the same one: with a result, before alive, before failed; then the older.
    """
    other.read(job)
    extra = row if row.state is not JobState.DONE and _rank(other) < _rank(row) else other
    if extra is row:
        other.superseded, other.cancel_when_found = row.superseded, row.cancel_when_found
        other.partition = other.partition or row.partition
        other.touch()
        ledger.give_row(row, other)
    stays = other if extra is row else row
    name = stays.name
    extra.key, extra.superseded, extra.doubled = None, True, name
    extra.note = f"a duplicate of {stays.job_id}: the same attempt stands twice on the service"
    extra.touch()
    ledger.duplicate(extra)
    if extra.state.final:  # what still runs is cancelled, which says so
        text = f"{name} ran twice: job {extra.job_id} is a duplicate of {stays.job_id} and had already ended"
        ledger.event("warning", text, stays.row)
    return other


def _rank(record: Record) -> tuple[int, float, str]:
    state = 0 if record.state is JobState.DONE else 2 if record.state.final else 1
    created = None if record.job is None else record.job.created
    return state, float("inf") if created is None else created, str(record.job_id)


def _supersede(ledger: Ledger, record: Record) -> None:
    """Of the attempts at one partition only the last counts as its row."""
    assert record.key is not None
    same = [
        r
        for r in ledger.records.values()
        if r.key and (r.key.run, r.key.partition) == (record.key.run, record.key.partition)
    ]
    latest = max((r.key.attempt for r in same if r.key), default=-1)
    for r in same:
        if r.key and r.key.attempt < record.key.attempt and not r.superseded:
            r.superseded = True
            r.touch()
    record.superseded = latest > record.key.attempt


def _read_metrics(ledger: Ledger, link: Link, problems: list[str]) -> None:
    now = time.monotonic()
    with ledger.lock:
        asked = [r for r in ledger.records.values() if r.needs_metrics and r.metrics_due <= now]
    for record in asked[:METRICS_AT_ONCE]:
        found = None
        try:
            found = link.metrics(str(record.job_id))
            problems += found.problems
        except WrongAnswerError as error:
            problems.append(str(error))
        except ServiceError as error:  # one job's metrics must not keep the rest from view
            if error.status == 429:
                raise
        ledger.read_metrics(record, found)


def _read_instance(ledger: Ledger, link: Link) -> None:
    """What the instance may still use: asked when jobs have ended, at most every half minute."""
    if not ledger.instance_due():
        return
    try:
        left = link.usage_left()
    except ServiceError as error:  # not every user may ask for it
        log.info("what the instance has left is not told: %s", error)
        left = None
    ledger.set_instance_left(left)


def _tell(ledger: Ledger, record: Record) -> None:
    """The events a user wants to find later."""
    name = record.name
    if record.state is JobState.FAILED:
        why = f"{record.reason_code or ''} {(record.job and record.job.reason) or ''}".strip()
        ledger.event("error", f"{name} failed: {why or 'the service gives no reason'}", record.row)
    elif record.state is JobState.CANCELLED:
        ledger.event("warning", f"{name} was cancelled", record.row)


log = logging.getLogger(__name__)

RUNNING, QUEUED, IDLE, ENDING = 1.0, 3.0, 10.0, 2.0  # seconds between refreshes
AWAITED = 0.15  # of an active session while somebody waits for its job: each second until the next step is billed
BACK_OFF = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
THREADS = 8  # workloads that are looked at at a time
LOOK = 2  # requests of a usual look


class Watcher:
    """Daemon threads that end by themselves when nothing is left to watch.

    One thread waits for the next look; before it goes to work it sees to it that another one waits. So a workload whose
    request hangs, or whose service asks to wait, keeps no other from being watched.
    """

    def __init__(self, budget: Budget | None = None, pace: float = 1.0) -> None:
        self.pace = pace  # factor on the seconds between refreshes; tests look more often
        self._budget = budget or Budget()
        self._lock = threading.RLock()
        # `with` takes the lock itself: an interrupt inside Condition's own `__exit__`, which is Python, would keep it.
        self._wake = threading.Condition(self._lock)
        self._next: dict[str, float] = {}
        self._ledgers: dict[str, Ledger] = {}
        self._errors: dict[str, int] = {}
        self._after: dict[str, Callable[[], None]] = {}
        self._settled: dict[str, Callable[[], None]] = {}
        self._not_before: dict[str, float] = {}  # `Retry-After` of a workload: not even for a click
        self._visiting: set[str] = set()
        self._urgent: set[str] = set()  # somebody waits for them: the budget does not hold them up
        self._threads: set[threading.Thread] = set()
        self._idle = 0  # threads that wait for the next look

    def watch(self, ledger: Ledger, after: Callable[[], None], settled: Callable[[], None]) -> None:
        """Look at a workload now, and from now on as often as it can change.

        Args:
            ledger: of the workload; one that is watched already is looked at now.
            after: runs on the watcher's thread after each look, whether or not the service answered (guards live
                there).
            settled: runs there once nothing is left to learn; the workload is then not watched any more.
        """
        urgent = awaited(ledger)
        with self._lock:
            self._ledgers[ledger.id], self._after[ledger.id], self._settled[ledger.id] = ledger, after, settled
            self._next[ledger.id] = 0.0
            self._rank(ledger.id, urgent)
            self._ensure()

    def _rank(self, id_: str, urgent: bool) -> None:
        (self._urgent.add if urgent else self._urgent.discard)(id_)

    def forget(self, ledger: Ledger) -> None:
        """Stop watching it."""
        with self._lock:
            self._drop(ledger.id)
            self._wake.notify_all()

    def _drop(self, id_: str) -> None:
        for table in (self._ledgers, self._next, self._errors, self._after, self._settled, self._not_before):
            table.pop(id_, None)
        self._urgent.discard(id_)

    @property
    def here(self) -> bool:
        """The caller runs on a thread that polls."""
        return threading.current_thread() in self._threads

    @property
    def alive(self) -> bool:
        """A thread is polling."""
        return any(t.is_alive() for t in self._threads)

    def _ensure(self) -> None:
        """There is a thread that waits for the next look. Holds the lock."""
        self._threads = {t for t in self._threads if t.is_alive()}
        if self._idle == 0 and len(self._threads) < THREADS:
            thread = threading.Thread(target=self._run, name="qmode-watch", daemon=True)
            self._threads.add(thread)
            thread.start()
        self._wake.notify_all()

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._lock:
                now = time.monotonic()
                waiting = {
                    i: max(t, self._not_before.get(i, 0.0))
                    for i, t in self._next.items()
                    if t != float("inf") and i not in self._visiting
                }
                if not waiting or self._idle > 0:
                    if self._idle > 0 or not self._visiting:
                        self._threads.discard(me)
                        return
                    left = 1.0  # those who visit wake us when they know when to come back
                else:
                    due = min(waiting, key=waiting.__getitem__)
                    spare = 0.0 if due in self._urgent else self._budget.wait(now, LOOK)
                    left = max(waiting[due] - now, spare)
                if left > 0:
                    self._idle += 1
                    try:
                        self._wake.wait(left)
                    finally:
                        self._idle -= 1
                    continue
                self._next[due] = float("inf")  # a wake while it is being refreshed is not lost
                self._visiting.add(due)
                self._ensure()
            try:
                self._visit(due)
            finally:
                with self._lock:
                    self._visiting.discard(due)
                    self._wake.notify_all()

    def _visit(self, id_: str) -> None:
        """Look at one workload and note when to come back. A method of its own: nothing of it outlives the visit."""
        with self._lock:
            if id_ not in self._ledgers:
                return
            ledger, after = self._ledgers[id_], self._after[id_]
        try:
            pause = self._look(ledger, after)
        except Exception:  # a thread that dies here leaves everything unwatched
            log.exception("looking at workload %s failed inside", id_)
            pause = BACK_OFF[-1]
        urgent = awaited(ledger)
        with self._lock:
            if id_ not in self._next:
                return
            self._rank(id_, urgent)
            if pause is not None:
                self._next[id_] = min(self._next[id_], time.monotonic() + pause)
                return
            if self._next[id_] != float("inf"):
                return  # something was sent, cancelled or closed meanwhile
            settled = self._settled[id_]
            self._drop(id_)
        settled()

    def _look(self, ledger: Ledger, after: Callable[[], None]) -> float | None:
        """One refresh. Returns the pause until the next, None when there is nothing more to learn."""
        pause: float | None = None

        def look() -> None:
            # A cap or an idle close is due by the clock as well: they look whether or not there is news.
            with ledger.looking:
                try:
                    after()
                except Exception:
                    log.exception("a guard of workload %s failed", ledger.id)
            ledger.changed()

        def listed() -> None:
            if ledger.awaited:
                look()  # who waits for a result need not wait for its metrics

        try:
            with ledger.looking:
                quick = awaited(ledger) and time.monotonic() - ledger.looked_at < RUNNING
                refresh(ledger, quick=quick, listed=listed)
        except (ServiceError, UnreachableError) as error:
            pause = self._failed(ledger, error)
        except Exception:
            log.exception("refreshing workload %s failed inside", ledger.id)
            ledger.failed("an error of qmode_widgets itself, see the log")
            pause = BACK_OFF[-1]
        else:
            self._errors.pop(ledger.id, None)
        look()
        if pause is not None:
            return pause
        usual = pace(ledger)
        return None if usual is None else usual * self.pace

    def _failed(self, ledger: Ledger, error: ServiceError | UnreachableError) -> float:
        n = self._errors[ledger.id] = self._errors.get(ledger.id, 0) + 1
        asked = error.retry_after if isinstance(error, ServiceError) else None
        told = str(error)
        if asked:
            with self._lock:
                self._not_before[ledger.id] = time.monotonic() + asked
            told += f" (the service asked to wait {asked:.0f} s)"
        ledger.failed(told)
        return asked or BACK_OFF[min(n, len(BACK_OFF)) - 1]


def awaited(ledger: Ledger) -> bool:
    """Somebody waits for a job of an active session: until the next step every second is billed."""
    return ledger.awaited and ledger.mode == "session" and ledger.state is WorkloadState.ACTIVE


def pace(ledger: Ledger) -> float | None:
    """Seconds until the next look, by what can change."""
    now = time.monotonic()
    with ledger.lock:
        records = ledger.records.values()
        states = {r.state for r in records if not r.held}
        ending = [r.metrics_due - now for r in records if r.needs_metrics]
        doubted = any(r.in_doubt for r in records)
    if awaited(ledger) and states & {JobState.QUEUED, JobState.RUNNING}:
        return AWAITED
    if JobState.RUNNING in states:
        return RUNNING
    if states & {JobState.QUEUED, JobState.UNKNOWN, JobState.WAITING}:
        soon = ledger.state is WorkloadState.ACTIVE or (ledger.mode == "session" and ledger.awaited)
        return RUNNING if soon else QUEUED
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
