"""What a plan reads of the account: the instance, its plan and allowance, and the state of a backend.

What cannot be read is unknown (None): a plan must not fail for it. A fake backend is asked nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from ..errors import QmodeError
from .client import instance_of, is_local
from .link import PAGE, Link, ask, link_of
from .wire import InstanceUsage

WINDOW = timedelta(days=28)  # of the Open Plan's allowance
PAGES = 5  # of jobs that are looked through for what returns when


@dataclass(frozen=True, slots=True)
class Account:
    """The instance that a backend came from, and the backend's state. Seconds; None where the service does not tell."""

    plan: str | None = None
    left: float | None = None  # that may still be used: the limit minus what was consumed
    instance: str | None = None  # its name, or its CRN
    consumed: float | None = None
    allocation: float | None = None  # a share, not a limit: above it work runs at lower priority
    period_end: float | None = None  # of the usage, in seconds since the epoch
    status: str | None = None  # of the backend: "active", "maintenance", "internal", …
    operational: bool | None = None
    pending: int | None = None  # jobs of all users
    wait: Mapping[str, Any] | None = None  # how long jobs waited: `wait_time_seconds`, as the service tells it


def account(backend: Any, *, usage: bool = True) -> Account:
    """Read the instance, the backend and how long jobs waited on it: one request each.

    Args:
        backend: an `IBMBackend`; anything else has no account.
        usage: whether to ask for what the instance used, or only for the backend's state.
    """
    state = _state(backend)
    link = _link(backend)
    if link is None:
        return Account(**state)
    told = InstanceUsage()
    if usage:
        with suppress(QmodeError):
            told = ask(link.instance_usage)
    with suppress(QmodeError):
        state["wait"] = ask(link.wait_times, str(backend.name))
    return Account(link.plan, told.left, link.instance_label, told.consumed, told.allocation, told.period_end, **state)


def _link(backend: Any) -> Link | None:
    if getattr(backend, "service", None) is None or is_local(backend):
        return None
    instance = instance_of(backend)
    try:
        return None if instance is None else link_of(backend.service, str(instance))
    except QmodeError:
        return None


def _state(backend: Any) -> dict[str, Any]:
    status = getattr(backend, "status", None)
    if not callable(status) or getattr(backend, "service", None) is None:
        return {}  # a fake backend has no queue
    try:
        told = status()
        return {
            "status": str(getattr(told, "status_msg", "")) or None,
            "operational": getattr(told, "operational", None),
            "pending": int(told.pending_jobs),
        }
    except Exception:  # noqa: BLE001 - a plan must not fail because a queue cannot be read
        return {}


def seconds_return(backend: Any) -> list[tuple[date, float]]:
    """When used seconds of a rolling 28 days come back, by day: what jobs of the last 28 days were billed.

    Only jobs that this user can list count, so it may be more. A few requests.
    """
    link = _link(backend)
    if link is None:
        return []
    now = datetime.fromtimestamp(link.now(), UTC)
    days: dict[date, float] = defaultdict(float)
    with suppress(QmodeError):
        for page in range(PAGES):
            listed = ask(link.jobs, offset=PAGE * page)
            for job in listed.jobs:
                if job.created is None or not job.usage.seconds:
                    continue
                back = datetime.fromtimestamp(job.created, UTC) + WINDOW
                if back < now:
                    return sorted(days.items())
                days[back.date()] += job.usage.seconds
            if listed.listed < PAGE:
                break
    return sorted(days.items())


def mock_of(backend: str) -> str:
    """The mock backend that stands for a QPU in a dry run: `ibm_fez` → `mock_fez`, as the client names it."""
    return re.sub(r"^[^_]+", "mock", backend)
