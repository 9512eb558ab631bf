"""A controller that follows a script instead of a service, for the notebooks of browser tests."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from qmode_widgets.errors import QmodeError
from qmode_widgets.model.command import Action
from qmode_widgets.model.outcome import Cancelled, CancelOutcome, Done, Outcome, Refusal
from qmode_widgets.model.snapshot import (
    Event,
    JobSnapshot,
    JobState,
    Limit,
    Mode,
    Ttl,
    Usage,
    WorkloadSnapshot,
    WorkloadState,
)
from qmode_widgets.portal import portal

RUN = "a1b2c3d4"
FORMULA = "for each job 2 s + 0.00025 s × 24,000 executions"


def job(n: int, of: int, state: JobState, now: float, *, last: int | None = None, **more: object) -> JobSnapshot:
    """Partition `n` of `of` in a plausible state; `last` is the one that started last."""
    last = n if last is None else last
    started = state in (JobState.RUNNING, JobState.DONE, JobState.FAILED)
    ended = state in (JobState.DONE, JobState.FAILED)
    sent = state not in (JobState.WAITING, JobState.DROPPED, JobState.UNKNOWN)
    begin = now - 6 - 8 * (last - n)
    values: dict[str, object] = {
        "key": f"{RUN}:{n}.0",
        "state": state,
        "job_id": f"d2f1c3kq{n:04d}08o9b{n:03d}" if sent else None,
        "run": RUN,
        "partition": n,
        "of": of,
        "number": n + 1,
        "pubs": f"{2 * n}–{2 * n + 1}",
        "service_status": state.value.capitalize() if sent else None,
        "created": min(begin, now) - 5 if sent else None,
        "running": begin if started else None,
        "finished": begin + 13 if ended else None,
        "qpu_used": state is JobState.RUNNING and n % 2 == 0,
        "usage": Usage(8.2 if state is JobState.DONE else 0.0, "final", 8.0) if ended else Usage(estimated=8.0),
        "spans": ((begin + 4, begin + 11.5),) if state is JobState.DONE else (),
        **more,
    }
    return JobSnapshot(**values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Sent:
    """What a resubmission returns."""

    sent: tuple[str, ...]


class Scripted:
    """A `Controllable` whose service is its script. `said` holds the commands it got, `clicked` is set with each."""

    def __init__(self, snapshot: WorkloadSnapshot) -> None:
        self._state = snapshot
        self._callbacks: list[Callable[[WorkloadSnapshot], None]] = []
        self._lock = threading.RLock()
        self.said: list[tuple[str, str | None]] = []
        self.clicked = threading.Event()
        self.answers = True  # False: the service hangs, and nothing is heard of it any more
        self.usage_cap: float | None = snapshot.usage.cap
        self.refused: str | None = None  # the reason of the outcome of the next command, if it is to be refused
        self.refuse: str | None = None  # the service's answer to the next command, if it is to fail

    @property
    def id(self) -> str:
        return self._state.id

    def snapshot(self) -> WorkloadSnapshot:
        with self._lock:
            if self.answers and self._state.problem is None:
                self._state = replace(self._state, seen_at=time.time())
            return self._state

    def listen(self, callback: Callable[[WorkloadSnapshot], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def change(self, **fields: object) -> None:
        with self._lock:
            self._state = replace(self._state, **fields)  # type: ignore[arg-type]
        for callback in list(self._callbacks):
            portal().send(callback, self._state)

    def set(self, n: int, state: JobState, **more: object) -> None:
        """Partition `n` is in another state."""
        with self._lock:
            of = len({j.partition for j in self._state.jobs})
            new = job(n, of, state, time.time(), **more)
            jobs = tuple(new if j.partition == n and not j.superseded else j for j in self._state.jobs)
            self.change(jobs=jobs)

    def say(self, text: str, level: str = "info") -> None:
        with self._lock:
            number = self._state.events[-1].id + 1 if self._state.events else 0
            self.change(events=(*self._state.events, Event(number, time.time(), level, text)))  # type: ignore[arg-type]

    def wait_click(self, seconds: float) -> bool:
        """Block, as a cell does in `result()`, until a command comes."""
        came = self.clicked.wait(seconds)
        self.clicked.clear()
        return came

    async def perform(self, action: Action, target: str | None) -> Outcome:
        if action in (Action.CANCEL, Action.DROP):
            waits = any(j.key == target and j.state is JobState.WAITING for j in self._state.jobs)
            action = Action.DROP if waits else Action.CANCEL
        if self.refused is not None:
            reason, self.refused = self.refused, None
            return CancelOutcome(Cancelled.REFUSED, Refusal(reason, status=403))
        steps = [(step, target) for step in ([Action.CANCEL_ALL, Action.CLOSE] if action is Action.END else [action])]
        if action is Action.RESUBMIT_MISSING:
            self.usage_cap = None if target is None else float(target)
            gone = (JobState.FAILED, JobState.REFUSED, JobState.CANCELLED, JobState.DROPPED)
            steps = [(Action.RESUBMIT, j.key) for j in self._state.jobs if j.state in gone and not j.superseded]
        answers = [await self._obey(*step) for step in steps]
        return Done(answers[-1])

    async def _obey(self, action: Action, target: str | None = None) -> str:
        try:
            while not self.answers:  # noqa: ASYNC110 - a notebook's cell sets it, on another thread
                await asyncio.sleep(0.05)  # as a request that hangs
            if self.refuse is not None:
                message, self.refuse = self.refuse, None
                raise QmodeError(message)
            self._carry_out(action, target)
            return "resubmitted" if action is Action.RESUBMIT else "done"
        finally:
            self.said.append((action.value, target))
            self.clicked.set()

    def _carry_out(self, action: Action, target: str | None) -> None:
        with self._lock:
            jobs = list(self._state.jobs)
            for i, j in enumerate(jobs):
                hit = j.key == target
                waiting = j.state in (JobState.QUEUED, JobState.WAITING)
                open_ = waiting or j.state is JobState.RUNNING
                if (
                    (hit and action is Action.CANCEL)
                    or (waiting and action is Action.CANCEL_REMAINING)
                    or (open_ and action is Action.CANCEL_ALL)
                ):
                    jobs[i] = replace(j, state=JobState.CANCELLED, service_status="Cancelled", finished=time.time())
                elif hit and action is Action.DROP:
                    jobs[i] = replace(j, state=JobState.DROPPED)
                elif (hit and action is Action.RESUBMIT) or (
                    j.state is JobState.FAILED and action is Action.RESUBMIT_FAILED
                ):
                    jobs[i] = replace(j, superseded=True)
                    key = f"{j.run}:{j.partition}.{j.attempt + 1}"
                    again = {"key": key, "attempt": j.attempt + 1}
                    jobs.append(job(j.partition or 0, j.of or 1, JobState.QUEUED, time.time(), **again))
            jobs.sort(key=lambda j: (j.partition or 0, j.attempt))
            closed = {"accepting_jobs": False} if action is Action.CLOSE else {}
            self.change(jobs=tuple(jobs), **closed)


D, F, R, Q, W = JobState.DONE, JobState.FAILED, JobState.RUNNING, JobState.QUEUED, JobState.WAITING


def fresh() -> str:
    """An id that no other test's workload has."""
    return f"d2f0{secrets.token_hex(8)}"


def workload(mode: Mode, states: list[JobState], *, id: str = "d2f0b8c4k3a0008v77a1", **more: object) -> Scripted:
    """A workload with a partition in each of the given states."""
    now = time.time()
    last = max((n for n, state in enumerate(states) if state in (R, D, F)), default=0)
    jobs = tuple(job(n, len(states), state, now, last=last) for n, state in enumerate(states))
    if jobs and any(j.state is JobState.FAILED for j in jobs):
        failed = next(i for i, j in enumerate(jobs) if j.state is JobState.FAILED)
        worse = replace(jobs[failed], reason="transient", reason_code=9707, reason_solution="retry the job")
        jobs = (*jobs[:failed], worse, *jobs[failed + 1 :])
    done = sum(j.state is JobState.DONE for j in jobs)
    values: dict[str, object] = {
        "id": id,
        "mode": mode,
        "backend": "ibm_fez",
        "state": WorkloadState.ACTIVE,
        "accepting_jobs": True,
        "state_reason": "session_created",
        "instance": "premium-team",
        "jobs": jobs,
        "ttl": Ttl(max_ttl=28800, max_deadline=now + 27668.0, interactive_ttl=60),
        "usage": Usage(round(8.2 * done, 1), "running", 8.0 * len(jobs), FORMULA, None, 600.0, 1204.0),
        "created": now - 120,
        "seen_at": now,
        "events": (
            Event(0, now - 70, "info", "first job reached the QPU, max TTL started."),
            Event(1, now - 20, "warning", "partition 5 failed: 9707 transient, no usage billed."),
        ),
        "limits": (Limit("usage cap", "600 s", "kernel"), Limit("max TTL", "8 h", "service")),
        **more,
    }
    return Scripted(WorkloadSnapshot(**values))  # type: ignore[arg-type]


def batch(**more: object) -> Scripted:
    """Twelve partitions, as in the design's mock."""
    return workload("batch", [D, D, D, D, F, R, R, R, Q, Q, W, W], **more)


def idle_session(**more: object) -> Scripted:
    """A session that is billed while it waits."""
    now = time.time()
    ttl = Ttl(max_ttl=28800, max_deadline=now + 25000, interactive_ttl=60, interactive_deadline=now + 46)
    usage = Usage(241.0, "running", None, None, 54.0, 600.0, 1204.0)
    about = {"id": "cz3kw0q2r5hg008n79f1", "ttl": ttl, "usage": usage, "group": "step 12", "events": ()}
    return workload("session", [D] * 24, **{**about, **more})  # type: ignore[arg-type]


def capped() -> Scripted:
    """A batch that its usage cap has ended."""
    now = time.time()
    limits = (Limit("usage cap", "24 s", "kernel", acted=now - 30),)
    usage = Usage(24.6, "final", None, None, None, 24.0, 1204.0)
    states = [D, D, D, JobState.CANCELLED, JobState.CANCELLED, JobState.DROPPED]
    about = {"state": WorkloadState.CLOSED, "accepting_jobs": False, "closed": now - 20, "ttl": Ttl(max_ttl=28800)}
    return workload("batch", states, id="d3cap0000000000v0cap", usage=usage, limits=limits, events=(), **about)  # type: ignore[arg-type]


def ending() -> Scripted:
    """A session whose max TTL is about to run out."""
    ttl = Ttl(max_ttl=3600, max_deadline=time.time() + 47, interactive_ttl=60)
    return workload("session", [D, D, R, Q], id="d5end0000000000v0end", ttl=ttl, events=())


def big(n: int = 1000) -> Scripted:
    """A batch of many partitions, all states mixed."""

    def state(i: int) -> JobState:
        if i < n // 2:
            return D
        return R if i < n // 2 + 5 else Q if i < n * 3 // 4 else W

    usage = Usage(4.1 * n, "running", 8.0 * n, cap=9.0 * n)
    failed = {n // 10, n // 4, n // 3}
    return workload(
        "batch", [F if i in failed else state(i) for i in range(n)], id="d4bigbatch00008v1000", usage=usage, events=()
    )
