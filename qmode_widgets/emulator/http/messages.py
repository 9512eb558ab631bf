"""A request and a response, as endpoints see them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ..service.errors import bad_request


@dataclass(frozen=True, slots=True)
class Request:
    """What an endpoint may know of a request."""

    query: dict[str, list[str]]
    body: bytes
    user: str
    version: str  # of the API, as asked for
    caller: str | None = None  # the client and its version, from its `x-qx-client-application` header

    def text(self, name: str) -> str | None:
        """Return a query parameter."""
        values = self.query.get(name)
        return values[-1] if values else None

    def flag(self, name: str) -> bool | None:
        """Return a query parameter that is true or false."""
        value = self.text(name)
        if value is None:
            return None
        if value.lower() not in ("true", "false"):
            raise bad_request(f"{name} must be true or false, not {value[:60]!r}")
        return value.lower() == "true"

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Return a query parameter that is a whole number within bounds."""
        value = self.text(name)
        try:
            number = default if value is None else int(value)
        except ValueError:
            raise bad_request(f"{name} must be a number, not {str(value)[:60]!r}") from None
        if not low <= number <= high:
            raise bad_request(f"{name} must be between {low} and {high}, not {number}")
        return number

    def number_or_default(self, name: str, default: int, low: int, high: int) -> int:
        """Return a query parameter that is a whole number, or the default if it is out of bounds."""
        try:
            number = int(self.text(name) or default)
        except ValueError:
            return default
        return number if low <= number <= high else default

    def json(self) -> dict[str, Any]:
        """Return the body, which must be an object."""
        return json_object(self.body)


def json_object(body: bytes) -> dict[str, Any]:
    """Return the object that a JSON body holds."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise bad_request("The body must be an object.")
    return value


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back: an object as JSON, or raw bytes."""

    body: Any
    status: int = 200
    raw: bytes | None = None
    type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    def bytes(self) -> bytes:
        """Return the body as it is sent."""
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else json.dumps(self.body).encode()


NOTHING = Response(None, 204)
