"""What would save most of a plan's bill: each with its saving in seconds and its price in quality or time.

Everything follows from the breakdown of the estimate and from the forecasts of the other modes and cuts; nothing is
measured. A saving in QPU time is a saving of the same seconds on a session's clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..model.snapshot import Mode
from .durations import billed, duration
from .forecast import Bill, Forecast
from .splitting import Candidate
from .usage import Jobs, UsageEstimate

SHORT_REP_DELAYS = (100e-6, 20e-6)  # seconds; Heron takes 20 to 2000 µs
LEAST, LEAST_PART = 1.0, 0.02  # savings under a second, or 2 % of the bill, are not worth a line
MARGIN = 0.95  # of a budget that shots are made to fit


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
    refused: frozenset[Mode] = frozenset(),
    taken: Candidate | None = None,
    ways: Sequence[Candidate] = (),
    once: UsageEstimate | None = None,
    left: float | None = None,
) -> tuple[Saving, ...]:
    """What would save most, the largest first.

    Args:
        submissions: the jobs of one iteration.
        usage: their total over all iterations.
        mode: the advised mode.
        bills: what each mode is billed.
        forecasts: of each mode.
        refused: modes that the account does not have.
        taken: how the work is cut.
        ways: other cuts of the same work.
        once: the job that would learn the noise of layers for all others, where every job learns it now.
        left: seconds that the instance may still use.
    """
    now = bills[mode].expected
    found: list[Saving] = []

    def add(what: str, seconds: float, price: str) -> None:
        if seconds >= max(LEAST, LEAST_PART * now):
            found.append(Saving(what, seconds, now - seconds, price))

    if shorter := _rep_delays(submissions, usage):
        *longer, (shortest, most) = shorter
        also = "".join(f" ({d * 1e6:,.4g} µs: bill ≈ {billed(now - saved)})" for d, saved in longer)
        add(
            f"execution.rep_delay of {shortest * 1e6:,.4g} µs instead of {submissions[0].work.rep_delay * 1e6:,.4g} µs"
            f"{also}",
            most,
            "qubits have less time to relax, so the state that each shot starts from is less pure; compare a few shots "
            "first",
        )
    part = usage.breakdown
    add("no measurement mitigation (resilience_level=0)", part.readout, "readout errors stay in the result")
    factors = {jobs.work.settings.noise_factors for jobs in submissions}
    if len(factors) == 1 and len(only := factors.pop()) > 1:
        run = part.rep_delay + part.initialisation + part.circuit
        add(
            f"no zero-noise extrapolation (now {len(only)} noise factors)",
            run * (1 - 1 / len(only)),
            "gate errors are not extrapolated away",
        )
    if once is not None:
        add(
            'noise_model="learned once" (planning.compare.learn_noise)',
            part.layers - once.expected,
            "the noise model ages: use it within the session that learned it",
        )
    best = min((w for w in ways if taken is not None and w.failed <= taken.failed), key=lambda w: w.bill, default=None)
    if best is not None and taken is not None and best.count != taken.count:
        later = (best.last_result or 0.0) - (taken.last_result or 0.0)
        price = f"the last result comes {duration(later)} later" if later > 1 else "results come in larger parts"
        add(f"{best.count} job{'s' * (best.count != 1)} instead of {taken.count}", taken.bill - best.bill, price)
    for other, bill in bills.items():
        course, own = forecasts[other], forecasts[mode]
        if other == mode or other in refused or course.failed > own.failed or course.last_result is None:
            continue
        later = course.last_result - (own.last_result or 0.0)
        price = f"the last result comes {duration(later)} later" if later > 1 else "other users' jobs in between"
        add(f"{other} mode" if other == "job" else f"a {other}", now - bill.expected, price)
    found += _shots(usage, now, left)
    return tuple(sorted(_once_each(found), key=lambda s: -s.seconds))


def _once_each(found: Iterable[Saving]) -> list[Saving]:
    """Job mode and a batch with the same saving are listed once."""
    kept: dict[tuple[float, str], Saving] = {}
    for saving in found:
        kept.setdefault((round(saving.seconds, 3), saving.price), saving)
    return list(kept.values())


def _rep_delays(submissions: Sequence[Jobs], usage: UsageEstimate) -> list[tuple[float, float]]:
    """Shorter repetition delays that the backend takes, and the seconds each saves."""
    works = [jobs.work for jobs in submissions]
    delay = min(w.rep_delay for w in works)
    allowed = works[0].timing.rep_delay_range
    if delay != max(w.rep_delay for w in works) or allowed is None:
        return []
    shorter = [d for d in SHORT_REP_DELAYS if allowed[0] <= d < delay]
    if not shorter and 0 < allowed[0] < delay:
        shorter = [allowed[0]]
    executions = usage.executions + usage.learning_executions
    return [(d, (delay - d) * executions) for d in shorter]


def _shots(usage: UsageEstimate, now: float, left: float | None) -> list[Saving]:
    """How many of the shots fit what the instance has left."""
    if left is None or now <= left:
        return []
    part = usage.breakdown
    run = part.rep_delay + part.initialisation + part.circuit
    share = (MARGIN * left - (now - run)) / run if run else 0.0
    if share <= 0.01:
        return []
    saved = (1 - share) * run
    price = f"statistical errors {1 / math.sqrt(share):.1f} times as large"
    return [Saving(f"{share:.0%} of the shots, which fits the {left:,.0f} s left,", saved, now - saved, price)]
