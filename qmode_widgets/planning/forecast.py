"""What would happen in each mode: the service's scheduling rules in virtual time, on the same jobs.

Times are seconds from the moment of submission. The rules are those of `model/scheduling.py`. What they need and the
service does not tell (the wait in the queue, the classical preparation) is an input with a stated default.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ArgumentError
from ..model.scheduling import Happened, Job, Rules, Scheduler, Stage, What
from ..model.snapshot import Mode

PREPARATION = 4.0  # seconds of classical work a job (validate, compile, load): an assumption
PREPARATION_CIRCUIT = 0.01  # seconds more for each circuit after broadcasting: an assumption, IBM publishes nothing
PER_MINUTE = 5  # submissions a user may make [SERVICE: POST /jobs]
SECONDS_PER_PENDING_JOB = 30.0  # what another user's job takes on average, for a queue known by its length only
OPEN_PLAN_MAX_TTL = 600.0  # seconds a batch lives on the Open Plan, as seen there
LANES_NOTE = "A forecast knows neither other users' jobs nor calibrations in between."
MODES: tuple[Mode, ...] = ("job", "batch", "session")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a forecast assumes of the service; every figure can be set.

    `queue_wait` is what one passage through the queue takes. A job's classical preparation is `preparation` and
    `preparation_circuit` for each of its circuits after broadcasting. `burst` submissions go out at once, further ones
    at `per_minute`.
    """

    queue_wait: float = 0.0
    lanes: int = 5
    preparation: float = PREPARATION
    preparation_circuit: float = PREPARATION_CIRCUIT
    per_minute: float = PER_MINUTE
    burst: int = PER_MINUTE
    max_ttl: float = 28800.0
    interactive_ttl: float = 60.0  # of sessions
    batch_interactive_ttl: float = 1.0  # 1 s and 60 s are both seen on batches: the less favourable one
    why_wait: str = "no wait in the queue"

    def __post_init__(self) -> None:
        for name in (
            "queue_wait",
            "preparation",
            "preparation_circuit",
            "max_ttl",
            "interactive_ttl",
            "batch_interactive_ttl",
        ):
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise ArgumentError(f"{name}={value!r}: give finite seconds, 0 or more")
        if self.per_minute <= 0 or self.burst < 1 or self.lanes < 1:
            raise ArgumentError(
                f"per_minute={self.per_minute}, burst={self.burst}, lanes={self.lanes}: at least 1 each"
            )


def conditions(pending: int | None = None, queue_wait: float | None = None, **given: Any) -> Conditions:
    """Conditions with the wait given, or estimated from the backend's pending jobs; `why_wait` says which."""
    if queue_wait is not None:
        return Conditions(queue_wait=queue_wait, why_wait=f"a wait of {queue_wait:g} s in the queue, as given", **given)
    if pending is None:
        return Conditions(why_wait="an empty queue (the backend does not tell its pending jobs)", **given)
    wait = pending * SECONDS_PER_PENDING_JOB
    why = f"{pending} pending jobs × {SECONDS_PER_PENDING_JOB:g} s each, our assumption: {wait:g} s in the queue"
    return Conditions(queue_wait=wait, why_wait=why, **given)


@dataclass(frozen=True, slots=True)
class Bar:
    """One job on the time line. A time is None if it never came to that."""

    job: int
    iteration: int
    lane: int | None
    submitted: float
    started: float | None
    prepared: float | None  # from here to `qpu_start` it waits for the QPU
    qpu_start: float | None
    qpu_end: float | None
    ended: float | None
    state: str  # "completed", "failed"
    why: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """One job as the forecast needs it: seconds on the QPU, and circuits to prepare."""

    qpu: float
    circuits: float = 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """One mode's course, in seconds.

    `usage` is billed for all of the work. Jobs that fail in the forecast are in it with what they would use
    (`undone`): the work is still to be done. `idle` is billed without any job running (sessions only).
    """

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
    undone: float = 0.0

    @property
    def qpu_wait(self) -> float:
        """How long a prepared job waits for the QPU, in the mean over the bars."""
        waits = [b.qpu_start - b.prepared for b in self.bars if b.qpu_start is not None and b.prepared is not None]
        return sum(waits) / len(waits) if waits and max(waits) >= 1 else 0.0

    @property
    def billed(self) -> float:
        """What is billed in this course of events: without the work that fails."""
        return self.usage - self.undone

    def __str__(self) -> str:
        last = "no result" if self.last_result is None else f"last result after {self.last_result:.0f} s"
        idle = f", {self.idle:.0f} s of it idle" if self.idle else ""
        undone = f", {self.undone:.0f} s of it undone: {self.failed} jobs fail" if self.failed else ""
        return f"{self.mode}: {last}, ≈ {self.usage:.0f} s of usage{idle}{undone}"


@dataclass(slots=True)
class _Course:
    """One run of the scheduler and what was submitted to it."""

    scheduler: Scheduler
    workload: str | None
    jobs: list[tuple[Job, int]] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)  # when each submission went out


def forecast(
    jobs: Sequence[float | Load],
    mode: Mode,
    given: Conditions | None = None,
    *,
    iterations: int = 1,
    classical: float = 0.0,
    before: Sequence[float | Load] = (),
    keep_bars: int = 500,
) -> Forecast:
    """How a workload would go in one mode.

    Args:
        jobs: QPU seconds of each job (of each iteration), or its `Load`.
        mode: "job", "batch" or "session".
        given: conditions; the defaults if left out.
        iterations: how often the jobs are run, each time after the results of the last.
        classical: seconds of the user's own work between iterations.
        before: jobs that run once and are waited for before all others, such as learning the noise.
        keep_bars: how many jobs are kept for the time line.

    The workload is closed as soon as its last result is there; a session that is left open is billed on.

    Raises:
        ValueError: no jobs, or durations that are not finite and non-negative.
    """
    given = given or Conditions()
    if not jobs or iterations < 1 or not 0 <= classical < math.inf:
        raise ArgumentError(f"{len(jobs)} jobs, {iterations} iterations, classical={classical}: at least one of each")
    loads, first = _loads(jobs), _loads(before)
    course = _open(mode, given)
    start = 0.0
    if first:
        start = _iteration(course, first, -1, start, given)
    for iteration in range(iterations):
        start = _iteration(course, loads, iteration, start, given) + classical
    return _close(course, mode, given, keep_bars, start - classical)


def _loads(jobs: Sequence[float | Load]) -> list[Load]:
    found = [job if isinstance(job, Load) else Load(job) for job in jobs]
    if bad := [job.qpu for job in found if not 0 <= job.qpu < math.inf]:
        raise ArgumentError(f"a job of {bad[0]} s: give finite seconds, 0 or more")
    return found


def _iteration(course: _Course, loads: Sequence[Load], iteration: int, start: float, given: Conditions) -> float:
    """Submit the jobs of one iteration; when the last of them has ended."""
    submitted = _submit(course, loads, iteration, start, given)
    course.happened += course.scheduler.drain()
    ends = [job.ended for job in submitted if job.ended is not None]
    return max([*ends, start])


def compare_modes(
    jobs: Sequence[float | Load],
    given: Conditions | None = None,
    *,
    iterations: int = 1,
    classical: float = 0.0,
    before: Sequence[float | Load] = (),
) -> dict[Mode, Forecast]:
    """The three modes on the same jobs."""
    return {
        mode: forecast(jobs, mode, given, iterations=iterations, classical=classical, before=before) for mode in MODES
    }


@dataclass(frozen=True, slots=True)
class Bill:
    """What a mode is billed for all of the work, in seconds. Of a session that is its clock."""

    low: float
    expected: float
    high: float


def bill(
    course: Forecast,
    low: Sequence[Load],
    high: Sequence[Load],
    given: Conditions,
    *,
    iterations: int = 1,
    classical: float = 0.0,
    before: tuple[Sequence[Load], Sequence[Load]] = ((), ()),
) -> Bill:
    """The bill of a forecast, with its interval from the jobs' low and high ends (and those of the jobs `before`)."""
    ends = []
    for loads, first in zip((low, high), before, strict=True):
        if course.mode == "session":
            end = forecast(loads, "session", given, iterations=iterations, classical=classical, before=first,
                           keep_bars=0).usage  # fmt: skip
        else:
            end = sum(job.qpu for job in first) + iterations * sum(job.qpu for job in loads)
        ends.append(end)
    return Bill(min(math.floor(ends[0]), course.usage), course.usage, max(math.ceil(ends[1]), course.usage))


def _open(mode: Mode, given: Conditions) -> _Course:
    ttl = given.batch_interactive_ttl if mode == "batch" else given.interactive_ttl
    rules = Rules(lanes=given.lanes, queue_wait=given.queue_wait, max_ttl=given.max_ttl, interactive_ttl=ttl)
    scheduler = Scheduler(rules)
    if mode == "job":
        return _Course(scheduler, None)
    scheduler.open(0.0, "w", mode)
    return _Course(scheduler, "w")


def _submit(course: _Course, loads: Sequence[Load], iteration: int, start: float, given: Conditions) -> list[Job]:
    """Submit one iteration's jobs, no faster than the service takes them, iterations before it included."""
    window = 60.0 * given.burst / given.per_minute
    sent = course.sent
    out: list[Job] = []
    for load in loads:
        at = max(start, sent[-1]) if sent else start
        if len(sent) >= given.burst:
            at = max(at, sent[-given.burst] + window)
        sent.append(at)
        name = f"{iteration}.{len(out)}"
        prep = given.preparation + given.preparation_circuit * load.circuits
        job = course.scheduler.submit(at, name, course.workload, prep=prep, qpu=load.qpu)
        course.jobs.append((job, iteration))
        out.append(job)
    return out


def _close(course: _Course, mode: Mode, given: Conditions, keep: int, end: float) -> Forecast:
    scheduler = course.scheduler
    done = [job for job, _ in course.jobs if job.stage is Stage.COMPLETED and job.ended is not None]
    ends = [job.ended for job in done if job.ended is not None]
    undone = sum(job.bill for job, _ in course.jobs if job.stage is not Stage.COMPLETED)
    if course.workload is None:
        billed, idle = sum(job.billed for job, _ in course.jobs), 0.0
    else:
        workload = scheduler.workloads[course.workload]
        at = max(scheduler.now, end)
        billed, idle = workload.usage(at), workload.idle_seconds(at) if mode == "session" else 0.0
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
        billed + undone,
        idle,
        len(lanes),
        len(done),
        len(course.jobs) - len(done),
        hits,
        max(0, activations - 1),
        bars,
        _assumed(mode, given),
        undone,
    )


def _assumed(mode: Mode, given: Conditions) -> tuple[str, ...]:
    notes: Iterable[str] = (
        given.why_wait,
        f"{given.preparation:g} s of classical preparation a job and {given.preparation_circuit:g} s a circuit, "
        f"{given.lanes} lanes",
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
        job.prep_end,
        job.qpu_start,
        job.qpu_end,
        job.ended,
        job.stage.value,
        job.why,
    )
