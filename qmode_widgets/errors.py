"""What can go wrong: one tree. Those that are errors of a value as well are also `ValueError`s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Finding(Protocol):
    """What a plan found against running it."""

    @property
    def message(self) -> str:
        """In a sentence."""
        ...


class QmodeError(Exception):
    """The base of this package's errors."""


class ServiceError(QmodeError):
    """The service answered with an error. `status` is HTTP's, `code` the service's own (1217: session closed, …)."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: int | str | None = None,
        solution: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status, self.code, self.solution, self.retry_after = status, code, solution, retry_after
        self.plain = message
        text = f"{code} {message}" if code is not None else f"HTTP {status}: {message}"
        super().__init__(f"{text} {solution}" if solution else text)

    @property
    def outcome_unknown(self) -> bool:
        """A 5xx (or 408) to a POST does not say whether the job was created."""
        return self.status >= 500 or self.status == 408

    @property
    def passing(self) -> bool:
        """Asking again later may help: too many requests, or the service stumbled."""
        return self.outcome_unknown or self.status == 429


class UnreachableError(QmodeError):
    """No answer. `sent` is False when the request certainly did not reach the service."""

    def __init__(self, message: str, *, sent: bool) -> None:
        self.sent = sent
        super().__init__(message)


class SubmissionError(QmodeError):
    """A `submit` call that was refused before anything was sent."""


class IncompleteResultError(QmodeError):
    """Not all partitions have a result. `partial` holds what there is, by partition."""

    def __init__(self, message: str, missing: dict[int, str]) -> None:
        self.missing = missing
        super().__init__(message)


class PlanError(QmodeError, ValueError):
    """A plan cannot be run as it is. `findings` say why, each with a `message`."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(f.message for f in findings) + ". Pass force=True to submit all the same")


class PubError(QmodeError, ValueError):
    """Something is wrong with one PUB; `pub` is its index."""

    def __init__(self, pub: int, message: str) -> None:
        self.pub = pub
        super().__init__(f"PUB {pub}: {message}")
