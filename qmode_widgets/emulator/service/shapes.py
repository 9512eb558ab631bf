"""Rows of the store in the service's JSON: these fields, these names, and no others."""

from __future__ import annotations

from typing import Any

from .account import PERIOD, USER_ID, Instance
from .clock import Clock
from .store import Row

FINAL = ("Completed", "Cancelled", "Failed")


def job(row: Row, clock: Clock) -> dict[str, Any]:
    """A job, without its params."""
    state = {"status": row["status"]}
    for name in ("reason", "reason_code", "reason_solution"):
        if row[name] is not None:
            state[name] = row[name]
    shown = {
        "id": row["id"],
        "backend": row["backend"],
        "status": row["status"],
        "state": state,
        "program": {"id": row["program"]},
        "created": clock.shown(row["created"]),
        "tags": row["tags"],
        "private": bool(row["private"]),
        "estimated_running_time_seconds": round(row["estimate"], 2),
        "usage": usage(row),
        "user_id": USER_ID,
    }
    if row["session_id"]:
        shown["session_id"] = row["session_id"]
    if row["cost"]:
        shown["cost"] = row["cost"]
    return shown


def usage(row: Row) -> dict[str, Any]:
    """What a job was billed so far."""
    final = row["status"] in FINAL
    return {"qpu_charge_time_seconds": round(row["usage"]), "status": "complete" if final else "pending"}


def metrics(row: Row, clock: Clock) -> dict[str, Any]:
    """A job's metrics."""
    return {
        "timestamps": {name: clock.shown(row[name]) for name in ("created", "running", "finished")},
        "usage": usage(row),
        "circuits_execution_time_ns": round(row["execution"] * 1e9) if row["status"] == "Completed" else None,
        "qiskit_version": "2.3.0",
    }


def session(row: Row, clock: Clock) -> dict[str, Any]:
    """A session or batch."""
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
        "user_id": USER_ID,
    }


def workload(row: Row, clock: Clock, instance: Instance) -> dict[str, Any]:
    """An entry of `GET /workloads`: a job in job mode, a session or a batch."""
    return {
        "id": row["id"],
        "created": clock.shown(row["created"]),
        "ended": clock.shown(row["ended"]),
        "backend": row["backend"],
        "instance": instance.crn,
        "user_id": USER_ID,
        "mode": row["mode"],
        "status": row["status"],
        "status_reason": row["reason"],
        "accepting_jobs": bool(row["accepting"]),
        "tags": row["tags"],
        "usage_seconds": round(row["usage"]),
        "estimated_running_time_seconds": None if row["estimate"] is None else round(row["estimate"], 2),
    }


def instance_usage(instance: Instance, used: float, now: float, clock: Clock) -> dict[str, Any]:
    """`GET /instances/usage`."""
    shown: dict[str, Any] = {
        "instance_id": instance.crn,
        "plan_id": instance.plan_id,
        "usage_consumed_seconds": round(used),
        "usage_limit_reached": instance.limit_seconds is not None and used >= instance.limit_seconds,
        "usage_period": {"start_time": clock.shown(now - PERIOD), "end_time": clock.shown(now)},
    }
    if instance.limit_seconds is not None:
        shown |= {"usage_limit_seconds": instance.limit_seconds, "usage_allocation_seconds": instance.limit_seconds}
    return shown


def _whole(seconds: float) -> int | float:
    return int(seconds) if seconds == int(seconds) else seconds
