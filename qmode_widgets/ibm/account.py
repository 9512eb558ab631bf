"""What a plan reads of the account: the instance's plan and the usage it has left. One request, and none for a fake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import QmodeError
from .client import instance_of, is_local
from .link import link_of


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
        return Account(link.plan, link.usage_left())
    except QmodeError:
        return Account()
