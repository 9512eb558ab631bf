"""What an agent is told, as plain JSON values. Text of the service, of tags and of circuits is data, in one line.

`None` means unknown; it is never 0. Times are ISO 8601 in UTC on the service's clock. `shapes` has the types.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ..control.controller import Controller
from ..errors import printable
from ..model.merge import Partial
from ..model.outcome import CancelOutcome
from ..model.snapshot import JobSnapshot, JobState, Usage, WorkloadSnapshot
from ..planning.plan import Plan
from ..planning.usage import UsageEstimate

Json = dict[str, Any]
MOST_JOBS, MOST_EVENTS, MOST_SETS, MOST_VALUES = 100, 10, 32, 1_000


def plain(value: Any) -> Any:
    """JSON values: text in one line, no NaN."""
    if isinstance(value, str):
        return printable(str(value))
    if isinstance(value, dict):
        return {printable(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    return value


def time(seconds: float | None) -> str | None:
    """ISO 8601 in UTC, to the second."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return None


def estimate(found: UsageEstimate) -> Json:
    """An estimate in QPU seconds."""
    return {
        "low": found.low,
        "expected": found.expected,
        "high": found.high,
        "jobs": found.jobs,
        "formula": found.formula,
        "assumed": list(found.assumed),
    }


def plan(found: Plan) -> Json:
    """A plan: the advised mode, why, what each mode is billed, and what to mind."""
    return {
        "backend": found.backend,
        "mode": found.mode,
        "why": [r.text for r in found.reasons],
        "jobs": len(found.partitions),
        "partitions": [p.label for p in found.partitions[:MOST_JOBS]],
        "bill": _bill(found, found.mode),
        "modes": {
            m: {"bill": _bill(found, m), "first_result_after": f.first_result, "last_result_after": f.last_result}
            for m, f in found.forecasts.items()
        },
        "usage": estimate(found.usage),
        "findings": [f"{f.level}: {f.message}" for f in found.findings],
        "warnings": [w.text for w in found.advice.warnings],
        "assumed": list(found.forecasts[found.mode].assumed),
    }


def _bill(found: Plan, mode: Any) -> Json:
    bill = found.bills[mode]
    return {"low": bill.low, "expected": bill.expected, "high": bill.high}


def cancelled(outcome: CancelOutcome) -> Json:
    """What came of cancelling one job, and why it was refused."""
    why = outcome.refusal
    return {
        "outcome": outcome.result.name.lower(),
        "failed": outcome.failed,
        "code": None if why is None else why.code if why.code is not None else why.status,
        "reason": None if why is None else why.reason,
    }


def workload(controller: Controller) -> Json:
    """The state of one workload: what needs attention first."""
    state = controller.snapshot()
    current = [j for j in state.jobs if not j.superseded]
    counts: dict[str, int] = {}
    for job in current:
        counts[job.state] = counts.get(job.state, 0) + 1
    urgent = sorted(current, key=lambda j: j.state is JobState.DONE)
    return {
        "id": state.id,
        "workload_id": state.workload_id,
        "mode": state.mode,
        "backend": state.backend,
        "instance": state.instance,
        "state": state.state,
        "accepting_jobs": state.accepting_jobs,
        "finished": bool(current) and all(j.state.final for j in current),
        "counts": counts,
        "jobs": [_job(j) for j in urgent[:MOST_JOBS]],
        "jobs_not_shown": max(0, len(current) - MOST_JOBS),
        "usage": _usage(state.usage),
        "max_ttl_ends": time(state.ttl.max_deadline),
        "limits": [_limit(state, i) for i in range(len(state.limits))],
        "events": [{"time": time(e.time), "level": e.level, "text": e.text} for e in state.events[-MOST_EVENTS:]],
        "problem": state.problem,
    }


def _usage(usage: Usage) -> Json:
    return {
        "reported": usage.reported,
        "status": usage.status,
        "expected": usage.estimated,
        "idle": usage.idle,
        "cap": usage.cap,
        "instance_left": usage.instance_left,
    }


def _limit(state: WorkloadSnapshot, i: int) -> Json:
    limit = state.limits[i]
    where = "the service" if limit.where == "service" else "this server, while it runs"
    return {"name": limit.name, "value": limit.value, "kept_by": where, "acted": time(limit.acted)}


def _job(job: JobSnapshot) -> Json:
    found = {
        "job": job.job_id or job.key,
        "state": job.state,
        "partition": None if job.partition is None else job.partition + 1,
        "attempt": job.attempt + 1,
        "pubs": job.pubs,
        "usage": job.usage.reported,
        "expected_usage": job.usage.estimated,
        "label": job.label,
        "note": job.note,
        "reason": job.reason,
        "reason_code": job.reason_code,
        "advice": job.reason_solution,
    }
    return {k: v for k, v in found.items() if v is not None}


# --- results -----------------------------------------------------------------------------------------------------


def result(controller: Controller, outcomes: int) -> Json | None:
    """What there is of the last run's result; None without a run.

    A private job's result can be read once, so it is left to its owner.
    """
    if not controller.runs:
        return None
    run = controller.runs[-1]
    if any(j.private for j in run.jobs):
        return {"note": "the jobs are private: their results can be read once, so they are left to be read in Python"}
    got = run.partial_result()
    missing = [str(piece) for piece in getattr(got, "missing", ())]
    there = got.pubs if isinstance(got, Partial) else dict(enumerate(got))  # one job's own result is not merged
    pubs = [{"pub": i, **_pub(pub, outcomes)} for i, pub in sorted(there.items())]
    return {"run": run.id, "pubs": pubs, "missing": missing}


def _pub(found: Any, outcomes: int) -> Json:
    data = getattr(found, "data", None)
    if data is None:
        return {"text": str(found)[:MOST_VALUES]}
    return {name: _values(value, outcomes) for name, value in data.items()}


def _values(value: Any, outcomes: int) -> Any:
    if hasattr(value, "get_counts"):
        if not value.shape:
            return _counts(value.get_counts(), value.num_shots, outcomes)
        every = list(np.ndindex(value.shape))
        shown = [
            {"set": list(at), **_counts(value.get_counts(at), value.num_shots, outcomes)} for at in every[:MOST_SETS]
        ]
        return {"sets": shown, "sets_not_shown": max(0, len(every) - MOST_SETS)}
    array = np.asarray(value)
    flat = array.ravel()[:MOST_VALUES].tolist()
    return {"shape": list(array.shape), "values": flat, "values_not_shown": max(0, array.size - MOST_VALUES)}


def _counts(counts: dict[str, int], shots: int, outcomes: int) -> Json:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = ordered[outcomes:]
    return {
        "shots": shots,
        "counts": dict(ordered[:outcomes]),
        "outcomes_not_shown": len(rest),
        "shots_not_shown": sum(n for _, n in rest),
    }
