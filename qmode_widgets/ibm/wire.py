"""IBM's JSON, read with care: a field may be missing, null or of another kind."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import requests
import urllib3

from ..errors import ServiceError

Json = dict[str, Any]

NUMBERS = ("interactive_ttl", "max_ttl", "active_ttl", "elapsed_time")
TEXTS = ("id", "state", "state_reason")


def session_json(data: Json) -> Json:
    """The session object with what we read of it in the kinds we expect; what is not of its kind is null: unknown."""
    clean = dict(data)
    clean |= {name: number(data.get(name)) for name in NUMBERS}
    clean |= {name: data[name] if isinstance(data.get(name), str) else None for name in TEXTS}
    accepting = data.get("accepting_jobs")
    clean["accepting_jobs"] = accepting if isinstance(accepting, bool) else None
    moves = data.get("timestamps")
    clean["timestamps"] = [m for m in moves if isinstance(m, dict)] if isinstance(moves, list) else []
    return clean


def seconds(stamp: object) -> float | None:
    """The service's ISO time as seconds since the epoch; None where it has none."""
    if not isinstance(stamp, str):
        return None
    try:
        found = datetime.fromisoformat(stamp)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def number(value: object) -> float | int | None:
    """A finite number as it is; None for anything else."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if good else None  # type: ignore[return-value]


def as_dict(value: object) -> Json:
    """A JSON object as it is; an empty one for anything else: the service may leave it out."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str | None:
    """As text; None stays None."""
    return None if value is None else str(value)


def error_of(answer: requests.Response) -> ServiceError:
    """The service's code, message and solution from an error body; `code` may be a string."""
    code: int | str | None = None
    message, solution = "", None
    try:
        first = answer.json()["errors"][0]
        code, message, solution = first.get("code"), str(first.get("message", "")), first.get("solution")
        if isinstance(code, str) and code.isdigit():
            code = int(code)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        message = answer.text.strip()[:300]
    return ServiceError(
        message or str(answer.reason),
        status=answer.status_code,
        code=code,
        solution=solution,
        retry_after=_retry_after(answer.headers.get("Retry-After")),
    )


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from either form of the header; None where there is none or it cannot be read."""
    if value is None:
        return None
    try:
        return urllib3.Retry().parse_retry_after(value)
    except urllib3.exceptions.InvalidHeader:
        return None
