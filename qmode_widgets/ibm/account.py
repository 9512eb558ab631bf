"""What a plan reads of the account: the instance's plan and the usage it has left. One request, and none for a fake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import QmodeError
from .client import instance_of, is_local
from .link import link_of
from .wire import Json, number


@dataclass(frozen=True, slots=True)
class Account:
    """The plan's name and the seconds that may still be used; None where the service does not tell."""

    plan: str | None = None
    left: float | None = None


def account(backend: Any) -> Account:
    """Read the instance a backend came from. What cannot be read is unknown: a plan must not fail for it."""
    if getattr(backend, "service", None) is None:
        return Account()
    instance = instance_of(backend)
    if is_local(backend) or instance is None:
        return Account()
    try:
        link = link_of(backend.service, str(instance))
        return Account(link.plan, left_of(link.instance_usage()))
    except QmodeError:
        return Account()


def left_of(usage: Json) -> float | None:
    """Seconds that an instance may still use, from the answer to `GET /instances/usage`; None where no limit is told.

    An allocation is a share, not a limit: above it work runs at lower priority. Only the limit stops it.
    """
    if usage.get("usage_limit_reached"):
        return 0.0
    limit, consumed = number(usage.get("usage_limit_seconds")), number(usage.get("usage_consumed_seconds"))
    return None if limit is None else max(0.0, float(limit) - float(consumed or 0.0))
