"""What a user can ask of a workload, and what came of it. A command never runs where it arrives: it is enqueued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from .snapshot import WorkloadSnapshot


class Action(StrEnum):
    """The commands a screen offers."""

    CANCEL = "cancel"  # one job; `target` is a JobSnapshot.key
    DROP = "drop"  # one partition that is not sent yet
    CANCEL_REMAINING = "cancel_remaining"  # whatever has not started, and what is not sent yet
    CANCEL_ALL = "cancel_all"
    CLOSE = "close"  # no further jobs; queued ones still run
    END = "end"  # cancel whatever has not ended, then close
    RESUBMIT = "resubmit"
    RESUBMIT_FAILED = "resubmit_failed"
    # whatever failed, was refused, cancelled or dropped; `target`: the usage cap in seconds that is set first, if any
    RESUBMIT_MISSING = "resubmit_missing"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Command:
    """One click or call. `id` is the sender's and comes back with every answer."""

    id: str
    workload: str
    action: Action
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to a command: `accepted` at once, then `done` or `failed` with the service's own words."""

    id: str
    status: str  # "accepted" | "done" | "failed"
    message: str = ""


class Resubmitted(Protocol):
    """What a resubmission returns; `sent` are the keys of the jobs that it sent."""

    @property
    def sent(self) -> tuple[str, ...]:
        """The keys of the jobs that the call sent."""
        ...


class Controllable(Protocol):
    """What a screen needs of a controller; nothing more crosses from control to frontend."""

    @property
    def id(self) -> str:
        """The workload's id."""
        ...

    def snapshot(self) -> WorkloadSnapshot:
        """The latest state; no request, never blocks."""
        ...

    def on_change(self, callback: Callable[[WorkloadSnapshot], None]) -> Callable[[], None]:
        """Call back with each changed snapshot, on a thread of its own; returns what ends it."""
        ...

    def cancel(self, job: str) -> str:
        """Cancel one job, or drop a partition that is not sent yet; says what came of it."""
        ...

    def cancel_remaining(self) -> dict[str, str]:
        """Cancel what has not started; by job, what came of it."""
        ...

    def cancel_all(self) -> dict[str, str]:
        """Cancel whatever has not ended; by job, what came of it."""
        ...

    def close(self) -> str:
        """No further jobs; queued ones still run."""
        ...

    def resubmit(self, job: str) -> Resubmitted:
        """Run one job's work again."""
        ...

    @property
    def usage_cap(self) -> float | None:
        """QPU seconds after which nothing more is sent; it can be set."""
        ...

    @usage_cap.setter
    def usage_cap(self, seconds: float) -> None: ...

    def resubmit_failed(self) -> Sequence[Resubmitted]:
        """Run all failed work again."""
        ...

    def refresh(self) -> WorkloadSnapshot:
        """Ask the service now."""
        ...
