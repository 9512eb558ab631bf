"""What the user's own code, or a library, submits through a mode object: posted by us, exactly once, within the caps.

`Session._run` is where every primitive submits, so a controller takes the place of its mode object's. Whoever
submits gets the client's own `RuntimeJobV2` as soon as the service gave an id, and the client's own exceptions; what a
retry or a click runs again is followed by the handle.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import QmodeError, SubmissionError, WrongAnswerError
from ..ibm.client import Followed, Submission, adoption_test, divert, job_handle, refusal, reopen_handle, stand_in
from ..ibm.wire import Job, Json
from ..model import tags
from ..model.snapshot import JobState
from ..planning.allowance import cut_off_job
from ..planning.submitted import submitted_usage
from ..portal import portal
from .engine import actions
from .engine.workload import Workload
from .group import group_of
from .state.merge import merge
from .state.record import RAN_TOO_LONG, Record, ran_too_long

log = logging.getLogger(__name__)

CLIENT_WORD = {
    JobState.DONE: "Completed",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
    JobState.REFUSED: "Failed",
    JobState.DROPPED: "Cancelled",
}
CLIENT_WORDS = ("Queued", "Running", "Completed", "Failed", "Cancelled")


class Adoption:
    """The submissions that one workload takes over."""

    def __init__(self, workload: Workload) -> None:
        self._workload, self._ledger, self._portal = workload, workload.ledger, portal()
        self._undo: list[Callable[[], None]] = []
        self._handles: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        self.label: str | None = None  # of the runs that are made here
        workload.follows, workload.reopen = self._handles.__contains__, self._reopen

    # --- taking submissions -------------------------------------------------------------------------------------

    def of(self, mode: Any) -> None:
        """Take over what goes through this mode object, where the client's inside is as we know it."""
        if (why := adoption_test()) is not None:
            said = f"{why}: jobs submitted by your own code are seen, not protected"
            self._portal.send(self._ledger.event, "warning", said)
            return
        self._undo.append(divert(mode, self.take))

    def stand_in(self, backend: Any) -> Any:
        """A mode object of our own, for primitives whose mode object was not taken over."""
        return stand_in(backend, None if self._ledger.mode == "job" else self._ledger.workload_id, self.take)

    def release(self) -> None:
        """Give the mode objects back to the client."""
        for undo in self._undo:
            undo()
        self._undo.clear()

    # --- one submission ----------------------------------------------------------------------------------------

    def take(self, asked: Submission) -> Any:
        """Post it and return its job handle.

        Raises:
            IBMError: as the client would raise: refused by the service, by a cap (it is reached, or would cut the job
                off), or because the workload is closed.
        """
        if self._ledger.read_only:
            return self._plainly(asked, self._ledger.read_only)
        try:
            self._portal.call(self._workload.check_open)
        except QmodeError as error:
            raise self._refusal(error) from error
        asked.check()
        self._check_cap(asked)
        try:
            made = self._make(asked)
        except Exception as error:  # whatever goes wrong in here, the client sends the user's job as it always did
            if not isinstance(error, ValueError):
                log.exception("a submission could not be taken over")
            return self._plainly(asked, str(error) or repr(error))
        record, run = made
        try:
            self._portal.call(self._workload.submit, [record], run, self.label)
        except SubmissionError as error:
            raise self._refusal(error) from error
        except BaseException:  # it may be in the queue
            self._portal.send(self._take_back, record)
            raise
        self._until_posted(record)
        handle = job_handle(asked, str(record.job_id), _Work(self, run))
        self._handles[run] = handle
        return handle

    def _check_cap(self, asked: Submission) -> None:
        """Refuse what the usage cap must cut off: it would be billed what the cap leaves and give nothing.

        What cannot be estimated is sent: the service keeps the cap then.

        Raises:
            UsageCapReached: with the expected usage, what the cap leaves, and the remedy.
        """
        cap, used = self._portal.call(lambda: (self._ledger.cap, self._ledger.used() or 0.0))
        if cap is None:
            return
        usage = submitted_usage(asked.program_id, asked.inputs, asked.backend)
        lost = None if usage is None else cut_off_job(usage.expected, cap - used, usage.low)
        if lost is not None:
            raise refusal(SubmissionError(f"usage_cap={cap:g}: {lost}"), cap=cap, used=used)

    def _refusal(self, error: Exception) -> Exception:
        """As the client's exception; where our usage cap is reached, one that says so."""

        def by_cap() -> tuple[float | None, float | None]:
            stopped = self._workload.guards.stopped is not None
            return (self._ledger.cap if stopped else None), self._ledger.used()

        cap, used = self._portal.call(by_cap)
        return refusal(error, cap=cap, used=used)

    def _make(self, asked: Submission) -> tuple[Record, str]:
        """Its record.

        Raises:
            ValueError: the user's own tags leave no room for ours, or look like ours.
        """
        ledger = self._ledger
        limit, run = self._portal.call(lambda: (self._workload.guards.max_execution_time(), self._workload.new_run()))
        captured = asked.captured(limit)
        record = Record(JobState.WAITING, key=tags.AttemptKey(run, 0, 1), captured=captured, group=self._group())
        record.own_tags, record.adopted = captured.tags, True
        record.learns = captured.program_id == "noise-learner"
        if len(record.tags(self.label)) < 2 + len(set(captured.tags)) + bool(record.group) + bool(self.label):
            text = f"{len(captured.tags)} job tags of your own: some of ours were left out"
            self._portal.send(ledger.event, "warning", text, record.row)
        return record, run

    def _group(self) -> str | None:
        """The iteration that a submission of the caller's belongs to."""
        return group_of(self._ledger.id, lambda: self._portal.call(self._ledger.open_groups))

    def _plainly(self, asked: Submission, why: str) -> Any:
        """Let the client send it; the row is there at once, and says that we do not protect it."""
        ledger, group = self._ledger, self._group()

        def begin() -> int | None:
            ledger.event("warning", f"a job is sent by the client itself, seen but not protected: {why}")
            return self._workload.guards.max_execution_time()

        job = asked.plainly(self._portal.call(begin))

        def note() -> None:
            if ledger.find(job.job_id()) is None:  # the watch may have been faster
                record = Record(JobState.QUEUED, job_id=job.job_id(), group=group)
                record.own_tags = asked.tags
                record.workload = asked.session_id
                ledger.add([record])
            ledger.changed()
            self._workload.wake()

        self._portal.call(note)
        return job

    def _until_posted(self, record: Record) -> None:
        """Wait until the service gave an id, or nothing exists.

        An interrupt takes back what was not sent. What is on its way stays, and is shown.
        """
        try:
            self._portal.call(self._workload.until_posted, record, waits=True)
        except BaseException:
            self._portal.send(self._take_back, record)
            raise
        if record.job_id is None:
            error = record.error or QmodeError(record.note or f"it is {record.state}")
            raise self._refusal(error) from error

    def _take_back(self, record: Record) -> None:
        """Its user does not wait for its id any more. On the loop."""
        if record.state is JobState.WAITING and not record.sending:
            actions.take_back(self._ledger, [record])
            self._workload.outbox.nudge()
        else:
            self._ledger.event("warning", f"{record.name}: interrupted while it was sent; it may run", record.row)
            self._ledger.changed()

    def work_of(self, job_id: str) -> Followed | None:
        """What the job with this id stands for: it is the first attempt at what somebody's own code submitted."""
        record = self._portal.call(self._ledger.find, job_id)
        if record is None or record.key is None or record.cut or record.key.attempt:
            return None
        return _Work(self, record.key.run)

    # --- handles -----------------------------------------------------------------------------------------------

    def _reopen(self, run: str) -> None:
        """Its work is done again: the handle asks anew."""
        handle = self._handles.get(run)
        if handle is not None:
            reopen_handle(handle)

    def latest(self, run: str) -> Record:
        """The run's last attempt."""
        return self._portal.call(lambda: self._ledger.latest(run)[0])

    def heard(self, run: str, answer: Json) -> bool:
        """What a handle was answered is news for the workload too; True where the handle is to wait for more."""
        try:
            job = Job.of(answer)
        except WrongAnswerError:
            return False  # the client makes of it what it can
        return self._portal.call(self._heard, run, job)

    def _heard(self, run: str, job: Job) -> bool:
        ledger, guards = self._ledger, self._workload.guards
        known = ledger.find(job.id)
        before = None if known is None else known.state
        merge(ledger, [job])
        latest = ledger.latest(run)[0]
        coming = latest.job_id != job.id and latest.state not in (JobState.REFUSED, JobState.DROPPED)
        retried = guards.will_retry(latest)
        if known is not None and known.state is not before:
            ledger.changed()
        if retried:
            self._workload.wake()
        return coming or retried

    def told(self, answer: Json) -> Json:
        """An answer about a job in words that the client knows, with the user's own tags only.

        A status that the client does not know is replaced by what it means.
        """
        try:
            job = Job.of(answer)
        except WrongAnswerError:
            return answer
        known, cap = self._portal.call(lambda: (self._ledger.find(job.id), self._ledger.cap))
        answer = answer | {"tags": tags.own(job.tags)}
        why = job.reason or job.status
        if cap is not None and ran_too_long(job) and isinstance(state := answer.get("state"), dict):
            why += f": its maximum execution time was at most what the usage cap of {cap:g} s left"
            answer = answer | {"state": state | {"reason": why}}
        if job.status in CLIENT_WORDS or known is None or not known.state.final:
            return answer
        reason: Json = {"reason": why, "reason_code": job.reason_code}
        if ran_too_long(job):
            return answer | {
                "status": "Cancelled",
                "state": {"status": "Cancelled", **reason, "reason_code": RAN_TOO_LONG},
            }
        word = CLIENT_WORD[known.state]
        return answer | {"status": word, "state": {"status": word} | reason}

    async def taken_back(self, run: str) -> bool:
        """Its user cancels: it is not run again. True where nothing else is left to cancel."""
        latest = self._ledger.latest(run)[0]
        self._workload.guards.give_up([latest])
        if latest.job_id is not None:
            return False
        await actions.cancel(self._ledger, [latest])
        return True


class _Work:
    """What one job handle stands for: a run of one partition."""

    def __init__(self, adoption: Adoption, run: str) -> None:
        self._adoption, self._run = adoption, run

    def job_id(self) -> str:
        """The last attempt's that is on the service."""
        ledger = self._adoption._ledger

        def last() -> str:
            sent = ledger.where(lambda r: r.key is not None and r.key.run == self._run and r.job_id is not None)
            return str(max(sent, key=lambda r: r.key.attempt if r.key else 0).job_id)

        return self._adoption._portal.call(last)

    def goes_on(self, answer: Json) -> bool:
        """It has failed, and another attempt is coming or under way."""
        return self._adoption.heard(self._run, answer)

    def told(self, answer: Json) -> Json:
        """The answer in words that the client knows."""
        return self._adoption.told(answer)

    def taken_back(self) -> bool:
        """Its user cancels."""
        return self._adoption._portal.call(self._adoption.taken_back, self._run)

    def tags(self, own: Sequence[str]) -> list[str]:
        """The user's new tags and ours, as far as there is room."""
        record = self._adoption.latest(self._run)
        record.own_tags = tuple(own)
        try:
            return record.tags(self._adoption._portal.call(self._adoption._ledger.label, self._run))
        except ValueError:  # they leave no room, or look like ours
            return list(own)
