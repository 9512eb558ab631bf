"""The vocabulary of `scheduler`: its rules, what can happen, and the histories it leaves. Seconds throughout."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

from .snapshot import WorkloadState


@dataclass(frozen=True, slots=True)
class Load:
    """Other users' jobs on the same QPU: Poisson arrivals `every` seconds on average, exponential QPU times."""

    every: float
    qpu: float
    prep: float = 2.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """What is configurable; the defaults are those seen on a paid plan, on a QPU nobody else uses."""

    lanes: int = 5
    queue_wait: float = 0.0  # what every passage through the queue takes at least
    max_ttl: float = 28800.0
    interactive_ttl: float = 60.0
    active_ttl: float | None = None
    empty_close: float | None = 1800.0
    calibration_every: float | None = None
    calibration_seconds: float = 300.0
    other_users: Load | None = None

    def __post_init__(self) -> None:
        if self.lanes < 1:
            raise ValueError(f"lanes={self.lanes}: a QPU needs at least one execution lane")
        for name in ("queue_wait", "max_ttl", "interactive_ttl", "calibration_seconds"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)}: give seconds, 0 or more")
        for name in ("calibration_every",):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name}={value}: give seconds above 0, or None for never")


class Stage(StrEnum):
    """Where a job is. The service shows PREPARING, PREPARED and ON_QPU all as Running."""

    QUEUED = "queued"
    PREPARING = "preparing"
    PREPARED = "prepared"
    ON_QPU = "on_qpu"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """The job has ended."""
        return self in _FINAL


_FINAL = frozenset({Stage.COMPLETED, Stage.CANCELLED, Stage.FAILED})


class What(StrEnum):
    """What can happen to a job or a workload."""

    QUEUED = "queued"
    PREPARING = "preparing"
    PREPARED = "prepared"
    ON_QPU = "on_qpu"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    OPENED = "opened"
    ACTIVATED = "activated"
    INACTIVATED = "inactivated"
    CLOSING = "closing"  # no further jobs, some still unfinished
    CLOSED = "closed"
    CALIBRATING = "calibrating"
    CALIBRATED = "calibrated"


class Happened(NamedTuple):
    """One entry of the history. `id` is a job's or a workload's; "" for the QPU itself."""

    time: float
    what: What
    id: str
    why: str = ""


@dataclass(slots=True, eq=False)
class Job:
    """One job's history. Durations as submitted; times are None until they are reached."""

    id: str
    workload: Workload | None
    prep: float
    qpu: float
    bill: float  # usage of the complete run
    limit: float | None = None  # max_execution_time: usage above it is cut off
    fails: Literal["user", "system"] | None = None
    held: bool = False  # preparation lasts until `ready`, however long `prep` is
    other: bool = False
    stage: Stage = Stage.QUEUED
    why: str = ""
    queued: float = 0.0
    prep_start: float | None = None
    prep_end: float | None = None
    qpu_start: float | None = None
    qpu_end: float | None = None
    ended: float | None = None
    lane: int | None = None
    billed: float = 0.0  # final once ended

    def usage(self, now: float) -> float:
        """Usage in seconds: what is billed so far, final once the job has ended."""
        if self.stage is Stage.ON_QPU and self.qpu_start is not None:
            return self._consumed(now)
        return self.billed

    def _consumed(self, now: float) -> float:
        assert self.qpu_start is not None
        spent = self.bill * min(1.0, (now - self.qpu_start) / self.qpu) if self.qpu > 0 else self.bill
        return spent if self.limit is None else min(spent, self.limit)


@dataclass(slots=True, eq=False)
class Workload:
    """A batch or a session and its history."""

    id: str
    mode: Literal["batch", "session"]
    max_ttl: float
    interactive_ttl: float
    active_ttl: float | None
    created: float
    state: WorkloadState = WorkloadState.OPEN
    accepting: bool = True
    why: str = ""
    started: float | None = None
    activated: float | None = None  # the last time
    closed: float | None = None
    last_job_started: float | None = None
    last_job_completed: float | None = None
    stretches: list[tuple[float, float]] = field(default_factory=list)  # active from, to; finished ones
    unfinished: int = 0
    waiting: deque[Job] = field(default_factory=deque)
    running: int = 0
    jobs: int = 0
    idle: float = 0.0  # active without an unfinished job, finished stretches
    _idle_since: float | None = None
    _jobs_usage: float = 0.0
    _bonus: float = 0.0  # billed beyond the clock: Job.bill may exceed Job.qpu
    _turn: Literal["none", "queued", "granted"] = "none"
    _draining: bool = False  # active TTL is over: no further starts
    _timer: int = 0
    _on_qpu: Job | None = None

    def active_seconds(self, now: float) -> float:
        """How long it has been active until `now`, all stretches together."""
        done = sum(b - a for a, b in self.stretches)
        return done + (now - self.activated if self.state is WorkloadState.ACTIVE and self.activated is not None else 0)

    def usage(self, now: float) -> float:
        """Usage in seconds until `now`: a batch's is its jobs', a session's is the time it was active."""
        job = self._on_qpu
        if self.mode == "session":
            sped_up = job.usage(now) - (now - job.qpu_start) if job and job.qpu_start is not None else 0.0
            return self.active_seconds(now) + self._bonus + sped_up
        return self._jobs_usage + (job.usage(now) if job else 0.0)

    def idle_seconds(self, now: float) -> float:
        """How long it was active without any unfinished job; a session is billed for it."""
        return self.idle + (now - self._idle_since if self._idle_since is not None else 0.0)
