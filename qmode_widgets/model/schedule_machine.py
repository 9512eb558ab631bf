"""The inside of `scheduling`: the queue, the lanes, the QPU and the workloads' lives, event by event."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Literal

from .schedule import Happened, Job, Rules, Stage, What, Workload
from .snapshot import WorkloadState


class Machine:
    """Applies the rules. `Scheduler` is its face: commands in, history out."""

    def __init__(self, rules: Rules | None = None, now: float = 0.0) -> None:
        self.rules = rules or Rules()
        self.now = now
        self.jobs: dict[str, Job] = {}
        self.workloads: dict[str, Workload] = {}
        self._heap: list[tuple[float, int, int, Callable[[], None], Workload | None, int]] = []
        self._seq = 0
        self._happened: list[Happened] = []
        self._turns: list[tuple[float, int, Job | Workload]] = []   # who may start next: jobs, and sessions
        self._ready: deque[Job] = deque()
        self._free = list(range(self.rules.lanes))
        self._suspended: dict[str, Job] = {}       # queued jobs that are not started until they are readmitted
        self._session: Workload | None = None
        self._qpu: Job | None = None
        self._calibrating = False
        self._calibration_due = False
        self._paused: Literal["no", "qpu", "queue"] = "no"
        self._open_jobs = 0                        # submitted or about to be, not ended; other users' not counted
        if self.rules.other_users:
            self._random = random.Random(self.rules.other_users.seed)  # noqa: S311 - a load model, no secret
            self._others = 0
            self._after(self._random.expovariate(1 / self.rules.other_users.every), self._other_arrives)
        if self.rules.calibration_every:
            self._after(self.rules.calibration_every, self._calibration_is_due)

    # -- events -------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        time, _, _, act, w, timer = heappop(self._heap)
        if w is not None and w._timer != timer:
            return                                 # a timer that was armed anew since
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
                    break                          # its turn: those who hold lanes finish, nobody else starts
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
            self._ready.popleft()                  # ended while it waited for the QPU
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
        if self.now < job.queued:                  # cancelled before it arrives
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
