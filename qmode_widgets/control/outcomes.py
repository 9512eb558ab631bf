"""What each outcome of a submission does to its record: the submitter's callbacks, and duplicates.

Each callback takes the ledger's lock for its change and tells observers after. A partition that its user took back
while its POST was under way is not final before the answer is known: it may stand on the service by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ..model import tags
from ..model.snapshot import JobState
from . import ending
from .errors import ServiceError
from .ledger import Ledger
from .record import Record
from .submission import Attempt


def attempt_of(
    ledger: Ledger, record: Record, *, stopped: Callable[[], str | None], wake: Callable[[], None]
) -> Attempt:
    """What the submitter needs to send one record. `stopped` says why nothing may be sent any more."""
    assert record.key is not None
    key = record.key

    def body() -> str | None:
        with ledger.lock:
            why = stopped()
            if why is not None and record.state is JobState.WAITING:
                record.settle(JobState.DROPPED, f"not sent: {why}")
            if record.state is not JobState.WAITING or record.captured is None:
                return None
            record.sending = True  # from here on only the answer tells whether it exists
            record.workload = ledger.service_id if ledger.mode != "job" else None
            captured, home = record.captured, record.workload
        return captured.body(tags.write(key, record.own_tags, record.partition, record.group), home)

    def wanted() -> bool:
        with ledger.lock:
            return record.state in (JobState.WAITING, JobState.UNKNOWN)

    def posted(job_id: str) -> None:
        with ledger.lock:
            record.sending = False
            if record.job_id is None:
                record.job_id, record.captured = job_id, None
                record.settle(JobState.QUEUED, None)
            elif record.job_id != job_id:  # the watcher found the first one while this was on its way
                extra = Record(JobState.QUEUED, job_id=job_id, workload=record.workload, superseded=True)
                extra.note = f"a duplicate of {record.job_id}: the answer to its submission was lost"
                ledger.duplicates.append(extra)
                ledger.records.setdefault(extra.row, extra)
        cancel_found(ledger)
        ledger.changed()
        wake()

    def refused(error: ServiceError) -> None:
        with ledger.lock:
            record.sending = False
            if record.job_id is not None:  # it was found meanwhile: it exists
                return
            if record.cancel_when_found:
                record.settle(JobState.DROPPED, f"taken back; the service had refused it: {error}")
            else:
                record.settle(JobState.REFUSED, str(error))
            dropped = record.state is JobState.DROPPED
        if not dropped:
            ledger.event("error", f"{ending.name(record)} was refused, nothing is billed: {error}", record.row)
        ledger.changed()

    def unknown(why: str) -> None:
        with ledger.lock:
            if record.job_id is not None:  # the watcher found it first
                return
            first = record.state is not JobState.UNKNOWN
            record.sending, record.doubted = False, time.monotonic()
            after = ", to be cancelled" if record.cancel_when_found else ""
            record.settle(JobState.UNKNOWN, f"{why}; looking whether the job exists{after}")
        if first:
            ledger.event("warning", f"{ending.name(record)}: the answer was lost ({why})", record.row)
        ledger.changed()

    def waiting(why: str) -> None:
        with ledger.lock:
            record.sending = False
            if record.job_id is None and record.cancel_when_found:
                record.settle(JobState.DROPPED, "taken back: it never reached the service")
            elif record.job_id is None and not record.state.final:
                record.settle(JobState.WAITING, why)
        ledger.changed()

    return Attempt(key.tag, body, wanted, posted, refused, unknown, waiting, group=ledger.id)


def cancel_found(ledger: Ledger) -> None:
    """Cancel what turned up although it was taken back while nobody knew whether it exists; says what came of it."""
    with ledger.lock:
        found = [
            r
            for r in ledger.records.values()
            if r.cancel_when_found and r.job_id is not None and not r.state.final and not r.cancelling
        ]
    _cancel(ledger, found, lambda r: f"{ending.name(r)} had reached the service as job {r.job_id}")


def cancel_duplicates(ledger: Ledger) -> None:
    """One attempt, one live job: what stands on the service a second time is cancelled, until the service took it."""
    with ledger.lock:
        ledger.duplicates = [r for r in ledger.duplicates if not r.state.final and not r.cancelling]
        found = list(ledger.duplicates)
    _cancel(ledger, found, lambda r: f"job {r.job_id} is {r.note}")


def _cancel(ledger: Ledger, found: list[Record], what: Callable[[Record], str]) -> None:
    if not found:
        return
    texts = [what(r) for r in found]
    answers = ending.cancel(ledger, found)
    for record, text in zip(found, texts, strict=True):
        said = f"{text}: {answers[record.row]}"
        if record.told != said:  # it is tried again at each look while the service does not take it
            record.told = said
            ledger.event("warning", said, record.row)
