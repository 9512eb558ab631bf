"""What a screen can ask of a workload. A command never runs where it arrives: it is enqueued."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from .outcome import Outcome
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
class Ack:
    """The answer to a command: `accepted` at once, then `done` or `failed` with the outcome as a sentence."""

    id: str
    status: str  # "accepted" | "done" | "failed"
    message: str = ""


class Controllable(Protocol):
    """What a screen needs of a controller; nothing more crosses from control to frontend."""

    @property
    def id(self) -> str:
        """The workload's id."""
        ...

    def snapshot(self) -> WorkloadSnapshot:
        """The latest state; no request."""
        ...

    def listen(self, callback: Callable[[WorkloadSnapshot], None]) -> Callable[[], None]:
        """Call back with each changed snapshot, on the loop: it must return at once. Returns what ends it."""
        ...

    async def perform(self, action: Action, target: str | None) -> Outcome:
        """Carry out a command, on the loop."""
        ...
