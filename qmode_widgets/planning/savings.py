"""What would save most of a plan's bill: each with its saving in seconds and its price in quality or time.

Each saving is worked out job by job, rounded up as bills are: followed as it is written, a plan's bill is what it says.
A saving in QPU time is a saving of the same seconds on a session's clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ..model.snapshot import Mode
from ..model.timing import whole_seconds
from .choice import Candidate
from .durations import billed, duration
from .forecast import Bill, Forecast
from .usage import Jobs, UsageEstimate

SHORT_REP_DELAYS = (100e-6, 20e-6)  # seconds; Heron takes 20 to 2000 µs
LEAST, LEAST_PART = 1.0, 0.02  # savings under a second, or 2 % of the bill, are not worth a line


@dataclass(frozen=True, slots=True)
class Saving:
    """One thing to change: the seconds it takes off the bill, the bill after it, and what it costs otherwise."""

    what: str
    seconds: float
    bill: float
    price: str

    def __str__(self) -> str:
        return f"{self.what} saves ≈ {duration(self.seconds)} (bill ≈ {billed(self.bill)}); its price: {self.price}"


def savings(
    submissions: Sequence[Jobs],
    usage: UsageEstimate,
    mode: Mode,
    bills: Mapping[Mode, Bill],
    *,
    forecasts: Mapping[Mode, Forecast],
    steps: int = 1,
    refused: frozenset[Mode] = frozenset(),
    taken: Candidate | None = None,
    ways: Sequence[Candidate] = (),
    once: UsageEstimate | None = None,
    merged: tuple[int, float] | None = None,
    left: float | None = None,
) -> tuple[Saving, ...]:
    """What would save most, the largest first.

    Args:
        submissions: the jobs of one iteration.
        usage: their total over all iterations.
        mode: the advised mode.
        bills: what each mode is billed.
        forecasts: of each mode.
        steps: iterations.
        refused: modes that the account does not have, or in which the work would be refused.
        taken: the candidate that is advised.
        ways: the same work cut otherwise, in the same mode.
        once: the job that would learn the noise of layers for all others, where every job learns it now.
        merged: into how many PUBs the observables of one circuit could be put, and seconds that saves a step.
        left: seconds that the instance may still use.
    """
    now = bills[mode].expected
    found: list[Saving] = []

    def add(what: str, seconds: float, price: str) -> None:
        if seconds >= max(LEAST, LEAST_PART * now):
            found.append(Saving(what, seconds, now - seconds, price))

    def less(cut: Callable[[Jobs, UsageEstimate], float]) -> float:
        """Seconds that all jobs are billed less when each loses so many before rounding."""
        return steps * sum(_rounded(own, cut(jobs, own)) for jobs in submissions for own in jobs.usages)

    if shorter := _rep_delays(submissions):
        by_delay = [(delay, less(partial(_shorter, saved))) for delay, saved in shorter]
        *longer, (shortest, most) = by_delay
        also = "".join(f" ({d * 1e6:,.4g} µs: bill ≈ {billed(now - saved)})" for d, saved in longer)
        add(
            f"execution.rep_delay={shortest:.6f} ({shortest * 1e6:,.4g} µs instead of "
            f"{submissions[0].work.rep_delay * 1e6:,.4g} µs){also}",
            most,
            "qubits have less time to relax, so the state that each shot starts from is less pure; compare a few shots "
            "first",
        )
    if any(jobs.work.settings.trex for jobs in submissions):
        add(
            "resilience.measure_mitigation=False (no measurement mitigation)",
            less(lambda jobs, own: own.breakdown.readout * jobs.work.factor),
            "readout errors stay in the result",
        )
    factors = {jobs.work.settings.noise_factors for jobs in submissions}
    if len(factors) == 1 and len(only := factors.pop()) > 1:
        add(
            f"resilience.zne_mitigation=False (no zero-noise extrapolation, now {len(only)} noise factors)",
            less(_without_factors),
            "gate errors are not extrapolated away",
        )
    if once is not None:
        learned = less(lambda jobs, own: own.breakdown.layers * jobs.work.factor)
        add(
            'noise_model="learned once" (qmode.learn_noise)',
            learned - once.expected,
            "the noise model ages: use it within the session that learned it",
        )
    if merged is not None:
        count, seconds = merged
        add(
            f"qmode.merge_pubs(pubs): {count} PUB{'s' * (count != 1)} instead of {len(submissions[0].work.items)}, "
            "commuting observables are measured together",
            steps * seconds,
            "none; merged.results(result) has one result a PUB of yours, in your order",
        )
    best = min((w for w in ways if not w.refused), key=lambda w: w.bill, default=None)
    if best is not None and taken is not None and best.count != taken.count and best.failed <= taken.failed:
        later = (best.last_result or 0.0) - (taken.last_result or 0.0)
        price = f"the last result comes {duration(later)} later" if later > 1 else "results come in larger parts"
        what = f"partitions={best.count} ({best.count} job{'s' * (best.count != 1)} instead of {taken.count})"
        add(what, taken.bill - best.bill, price)
    for other, bill in bills.items():
        course, own = forecasts[other], forecasts[mode]
        if other == mode or other in refused or course.failed > own.failed or course.last_result is None:
            continue
        later = course.last_result - (own.last_result or 0.0)
        price = f"the last result comes {duration(later)} later" if later > 1 else "other users' jobs in between"
        add(f"{other} mode" if other == "job" else f"a {other}", now - bill.expected, price)
    found += _shots(usage, now, left)
    return tuple(sorted(_once_each(found), key=lambda s: -s.seconds))


def _shorter(delay: float, _: Jobs, own: UsageEstimate) -> float:
    """Seconds of a job that a shorter repetition delay saves."""
    return delay * (own.executions + own.learning_executions)


def _rounded(own: UsageEstimate, seconds: float) -> float:
    """How many seconds the bill of a job falls when its QPU time falls by `seconds`."""
    exact = own.breakdown.total - own.breakdown.rounding
    return own.expected - whole_seconds(max(0.0, exact - seconds))


def _without_factors(jobs: Jobs, own: UsageEstimate) -> float:
    """Seconds of a job that noise factors add: more circuits, longer by gate folding; with PEA also its learning."""
    work, cut = jobs.work, 0.0
    count = len(work.settings.noise_factors)
    for pub in own.pubs:
        item = work.items[pub.pub]
        executions = item.executions.expected * pub.part
        once = (work.per_execution + item.unfolded) * executions / count
        once += work.timing.randomized * item.randomized * pub.part / count
        cut += pub.expected - once
    return (cut + own.breakdown.layers) * work.factor


def _once_each(found: Iterable[Saving]) -> list[Saving]:
    """Job mode and a batch with the same saving are listed once."""
    kept: dict[tuple[float, str], Saving] = {}
    for saving in found:
        kept.setdefault((round(saving.seconds, 3), saving.price), saving)
    return list(kept.values())


def _rep_delays(submissions: Sequence[Jobs]) -> list[tuple[float, float]]:
    """Shorter repetition delays that the backend takes, and the seconds each saves an execution."""
    works = [jobs.work for jobs in submissions]
    delay = min(w.rep_delay for w in works)
    allowed = works[0].timing.rep_delay_range
    if delay != max(w.rep_delay for w in works) or allowed is None:
        return []
    shorter = [d for d in SHORT_REP_DELAYS if allowed[0] <= d < delay]
    if not shorter and 0 < allowed[0] < delay:
        shorter = [allowed[0]]
    return [(d, (delay - d) * works[0].factor) for d in shorter]


def _shots(usage: UsageEstimate, now: float, left: float | None) -> list[Saving]:
    """How many of the shots fit what the instance has left."""
    if left is None or now <= left or (share := fitting_shots(usage, now, left)) is None:
        return []
    saved = now - left
    price = f"statistical errors {1 / math.sqrt(share):.1f} times as large"
    return [Saving(f"{math.floor(100 * share)} % of the shots (budget={left:g} allocates them)", saved, left, price)]


def fitting_shots(usage: UsageEstimate, bill: float, limit: float) -> float | None:
    """Which part of the shots fits a limit; None where under 1 % does."""
    part = usage.breakdown
    run = part.rep_delay + part.initialisation + part.circuit + part.randomized + part.calibration
    rounding = usage.jobs - part.rounding  # that other shots may add
    share = (limit - rounding - (bill - run)) / run if run > 0 else 0.0
    return share if 0.01 < share < 1 else None
