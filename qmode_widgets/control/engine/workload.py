"""One workload: what is known of it, the tasks that look after it, and its verbs. All of it lives on the loop.

Between two `await`s everything may have changed: what is checked and what is done stand together, without one between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Protocol

from ...errors import ArgumentError, QmodeError, ServiceError, SubmissionError, UnreachableError
from ...ibm.link import again
from ...model import tags
from ...model.command import Action
from ...model.outcome import CancelOutcomes, Closed, CloseOutcome, Done, EndOutcome, Outcome, Refusal
from ...model.partition import Partition
from ...model.snapshot import JobSnapshot, JobState, WorkloadSnapshot
from ...portal import clock, portal
from ..runs.results import Results
from ..state.ledger import Ledger
from ..state.merge import merge
from ..state.record import Record
from . import actions
from .attempt import PartitionAttempt, outbox_of
from .guards import Guards
from .look import Watch, pages
from .observers import News

log = logging.getLogger(__name__)

FORGOTTEN_AFTER = 5.0  # seconds after which a partition that is in no queue was lost by somebody
GUARDS_EVERY = 0.05  # seconds between two looks of the guards while much changes
CLOSE_AGAIN = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # pauses while the service does not take a closing
KEY_LOOKS = (2.0, 5.0, 10.0)  # seconds after the first job of a keyed run at which the run is looked for again
CLOSED = 1217


class ModeObject(Protocol):
    """What the engine needs of the user's `Session` or `Batch` object; neither makes a request."""

    @property
    def word(self) -> str:
        """The service's word for the mode: "batch" or "dedicated"."""
        ...

    @property
    def max_time(self) -> int | None:
        """The max TTL it was opened with, in seconds."""
        ...

    def continue_in(self, id_: str) -> None:
        """The workload goes on in a new one."""
        ...

    def note_closed(self) -> None:
        """It takes no further jobs."""
        ...


class Workload:
    """The engine of one workload. Every method runs on the loop.

    Args:
        ledger: what is known of it.
        retries: how often a partition that failed for a transient or system reason is run again by itself.
        kept: is told True when there is something to do again, and False once nothing is left to learn.
    """

    def __init__(self, ledger: Ledger, *, retries: int = 0, kept: Callable[[bool], None] = lambda _: None) -> None:
        self.ledger, self.link, self._kept = ledger, ledger.link, kept
        self.news = News(ledger)
        self.news.on_news = self._guards_soon
        self.results = Results(ledger)
        self.guards = Guards(ledger, self.act, retries=retries)
        self.outbox = outbox_of(ledger.link)
        self.watch = Watch(
            ledger, awaited=lambda: self.news.waiting > 0, after=self._after_look, settled=lambda: kept(False)
        )
        self.mode: ModeObject | None = None
        self.on_exit = "leave"
        self.forgotten = False
        self.follows: Callable[[str], bool] = lambda _: False  # a job handle in the user's code stands for this run
        self.reopen: Callable[[str], None] = lambda _: None  # that handle asks anew
        self._acting: dict[str, asyncio.Task[Any]] = {}
        self._redoing: asyncio.Lock = asyncio.Lock()
        self._first_run_taken = False
        self._following: set[str] = set()  # rows that wait for the first of their keyed run
        self._closing_again = False
        self._guards_timer: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._guards_at = float("-inf")

    # --- looking after it --------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Look at the workload now, and keep its controller until nothing is left to learn."""
        if not self.forgotten:
            self._kept(True)
            self.watch.start()

    def forget(self) -> None:
        """No task looks after it any more. Nothing changes on the service."""
        self.forgotten = True
        self.watch.stop()
        self.guards.end()
        for timer in (self._guards_timer, self._alarm):
            if timer is not None:
                timer.cancel()
        for task in self._acting.values():
            task.cancel()
        self.ledger.changed()

    async def refresh(self) -> WorkloadSnapshot:
        """Ask the service now.

        Raises:
            ServiceError, UnreachableError: it did not answer.
        """
        await self.watch.look(fresh=True)
        if not self.forgotten:
            self._kept(True)
            self.watch.start(now=False)
        return self.ledger.snapshot()

    def _after_look(self) -> None:
        self.tidy()
        self._sweep()
        self.look_at_guards()
        if self._closing_again and not actions.unsent(self.ledger):
            self._closing_again = False
            self.guards.close()

    def tidy(self) -> None:
        """Cancel what turned up twice or after it was taken back, and say what it cost."""
        actions.report_doubles(self.ledger)
        if actions.to_tidy(self.ledger):
            self._begin("tidy", self._tidy)

    async def _tidy(self) -> None:
        await actions.cancel_found(self.ledger)
        await actions.cancel_duplicates(self.ledger)

    def _sweep(self) -> None:
        """What is in the ledger and in no queue would wait for ever: whatever lost it, it is queued again."""
        waiting = self.ledger.where(lambda r: r.state is JobState.WAITING and not r.sending and r.age > FORGOTTEN_AFTER)
        lost = [
            r
            for r in waiting
            if r.key is not None
            and r.captured is not None
            and r.row not in self._following
            and not self.outbox.has(r.key.tag)
        ]
        if lost:
            self.ledger.event("warning", f"{len(lost)} partitions had not been queued for sending: they are now")
            self.send(lost)

    # --- guards ------------------------------------------------------------------------------------------------

    def _guards_soon(self) -> None:
        """Something changed: caps compare with it, many changes together."""
        if self._guards_timer is None and not self.forgotten:
            loop = portal().loop
            self._guards_timer = loop.call_at(max(loop.time(), self._guards_at + GUARDS_EVERY), self.look_at_guards)

    def look_at_guards(self) -> None:
        """Compare what is known with every bound, and set the alarm for the next time that one is due."""
        for timer in (self._guards_timer, self._alarm):
            if timer is not None:
                timer.cancel()
        self._guards_timer = self._alarm = None
        if self.forgotten:
            return
        self._guards_at = clock.monotonic()
        self.guards.look()
        alarm = self.guards.alarm
        self.ledger.set_alarm(alarm)
        if alarm is not None:
            pause = max(GUARDS_EVERY, clock.of(alarm - self.link.now()))
            self._alarm = portal().loop.call_later(pause, self.look_at_guards)

    def act(self, what: str) -> None:
        """What a guard asks for: begun now, unless it is under way already."""
        ways: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "cancel_remaining": lambda: self._cancel_by_guard(lambda: actions.remaining(self.ledger)),
            "cancel_stopped": lambda: self._cancel_by_guard(self.guards.to_cancel),
            "close": self.close_now,
            "retry": self._retry,
            "look": self._look_now,
        }
        self._begin(what, ways[what])

    def _begin(self, what: str, way: Callable[[], Coroutine[Any, Any, object]]) -> None:
        task = self._acting.get(what)
        if task is None or task.done():
            self._acting[what] = portal().spawn(self._told(what, way), name=f"{what} {self.ledger.id}")

    async def _told(self, what: str, way: Callable[[], Coroutine[Any, Any, object]]) -> None:
        try:
            await way()
        except (ServiceError, UnreachableError) as error:
            self.guards.failed(what.replace("_", " "), error)
        except Exception as error:
            log.exception("%s of workload %s failed inside", what, self.ledger.id)
            self.guards.failed(what.replace("_", " "), error)

    async def _cancel_by_guard(self, chosen: Callable[[], list[Record]]) -> None:
        """Cancel what a bound chose, and again what the service did not take."""
        for pause in CLOSE_AGAIN:
            left = chosen()
            if not left:
                return
            outcomes = await actions.cancel(self.ledger, left)
            self.outbox.nudge()
            self.watch.start()
            if not outcomes.failed:
                return
            self.guards.failed("cancelling", QmodeError(str(next(iter(outcomes.refused.values())))))
            await asyncio.sleep(pause)

    async def _look_now(self) -> None:
        self.watch.start()
        await asyncio.sleep(1.0)

    # --- submitting --------------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raises SubmissionError where nothing may be submitted any more, saying why."""
        ledger = self.ledger
        if ledger.read_only:
            raise SubmissionError(ledger.read_only)
        if self.forgotten:
            raise SubmissionError(
                f"this controller was told to forget {ledger.id}: attach({ledger.id!r}) makes a new one"
            )
        if self.guards.stopped:
            raise SubmissionError(f"no further submissions: {self.guards.stopped}")
        if ledger.closed:
            raise SubmissionError(
                f"the {ledger.mode} {ledger.workload_id} is closed and never reopens: open a new one, "
                "or resubmit() jobs of this one, which opens a new one by itself"
            )

    def check_writable(self) -> None:
        """Raises QmodeError where nothing may be changed from here."""
        if self.ledger.read_only:
            raise QmodeError(self.ledger.read_only)

    def new_run(self) -> str:
        """An id for a run. In job mode the first one has the controller's, so that `attach(controller.id)` finds it."""
        if self.ledger.mode == "job" and not self.ledger.runs and not self._first_run_taken:
            self._first_run_taken = True
            return self.ledger.id
        return tags.new_run()

    def submit(
        self, records: Sequence[Record], run: str, label: str | None = None, *, looked_for: bool = False
    ) -> None:
        """In the ledger and in the queue, or in neither: there is no place to interrupt it.

        Args:
            records: waiting ones.
            run: which they belong to.
            label: its name.
            looked_for: another kernel may have sent them: should the service show a second job, it is cancelled.

        Raises:
            SubmissionError: nothing may be submitted any more.
        """
        self.check_open()  # preparing may have taken a while
        self.ledger.add(records, run, label)
        self.send(records, looked_for=looked_for)
        self.ledger.changed()

    def submit_keyed(self, records: Sequence[Record], run: str, label: str | None, *, alone: bool) -> None:
        """Submit work under a caller's key, which another kernel may be submitting too.

        Args:
            records: waiting ones, or in doubt.
            run: which they belong to.
            label: its name.
            alone: the first one goes alone, and the run is looked for again before the others follow.

        Raises:
            SubmissionError: nothing may be submitted any more.
        """
        self.check_open()
        self.ledger.add(records, run, label)
        if alone and len(records) > 1:
            for r in records[1:]:
                r.settle(JobState.WAITING, "waits until it is known that no other kernel submits the same key")
            self._following.update(r.row for r in records[1:])
            portal().spawn(self._follow_first(records[0], records[1:], run))
            self.send(records[:1], looked_for=True)
        else:
            self.send(records, looked_for=True)
        self.ledger.changed()

    async def _follow_first(self, first: Record, others: Sequence[Record], run: str) -> None:
        """Send the others once the first was posted and no older job of another kernel has turned up."""
        try:
            await self.news.until(lambda: first.job_id is not None or first.over)
            before = 0.0
            for at in KEY_LOOKS:
                await asyncio.sleep(at - before)
                before = at
                try:
                    merge(self.ledger, await pages(self.link, tags=[tags.run_tag(run)]))
                except (ServiceError, UnreachableError) as error:
                    log.info("a keyed run could not be looked for: %s", error)
            self.tidy()
        finally:
            self._following.difference_update(r.row for r in others)
            left = [r for r in others if r.state is JobState.WAITING and r.captured is not None]
            if first.doubled is not None:  # another kernel was first: it sends the others, and they are looked for
                for r in left:
                    r.settle(JobState.UNKNOWN, "another kernel submits the same key: looking for its jobs")
            elif first.job_id is None and first.state in (JobState.REFUSED, JobState.DROPPED):
                for r in left:
                    r.settle(JobState.DROPPED, f"not sent: {first.note or 'the first partition was not taken'}")
                left = []
            if not self.forgotten:
                self.send(left, looked_for=True)
            self.ledger.changed()

    def send(self, records: Iterable[Record], *, looked_for: bool = False) -> None:
        """Queue attempts that are in the ledger."""
        attempts = [
            PartitionAttempt(
                self.ledger,
                r,
                stopped=lambda: self.guards.stopped,
                wake=self.wake,
                tidy=self.tidy,
                held_back=lambda: self.guards.held,
            )
            for r in records
        ]
        for attempt in attempts:
            attempt.sent_again = looked_for
        self.outbox.add(attempts)
        self.wake()

    async def there(self, key: str, run: str, parts: Sequence[Partition]) -> frozenset[int]:
        """The partitions of a caller's own run that this kernel or the service knows.

        Raises:
            SubmissionError: the key was used for other work.
        """
        ledger = self.ledger
        if run not in ledger.runs:
            jobs = await again(pages, self.link, tags=[tags.run_tag(run)])
            if jobs:
                for home in dict.fromkeys(j.session_id for j in jobs if j.session_id is not None):
                    ledger.include(home)
                ledger.add_run(run)
                merge(ledger, jobs)
        rows = ledger.latest(run)
        for i, record in rows.items():
            of = record.key.of if record.key else 0
            pieces = None if record.partition is None else record.partition.pieces
            if of != len(parts) or pieces not in (None, (), parts[i].pieces):
                raise SubmissionError(
                    f"key={key!r} was used for other work, in {of} partitions (partition {i + 1} has the PUBs "
                    f"{record.partition.label if record.partition else '?'}): use another key for this one"
                )
        return frozenset(rows)

    # --- ending ------------------------------------------------------------------------------------------------

    async def cancel(self, choose: Callable[[], Iterable[Record]]) -> CancelOutcomes:
        """Cancel what `choose()` gives now."""
        self.check_writable()
        outcomes = await actions.cancel(self.ledger, choose())
        if outcomes.failed:
            self.ledger.event("error", f"cancelling: {outcomes}")
            self.ledger.changed()
        self.outbox.nudge()
        self.wake()
        return outcomes

    async def drain(self) -> None:
        """Until nothing waits to be sent."""
        self.wake()
        await self.news.until(lambda: not actions.unsent(self.ledger))

    async def sent(self, records: Sequence[Record]) -> None:
        """Until none of them waits to be sent or looked up: each has a job, was refused, taken back, or is held."""

        def waits(r: Record) -> bool:
            assert r.key is not None
            return r.job_id is None and not r.over and (self.outbox.has(r.key.tag) or r.row in self._following)

        await self.news.until(lambda: not any(waits(r) for r in records))

    def drop_unsent(self, why: str) -> None:
        """What waits to be sent is not sent any more, and that is said."""
        left = actions.unsent(self.ledger)
        if left:
            rows = ", ".join(r.row for r in left)
            self.ledger.event("warning", f"{why}: {len(left)} partitions are not sent: {rows}")
        actions.take_back(self.ledger, left)
        self.outbox.nudge()
        self.wake()

    async def close(self) -> CloseOutcome:
        """Send what waits to be sent, then take no further jobs; queued ones still run."""
        if self.mode is not None:
            await self.drain()
        return await self.close_now()

    async def close_now(self) -> CloseOutcome:
        """No further jobs. Asked again until it is known that the service took it: a session left open is billed."""
        if self.mode is None:
            return self._closed(Closed.NOT_NEEDED)
        self.check_writable()
        ledger = self.ledger
        if ledger.closed or not await self._until_taken(lambda: self.link.close(ledger.workload_id)):
            return self._closed(Closed.ALREADY)
        ledger.event("info", "closed to further jobs; queued ones still run")
        ledger.changed()
        self.wake()
        return self._closed(Closed.CLOSED)

    async def end(self, *, running: bool) -> EndOutcome:
        """Cancel whatever has not ended, or all but the running jobs, and close: what can be done is done."""
        if self.mode is None or running:  # cancelling first: what waits to be sent would be sent by closing
            chosen = actions.unfinished if running else actions.remaining
            cancelled = await self.cancel(lambda: chosen(self.ledger))
            return EndOutcome(cancelled, await self._or_say(self.close()))
        cancelled = await self.cancel(lambda: actions.unsent(self.ledger))
        return EndOutcome(cancelled, await self._or_say(self._cancel_queue()))

    async def _cancel_queue(self) -> CloseOutcome:
        """Cancel the queued jobs and close, in one request; running jobs go on."""
        taken = await self._until_taken(lambda: self.link.cancel_workload(self.ledger.workload_id))
        self.wake()
        return self._closed(Closed.QUEUE_CANCELLED if taken else Closed.ALREADY)

    async def _or_say(self, closing: Coroutine[Any, Any, CloseOutcome]) -> CloseOutcome:
        """What came of closing; where it is refused, the outcome says so."""
        try:
            return await closing
        except ServiceError as error:
            return self._closed(Closed.UNKNOWN if error.passing else Closed.REFUSED, Refusal.of(error))
        except UnreachableError as error:
            return self._closed(Closed.UNKNOWN, Refusal.of(error))

    def _closed(self, result: Closed, refusal: Refusal | None = None) -> CloseOutcome:
        """With the jobs that may still use the QPU, as far as they are known here."""
        left = [r.state for r in self.ledger.where(lambda r: not r.cancelling)]
        queued = 0 if result is Closed.QUEUE_CANCELLED else left.count(JobState.QUEUED)
        return CloseOutcome(result, left.count(JobState.RUNNING), queued, refusal)

    async def _until_taken(self, ask: Callable[[], Awaitable[None]]) -> bool:
        """False: it had been closed before.

        Raises:
            ServiceError: the service refuses.
            UnreachableError: it was asked for minutes; the guards go on asking.
        """
        for pause in (*CLOSE_AGAIN, None):
            try:
                await again(ask)
            except (ServiceError, UnreachableError) as error:
                if isinstance(error, ServiceError) and (error.status == 404 or error.code == CLOSED):
                    self.note_closed()
                    return False
                passing = isinstance(error, UnreachableError) or error.passing
                if not passing or pause is None:
                    if passing:
                        self.guards.close()
                    raise
                self.guards.failed("closing", error)
                await asyncio.sleep(max(pause, getattr(error, "retry_after", None) or 0.0))
            else:
                self.note_closed()
                return True
        raise AssertionError("unreachable")

    def note_closed(self, id_: str | None = None) -> None:
        """The service took it: do not wait for the next look to refuse submissions."""
        if id_ in (None, self.ledger.workload_id):  # else the block of a workload that was continued
            if self.mode is not None and self.guards.stopped is None:  # a reached cap says more than "closed"
                self.mode.note_closed()
            self.ledger.refuse_jobs()
            self.ledger.changed()

    async def exit(self) -> None:
        """The kernel exits: time is short, and one request has to do."""
        ledger = self.ledger
        if self.mode is None or self.forgotten or self.on_exit == "leave":
            return
        queued = any(r.state is JobState.QUEUED for r in ledger.records.values())
        if self.on_exit == "cancel" and (queued or not ledger.closed):
            await self.link.cancel_workload(ledger.workload_id)
            self.note_closed()
        elif self.on_exit == "close" and not ledger.closed:
            await self.link.close(ledger.workload_id)
            self.note_closed()  # screens are told of it with the kernel's last word

    # --- redoing -----------------------------------------------------------------------------------------------

    async def resubmit(
        self, choose: Callable[[], list[Record]], *, patient: bool = True, look: bool = False
    ) -> dict[str, list[str]]:
        """Run the chosen work again; by run, the rows that are sent.

        One at a time: a click, a cell and the retry policy never run the same work twice, nor open two workloads.

        Args:
            choose: what to run again, asked when it is our turn.
            patient: wait for others; else nothing is done while somebody else is at it.
            look: ask the service first: another kernel, or another user, may have resubmitted it already.

        Raises:
            QmodeError: one of them cannot be run again, or a cap is reached.
        """
        self.check_writable()
        if not patient and self._redoing.locked():
            return {}
        async with self._redoing:
            if look:
                try:
                    await self.watch.look(fresh=True)
                except (ServiceError, UnreachableError) as error:
                    log.info("resubmitting without a fresh look: %s", error)
            chosen = choose()
            if not chosen:
                return {}
            if self.guards.stopped:
                raise QmodeError(f"nothing is resubmitted: {self.guards.stopped}")
            payloads = await actions.payloads(self.ledger, chosen, limit=self.guards.max_execution_time())
            await actions.mention_calibration(self.ledger, chosen)
            if self.ledger.closed and self.mode is not None:
                await self._continue()
                self._closing_again = not patient  # nobody asked for a further workload: it is closed once all is sent
            if self.guards.stopped:
                raise QmodeError(f"nothing is resubmitted: {self.guards.stopped}")
            fresh = actions.next_attempts(self.ledger, chosen, payloads, self.follows)
            self.send(fresh)
            rows: dict[str, list[str]] = {}
            for record in fresh:
                run = record.key.run if record.key else ""
                self.reopen(run)
                rows.setdefault(run, []).append(record.row)
            self.ledger.changed()
            return rows

    async def _continue(self) -> None:
        """The old one is closed for good: go on in a new one of the same mode, on the same backend."""
        assert self.mode is not None
        ledger = self.ledger
        max_ttl = None if ledger.session is None else ledger.session.max_ttl  # of an attached one, the service's bound
        max_time = self.mode.max_time
        if max_time is None and max_ttl is not None:
            max_time = int(max_ttl)
        fresh = await again(self.link.open, self.mode.word, ledger.backend, max_time)
        self.mode.continue_in(fresh)
        ledger.continue_in(fresh)
        ledger.event("info", f"{ledger.lineage[-1]} is closed: continued in the new {ledger.mode} {fresh}")

    async def _retry(self) -> None:
        """Run again what the policy says; what cannot be run again is said once and left to the user."""
        chosen = self.guards.to_retry()
        for group in [chosen, *([r] for r in chosen)]:
            left = [r for r in group if not r.superseded and self.guards.will_retry(r)]
            if not left:
                continue
            try:
                await self.resubmit(lambda left=left: left, patient=False)  # type: ignore[misc]
            except (ServiceError, UnreachableError) as error:
                if isinstance(error, UnreachableError) or error.passing:
                    await asyncio.sleep(1.0)
                    return  # at the next look
                self._give_up(left, error)
            except QmodeError as error:
                self._give_up(left, error)

    def _give_up(self, group: list[Record], error: QmodeError) -> None:
        if len(group) == 1:  # of several, each is tried by itself
            self.guards.give_up(group)
            self.ledger.event("error", f"{group[0].name} is not run again: {error}", group[0].row)
            self.ledger.changed()

    # --- clicks ------------------------------------------------------------------------------------------------

    def find(self, job: Any) -> Record:
        """A record by job id, row key, job object or snapshot.

        Raises:
            QmodeError: there is none.
        """
        if hasattr(job, "job_id"):
            job = job.job_id() if callable(job.job_id) else (job.job_id or job.key)
        if not isinstance(job, str):
            raise ArgumentError(f"{job!r} is not a job: pass its id, its key, or the job object")
        found = self.ledger.find(job)
        if found is None:
            raise ArgumentError(f"no job {job!r} in {self.ledger.mode} {self.ledger.id}: see controller.jobs")
        return found

    async def perform(self, action: Action, target: str | None) -> Outcome:
        """Carry out a click."""
        match action:
            case Action.CANCEL | Action.DROP:
                return next(iter((await self.cancel(lambda: [self.find(target)])).values()))
            case Action.CANCEL_REMAINING:
                return await self.cancel(lambda: actions.remaining(self.ledger))
            case Action.CANCEL_ALL:
                return await self.cancel(lambda: actions.unfinished(self.ledger))
            case Action.CLOSE:
                return await self._or_say(self.close())
            case Action.END:
                return await self.end(running=True)
            case Action.RESUBMIT:
                await self.resubmit(lambda: [self.find(target)], look=True)
                return Done("resubmitted")
            case Action.RESUBMIT_FAILED:
                sent = await self.resubmit(lambda: actions.failed(self.ledger), look=True)
                return Done(f"{sum(map(len, sent.values()))} resubmitted")
            case Action.RESUBMIT_MISSING:
                if target is not None:
                    self.guards.cap(_seconds(target))
                sent = await self.resubmit(lambda: actions.missing(self.ledger), look=True)
                return Done(f"{sum(map(len, sent.values()))} resubmitted")
            case Action.REFRESH:
                await self.refresh()
                return Done("refreshed")

    # --- waiting -----------------------------------------------------------------------------------------------

    def work(self, run: Any) -> Record | str:
        """A run's id, or the record of a job that belongs to none: what a key of `results()`, or a `Run`, names.

        Raises:
            ArgumentError: nothing here has this key.
        """
        key = getattr(run, "id", run)
        works = self.ledger.works()
        if key in self.ledger.runs:
            return str(key)
        if not isinstance(key, str) or key not in works:
            raise ArgumentError(f"no run {key!r} here; there are {', '.join(works) or 'none'}")
        return works[key]

    def of_run(self, run: Record | str | None) -> list[Record]:
        """The attempts that count, of one run or of all."""
        if isinstance(run, Record):
            return [run]
        return [r for r in self.ledger.current() if run is None or (r.key is not None and r.key.run == run)]

    def ended(self, run: Record | str | None = None) -> bool:
        """Every job known here (of one run, or of all) has ended and is not run again."""
        return all(r.over and not self.guards.will_retry(r) for r in self.of_run(run))

    async def until_ended(self, run: Record | str | None = None) -> None:
        """Until every job has ended. Of a batch or session this counts jobs that others submit, so the service is asked
        at least once.
        """
        look = self.ledger.look
        self.wake()
        await self.news.until(lambda: self.ended(run) and (run is not None or self.ledger.looked_after(look)))

    async def until_over(self, record: Record) -> None:
        """Until one job has ended and is not run again."""
        self.wake()
        await self.news.until(lambda: self.over(record))

    def over(self, record: Record) -> bool:
        """One job has ended and is not run again."""
        return record.state.final and not self.guards.will_retry(record)

    async def until_looked(self) -> None:
        """Until all that the service has is known."""
        look = self.ledger.look
        self.wake()
        await self.news.until(lambda: self.ledger.looked_after(look))

    async def until_posted(self, record: Record) -> None:
        """Until the service gave an id, or nothing exists."""
        await self.news.until(lambda: record.job_id is not None or record.over)

    def on_done(
        self, tell: Callable[[JobSnapshot], None], run: Record | str | None
    ) -> Callable[[WorkloadSnapshot], None]:
        """A listener that tells each job once that has ended and is not run again."""
        told: set[str] = set()

        def listen(_: WorkloadSnapshot) -> None:
            for r in self.of_run(run):
                if r.state.final and r.row not in told and not self.guards.will_retry(r):
                    told.add(r.row)
                    tell(r.snapshot())

        return listen

    def latest(self, run: str) -> Mapping[int, Record]:
        """The last attempt at each partition of a run."""
        return self.ledger.latest(run)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentError(f"usage_cap={text!r}: pass a positive number of seconds") from None
