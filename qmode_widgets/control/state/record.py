"""What this kernel knows of one attempt at one partition: filled by the submission and by the service's listings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...errors import ServiceError
from ...ibm.client import Captured
from ...ibm.wire import Job, Metrics
from ...model import tags
from ...model.partition import Partition
from ...model.snapshot import JobSnapshot, JobState, Usage
from ...model.tags import AttemptKey
from ...portal import clock
from .accounting import JobAccount

_STATES = {
    "QUEUED": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "COMPLETED": JobState.DONE,
    "FAILED": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
}
_WORDS = {"ERROR": JobState.FAILED, "EXPIRED": JobState.FAILED, "CANCELED": JobState.CANCELLED, "DONE": JobState.DONE}
RAN_TOO_LONG, CLOSED = 1305, 1217
RAN_TOO_LONG_WORDS = "ran too long"
METRICS_TRIES = 40  # after half an hour a usage that is not complete is left at its last figure
DUPLICATE_WITHIN = 300.0  # seconds for which a duplicate of a submission whose answer was lost may turn up
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


def _known(word: str) -> bool:
    return word.partition(" ")[0].upper() in _STATES


def ran_too_long(job: Job) -> bool:
    """The service ended it over its limit on the execution time, in whichever of its ways it says so."""
    return job.reason_code == RAN_TOO_LONG or RAN_TOO_LONG_WORDS in f"{job.status} {job.reason or ''}".lower()


def state_of(job: Job, *, ended: bool = False) -> JobState | None:
    """What the service's word means; None where only time can tell.

    A word that we do not know is no end by itself, however final it sounds: whether the job ended is told by what else
    is known, that it is listed among the ended ones, or when it ended. What it means is then read from the word as far
    as possible; without a result that we can be sure of it counts as failed, and its own word is shown.

    Args:
        job: as the service told it.
        ended: it is told among the ended ones.
    """
    word = job.status.partition(" ")[0].upper().rstrip(":")
    state = _STATES.get(word)
    if state in (None, JobState.QUEUED, JobState.RUNNING) and RAN_TOO_LONG_WORDS in job.status.lower():
        state = JobState.CANCELLED
    if state is JobState.CANCELLED and ran_too_long(job):
        return JobState.FAILED  # the client reads it so too: it ran over its cost limit
    if state is None and (ended or job.ended is not None):
        return _WORDS.get(word, JobState.FAILED)
    return state


@dataclass(eq=False)
class Record:
    """Mutable, changed on the portal's loop alone. `snapshot()` is what leaves."""

    state: JobState
    key: AttemptKey | None = None
    partition: Partition | None = None
    captured: Captured | None = None  # let go once the job exists: a payload may be megabytes
    job_id: str | None = None
    workload: str | None = None  # the session or batch it was posted into
    job: Job | None = None  # as last listed
    metrics: Metrics | None = None
    program: str | None = None
    note: str | None = None
    next_try: float | None = None  # when it is sent again, where an attempt to send it came to nothing
    superseded: bool = False
    again: str | None = None  # the run in which somebody's direct job was done again
    sending: bool = False  # its POST is under way
    resend: bool = True  # False: once its answer is lost it is held, never posted again by itself
    held: bool = False  # its answer was lost and nobody could tell whether it exists: it waits for its user
    certain: bool = False  # we posted it once, and its answer came: a second job with its key is a copy of its tags
    doubled: str | None = None  # the job that stays, where this one is the second of one attempt
    doubted: float | None = None  # when (monotonic) the answer to its submission was last lost
    cancel_when_found: bool = False  # taken back while nobody knew whether it exists
    told: str | None = None  # the last event about cancelling it as a duplicate or a late find
    cancelling: bool = False  # the service took our cancellation
    own_tags: tuple[str, ...] = ()
    group: str | None = None
    adopted: bool = False  # submitted by the user's own code and sent by us: that code holds a job handle
    error: Exception | None = None  # why the service refused it
    learns: bool = False  # a noise learner's: its result is a noise model
    spans: tuple[tuple[float, float], ...] = ()
    seen_running: float | None = None  # when we first saw it run: until its metrics tell, that is known
    partial: float = 0.0  # the most that was reported of its usage before it was complete
    asked_metrics: int = 0
    metrics_due: float = 0.0  # when (monotonic) to ask next
    number: int = 0  # of its row in the workload
    label: str | None = None  # of its run
    since: float = field(default_factory=clock.monotonic)  # when it was made
    _snapshot: JobSnapshot | None = None
    _usage: Usage | None = None
    _account: JobAccount | None = None

    @property
    def row(self) -> str:
        """The key of its row."""
        if self.key is not None:
            return self.key.row
        return self.job_id or "?"

    @property
    def name(self) -> str:
        """How a message calls it."""
        if self.key is None or (self.partition is None and self.key.of == 1):
            return f"job {self.job_id or self.row}"
        return f"partition {self.key.partition + 1}"

    @property
    def protected(self) -> bool:
        """It was posted exactly once, within the caps, and can be retried: sent by us, here or elsewhere."""
        return self.key is not None

    @property
    def came_too_late(self) -> bool:
        """It was refused because its workload was closed."""
        return isinstance(self.error, ServiceError) and self.error.code == CLOSED

    @property
    def cut(self) -> bool:
        """Its work is a part that we cut from a `submit`; not what somebody's own code submitted as one job."""
        return self.key is not None and (self.partition is not None or self.key.of > 1)

    def touch(self) -> None:
        """Something changed: the next `snapshot()` is made anew."""
        self._snapshot = self._usage = self._account = None

    def tags(self, label: str | None) -> list[str]:
        """The tags of its job.

        Raises:
            ValueError: more than the service takes.
        """
        assert self.key is not None
        return tags.write(self.key, self.own_tags, self.partition, self.group, label, spare=self.adopted)

    def exists(self, job_id: str) -> None:
        """The service has a job for it: its payload is let go."""
        if self.captured is not None:
            self.program = self.captured.program_id
        self.job_id, self.captured, self.held = job_id, None, False
        self.settle(JobState.QUEUED, None)

    def settle(self, state: JobState, note: str | None) -> None:
        """A new state of our own finding, and why."""
        self.state, self.note, self.next_try = state, note, None
        self.touch()

    def read(self, job: Job, *, ended: bool = False) -> bool:
        """Take over a listing of the job; True where something a user sees changed.

        Args:
            job: as the service told it.
            ended: it is told among the ended ones, whatever its status says.
        """
        if job == self.job and not (ended and not self.state.final):
            return False
        old = self.snapshot()
        self.job, self.program = job, job.program or self.program
        before = self.state
        state = state_of(job, ended=ended) or before
        if not (self.state.final and not state.final):  # a lagging listing does not bring a job back to life
            self.state = state
        if self.state is not before and not self.superseded:
            self.note = None
        if self.state is JobState.FAILED and before is not JobState.FAILED and not _known(job.status):
            self.note = f"the service's last word is {job.status!r}, which this version does not know"
        if job.simulation is not None and self.state is JobState.DONE:
            self.note = job.simulation  # never a number that looks measured and is not
        self.next_try = None  # there is a job: nothing is sent again
        self.touch()
        return old != self.snapshot()

    @property
    def in_doubt(self) -> bool:
        """A job of this attempt may exist whose id is not known."""
        recent = self.doubted is not None and clock.monotonic() - self.doubted < DUPLICATE_WITHIN
        return recent or (self.state is JobState.UNKNOWN and not self.held)

    @property
    def age(self) -> float:
        """Seconds since it was made."""
        return clock.monotonic() - self.since

    @property
    def over(self) -> bool:
        """Nothing more happens to it by itself."""
        return self.state.final or self.held

    @property
    def reason_code(self) -> int | None:
        """The service's failure code."""
        return None if self.job is None else self.job.reason_code

    @property
    def usage_final(self) -> bool:
        """The service will not change this job's usage any more."""
        return self.usage().status == "final"

    @property
    def needs_metrics(self) -> bool:
        """Ended, and its final usage or its times are not known yet; the service is not asked for ever."""
        ended = self.state.final and self.job_id is not None and self.asked_metrics < METRICS_TRIES
        return ended and not (self.usage_final and self.metrics is not None)

    @property
    def times_known(self) -> bool:
        """The service told when it ended, and when it ran if it did."""
        return self.metrics is not None and self.metrics.finished is not None

    @property
    def usage_missing(self) -> bool:
        """It ended, was asked for its usage, and the service gives no number at all."""
        told = any(source is not None and source.usage.seconds is not None for source in (self.metrics, self.job))
        return self.state.final and self.job_id is not None and self.asked_metrics > 1 and not told

    def read_metrics(self, found: Metrics | None) -> bool:
        """Take over the metrics, and ask again ever later while the usage is not complete; True where they are new."""
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 1.4**self.asked_metrics)
        self.asked_metrics, self.metrics_due = self.asked_metrics + 1, clock.monotonic() + pause
        new = found not in (None, Metrics(), self.metrics)
        if new:
            self.metrics = found
            self.touch()
        return new

    def _reported(self) -> tuple[float | None, Literal["none", "running", "final"]]:
        told = [source.usage for source in (self.metrics, self.job) if source is not None]
        for usage in told:
            if usage.final:
                return usage.seconds, "final"
        # 0 while pending says nothing, nor does a listing take back what an earlier one said: a job that fails leaves
        # its partial usage out until its bill is complete, but what it used stays used.
        self.partial = max([self.partial, *(usage.seconds for usage in told if usage.seconds)])
        return (self.partial, "running") if self.partial else (None, "none")

    def usage(self) -> Usage:
        """What the job used, or is expected to use; the same object as long as nothing changed."""
        if self._usage is None:
            reported, status = self._reported()
            served = None if self.job is None else self.job.estimated
            expected, formula = None, None
            if self.partition is not None and self.partition.expected is not None:
                expected, formula = self.partition.expected, self.partition.formula
            elif served is not None:
                expected, formula = served, "the service's own estimate"
            self._usage = Usage(reported=reported, status=status, estimated=expected, formula=formula)
        return self._usage

    @property
    def private(self) -> bool:
        """Its inputs are never returned, and its result can be read once, by its owner."""
        return bool(self.job and self.job.private) or bool(self.captured and self.captured.private)

    @property
    def reason_solution(self) -> str | None:
        """The service's advice on a failure."""
        return None if self.job is None else self.job.reason_solution

    @property
    def ran(self) -> tuple[float | None, float | None]:
        """When it began and ceased to run, as the service tells it."""
        return (None, None) if self.metrics is None else (self.metrics.running, self.metrics.finished)

    def account(self, now: float | None) -> JobAccount:
        """What accounting needs of it; once it is over the same object as long as nothing changed.

        Args:
            now: the end of what is known of its session's time.
        """
        if self._account is not None:
            return self._account
        start, end = self.ran
        running = self.state is JobState.RUNNING
        if running:
            start, end = start or self.seen_running, now
        over = self.state.final and (start is None or end is not None)
        if end is None:
            end = now
        made = JobAccount(
            self.state,
            self.job_id is not None,
            self.usage(),
            self.usage_final,
            None if start is None or end is None else (start, end),
            running or self.times_known,
        )
        if over:
            self._account = made
        return made

    def snapshot(self, number: int | None = None, label: str | None = None) -> JobSnapshot:
        """The frozen view; the same object as long as nothing changed.

        Args:
            number: of its row in the workload; the last one if not given.
            label: of its run; likewise.
        """
        if number is not None and (number, label) != (self.number, self.label):
            self.number, self.label = number, label
            self.touch()
        if self._snapshot is None:
            job, usage = self.job, self.usage()
            started, finished = self.ran
            self._snapshot = JobSnapshot(
                key=self.row,
                state=self.state,
                job_id=self.job_id,
                run=self.key.run if self.key else None,
                partition=self.key.partition if self.key else None,
                of=self.key.of if self.key else None,
                attempt=self.key.attempt if self.key else 0,
                superseded=self.superseded,
                pubs=self.partition.label if self.partition else None,
                service_status=job.status if job else None,
                note=self.note or (None if self.protected else "seen, not protected"),
                reason=job.reason if job else None,
                reason_code=self.reason_code,
                reason_solution=self.reason_solution,
                created=job.created if job else None,
                running=started or self.seen_running,
                finished=finished or (job.ended if job else None),
                usage=usage,
                qpu_used=bool(usage.reported),
                private=self.private,
                tags=self.own_tags,
                program=self.program or (self.captured.program_id if self.captured else None),
                group=self.group,
                spans=self.spans,
                number=self.number,
                label=self.label,
                next_try=self.next_try,
            )
        return self._snapshot
