"""What would happen in each mode: the service's scheduling rules in virtual time, on the same jobs.

Times are seconds from the moment of submission. The rules are those of `model/scheduling.py`; what they need and nobody
tells (the wait in the queue, the classical preparation) is an input with a stated default.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..model.scheduling import Happened, Job, Rules, Scheduler, Stage, What
from ..model.snapshot import Mode

PREPARATION = 4.0  # seconds of classical work a job (compile, load): an assumption
PER_MINUTE = 5  # submissions a user may make [SERVICE: POST /jobs]
SECONDS_PER_PENDING_JOB = 30.0  # what another user's job takes on average, for a queue known by its length only
OPEN_PLAN_MAX_TTL = 600.0  # seconds a batch lives on the Open Plan, as seen there
LANES_NOTE = "A forecast knows neither other users' jobs nor calibrations in between."
MODES: tuple[Mode, ...] = ("job", "batch", "session")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a forecast assumes of the service; every figure can be set.

    `queue_wait` is what one passage through the queue takes. `burst` submissions go out at once, further ones at
    `per_minute`.
    """

    queue_wait: float = 0.0
    lanes: int = 5
    preparation: float = PREPARATION
    per_minute: float = PER_MINUTE
    burst: int = PER_MINUTE
    max_ttl: float = 28800.0
    interactive_ttl: float = 60.0  # of sessions
    batch_interactive_ttl: float = 1.0  # 1 s and 60 s are both seen on batches: the less favourable one
    why_wait: str = "no wait in the queue"

    def __post_init__(self) -> None:
        for name in ("queue_wait", "preparation", "max_ttl", "interactive_ttl", "batch_interactive_ttl"):
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise ValueError(f"{name}={value!r}: give finite seconds, 0 or more")
        if self.per_minute <= 0 or self.burst < 1 or self.lanes < 1:
            raise ValueError(f"per_minute={self.per_minute}, burst={self.burst}, lanes={self.lanes}: at least 1 each")


def conditions(backend: Any = None, queue_wait: float | None = None, **given: Any) -> Conditions:
    """Conditions with the wait given, or read from the backend's pending jobs (one request), spelt out either way."""
    if queue_wait is not None:
        return Conditions(queue_wait=queue_wait, why_wait=f"a wait of {queue_wait:g} s in the queue, as given", **given)
    pending = _pending(backend)
    if pending is None:
        return Conditions(why_wait="an empty queue (the backend does not tell its pending jobs)", **given)
    wait = pending * SECONDS_PER_PENDING_JOB
    why = f"{pending} pending jobs × {SECONDS_PER_PENDING_JOB:g} s each, our assumption: {wait:g} s in the queue"
    return Conditions(queue_wait=wait, why_wait=why, **given)


def _pending(backend: Any) -> int | None:
    status = getattr(backend, "status", None)
    if not callable(status) or getattr(backend, "service", None) is None:
        return None  # a fake backend: its queue is nobody's
    try:
        return int(status().pending_jobs)
    except Exception:  # noqa: BLE001 - a forecast must not fail because a queue cannot be read
        return None


@dataclass(frozen=True, slots=True)
class Bar:
    """One job on the time line. A time is None if it never came to that."""

    job: int
    iteration: int
    lane: int | None
    submitted: float
    started: float | None
    qpu_start: float | None
    qpu_end: float | None
    ended: float | None
    state: str  # "completed", "failed"
    why: str = ""


@dataclass(frozen=True, slots=True)
class Forecast:
    """One mode's course. Seconds; `idle` is billed without any job running (sessions only)."""

    mode: Mode
    first_result: float | None
    last_result: float | None
    usage: float
    idle: float
    lanes_used: int
    completed: int
    failed: int
    hits: tuple[str, ...]  # "max TTL", "interactive TTL": timers that ran out on the way
    reactivations: int  # passages through the queue after the first
    bars: tuple[Bar, ...]
    assumed: tuple[str, ...] = ()

    def __str__(self) -> str:
        last = "no result" if self.last_result is None else f"last result after {self.last_result:.0f} s"
        idle = f", {self.idle:.0f} s of it idle" if self.idle else ""
        return f"{self.mode}: {last}, ≈ {self.usage:.0f} s of usage{idle}"


@dataclass(slots=True)
class _Course:
    """One run of the scheduler and what was submitted to it."""

    scheduler: Scheduler
    workload: str | None
    jobs: list[tuple[Job, int]] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)  # when each submission went out


def forecast(
    seconds: Sequence[float],
    mode: Mode,
    given: Conditions | None = None,
    *,
    iterations: int = 1,
    classical: float = 0.0,
    keep_bars: int = 500,
) -> Forecast:
    """How a workload would go in one mode.

    Args:
        seconds: QPU seconds of each job (of each iteration).
        mode: "job", "batch" or "session".
        given: conditions; the defaults if left out.
        iterations: how often the jobs are run, each time after the results of the last.
        classical: seconds of the user's own work between iterations, and before the first.
        keep_bars: so many jobs are kept for the time line.

    The workload is closed as soon as its last result is there; a session that is left open is billed on.

    Raises:
        ValueError: no jobs, or durations that are not finite and non-negative.
    """
    given = given or Conditions()
    if not seconds or iterations < 1 or not 0 <= classical < math.inf:
        raise ValueError(f"{len(seconds)} jobs, {iterations} iterations, classical={classical}: at least one of each")
    if bad := [s for s in seconds if not 0 <= s < math.inf]:
        raise ValueError(f"a job of {bad[0]} s: give finite seconds, 0 or more")
    course = _open(mode, given)
    start = 0.0
    for iteration in range(iterations):
        submitted = _submit(course, seconds, iteration, start, given)
        course.happened += course.scheduler.drain()
        ends = [job.ended for job in submitted if job.ended is not None]
        start = max([*ends, start]) + classical
    return _close(course, mode, given, keep_bars, start - classical)


def compare_modes(
    seconds: Sequence[float], given: Conditions | None = None, *, iterations: int = 1, classical: float = 0.0
) -> dict[Mode, Forecast]:
    """The three modes on the same jobs."""
    return {mode: forecast(seconds, mode, given, iterations=iterations, classical=classical) for mode in MODES}


def _open(mode: Mode, given: Conditions) -> _Course:
    ttl = given.batch_interactive_ttl if mode == "batch" else given.interactive_ttl
    rules = Rules(lanes=given.lanes, queue_wait=given.queue_wait, max_ttl=given.max_ttl, interactive_ttl=ttl)
    scheduler = Scheduler(rules)
    if mode == "job":
        return _Course(scheduler, None)
    scheduler.open(0.0, "w", mode)
    return _Course(scheduler, "w")


def _submit(course: _Course, seconds: Sequence[float], iteration: int, start: float, given: Conditions) -> list[Job]:
    """Submit one iteration's jobs, no faster than the service takes them, iterations before it included."""
    window = 60.0 * given.burst / given.per_minute
    sent = course.sent
    out: list[Job] = []
    for qpu in seconds:
        at = max(start, sent[-1]) if sent else start
        if len(sent) >= given.burst:
            at = max(at, sent[-given.burst] + window)
        sent.append(at)
        name = f"{iteration}.{len(out)}"
        job = course.scheduler.submit(at, name, course.workload, prep=given.preparation, qpu=qpu)
        course.jobs.append((job, iteration))
        out.append(job)
    return out


def _close(course: _Course, mode: Mode, given: Conditions, keep: int, end: float) -> Forecast:
    scheduler = course.scheduler
    done = [job for job, _ in course.jobs if job.stage is Stage.COMPLETED and job.ended is not None]
    ends = [job.ended for job in done if job.ended is not None]
    if course.workload is None:
        usage, idle = sum(job.billed for job, _ in course.jobs), 0.0
    else:
        workload = scheduler.workloads[course.workload]
        at = max(scheduler.now, end)
        usage, idle = workload.usage(at), workload.idle_seconds(at) if mode == "session" else 0.0
    inactive = [h for h in course.happened if h.what is What.INACTIVATED and h.why == "interactive_ttl"]
    expired = any(job.why == "max_ttl" or job.why == "closed" for job, _ in course.jobs)
    hits = ("max TTL",) * expired + ("interactive TTL",) * bool(inactive)
    activations = sum(1 for h in course.happened if h.what is What.ACTIVATED)
    lanes = {job.lane for job, _ in course.jobs if job.lane is not None}
    bars = tuple(_bar(n, job, iteration) for n, (job, iteration) in enumerate(course.jobs[:keep]))
    return Forecast(
        mode,
        min(ends, default=None),
        max(ends, default=None),
        usage,
        idle,
        len(lanes),
        len(done),
        len(course.jobs) - len(done),
        hits,
        max(0, activations - 1),
        bars,
        _assumed(mode, given),
    )


def _assumed(mode: Mode, given: Conditions) -> tuple[str, ...]:
    notes: Iterable[str] = (
        given.why_wait,
        f"{given.preparation:g} s of classical preparation a job, {given.lanes} lanes",
        f"{given.per_minute:g} submissions a minute, the first {given.burst} at once",
    )
    if mode == "session":
        notes = (*notes, "closed as soon as the last result is there")
    return tuple(notes)


def _bar(number: int, job: Job, iteration: int) -> Bar:
    return Bar(
        number,
        iteration,
        job.lane,
        job.queued,
        job.prep_start,
        job.qpu_start,
        job.qpu_end,
        job.ended,
        job.stage.value,
        job.why,
    )
