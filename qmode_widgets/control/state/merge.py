"""Take over what a listing says: known jobs by id, lost answers by their key, the rest as jobs somebody submitted.

What is listed is a workload's only if its session says so; in job mode, if the job's tags do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ...ibm.wire import Job
from ...model import tags
from ...model.snapshot import JobState
from .ledger import Ledger
from .record import Record


def merge(ledger: Ledger, listed: Iterable[Job], *, scope: str | None = None, ended: bool = False) -> set[str]:
    """Take over a listing; returns the ids that it shows.

    Args:
        ledger: of the workload.
        listed: the jobs.
        scope: the session that was asked for; None in job mode, and for single jobs.
        ended: only ended jobs were asked for: a status that we do not know is then an end.
    """
    seen: set[str] = set()
    now = ledger.link.now()
    by_id = {r.job_id: r for r in ledger.records.values() if r.job_id}
    # Known jobs first: which of two jobs of one attempt stays is told by when each was created.
    for job in sorted(listed, key=lambda j: (j.id not in by_id, j.created or 0.0)):
        seen.add(job.id)
        record = by_id.get(job.id)
        if record is None:
            record = _new(ledger, job, scope) if is_ours(ledger, job, scope) else None
            if record is None:
                continue
            by_id[job.id] = record
        if record.certain and job.user is not None:
            ledger.user = job.user
        before = record.state
        if record.read(job, ended=ended) and record.state is not before:
            if record.state is JobState.RUNNING:
                record.seen_running = now
                record.touch()
            _tell(ledger, record)
    return seen


def is_ours(ledger: Ledger, job: Job, scope: str | None) -> bool:
    """A job that a listing shows belongs to this workload: its session says so, or in job mode its tags do.

    A service that ignores a filter, a colleague's job and a job whose tags were copied into another workload are shown
    by listings too; they are neither billed here, waited for, capped nor cancelled.
    """
    if job.user is not None and ledger.user not in (None, job.user):
        return False
    key = tags.read(job.tags).key
    if ledger.mode == "job":
        return job.session_id is None and key is not None and key.run in ledger.runs
    homes = ledger.homes()
    if job.session_id is not None:
        return job.session_id in homes
    # IBM may leave the session out: then the listing's own filter is believed where our tags confirm it.
    return scope in homes and key is not None and key.run in ledger.runs


def _new(ledger: Ledger, job: Job, scope: str | None) -> Record | None:
    """A job this kernel had no id for; None: it can only be placed at a later look."""
    said = tags.read(job.tags)
    key = said.key
    row = ledger.records.get(key.row) if key else None
    home = job.session_id or scope or (ledger.workload_id if ledger.mode != "job" else None)
    if row is not None and row.job_id is None:  # the answer to its submission was lost
        if row.superseded or row.state is JobState.DROPPED:  # given up meanwhile
            row.cancel_when_found = True
        row.workload = home
        row.exists(job.id)
        ledger.event("info", f"{row.name}: its submission had arrived, job {job.id}", row.row)
        return row
    if row is not None and row.certain:  # somebody copied its tags: a job of their own, if it is in this workload
        if ledger.mode == "job":
            return None
        record = Record(JobState.QUEUED, job_id=job.id, own_tags=tuple(job.tags), workload=home)
        ledger.add([record])
        return record
    if row is not None and row.job is None:
        return None  # when our own was created is not known yet
    record = Record(JobState.QUEUED, key=key, partition=said.partition, job_id=job.id, group=said.group)
    record.own_tags, record.workload = said.own, home
    if row is not None:  # the same attempt stands twice on the service
        return _twice(ledger, row, record, job)
    if key is not None:
        _supersede(ledger, record)
        ledger.add_run(key.run, said.label)
    ledger.add([record])
    return record


def _twice(ledger: Ledger, row: Record, other: Record, job: Job) -> Record:
    """Two jobs of one attempt: a lost answer, or two kernels that resubmitted it.

    One stays, and every kernel must choose the same one: with a result, before alive, before failed; then the older.
    """
    other.read(job)
    extra = row if row.state is not JobState.DONE and _rank(other) < _rank(row) else other
    if extra is row:
        other.superseded, other.cancel_when_found = row.superseded, row.cancel_when_found
        other.partition = other.partition or row.partition
        other.touch()
        ledger.give_row(row, other)
    stays = other if extra is row else row
    name = stays.name
    extra.key, extra.superseded, extra.doubled = None, True, name
    extra.note = f"a duplicate of {stays.job_id}: the same attempt stands twice on the service"
    extra.touch()
    ledger.duplicate(extra)
    if extra.state.final:  # what still runs is cancelled, which says so
        text = f"{name} ran twice: job {extra.job_id} is a duplicate of {stays.job_id} and had already ended"
        ledger.event("warning", text, stays.row)
    return other


def _rank(record: Record) -> tuple[int, float, str]:
    state = 0 if record.state is JobState.DONE else 2 if record.state.final else 1
    created = None if record.job is None else record.job.created
    return state, float("inf") if created is None else created, str(record.job_id)


def _supersede(ledger: Ledger, record: Record) -> None:
    """Of the attempts at one partition only the last counts as its row."""
    assert record.key is not None
    same = [
        r
        for r in ledger.records.values()
        if r.key and (r.key.run, r.key.partition) == (record.key.run, record.key.partition)
    ]
    latest = max((r.key.attempt for r in same if r.key), default=-1)
    for r in same:
        if r.key and r.key.attempt < record.key.attempt and not r.superseded:
            r.superseded = True
            r.touch()
    record.superseded = latest > record.key.attempt


def _tell(ledger: Ledger, record: Record) -> None:
    """The events a user wants to find later."""
    name = record.name
    if record.state is JobState.FAILED:
        why = f"{record.reason_code or ''} {(record.job and record.job.reason) or ''}".strip()
        ledger.event("error", f"{name} failed: {why or 'the service gives no reason'}", record.row)
    elif record.state is JobState.CANCELLED:
        level: Literal["info", "warning"] = "info" if record.cancelling else "warning"  # one's own cancel is no warning
        ledger.event(level, f"{name} was cancelled", record.row)
