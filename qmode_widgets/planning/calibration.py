"""Estimates that learn from one's own bills: one factor a backend, from finished jobs of one's own.

    calibrate(backend)                                  # a few requests; kept for this process
    qmode.plan(pubs, backend, …)                        # uses it, and says so
    qmode.plan(pubs, backend, …, calibration=False)     # without it

The factor multiplies the work of a job (all but its overhead): circuits that are longer than their durations say, or a
backend that waits longer. It is the median over the jobs, weighted by their work, and drawn towards 1 where there are
few. Bills are whole seconds, so jobs of little work say little.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..ibm.client import instance_of
from ..ibm.finished import finished_jobs
from .settings import settings
from .usage import UsageEstimate, job_usage
from .work import Work, analyse

MOST_JOBS = 12  # whose stored inputs are read
LEAST_WORK = 2.0  # seconds besides the overhead: below, whole seconds hide the rest
PRIOR = 2.0  # jobs' worth of belief in a factor of 1
BOUNDS = (0.5, 2.0)  # a factor outside has another cause


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the bills of one's own jobs on a backend compare with their estimates."""

    backend: str
    factor: float  # of a job's work
    jobs: int

    @classmethod
    def of(cls, backend: str, bills: Iterable[tuple[UsageEstimate, float]]) -> Calibration:
        """From estimates, made without a calibration, and what was billed."""
        found: list[tuple[float, float]] = []
        for usage, billed in bills:
            work = usage.breakdown.work
            if work >= LEAST_WORK:
                found.append(((billed - 0.5 * usage.jobs - usage.breakdown.overhead) / work, work))
        if not found:
            return cls(backend, 1.0, 0)
        found.sort()
        half, run = sum(weight for _, weight in found) / 2, 0.0
        middle = found[-1][0]
        for ratio, weight in found:
            run += weight
            if run >= half:
                middle = ratio
                break
        trust = len(found) / (len(found) + PRIOR)
        factor = 1 + (min(max(middle, BOUNDS[0]), BOUNDS[1]) - 1) * trust
        return cls(backend, factor, len(found))

    def on(self, work: Work) -> Work:
        """The same work, with its estimates calibrated and the calibration named among what is assumed."""
        if not self.jobs:
            return work
        work.factor = self.factor
        work.usage.clear()
        jobs = f"{self.jobs} job{'s' * (self.jobs != 1)}"
        note = f"calibrated on {jobs} of your own: work × {self.factor:.2f} (calibration=False leaves it out)"
        work.assumed = (*work.assumed, note)
        return work

    def __str__(self) -> str:
        return f"{self.backend}: work × {self.factor:.2f}, from {self.jobs} jobs of your own"


_known: dict[tuple[str, str], Calibration] = {}


def calibrate(backend: Any, most: int = MOST_JOBS) -> Calibration:
    """Learn from one's own finished jobs on a backend; plans of this process use it from then on.

    Reads the list of jobs and the stored inputs of at most `most` of them. Legacy primitives' jobs are not used.
    """
    bills = []
    for job in finished_jobs(backend, most):
        try:
            work = analyse([job.program], backend, settings("executor", job.options))
        except ValueError:  # transpiled for another backend, or options of another version
            continue
        bills.append((job_usage(work, [(item, 1.0) for item in work.items]), job.billed))
    found = Calibration.of(str(backend.name), bills)
    _known[_key(backend)] = found
    return found


def known(backend: Any) -> Calibration | None:
    """What was learned of a backend in this process; None where nothing was."""
    return _known.get(_key(backend))


def _key(backend: Any) -> tuple[str, str]:
    return str(instance_of(backend)), str(getattr(backend, "name", backend))
