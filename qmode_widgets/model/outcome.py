"""What came of cancelling, closing and ending: typed, and printed as a sentence. Texts are made from it, never read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ..errors import QmodeError, ServiceError, printable


class Outcome(Protocol):
    """What came of something that was asked for: a sentence, and whether it was not done."""

    @property
    def failed(self) -> bool:
        """It was not done, or it is not known whether it was."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Done:
    """It was done; `text` says what."""

    text: str

    @property
    def failed(self) -> bool:
        """Never."""
        return False

    def __str__(self) -> str:
        return self.text


class Cancelled(StrEnum):
    """What came of cancelling one job."""

    CANCELLED = "cancelled"  # the service accepted it; a running job bills what it used until then
    DROPPED = "dropped before it was sent"
    ENDED = "had already ended"
    ASKED = "already asked for"
    WHEN_ANSWERED = "to be cancelled as soon as it is answered"  # its submission is under way
    WHEN_FOUND = "to be cancelled as soon as it is found on the service"  # the answer to its submission was lost
    REFUSED = "refused"
    UNKNOWN = "not known whether it was cancelled"


class Closed(StrEnum):
    """What came of closing a workload."""

    CLOSED = "closed"
    QUEUE_CANCELLED = "closed, its queue is cancelled"
    ALREADY = "was closed already"
    NOT_NEEDED = "a job needs no closing"
    REFUSED = "not closed, the service refuses"
    UNKNOWN = "not known whether it was closed"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not done. `code` is the service's own, `status` HTTP's; both are missing without an answer."""

    reason: str
    code: int | str | None = None
    status: int | None = None

    @classmethod
    def of(cls, error: QmodeError) -> Refusal:
        """From the service's error, or from what kept it from answering."""
        if isinstance(error, ServiceError):
            text = f"{error.plain} {error.solution}" if error.solution else error.plain
            return cls(text, error.code, error.status or None)
        return cls(printable(str(error)))

    def __str__(self) -> str:
        number = self.status if self.code is None else printable(str(self.code))
        return self.reason if number is None else f"{number} {self.reason}"


@dataclass(frozen=True, slots=True)
class CancelOutcome:
    """What came of cancelling one job; `refusal` says why it was refused or is not known."""

    result: Cancelled
    refusal: Refusal | None = None

    @property
    def failed(self) -> bool:
        """The job may go on and cost usage."""
        return self.result in (Cancelled.REFUSED, Cancelled.UNKNOWN)

    def __str__(self) -> str:
        return str(self.result) if self.refusal is None else f"{self.result}: {self.refusal}"


class CancelOutcomes(Mapping[str, CancelOutcome]):
    """What came of cancelling several jobs, by row key (`JobSnapshot.key`)."""

    __slots__ = ("_by_row",)

    def __init__(self, by_row: Mapping[str, CancelOutcome]) -> None:
        self._by_row = dict(by_row)

    def __getitem__(self, row: str) -> CancelOutcome:
        return self._by_row[row]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_row)

    def __len__(self) -> int:
        return len(self._by_row)

    @property
    def refused(self) -> dict[str, CancelOutcome]:
        """Those that failed: refused, or not known."""
        return {row: outcome for row, outcome in self._by_row.items() if outcome.failed}

    @property
    def failed(self) -> bool:
        """At least one job may go on and cost usage."""
        return bool(self.refused)

    def __str__(self) -> str:
        counts: dict[str, int] = {}
        for outcome in self._by_row.values():
            counts[str(outcome)] = counts.get(str(outcome), 0) + 1
        return ", ".join(f"{n} {what}" for what, n in counts.items()) or "nothing to cancel"

    def __repr__(self) -> str:
        return f"CancelOutcomes({self._by_row!r})"


@dataclass(frozen=True, slots=True)
class CloseOutcome:
    """What came of closing a workload, and how many of its jobs may still cost usage."""

    result: Closed
    running: int = 0
    queued: int = 0
    refusal: Refusal | None = None

    @property
    def failed(self) -> bool:
        """It may still be open, and a session is billed until it is closed."""
        return self.result in (Closed.REFUSED, Closed.UNKNOWN)

    def __str__(self) -> str:
        text = str(self.result) if self.refusal is None else f"{self.result}: {self.refusal}"
        left = [f"{n} {word}" for n, word in ((self.running, "running"), (self.queued, "queued")) if n]
        if not left or self.result is Closed.NOT_NEEDED:
            return text
        noun = "job" if self.running + self.queued == 1 else "jobs"
        return f"{text}; {' and '.join(left)} {noun} may still use the QPU"


@dataclass(frozen=True, slots=True)
class EndOutcome:
    """What came of ending a workload: of its jobs, and of closing it."""

    cancelled: CancelOutcomes
    closed: CloseOutcome

    @property
    def failed(self) -> bool:
        """A job may go on, or the workload may still be open."""
        return self.cancelled.failed or self.closed.failed

    def __str__(self) -> str:
        said = [str(self.cancelled)] if self.cancelled else []
        if self.closed.result is not Closed.NOT_NEEDED or not said:
            said.append(str(self.closed))
        return "; ".join(said)
