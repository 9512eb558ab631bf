"""Usage of a workload, worked out from what the service told: pure functions of its jobs and its session objects.

A batch's usage is the sum of the QPU time of its jobs; a session's is the wall-clock time it is active, idle included
(guide "Execution modes", usage). Times are seconds since the epoch on the service's clock, usage is seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ...ibm.wire import Session
from ...model.snapshot import JobState, Mode, Usage, WorkloadState

Interval = tuple[float, float]
USES_NO_MORE = (JobState.REFUSED, JobState.DROPPED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobAccount:
    """What accounting needs of one attempt."""

    state: JobState
    on_service: bool  # a job exists for it
    usage: Usage
    usage_final: bool
    ran: Interval | None  # when it ran; while it runs its end is the end of the session's time so far
    times_known: bool  # False: it ended, but when is not known yet


def workload_usage(
    mode: Mode,
    state: WorkloadState,
    jobs: Sequence[JobAccount],
    sessions: Sequence[Session | None],
    stretches: Sequence[Interval] | None,
    *,
    cap: float | None,
    instance_left: float | None,
) -> Usage:
    """The usage of a workload.

    Args:
        mode: of the workload.
        state: of the present workload.
        jobs: all attempts.
        sessions: the session objects of the workloads that this one continues, oldest first, and the present one last;
            None for one that was not read yet.
        stretches: when the session was active; None where the service does not tell.
        cap: the user's usage cap in seconds.
        instance_left: seconds the instance may still use.
    """
    told = [j.usage.reported for j in jobs if j.usage.reported is not None]
    total: float | None
    if mode == "session":
        elapsed = [None if s is None else s.elapsed_time for s in sessions]
        known = [e for e in elapsed if e is not None]
        total = sum(known) if known else None
        closed = state is WorkloadState.CLOSED and all(s is not None and s.closed for s in sessions[:-1])
        final = closed and None not in elapsed
        coming = [j.usage.estimated for j in jobs if not j.state.final and j.usage.estimated is not None]
        estimate = (total or 0.0) + sum(coming) if coming else None
        formula = "the session's time so far and the QPU time of the jobs still to run; idle time adds to it"
        idle = idle_time(jobs, stretches)
    else:
        total = sum(told) if told else None
        if total is None and state is WorkloadState.CLOSED and sessions and sessions[-1] is not None:
            total = sessions[-1].elapsed_time
        final = all(j.usage_final for j in jobs if j.on_service) and all(j.state.final for j in jobs)
        estimate = _expected(jobs)
        formula = "the sum of the jobs: reported where the service reported, expected otherwise"
        idle = None
    status: Literal["none", "running", "final"] = "none"
    if total is not None:
        status = "final" if final and any(j.on_service for j in jobs) else "running"
    return Usage(
        reported=total,
        status=status,
        estimated=estimate,
        formula=formula if estimate is not None else None,
        idle=idle,
        cap=cap,
        instance_left=instance_left,
    )


def _expected(jobs: Iterable[JobAccount]) -> float | None:
    """What all jobs together are expected to use: what ended badly costs what it is reported to have cost, no more."""
    expected = [
        j.usage.reported if j.usage.status == "final" or j.state in USES_NO_MORE else j.usage.estimated for j in jobs
    ]
    known = [e for e in expected if e is not None]
    return sum(known) if known else None


def active_stretches(session: Session, end: float) -> list[Interval] | None:
    """When a session was active, from its list of transitions, until `end` where it still is.

    None where they are not told and cannot be inferred.
    """
    out: list[Interval] = []
    since: float | None = None
    for move in session.transitions:
        if move.at is None:
            continue
        if move.state == "active" and since is None:
            since = move.at
        elif move.state in ("inactive", "closed") and since is not None:
            out.append((since, move.at))
            since = None
    if since is not None:
        out.append((since, max(since, end)))
    started, activated = session.started_at, session.activated_at
    if out or (started is None and activated is None):
        return out
    if session.state == "active" and started is not None and activated in (None, started):
        return [(started, max(started, end))]  # active ever since
    return None


def all_stretches(sessions: Iterable[Session | None], now: float) -> list[Interval] | None:
    """When any of these sessions was active, until `now` at the latest; None where one does not tell."""
    found: list[Interval] = []
    for session in sessions:
        stretches = [] if session is None else active_stretches(session, session.closed_at or now)
        if stretches is None:
            return None
        found += stretches
    return found


def active_time(stretches: Sequence[Interval] | None) -> float | None:
    """Seconds for which a session was active; None where that is not known."""
    return None if not stretches else sum(b - a for a, b in stretches)


def idle_time(jobs: Iterable[JobAccount], stretches: Sequence[Interval] | None) -> float | None:
    """Seconds of a session's active time in which none of its jobs ran: billed all the same.

    None while the times of a job that ended are not known.
    """
    if not stretches:
        return None
    busy: list[Interval] = []
    for job in jobs:
        if not job.on_service or job.state is JobState.QUEUED:
            continue
        if not job.times_known:
            return None
        if job.ran is not None:
            busy.append(job.ran)
    return max(0.0, sum(b - a for a, b in stretches) - covered(busy, stretches))


def covered(busy: Iterable[Interval], stretches: Sequence[Interval]) -> float:
    """How much of the stretches the union of the busy intervals covers, in seconds."""
    total, reach = 0.0, float("-inf")
    for a, b in sorted(busy):
        a, reach = max(a, reach), max(b, reach)
        total += sum(max(0.0, min(b, y) - max(a, x)) for x, y in stretches)
    return total
