"""A request and an answer, as endpoints see them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ..service.errors import bad_request


@dataclass(frozen=True, slots=True)
class Request:
    """What an endpoint may know of a request."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes
    authorization: str
    crn: str
    api: bool = True  # the path lies below the API's base

    def one(self, name: str) -> str | None:
        """A query parameter."""
        values = self.query.get(name)
        return values[-1] if values else None

    def flag(self, name: str) -> bool | None:
        """A query parameter that is true or false."""
        value = self.one(name)
        if value is None:
            return None
        if value.lower() not in ("true", "false"):
            raise bad_request(f"{name} must be true or false, not {value[:60]!r}")
        return value.lower() == "true"

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A query parameter that is a whole number."""
        value = self.one(name)
        try:
            number = default if value is None else int(value)
        except ValueError:
            raise bad_request(f"{name} must be a number, not {str(value)[:60]!r}") from None
        if not low <= number <= high:
            raise bad_request(f"{name} must be between {low} and {high}, not {number}")
        return number

    def json(self) -> dict[str, Any]:
        """The body, an object."""
        try:
            # A client of another language may send what Python's parser would read as a number that JSON has not.
            value = json.loads(self.body, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise bad_request(f"The body is not JSON: {str(error)[:100]}") from None
        if not isinstance(value, dict):
            raise bad_request("The body must be an object.")
        return value


def _no_constant(name: str) -> float:
    return float(name)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: an object as JSON, or raw bytes."""

    body: Any
    status: int = 200
    raw: bytes | None = None
    type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    def bytes(self) -> bytes:
        """The body as it is sent."""
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else json.dumps(self.body).encode()


NOTHING = Answer(None, 204)
