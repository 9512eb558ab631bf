"""Which candidate to take: a mode and a way to cut the work, judged by its own forecast, the limits and the allowance.

A candidate that the service would refuse or cut off loses to one that it takes. Of the others the one with the least
bill is taken, unless another one's last result comes clearly sooner and is worth its price: how many seconds sooner a
further billed second must buy is one number (`Wish.worth`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import ArgumentError
from ..model.snapshot import Mode
from .durations import billed, duration
from .forecast import MODES, Forecast
from .limits import Finding
from .usage import Jobs

Prefer = Literal["cheapest", "soonest", "balanced"]
BALANCED = 10.0  # seconds sooner that a further billed second must buy
SOONER, SOONER_PART = 60.0, 0.05  # a last result is clearly sooner by a minute and 5 %
SAME = 0.01  # bills or ends this close count as equal: the guide's rules decide between modes


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user wants. `worth`: seconds sooner that a further billed second must buy; infinite is the cheapest."""

    prefer: Prefer = "balanced"
    worth: float = BALANCED
    deadline: float | None = None  # seconds from submission to the last result
    session: bool = False  # asked for: exclusive access, or a noise model that is learned once and used fresh

    @classmethod
    def of(
        cls,
        prefer: Prefer = "balanced",
        hour_worth: float | None = None,
        price_per_minute: float | None = None,
        deadline: float | None = None,
        *,
        session: bool = False,
    ) -> Wish:
        """From `plan`'s arguments. `hour_worth` is what an hour sooner is worth, in the currency of the price.

        Raises:
            ArgumentError: `hour_worth` without a price, or beside `prefer`.
        """
        worth = {"cheapest": math.inf, "soonest": 0.0, "balanced": BALANCED}[prefer]
        if hour_worth is not None:
            if prefer != "balanced":
                raise ArgumentError(f"hour_worth={hour_worth:g} and prefer={prefer!r}: give one of them")
            if not price_per_minute:
                raise ArgumentError(
                    f"hour_worth={hour_worth:g} turns time into money: give price_per_minute= too, the price of a "
                    "minute of QPU usage in the same currency"
                )
            worth = (price_per_minute / 60) / (hour_worth / 3600) if hour_worth else math.inf
        return cls(prefer, worth, deadline, session)

    def __str__(self) -> str:
        if self.prefer == "cheapest" or self.worth == math.inf:
            return "the least bill"
        if self.prefer == "soonest":
            return "the soonest last result"
        return f"the least bill, unless a further billed second brings the last result {self.worth:.3g} s sooner"


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One mode and one way to cut a workload, what its forecast says, and why it would be refused. Seconds."""

    jobs: Jobs
    mode: Mode
    bill: float
    first_result: float | None
    last_result: float | None
    failed: int
    refused: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, jobs: Jobs, course: Forecast, refused: Sequence[Finding] = ()) -> Candidate:
        """From the forecast of this mode on these jobs."""
        return cls(
            jobs,
            course.mode,
            course.usage,
            course.first_result,
            course.last_result,
            course.failed,
            tuple(refused),
        )

    @property
    def count(self) -> int:
        """How many jobs (of each iteration)."""
        return len(self.jobs.partitions)

    @property
    def end(self) -> float:
        """Seconds to the last result; infinite without one."""
        return math.inf if self.last_result is None else self.last_result

    def __str__(self) -> str:
        if self.last_result is None:
            return f"{billed(self.bill)} billed, no result"
        return f"≈ {billed(self.bill)} billed, last result after {duration(self.last_result)}"


def choose(
    candidates: Sequence[Candidate], wish: Wish | None = None, weight: Callable[[Candidate], int] | None = None
) -> Candidate:
    """The candidate to take.

    Args:
        candidates: at least one.
        wish: what the user wants.
        weight: how heavily the guide's rules speak for a candidate's mode; decides between modes whose bills and ends
            are equal within 1 %.
    """
    wish = wish or Wish()
    left = _kept(candidates, wish)
    cheapest = min(left, key=lambda c: (c.bill, c.end, c.count))
    if cheapest.refused:  # all are: the one that is nearest to what would fit
        best = cheapest
    elif wish.prefer == "soonest":
        near = min(c.end for c in left) * (1 + SAME)
        best = min((c for c in left if c.end <= near or c.end == math.inf), key=lambda c: (c.bill, c.end, c.count))
    else:
        worth = [cheapest, *(c for c in left if worth_it(c, cheapest, wish.worth))]
        best = min(worth, key=lambda c: (_value(c, wish.worth), c.end, c.count))
    if weight is None:
        return best
    equal = [c for c in left if c.jobs is best.jobs and _equal(c, best) and (c.mode != "session" or c is best)]
    return max(equal, key=lambda c: (weight(c), -MODES.index(c.mode)))


def worth_it(candidate: Candidate, cheapest: Candidate, worth: float) -> bool:
    """Whether the last result comes clearly sooner than the cheapest one's, and enough for the price."""
    if candidate is cheapest or candidate.last_result is None:
        return False
    if cheapest.last_result is None:
        return True
    sooner = cheapest.last_result - candidate.last_result
    if sooner < max(SOONER, SOONER_PART * cheapest.last_result):
        return False
    more = candidate.bill - cheapest.bill
    return more <= 0 or sooner >= worth * more


def _kept(candidates: Sequence[Candidate], wish: Wish) -> list[Candidate]:
    """Without what would be refused or comes too late, as far as others are left."""
    fewest = min((len(c.refused), c.failed / max(1, c.count)) for c in candidates)
    left = [c for c in candidates if (len(c.refused), c.failed / max(1, c.count)) == fewest]
    if wish.session and (sessions := [c for c in left if c.mode == "session"]):
        left = sessions
    if wish.deadline is not None:
        in_time = [c for c in left if c.end <= wish.deadline]
        soonest = min(c.end for c in left)
        left = in_time or [c for c in left if c.end == soonest]
    return left


def _value(c: Candidate, worth: float) -> float:
    """Bill and time in one number of billed seconds."""
    return c.bill if worth == math.inf else c.bill + c.end / max(worth, 1e-9)


def _equal(a: Candidate, b: Candidate) -> bool:
    if a.bill > b.bill * (1 + SAME) + 1e-9:
        return False
    return a.end == b.end or a.end <= b.end * (1 + SAME)
