"""What the service would refuse or cut off, found before anything is sent. Each finding has figure, limit, remedy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..model.partition import Partition, Piece
from ..model.snapshot import Mode
from .bounds import (
    EXECUTIONS,
    EXECUTIONS_OLDER,
    INSTRUCTIONS,
    JOB_SECONDS,
    OPEN_PLAN_SECONDS,
    PAYLOAD,
    PAYLOAD_OLDER,
    TWO_QUBIT_GATES,
    folds,
    payload_bytes,
    too_many_instructions,
)
from .forecast import Conditions, Forecast
from .usage import UsageEstimate, fraction
from .work import Work

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
    work: Work,
    partitions: Sequence[Partition],
    usages: Sequence[UsageEstimate],
    *,
    mode: Mode = "batch",
    instance_plan: str | None = None,
    usage_left: float | None = None,
    given: Conditions | None = None,
    expected: Forecast | None = None,
) -> list[Finding]:
    """Everything that speaks against submitting these partitions in this mode, errors first.

    Args:
        work: the analysed PUBs.
        partitions: the jobs.
        usages: their estimates.
        mode: the mode they would run in.
        instance_plan: the instance's plan, as the catalogue names it ("open", "pay-as-you-go", …).
        usage_left: seconds the instance may still use; for the Open Plan 600 if not given.
        given: what was assumed of the service.
        expected: the forecast of this mode.
    """
    given = given or Conditions()
    found: list[Finding] = []
    total = 0.0
    highest = 0.0
    for number, (partition, usage) in enumerate(zip(partitions, usages, strict=True)):
        total, highest = total + usage.expected, highest + usage.high
        found += _job(work, number, partition, usage)
    found += _primitive(work)
    found += _pace(usages, mode, given)
    found += _plan(mode, instance_plan, usage_left, total, highest)
    if expected is not None and "max TTL" in expected.hits:
        found.append(
            Finding(
                "error",
                "max TTL",
                f"{expected.failed} of {expected.failed + expected.completed} jobs would still be queued when the max "
                f"TTL of {given.max_ttl:g} s runs out: open the {mode} with a longer max_time where the plan allows "
                "it, split the workload, or run it in job mode",
            )
        )
    return sorted(found, key=lambda f: f.level != "error")


def is_open_plan(plan: str | None) -> bool:
    """Whether a plan's name means the Open Plan: "open", "Open Plan"."""
    return plan is not None and plan.strip().lower().removesuffix("plan").rstrip(" -_") == "open"


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
    elif work.settings.kind != "estimator" and executions > EXECUTIONS_OLDER:
        yield Finding(
            "warning",
            "executions",
            f"{executions:,.0f} executions, most of them PUB {pub}'s: IBM's pages name both {EXECUTIONS_OLDER:,} and "
            f"{EXECUTIONS:,} as the limit; {EXECUTIONS_OLDER:,} are safe",
            number,
            pub,
        )
    cap = work.settings.max_execution_time
    if usage.expected > JOB_SECONDS:
        yield Finding(
            "error",
            "job time",
            f"{usage.expected:,.0f} s of QPU usage expected, most of it PUB {pub}'s; the service "
            f"ends a job after {JOB_SECONDS:,.0f} s: split it",
            number,
            pub,
        )
    elif cap is not None and usage.expected > cap:
        yield Finding(
            "error",
            "max_execution_time",
            f"{usage.expected:,.0f} s of QPU usage expected, most of it PUB {pub}'s; "
            f"max_execution_time={cap:g} s would cut it off: raise it or split the job",
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
    gates: dict[int, float] = {}
    payload = 0.0
    for piece in partition.pieces:
        item = work.items[piece.pub]
        gates[piece.pub] = sum(f.two_qubit for f in item.facts) * folds(work)
        payload += payload_bytes(item, fraction(item, piece))
    if (total := sum(gates.values())) >= TWO_QUBIT_GATES:
        pub = max(gates, key=lambda p: gates[p])
        yield Finding(
            "warning",
            "two-qubit gates",
            f"{total:,.0f} two-qubit gates (PUB {pub}: {gates[pub]:,.0f}); below {TWO_QUBIT_GATES:,} a job always "
            "passes validation, above it depends on the options: put fewer PUBs into a job, or try "
            "run(..., dry_run=True)",
            number,
            pub,
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
        limit = PAYLOAD if payload > PAYLOAD else PAYLOAD_OLDER
        pub = max(partition.pieces, key=lambda p: work.items[p.pub].payload).pub
        yield Finding(
            level,
            "payload",
            f"about {payload / 1e6:,.0f} MB of inputs (PUB {pub} has the most parameter values), over "
            f"{limit / 1e6:,.0f} MB: put fewer parameter sets or circuits into a job",
            number,
            pub,
        )


def _primitive(work: Work) -> Iterable[Finding]:
    s = work.settings
    if s.client_side and (s.pec or s.pea) and s.layer_noise_model is None:
        yield Finding(
            "error",
            "noise model",
            f"{'PEC' if s.pec else 'PEA'} of the client-side Estimator needs "
            "resilience.layer_noise_model: learn it first with NoiseLearnerV3, in the same session",
        )


def _pace(usages: Sequence[UsageEstimate], mode: Mode, given: Conditions) -> Iterable[Finding]:
    jobs = len(usages)
    if jobs <= given.burst:
        return
    gap = 60.0 / given.per_minute
    yield Finding(
        "warning",
        "submission rate",
        f"{jobs} jobs at {given.per_minute:g} submissions a minute take "
        f"{math.ceil((jobs - given.burst) / given.burst) * gap * given.burst:,.0f} s to send: fewer, larger jobs start "
        "together",
    )
    mean = sum(u.expected for u in usages) / jobs
    ttl = given.batch_interactive_ttl if mode == "batch" else given.interactive_ttl
    if mode != "job" and given.burst * mean + ttl < given.burst * gap:
        yield Finding(
            "warning",
            "trickle",
            f"jobs of about {mean:.3g} s end faster than they can be sent, and the interactive "
            f"TTL is {ttl:g} s: the {mode} goes inactive on the way and queues again each time; make jobs of at least "
            f"{gap:.0f} s",
        )


def _plan(mode: Mode, plan: str | None, left: float | None, expected: float, highest: float) -> Iterable[Finding]:
    open_plan = is_open_plan(plan)
    if open_plan and mode == "session":
        yield Finding(
            "error",
            "open plan",
            "the Open Plan has no sessions (the service answers 400, code 1352): use a batch, or "
            "an instance of another plan",
        )
    source = "the instance has left"
    if left is None and open_plan:
        left, source = OPEN_PLAN_SECONDS, "the Open Plan has in 28 days"
    if left is None:
        return
    if expected > left:
        yield Finding(
            "error",
            "usage left",
            f"{expected:,.0f} s of QPU usage expected, {left:,.0f} s are what {source}: "
            "lower the shots, or split the workload over time",
        )
    elif highest > left:
        yield Finding(
            "warning",
            "usage left",
            f"up to {highest:,.0f} s of QPU usage possible (expected {expected:,.0f} s), "
            f"{left:,.0f} s are what {source}",
        )
