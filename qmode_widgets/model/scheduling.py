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
from heapq import heappop
from typing import Literal

from .schedule import Happened, Job, Load, Rules, Stage, What, Workload
from .schedule_machine import Machine
from .snapshot import WorkloadState

__all__ = ["Happened", "Job", "Load", "Rules", "Scheduler", "Stage", "What", "Workload"]


class Scheduler(Machine):
    """One QPU, its lanes and its queue. The module's docstring says how to use it.

    `jobs` and `workloads` are the histories, by id: read them, never write them.
    """

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
