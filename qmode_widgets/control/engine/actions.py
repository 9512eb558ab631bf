"""Cancel and redo, each idempotent, each with an outcome per job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from ...errors import QmodeError, ServiceError, UnreachableError
from ...ibm.client import Captured, replay
from ...ibm.link import again
from ...model import tags
from ...model.outcome import Cancelled, CancelOutcome, CancelOutcomes, Refusal
from ...model.snapshot import JobState
from ...planning.allowance import cut_off_job
from ..state.ledger import Ledger
from ..state.record import Record

AT_ONCE = 8  # cancellations under way together: hundreds of them must not take minutes

# Codes whose remedy, by the service's error registry (quantum.cloud.ibm.com/docs/errors), is to try again.
TRANSIENT = frozenset({1000, 1006, 1008, 1010, 1011, 9707})


def retryable(code: int | None, solution: str | None) -> bool:
    """A transient or system error, by its code or by the service's own advice; never an error of the user's input."""
    if code in TRANSIENT:
        return True
    return code is not None and code >= 9000 and "retry" in (solution or "").lower()


async def cancel(ledger: Ledger, records: Iterable[Record]) -> CancelOutcomes:
    """Cancel these attempts."""
    chosen = list(records)
    outcomes = await _all([lambda r=r: _cancel_one(ledger, r) for r in chosen])  # type: ignore[misc]
    ledger.changed()
    return CancelOutcomes(dict(zip([r.row for r in chosen], outcomes, strict=True)))


T = TypeVar("T")


async def _all(asked: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """What each comes to, in order; `AT_ONCE` are under way at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(ask: Callable[[], Awaitable[T]]) -> T:
        async with places:
            return await ask()

    return await asyncio.gather(*(one(ask) for ask in asked))


def take_back(ledger: Ledger, records: Iterable[Record]) -> None:
    """Drop what is not sent; makes no request. What may be on the service by now is cancelled when that is known."""
    for record in records:
        _take_back(record)
    ledger.changed()


def _take_back(record: Record) -> CancelOutcome | None:
    """What became of one that has no job yet; None where it has."""
    if record.state is JobState.WAITING and not record.sending:
        record.settle(JobState.DROPPED, None)
        return CancelOutcome(Cancelled.DROPPED)
    if record.state is JobState.UNKNOWN and record.held:
        record.cancel_when_found = True
        record.settle(JobState.DROPPED, "taken back; should it turn up on the service it is cancelled")
        return CancelOutcome(Cancelled.WHEN_FOUND)
    if record.state in (JobState.WAITING, JobState.UNKNOWN):
        record.cancel_when_found = True
        outcome = CancelOutcome(Cancelled.WHEN_ANSWERED if record.sending else Cancelled.WHEN_FOUND)
        record.settle(record.state, str(outcome))
        return outcome
    return None


async def _cancel_one(ledger: Ledger, record: Record) -> CancelOutcome:
    if (taken := _take_back(record)) is not None:
        return taken
    if record.state.final:
        return CancelOutcome(Cancelled.ENDED)
    if record.cancelling:
        return CancelOutcome(Cancelled.ASKED)
    job_id = str(record.job_id)
    try:
        await again(ledger.link.cancel_job, job_id)
    except ServiceError as error:
        if error.status == 409:
            return CancelOutcome(Cancelled.ENDED)
        return CancelOutcome(Cancelled.REFUSED, Refusal.of(error))
    except UnreachableError as error:
        return CancelOutcome(Cancelled.UNKNOWN, Refusal.of(error))
    record.cancelling, record.note = True, "cancellation accepted by the service"
    record.touch()
    return CancelOutcome(Cancelled.CANCELLED)


async def payload_of(ledger: Ledger, record: Record) -> Captured:
    """What to post to run this attempt's work again: still in hand, or the service's stored raw inputs.

    Raises:
        QmodeError: the attempt has not ended, was resubmitted already, is private, or its inputs are gone.
    """
    if record.state is JobState.UNKNOWN and not record.held:
        raise QmodeError(f"it is not known yet whether {record.name} reached the service: wait until it is")
    if not record.over:
        raise QmodeError(f"{record.name} is {record.state}: cancel it before you resubmit it")
    if record.superseded:
        raise QmodeError(f"{record.name} was resubmitted already: resubmit its last attempt")
    if record.captured is not None:
        return record.captured
    if record.job_id is None:
        raise QmodeError(f"{record.name} was never sent and its inputs are gone: submit its PUBs again")
    if record.private:
        raise QmodeError(
            f"job {record.job_id} is private: the service never returns its inputs, so it cannot be resubmitted from "
            "here; submit its PUBs again"
        )
    raw = await again(ledger.link.stored, record.job_id)
    try:
        return replay(raw)
    except (KeyError, TypeError):
        raise QmodeError(
            f"the service no longer has the inputs of job {record.job_id}: submit its PUBs again"
        ) from None


async def payloads(ledger: Ledger, records: Sequence[Record], *, limit: int | None) -> list[Captured]:
    """What to post to run these attempts again: all of them, or none is sent. `limit`: what a usage cap leaves, in s.

    Raises:
        QmodeError: one of them cannot be run again, or the cap would cut it off; it says which and why.
    """
    for record in records:
        low = None if record.partition is None else record.partition.low
        if (lost := cut_off_job(record.usage().estimated, limit, low)) is not None:
            raise QmodeError(f"{record.name} is not resubmitted: {lost}")
    found = await _all([lambda r=r: payload_of(ledger, r) for r in records])  # type: ignore[misc]
    for record in records:
        try:
            key = _next_key(record)
            label = ledger.label(key.run)
            tags.write(key, record.own_tags, record.partition, record.group, label, spare=not record.cut)
        except ValueError as error:
            raise QmodeError(f"{record.name} cannot be resubmitted with its tags: {error}; submit its PUBs") from error
    return [captured.limited(limit) for captured in found]


def next_attempts(
    ledger: Ledger, records: Sequence[Record], captured: Sequence[Captured], follows: Callable[[str], bool]
) -> list[Record]:
    """The records of a resubmission, in the ledger, superseding `records`; not sent yet.

    Args:
        ledger: of their workload.
        records: the attempts to be done again.
        captured: what to post for each.
        follows: a job handle in the user's code goes on with this run's next attempt.
    """
    made: list[Record] = []
    for record, payload in zip(records, captured, strict=True):
        key = _next_key(record)
        fresh = Record(JobState.WAITING, key=key, partition=record.partition, captured=payload, group=record.group)
        fresh.own_tags, fresh.learns, fresh.resend = record.own_tags, record.learns, record.resend
        fresh.adopted = not record.cut
        ledger.add([fresh], key.run)
        record.superseded, record.captured = True, None
        record.again = key.run if record.key is None else None
        record.touch()
        made.append(fresh)
        expected = fresh.usage().estimated
        if expected is None:
            expected = record.usage().estimated
        cost = "expected usage unknown" if expected is None else f"expected usage ≈ {expected:.1f} s"
        if not record.cut:
            stays = "does not follow: take result(job=…) of the controller"
            cost += f"; the job handle {'follows' if record.key and follows(key.run) else stays}"
        ledger.event("info", f"{record.name} is resubmitted (attempt {key.attempt + 1}), {cost}", key.row)
    return made


def _next_key(record: Record) -> tags.AttemptKey:
    """Somebody's direct job becomes a run of one, of which it was the first attempt."""
    return record.key.next() if record.key else tags.AttemptKey(tags.new_run(), 0, 1, 1)


async def mention_calibration(ledger: Ledger, records: Iterable[Record]) -> None:
    """Say so when the backend was calibrated after the first attempt: the results may not compare."""
    before = [r.job.created for r in records if r.job is not None and r.job.created is not None]
    if not before:
        return
    try:
        last = await ledger.link.calibrated_at(ledger.backend)
    except (ServiceError, UnreachableError):
        return  # a remark is not worth failing a resubmission
    if last is not None and last > min(before):
        ledger.event("warning", f"{ledger.backend} was recalibrated since the first attempt: results may differ")


def unsent(ledger: Ledger) -> list[Record]:
    """Not on the service, as far as we know: not sent, or in doubt."""
    return ledger.where(lambda r: r.state in (JobState.WAITING, JobState.UNKNOWN) and not r.held)


def remaining(ledger: Ledger) -> list[Record]:
    """What has not started: not sent, in doubt, or queued."""
    open_ = (JobState.WAITING, JobState.UNKNOWN, JobState.QUEUED)
    return ledger.where(lambda r: r.state in open_ and not r.cancelling)


def unfinished(ledger: Ledger) -> list[Record]:
    """Whatever may still cost something."""
    return ledger.where(lambda r: not r.state.final)


def missing(ledger: Ledger) -> list[Record]:
    """Ended without a result: failed, refused, cancelled or dropped, and not yet resubmitted."""
    without = (JobState.FAILED, JobState.REFUSED, JobState.CANCELLED, JobState.DROPPED)
    return ledger.where(lambda r: r.state in without and not r.superseded)


def failed(ledger: Ledger) -> list[Record]:
    """Failed or refused, and not yet resubmitted."""
    return ledger.where(lambda r: r.state in (JobState.FAILED, JobState.REFUSED) and not r.superseded)


def _found(ledger: Ledger) -> list[Record]:
    return ledger.where(
        lambda r: r.cancel_when_found and r.job_id is not None and not r.state.final and not r.cancelling
    )


def to_tidy(ledger: Ledger) -> bool:
    """There is a job to cancel that turned up twice, or after it was taken back."""
    return bool(_found(ledger) or ledger.duplicates())


async def cancel_found(ledger: Ledger) -> None:
    """Cancel jobs that turned up after their user had taken them back, and report the outcome in the events."""
    found = _found(ledger)
    await _cancel(ledger, found, lambda r: f"{r.name} had reached the service as job {r.job_id}")


async def cancel_duplicates(ledger: Ledger) -> None:
    """Cancel the second job of an attempt; tried again at each look until the service accepts the cancellation."""
    await _cancel(ledger, ledger.duplicates(), lambda r: f"job {r.job_id} is {r.note}")


def report_doubles(ledger: Ledger) -> None:
    """What a second job of one attempt cost is billed, so it is said, whatever became of it."""
    for record in ledger.settled_doubles():
        used = record.usage().reported or 0.0
        text = f"the second job {record.job_id} of {record.doubled} used {used:g} s"
        ledger.event("warning", text + (", which is billed" if used else ""), record.row)


async def _cancel(ledger: Ledger, found: list[Record], what: Callable[[Record], str]) -> None:
    if not found:
        return
    texts = [what(r) for r in found]
    outcomes = await cancel(ledger, found)
    for record, text in zip(found, texts, strict=True):
        said = f"{text}: {outcomes[record.row]}"
        if record.told != said:  # it is tried again at each look while the service does not take it
            record.told = said
            ledger.event("warning", said, record.row)
