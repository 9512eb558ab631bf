"""One refresh of a workload in few requests, merged into its ledger.

A refresh is one GET of the workload and one page of its pending jobs. Only when a job has left that page, one page of
ended jobs follows, and one metrics GET for each job that ended, until its usage is complete; after that it is never
asked again. The client's own way is one GET a job and status.
"""

from __future__ import annotations

import time
from typing import Any

from ..model import tags
from ..model.snapshot import JobState
from .errors import ServiceError
from .ledger import Ledger
from .record import Record
from .service import PAGE, Json, Link

METRICS_AT_ONCE = 20                # requests for metrics in one refresh: a burst of ended jobs is spread
INSTANCE_EVERY = 30.0               # seconds


def refresh(ledger: Ledger) -> None:
    """Ask the service and merge; the caller calls `ledger.changed()`.

    Raises:
        ServiceError, UnreachableError: the service did not answer; what was merged so far stays.
    """
    link = ledger.link
    if ledger.mode != "job" and not _settled(ledger):
        ledger.read_session(link.workload(ledger.service_id))
    if ledger.mode != "job" or ledger.runs:
        _read_listings(ledger, link)
    for record in [r for r in ledger.singles() if not r.state.final]:
        _merge(ledger, [link.job(str(record.job_id))])
    _read_metrics(ledger, link)
    _read_instance(ledger, link)
    ledger.seen()


def _settled(ledger: Ledger) -> bool:
    """Closed, and its final usage is known: the session object will not change."""
    return ledger.session.get("state") == "closed" and ledger.session.get("elapsed_time") is not None


def _scopes(ledger: Ledger) -> list[dict[str, Any]]:
    """What narrows a listing to this workload: its session id, or in job mode the tag of each run."""
    if ledger.mode != "job":
        with ledger.lock:
            homes = [r.workload for r in ledger.records.values() if r.state.on_service and r.workload]
        return [{"session_id": home} for home in dict.fromkeys([*homes, ledger.service_id])]
    return [{"tags": [tags.run_tag(run)]} for run in ledger.runs]


def _read_listings(ledger: Ledger, link: Link) -> None:
    for scope in _scopes(ledger):
        with ledger.lock:
            watched = {r.job_id for r in ledger.records.values() if r.state.on_service and r.job_id}
        if ledger.quiet and not watched:
            continue
        pending = _pages(link, pending=True, oldest_first=True, **scope)
        here = _merge(ledger, pending)
        # A job that left the pending page has ended; a job we never saw pending may have come and gone.
        left = watched - here
        if left or not ledger.listed_once:
            _merge(ledger, _ended(link, left, everything=not ledger.listed_once, **scope))
    ledger.listed_once = True


def _pages(link: Link, **query: Any) -> list[Json]:
    """All pages of a listing; one request where 200 jobs or fewer match."""
    found: list[Json] = []
    while True:
        page = link.jobs(offset=len(found), **query)
        found += page["jobs"]
        if not page["jobs"] or len(page["jobs"]) < PAGE or len(found) >= int(page.get("count", 0)):
            return found


def _ended(link: Link, wanted: set[str], *, everything: bool, **scope: Any) -> list[Json]:
    """Pages of ended jobs, newest first, until all wanted ones are found."""
    found: list[Json] = []
    missing = set(wanted)
    while True:
        page = link.jobs(pending=False, offset=len(found), **scope)
        found += page["jobs"]
        missing -= {j.get("id") for j in page["jobs"]}
        done = len(page["jobs"]) < PAGE or len(found) >= int(page.get("count", 0))
        if done or (not missing and not everything):
            return found


def _merge(ledger: Ledger, listed: list[Json]) -> set[str]:
    """Take over listings: known jobs by id, lost answers by key, the rest as jobs somebody submitted directly."""
    seen: set[str] = set()
    link_now = ledger.link.now()
    with ledger.lock:
        by_id = {r.job_id: r for r in ledger.records.values() if r.job_id}
        for data in sorted(listed, key=lambda j: str(j.get("created") or "")):
            job_id = str(data.get("id"))
            seen.add(job_id)
            record = by_id.get(job_id)
            if record is None:
                record = by_id[job_id] = _new(ledger, job_id, data)
            before = record.state
            if record.read(data) and record.state is not before:
                if record.state is JobState.RUNNING:
                    record.seen_running = link_now
                    record.touch()
                _tell(ledger, record)
    return seen


def _new(ledger: Ledger, job_id: str, data: Json) -> Record:
    """A job this kernel had no id for."""
    said = tags.read(data.get("tags") or [])
    key = said.key
    row = ledger.records.get(key.row) if key else None
    if row is not None and row.job_id is None:                  # the answer to its submission was lost
        row.job_id = job_id
        row.state, row.captured, row.note = JobState.QUEUED, None, None
        row.workload = data.get("session_id")
        row.touch()
        ledger.event("info", f"{_name(row)}: its submission had arrived, job {job_id}", row.row)
        return row
    record = Record(JobState.QUEUED, key=key, partition=said.partition, job_id=job_id, group=said.group)
    record.own_tags = said.own
    record.workload = data.get("session_id")
    if row is not None:                                         # the same attempt stands twice on the service
        record.key, record.superseded = None, True
        record.note = f"a duplicate of {row.job_id}: the answer to its submission was lost"
        ledger.duplicates.append(record)
    elif key is not None:
        _supersede(ledger, record)
    ledger.records[record.row] = record
    if key is not None and key.run not in ledger.runs:
        ledger.runs.append(key.run)
    return record


def _supersede(ledger: Ledger, record: Record) -> None:
    """Of the attempts at one partition only the last counts as its row."""
    assert record.key is not None  # noqa: S101
    same = [
        r for r in ledger.records.values()
        if r.key and (r.key.run, r.key.partition) == (record.key.run, record.key.partition)
    ]
    latest = max((r.key.attempt for r in same if r.key), default=-1)
    for r in same:
        if r.key and r.key.attempt < record.key.attempt and not r.superseded:
            r.superseded = True
            r.touch()
    record.superseded = latest > record.key.attempt


def _read_metrics(ledger: Ledger, link: Link) -> None:
    with ledger.lock:
        asked = [r for r in ledger.records.values() if r.needs_metrics]
    for record in asked[:METRICS_AT_ONCE]:
        try:
            found = link.metrics(str(record.job_id))
        except ServiceError as error:
            if error.status not in (404, 403):
                raise
            found = {}
        with ledger.lock:
            record.asked_metrics += 1
            if found != record.metrics:
                record.metrics = found
                record.touch()
                ledger.instance_old = True


def _read_instance(ledger: Ledger, link: Link) -> None:
    """What the instance may still use: asked when jobs have ended, at most every half minute."""
    if not ledger.instance_old or time.monotonic() - ledger.instance_asked < INSTANCE_EVERY:
        return
    left = link.usage_left()
    with ledger.lock:
        ledger.instance_left, ledger.instance_old, ledger.instance_asked = left, False, time.monotonic()


def _tell(ledger: Ledger, record: Record) -> None:
    """The events a user wants to find later."""
    name = _name(record)
    if record.state is JobState.FAILED:
        why = f"{record.reason_code or ''} {(record.data.get('state') or {}).get('reason') or ''}".strip()
        ledger.event("error", f"{name} failed: {why or 'the service gives no reason'}", record.row)
    elif record.state is JobState.CANCELLED:
        ledger.event("warning", f"{name} was cancelled", record.row)


def _name(record: Record) -> str:
    if record.key is not None:
        return f"partition {record.key.partition + 1}"
    return f"job {record.job_id}"
