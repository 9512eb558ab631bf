"""What a workload will be billed, in seconds of QPU usage: low, expected, high, and how it comes about.

    expected = Σ over jobs, each in whole seconds rounded up (`model.timing.bill`):
               1.6 s × sub-jobs + (rep_delay + initialisation + circuit length) × executions
               + 2.5 ms × randomised circuits
    low      = 1.4 s a sub-job, without initialisation and without a time for randomised circuits, rounded down
    high     = 2 s × sub-jobs, 100 µs more per execution (IBM's allowance for the circuit), loops and branches at their
               longest, sampling and learning at their upper end, 4 ms a randomised circuit, 5 ms a circuit, rounded up;
               for sampler work never under 2 + 0.00035 × executions; with PEA never under 2.2 × expected

The README beside this file shows what was really billed next to these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ..errors import ArgumentError
from ..model.partition import Partition, Piece
from ..model.timing import (
    OVERHEAD,
    OVERHEAD_HIGH,
    OVERHEAD_LOW,
    RANDOMIZED_HIGH,
    TYPICAL_LENGTH,
    Timing,
    bill,
    quick,
    sub_jobs,
)
from .durations import billed
from .forecast import Load
from .settings import Settings, settings
from .work import Executions, Learning, PubUsage, PubWork, Work, analyse

PEA_HIGH = 2.2  # tutorials state up to so many times what we expect of PEA work [tests/benchmarks/usage_fit.py]
PEA_NOTE = (
    f"PEA: tutorials state 1.3 to 2 times what we expect of it; the high end is {PEA_HIGH:g} times the expected bill"
)
PER_CIRCUIT = 0.005  # seconds a circuit, high end: IBM charges for each [documentation#5091], the rows show no more


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Where the expected seconds go. They add up to `expected`."""

    overhead: float = 0.0  # of each sub-job
    rep_delay: float = 0.0
    initialisation: float = 0.0
    circuit: float = 0.0
    randomized: float = 0.0  # of each randomised circuit of the PUBs
    readout: float = 0.0  # measurement learning (TREX)
    layers: float = 0.0  # noise learning of layers (PEA, PEC)
    calibration: float = 0.0  # what one's own bills add to the work, or take off it
    rounding: float = 0.0  # up to whole seconds, each job

    def __add__(self, other: Breakdown) -> Breakdown:
        return Breakdown(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __mul__(self, times: float) -> Breakdown:
        return Breakdown(*(getattr(self, f.name) * times for f in fields(self)))

    @property
    def learning(self) -> float:
        """Readout and layers together."""
        return self.readout + self.layers

    @property
    def work(self) -> float:
        """All executions, without the overhead of jobs, before calibration and rounding."""
        return self.rep_delay + self.initialisation + self.circuit + self.randomized + self.learning

    @property
    def total(self) -> float:
        """All of it."""
        return self.overhead + self.work + self.calibration + self.rounding


@dataclass(frozen=True, slots=True)
class UsageEstimate:
    """Seconds of QPU usage of one job, or of several. `formula` says in numbers how `expected` comes about."""

    low: float
    expected: float
    high: float
    breakdown: Breakdown
    executions: float  # of the PUBs
    learning_executions: float
    jobs: int
    quick: float  # IBM's quick formula, for comparison
    formula: str
    pubs: tuple[PubUsage, ...] = ()
    assumed: tuple[str, ...] = ()

    @property
    def configurations(self) -> float:
        """Circuits after broadcasting, of one run of these jobs."""
        return sum(pub.configurations * pub.part for pub in self.pubs)

    def __str__(self) -> str:
        return f"≈ {billed(self.expected)} of QPU usage ({self.low:,.0f}–{self.high:,.0f} s): {self.formula}"

    def cost(self, price_per_minute: float) -> tuple[float, float, float]:
        """Low, expected and high in the currency of the price; nothing is assumed about prices."""
        per = price_per_minute / 60
        return self.low * per, self.expected * per, self.high * per


def estimate_usage(
    pubs: Iterable[Any],
    backend: Any,
    primitive: Any = "sampler",
    options: Any = None,
    shots: int | None = None,
    *,
    precision: float | None = None,
) -> UsageEstimate:
    """What one job of these PUBs will be billed, in seconds of QPU usage.

    Args:
        pubs: as the primitive takes them; for `"executor"` quantum programs.
        backend: the one the circuits were transpiled for; it must know its instructions' durations.
        primitive: a primitive object, or one of `"sampler"`, `"estimator"`, `"executor_sampler"`,
            `"executor_estimator"`, `"executor"`, `"noise-learner"`.
        options: options object or nested dict; a primitive object's own if left out.
        shots: for PUBs that name none.
        precision: for estimator PUBs that name none.

    Raises:
        ValueError: what is wrong with which PUB, option or backend.
    """
    work = analyse(pubs, backend, settings(primitive, options), shots, precision)
    return job_usage(work, [(item, 1.0) for item in work.items])


@dataclass(frozen=True, slots=True, eq=False)
class Jobs:
    """Analysed PUBs cut into jobs, each with its estimate."""

    work: Work
    partitions: tuple[Partition, ...]
    usages: tuple[UsageEstimate, ...]

    @property
    def loads(self) -> list[Load]:
        """What a forecast needs of each job."""
        return self.loads_at("expected")

    def loads_at(self, end: Literal["low", "expected", "high"]) -> list[Load]:
        """The same with the low or the high end of each job's usage."""
        estimator = self.work.settings.kind == "estimator"
        return [Load(getattr(u, end), u.configurations, estimator) for u in self.usages]

    @classmethod
    def of(cls, work: Work, cuts: Iterable[Partition]) -> Jobs:
        """Estimate the jobs of these cuts; the partitions carry the expected usage and its formula."""
        cuts = tuple(cuts)
        usages = tuple(job_usage(work, shares(work, p)) for p in cuts)
        return cls(work, tuple(priced(p, u) for p, u in zip(cuts, usages, strict=True)), usages)


def priced(partition: Partition, usage: UsageEstimate) -> Partition:
    """A partition with its expected usage, the formula and the low end."""
    return replace(partition, expected=usage.expected, formula=usage.formula, low=usage.low)


def shares(work: Work, partition: Partition) -> list[tuple[PubWork, float]]:
    """The PUBs of a job, and which fraction of each PUB's executions it carries."""
    return [(work.items[p.pub], fraction(work.items[p.pub], p)) for p in partition.pieces]


def fraction(item: PubWork, piece: Piece) -> float:
    """Which part of a PUB's executions a piece carries."""
    part = 1.0 if piece.sets is None else piece.sets / item.sets
    return part if piece.shots is None else part * piece.shots / item.shots


def pub_usage(work: Work, item: PubWork, part: float = 1.0) -> PubUsage:
    """One PUB's share, or a part of it."""
    if part == 1.0 and (known := work.usage.get(item.index)) is not None:
        return known
    count = item.executions * part
    expected = (work.per_execution + item.length) * count.expected + work.timing.randomized * item.randomized * part
    usage = PubUsage(
        item.index,
        (work.rep_delay + item.length - item.shorter) * count.low,
        expected,
        max(
            expected,
            high_execution(work, item.length + item.varies) * count.high + RANDOMIZED_HIGH * item.randomized * part,
        ),
        item.configurations,
        count.expected,
        item.length,
        part,
    )
    if part == 1.0:
        work.usage[item.index] = usage
    return usage


def high_execution(work: Work, length: float) -> float:
    """Upper end of one execution: IBM's 100 µs for a circuit come on top of the repetition delay and the length."""
    return work.rep_delay + length + max(TYPICAL_LENGTH, work.initialisation)


def learning_job(work: Work, chosen: Settings | None = None) -> UsageEstimate | None:
    """The job that learns the noise of all layers once, where the options (the work's own) say so, or None."""
    work = work if chosen is None else replace(work, settings=chosen)
    learning = work.learning_once()
    return job_usage(work, [], [learning]) if learning is not None else None


def job_usage(
    work: Work, parts: Sequence[tuple[PubWork, float]], learning: Sequence[Learning] | None = None
) -> UsageEstimate:
    """What one job will be billed; `learning` where it is known better than from the options."""
    pubs = tuple(pub_usage(work, item, part) for item, part in parts)
    if learning is None:
        learning = work.learning([item for item, _ in parts])
    executions = sum(p.executions for p in pubs)
    upper = sum(item.executions.high * part for item, part in parts)
    circuit = sum(p.executions * p.length for p in pubs)
    randomized = sum(item.randomized * part for item, part in parts)
    readout, layers = (
        sum(
            (work.per_execution + part.length) * part.executions.expected
            + work.timing.randomized * part.randomized.expected
            for part in learning
            if part.layers is of
        )
        for of in (False, True)
    )
    count = sub_jobs(executions)
    breakdown = Breakdown(
        OVERHEAD * count,
        work.rep_delay * executions,
        work.initialisation * executions,
        circuit,
        work.timing.randomized * randomized,
        readout,
        layers,
    )
    breakdown = replace(breakdown, calibration=(work.factor - 1) * breakdown.work)
    seconds = breakdown.work + breakdown.calibration  # all but the overhead
    breakdown = replace(breakdown, rounding=bill(seconds, count) - breakdown.total)
    low = sum(p.low for p in pubs)
    low += sum((work.rep_delay + part.length) * part.executions.low for part in learning)
    low = OVERHEAD_LOW * count + low * min(1.0, work.factor)
    high = sum(p.high for p in pubs)
    high += PER_CIRCUIT * sum(item.configurations * part for item, part in parts)
    high += sum(
        high_execution(work, part.length) * part.executions.high + RANDOMIZED_HIGH * part.randomized.high
        for part in learning
    )
    high = OVERHEAD_HIGH * sub_jobs(upper) + high * max(1.0, work.factor)
    return _estimate(work, low, breakdown, high, executions, learning, count, pubs)


def _estimate(
    work: Work,
    low: float,
    breakdown: Breakdown,
    high: float,
    executions: float,
    learning: Sequence[Learning],
    parts: int,
    pubs: tuple[PubUsage, ...],
) -> UsageEstimate:
    learned = sum(part.executions.expected for part in learning)
    if work.settings.plain:
        high = max(high, quick(executions))
    assumed = work.assumed
    if work.settings.pea:
        high = max(high, PEA_HIGH * breakdown.total)
        assumed = (*assumed, PEA_NOTE)
    return UsageEstimate(
        math.floor(low),
        breakdown.total,
        math.ceil(high),
        breakdown,
        executions,
        learned,
        1,
        quick(executions + learned),
        formula(breakdown, executions, learned, parts),
        pubs,
        assumed,
    )


def formula(breakdown: Breakdown, executions: float, learned: float, parts: int, jobs: int = 1) -> str:
    """How an expectation comes about, in words and numbers; of several jobs, the means."""

    def mean(seconds: float) -> str:
        """Microseconds an execution."""
        each = 1e6 * seconds / executions if executions else 0.0
        return f"{each:,.0f}" if each >= 100 else f"{each:.3g}"

    heads = f"{OVERHEAD} s × {parts} sub-job{'s' * (parts != 1)}"
    if jobs > 1:
        heads = f"{OVERHEAD} s × {parts} ({jobs} jobs)"
    text = (
        f"{heads} + ({mean(breakdown.rep_delay)} µs rep_delay + {mean(breakdown.initialisation)} µs initialisation + "
        f"{mean(breakdown.circuit)} µs circuit) × {executions:,.0f} executions"
    )
    text += f" + {breakdown.randomized:,.1f} s for randomised circuits" if breakdown.randomized else ""
    text += f" + {breakdown.learning:,.1f} s for {learned:,.0f} learning executions" if learned else ""
    if breakdown.calibration:
        text += f" {breakdown.calibration:+,.1f} s by your own bills"
    return f"{text}, {'each job ' * (jobs > 1)}rounded up to whole seconds"


def total(jobs: Sequence[UsageEstimate], times: int = 1) -> UsageEstimate:
    """The sum of several jobs' estimates, all of them run `times` times."""
    breakdown = Breakdown()
    for job in jobs:
        breakdown += job.breakdown
    breakdown *= times
    executions, learned = times * sum(j.executions for j in jobs), times * sum(j.learning_executions for j in jobs)
    parts = round(breakdown.overhead / OVERHEAD)
    count = times * len(jobs)
    return UsageEstimate(
        times * sum(j.low for j in jobs),
        times * sum(j.expected for j in jobs),
        times * sum(j.high for j in jobs),
        breakdown,
        executions,
        learned,
        count,
        quick(executions + learned, count),
        formula(breakdown, executions, learned, parts, count),
        tuple(pub for job in jobs for pub in job.pubs),
        tuple(dict.fromkeys(note for job in jobs for note in job.assumed)),
    )


def counted_usage(
    backend: Any,
    executions: float,
    *,
    learning_executions: float = 0.0,
    jobs: int = 1,
    length: float | None = None,
    depth: float = 0.0,
    delay: float = 0.0,
    rep_delay: float | None = None,
    randomized: float = 0.0,
    primitive: str = "sampler",
) -> UsageEstimate:
    """The same estimate where only counts are known, not circuits (a log, a paper, a plan on a napkin).

    Args:
        backend: a backend of the same family; its durations, resets and default `rep_delay` are used.
        executions: circuits after broadcasting × shots, over all jobs.
        learning_executions: what measurement or noise learning adds, over all jobs.
        jobs: over how many jobs.
        length: of a circuit in seconds; if left out, from `depth` and `delay` and one measurement.
        depth: layers of the ISA circuit, of `Timing.typical_layer` each; the interval allows for a two-qubit gate in
            every third to every sixth layer.
        delay: seconds of delays in a circuit.
        rep_delay: seconds, where not the backend's default.
        randomized: randomised circuits (randomisations × circuits, those of learning included), over all jobs.
        primitive: decides whether IBM's quick formula bounds `high`.

    Raises:
        ValueError: counts below 0, or a backend without durations.
    """
    if not (math.isfinite(executions) and executions >= 0 and learning_executions >= 0 and jobs >= 1):
        given = f"executions={executions}, learning_executions={learning_executions}, jobs={jobs}"
        raise ArgumentError(f"{given}: executions are 0 or more, jobs at least 1")
    timing = Timing.of(backend)
    chosen = settings(primitive, {"resilience_level": 0} if "estimator" in primitive else None)
    repeat = timing.rep_delay if rep_delay is None else rep_delay
    work = Work(chosen, timing, backend, [], [], repeat, timing.assumed)
    seconds = timing.measure + delay + depth * timing.typical_layer()
    layers = depth * timing.dressed_layer()
    longer, shorter = layers * (1 / 3 - 1 / 5), layers * (1 / 5 - 1 / 6)
    if length is not None:
        seconds, longer, shorter = length, 0.0, 0.0
    each = Executions.exactly(executions / jobs)
    per_job = PubWork(
        0, (), 1, executions / jobs, each, seconds, varies=longer, shorter=shorter, randomized=randomized / jobs
    )
    learned = Learning("learning", Executions.exactly(learning_executions / jobs), timing.measure)
    job = job_usage(work, [(per_job, 1.0)], [learned] if learning_executions else [])
    return total([job], times=jobs)
