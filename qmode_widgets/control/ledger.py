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

from ..model.snapshot import Event, JobState, Limit, Mode, Ttl, Usage, WorkloadSnapshot, WorkloadState
from .record import Record, seconds
from .service import Json, Link

log = logging.getLogger(__name__)
Observer = Callable[[WorkloadSnapshot], None]

EVENTS_KEPT = 200
EMPTY_CLOSE = 1800.0                # a session without any job closes after 30 minutes (guide)
_STATES = {"pending_inactive": WorkloadState.ACTIVE, "pending_closed": WorkloadState.ACTIVE}


class Ledger:
    """Thread-safe. Writers hold `lock`, then call `changed()` after leaving it; observers run outside the lock."""

    def __init__(self, link: Link, id_: str, mode: Mode, backend: str) -> None:
        self.link, self.id, self.mode, self.backend = link, id_, mode, backend
        self.service_id = id_                               # moves on when failed work is resubmitted into a new one
        self.lock = threading.RLock()
        self.news = threading.Condition(self.lock)          # wait() and result() sleep on it
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
        self.instance_asked = float("-inf")                 # when, on the monotonic clock
        self.instance_old = True                            # a job ended since
        self.group: str | None = None
        self.runs: list[str] = []                           # in order of submission
        self.duplicates: list[Record] = []                  # found on the service, to be cancelled and reported
        self.listed_once = False                            # ended jobs were listed: none is missed
        self.past_usage = 0.0                               # of the sessions this one continues
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._event_ids = itertools.count(1)
        self._observers: list[Observer] = []
        self._last: WorkloadSnapshot | None = None
        self._deliver = threading.RLock()                   # observers see snapshots in order

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
        """Take over the service's session object."""
        with self.lock:
            before = self.session.get("state")
            if self.session.get("accepting_jobs") is False:
                data = data | {"accepting_jobs": False}     # an answer that overtook the closing: it never reopens
            self.session = data
            now = data.get("state")
            if before is not None and now != before:
                why = str(data.get("state_reason") or "").replace("_", " ")
                self.event("info", f"{before} → {now}" + (f": {why}" if why else ""))

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

    @property
    def quiet(self) -> bool:
        """Nothing new can appear in its listings."""
        return self.listed_once and self.state is WorkloadState.CLOSED

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
        ends = (ttl.max_deadline, ttl.interactive_deadline, ttl.active_deadline, ttl.empty_deadline)
        return min((t for t in ends if t is not None and t > now), default=None)

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
            ttl = Ttl() if self.mode == "job" else Ttl.of(
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
        expected = [
            u.reported if u.status == "final" else u.estimated
            for r, u in zip(self.records.values(), rows, strict=True)
            if r.state not in (JobState.REFUSED, JobState.DROPPED)
        ]
        estimate = sum(e for e in expected if e is not None) if any(e is not None for e in expected) else None
        final = all(r.usage_final for r in sent) and all(r.state.final for r in self.records.values())
        formula = "the sum of the jobs: reported where the service reported, expected otherwise"
        idle = None
        if self.mode == "session":
            elapsed = self.session.get("elapsed_time")
            final = state is WorkloadState.CLOSED
            total = None if elapsed is None else float(elapsed)
            if total is not None:
                total += self.past_usage
            idle = self._idle()
            formula = "a session's usage is the wall-clock time it is active, idle included"
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

    def _idle(self) -> float | None:
        """Seconds of the session's active time in which none of its jobs was running: billed all the same."""
        started = seconds(self.session.get("started_at"))
        if started is None:
            return None
        end = seconds(self.session.get("closed_at")) or self.seen_at or self.link.now()
        stretches = _active_stretches(self.session, started, end)
        busy = []
        for r in self.records.values():
            times = r.metrics.get("timestamps") or {}
            a, b = seconds(times.get("running")), seconds(times.get("finished"))
            if a is None and r.state is JobState.RUNNING:
                a = seconds(self.session.get("last_job_started"))
            if a is not None:
                busy.append((a, b if b is not None else end))
        return max(0.0, sum(b - a for a, b in stretches) - _covered(busy, stretches))

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
        """Tell waiters and observers, if there is anything new to see."""
        with self._deliver:
            with self.news:
                snapshot = self.snapshot()
                if self._last is not None and _same(self._last, snapshot):
                    return
                self._last = snapshot
                observers = list(self._observers)
                self.news.notify_all()
            for tell in observers:
                try:
                    tell(snapshot)
                except Exception:
                    log.exception("an observer of workload %s failed", self.id)

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


def _first(timestamps: object) -> float | None:
    if isinstance(timestamps, list) and timestamps and isinstance(timestamps[0], dict):
        return seconds(timestamps[0].get("timestamp"))
    return None


def _active_stretches(session: Json, started: float, end: float) -> list[tuple[float, float]]:
    """When the session was active, from its list of transitions."""
    out: list[tuple[float, float]] = []
    since: float | None = None
    for entry in session.get("timestamps") or []:
        at = seconds(entry.get("timestamp")) if isinstance(entry, dict) else None
        if at is None:
            continue
        if entry.get("status") == "active" and since is None:
            since = at
        elif entry.get("status") in ("inactive", "closed") and since is not None:
            out.append((since, at))
            since = None
    if since is not None:
        out.append((since, end))
    return out or [(started, end)]


def _covered(busy: list[tuple[float, float]], stretches: list[tuple[float, float]]) -> float:
    """How much of the stretches the union of the busy intervals covers."""
    total, reach = 0.0, float("-inf")
    for a, b in sorted(busy):
        a, reach = max(a, reach), max(b, reach)
        total += sum(max(0.0, min(b, y) - max(a, x)) for x, y in stretches)
    return total
