"""How the service schedules one QPU, as a pure state machine over a virtual clock. No clock of its own, no I/O.

The emulator runs it on the wall clock, the planner in virtual time. Times and durations are seconds; the origin is the
caller's. How to use it:

    s = Scheduler(Rules(lanes=5, queue_wait=120))
    s.open(at=0, id="w", mode="batch")                           # or "session"; a job in job mode has no workload
    s.submit(at=0, id="a", workload="w", prep=3, qpu=20)         # classical preparation, then QPU, in seconds
    s.submit(at=9, id="b", workload="w", prep=3, qpu=20)         # commands may lie in the future
    s.close(at=9, workload="w")
    for happened in s.advance(to=600): ...                       # everything since the last call, in order
    s.jobs["a"].qpu_start, s.jobs["a"].lane, s.workloads["w"].usage(600)

Commands carry their time and take effect when `advance` reaches it; at one time everything internal settles first,
then commands in the order they were given. So cutting `advance` into any steps gives the same history.
`next_event_time()` says when to look again, `drain()` runs until every submitted job has ended.

Rules, from the execution-modes guide; those marked * are our reading where the guide is silent:

- A job in job mode queues alone. A batch or session queues once, with its first job; its jobs then start as lanes
  allow. A job that finds its workload inactive sends the workload through the queue again.
- A job holds one of `lanes` lanes* from the start of its classical preparation to its end; one job at a time is on the
  QPU, in the order they are prepared*.
- An active session has the QPU for itself: when its turn comes, jobs that hold lanes finish first*, then no other job
  and no calibration runs until it is inactive or closed. Between a batch's jobs both may run.
- Max TTL starts with the workload's first job and never pauses: at its end queued jobs fail, running ones finish.
  Interactive TTL: active without unfinished jobs for that long means inactive. Active TTL (sessions): running jobs
  finish, then inactive*; jobs left go through the queue. A workload without any job for `empty_close` closes.
- `close`: no further jobs, queued ones run. `cancel_workload`: queued jobs are cancelled, running ones finish. A closed
  workload never reopens.
- Usage: a batch is billed the sum of its jobs, a session the time it is active, idle included. A job that a user
  cancelled or that failed by a user's error is billed what it consumed until then, by a system error nothing.
- A suspended job* (its instance has reached its usage limit) waits outside the queue until it is readmitted. Its batch
  counts it as unfinished and stays active; a session with suspended jobs only becomes inactive.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Literal

from .lifecycle import Happened, Job, Load, Rules, Stage, What, Workload
from .snapshot import WorkloadState

__all__ = ["Happened", "Job", "Load", "Rules", "Scheduler", "Stage", "What", "Workload"]


class Scheduler:
    """One QPU, its lanes and its queue. The module's docstring says how to use it.

    `jobs` and `workloads` are the histories, by id: read them, never write them.
    """

    def __init__(self, rules: Rules | None = None, now: float = 0.0) -> None:
        self.rules = rules or Rules()
        self.now = now
        self.jobs: dict[str, Job] = {}
        self.workloads: dict[str, Workload] = {}
        self._heap: list[tuple[float, int, int, Callable[[], None], Workload | None, int]] = []
        self._seq = 0
        self._happened: list[Happened] = []
        self._turns: list[tuple[float, int, Job | Workload]] = []  # who may start next: jobs, and sessions
        self._ready: deque[Job] = deque()
        self._free = list(range(self.rules.lanes))
        self._suspended: dict[str, Job] = {}  # queued jobs that are not started until they are readmitted
        self._session: Workload | None = None
        self._qpu: Job | None = None
        self._calibrating = False
        self._calibration_due = False
        self._paused: Literal["no", "qpu", "queue"] = "no"
        self._open_jobs = 0  # submitted or about to be, not ended; other users' not counted
        if self.rules.other_users:
            self._random = random.Random(self.rules.other_users.seed)  # noqa: S311 - a load model, no secret
            self._others = 0
            self._after(self._random.expovariate(1 / self.rules.other_users.every), self._other_arrives)
        if self.rules.calibration_every:
            self._after(self.rules.calibration_every, self._calibration_is_due)

    # -- commands ------------------------------------------------------------------------------------------------

    def open(
        self,
        at: float,
        id: str,
        mode: Literal["batch", "session"],
        *,
        max_ttl: float | None = None,
        interactive_ttl: float | None = None,
        active_ttl: float | None = None,
        created: float | None = None,
        started: float | None = None,
        usage: float = 0.0,
    ) -> Workload:
        """Create a batch or session; TTLs left out are those of the rules.

        One that is taken up again after a restart gives when it was created, when its first job started, and its usage
        so far: it begins inactive, and its max TTL runs from `started`.
        """
        if id in self.workloads:
            raise ValueError(f"there is a workload {id!r} already: ids are unique")
        rules = self.rules
        w = Workload(
            id,
            mode,
            rules.max_ttl if max_ttl is None else max_ttl,
            rules.interactive_ttl if interactive_ttl is None else interactive_ttl,
            rules.active_ttl if active_ttl is None else active_ttl,
            at if created is None else created,
        )
        if started is not None:
            w.state, w.started = WorkloadState.INACTIVE, started
        if mode == "session":
            w._bonus = usage
        else:
            w._jobs_usage = usage
        self._command(at, lambda: self._opened(w))
        self.workloads[id] = w
        return w

    def submit(
        self,
        at: float,
        id: str,
        workload: str | None = None,
        *,
        prep: float,
        qpu: float,
        bill: float | None = None,
        limit: float | None = None,
        fails: Literal["user", "system"] | None = None,
        held: bool = False,
    ) -> Job:
        """Submit a job, into a workload or alone.

        Args:
            at: when it arrives.
            id: unique.
            workload: a batch's or session's id; None is job mode.
            prep: seconds of classical preparation, in a lane.
            qpu: seconds on the QPU.
            bill: usage in seconds of the complete run, where it is not `qpu` (a run sped up).
            limit: the cost limit, in seconds of usage; beyond it the job is cut off (cancelled, why "limit").
            fails: it ends failed instead of completed, by whose error.
            held: preparation ends with `ready` at the earliest.

        A job that arrives when its workload takes no more ends at once as failed, why "closed".
        """
        if id in self.jobs:
            raise ValueError(f"there is a job {id!r} already: ids are unique")
        if workload is not None and workload not in self.workloads:
            raise ValueError(f"there is no workload {workload!r}: open it before submitting to it")
        if not (0 <= prep < math.inf and 0 <= qpu < math.inf):
            raise ValueError(f"job {id!r}: prep={prep}, qpu={qpu}: give finite seconds, 0 or more")
        w = None if workload is None else self.workloads[workload]
        job = Job(id, w, prep, qpu, qpu if bill is None else bill, limit, fails, held, queued=at)
        self._command(at, lambda: self._arrives(job))
        self.jobs[id] = job
        self._open_jobs += 1
        return job

    def ready(self, at: float, job: str) -> None:
        """A held job's preparation may end."""
        self._command(at, lambda: self._release(self.jobs[job]))

    def cancel(self, at: float, job: str, why: str = "cancelled") -> None:
        """Cancel a job, wherever it is; nothing if it has ended."""
        self._command(at, lambda: self._cut(self.jobs[job], Stage.CANCELLED, why, charge=True))

    def fail(self, at: float, job: str, why: str, *, system: bool = False) -> None:
        """A job fails where it is: by a system error it is billed nothing, else what it consumed."""
        self._command(at, lambda: self._cut(self.jobs[job], Stage.FAILED, why, charge=not system))

    def close(self, at: float, workload: str) -> None:
        """No further jobs; queued ones still run, then it closes."""
        self._command(at, lambda: self._closing(self.workloads[workload], "closed_early"))

    def cancel_workload(self, at: float, workload: str) -> None:
        """No further jobs; queued ones are cancelled, running ones finish, then it closes."""

        def act() -> None:
            w = self.workloads[workload]
            self._end_waiting(w, Stage.CANCELLED, "workload_cancelled")
            self._closing(w, "closed_early")

        self._command(at, act)

    def pause(self, at: float, *, queue: bool = False) -> None:
        """No job starts on the QPU any more (one that is on it goes on); with `queue`, none leaves the queue either."""
        self._command(at, lambda: setattr(self, "_paused", "queue" if queue else "qpu"))

    def resume(self, at: float) -> None:
        """End a pause."""
        self._command(at, lambda: setattr(self, "_paused", "no"))

    def suspend(self, at: float, job: str) -> None:
        """A queued job is not started until it is readmitted; a session without other jobs gives the QPU back."""
        self._command(at, lambda: self._suspend(self.jobs[job]))

    def readmit(self, at: float, job: str) -> None:
        """End a suspension; the job goes through the queue."""
        self._command(at, lambda: self._readmit(self.jobs[job]))

    def forget(self, id: str) -> None:
        """Drop the history of a job or workload that has ended; keeps a long-running caller's memory flat."""
        if (job := self.jobs.get(id)) is not None and job.stage.final:
            del self.jobs[id]
        elif (w := self.workloads.get(id)) is not None and w.state is WorkloadState.CLOSED:
            del self.workloads[id]

    # -- time ----------------------------------------------------------------------------------------------------

    def advance(self, to: float) -> list[Happened]:
        """Let time pass until `to`; returns what happened since the last call, in order.

        Raises:
            ValueError: `to` lies before `now`, or is infinite where other users or calibrations never end.
        """
        if to < self.now:
            raise ValueError(f"cannot go back from {self.now} to {to}")
        if to == math.inf and (self.rules.other_users or self.rules.calibration_every):
            raise ValueError("other users and calibrations never end: advance to a time, or drain()")
        heap = self._heap
        while heap and heap[0][0] <= to:
            self._step()
        if to < math.inf:
            self.now = to
        happened, self._happened = self._happened, []
        return happened

    def drain(self, until: float = math.inf) -> list[Happened]:
        """Advance until every submitted job has ended and no command is left, at most to `until`."""
        while self._heap and self._open_jobs > 0 and self._heap[0][0] <= until:
            self._step()
        happened, self._happened = self._happened, []
        return happened

    def next_event_time(self) -> float | None:
        """When something happens next without further commands; None if nothing will."""
        heap = self._heap
        while heap and (w := heap[0][4]) is not None and w._timer != heap[0][5]:
            heappop(heap)
        return heap[0][0] if heap else None

    @property
    def queue_length(self) -> int:
        """Jobs that have not ended, other users' included."""
        waiting = sum(1 for _, _, item in self._turns if isinstance(item, Job) and item.other)
        return self._open_jobs + waiting

    # -- events -------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        time, _, _, act, w, timer = heappop(self._heap)
        if w is not None and w._timer != timer:
            return  # a timer that was armed anew since
        self.now = time
        act()
        self._dispatch()

    def _command(self, at: float, act: Callable[[], None]) -> None:
        if not self.now <= at < math.inf:
            raise ValueError(f"a command at {at}: it must lie between now ({self.now}) and infinity")
        self._seq += 1
        heappush(self._heap, (at, 1, self._seq, act, None, 0))

    def _after(self, delay: float, act: Callable[[], None], w: Workload | None = None) -> None:
        if delay == math.inf:
            return
        self._seq += 1
        heappush(self._heap, (self.now + delay, 0, self._seq, act, w, w._timer if w else 0))

    def _note(self, what: What, id: str, why: str = "") -> None:
        self._happened.append(Happened(self.now, what, id, why))

    # -- the queue and the lanes ---------------------------------------------------------------------------------

    def _arrives(self, job: Job) -> None:
        if job.stage.final:
            return
        job.queued = self.now
        w = job.workload
        if w is None:
            self._note(What.QUEUED, job.id)
            self._after(self.rules.queue_wait, lambda: self._line_up(job))
            return
        w.jobs += 1
        if not w.accepting:
            self._open_jobs -= 1
            job.stage, job.why, job.ended = Stage.FAILED, "closed", self.now
            self._note(What.FAILED, job.id, "closed")
            return
        self._note(What.QUEUED, job.id)
        w.unfinished += 1
        self._not_idle(w)
        if w.mode == "batch" and (w.state is WorkloadState.ACTIVE or w._turn == "granted"):
            self._line_up(job)
        else:
            w.waiting.append(job)
            if w.state is not WorkloadState.ACTIVE and w._turn == "none":
                self._queue(w)

    def _queue(self, w: Workload) -> None:
        w._turn = "queued"
        self._after(self.rules.queue_wait, lambda: self._granted(w))

    def _granted(self, w: Workload) -> None:
        """Its time in the queue is over. A batch's jobs stand in line together; a session stands in line itself."""
        if w.unfinished == 0 or w.state is WorkloadState.CLOSED:
            w._turn = "none"
            return
        w._turn = "granted"
        if w.mode == "session":
            self._line_up(w)
        else:
            while w.waiting:
                self._line_up(w.waiting.popleft())

    def _line_up(self, item: Job | Workload) -> None:
        self._seq += 1
        heappush(self._turns, (self.now, self._seq, item))

    def _dispatch(self) -> None:
        while self._paused != "queue":
            if (session := self._session) is not None:
                while session.waiting and not self._may_start(session.waiting[0]):
                    session.waiting.popleft()
                if not self._free or not session.waiting or session._draining:
                    break
                self._start(session.waiting.popleft())
                continue
            if not self._turns:
                break
            item = self._turns[0][2]
            if isinstance(item, Job):
                if self._may_start(item):
                    if not self._free:
                        break
                    self._start(item)
                heappop(self._turns)
            elif self._nothing_to_start(item) or item.state is WorkloadState.CLOSED:
                heappop(self._turns)
                item._turn = "none"
            else:
                if len(self._free) < self.rules.lanes or self._calibrating:
                    break  # its turn: those who hold lanes finish, nobody else starts
                heappop(self._turns)
                self._session = item
                self._activate(item)
        self._next_on_qpu()

    def _may_start(self, job: Job) -> bool:
        return job.stage is Stage.QUEUED and job.id not in self._suspended

    def _nothing_to_start(self, w: Workload) -> bool:
        return w.unfinished == sum(1 for job in self._suspended.values() if job.workload is w)

    def _suspend(self, job: Job) -> None:
        if job.stage is not Stage.QUEUED:
            return
        self._suspended[job.id] = job
        if (w := job.workload) is not None:
            self._leave_if_suspended(w)

    def _leave_if_suspended(self, w: Workload) -> None:
        """A session with nothing but suspended jobs gives the QPU back."""
        if w.mode == "session" and w.state is WorkloadState.ACTIVE and self._nothing_to_start(w):
            self._inactivate(w, "suspended")

    def _readmit(self, job: Job) -> None:
        if self._suspended.pop(job.id, None) is None:
            return
        w = job.workload
        if w is None or (w.mode == "batch" and (w.state is WorkloadState.ACTIVE or w._turn == "granted")):
            self._line_up(job)
            return
        if job not in w.waiting:
            w.waiting.append(job)
        if w.state is not WorkloadState.ACTIVE and w._turn == "none":
            self._queue(w)

    def _start(self, job: Job) -> None:
        job.lane = self._free.pop(0)
        job.stage, job.prep_start = Stage.PREPARING, self.now
        if (w := job.workload) is not None:
            if w.state is not WorkloadState.ACTIVE:
                self._activate(w)
            if w.started is None:
                w.started = self.now
                self._after(w.max_ttl, lambda: self._expire(w))
            w.last_job_started = self.now
            w.running += 1
        if not job.other:
            self._note(What.PREPARING, job.id)
        self._after(job.prep, lambda: self._prepared(job, clock=True))

    def _release(self, job: Job) -> None:
        job.held = False
        if job.prep_end is not None:
            self._prepared(job, clock=False)

    def _prepared(self, job: Job, *, clock: bool) -> None:
        if job.stage is not Stage.PREPARING:
            return
        if clock:
            job.prep_end = self.now
        if job.held:
            return
        job.prep_end = self.now
        job.stage = Stage.PREPARED
        if not job.other:
            self._note(What.PREPARED, job.id)
        self._ready.append(job)

    # -- the QPU -------------------------------------------------------------------------------------------------

    def _next_on_qpu(self) -> None:
        if self._qpu is not None or self._calibrating or self._paused != "no":
            return
        if self._calibration_due and self._session is None:
            self._calibration_due, self._calibrating = False, True
            self._note(What.CALIBRATING, "")
            self._after(self.rules.calibration_seconds, self._calibrated)
            return
        while self._ready and self._ready[0].stage is not Stage.PREPARED:
            self._ready.popleft()  # ended while it waited for the QPU
        if self._ready:
            self._on_qpu(self._ready.popleft())

    def _on_qpu(self, job: Job) -> None:
        self._qpu = job
        job.stage, job.qpu_start = Stage.ON_QPU, self.now
        if job.workload:
            job.workload._on_qpu = job
        self._note(What.ON_QPU, job.id)
        if job.limit is not None and job.bill > job.limit:
            self._after(job.qpu * job.limit / job.bill, lambda: self._off_qpu(job, cut=True))
        else:
            self._after(job.qpu, lambda: self._off_qpu(job, cut=False))

    def _off_qpu(self, job: Job, *, cut: bool) -> None:
        if job.stage is not Stage.ON_QPU:
            return
        job.billed = min(job.bill, job.limit) if job.limit is not None else job.bill
        if cut:
            self._end(job, Stage.CANCELLED, "limit")
        elif job.fails is not None:
            if job.fails == "system":
                job.billed = 0.0
            self._end(job, Stage.FAILED, job.fails)
        else:
            self._end(job, Stage.COMPLETED, "")

    def _calibration_is_due(self) -> None:
        self._calibration_due = True

    def _calibrated(self) -> None:
        self._calibrating = False
        self._note(What.CALIBRATED, "")
        if self.rules.calibration_every:
            self._after(self.rules.calibration_every, self._calibration_is_due)

    def _other_arrives(self) -> None:
        load = self.rules.other_users
        assert load is not None
        self._others += 1
        qpu = self._random.expovariate(1 / load.qpu) if load.qpu > 0 else 0.0
        self._line_up(Job(f"other-{self._others}", None, load.prep, qpu, qpu, other=True, queued=self.now))
        self._after(self._random.expovariate(1 / load.every), self._other_arrives)

    # -- ends ----------------------------------------------------------------------------------------------------

    def _cut(self, job: Job, stage: Stage, why: str, *, charge: bool) -> None:
        if job.stage.final:
            return
        if self.now < job.queued:  # cancelled before it arrives
            self._open_jobs -= 1
            job.stage, job.why, job.ended = stage, why, self.now
            self._note(What(stage.value), job.id, why)
            return
        job.billed = job._consumed(self.now) if charge and job.stage is Stage.ON_QPU else 0.0
        self._end(job, stage, why)

    def _end(self, job: Job, stage: Stage, why: str) -> None:
        on_qpu = self._qpu is job
        started = job.lane is not None
        self._suspended.pop(job.id, None)
        job.stage, job.why, job.ended = stage, why, self.now
        if on_qpu:
            self._qpu, job.qpu_end = None, self.now
        if job.lane is not None:
            self._free.append(job.lane)
            self._free.sort()
        if not job.other:
            self._open_jobs -= 1
        self._note(What(stage.value), job.id, why)
        if (w := job.workload) is None:
            return
        w.unfinished -= 1
        w._jobs_usage += job.billed
        if started:
            w.running -= 1
            w.last_job_completed = self.now
        if on_qpu:
            w._on_qpu = None
            if job.qpu_start is not None and job.billed > 0:
                w._bonus += job.billed - (self.now - job.qpu_start)
        if w.unfinished == 0:
            self._nothing_left(w)
        elif w._draining and w.running == 0:
            self._inactivate(w, "active_ttl")
            self._queue(w)
        else:
            self._leave_if_suspended(w)

    def _end_waiting(self, w: Workload, stage: Stage, why: str) -> None:
        queued = [j for j in w.waiting if j.stage is Stage.QUEUED]
        queued += [j for _, _, j in self._turns if isinstance(j, Job) and j.workload is w and j.stage is Stage.QUEUED]
        queued += [j for j in self._suspended.values() if j.workload is w]
        for job in dict.fromkeys(queued):
            self._end(job, stage, why)

    def _nothing_left(self, w: Workload) -> None:
        w.waiting.clear()
        if not w.accepting:
            self._close(w)
        elif w.state is not WorkloadState.ACTIVE:
            if w._turn == "granted" and w.mode == "batch":
                w._turn = "none"
            self._arm_empty_close(w)
        elif w._draining:
            self._inactivate(w, "active_ttl")
        else:
            w._idle_since = self.now
            w._timer += 1
            idle_from = max(w.activated or 0.0, w.last_job_completed or 0.0)
            self._after(max(0.0, idle_from + w.interactive_ttl - self.now), lambda: self._idle_too_long(w), w)

    def _not_idle(self, w: Workload) -> None:
        w._timer += 1
        if w._idle_since is not None:
            w.idle += self.now - w._idle_since
            w._idle_since = None

    # -- a workload's life ---------------------------------------------------------------------------------------

    def _opened(self, w: Workload) -> None:
        self._note(What.OPENED, w.id)
        if w.started is not None:
            self._after(max(0.0, w.started + w.max_ttl - self.now), lambda: self._expire(w))
        self._arm_empty_close(w)

    def _arm_empty_close(self, w: Workload) -> None:
        if w.started is None and self.rules.empty_close is not None:
            w._timer += 1
            delay = max(0.0, w.created + self.rules.empty_close - self.now)
            self._after(delay, lambda: self._close_empty(w), w)

    def _close_empty(self, w: Workload) -> None:
        if w.unfinished == 0 and w.started is None:
            self._closing(w, "empty")

    def _activate(self, w: Workload) -> None:
        w.state, w.activated, w._turn, w._draining = WorkloadState.ACTIVE, self.now, "none", False
        self._note(What.ACTIVATED, w.id)
        if w.mode == "session" and w.active_ttl is not None:
            since = self.now
            self._after(w.active_ttl, lambda: self._active_too_long(w, since))

    def _active_too_long(self, w: Workload, since: float) -> None:
        if w.state is WorkloadState.ACTIVE and w.activated == since:
            w._draining = True
            if w.running == 0:
                self._inactivate(w, "active_ttl")
                if w.unfinished:
                    self._queue(w)

    def _idle_too_long(self, w: Workload) -> None:
        if w.state is WorkloadState.ACTIVE and w.unfinished == 0:
            self._inactivate(w, "interactive_ttl")

    def _inactivate(self, w: Workload, why: str) -> None:
        self._leave_active(w)
        w.state, w.why = WorkloadState.INACTIVE, why
        self._note(What.INACTIVATED, w.id, why)

    def _leave_active(self, w: Workload) -> None:
        self._not_idle(w)
        w._draining = False
        if w.state is WorkloadState.ACTIVE and w.activated is not None:
            w.stretches.append((w.activated, self.now))
        if self._session is w:
            self._session = None

    def _expire(self, w: Workload) -> None:
        if w.state is WorkloadState.CLOSED:
            return
        self._end_waiting(w, Stage.FAILED, "max_ttl")
        self._closing(w, "max_ttl")

    def _closing(self, w: Workload, why: str) -> None:
        if w.state is WorkloadState.CLOSED:
            return
        if w.accepting:
            w.accepting, w.why = False, why
            if w.unfinished:
                self._note(What.CLOSING, w.id, why)
        if w.unfinished == 0:
            self._close(w)

    def _close(self, w: Workload) -> None:
        if w.state is WorkloadState.CLOSED:
            return
        self._leave_active(w)
        w.state, w.closed, w._turn = WorkloadState.CLOSED, self.now, "none"
        w._timer += 1
        self._note(What.CLOSED, w.id, w.why)
