"""Before it is sent: which instance, paid or free, in which state the backend is, what is left, what it will cost.

Running on the wrong or a paid instance by accident, or on a backend in maintenance, is what users complain about most.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from html import escape
from typing import Any

from ..errors import QmodeError
from ..ibm.account import Account, mock_of
from ..ibm.client import backend_of, capture, instance_of
from ..ibm.link import ask, link_of
from ..model.merge import cut
from ..model.snapshot import Mode
from .durations import DAY, billed
from .forecast import Bill
from .limits import is_open_plan, reported_late
from .usage import Jobs

FINAL = ("Completed", "Failed", "Cancelled")


@dataclass(frozen=True, slots=True)
class DryRun:
    """The service's own estimate of one job, from a run on its mock backend; or why it was refused."""

    job: int
    ours: float
    service: float | None
    refused: str | None = None

    def __str__(self) -> str:
        if self.service is None:
            return f"no second opinion of the service: {self.refused}"
        return f"the service's dry run of job {self.job}: {billed(self.service)}, ours ≈ {billed(self.ours)}"


@dataclass(frozen=True, slots=True)
class Preflight:
    """A card to read before anything is sent. It shows itself in a notebook and prints as text."""

    backend: str
    mode: Mode
    jobs: int
    bill: Bill
    rep_delay: float
    account: Account
    left: float | None = None  # seconds; as given to the plan, else what the account says
    plan: str | None = None
    price: float | None = None
    returns: tuple[tuple[date, float], ...] = ()  # when used seconds come back
    dry_runs: tuple[DryRun, ...] = ()

    @property
    def paid(self) -> bool | None:
        """Whether this uses paid time; None where the plan is not known."""
        return None if self.plan is None else not is_open_plan(self.plan)

    @property
    def alarms(self) -> tuple[str, ...]:
        """Reasons not to send it now."""
        found = []
        state = self.account
        if state.operational is False:
            found.append(f"{self.backend} is not operational ({state.status}): jobs will wait until it is back")
        elif state.status not in (None, "active"):
            found.append(f"{self.backend} is {state.status}: jobs will wait until it is active")
        if self.left is not None and self.bill.expected > self.left:
            found.append(f"the bill is more than the {billed(self.left)} that are left")
        if reported_late(self.plan) and self.left is not None:
            found.append("pay-as-you-go usage is reported with a delay: less may be left")
        if state.allocation is not None and (state.consumed or 0.0) + self.bill.expected > state.allocation:
            found.append(f"above the allocation of {billed(state.allocation)} work runs at lower priority")
        return tuple(found)

    def rows(self) -> list[tuple[str, str]]:
        """Name and value of each line."""
        state = self.account
        paid = {None: "plan not known", True: f"{self.plan}: paid time", False: f"{self.plan}: free"}[self.paid]
        rows = [("instance", f"{state.instance or 'not known'} ({paid})")]
        queue = "" if state.pending is None else f", {state.pending:,} pending jobs"
        rows.append(("backend", f"{self.backend}: {state.status or 'state not known'}{queue}"))
        price = "" if self.price is None else f", ≈ {self.price:,.2f}"
        bill = f"≈ {billed(self.bill.expected)} ({self.bill.low:,.0f}–{self.bill.high:,.0f} s){price}"
        rows.append(("bill", f"{bill}, {self.mode}, {self.jobs:,} job{'s' * (self.jobs != 1)}"))
        rows.append(("left", "not known" if self.left is None else billed(self.left)))
        if self.returns:
            back = "; ".join(f"{billed(seconds)} on {day:%Y-%m-%d}" for day, seconds in self.returns[:3])
            rows.append(("returns", back))
        elif state.period_end is not None and state.period_end > time.time() + DAY:  # a rolling window ends now
            rows.append(("period ends", f"{datetime.fromtimestamp(state.period_end, UTC):%Y-%m-%d}"))
        rows.append(("rep_delay", f"{self.rep_delay * 1e6:,.4g} µs"))
        rows += [("second opinion", str(run)) for run in self.dry_runs]
        return rows

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(name) for name, _ in rows)
        lines = ["Before it is sent:", *(f"  {name.ljust(width)}  {value}" for name, value in rows)]
        return "\n".join([*lines, *(f"  ⚠ {alarm}" for alarm in self.alarms)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = "".join(f"<tr><th scope='row'>{escape(n)}</th><td>{escape(v)}</td></tr>" for n, v in self.rows())
        alarms = "".join(f"<p>⚠ {escape(alarm)}</p>" for alarm in self.alarms)
        return f"<table><caption>Before it is sent</caption>{cells}</table>{alarms}"


def dry_run(
    jobs: Jobs,
    primitive: Any,
    *,
    job: int | None = None,
    run_options: Mapping[str, Any] | None = None,
    timeout: float = 300.0,
) -> DryRun:
    """Ask the service for its own estimate of one job, by a dry run on its mock backend. Uses no QPU time.

    It is offered on Flex, Premium and On-Prem plans, and rolled out step by step: a refusal is an answer, not an error.

    Args:
        jobs: the planned jobs.
        primitive: made for the backend; its options are used, and left as they are.
        job: which one; the largest if left out.
        run_options: `shots` or `precision` of the call.
        timeout: seconds to wait for it.
    """
    chosen = max(range(len(jobs.usages)), key=lambda n: jobs.usages[n].expected) if job is None else job
    ours = jobs.usages[chosen].expected
    try:
        seconds = _on_mock(primitive, cut(jobs.work.pubs, jobs.partitions[chosen]), dict(run_options or {}), timeout)
    except QmodeError as error:
        return DryRun(chosen, ours, None, str(error))
    if seconds is None:
        return DryRun(chosen, ours, None, f"it did not end within {timeout:g} s, or told no usage")
    return DryRun(chosen, ours, seconds)


def _on_mock(primitive: Any, pubs: Sequence[Any], run_options: dict[str, Any], timeout: float) -> float | None:
    """What the service says that these PUBs would use. Posted once, as every job of ours."""
    backend = backend_of(primitive)
    link = link_of(backend.service, str(instance_of(backend)))
    captured = capture(primitive, list(pubs), run_options)
    captured.payload["backend"] = mock_of(captured.backend)
    id_ = ask(link.post_job, captured.body(captured.tags, None))
    end = time.monotonic() + timeout
    pause = 0.1
    while True:
        status = ask(link.job, id_).status
        if status in FINAL:
            usage = ask(link.metrics, id_).usage.seconds
            return None if status != "Completed" or usage is None else usage
        if time.monotonic() > end:
            return None
        time.sleep(pause)
        pause = min(2 * pause, 5.0)
