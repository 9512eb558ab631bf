"""Rows of the store in the service's JSON: these fields, these names, and no others."""

from __future__ import annotations

import json
from statistics import fmean
from typing import Any

from ..options import Options
from . import rules
from .account import PERIOD, Instance
from .clock import Clock
from .store import Row

FINAL = ("Completed", "Cancelled", "Failed")
RAN_TOO_LONG = "Cancelled - Ran too long"


def job(row: Row, clock: Clock, version: str) -> dict[str, Any]:
    """Return a job, without its params. A job that ran longer than its cost says so in its status, not in its state."""
    state = {"status": row["status"]}
    for name in ("reason", "reason_code", "reason_solution"):
        if row[name] is not None:
            state[name] = row[name]
    shown = {
        "id": row["id"],
        "backend": row["backend"],
        "status": RAN_TOO_LONG if row["status"] == "Cancelled" and row["reason_code"] == 1305 else row["status"],
        "state": state,
        "program": {"id": row["program"]},
        "created": clock.shown(row["created"]),
        "cost": row["cost"],
        "tags": row["tags"],
        "estimated_running_time_seconds": round(row["estimate"], 2),
        "usage": usage(row) if version >= rules.USAGE_IN_CHARGES else {"seconds": round(row["usage"])},
        "user_id": row["user"],
    }
    for name in ("session_id", "calibration_id"):
        if row[name]:
            shown[name] = row[name]
    if row["private"]:
        shown["private"] = True
    if row["simulation"]:
        shown["simulation"] = json.loads(row["simulation"])  # ours: the real service has no such field
    return shown


def submitted(row: Row) -> dict[str, Any]:
    """Return the answer to a submission."""
    shown = {"id": row["id"], "backend": row["backend"]}
    for name in ("session_id", "calibration_id"):
        if row[name]:
            shown[name] = row[name]
    if row["private"]:
        shown["private"] = True
    return shown


def usage(row: Row) -> dict[str, Any]:
    """Return what a job was billed so far."""
    final = row["status"] in FINAL
    return {"qpu_charge_time_seconds": round(row["usage"]), "status": "complete" if final else "pending"}


def metrics(row: Row, clock: Clock, version: str) -> dict[str, Any]:
    """Return a job's metrics, as a version of the API tells them."""
    used = round(row["usage"])
    shown: dict[str, Any] = {
        "timestamps": {name: clock.shown(row[name]) for name in ("created", "running", "finished")},
        "usage": usage(row) if version >= rules.USAGE_IN_CHARGES else {"quantum_seconds": used, "seconds": used},
        "qiskit_version": "2.3.0",
    }
    if version < rules.USAGE_IN_CHARGES:
        shown["bss"] = {"seconds": used}
    if row["status"] == "Completed":
        place = shown if version >= rules.USAGE_AT_ROOT else shown["usage"]
        place["circuits_execution_time_ns"] = round(row["execution"] * 1e9)
    if row["caller"]:
        shown["caller"] = row["caller"]
    return shown


def session(row: Row, clock: Clock) -> dict[str, Any]:
    """Return a session or batch."""
    times = ("started_at", "activated_at", "closed_at", "last_job_started", "last_job_completed")
    return {
        "id": row["id"],
        "backend_name": row["backend"],
        "mode": row["mode"],
        "state": row["state"],
        "state_reason": row["reason"],
        "accepting_jobs": bool(row["accepting"]),
        "interactive_ttl": _whole(row["interactive_ttl"]),
        "max_ttl": _whole(row["max_ttl"]),
        "active_ttl": _whole(row["active_ttl"]),
        **{name: clock.shown(row[name.removesuffix("_at")]) for name in times},
        "elapsed_time": None if row["started"] is None else round(row["usage"], 2),
        "timestamps": [{"status": status, "timestamp": clock.shown(at)} for status, at in row["timestamps"]],
        "user_id": row["user"],
    }


def workload(row: Row, clock: Clock, instance: Instance) -> dict[str, Any]:
    """Return an entry of `GET /workloads`: a job in job mode, a session or a batch."""
    is_job = row["mode"] == "job"
    ended = row["ended"] is not None
    charged = {"qpu_charge_time_seconds": round(row["usage"]) if is_job else round(row["usage"], 2)}
    if is_job:
        charged["status"] = "complete" if ended else "pending"
    shown = {
        "id": row["id"],
        "created": clock.shown(row["created"]),
        "backend": row["backend"],
        "instance": instance.crn,
        "user_id": row["user"],
        "mode": row["mode"],
        "status": row["status"],
        "accepting_jobs": None if is_job else bool(row["accepting"]),
        "tags": row["tags"],
        "usage_seconds": charged["qpu_charge_time_seconds"],
        "usage": charged,
    }
    if ended:
        shown["ended"] = clock.shown(row["ended"])
    if row["reason"] is not None:
        shown["status_reason"] = row["reason"]
    if row["estimate"] is not None:
        shown["estimated_running_time_seconds"] = round(row["estimate"], 2)
    return shown


def instance_usage(instance: Instance, limit: int | None, used: float, now: float, clock: Clock) -> dict[str, Any]:
    """Return the answer to `GET /instances/usage`."""
    shown: dict[str, Any] = {
        "instance_id": instance.crn,
        "plan_id": instance.plan_id,
        "usage_consumed_seconds": round(used),
        "usage_period": {"start_time": clock.shown(now - PERIOD), "end_time": clock.shown(now)},
    }
    if limit is not None:
        shown |= {"usage_limit_seconds": limit, "usage_limit_reached": round(used) >= limit}
    if instance.allocation_seconds is not None:
        shown["usage_allocation_seconds"] = instance.allocation_seconds
    return shown


def instance_details(instance: Instance, limit: int | None, backends: list[str]) -> dict[str, Any]:
    """Return the answer to `GET /instance`; its seconds are strings, as on the service."""
    shown: dict[str, Any] = {"backends": backends, "plan_id": instance.plan_id}
    if limit is not None:
        shown |= {"instance_limit": limit, "instance_limit_seconds": str(limit)}
    if instance.allocation_seconds is not None:
        shown["usage_allocation_seconds"] = str(instance.allocation_seconds)
    return shown


def plan(
    instance: Instance, limit: int | None, backends: list[str], options: Options, now: float, clock: Clock
) -> dict[str, Any]:
    """Return a plan of `GET /accounts/{id}`: what an instance on it may use and its TTLs, in seconds."""
    longest = options.max_ttl if instance.batch_ttl is None else min(options.max_ttl, instance.batch_ttl)
    shown: dict[str, Any] = {
        "plan_id": instance.plan_id,
        "subscription_id": instance.subscription_id,
        "subscription_name": instance.plan,
        "backends": backends,
        "max_ttl": round(longest),
        "active_ttl": round(min(options.active_ttl, longest)),
        "interactive_ttl": round(options.interactive_ttl),
        "start_time": clock.shown(now - PERIOD),
        "end_time": clock.shown(now),
        "unallocated_usage_seconds": 0,
        "functions": [],
    }
    if limit is not None:
        shown["usage_limit_seconds"] = limit
    if instance.allocation_seconds is not None:
        shown["usage_allocation_seconds"] = instance.allocation_seconds
    return shown


def waits(seconds: list[float]) -> dict[str, float] | None:
    """Return how long jobs waited before they started, or None if none has."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return {
        "average": round(fmean(ordered)),
        "p50": round(ordered[len(ordered) // 2]),
        "p95": round(ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]),
    }


def defaults(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to `GET /backends/{name}/defaults`: frequencies in GHz; there are no pulses any more."""
    found = [p["value"] for qubit in properties["qubits"] for p in qubit if p["name"] == "frequency"]
    return {"qubit_freq_est": found, "meas_freq_est": [], "buffer": 0, "pulse_library": [], "cmd_def": []}


def analytics(row: Row) -> dict[str, Any]:
    """Return the usage analytics of one group; durations are milliseconds."""

    def figures(kind: str, name: str) -> dict[str, Any]:
        return {
            f"{name}": row.get(f"{kind}_count") or 0,
            f"{name}_usage": _ms(row.get(f"{kind}_total")),
            f"avg_{name}_usage": _ms(row.get(f"{kind}_average")),
            f"max_{name}_usage": _ms(row.get(f"{kind}_longest")),
        }

    batches, dedicated = figures("batch", "batch_sessions"), figures("dedicated", "dedicated_sessions")
    alone = figures("individual", "individual_jobs")
    count = batches["batch_sessions"] + dedicated["dedicated_sessions"]
    total = batches["batch_sessions_usage"] + dedicated["dedicated_sessions_usage"]
    return {
        "usage": total + alone["individual_jobs_usage"],
        "jobs": row.get("jobs") or 0,
        "sessions": count,
        "sessions_usage": total,
        "avg_sessions_usage": round(total / count) if count else 0,
        "max_sessions_usage": max(batches["max_batch_sessions_usage"], dedicated["max_dedicated_sessions_usage"]),
        **batches,
        **dedicated,
        **alone,
        "queue_time": _ms(row.get("queue_total")),
        "avg_queue_time": _ms(row.get("queue_average")),
        "max_queue_time": _ms(row.get("queue_longest")),
    }


def _ms(seconds: float | None) -> int:
    return round((seconds or 0.0) * 1000)


def _whole(seconds: float) -> int | float:
    return int(seconds) if seconds == int(seconds) else seconds
