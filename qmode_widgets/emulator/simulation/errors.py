"""How a job is refused or fails."""

from __future__ import annotations


class InvalidInputError(Exception):
    """The params cannot be understood; the submission gets 400."""


class JobError(Exception):
    """The job fails, as on the service: with a code, a reason and a solution."""

    def __init__(self, code: int, reason: str, solution: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.solution = solution
