"""The state of one workload in this kernel, under one lock: records, session objects, events, observers."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from ..ibm.link import Link
from ..ibm.wire import Metrics, Session
from ..model.snapshot import Event, JobSnapshot, JobState, Limit, Mode, Ttl, Usage, WorkloadSnapshot, WorkloadState
from . import accounting
from .record import Record

log = logging.getLogger(__name__)
Observer = Callable[[WorkloadSnapshot], object]

EVENTS_KEPT = 200
WARNINGS_KEPT = 1000
CLOSED_TRIES = 20
EMPTY_CLOSE = 1800.0  # a session without any job closes after 30 minutes (guide)
INSTANCE_EVERY = 30.0  # seconds between two questions for what the instance has left
_STATES = {"pending_inactive": WorkloadState.ACTIVE, "pending_closed": WorkloadState.ACTIVE}


class Ledger:
    """Thread-safe. Every method takes the lock for itself.

    `lock` is for callers that must see or change several records at once. Whoever changed something calls `changed()`
    when it has left the lock. Observers run on a thread of their own, outside the lock.
    """

    def __init__(self, link: Link, id_: str, mode: Mode, backend: str) -> None:
        self.link, self.id, self.mode, self.backend = link, id_, mode, backend
        self.lock = threading.RLock()
        self.looking = threading.RLock()  # one refresh at a time: an older answer never comes last
        self.created = link.now()
        self.read_only: str | None = None  # why nothing may be changed from here; set once, by its controller
        self._records: dict[str, Record] = {}
        self._workload_id = id_
        self._lineage: tuple[str, ...] = ()
        self._session: Session | None = None
        self._refusing = False  # the service took the closing: it never reopens
        self._past: dict[str, Session | None] = {}  # of the workloads that this one continues
        self._runs: dict[str, str | None] = {}  # run id -> label, in order of submission
        self._duplicates: list[Record] = []  # to be cancelled
        self._doubles: list[Record] = []  # what they cost is still to be said
        self._listed: dict[str, object] = {}  # scope -> last_job_completed when its ended jobs were listed
        self._asked_closed: dict[str, int] = {}  # how often a closed workload was asked for its final usage
        self._seen_at: float | None = None
        self._looked_at = float("-inf")
        self._look = self._looked = 0  # refreshes begun; the last one that has read all listings
        self._problem: str | None = None
        self._limits: dict[str, Limit] = {}
        self._cap: float | None = None
        self._alarm: float | None = None
        self._instance_left: float | None = None
        self._instance_asked = float("-inf")
        self._instance_old = True  # a job has ended since the instance was asked
        self._groups: dict[int, str] = {}  # thread -> label of the iteration it is in
        self._remarks: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._warnings: deque[Event] = deque(maxlen=WARNINGS_KEPT)  # thousands of remarks push none of them out
        self._event_ids = itertools.count(1)
        self._observers: list[Observer] = []
        self._bells: list[queue.SimpleQueue[None]] = []
        self._last: WorkloadSnapshot | None = None
        self._untold: WorkloadSnapshot | None = None
        self._teller: threading.Thread | None = None

    # --- jobs --------------------------------------------------------------------------------------------------

    @property
    def records(self) -> Mapping[str, Record]:
        """All attempts by row key; hold `lock` while you walk through them."""
        return self._records

    @property
    def runs(self) -> Sequence[str]:
        """The ids of the runs, in order of submission."""
        with self.lock:
            return tuple(self._runs)

    def label(self, run: str) -> str | None:
        """The name that its user gave a run."""
        with self.lock:
            return self._runs.get(run)

    def add(self, records: Iterable[Record], run: str | None = None, label: str | None = None) -> None:
        """New rows, and the run they belong to. A row that is there already is an error of ours."""
        with self.lock:
            for r in records:
                if r.row in self._records:
                    raise RuntimeError(f"row {r.row} stands twice in workload {self.id}")
                self._records[r.row] = r
            if run is not None:
                self.add_run(run, label)

    def add_run(self, run: str, label: str | None = None) -> None:
        """A run that jobs belong to; a label that is known stays."""
        with self.lock:
            self._runs[run] = self._runs.get(run) or label

    def give_row(self, old: Record, new: Record) -> None:
        """`new` takes over the row of `old`, which goes on under its job id."""
        with self.lock:
            self._records.pop(old.row, None)
            self._records[new.row] = new

    def where(self, wanted: Callable[[Record], bool]) -> list[Record]:
        """The attempts of which `wanted` is true."""
        with self.lock:
            return [r for r in self._records.values() if wanted(r)]

    def current(self) -> list[Record]:
        """The attempts that no later one superseded."""
        return self.where(lambda r: not r.superseded)

    def find(self, name: str) -> Record | None:
        """An attempt by its row key or job id."""
        with self.lock:
            found = self._records.get(name)
            return found or next((r for r in self._records.values() if r.job_id == name), None)

    def latest(self, run: str) -> dict[int, Record]:
        """The last attempt at each partition of a run, by partition."""
        rows: dict[int, Record] = {}
        for r in self.where(lambda r: r.key is not None and r.key.run == run):
            assert r.key is not None
            held = rows.get(r.key.partition)
            if held is None or (held.key is not None and held.key.attempt < r.key.attempt):
                rows[r.key.partition] = r
        return rows

    def works(self) -> dict[str, Record | str]:
        """What has a result of its own, by the id its user knows it by: runs that we cut by their ids, and jobs.

        A job stands for its last attempt. The value is the run's id where there is one, else the job's record.
        """
        found: dict[str, Record | str] = {}
        with self.lock:
            for run in self._runs:
                rows = sorted(
                    (r for r in self._records.values() if r.key is not None and r.key.run == run),
                    key=lambda r: r.key.attempt if r.key else 0,
                )
                if rows:
                    cut = any(r.cut for r in rows)
                    found[run if cut else next((r.job_id for r in rows if r.job_id), run) or run] = run
            for r in self._records.values():
                if r.key is None and r.job_id and not r.superseded:
                    found[r.job_id] = r
        return found

    def singles(self) -> list[Record]:
        """Jobs in job mode that are a run of their own, or of none: they are asked for by their ids."""
        if self.mode != "job":
            return []
        with self.lock:
            sent = [r for r in self._records.values() if r.job_id and r.doubled is None]
            unclear = {r.key.run for r in self._records.values() if r.key and (r.in_doubt or not r.job_id)}
            return [r for r in sent if not r.cut and (r.key is None or r.key.run not in unclear)]

    def duplicate(self, record: Record) -> None:
        """There is a second job of one attempt on the service: cancel it and report it."""
        with self.lock:
            self._duplicates.append(record)
            self._doubles.append(record)
            self._records.setdefault(record.row, record)

    def duplicates(self) -> list[Record]:
        """Second jobs that are neither ended nor cancelled yet."""
        with self.lock:
            self._duplicates = [r for r in self._duplicates if not r.state.final and not r.cancelling]
            return list(self._duplicates)

    def settled_doubles(self) -> list[Record]:
        """Second jobs whose final usage is known and was not said yet; each is returned once."""
        with self.lock:
            found = [r for r in self._doubles if r.usage_final]
            self._doubles = [r for r in self._doubles if not r.usage_final]
            return found

    # --- iterations --------------------------------------------------------------------------------------------

    @property
    def group(self) -> str | None:
        """The iteration that the calling thread is in."""
        with self.lock:
            return self._groups.get(threading.get_ident())

    @contextlib.contextmanager
    def in_group(self, label: str) -> Iterator[None]:
        """What the calling thread submits inside belongs to this iteration."""
        me = threading.get_ident()
        with self.lock:
            self._groups[me] = label
        try:
            yield
        finally:
            with self.lock:
                self._groups.pop(me, None)

    # --- events, limits ----------------------------------------------------------------------------------------

    def event(self, level: Literal["info", "warning", "error"], text: str, job: str | None = None) -> None:
        """Record what happened, for the user to read now or later."""
        with self.lock:
            kept = self._remarks if level == "info" else self._warnings
            kept.append(Event(next(self._event_ids), self.link.now(), level, text, job))

    def limit(self, limit: Limit) -> None:
        """State a bound."""
        with self.lock:
            self._limits[limit.name] = limit

    def limit_acted(self, name: str) -> None:
        """A bound acted just now."""
        with self.lock:
            if name in self._limits:
                self._limits[name] = replace(self._limits[name], acted=self.link.now())

    @property
    def cap(self) -> float | None:
        """The usage cap in seconds."""
        return self._cap

    def set_cap(self, cap: float) -> None:
        """Cap the usage, in seconds."""
        with self.lock:
            self._cap = cap

    def set_alarm(self, at: float | None) -> None:
        """When a guard wants the next look, on the service's clock."""
        with self.lock:
            self._alarm = at

    # --- the workload ------------------------------------------------------------------------------------------

    @property
    def workload_id(self) -> str:
        """The service's id of the session or batch now: it moves on when failed work goes on in a new one."""
        return self._workload_id

    @property
    def lineage(self) -> tuple[str, ...]:
        """The workloads that this one continues, oldest first."""
        return self._lineage

    @property
    def session(self) -> Session | None:
        """The session object, as last told."""
        return self._session

    @property
    def seen_at(self) -> float | None:
        """When the service last answered, on its clock."""
        return self._seen_at

    def read_session(self, session: Session) -> None:
        """Take over the service's session object, of this workload or of one that it continues."""
        with self.lock:
            if session.id in self._past:
                self._past[session.id] = session
            elif session.id == self._workload_id:
                self._read_present(session)
            else:
                return  # an answer that overtook the move to another workload
            if session.closed:
                self._asked_closed[session.id] = self._asked_closed.get(session.id, 0) + 1

    def _read_present(self, session: Session) -> None:
        before, self._session = self._session, session
        self._refusing |= session.accepting_jobs is False
        if before is not None and session.state != before.state:
            why = (session.state_reason or "").replace("_", " ")
            if self.mode == "batch":
                why = why.replace("session", "batch")  # the service calls every workload a session
            self.event("info", f"{before.state} → {session.state}" + (f": {why}" if why else ""))

    def refuse_jobs(self) -> None:
        """The service took the closing: do not wait for the next look to refuse submissions."""
        with self.lock:
            self._refusing = True

    def continue_in(self, fresh: str) -> None:
        """Go on in a new workload; the present one's jobs and usage still count."""
        with self.lock:
            self._lineage = (*self._lineage, self._workload_id)
            self._past[self._workload_id] = self._session
            self._workload_id, self._session, self._refusing = fresh, None, False

    def continues(self, lineage: Sequence[str]) -> None:
        """This workload continues these, oldest first; nothing is known of them yet."""
        with self.lock:
            self._lineage, self._past = tuple(lineage), dict.fromkeys(lineage)

    def include(self, id_: str) -> None:
        """A run of this workload has jobs in that one: it counts as one that this workload continues."""
        with self.lock:
            if self.mode != "job" and id_ != self._workload_id and id_ not in self._past:
                self._lineage = (id_, *self._lineage)
                self._past = {id_: None, **self._past}

    def unsettled(self) -> list[str]:
        """The workloads whose session object may still change: the present one, and those that it continues."""
        with self.lock:
            known = {**self._past, self._workload_id: self._session}
            return [id_ for id_, session in known.items() if not self._settled(id_, session)]

    def _settled(self, id_: str, session: Session | None) -> bool:
        """Closed, and its final usage is known, or was asked for often enough (a workload without usage has none)."""
        if session is None or not session.closed:
            return False
        return session.elapsed_time is not None or self._asked_closed.get(id_, 0) >= CLOSED_TRIES

    def homes(self) -> dict[str, Session | None]:
        """The session objects of all workloads, by id, oldest first; None for one that was not read yet."""
        with self.lock:
            return {**self._past, self._workload_id: self._session}

    def look_begins(self) -> None:
        """A refresh begins. One at a time, under `looking`."""
        with self.lock:
            self._look += 1

    def look_ends(self) -> None:
        """The refresh that began last has read all listings."""
        with self.lock:
            self._looked, self._looked_at = self._look, time.monotonic()

    @property
    def looked_at(self) -> float:
        """When all listings were read last (monotonic)."""
        with self.lock:
            return self._looked_at

    def seen(self, problems: Sequence[str] = ()) -> None:
        """The service answered just now.

        Args:
            problems: what of its answers could not be read.
        """
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        with self.lock:
            self._seen_at = self.link.now()
            self._problem = f"the service's answer is wrong: {problems[0]}{more}" if problems else None

    @property
    def look(self) -> int:
        """The number of the refresh that began last."""
        with self.lock:
            return self._look

    def looked_after(self, look: int) -> bool:
        """A later refresh than this one has read all listings; true where no job can be new any more."""
        with self.lock:
            if self._looked > look or self.mode == "job":
                return True
            over = self._session is not None and self._session.closed
            return over and self._listed.get(self._workload_id) == (self._session and self._session.last_job_completed)

    @property
    def awaited(self) -> bool:
        """Somebody waits for news of it."""
        with self.lock:
            return bool(self._bells)

    def failed(self, why: str) -> None:
        """The last request failed: what is shown may be old."""
        with self.lock:
            self._problem = why

    # --- what was asked for ------------------------------------------------------------------------------------

    def was_listed(self, scope: str) -> bool:
        """The ended jobs of a scope were listed once."""
        with self.lock:
            return scope in self._listed

    def listed_at(self, scope: str) -> object:
        """The scope's last completion when its ended jobs were listed."""
        with self.lock:
            return self._listed.get(scope)

    def listed(self, scope: str, mark: object) -> None:
        """The ended jobs of a scope were listed; `mark` is its last completion."""
        with self.lock:
            self._listed[scope] = mark

    def instance_due(self) -> bool:
        """What the instance has left should be asked for now: a job has ended, and the last answer is old."""
        now = time.monotonic()
        with self.lock:
            if not self._instance_old or now - self._instance_asked < INSTANCE_EVERY:
                return False
            self._instance_old, self._instance_asked = False, now
            return True

    def set_instance_left(self, left: float | None) -> None:
        """What the instance may still use, in seconds; None where it does not tell."""
        with self.lock:
            self._instance_left = left

    def read_metrics(self, record: Record, found: Metrics | None) -> None:
        """Take over the metrics of a job; None where they could not be had."""
        with self.lock:
            if record.read_metrics(found):
                self._instance_old = True

    # --- reading -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> WorkloadState:
        """The workload's state; in job mode derived from its jobs."""
        with self.lock:
            if self.mode == "job":
                if not self._records:
                    return WorkloadState.OPEN
                if all(r.state.final for r in self._records.values()):
                    return WorkloadState.CLOSED
                started = any(r.state is not JobState.WAITING for r in self._records.values())
                return WorkloadState.ACTIVE if started else WorkloadState.OPEN
            said = "" if self._session is None else str(self._session.state)
        if said in _STATES:
            return _STATES[said]
        try:
            return WorkloadState(said)
        except ValueError:
            return WorkloadState.UNKNOWN

    @property
    def closed(self) -> bool:
        """No job can be added any more."""
        return self.mode != "job" and (self.state is WorkloadState.CLOSED or self._refusing)

    def next_deadline(self) -> float | None:
        """The next moment at which a timer of the service or of a guard runs out, on the service's clock."""
        ttl = self.ttl()
        now = self.link.now()
        ends = (ttl.max_deadline, ttl.interactive_deadline, ttl.active_deadline, ttl.empty_deadline, self._alarm)
        return min((t for t in ends if t is not None and t > now), default=None)

    def idle_since(self) -> float | None:
        """Since when no job is there, on the service's clock; None before the first one and while there is one."""
        with self.lock:
            if self.state not in (WorkloadState.ACTIVE, WorkloadState.INACTIVE):
                return None
            if any(not r.state.final for r in self._records.values()):
                return None
            session = self._session
            times = [] if session is None else [session.last_job_completed, session.activated_at]
            return max((t for t in times if t is not None), default=None)

    def used(self) -> float | None:
        """What a cap is compared with, in seconds: the reported usage.

        Of a session not less than its active time by the clock, since `elapsed_time` may be null while it runs.
        """
        with self.lock:
            told = self.usage().reported
            clock = None
            if self.mode == "session":  # until now, also while the service does not answer: it bills all the same
                clock = accounting.active_time(accounting.all_stretches(self.homes().values(), self.link.now()))
        return max((t for t in (told, clock) if t is not None), default=None)

    def _stretches(self) -> list[accounting.Interval] | None:
        return accounting.all_stretches(self.homes().values(), self._seen_at or self.link.now())

    def ttl(self) -> Ttl:
        """The timers of the service, as far as it has told."""
        if self.mode == "job":
            return Ttl()
        with self.lock:
            s = self._session or Session(self._workload_id)
            return Ttl.of(
                state=self.state,
                max_ttl=s.max_ttl,
                interactive_ttl=s.interactive_ttl,
                active_ttl=s.active_ttl,
                started_at=s.started_at,
                activated_at=s.activated_at,
                last_job_completed=s.last_job_completed,
                created_at=s.opened_at or self.created,
                unfinished=sum(1 for r in self._records.values() if not r.state.final),
                empty_close=EMPTY_CLOSE if self.mode == "session" else None,
            )

    def usage(self) -> Usage:
        """What the whole workload used, or is expected to use."""
        with self.lock:
            stretches = self._stretches() if self.mode == "session" else None
            end = stretches[-1][1] if stretches else None
            return accounting.workload_usage(
                self.mode,
                self.state,
                [r.account(end) for r in self._records.values()],
                list(self.homes().values()),
                stretches,
                cap=self._cap,
                instance_left=self._instance_left,
            )

    def snapshot(self) -> WorkloadSnapshot:
        """The frozen view of now."""
        with self.lock:
            jobs = tuple(self._numbered())
            s, state = self._session or Session(self._workload_id), self.state
            return WorkloadSnapshot(
                id=self.id,
                workload_id=self._workload_id,
                mode=self.mode,
                backend=self.backend,
                state=state,
                accepting_jobs=False if self._refusing else s.accepting_jobs,
                state_reason=s.state_reason,
                instance=self.link.instance_label,
                jobs=jobs,
                ttl=self.ttl(),
                usage=self.usage(),
                created=s.opened_at or self.created,
                closed=s.closed_at,
                clock_offset=round(self.link.clock_offset, 1),
                seen_at=self._seen_at,
                problem=self._problem,
                events=tuple(heapq.merge(self._remarks, self._warnings, key=lambda e: e.id)),
                limits=tuple(self._limits.values()),
                lineage=self._lineage,
                group=next(reversed(self._groups.values()), None),
                read_only=self.read_only,
            )

    def _numbered(self) -> Iterator[JobSnapshot]:
        """Runs in order of submission, in each the partitions in PUB order with their attempts; others as found.

        Numbers count through all runs, so that two rows never have the same one; attempts at one partition share it.
        """
        place = {run: i for i, run in enumerate(self._runs)}
        found = {row: i for i, row in enumerate(self._records)}

        def order(r: Record) -> tuple[int, int, int]:
            if r.key is None:
                return (len(place), found[r.row], 0)
            return (place.get(r.key.run, len(place)), r.key.partition, r.key.attempt)

        number, before = 0, None
        for r in sorted(self._records.values(), key=order):
            here = (r.key.run, r.key.partition) if r.key else (r.row, 0)
            if here != before:
                number, before = number + 1, here
            yield r.snapshot(number, self._runs.get(r.key.run) if r.key else None)

    # --- observers ---------------------------------------------------------------------------------------------

    def observe(self, callback: Observer, *, now: bool = False) -> Callable[[], None]:
        """Call back with each changed snapshot, with the present one too if `now`; returns what ends it."""
        with self.lock:
            self._observers.append(callback)
            if now:
                self._untold = self._last = self.snapshot()
                self._tell_soon()

        def stop() -> None:
            with self.lock:
                if callback in self._observers:
                    self._observers.remove(callback)

        return stop

    @property
    def telling(self) -> bool:
        """The caller is an observer of this workload."""
        return threading.current_thread() is self._teller

    def changed(self) -> None:
        """Tell waiters and observers, if there is anything new to see.

        Observers hear of one snapshot after the other, newest last, on a thread of their own: one that is slow, that
        refreshes, or that changes the workload itself holds nobody up.
        """
        with self.lock:
            snapshot = self.snapshot()
            if self._last is None or not _same(self._last, snapshot):
                self._last = self._untold = snapshot
                for bell in self._bells:
                    bell.put(None)
            if self._untold is not None and self._observers:
                self._tell_soon()

    def _tell_soon(self) -> None:
        """Have the observers' thread tell; holds the lock."""
        with self.lock:
            if self._teller is None or not self._teller.is_alive():
                self._teller = threading.Thread(target=self._tell, name="qmode-observers", daemon=True)
                self._teller.start()

    def _tell(self) -> None:
        while True:
            with self.lock:
                snapshot, self._untold = self._untold, None
                if snapshot is None:
                    self._teller = None
                    return
                observers = list(self._observers)
            for tell in observers:
                try:
                    tell(snapshot)
                except Exception:
                    log.exception("an observer of workload %s failed", self.id)

    def wait_for(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Sleep until `ready()`; False when `timeout` seconds ran out first. Interruptible on every platform.

        Woken through a queue of its own: an interrupt inside `Condition.wait` can leave its lock taken for ever.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self.waiting() as bell:
            while not ready():
                left = 1.0 if end is None else min(1.0, end - time.monotonic())
                if left <= 0:
                    return False
                with contextlib.suppress(queue.Empty):
                    bell.get(timeout=left)
            return True

    @contextlib.contextmanager
    def waiting(self) -> Iterator[queue.SimpleQueue[None]]:
        """Somebody waits inside: the workload counts as awaited. What is yielded hears of each change."""
        bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        with self.lock:
            self._bells.append(bell)
        try:
            yield bell
        finally:
            with self.lock:
                self._bells.remove(bell)


def _same(a: WorkloadSnapshot, b: WorkloadSnapshot) -> bool:
    """Nothing a screen would show differently; `seen_at` alone is no news while nothing is wrong."""
    return replace(a, seen_at=None, usage=replace(a.usage, idle=None)) == replace(
        b, seen_at=None, usage=replace(b.usage, idle=None)
    )
