"""What a plan holds: plain data, which its views and figures read. `plan.py` makes it and can run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..model.partition import Partition
from ..model.snapshot import Mode
from .advice import Advice, Reason
from .allowance import Failures, RunsOut
from .budget import Allocation
from .choice import Candidate
from .forecast import Bill, Conditions, Forecast
from .limits import Finding
from .preflight import Preflight
from .savings import Saving
from .usage import Jobs, UsageEstimate
from .work import Work


@dataclass(frozen=True, slots=True, eq=False)
class Submission:
    """One `submit` call: PUBs as given, cut into jobs. A comparison has one a setting."""

    jobs: Jobs
    pubs: tuple[Any, ...]
    primitive: Any = None  # the user's object, if one was given
    run_options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PlanContent:
    """Everything known before submitting.

    `usage` is the QPU time of all jobs, over all iterations. `bills` is what each mode is billed for it, which is more
    in a session: its clock. The advised mode's `bill` is what limits, prices and headlines speak of.
    """

    backend: str
    submissions: tuple[Submission, ...]
    usage: UsageEstimate
    forecasts: Mapping[Mode, Forecast]
    bills: Mapping[Mode, Bill]
    advice: Advice
    findings: tuple[Finding, ...]
    conditions: Conditions
    iterations: int = 1
    classical: float = 0.0
    price_per_minute: float | None = None
    learning: UsageEstimate | None = None  # of the one job that learns the noise for all others
    division: str = ""  # why this number of jobs
    savings: tuple[Saving, ...] = ()  # what would save most, the largest first
    candidates: tuple[Candidate, ...] = ()  # every mode and way to cut the work that was judged
    allocation: tuple[Allocation, ...] = ()  # what each PUB gets of a budget
    budget: float | None = None
    runs_out: tuple[RunsOut, ...] = ()  # where the expected bill passes what is left, or the budget
    failures: Failures | None = None  # what failures cost
    chosen_for: str = ""  # what the choice was made for: the least bill, the soonest result, …
    preflight: Preflight = field(kw_only=True)

    @property
    def bill(self) -> Bill:
        """What the advised mode is billed, in seconds."""
        return self.bills[self.mode]

    @property
    def mode(self) -> Mode:
        """The advised mode."""
        return self.advice.mode

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why."""
        return self.advice.reasons

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What the service would refuse or cut off."""
        return tuple(f for f in self.findings if f.level == "error")

    @property
    def work(self) -> Work:
        """The analysed PUBs; of a comparison, those of its first setting."""
        return self.submissions[0].jobs.work

    @property
    def pubs(self) -> tuple[Any, ...]:
        """The PUBs as given."""
        return self.submissions[0].pubs

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """All jobs, in the order they would be sent; a partition's PUBs are those of its own submission."""
        return tuple(p for s in self.submissions for p in s.jobs.partitions)

    @property
    def labels(self) -> tuple[str, ...]:
        """What each job is called, where the jobs are settings to compare."""
        return tuple(s.label for s in self.submissions for _ in s.jobs.partitions if s.label)

    def price(self, mode: Mode | None = None) -> float | None:
        """What the expected bill of a mode costs in the currency of `price_per_minute`; None without a price."""
        if self.price_per_minute is None:
            return None
        return self.bills[mode or self.mode].expected / 60 * self.price_per_minute

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, for JSON."""
        return {
            "backend": self.backend,
            "primitive": self.work.settings.kind,
            "mode": self.mode,
            "reasons": [asdict(r) for r in self.reasons],
            "against": {m: [asdict(r) for r in rs] for m, rs in self.advice.against.items()},
            "changes": list(self.advice.changes),
            "trade": self.advice.trade,
            "division": self.division,
            "warnings": [asdict(r) for r in self.advice.warnings],
            "disagreement": self.advice.disagreement,
            "bill": asdict(self.bill),
            "bills": {m: asdict(b) for m, b in self.bills.items()},
            "learning": None if self.learning is None else asdict(self.learning),
            "usage": {k: v for k, v in asdict(self.usage).items() if k != "pubs"}
            | {"pubs": [asdict(p) for p in self.usage.pubs]},
            "partitions": [asdict(p) | {"label": p.label} for p in self.partitions],
            "forecasts": {m: asdict(f) for m, f in self.forecasts.items()},
            "before_sending": dict(self.preflight.rows()) | {"alarms": list(self.preflight.alarms)},
            "savings": [asdict(s) for s in self.savings],
            "candidates": [
                {
                    "jobs": c.count,
                    "mode": c.mode,
                    "bill": c.bill,
                    "first_result": c.first_result,
                    "last_result": c.last_result,
                    "refused": [f.message for f in c.refused],
                }
                for c in self.candidates
            ],
            "chosen_for": self.chosen_for,
            "budget": self.budget,
            "allocation": [asdict(a) for a in self.allocation],
            "runs_out": [asdict(r) for r in self.runs_out],
            "failures": None if self.failures is None else asdict(self.failures),
            "findings": [asdict(f) for f in self.findings],
            "iterations": self.iterations,
            "classical": self.classical,
            "price_per_minute": self.price_per_minute,
            "price": self.price(),
        }
