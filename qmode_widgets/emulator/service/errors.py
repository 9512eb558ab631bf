"""Errors in the service's own shape: `{"errors": [{code, message, solution, more_info}], "trace": …}`."""

from __future__ import annotations

import uuid
from typing import Any

MORE_INFO = "https://quantum.cloud.ibm.com/docs/errors"


class ApiError(Exception):
    """A request is refused.

    Args:
        status: the HTTP status.
        code: the service's error code.
        message: what is wrong.
        solution: what to do about it.
        **headers: response headers, with underscores for dashes.
    """

    def __init__(self, status: int, code: int | str, message: str, solution: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.solution = solution
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def body(self) -> dict[str, Any]:
        """Return the JSON body."""
        error = {"code": self.code, "message": self.message, "solution": self.solution, "more_info": MORE_INFO}
        return {"errors": [error], "trace": str(uuid.uuid4())}


def not_found(what: str, id: str) -> ApiError:
    """Return the 404 for a job, session or backend that does not exist."""
    code = {"Job": 1291, "Session": 1217, "Backend": 1216}.get(what, 1200)
    return ApiError(404, code, f"{what} not found. {what} ID: {id}", "Verify the ID is correct.")


def bad_request(message: str, solution: str = "Correct the request and try again.", code: int | str = 1210) -> ApiError:
    """Return the 400 for a request with an invalid value."""
    return ApiError(400, code, message, solution)
