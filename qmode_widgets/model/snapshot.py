"""What is known of a workload at one moment: frozen, absolute in time, and the same for every screen.

Times are seconds since the epoch **on the service's clock** (`clock_offset` turns them into local ones); durations and
usage are seconds. `None` means unknown and is never shown as 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Mode = Literal["job", "batch", "session"]


class JobState(StrEnum):
    """Where a partition's job is. The first two exist only on our side; the rest are the service's own states."""

    WAITING = "waiting"  # not sent yet: paced, or its workload is not open
    UNKNOWN = "unknown"  # the answer to its submission was lost: being looked up, never silently sent again
    REFUSED = "refused"  # the service answered the submission with an error: nothing runs, nothing is billed
    DROPPED = "dropped"  # the user took it back before it was sent
    QUEUED = "queued"
    RUNNING = "running"  # classical work or the QPU: the service does not tell which
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """No further change can come from the service."""
        return self in _FINAL

    @property
    def on_service(self) -> bool:
        """The service holds a job for it that has not ended."""
        return self in (JobState.QUEUED, JobState.RUNNING)


_FINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.REFUSED, JobState.DROPPED})


class WorkloadState(StrEnum):
    """The service's states of a session or batch; a workload in job mode is `active` until all its jobs are final."""

    OPEN = "open"  # created, no job has started
    ACTIVE = "active"
    INACTIVE = "inactive"  # its interactive TTL ran out: a further job goes through the normal queue
    CLOSED = "closed"
    UNKNOWN = "unknown"  # not answered yet


@dataclass(frozen=True, slots=True)
class Usage:
    """QPU usage in seconds: what the service reported, and what we expect where it has not reported yet."""

    reported: float | None = None  # the service's own figure so far; None: it said nothing yet
    status: Literal["none", "running", "final"] = "none"
    estimated: float | None = None  # expected total of the whole thing, labelled ≈ wherever shown
    formula: str | None = None  # how `estimated` came about, in words and numbers
    idle: float | None = None  # session only: billed while no job ran (part of `reported`)
    cap: float | None = None  # the user's usage cap
    instance_left: float | None = None  # what the instance may still use


@dataclass(frozen=True, slots=True)
class Ttl:
    """Limits in seconds and the moments they run out. A deadline is None while its timer does not run."""

    max_ttl: float | None = None
    max_deadline: float | None = None
    interactive_ttl: float | None = None
    interactive_deadline: float | None = None
    active_ttl: float | None = None
    active_deadline: float | None = None
    empty_deadline: float | None = None  # a session that never had a job closes by itself

    @classmethod
    def of(
        cls,
        *,
        state: WorkloadState,
        max_ttl: float | None,
        interactive_ttl: float | None,
        active_ttl: float | None,
        active_deadline: float | None,
        started_at: float | None,
        activated_at: float | None,
        last_job_completed: float | None,
        created_at: float | None,
        unfinished: int,
        empty_close: float | None,
    ) -> Ttl:
        """Deadlines from the service's fields, by the rules of the execution-modes guide.

        Max TTL starts with the first job and never pauses. The interactive TTL starts when a job completes and counts
        only while the workload is active with no job queued or running (`unfinished`). What `active_ttl` means the
        caller has found out. Without any job a session closes `empty_close` seconds after its creation.
        """
        alive = state is not WorkloadState.CLOSED
        active = state is WorkloadState.ACTIVE
        idle_since = max((t for t in (last_job_completed, activated_at) if t is not None), default=None)
        never_used = started_at is None and last_job_completed is None and unfinished == 0
        return cls(
            max_ttl=max_ttl,
            max_deadline=_sum(started_at, max_ttl) if alive else None,
            interactive_ttl=interactive_ttl,
            interactive_deadline=_sum(idle_since, interactive_ttl) if active and unfinished == 0 else None,
            active_ttl=active_ttl,
            active_deadline=active_deadline if active else None,
            empty_deadline=_sum(created_at, empty_close) if alive and never_used else None,
        )


def _sum(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened and a user should be able to read later. `id` counts up within a workload."""

    id: int
    time: float
    level: Literal["info", "warning", "error"]
    text: str
    job: str | None = None  # JobSnapshot.key


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on the workload: what it is, and whether the service keeps it or only this kernel does."""

    name: str  # "usage cap", "max TTL", "idle close", "stop condition"
    value: str  # in words: "600 s"
    where: Literal["service", "kernel"]
    acted: float | None = None  # when it acted, if it did


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """One attempt at one partition, or a job somebody submitted directly into the workload."""

    key: str  # stable for one attempt: "<run>:<partition>.<attempt>" or the job id
    state: JobState
    job_id: str | None = None
    run: str | None = None
    partition: int | None = None  # from 0; a screen counts from 1
    of: int | None = None  # partitions in the run
    attempt: int = 0
    superseded: bool = False  # a later attempt took over: its usage counts, its row does not
    pubs: str | None = None  # "6–7", "3[0:40]": which PUBs (from 0) and which part of them
    service_status: str | None = None  # the service's own word
    note: str | None = None  # why it is where it is, in our words
    reason: str | None = None
    reason_code: int | None = None
    reason_solution: str | None = None
    created: float | None = None
    running: float | None = None
    finished: float | None = None
    usage: Usage = Usage()
    qpu_used: bool = False  # partial usage above 0: the QPU has worked on it
    private: bool = False
    tags: tuple[str, ...] = ()  # the user's own
    program: str | None = None
    group: str | None = None  # the iteration it belongs to
    spans: tuple[tuple[float, float], ...] = ()  # when the QPU really ran it (execution spans), known afterwards
    number: int = 0  # of its row, from 1, through all runs of the workload; attempts at one partition share it
    label: str | None = None  # the name that the user gave its run
    next_try: float | None = None  # when (service's clock) it is sent again; None where it waits for something else


@dataclass(frozen=True, slots=True)
class WorkloadSnapshot:
    """A session, a batch, or the jobs of one run in job mode."""

    id: str  # the controller's: stays when a new workload continues this one
    mode: Mode
    backend: str
    workload_id: str | None = None  # the service's id of the session or batch now
    state: WorkloadState = WorkloadState.UNKNOWN
    accepting_jobs: bool | None = None
    state_reason: str | None = None
    instance: str | None = None  # its name, or its CRN where it has none
    jobs: tuple[JobSnapshot, ...] = ()  # in PUB order within a run, runs in order of submission
    ttl: Ttl = Ttl()
    usage: Usage = Usage()
    created: float | None = None
    closed: float | None = None
    clock_offset: float = 0.0  # service clock minus this machine's
    seen_at: float | None = None  # service time of the last answer
    problem: str | None = None  # why what is shown may be old: the last request's error
    events: tuple[Event, ...] = ()  # the newest at the end, bounded
    limits: tuple[Limit, ...] = ()
    lineage: tuple[str, ...] = ()  # workloads this one continues, oldest first
    group: str | None = None  # the iteration under way
    read_only: str | None = None  # why buttons are off (the client's self-test failed)
