"""Where the result of a run comes from: its jobs, options, plan, bill, calibration and versions, at one moment.

What a report shows and an archive keeps. Plain values only; the account's token is none of them.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ...errors import QmodeError
from ...model.snapshot import Mode, Usage, WorkloadSnapshot, WorkloadState
from ...planning.content import PlanContent
from ...planning.forecast import Bill
from ...portal import call, portal
from ..state import accounting
from ..state.ledger import Ledger

PACKAGES = ("qiskit-ibm-runtime", "qiskit", "qiskit-aer", "numpy")
LONGEST_OPTION = 2_000  # characters of one option's value; a noise model is megabytes


@dataclass(frozen=True, slots=True)
class PlannedMode:
    """What a plan forecast for one mode: seconds until the first and the last result, and the bill in seconds."""

    mode: Mode
    first_result: float | None
    last_result: float | None
    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class Planned:
    """What a plan said before the run was submitted."""

    mode: Mode  # the advised one
    jobs: int
    reasons: tuple[str, ...]
    modes: tuple[PlannedMode, ...]
    findings: tuple[str, ...] = ()
    price: float | None = None  # of the expected bill, in the currency of the plan's `price_per_minute`

    @classmethod
    def of(cls, plan: PlanContent) -> Planned:
        """The gist of a plan."""
        modes = tuple(
            PlannedMode(m, f.first_result, f.last_result, *_bill(plan.bills[m])) for m, f in plan.forecasts.items()
        )
        return cls(
            plan.mode,
            len(plan.partitions),
            tuple(r.text for r in plan.reasons),
            modes,
            tuple(f"{f.level}: {f.message}" for f in plan.findings),
            plan.price(),
        )


def _bill(bill: Bill) -> tuple[float, float, float]:
    return bill.low, bill.expected, bill.high


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known of a run at one moment. Times are seconds since the epoch on the service's clock.

    `workload` holds the run's own jobs only, every attempt at each of them; its usage is the whole workload's, `usage`
    that of the run's jobs.
    """

    run: str
    label: str | None
    workload: WorkloadSnapshot
    usage: Usage
    at: float
    options: dict[str, Any] | None = None  # of the primitive; None where nobody knows them any more
    plan: Planned | None = None  # what its plan said, if there was one
    calibrated: float | None = None  # the last calibration before the run's first job ran
    versions: dict[str, str] | None = None  # of the process that wrote this


def provenance(ledger: Ledger, run: str, *, options: Mapping[str, Any] | None, plan: PlanContent | None) -> Provenance:
    """What is known now. Asks the service for the calibration, and for the options where they are not given."""
    whole, label = portal().call(lambda: (ledger.snapshot(), ledger.label(run)))
    jobs = tuple(job for job in whole.jobs if job.run == run)
    began = min((t for j in jobs if (t := j.running or j.created) is not None), default=None)
    return Provenance(
        run=run,
        label=label,
        workload=replace(whole, jobs=jobs),
        usage=run_usage(ledger, run),
        at=ledger.link.now(),
        options=_stored_options(ledger, jobs) if options is None else plain(options),
        plan=None if plan is None else Planned.of(plan),
        calibrated=_calibrated(ledger, began),
        versions=versions(),
    )


def run_usage(ledger: Ledger, run: str) -> Usage:
    """The usage of the jobs of one run, every attempt included."""

    def accounts() -> list[accounting.JobAccount]:
        return [r.account(None) for r in ledger.records.values() if r.key is not None and r.key.run == run]

    jobs = portal().call(accounts)
    return accounting.workload_usage("job", WorkloadState.ACTIVE, jobs, [], None, cap=None, instance_left=None)


def versions() -> dict[str, str]:
    """The versions that run here."""
    own = getattr(sys.modules.get("qmode_widgets"), "__version__", "?")
    found = {"python": platform.python_version(), "qmode_widgets": str(own)}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON holds it: what it does not know becomes text, cut where it is long."""
    found: dict[str, Any] = json.loads(json.dumps(value, default=_text))
    return found


def _text(value: object) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy number
        return value.item()
    said = str(value)
    return said if len(said) <= LONGEST_OPTION else f"{said[:LONGEST_OPTION]}… ({len(said)} characters)"


def _calibrated(ledger: Ledger, before: float | None) -> float | None:
    try:
        return call(ledger.link.calibrated_at, ledger.backend, before, waits=True)
    except QmodeError:
        return None  # the rest is worth having without it


def _stored_options(ledger: Ledger, jobs: tuple[Any, ...]) -> dict[str, Any] | None:
    """The options in the stored inputs of the run's first job; a private job's are never returned."""
    first = next((j for j in jobs if j.job_id is not None and not j.private), None)
    if first is None:
        return None
    try:
        found = call(ledger.link.stored, first.job_id, waits=True).get("params", {}).get("options")
    except (QmodeError, AttributeError):
        return None
    return plain(found) if isinstance(found, dict) else None
