"""The state of one workload in this kernel, under one lock: records, session object, events, observers."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal

from ..ibm.link import Link
from ..ibm.wire import Json, as_dict, seconds, session_json
from ..model.snapshot import Event, JobState, Limit, Mode, Ttl, Usage, WorkloadSnapshot, WorkloadState
from .accounting import active_stretches, covered
from .record import Record

log = logging.getLogger(__name__)
Observer = Callable[[WorkloadSnapshot], None]

EVENTS_KEPT = 200
CLOSED_TRIES = 20
EMPTY_CLOSE = 1800.0  # a session without any job closes after 30 minutes (guide)
_STATES = {"pending_inactive": WorkloadState.ACTIVE, "pending_closed": WorkloadState.ACTIVE}


class Ledger:
    """Thread-safe. Writers hold `lock`, then call `changed()` after leaving it; observers run outside the lock."""

    def __init__(self, link: Link, id_: str, mode: Mode, backend: str) -> None:
        self.link, self.id, self.mode, self.backend = link, id_, mode, backend
        self.service_id = id_  # moves on when failed work is resubmitted into a new one
        self.lock = threading.RLock()
        self.news = threading.Condition(self.lock)  # wait() and result() sleep on it
        self.looking = threading.RLock()  # one refresh at a time: an older answer never comes last
        self.records: dict[str, Record] = {}
        self.session: Json = {}
        self.created = link.now()
        self.seen_at: float | None = None
        self.problem: str | None = None
        self.read_only: str | None = None
        self.lineage: tuple[str, ...] = ()
        self.limits: dict[str, Limit] = {}
        self.cap: float | None = None
        self.instance_left: float | None = None
        self.instance_asked = float("-inf")  # when, on the monotonic clock
        self.instance_old = True  # a job ended since
        self.group: str | None = None
        self.runs: list[str] = []  # in order of submission
        self.duplicates: list[Record] = []  # found on the service, to be cancelled and reported
        self.listed: dict[str, object] = {}  # scope -> last_job_completed when ended jobs were listed
        self.past: dict[str, Json] = {}  # session objects of the workloads this one continues
        self.asked_closed: dict[str, int] = {}  # how often a closed workload was asked for its final usage
        self.alarm: float | None = None  # when a guard wants the next look, on the service's clock
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._event_ids = itertools.count(1)
        self._observers: list[Observer] = []
        self._last: WorkloadSnapshot | None = None
        self._undelivered: WorkloadSnapshot | None = None
        self._delivering = False

    # --- writing -----------------------------------------------------------------------------------------------

    def add(self, records: Iterable[Record]) -> None:
        """New rows; a row that is there already is an error of ours."""
        with self.lock:
            for r in records:
                if r.row in self.records:
                    raise RuntimeError(f"row {r.row} stands twice in workload {self.id}")
                self.records[r.row] = r

    def event(self, level: Literal["info", "warning", "error"], text: str, job: str | None = None) -> None:
        """Say what happened, for the user to read now or later."""
        with self.lock:
            self._events.append(Event(next(self._event_ids), self.link.now(), level, text, job))

    def read_session(self, data: Json) -> None:
        """Take over the service's session object, of this workload or of one it continues."""
        data = session_json(data)
        with self.lock:
            id_ = data.get("id")
            if id_ in self.past:
                self.past[str(id_)] = data
                return
            if id_ not in (None, self.service_id):
                return  # an answer that overtook the move to another workload
            before = self.session.get("state")
            if self.session.get("accepting_jobs") is False:
                data = data | {"accepting_jobs": False}  # an answer that overtook the closing: it never reopens
            self.session = data
            now = data.get("state")
            if before is not None and now != before:
                why = str(data.get("state_reason") or "").replace("_", " ")
                self.event("info", f"{before} → {now}" + (f": {why}" if why else ""))

    def move(self, fresh: str) -> None:
        """Go on in a new workload; this one's jobs and usage still count."""
        with self.lock:
            self.lineage = (*self.lineage, self.service_id)
            self.past[self.service_id] = self.session
            self.service_id, self.session = fresh, {}

    def unsettled(self) -> list[str]:
        """The workloads whose session object may still change: the present one, and those it continues."""
        with self.lock:
            known = {**self.past, self.service_id: self.session}
            return [id_ for id_, session in known.items() if not self._settled(id_, session)]

    def _settled(self, id_: str, session: Json) -> bool:
        """Closed, and its final usage is known, or was asked for often enough (a workload without usage has none)."""
        if session.get("state") != "closed":
            return False
        return session.get("elapsed_time") is not None or self.asked_closed.get(id_, 0) >= CLOSED_TRIES

    def seen(self) -> None:
        """The service answered just now."""
        with self.lock:
            self.seen_at, self.problem = self.link.now(), None

    def failed(self, why: str) -> None:
        """The last request failed: what is shown may be old."""
        with self.lock:
            self.problem = why

    def limit(self, limit: Limit) -> None:
        """State a bound, or that it acted."""
        with self.lock:
            self.limits[limit.name] = limit

    # --- reading -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> WorkloadState:
        """The workload's state; in job mode derived from its jobs."""
        if self.mode == "job":
            with self.lock:
                if not self.records:
                    return WorkloadState.OPEN
                if all(r.state.final for r in self.records.values()):
                    return WorkloadState.CLOSED
                started = any(r.state is not JobState.WAITING for r in self.records.values())
                return WorkloadState.ACTIVE if started else WorkloadState.OPEN
        said = str(self.session.get("state") or "")
        if said in _STATES:
            return _STATES[said]
        try:
            return WorkloadState(said)
        except ValueError:
            return WorkloadState.UNKNOWN

    @property
    def closed(self) -> bool:
        """No job can be added any more."""
        return self.mode != "job" and (
            self.state is WorkloadState.CLOSED or self.session.get("accepting_jobs") is False
        )

    def singles(self) -> list[Record]:
        """Jobs in job mode that no run tag ties together: each is asked for by its id."""
        if self.mode != "job":
            return []
        with self.lock:
            return [r for r in self.records.values() if r.key is None and r.job_id and r not in self.duplicates]

    def next_deadline(self) -> float | None:
        """The next moment at which a timer of the service runs out, on its clock."""
        ttl = self.snapshot().ttl
        now = self.link.now()
        ends = (ttl.max_deadline, ttl.interactive_deadline, ttl.active_deadline, ttl.empty_deadline, self.alarm)
        return min((t for t in ends if t is not None and t > now), default=None)

    def idle_since(self) -> float | None:
        """Since when no job is there, on the service's clock; None before the first one and while there is one."""
        with self.lock:
            if self.state not in (WorkloadState.ACTIVE, WorkloadState.INACTIVE):
                return None
            if any(not r.state.final for r in self.records.values()):
                return None
            times = [seconds(self.session.get(name)) for name in ("last_job_completed", "activated_at")]
            return max((t for t in times if t is not None), default=None)

    def used(self) -> float | None:
        """What a cap is compared with: the reported usage.

        Of a session not less than its active time by the clock, since `elapsed_time` may be null while it runs.
        """
        with self.lock:
            told = self.snapshot().usage.reported
            clock = self._active_time() if self.mode == "session" else None
        return max((t for t in (told, clock) if t is not None), default=None)

    def current(self) -> list[Record]:
        """The records that no later attempt superseded."""
        with self.lock:
            return [r for r in self.records.values() if not r.superseded]

    def snapshot(self) -> WorkloadSnapshot:
        """The frozen view of now."""
        with self.lock:
            jobs = tuple(r.snapshot() for r in self._in_order())
            s = self.session
            created = _first(s.get("timestamps")) or self.created
            unfinished = sum(1 for r in self.records.values() if not r.state.final)
            state = self.state
            activated = seconds(s.get("activated_at"))
            ttl = (
                Ttl()
                if self.mode == "job"
                else Ttl.of(
                    state=state,
                    max_ttl=s.get("max_ttl"),
                    interactive_ttl=s.get("interactive_ttl"),
                    active_ttl=s.get("active_ttl"),
                    started_at=seconds(s.get("started_at")),
                    activated_at=activated,
                    last_job_completed=seconds(s.get("last_job_completed")),
                    created_at=created,
                    unfinished=unfinished,
                    empty_close=EMPTY_CLOSE if self.mode == "session" else None,
                )
            )
            return WorkloadSnapshot(
                id=self.id,
                service_id=self.service_id,
                mode=self.mode,
                backend=self.backend,
                state=state,
                accepting_jobs=s.get("accepting_jobs"),
                state_reason=s.get("state_reason"),
                instance=self.link.instance_label,
                jobs=jobs,
                ttl=ttl,
                usage=self._usage(state, activated),
                created=created,
                closed=seconds(s.get("closed_at")),
                clock_offset=round(self.link.clock_offset, 1),
                seen_at=self.seen_at,
                problem=self.problem,
                events=tuple(self._events),
                limits=tuple(self.limits.values()),
                lineage=self.lineage,
                group=self.group,
                read_only=self.read_only,
            )

    def _in_order(self) -> list[Record]:
        """Runs in order of submission, in each the partitions in PUB order, each with its attempts; others as found."""
        place = {run: i for i, run in enumerate(self.runs)}
        found = {row: i for i, row in enumerate(self.records)}

        def order(r: Record) -> tuple[int, int, int]:
            if r.key is None:
                return (len(place), found[r.row], 0)
            return (place.get(r.key.run, len(place)), r.key.partition, r.key.attempt)

        return sorted(self.records.values(), key=order)

    def _usage(self, state: WorkloadState, activated: float | None) -> Usage:
        """A batch's usage is the sum of its jobs' QPU time; a session's is its active wall-clock time (guide)."""
        rows = [r.usage() for r in self.records.values()]
        told = [u.reported for u in rows if u.reported is not None]
        total = sum(told) if told else None
        sent = [r for r in self.records.values() if r.job_id is not None]
        ended = (JobState.REFUSED, JobState.DROPPED, JobState.FAILED, JobState.CANCELLED)
        expected = [  # what ended badly costs what it is reported to have cost, no more
            u.reported if u.status == "final" or r.state in ended else u.estimated
            for r, u in zip(self.records.values(), rows, strict=True)
        ]
        estimate = sum(e for e in expected if e is not None) if any(e is not None for e in expected) else None
        final = all(r.usage_final for r in sent) and all(r.state.final for r in self.records.values())
        formula = "the sum of the jobs: reported where the service reported, expected otherwise"
        idle = None
        if self.mode == "session":
            elapsed = [session.get("elapsed_time") for session in (*self.past.values(), self.session)]
            over = [session.get("state") == "closed" for session in self.past.values()]
            final = state is WorkloadState.CLOSED and all(over) and None not in elapsed
            known = [float(e) for e in elapsed if e is not None]
            total = sum(known) if known else None
            idle = self._idle()
            coming = [
                u.estimated
                for r, u in zip(self.records.values(), rows, strict=True)
                if not r.state.final and u.estimated is not None
            ]
            estimate = (total or 0.0) + sum(coming) if coming else None
            formula = "the session's time so far and the QPU time of the jobs still to run; idle time adds to it"
        elif state is WorkloadState.CLOSED and self.session.get("elapsed_time") is not None and not told:
            total = float(self.session["elapsed_time"])
        status: Literal["none", "running", "final"] = "none"
        if total is not None:
            status = "final" if final and sent else "running"
        return Usage(
            reported=total,
            status=status,
            estimated=estimate,
            formula=formula if estimate is not None else None,
            idle=idle,
            cap=self.cap,
            instance_left=self.instance_left,
        )

    def _stretches(self) -> list[tuple[float, float]] | None:
        """When the sessions were active; None where the service does not tell."""
        found: list[tuple[float, float]] = []
        for session in (*self.past.values(), self.session):
            end = seconds(session.get("closed_at")) or self.seen_at or self.link.now()
            stretches = active_stretches(session, end)
            if stretches is None:
                return None
            found += stretches
        return found

    def _active_time(self) -> float | None:
        stretches = self._stretches()
        return None if not stretches else sum(b - a for a, b in stretches)

    def _idle(self) -> float | None:
        """Seconds of the session's active time in which none of its jobs was running: billed all the same.

        None while the times of a job that ended are not known.
        """
        stretches = self._stretches()
        if not stretches:
            return None
        busy = []
        for r in self.records.values():
            if r.job_id is None or r.state is JobState.QUEUED:
                continue
            times = as_dict(r.metrics.get("timestamps"))
            a, b = seconds(times.get("running")), seconds(times.get("finished"))
            if r.state is JobState.RUNNING:
                a, b = a or r.seen_running, stretches[-1][1]
            elif not r.metrics:
                return None
            if a is not None:
                busy.append((a, b if b is not None else stretches[-1][1]))
        return max(0.0, sum(b - a for a, b in stretches) - covered(busy, stretches))

    # --- observers ---------------------------------------------------------------------------------------------

    def observe(self, callback: Observer) -> Callable[[], None]:
        """Call back with each changed snapshot; returns what ends it."""
        with self.lock:
            self._observers.append(callback)

        def stop() -> None:
            with self.lock:
                if callback in self._observers:
                    self._observers.remove(callback)

        return stop

    def changed(self) -> None:
        """Tell waiters and observers, if there is anything new to see.

        Observers hear of one snapshot after the other, newest last: while one thread tells them, another only leaves
        its news there. So an observer that is slow, or that changes the workload itself, holds nobody up.
        """
        with self.news:
            snapshot = self.snapshot()
            if self._last is not None and _same(self._last, snapshot):
                return
            self._last = self._undelivered = snapshot
            self.news.notify_all()
            if self._delivering:
                return
            self._delivering = True
        try:
            while (news := self._take()) is not None:
                for tell in news[1]:
                    try:
                        tell(news[0])
                    except Exception:
                        log.exception("an observer of workload %s failed", self.id)
        finally:
            with self.lock:
                self._delivering = False

    def _take(self) -> tuple[WorkloadSnapshot, list[Observer]] | None:
        with self.lock:
            snapshot, self._undelivered = self._undelivered, None
            if snapshot is None:
                self._delivering = False  # here, under the lock: what comes next is told by who brings it
                return None
            return snapshot, list(self._observers)

    def wait_for(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Sleep until `ready()`; False when the time ran out first. Interruptible on every platform."""
        end = None if timeout is None else time.monotonic() + timeout
        with self.news:
            while not ready():
                left = 1.0 if end is None else min(1.0, end - time.monotonic())
                if left <= 0:
                    return False
                self.news.wait(left)
            return True


def _same(a: WorkloadSnapshot, b: WorkloadSnapshot) -> bool:
    """Nothing a screen would show differently; `seen_at` alone is no news while nothing is wrong."""
    return replace(a, seen_at=None, usage=replace(a.usage, idle=None)) == replace(
        b, seen_at=None, usage=replace(b.usage, idle=None)
    )


def _first(timestamps: list[Json] | None) -> float | None:
    return seconds(timestamps[0].get("timestamp")) if timestamps else None


def latest(ledger: Ledger, run: str) -> dict[int, Record]:
    """The last attempt at each partition of a run."""
    rows: dict[int, Record] = {}
    with ledger.lock:
        for r in ledger.records.values():
            if r.key is None or r.key.run != run:
                continue
            held = rows.get(r.key.partition)
            if held is None or (held.key is not None and held.key.attempt < r.key.attempt):
                rows[r.key.partition] = r
    return rows
