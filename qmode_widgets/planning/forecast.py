"""What would happen in each mode: the service's scheduling rules in virtual time, on the same jobs.

Times are seconds from the moment of submission. The rules are those of `model/scheduler.py`. What they need and the
service does not tell (the wait in the queue, the classical preparation) is an input with a stated default.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

from ..errors import ArgumentError
from ..model.scheduler import Happened, Job, Rules, Scheduler, Stage, What
from ..model.snapshot import Mode

# Classical work of a job (validate, compile, load). Jobs that were `running` beyond their bill [tests/data/README.md]:
# 81 Sampler jobs, medians 1.3 s (1–2 circuits), 1.9 s (3–10), 5.7 s (11–30), 22 s (31–290), at most 203 s; 14 Estimator
# jobs 3.5 to 20 s, two of them 121 and 184 s.
PREPARATION = 1.1  # seconds a job
PREPARATION_CIRCUIT = 0.2  # seconds more a circuit: with the former 1.4, 2.3, 5.1 s for 1.5, 6, 20 circuits
PREPARATION_MOST = 22.0  # the median of the largest jobs: more circuits are not told to take longer
PREPARATION_ESTIMATOR = 6.0  # seconds more of an Estimator's job: towards the middle of 3.5 to 20 s
PREPARATION_SPREAD = (0.5, 3.0)  # low and high end, as factors: most of what was measured
STEP_SPREAD = (0.5, 2.0)  # of the user's own work between steps, where it is not given
GIVEN_SPREAD = (0.8, 1.25)  # of either where it is given
PER_MINUTE = 5  # submissions a user may make [SERVICE: POST /jobs]
SECONDS_PER_PENDING_JOB = 30.0  # what another user's job takes on average, for a queue known by its length only
OPEN_PLAN_MAX_TTL = 600.0  # seconds a batch lives on the Open Plan, as seen there
LANES_NOTE = "A forecast knows neither other users' jobs nor calibrations in between."
MODES: tuple[Mode, ...] = ("job", "batch", "session")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a forecast assumes of the service; every figure can be set.

    `queue_wait` is what one passage through the queue takes; `queue_wait_high` its upper end, where the service tells
    one. A job's classical preparation is `preparation` and `preparation_circuit` for each of its circuits after
    broadcasting, at most `preparation_most`, and `preparation_estimator` more for an Estimator; `preparation_spread`
    holds the factors of its low and high end. `burst` submissions go out at once, further ones at `per_minute`.
    """

    queue_wait: float = 0.0
    lanes: int = 5
    preparation: float = PREPARATION
    preparation_circuit: float = PREPARATION_CIRCUIT
    preparation_most: float = PREPARATION_MOST
    preparation_estimator: float = PREPARATION_ESTIMATOR
    preparation_spread: tuple[float, float] = PREPARATION_SPREAD
    per_minute: float = PER_MINUTE
    burst: int = PER_MINUTE
    max_ttl: float = 28800.0
    interactive_ttl: float = 60.0  # of sessions
    batch_interactive_ttl: float = 1.0  # 1 s and 60 s are both seen on batches: the less favourable one
    why_wait: str = "no wait in the queue"
    queue_wait_high: float | None = None

    def __post_init__(self) -> None:
        for name in (
            "queue_wait",
            "preparation",
            "preparation_circuit",
            "preparation_most",
            "preparation_estimator",
            "max_ttl",
            "interactive_ttl",
            "batch_interactive_ttl",
        ):
            value = getattr(self, name)
            if not _number(value) or not 0 <= value < math.inf:
                raise ArgumentError(f"{name}={value!r}: give finite seconds, 0 or more")
        for name in ("lanes", "burst", "per_minute"):
            value = getattr(self, name)
            whole = name == "per_minute" or (_number(value) and float(value).is_integer())
            if not _number(value) or not 0 < value < math.inf or not whole or (name != "per_minute" and value < 1):
                kind = "a number above 0" if name == "per_minute" else "a whole number of at least 1"
                raise ArgumentError(f"{name}={value!r}: give {kind}")

    def prepares(self, load: Load) -> float:
        """Seconds of classical preparation of a job."""
        own = min(self.preparation + self.preparation_circuit * load.circuits, self.preparation_most)
        return max(own, self.preparation) + (self.preparation_estimator if load.estimator else 0.0)

    def spread(self, end: int) -> Conditions:
        """The same conditions with the preparation at its low (0) or high (1) end."""
        factor = self.preparation_spread[end]
        return replace(
            self,
            preparation=self.preparation * factor,
            preparation_circuit=self.preparation_circuit * factor,
            preparation_most=self.preparation_most * factor,
            preparation_estimator=self.preparation_estimator * factor,
        )


def _scalar(value: Any) -> Any:
    """A NumPy scalar as Python's."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Wait:
    """How long jobs waited on a backend before they started, as `GET /backends?fields=wait_time_seconds` tells it."""

    p50: float
    p95: float
    average: float | None = None

    @classmethod
    def of(cls, told: object) -> Wait | None:
        """From the service's object (`average`, `p50`, `p95`); None where it tells none or something else.

        A backend's whole entry, which holds it as `wait_time_seconds`, is taken too.
        """
        if isinstance(told, Mapping) and "wait_time_seconds" in told:
            told = told["wait_time_seconds"]
        if not isinstance(told, Mapping):
            return None
        found = {name: told.get(name) for name in ("p50", "p95", "average")}
        median, high = found["p50"], found["p95"]
        if not (_seconds(median) and _seconds(high)):
            return None
        return cls(float(median), max(float(median), float(high)), found["average"])  # type: ignore[arg-type]


def _seconds(value: object) -> bool:
    return _number(value) and 0 <= value < math.inf  # type: ignore[operator]


def conditions(
    pending: int | None = None,
    queue_wait: float | Mapping[str, Any] | None = None,
    wait: Mapping[str, Any] | None = None,
    **given: Any,
) -> Conditions:
    """Conditions with the wait as given, as the service tells it, or from the pending jobs; `why_wait` says which.

    Args:
        pending: jobs of all users that wait for the backend.
        queue_wait: seconds, or what the service tells (`Wait.of`).
        wait: what the service tells, where nothing is given.
        given: fields of `Conditions`.

    Raises:
        ArgumentError: a condition of another name, or one that makes no sense.
    """
    known = {f.name for f in fields(Conditions)} - {"why_wait", "queue_wait", "queue_wait_high"}
    for name in given:
        if name not in known:
            near = get_close_matches(name, sorted(known), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"conditions are {', '.join(sorted(known))}"
            raise ArgumentError(f"{name}={given[name]!r} is not known here: {hint}")
    if "preparation" in given:
        given.setdefault("preparation_spread", GIVEN_SPREAD)
        given.setdefault("preparation_estimator", 0.0)
    if "preparation_circuit" in given:
        given.setdefault("preparation_most", math.ldexp(1.0, 40))  # as given: no figure of ours bounds it
    given = {name: _scalar(value) for name, value in given.items()}
    queue_wait = _scalar(queue_wait)
    told = Wait.of(queue_wait if queue_wait is not None else wait)
    if told is not None:
        return Conditions(
            queue_wait=told.p50,
            queue_wait_high=told.p95,
            why_wait=f"{told.p50:g} s in the queue, the median of what the service says jobs waited (5 % waited "
            f"more than {told.p95:g} s)",
            **given,
        )
    if queue_wait is not None:
        if not _seconds(queue_wait):
            raise ArgumentError(
                f"queue_wait={queue_wait!r}: give finite seconds, 0 or more, or the service's wait_time_seconds"
            )
        seconds = float(queue_wait)  # type: ignore[arg-type]
        return Conditions(queue_wait=seconds, why_wait=f"a wait of {seconds:g} s in the queue, as given", **given)
    if pending is None:
        return Conditions(why_wait="an empty queue (the backend does not tell its pending jobs)", **given)
    seconds = pending * SECONDS_PER_PENDING_JOB
    why = f"{pending} pending jobs × {SECONDS_PER_PENDING_JOB:g} s each, our assumption: {seconds:g} s in the queue"
    return Conditions(queue_wait=seconds, why_wait=why, **given)


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
    estimator: bool = False  # an Estimator's job takes longer to prepare


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
    step_spread: tuple[float, float] = GIVEN_SPREAD,
    before: tuple[Sequence[Load], Sequence[Load]] = ((), ()),
) -> Bill:
    """The bill of a forecast, with its interval.

    From the low and high ends of the jobs (and of those `before`); of a session's clock also from those of the user's
    own steps (`classical` × `step_spread`) and of the preparation.
    """
    ends = []
    for end, (loads, first) in enumerate(zip((low, high), before, strict=True)):
        if course.mode != "session":
            ends.append(sum(job.qpu for job in first) + iterations * sum(job.qpu for job in loads))
            continue
        steps = step_spread if end else step_spread[:1]  # a longer step may end in an inactive, cheaper session
        ends += [
            forecast(
                loads,
                "session",
                given.spread(end),
                iterations=iterations,
                classical=classical * step,
                before=first,
                keep_bars=0,
            ).usage
            for step in steps
        ]
    return Bill(min(math.floor(min(ends)), course.usage), course.usage, max(math.ceil(max(ends)), course.usage))


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
        job = course.scheduler.submit(at, name, course.workload, prep=given.prepares(load), qpu=load.qpu)
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
        f"classical preparation of {given.preparation:g} s a job and {given.preparation_circuit:g} s a circuit"
        + (f", at most {given.preparation_most:g} s" if given.preparation_most < 1e6 else "")
        + (f", {given.preparation_estimator:g} s more for an Estimator" if given.preparation_estimator else "")
        + f"; {given.lanes} lanes",
        LANES_NOTE[0].lower() + LANES_NOTE[1:].rstrip("."),
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
