"""The state of one workload in this kernel: records, session objects, events. Changed on the portal's loop alone."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from ...errors import printable
from ...ibm.link import Link
from ...ibm.wire import Metrics, Session, active_ttl_falls
from ...model.snapshot import Event, JobSnapshot, JobState, Limit, Mode, Ttl, Usage, WorkloadSnapshot, WorkloadState
from ...portal import clock
from . import accounting
from .record import Record

EVENTS_KEPT = 200
WARNINGS_KEPT = 1000
CLOSED_TRIES = 20
EMPTY_CLOSE = 1800.0  # a session without any job closes after 30 minutes (guide)
INSTANCE_EVERY = 30.0  # seconds between two questions for what the instance has left
_STATES = {"pending_inactive": WorkloadState.ACTIVE, "pending_closed": WorkloadState.ACTIVE}


class Ledger:
    """Plain state. Whoever changed something calls `changed()`, which the engine hears."""

    def __init__(self, link: Link, id_: str, mode: Mode, backend: str) -> None:
        self.link, self.id, self.mode, self.backend = link, id_, mode, backend
        self.changed: Callable[[], None] = lambda: None  # set by the engine
        self.created = link.now()
        self.user: str | None = None  # the service's id of whose jobs these are, as soon as one that we posted tells it
        self.read_only: str | None = None  # why nothing may be changed from here; set once, by its controller
        self._records: dict[str, Record] = {}
        self._workload_id = id_
        self._lineage: tuple[str, ...] = ()
        self._session: Session | None = None
        self._session_at: float | None = None  # when the service last told the session's state, on its clock
        # `active_ttl` is a maximum by the client's docs and what remains by IBM's specification: does it fall?
        self._active_first: tuple[Session, float] | None = None  # the first look at this activation, and when
        self._active_falls: bool | None = None
        self._refusing = False  # the service took the closing: it never reopens
        self._closed_here = False  # by this kernel
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
        self._groups: list[str] = []  # the iterations that are open, oldest first
        self._remarks: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._warnings: deque[Event] = deque(maxlen=WARNINGS_KEPT)  # thousands of remarks push none of them out
        self._event_ids = itertools.count(1)
        self._order: list[Record] | None = None  # of the rows on a screen, until a row or run comes or moves

    # --- jobs --------------------------------------------------------------------------------------------------

    @property
    def records(self) -> Mapping[str, Record]:
        """All attempts by row key."""
        return self._records

    @property
    def runs(self) -> Sequence[str]:
        """The ids of the runs, in order of submission."""
        return tuple(self._runs)

    def label(self, run: str) -> str | None:
        """The name that its user gave a run."""
        return self._runs.get(run)

    def add(self, records: Iterable[Record], run: str | None = None, label: str | None = None) -> None:
        """New rows, and the run they belong to. A row that is there already is an error of ours."""
        for r in records:
            if r.row in self._records:
                raise RuntimeError(f"row {r.row} stands twice in workload {self.id}")
            self._records[r.row] = r
        self._order = None
        if run is not None:
            self.add_run(run, label)

    def add_run(self, run: str, label: str | None = None) -> None:
        """A run that jobs belong to; a label that is known stays."""
        self._runs[run] = self._runs.get(run) or label
        self._order = None

    def give_row(self, old: Record, new: Record) -> None:
        """`new` takes over the row of `old`, which goes on under its job id."""
        self._records.pop(old.row, None)
        self._records[new.row] = new
        self._order = None

    def where(self, wanted: Callable[[Record], bool]) -> list[Record]:
        """The attempts of which `wanted` is true."""
        return [r for r in self._records.values() if wanted(r)]

    def current(self) -> list[Record]:
        """The attempts that no later one superseded."""
        return self.where(lambda r: not r.superseded)

    def find(self, name: str) -> Record | None:
        """An attempt by its row key or job id."""
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
        sent = [r for r in self._records.values() if r.job_id and r.doubled is None]
        unclear = {r.key.run for r in self._records.values() if r.key and (r.in_doubt or not r.job_id)}
        return [r for r in sent if not r.cut and (r.key is None or r.key.run not in unclear)]

    def duplicate(self, record: Record) -> None:
        """There is a second job of one attempt on the service: cancel it and report it."""
        self._duplicates.append(record)
        self._doubles.append(record)
        self._records.setdefault(record.row, record)
        self._order = None

    def duplicates(self) -> list[Record]:
        """Second jobs that are neither ended nor cancelled yet."""
        self._duplicates = [r for r in self._duplicates if not r.state.final and not r.cancelling]
        return list(self._duplicates)

    def settled_doubles(self) -> list[Record]:
        """Second jobs whose final usage is known and was not said yet; each is returned once."""
        found = [r for r in self._doubles if r.usage_final]
        self._doubles = [r for r in self._doubles if not r.usage_final]
        return found

    # --- iterations --------------------------------------------------------------------------------------------

    def open_group(self, label: str) -> None:
        """An iteration of the user's begins."""
        self._groups.append(label)
        self.changed()

    def open_groups(self) -> tuple[str, ...]:
        """The iterations that are open, oldest first."""
        return tuple(self._groups)

    def close_group(self, label: str) -> None:
        """It ends."""
        if label in self._groups:
            self._groups.remove(label)
        self.changed()

    # --- events, limits ----------------------------------------------------------------------------------------

    def event(self, level: Literal["info", "warning", "error"], text: str, job: str | None = None) -> None:
        """Record what happened, for the user to read now or later."""
        kept = self._remarks if level == "info" else self._warnings
        kept.append(Event(next(self._event_ids), self.link.now(), level, printable(text), job))

    def limit(self, limit: Limit) -> None:
        """State a bound."""
        self._limits[limit.name] = limit

    def limit_acted(self, name: str) -> None:
        """A bound acted just now."""
        if name in self._limits:
            self._limits[name] = replace(self._limits[name], acted=self.link.now())

    @property
    def cap(self) -> float | None:
        """The usage cap in seconds."""
        return self._cap

    def set_cap(self, cap: float) -> None:
        """Cap the usage, in seconds."""
        self._cap = cap

    def set_alarm(self, at: float | None) -> None:
        """When a guard wants the next look, on the service's clock."""
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
        if session.id in self._past:
            self._past[session.id] = session
        elif session.id == self._workload_id:
            self._read_present(session)
        else:
            return  # an answer that overtook the move to another workload
        if session.closed:
            self._asked_closed[session.id] = self._asked_closed.get(session.id, 0) + 1

    def _read_present(self, session: Session) -> None:
        now = self.link.now()
        if self._active_first is None or self._active_first[0].activated_at != session.activated_at:
            self._active_first, self._active_falls = (session, now), None
        elif self._active_falls is None:
            earlier, at = self._active_first
            self._active_falls = active_ttl_falls(earlier, session, now - at)
        before, self._session, self._session_at = self._session, session, self.link.now()
        self._refusing |= session.accepting_jobs is False
        if before is not None and session.state != before.state:
            own = session.closed and self._closed_here  # "closed early" is what its user asked for
            why = "" if own else (session.state_reason or "").replace("_", " ")
            if self.mode == "batch":
                why = why.replace("session", "batch")  # the service calls every workload a session
            self.event("info", f"{before.state} → {session.state}" + (f": {why}" if why else ""))

    def refuse_jobs(self) -> None:
        """The service took the closing: do not wait for the next look to refuse submissions."""
        self._refusing = self._closed_here = True

    def continue_in(self, fresh: str) -> None:
        """Go on in a new workload; the present one's jobs and usage still count."""
        self._lineage = (*self._lineage, self._workload_id)
        self._past[self._workload_id] = self._session
        self._workload_id, self._session, self._session_at, self._refusing, self._closed_here = (
            fresh,
            None,
            None,
            False,
            False,
        )

    def continues(self, lineage: Sequence[str]) -> None:
        """This workload continues these, oldest first; nothing is known of them yet."""
        self._lineage, self._past = tuple(lineage), dict.fromkeys(lineage)

    def include(self, id_: str) -> None:
        """A run of this workload has jobs in that one: it counts as one that this workload continues."""
        if self.mode != "job" and id_ != self._workload_id and id_ not in self._past:
            self._lineage = (id_, *self._lineage)
            self._past = {id_: None, **self._past}

    def unsettled(self) -> list[str]:
        """The workloads whose session object may still change: the present one, and those that it continues."""
        known = {**self._past, self._workload_id: self._session}
        return [id_ for id_, session in known.items() if not self._settled(id_, session)]

    def _settled(self, id_: str, session: Session | None) -> bool:
        """Closed, and its final usage is known, or was asked for often enough (a workload without usage has none)."""
        if session is None or not session.closed:
            return False
        return session.elapsed_time is not None or self._asked_closed.get(id_, 0) >= CLOSED_TRIES

    def homes(self) -> dict[str, Session | None]:
        """The session objects of all workloads, by id, oldest first; None for one that was not read yet."""
        return {**self._past, self._workload_id: self._session}

    def look_begins(self) -> None:
        """A refresh begins; there is one at a time."""
        self._look += 1

    def look_ends(self) -> None:
        """The refresh that began last has read all listings."""
        self._looked, self._looked_at = self._look, clock.monotonic()

    @property
    def looked_at(self) -> float:
        """When all listings were read last (monotonic)."""
        return self._looked_at

    def seen(self, problems: Sequence[str] = ()) -> None:
        """The service answered just now.

        Args:
            problems: what of its answers could not be read.
        """
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        self._seen_at = self.link.now()
        self._problem = f"the service's answer is wrong: {problems[0]}{more}" if problems else None

    @property
    def look(self) -> int:
        """The number of the refresh that began last."""
        return self._look

    def looked_after(self, look: int) -> bool:
        """A later refresh than this one has read all listings; true where no job can be new any more."""
        if self._looked > look or self.mode == "job":
            return True
        over = self._session is not None and self._session.closed
        return over and self._listed.get(self._workload_id) == (self._session and self._session.last_job_completed)

    def failed(self, why: str) -> None:
        """The last request failed: what is shown may be old."""
        self._problem = why

    # --- what was asked for ------------------------------------------------------------------------------------

    def was_listed(self, scope: str) -> bool:
        """The ended jobs of a scope were listed once."""
        return scope in self._listed

    def listed_at(self, scope: str) -> object:
        """The scope's last completion when its ended jobs were listed."""
        return self._listed.get(scope)

    def listed(self, scope: str, mark: object) -> None:
        """The ended jobs of a scope were listed; `mark` is its last completion."""
        self._listed[scope] = mark

    def instance_due(self) -> bool:
        """What the instance has left should be asked for now: a job has ended, and the last answer is old."""
        now = clock.monotonic()
        if not self._instance_old or now - self._instance_asked < INSTANCE_EVERY:
            return False
        self._instance_old, self._instance_asked = False, now
        return True

    def set_instance_left(self, left: float | None) -> None:
        """What the instance may still use, in seconds; None where it does not tell."""
        self._instance_left = left

    def read_metrics(self, record: Record, found: Metrics | None) -> None:
        """Take over the metrics of a job; None where they could not be had."""
        if record.read_metrics(found):
            self._instance_old = True

    # --- reading -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> WorkloadState:
        """The workload's state; in job mode derived from its jobs."""
        if self.mode == "job":
            if not self._records:
                return WorkloadState.OPEN
            if all(r.state.final for r in self._records.values()):
                return WorkloadState.CLOSED
            started = any(r.state is not JobState.WAITING for r in self._records.values())
            return WorkloadState.ACTIVE if started else WorkloadState.OPEN
        if self._session is not None and self._session.closed:
            return WorkloadState.CLOSED
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
        if self.state in (WorkloadState.OPEN, WorkloadState.CLOSED):  # a state that is not told may be billed
            return None
        if any(not r.state.final for r in self._records.values()):
            return None
        session = self._session
        times = [] if session is None else [session.last_job_completed, session.activated_at]
        return max((t for t in times if t is not None), default=None)

    def used(self) -> float | None:
        """What a cap is compared with, in seconds: what the service reported.

        Of a session not less than its active time until the service last said that it is active, since `elapsed_time`
        may be null while it runs.
        """
        return self._used_until(self._session_at)

    def used_by_the_clock(self) -> float | None:
        """The same until now, as if nothing had changed since the service was heard: a guess, and no more."""
        return self._used_until(self.link.now())

    def _used_until(self, at: float | None) -> float | None:
        told = self.usage().reported
        active = None
        if self.mode == "session" and at is not None:
            active = accounting.active_time(accounting.all_stretches(self.homes().values(), at))
        return max((t for t in (told, active) if t is not None), default=None)

    def told_since(self, at: float) -> bool:
        """The service has told the session's state after this time of its clock."""
        return self._session_at is not None and self._session_at >= at

    def _stretches(self) -> list[accounting.Interval] | None:
        return accounting.all_stretches(self.homes().values(), self._seen_at or self.link.now())

    def ttl(self) -> Ttl:
        """The timers of the service, as far as it has told."""
        if self.mode == "job":
            return Ttl()
        s = self._session or Session(self._workload_id)
        return Ttl.of(
            state=self.state,
            max_ttl=s.max_ttl,
            interactive_ttl=s.interactive_ttl,
            active_ttl=s.active_ttl,
            active_deadline=s.active_deadline(self._session_at or self.link.now(), falls=self._active_falls),
            started_at=s.started_at,
            activated_at=s.activated_at,
            last_job_completed=s.last_job_completed,
            created_at=s.opened_at or self.created,
            unfinished=sum(1 for r in self._records.values() if not r.state.final),
            empty_close=EMPTY_CLOSE if self.mode == "session" else None,
        )

    def usage(self) -> Usage:
        """What the whole workload used, or is expected to use."""
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
            group=self._groups[-1] if self._groups else None,
            read_only=self.read_only,
        )

    def _numbered(self) -> Iterator[JobSnapshot]:
        """Runs in order of submission, in each the partitions in PUB order with their attempts; others as found.

        Numbers count through all runs, so that two rows never have the same one; attempts at one partition share it.
        """
        if self._order is None:
            place = {run: i for i, run in enumerate(self._runs)}
            found = {row: i for i, row in enumerate(self._records)}

            def order(r: Record) -> tuple[int, int, int]:
                if r.key is None:
                    return (len(place), found[r.row], 0)
                return (place.get(r.key.run, len(place)), r.key.partition, r.key.attempt)

            self._order = sorted(self._records.values(), key=order)
        number, before = 0, None
        for r in self._order:
            here = (r.key.run, r.key.partition) if r.key else (r.row, 0)
            if here != before:
                number, before = number + 1, here
            yield r.snapshot(number, self._runs.get(r.key.run) if r.key else None)


def same(a: WorkloadSnapshot, b: WorkloadSnapshot) -> bool:
    """Nothing a screen would show differently; `seen_at` alone is no news while nothing is wrong."""
    return replace(a, seen_at=None, usage=replace(a.usage, idle=None)) == replace(
        b, seen_at=None, usage=replace(b.usage, idle=None)
    )
