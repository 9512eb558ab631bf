"""The service's limits, and what it would refuse or cut off because of them, found before anything is sent.

The limits come first, then the findings (each with its figure, the limit and a remedy), then how a circuit's gates,
control instructions and bytes are counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..model.partition import Partition, Piece
from ..model.snapshot import Mode
from ..model.timing import REP_DELAY
from .durations import billed, duration
from .forecast import Bill, Conditions, Forecast
from .usage import Jobs, UsageEstimate, fraction
from .work import CONTROL_INSTRUCTIONS, INIT_INSTRUCTIONS, OTHER_INSTRUCTION, PubWork, Work

EXECUTIONS = 10_000_000  # sampler jobs, for the size of their output [job limits; documentation#4938]
INSTRUCTIONS = 26_800_000  # control instructions a qubit and job [job limits; 32 million on an older page]
TWO_QUBIT_GATES, RZ_GATES, SX_GATES = 5_000_000, 30_000_000, 20_000_000  # a circuit [documentation#3630, #3638]
PENDING_ON_OPEN = 3  # pending jobs on the Open Plan; further ones are refused with code 3458
PAYLOAD = 300e6  # bytes; 50 MB until mid-2026 [Qiskit/documentation#5369]
PAYLOAD_OLDER = 50e6
INSTRUCTION_BYTES = 5.0  # of one instruction: 1.3–3.6 bytes of compressed QPY on ISA circuits, in base64
VALUE_BYTES = 4 / 3  # base64 of a parameter value's byte; random values do not compress
LONG_REP_DELAY = 1e-3  # seconds; Nighthawk's default is 4 ms
JOB_SECONDS = 3 * 3600.0  # QPU usage at which the service ends a job [guide: maximum execution time]
OPEN_PLAN_SECONDS = 600.0  # a rolling 28 days, where the instance does not tell
LATE_SHARE = 0.5  # of what is left by late reports: a bill beyond it is worth a warning

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know before submitting. An error would be refused or cut off; a warning might."""

    level: Level
    rule: str
    message: str
    job: int | None = None
    pub: int | None = None

    def __str__(self) -> str:
        where = "" if self.job is None else f"job {self.job}: "
        return f"{self.level}: {where}{self.message}"


def check_limits(
    submissions: Sequence[Jobs],
    *,
    mode: Mode = "batch",
    instance_plan: str | None = None,
    usage_left: float | None = None,
    given: Conditions | None = None,
    expected: Forecast | None = None,
    bills: Mapping[Mode, Bill] | None = None,
    budget: float | None = None,
) -> list[Finding]:
    """All findings about submitting these jobs in this mode, errors first.

    Args:
        submissions: the jobs, each checked against the options of its own submission.
        mode: the mode they would run in.
        instance_plan: the instance's plan, as the catalogue names it ("open", "pay-as-you-go", …).
        usage_left: seconds the instance may still use; for the Open Plan 600 if not given.
        given: what was assumed of the service.
        expected: the forecast of this mode.
        bills: what each mode is billed over all iterations; the sum of the jobs if left out.
        budget: seconds that the user wants to spend at most.
    """
    given = given or Conditions()
    found: list[Finding] = []
    usages = [usage for jobs in submissions for usage in jobs.usages]
    number = 0
    for jobs in submissions:
        for partition, usage in zip(jobs.partitions, jobs.usages, strict=True):
            found += _job(jobs.work, number, partition, usage)
            number += 1
        found += _primitive(jobs.work)
        found += _rep_delay(jobs.work, jobs.usages)
    found += _pace(usages, mode, given)
    bills = bills or {mode: _sum(usages)}
    found += _plan(mode, instance_plan, usage_left, bills, len(usages))
    found += _budget(budget, bills[mode])
    found += _max_ttl(mode, given, expected)
    return sorted(dict.fromkeys(found), key=lambda f: f.level != "error")


def refusals(
    submissions: Sequence[Jobs],
    course: Forecast,
    *,
    instance_plan: str | None = None,
    usage_left: float | None = None,
    given: Conditions | None = None,
    budget: float | None = None,
) -> tuple[Finding, ...]:
    """The errors that depend on the mode and on how the work is cut, of one candidate: what would be refused, why.

    Args:
        submissions: the jobs.
        course: the forecast of the candidate's mode on them.
        instance_plan: as for `check_limits`, as are `usage_left` and `given`.
        usage_left: seconds.
        given: what was assumed of the service.
        budget: seconds that the user wants to spend at most.
    """
    usages = [usage for jobs in submissions for usage in jobs.usages]
    bills = {course.mode: Bill(course.usage, course.usage, course.usage)}
    found = [f for f in _plan(course.mode, instance_plan, usage_left, bills, len(usages)) if f.level == "error"]
    found += _budget(budget, bills[course.mode])
    found += _max_ttl(course.mode, given or Conditions(), course)
    rules: set[str] = set()
    for jobs in submissions:
        for usage in jobs.usages:
            if (late := _too_long(jobs.work, 0, 0, usage)) is not None and late.rule not in rules:
                rules.add(late.rule)
                found.append(late)
    return tuple(found)


def _budget(budget: float | None, bill: Bill) -> list[Finding]:
    if budget is None or bill.expected <= budget + 1e-9:
        return []
    return [
        Finding(
            "error",
            "budget",
            f"≈ {billed(bill.expected)} expected, over the budget of {billed(budget)}: give more, or plan fewer "
            "PUBs or steps",
        )
    ]


def _max_ttl(mode: Mode, given: Conditions, expected: Forecast | None) -> list[Finding]:
    if expected is None or "max TTL" not in expected.hits:
        return []
    return [
        Finding(
            "error",
            "max TTL",
            f"{expected.failed} of {expected.failed + expected.completed} jobs would still be queued when the max TTL "
            f"of {billed(given.max_ttl)} runs out: open the {mode} with a longer max_time where the plan allows it, "
            "split the workload, or run it in job mode",
        )
    ]


def _too_long(work: Work, number: int, pub: int, usage: UsageEstimate) -> Finding | None:
    """A job whose expected usage is more than the service, or its own options, let it use."""
    cap = work.settings.max_execution_time
    if usage.expected > JOB_SECONDS:
        return Finding(
            "error",
            "job time",
            f"≈ {billed(usage.expected)} of QPU usage expected, most of it PUB {pub}'s; the service ends a job after "
            f"{billed(JOB_SECONDS)}: split it",
            number,
            pub,
        )
    if cap is not None and usage.expected > cap:
        return Finding(
            "error",
            "max_execution_time",
            f"{usage.expected:,.0f} s of QPU usage expected, most of it PUB {pub}'s; max_execution_time={cap:g} s "
            "would cut it off: raise it or split the job",
            number,
            pub,
        )
    return None


def is_open_plan(plan: str | None) -> bool:
    """Whether a plan's name means the Open Plan: "open", "Open Plan"."""
    return plan is not None and plan.strip().lower().removesuffix("plan").rstrip(" -_") == "open"


def reported_late(plan: str | None) -> bool:
    """Whether a plan's usage is reported periodically (pay-as-you-go), so that what is left may be less."""
    return plan is not None and "pay" in plan.lower() and "go" in plan.lower()


def _job(work: Work, number: int, partition: Partition, usage: UsageEstimate) -> Iterable[Finding]:
    def weight(piece: Piece) -> float:
        return work.items[piece.pub].executions.expected * fraction(work.items[piece.pub], piece)

    pub = max(partition.pieces, key=weight).pub
    executions = usage.executions
    if work.settings.kind != "estimator" and executions > EXECUTIONS:
        yield Finding(
            "error",
            "executions",
            f"{executions:,.0f} executions, most of them PUB {pub}'s; the service takes {EXECUTIONS:,}: "
            "split it with qmode.partition(...), or lower its shots",
            number,
            pub,
        )
    if (late := _too_long(work, number, pub, usage)) is not None:
        yield late
    if work.settings.fixed_shots and any(piece.shots is not None for piece in partition.pieces):
        yield Finding(
            "error",
            "shots",
            f"part of PUB {pub}'s shots, but twirling.num_randomizations and shots_per_randomization are both set: "
            "every part would run all of them. Leave one of them out, or keep the PUB whole",
            number,
            pub,
        )
    yield from _circuits(work, number, partition)
    if work.settings.same_shots and len({work.items[p.pub].shots for p in partition.pieces}) > 1:
        word = "shots" if work.settings.kind == "sampler" else "precision"
        yield Finding(
            "error",
            "same shots",
            f"PUBs of different {word} in one job, which the client-side primitives refuse: "
            "keep them apart, as qmode.partition(...) does",
            number,
        )


def _circuits(work: Work, number: int, partition: Partition) -> Iterable[Finding]:
    payload = 0.0
    seen: set[int] = set()
    for piece in partition.pieces:
        item = work.items[piece.pub]
        payload += payload_bytes(item, fraction(item, piece))
        for facts in item.facts:
            if id(facts.circuit) in seen:
                continue
            seen.add(id(facts.circuit))
            for name, count, limit in (
                ("two-qubit", facts.two_qubit, TWO_QUBIT_GATES),
                ("rz", facts.rz, RZ_GATES),
                ("sx", facts.sx, SX_GATES),
            ):
                if (gates := count * folds(work)) > limit:
                    yield Finding(
                        "error",
                        "gates",
                        f"PUB {piece.pub}: {gates:,.0f} {name} gates in one circuit"
                        f"{' with its noise factors' * (folds(work) > 1)}, the service takes {limit:,}: shorten it",
                        number,
                        piece.pub,
                    )
    if (over := too_many_instructions(work, partition)) is not None:
        most, pub = over
        yield Finding(
            "error",
            "control instructions",
            f"{most:,.0f} control instructions on one qubit, most of them PUB {pub}'s; the service takes "
            f"{INSTRUCTIONS:,}: put fewer PUBs into a job, or shorten the circuits",
            number,
            pub,
        )
    if payload > PAYLOAD_OLDER:
        level: Level = "error" if payload > PAYLOAD else "warning"
        allowed = PAYLOAD if payload > PAYLOAD else PAYLOAD_OLDER
        pub = max(partition.pieces, key=lambda p: work.items[p.pub].payload).pub
        yield Finding(
            level,
            "payload",
            f"about {payload / 1e6:,.0f} MB of inputs (PUB {pub} has the most parameter values), over "
            f"{allowed / 1e6:,.0f} MB: put fewer parameter sets or circuits into a job",
            number,
            pub,
        )


def _primitive(work: Work) -> Iterable[Finding]:
    s = work.settings
    if s.client_side and s.needs_noise_model and not s.learn_once:
        yield Finding(
            "error",
            "noise model",
            f"{'PEC' if s.pec else 'PEA'} of the client-side Estimator needs "
            "resilience.layer_noise_model: learn it first with NoiseLearnerV3, in the same session",
        )


def _rep_delay(work: Work, usages: Sequence[UsageEstimate]) -> Iterable[Finding]:
    """A backend that waits milliseconds after every shot by default, which is most of the bill."""
    usual = work.timing.rep_delay
    if usual < LONG_REP_DELAY or work.settings.rep_delay is not None:
        return
    executions = sum(u.executions + u.learning_executions for u in usages)
    share = usual * executions / sum(u.expected for u in usages)
    low = None if work.timing.rep_delay_range is None else work.timing.rep_delay_range[0]
    shorter = f"execution.rep_delay={low:g} is the least that it takes" if low else "set execution.rep_delay"
    yield Finding(
        "warning",
        "rep_delay",
        f"{work.timing.backend} waits {usual * 1e3:g} ms after every shot by default, {usual / REP_DELAY:.0f} times a "
        f"Heron's 250 µs: {share:.0%} of this bill; {shorter}",
    )


def _pace(usages: Sequence[UsageEstimate], mode: Mode, given: Conditions) -> Iterable[Finding]:
    jobs = len(usages)
    if jobs <= given.burst:
        return
    gap = 60.0 / given.per_minute
    takes = math.ceil((jobs - given.burst) / given.burst) * gap * given.burst
    yield Finding(
        "warning",
        "submission rate",
        f"{jobs} jobs at {given.per_minute:g} submissions a minute take "
        f"{duration(takes)} to send: fewer, larger jobs start together",
    )
    mean = sum(u.expected for u in usages) / jobs
    ttl = given.batch_interactive_ttl if mode == "batch" else given.interactive_ttl
    if mode != "job" and given.burst * mean + ttl < given.burst * gap:
        yield Finding(
            "warning",
            "trickle",
            f"jobs of about {duration(mean)} end faster than they can be sent, and the interactive "
            f"TTL is {ttl:g} s: the {mode} goes inactive on the way and queues again each time; make jobs of at least "
            f"{gap:.0f} s",
        )


def _sum(usages: Sequence[UsageEstimate]) -> Bill:
    return Bill(sum(u.low for u in usages), sum(u.expected for u in usages), sum(u.high for u in usages))


def _plan(mode: Mode, plan: str | None, left: float | None, bills: Mapping[Mode, Bill], jobs: int) -> Iterable[Finding]:
    open_plan = is_open_plan(plan)
    if open_plan and mode == "session":
        yield Finding(
            "error",
            "open plan",
            "the Open Plan has no sessions (the service answers 400, code 1352): use a batch, or "
            "an instance of another plan",
        )
    if open_plan and jobs > PENDING_ON_OPEN and mode != "session":
        yield Finding(
            "error",
            "pending jobs",
            f"{jobs} jobs at once; the Open Plan takes {PENDING_ON_OPEN} pending ones (further ones are refused, code "
            f"3458): combine them into {PENDING_ON_OPEN}, or submit the next when one has ended",
        )
    source = "the instance has left"
    if left is None and open_plan:
        left, source = OPEN_PLAN_SECONDS, "the Open Plan has in 28 days (180 minutes more, once, where asked for)"
    if left is None:
        return
    own = bills[mode]
    word = "on the session's clock" if mode == "session" else "of QPU usage"
    fit = [m for m, b in bills.items() if b.expected <= left and not (open_plan and m == "session")]
    if own.expected > left:
        other = f"{fit[0]} mode (≈ {billed(bills[fit[0]].expected)}) fits; otherwise " if fit else ""
        yield Finding(
            "error",
            "usage left",
            f"≈ {billed(own.expected)} {word} expected, {left:,.0f} s are what {source}: {other}lower the shots, or "
            "split the workload over time",
        )
    elif own.high > left:
        yield Finding(
            "warning",
            "usage left",
            f"up to {billed(own.high)} {word} possible (≈ {own.expected:,.0f} s expected), {left:,.0f} s are what "
            f"{source}",
        )
    elif reported_late(plan) and own.high > LATE_SHARE * left:
        yield Finding(
            "warning",
            "usage left",
            f"up to {billed(own.high)} {word} possible, {left:,.0f} s are what {source} by what is reported: "
            "pay-as-you-go usage is reported with a delay, so a limit can be overshot",
        )


def folds(work: Work) -> float:
    """How many times gate folding repeats a circuit's gates: the sum of the noise factors [guide: job limits]."""
    s = work.settings
    return sum(s.noise_factors) if s.noise_factors and not s.pea else 1.0


def control_instructions(work: Work, item: PubWork) -> float:
    """A bound from above on the control instructions a PUB puts on any one qubit."""
    return sum(f.weight + INIT_INSTRUCTIONS for f in item.facts) * folds(work)


def payload_bytes(item: PubWork, part: float = 1.0) -> float:
    """About how many bytes a PUB, or a part of its parameter sets, adds to a job's inputs."""
    return item.payload * VALUE_BYTES * part + sum(f.size for f in item.facts) * INSTRUCTION_BYTES


def too_many_instructions(work: Work, partition: Partition) -> tuple[float, int] | None:
    """Control instructions of a job on its busiest qubit and the PUB with most of them, if there are too many.

    A PUB's circuit is loaded once, its parameter values at run time. Only where the bounds do not settle it are the
    circuits counted qubit by qubit.
    """
    if sum(control_instructions(work, work.items[p.pub]) for p in partition.pieces) <= INSTRUCTIONS:
        return None
    most, pub = busiest_qubit(work, partition.pieces)
    return (most, pub) if most > INSTRUCTIONS else None


def busiest_qubit(work: Work, pieces: Iterable[Piece]) -> tuple[float, int]:
    """Control instructions of these pieces' circuits on their busiest qubit, and the PUB with most of them."""
    times = folds(work)
    qubits: dict[int, float] = {}
    most, pub = 0.0, 0
    for piece in pieces:
        for facts in work.items[piece.pub].facts:
            key = id(facts.circuit)
            if key not in work.per_qubit:
                work.per_qubit[key] = count_per_qubit(facts.circuit)
            counts = work.per_qubit[key]
            for qubit, n in counts.items():
                qubits[qubit] = qubits.get(qubit, 0.0) + n * times
            if (own := max(counts.values(), default=0) * times) > most:
                most, pub = own, piece.pub
    return max(qubits.values(), default=0.0), pub


def count_per_qubit(circuit: Any) -> dict[int, int]:
    """Control instructions on each qubit of a circuit, all blocks of its control flow included."""
    counts = dict.fromkeys(range(circuit.num_qubits), INIT_INSTRUCTIONS)
    _add(circuit, range(circuit.num_qubits), counts)
    return counts


def _add(circuit: Any, qubits: Iterable[int], counts: dict[int, int]) -> None:
    index = dict(zip(circuit.qubits, qubits, strict=True))
    for instruction in circuit.data:
        op = instruction.operation
        on = [index[q] for q in instruction.qubits]
        for block in getattr(op, "blocks", None) or ():
            _add(block, on, counts)
        if getattr(op, "blocks", None) or op.name == "barrier":
            continue
        for qubit in on:
            counts[qubit] += CONTROL_INSTRUCTIONS.get(op.name, OTHER_INSTRUCTION)
