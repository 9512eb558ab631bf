"""Where the seconds run out: in which step, job and PUB; what would fit; what failures cost; what a cap would cut off.

Everything here compares expectations with a limit. Nothing is asked of the service.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from ..errors import ArgumentError
from ..model.partition import Partition
from .durations import billed, duration
from .usage import Jobs

LOW_END = 0.8  # of an estimate whose low end is not known: nine of ten bills are within 0.8 to 1.25 of it
REFUSED = 2.0  # seconds: a job that is refused after it has queued is mostly billed so (58 of 68 in one record)


@dataclass(frozen=True, slots=True)
class RunsOut:
    """Where an expected usage passes a limit; steps, jobs and PUBs count from 0."""

    limit: float
    what: str  # the limit's name: "what is left", "the budget"
    job: int
    jobs: int
    pub: int
    step: int
    steps: int

    def __str__(self) -> str:
        where = f"in PUB {self.pub}"
        if self.jobs > 1:
            where = f"in job {self.job} of {self.jobs} ({where[3:]})"
        if self.steps > 1:
            where = f"in step {self.step} of {self.steps}, {where}"
        return f"{self.what} ({billed(self.limit)}) runs out {where}"


def runs_out(
    submissions: Sequence[Jobs],
    limit: float,
    *,
    what: str = "what is left",
    steps: int = 1,
    learning: float = 0.0,
    bill: float | None = None,
) -> RunsOut | None:
    """Where the expected usage passes a limit; None where it does not.

    Args:
        submissions: the jobs of one step, in the order they are sent.
        limit: seconds.
        what: the limit's name.
        steps: iterations.
        learning: seconds of a job that runs once before all others.
        bill: seconds that all of it is billed, where that is more than its jobs (a session's clock): each job then
            takes its share.
    """
    usages = [(partition, usage) for jobs in submissions for partition, usage in
              zip(jobs.partitions, jobs.usages, strict=True)]  # fmt: skip
    each = sum(usage.expected for _, usage in usages)
    whole = learning + steps * each
    stretch = 1.0 if bill is None or not whole else max(1.0, bill / whole)
    if whole * stretch <= limit or not usages:
        return None
    left = limit / stretch - learning
    step = min(max(0, int(left // each)), steps - 1) if each else 0
    left -= step * each
    for number, (_, usage) in enumerate(usages):
        if left < usage.expected or number == len(usages) - 1:
            left -= usage.expected - sum(pub.expected for pub in usage.pubs)  # overhead and learning come first
            pub = usage.pubs[0].pub
            for pub_usage in usage.pubs:
                pub = pub_usage.pub
                left -= pub_usage.expected
                if left < 0:
                    break
            return RunsOut(limit, what, number, len(usages), pub, step, steps)
        left -= usage.expected
    return None


def fitting_pubs(submissions: Sequence[Jobs], limit: float, steps: int = 1) -> int:
    """How many of the first PUBs fit a limit, sent as one job a step."""
    usages = [usage for jobs in submissions for usage in jobs.usages]
    fixed = max(usage.expected - sum(pub.expected for pub in usage.pubs) for usage in usages)
    left = limit / steps - fixed
    whole: dict[int, float] = {}
    for usage in usages:
        for pub in usage.pubs:
            whole[pub.pub] = whole.get(pub.pub, 0.0) + pub.expected
    count = 0
    for _, seconds in sorted(whole.items()):
        left -= seconds
        if left < 0:
            break
        count += 1
    return count


def fits_after(needed: float, left: float, returns: Iterable[tuple[date, float]]) -> tuple[date, float] | None:
    """The first day after which a bill fits, and how many seconds have come back by then; None where none is known."""
    back = 0.0
    for day, seconds in sorted(returns):
        back += seconds
        if left + back >= needed:
            return day, back
    return None


@dataclass(frozen=True, slots=True)
class Failures:
    """What failures cost, in seconds of QPU usage. A system error is billed nothing."""

    refused: float  # a job that is refused after it has queued
    largest: float  # a job that fails at its very end
    retries: float  # each job once more: what a retry budget of 1 may cost at most

    def __str__(self) -> str:
        return (
            f"a job that fails by a user's error costs at most ≈ {duration(self.largest)}, one that is refused after "
            f"queueing mostly {duration(self.refused)}; retries=1 may cost up to ≈ {duration(self.retries)} more"
        )


def failures(submissions: Sequence[Jobs], steps: int = 1) -> Failures:
    """What one failure, and a retry budget of one a job, cost at most."""
    seconds = [usage.expected for jobs in submissions for usage in jobs.usages]
    return Failures(REFUSED, max(seconds), steps * sum(seconds))


@dataclass(frozen=True, slots=True)
class CutOff:
    """A job whose expected usage is more than its cap leaves: it would be billed the cap and give nothing."""

    partition: int | None  # from 0; None: a job that was not made by cutting PUBs into partitions
    expected: float
    left: float  # of the cap
    low: float | None = None  # low end of the estimate

    def __str__(self) -> str:
        what = "this job" if self.partition is None else f"partition {self.partition + 1}"
        less = "take fewer shots" if self.partition is None else "take fewer shots or smaller partitions"
        return (
            f"{what} is expected to use ≈ {billed(self.expected)}; the cap leaves {billed(self.left)}: it would be cut "
            f"off, billed {self.left:,.0f} s and give nothing. Raise the cap, or {less}"
        )

    @property
    def sure(self) -> bool:
        """Even the low end of the estimate is more than the cap leaves."""
        return (LOW_END * self.expected if self.low is None else self.low) > self.left

    @property
    def message(self) -> str:
        """In a sentence, as `PlanError` takes it."""
        return str(self)


def cut_off(partitions: Sequence[Partition], cap: float, used: float = 0.0) -> tuple[CutOff, ...]:
    """The partitions that a usage cap must cut off, so that none of them should be sent.

    Args:
        partitions: with their expected usage; one without is not judged.
        cap: seconds of QPU usage.
        used: of them already used.

    Raises:
        ArgumentError: a cap that is no number above 0.
    """
    if type(cap) is bool or not cap > 0:
        raise ArgumentError(f"cap={cap!r}: give seconds of QPU usage above 0")
    left = max(0.0, cap - used)
    return tuple(
        CutOff(number, partition.expected, left, partition.low)
        for number, partition in enumerate(partitions)
        if partition.expected is not None and partition.expected > left
    )


def cut_off_job(expected: float | None, left: float | None, low: float | None = None) -> CutOff | None:
    """Why a job must not be sent: the cap would cut it off, even at the low end of its estimate.

    Args:
        expected: seconds of QPU usage; None: not known.
        left: seconds of the cap; None: there is none.
        low: the estimate's low end, where it is known.
    """
    if expected is None or left is None:
        return None
    found = CutOff(None, expected, max(0.0, left), low)
    return found if found.sure else None
