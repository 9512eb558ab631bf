"""What the three controllers share: submit, watch, cancel, resubmit, close, results. The face of a workload's engine.

A controller holds no state: each method asks the engine, which lives on the portal's loop, and waits for its answer.
Ctrl-C ends the waiting; what was asked for happens wholly or not at all.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from ..errors import ArgumentError, IncompleteResultError, QmodeError, RefusedError, SubmissionError, UnreachableError
from ..ibm.client import Kind, backend_of, self_test, target_of
from ..model.command import Action
from ..model.outcome import Cancelled, CancelOutcome, CancelOutcomes, CloseOutcome, EndOutcome, Outcome
from ..model.partition import Partition
from ..model.snapshot import Event, JobSnapshot, JobState, Mode, Ttl, Usage, WorkloadSnapshot
from ..model.text import state_word, table
from ..planning.allowance import cut_off
from ..planning.content import PlanContent
from ..planning.plan import before_sending
from ..planning.preflight import Preflight
from ..planning.settings import options_set
from ..planning.splitting import price
from ..portal import ForkedError, get, portal
from . import prepare, primitives
from .adoption import Adoption
from .engine import actions
from .engine.guards import check_cap, check_retries
from .engine.observers import Subscription
from .engine.workload import Workload
from .group import check_label, group_of
from .key import Key
from .registry import registry
from .run import Run
from .state.ledger import Ledger
from .state.record import Record

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

LONGEST_KEY = 200
MOST_LISTED = 10  # results that an error names
T = TypeVar("T")


def on_terminal() -> bool:
    """Somebody watches a terminal, and no notebook shows the workload."""
    return sys.stderr is not None and sys.stderr.isatty() and "ipykernel" not in sys.modules


class OneEach(type):
    """Controllers are made or found: two threads that wrap one workload get one controller."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """The controller that is there, or the new one."""
        made = super().__call__(*args, **kwargs)
        return made._one


class Controller(metaclass=OneEach):
    """The base of the controllers. All methods may be called from any thread."""

    _mode: ClassVar[Mode]
    _one: Controller  # the one that is there for this workload; usually this one
    _workload: Workload
    _adoption: Adoption

    def __init__(self, ledger: Ledger, *, usage_cap: float | None = None, retries: int = 0) -> None:
        check_cap(usage_cap)
        check_retries(retries)
        self._portal = portal()
        ledger.read_only = self_test()
        self._run_options: dict[str, dict[str, Any]] = {}  # of the primitive of each run
        self._plans: dict[str, PlanContent] = {}  # of each run that a plan submitted
        self._one = self._portal.call(self._begin, ledger)
        self._workload = self._one._workload
        self._adoption = self._one._adoption
        if self._one is self:
            registry.tell(self)
        self._set_limits(usage_cap, retries or None)
        self._portal.call(self._workload.wake)

    def _begin(self, ledger: Ledger) -> Controller:
        """Make or get, in one step of the loop."""
        there: Controller | None = registry.find(ledger.id)
        if there is not None:
            return there
        kept = registry.keeper(self)
        self._workload = Workload(ledger, kept=kept)
        self._adoption = Adoption(self._workload)
        registry.add(self, ledger.id)
        return self

    def _ask(self, function: Callable[[], T]) -> T:
        """What is known, read on the loop; in a forked process as it was when that was forked."""
        try:
            return self._portal.call(function)
        except ForkedError:
            return function()

    @property
    def _ledger(self) -> Ledger:
        return self._workload.ledger

    @property
    def _closed(self) -> bool:
        return self._ask(lambda: self._ledger.closed)

    # --- what it is --------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The workload's id; stays when a new workload continues this one."""
        return self._ledger.id

    @property
    def workload_id(self) -> str:
        """The service's id of the session or batch now."""
        return self._ledger.workload_id

    @property
    def workload_ids(self) -> tuple[str, ...]:
        """The service's ids of the workloads that this one continues, oldest first, and of the present one."""
        return self._ask(lambda: (*self._ledger.lineage, self._ledger.workload_id))

    @property
    def jobs(self) -> tuple[JobSnapshot, ...]:
        """Every attempt this kernel knows of, superseded ones included."""
        return self.snapshot().jobs

    @property
    def usage(self) -> Usage:
        """QPU usage in seconds: reported, expected, and which."""
        return self._ask(self._ledger.usage)

    @property
    def ttl(self) -> Ttl:
        """Limits and deadlines, on the service's clock."""
        return self._ask(self._ledger.ttl)

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened, oldest first."""
        return self.snapshot().events

    @property
    def runs(self) -> list[Run]:
        """One for each `submit` call, oldest first."""
        return [Run(self, r) for r in self._ask(lambda: self._ledger.runs)]

    @property
    def service(self) -> QiskitRuntimeService:
        """The account's service that it speaks to."""
        return self._ledger.link.service

    def _take_over(self, service: Any) -> None:
        """Go on through another service object: the one so far has a key that was replaced, or its service has moved.

        Raises:
            QmodeError: the service object has no client for the workload's instance.
        """
        if not self._ledger.link.speaks_for(service):
            self._ledger.link.take_over(service)
            self._rebind(service)
            self._wake()

    def _rebind(self, service: Any) -> None:
        """The objects of the user's come from this service now."""

    def snapshot(self) -> WorkloadSnapshot:
        """What is known now; makes no request."""
        return self._ask(self._ledger.snapshot)

    def on_change(self, callback: Callable[[WorkloadSnapshot], object]) -> Callable[[], None]:
        """Call back with each changed snapshot, on a thread of its own; returns what ends it.

        A slow callback gets the latest snapshot only, and delays no other. One that raises is reported in the events.
        """
        heard = Subscription(callback, self._callback_failed)
        return self._listen(heard, heard.tell, now=False)

    def listen(self, callback: Callable[[WorkloadSnapshot], None]) -> Callable[[], None]:
        """For screens: call back with each changed snapshot, on the loop, so it must return at once."""
        news = self._workload.news
        self._portal.call(news.listen, callback)
        return partial(self._portal.send, news.unlisten, callback)

    async def perform(self, action: Action, target: str | None) -> Outcome:
        """For screens: carry out a command, on the loop."""
        return await self._workload.perform(action, target)

    def on_done(self, callback: Callable[[JobSnapshot], object], *, run: Run | str | None = None) -> Callable[[], None]:
        """Call back once for each job that has ended and is not run again, those that have ended already included.

        Args:
            callback: gets the job. Runs on a thread of its own, one call after the other.
            run: only the jobs of this run: a `Run`, its id, or any other key of `results()`.

        Returns:
            What ends it.
        """
        work = self._work(run)
        heard = Subscription(callback, self._callback_failed, every=True)
        stop = self._listen(heard, self._workload.on_done(heard.tell, work), now=True)
        self._wake()
        return stop

    def _listen(
        self, heard: Subscription, listener: Callable[[WorkloadSnapshot], object], *, now: bool
    ) -> Callable[[], None]:
        news = self._workload.news
        self._portal.call(lambda: news.listen(listener, now=now))

        def stop() -> None:
            heard.end()
            if not self._portal.forked:
                self._portal.send(news.unlisten, listener)

        return stop

    def _callback_failed(self, error: BaseException) -> None:
        def say() -> None:
            self._ledger.event("error", f"a callback of yours failed: {error!r}")
            self._ledger.changed()

        self._portal.send(say)

    def wait_until(self, predicate: Callable[[WorkloadSnapshot], bool], timeout: float | None = None) -> bool:
        """Until `predicate(snapshot)` is true; False when `timeout` seconds ran out first.

        An interrupt ends the waiting and cancels nothing.
        """
        bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        end = None if timeout is None else time.monotonic() + timeout
        news = self._workload.news
        self._portal.call(news.ring, bell)
        try:
            self._wake()
            while not predicate(self.snapshot()):
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return False
                try:
                    get(bell, left)
                except queue.Empty:
                    return bool(predicate(self.snapshot()))
                while not bell.empty():  # one look for all that has changed
                    bell.get()
            return True
        finally:
            self._portal.send(news.unring, bell)

    def forget(self) -> None:
        """Let go of this workload: nothing looks after it, its caps and retries end, its results are dropped.

        Nothing changes on the service. Screens show it as gone; `attach` makes a new controller.
        """
        self.release()
        self._portal.call(self._workload.forget)
        registry.remove(self)
        self._workload.results.drop()

    def release(self) -> None:
        """Give the mode object back to the client: what is submitted through it from now on is seen, not protected.

        What was submitted until now stays under control, and its job handles follow their retries.
        """
        self._adoption.release()

    @property
    def backend(self) -> Any:
        """The backend object it runs on."""
        return backend_of(self.primitive_mode)

    @property
    def primitive_mode(self) -> Any:
        """What a primitive of this workload takes as its mode: `Sampler(mode=controller.primitive_mode)`."""
        raise NotImplementedError

    @property
    def _adopting(self) -> bool:
        """What is submitted directly is taken over."""
        return not (self._workload.forgotten or self._ledger.read_only)

    def _opened_by(self, where: str, *, library: str | None) -> None:
        """Say in the events which line of code opened this, and warn when a library leaves it open and idle."""

        def note() -> None:
            self._ledger.event("info", f"opened by {where}")
            self._workload.guards.left_open_by(library, where)
            self._workload.wake()

        self._portal.call(note)

    # --- the client's primitives ---------------------------------------------------------------------------------

    def sampler(self, options: Any = None) -> Any:
        """The client's Sampler for this workload. What it runs is posted exactly once and within the caps.

        Its job objects are the client's own, and follow retries.
        """
        return primitives.sampler(self._stand_in(), options)

    def estimator(self, options: Any = None) -> Any:
        """The client's Estimator for this workload; as `sampler()`."""
        return primitives.estimator(self._stand_in(), options)

    def executor(self, options: Any = None) -> Any:
        """The client's Executor for this workload; as `sampler()`."""
        return primitives.executor(self._stand_in(), options)

    def _stand_in(self) -> Any:
        """The mode of these primitives."""
        return self._adoption.stand_in(self.backend)

    def refresh(self) -> WorkloadSnapshot:
        """Ask the service now.

        Raises:
            ServiceError, UnreachableError: it did not answer.
        """
        return self._portal.call(self._workload.refresh, waits=True)

    # --- submission --------------------------------------------------------------------------------------------

    def submit(
        self,
        primitive: Any,
        pubs: Iterable[Any],
        partitions: str | int | Sequence[Partition] = "auto",
        *,
        label: str | None = None,
        key: str | None = None,
        resend: bool = True,
        **run_options: Any,
    ) -> Run:
        """Send PUBs in partitions, one job each; returns at once, with all partitions visible.

        With a `key` the same call is the same submission, however often and in whichever kernel it is made: a cell
        that is run again gives the run that is there and pays once. Partitions that an earlier kernel took with it
        unsent are sent by the call that gives their key and PUBs again.

        Args:
            primitive: a Sampler, Estimator, Executor or NoiseLearnerV3 made for this workload or for its backend.
            pubs: what its `run` takes: PUBs (for an Executor: one QuantumProgram a partition).
            partitions: `"auto"`, a number of jobs, or Partitions from `qmode.partition(…)`.
            label: a name for the run, shown wherever its jobs are; at most 30 characters, kept in a job tag.
            key: your own name for this work, unique in your account. Other work needs another key.
            resend: False: a partition whose answer was lost, and that no listing shows, is held for you to decide
                (`resubmit`) instead of being sent again.
            run_options: `shots` or `precision`, as the primitive's `run` takes them.

        Raises:
            SubmissionError: before anything is sent, saying what is wrong with which partition.
        """
        ledger = self._ledger
        if key is None:
            self._portal.call(self._workload.check_open)
        elif not 0 < len(key) <= LONGEST_KEY:
            raise SubmissionError(f"key={key!r} has {len(key)} characters: use 1 to {LONGEST_KEY}")
        check_label(label)
        kind = prepare.kind_of(primitive)
        prepare.check_primitive(
            primitive, id_=ledger.workload_id, mode=ledger.mode, backend=ledger.backend, instance=ledger.link.instance
        )
        listed = prepare.listed(pubs)
        target_of(backend_of(primitive))  # fetched now, where it can be said that it cannot
        parts = prepare.divide(kind, primitive, listed, partitions, run_options)
        limit = self._portal.call(self._workload.guards.max_execution_time)
        parts = self._within_cap(kind, primitive, listed, parts, run_options)

        def prepared(run: str, there: frozenset[int]) -> list[Record]:
            made = prepare.prepare(
                kind,
                primitive,
                listed,
                parts,
                run,
                run_options,
                max_execution_time=limit,
                group=self._group(),
                label=label,
                skip=there,
            )
            for r in made:
                r.resend = resend
            self._submitting(kind, primitive, made)
            return made

        options = options_set(primitive) | run_options
        if key is not None:
            return Key(key, self).submit(parts, prepared, label, options)
        run = self._portal.call(self._workload.new_run)
        records = prepared(run, frozenset())
        self._run_options[run] = options
        self._portal.call(self._workload.submit, records, run, label)
        return Run(self, run, tuple(r.row for r in records))

    def _within_cap(
        self, kind: Kind, primitive: Any, pubs: list[Any], parts: list[Partition], run_options: dict[str, Any]
    ) -> list[Partition]:
        """The partitions, with their expected usage where there is a usage cap to compare it with.

        A partition that the cap must cut off would be billed the cap and give nothing: it is not sent.

        Raises:
            SubmissionError: naming the first one, with its expected usage and what the cap leaves.
        """
        cap, used = self._ask(lambda: (self._ledger.cap, self._ledger.used() or 0.0))
        if cap is None:
            return parts
        if any(p.expected is None for p in parts):
            with contextlib.suppress(ValueError):  # what cannot be estimated is left to the service's own limit
                parts = price(pubs, backend_of(primitive), primitive, parts, **run_options)
        lost = [c for c in cut_off(parts, cap, used) if c.sure]
        if lost:
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            raise SubmissionError(f"usage_cap={cap:g}: {lost[0]}{more}")
        return parts

    def before_sending(
        self,
        primitive: Any,
        pubs: Iterable[Any],
        partitions: str | int | Sequence[Partition] = "auto",
        *,
        dry_run: bool = False,
        **run_options: Any,
    ) -> Preflight:
        """The card to read before `submit` with the same arguments; nothing is sent, except for a dry run.

        It shows the instance and whether it is paid, the backend's state, what is left of the allowance, the expected
        bill in this mode, and with `dry_run` the service's own estimate of the largest job.

        Raises:
            ValueError: what is wrong with which PUB or option.
        """
        parts: Any = partitions
        return before_sending(primitive, pubs, parts, mode=self._ledger.mode, dry_run=dry_run, **run_options)

    def _group(self) -> str | None:
        """The iteration that a submission of the caller's belongs to."""
        return group_of(self.id, lambda: self._portal.call(self._ledger.open_groups))

    def _submitting(self, kind: Kind, primitive: Any, records: list[Record]) -> None:
        """What a mode remarks on jobs about to be sent."""

    # --- ending and redoing ------------------------------------------------------------------------------------

    def cancel(self, job: Any) -> CancelOutcome:
        """Cancel one job: its id, its row key, or the job object. A running job bills what it used until then.

        Raises:
            RefusedError: the service does not cancel it; it goes on.
            UnreachableError: it is not known whether it was cancelled.
        """

        async def cancel() -> tuple[str, CancelOutcome]:
            record = self._workload.find(job)
            return record.name, (await self._workload.cancel(lambda: [record]))[record.row]

        name, outcome = self._portal.call(cancel)
        if outcome.refusal is not None:
            said, why = f"{name} was not cancelled", outcome.refusal
            if outcome.result is Cancelled.UNKNOWN:
                raise UnreachableError(f"{name}: {outcome}", sent=True)
            raise RefusedError(f"{said}: {why}", reason=why.reason, code=why.code, status=why.status)
        return outcome

    def cancel_remaining(self) -> CancelOutcomes:
        """Cancel what has not started, and drop what is not sent. By row; `.failed` where the service refused one."""
        return self._portal.call(self._workload.cancel, lambda: actions.remaining(self._ledger))

    def cancel_all(self) -> CancelOutcomes:
        """Cancel whatever has not ended. Running jobs bill what they used until then. By row, as `cancel_remaining`."""
        return self._portal.call(self._workload.cancel, lambda: actions.unfinished(self._ledger))

    def end(self, *, running: bool = True) -> EndOutcome:
        """Cancel whatever has not ended, and close. What can be done is done, also where a cancellation is refused.

        Args:
            running: False: jobs that run go on to their end.
        """
        return self._portal.call(lambda: self._workload.end(running=running))

    def close(self) -> CloseOutcome:
        """No further jobs; queued ones still run. What still waits to be sent is sent first. A job needs no closing.

        An interrupt drops what waits to be sent, and the workload is closed all the same: left open, a session would go
        on billing.

        Raises:
            ServiceError: the service refuses.
            UnreachableError: it has not answered for minutes; this kernel goes on asking.
        """
        try:
            return self._portal.call(self._workload.close, waits=True)
        except KeyboardInterrupt:
            self._portal.send(self._interrupted_close)
            raise

    def _interrupted_close(self) -> None:
        self._workload.drop_unsent("interrupted while closing")
        if self._workload.mode is not None:
            self._workload.guards.close()
            self._workload.look_at_guards()

    def resubmit(self, job: Any) -> Run:
        """Run one job's work again, from the service's stored raw inputs, with the same options, tags and cost limit.

        Into this workload, or where it is closed into a new one of the same mode, which this controller then watches.

        Raises:
            QmodeError: the job has not ended, is private, or its inputs are gone.
        """
        return self._resubmit(lambda: [self._workload.find(job)])[0]

    def resubmit_failed(self) -> list[Run]:
        """Resubmit every failed or refused partition; an empty list when there is none."""
        return self._resubmit(lambda: actions.failed(self._ledger))

    def _resubmit(self, choose: Callable[[], list[Record]]) -> list[Run]:
        async def redo() -> dict[str, list[str]]:
            return await self._workload.resubmit(choose, look=True)

        return [Run(self, run, tuple(sent)) for run, sent in self._portal.call(redo).items()]

    # --- results -----------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None, *, run: Run | str | None = None, progress: bool | None = None) -> bool:
        """Until every job has ended (of one run, or of all); False when the time (seconds) ran out first.

        Of a batch or session this counts jobs that others submit, so the service is asked at least once.
        An interrupt ends the waiting and cancels nothing.

        Args:
            timeout: in seconds.
            run: a `Run`, its id, or any other key of `results()`.
            progress: show a bar; by default on a terminal, and not in a script without one.
        """
        return self._wait_for(self._work(run), timeout, progress=progress)

    def _work(self, run: Run | str | None) -> Record | str | None:
        return None if run is None else self._ask(lambda: self._workload.work(run))

    def _wait_for(self, work: Record | str | None, timeout: float | None, *, progress: bool | None) -> bool:
        if not (on_terminal() if progress is None else progress):
            return self._wait(timeout, work)
        from tqdm.auto import tqdm

        ledger, workload = self._ledger, self._workload

        def counts() -> tuple[int, int]:
            chosen = workload.of_run(work)
            return sum(r.state.final for r in chosen), len(chosen)

        with tqdm(total=self._ask(counts)[1], unit="job", desc=f"{ledger.mode} {ledger.id[:8]}") as bar:

            def show(_: WorkloadSnapshot) -> None:
                bar.n, bar.total = self._ask(counts)
                bar.refresh()

            stop = self.on_change(show)
            try:
                return self._wait(timeout, work)
            finally:
                stop()
                show(self.snapshot())

    def _wait(self, timeout: float | None, work: Record | str | None) -> bool:
        if timeout is not None and timeout <= 0:
            return self._ask(lambda: self._workload.ended(work))
        try:
            self._portal.call(self._workload.until_ended, work, timeout=timeout, waits=True)
        except TimeoutError:
            return False
        return True

    def result(
        self,
        timeout: float | None = None,
        *,
        run: Run | str | None = None,
        job: Any = None,
        progress: bool | None = None,
    ) -> Any:
        """The result of the only run or job; of several, of the one that you name. Waits for it.

        Args:
            timeout: in seconds.
            run: a `Run`, its id, or any other key of `results()`. Partitions are merged in the order of the PUBs.
            job: a job's id, its row key, or the job object. A job that was run again stands for its last attempt.
            progress: show a bar; by default on a terminal, and not in a script without one.

        Raises:
            QmodeError: there is none, or there are several and none is named: the error lists them.
            TimeoutError: it did not end within `timeout` seconds.
            IncompleteResultError: some partitions ended without a result; it says why for each.
        """
        return self._result(self._choose(run, job, timeout), timeout, progress=progress)

    def results(self, timeout: float | None = None, *, partial: bool = False) -> dict[str, Any]:
        """All results, by the id of the run, or of the job where your own code submitted it. Waits for them.

        `wait`, `result`, `partial_result` and `on_done` take each of these keys as `run=`.

        Args:
            timeout: in seconds.
            partial: leave out what has no result, and do not wait.

        Raises:
            TimeoutError: not all ended within `timeout` seconds.
            IncompleteResultError: some ended without a result; it says why for each.
        """
        if not partial and not self.wait(timeout):
            raise TimeoutError(f"not all jobs have ended after {timeout} s; nothing was cancelled")
        found: dict[str, Any] = {}
        missing: dict[str, str] = {}
        for id_, work in self._ask(self._ledger.works).items():
            try:
                found[id_] = self._result(work, 0)
            except (QmodeError, TimeoutError) as error:
                missing[id_] = str(error)
        if missing and not partial:
            said = "; ".join(f"{id_}: {why}" for id_, why in missing.items())
            raise IncompleteResultError(
                f"{len(missing)} of {len(missing) + len(found)} have no result: {said}. "
                "results(partial=True) gives the others",
                missing,
            )
        return found

    def partial_result(self, *, run: Run | str | None = None) -> Any:
        """What there is now of the result of the only run, or the one you name, and what is missing; does not wait."""
        work = self._choose(run, None, 0)
        return (
            self._workload.results.run(work, partial=True) if isinstance(work, str) else self._workload.results.of(work)
        )

    def _result(self, work: Record | str, timeout: float | None, *, progress: bool | None = None) -> Any:
        if isinstance(work, str):
            if not self._wait_for(work, timeout, progress=progress):
                left = [r for r in self._ask(lambda: self._ledger.latest(work)).values() if not r.state.final]
                raise TimeoutError(f"{len(left)} partitions have not ended after {timeout} s; nothing was cancelled")
            return self._workload.results.run(work)
        try:
            if not self._ask(lambda: self._workload.over(work)):
                self._portal.call(self._workload.until_over, work, timeout=timeout, waits=True)
        except TimeoutError:
            raise TimeoutError(f"{work.name} has not ended after {timeout} s; nothing was cancelled") from None
        following = self._ask(lambda: self._follow(work))
        return self._workload.results.of(work) if following is work else self._result(following, timeout)

    def _follow(self, record: Record) -> Record | str:
        """What stands for a job now: the run in which it was done again, its own, or the last attempt at its part."""
        if record.again is not None:
            return record.again
        if record.key is None:
            return record
        return self._ledger.latest(record.key.run)[record.key.partition] if record.cut else record.key.run

    def _choose(self, run: Run | str | None, job: Any, timeout: float | None) -> Record | str:
        """A run's id, or a job's record."""
        if run is not None and job is not None:
            raise ArgumentError("run= and job= are both given: name one")
        if job is not None:
            return self._ask(lambda: self._follow(self._workload.find(job)))
        if (work := self._work(run)) is not None:
            return work
        if timeout != 0:
            with contextlib.suppress(TimeoutError):
                self._portal.call(self._workload.until_looked, timeout=timeout, waits=True)
        works = self._ask(self._ledger.works)
        labels = self._ask(lambda: {id_: self._ledger.label(id_) for id_ in works})
        if len(works) == 1:
            return next(iter(works.values()))
        if not works:
            raise QmodeError(f"nothing was submitted into this {self._ledger.mode} yet: submit(primitive, pubs) first")
        listed = [
            f"run={id_!r}" + (f" ({label})" if (label := labels.get(id_)) else "") if work == id_ else f"job={id_!r}"
            for id_, work in works.items()
        ]
        more = f", and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
        raise QmodeError(
            f"there are {len(works)} results here: name one, {', '.join(listed[-MOST_LISTED:])}{more}; results() gives "
            "all of them"
        )

    def drop_results(self) -> None:
        """Let the decoded results go from memory; they are fetched again when they are asked for.

        A private job's result can be read once: it is lost with it.
        """
        self._workload.results.drop()

    # --- conditions and caps -----------------------------------------------------------------------------------

    def _set_limits(self, usage_cap: float | None, retries: int | None) -> None:
        guards = self._workload.guards

        def set_() -> None:
            if usage_cap is not None:
                guards.cap(usage_cap)
            if retries is not None:
                guards.retry(retries)

        self._portal.call(set_)

    @property
    def usage_cap(self) -> float | None:
        """QPU seconds after which nothing more is sent and the queue is cancelled; None without a cap.

        Set it higher to go on: a workload that the cap has closed stays closed, but its jobs can be resubmitted, which
        opens a new one. Dies with the kernel.
        """
        return self._ledger.cap

    @usage_cap.setter
    def usage_cap(self, seconds: float) -> None:
        self._set_limits(seconds, None)
        self._portal.call(self._ledger.changed)
        self._wake()

    @property
    def retries(self) -> int:
        """How often a partition that failed for a transient or system reason is run again by itself."""
        return self._workload.guards.retries

    def stop_when(self, predicate: Callable[[Any, JobSnapshot], bool]) -> None:
        """Cancel the remaining jobs once `predicate(result, job)` is true of a finished one; never reads private ones.

        It runs on a thread of its own, so also while a cell blocks, and dies with the kernel.
        """
        self._portal.call(self._workload.guards.stop_when, predicate, self._workload.results)
        self._wake()

    # --- screens -----------------------------------------------------------------------------------------------

    @property
    def widget(self) -> Any:
        """The live widget, for a layout of your own: `VBox([controller.widget, …])`.

        Given wherever anywidget can be made: notebooks, marimo, Voilà, Solara, Panel, Shiny.
        """
        assert registry.widget is not None  # set when the package's names are used for the first time
        return registry.widget(self)

    def _ipython_display_(self) -> None:
        """Where no page of ours follows, an output that the kernel renews; elsewhere the MIME bundle."""
        if registry.show is None or not registry.show(self):
            raise NotImplementedError  # IPython then asks for the MIME bundle

    def _display_(self) -> Any:
        """How marimo shows it."""
        return self.widget

    def _wake(self) -> None:
        """Look at the workload now."""
        self._portal.call(self._workload.wake)

    def figure(self, kind: str = "timeline") -> Any:
        """A plotly figure.

        Args:
            kind: what ran when (`"timeline"`), the usage of each partition beside what was expected (`"usage"`), or how
                well the expectation was met, job by job and in the course of time (`"forecast-vs-actual"`).

        `figure.write_html("usage.html")` needs no network, nor does the page. `figure.write_image("usage.png")` needs
        the package kaleido (`pip install "qmode-widgets[export]"`) and an installed Chrome or Chromium; no network.
        """
        from .runs.figures import workload_figure

        return workload_figure(self.snapshot(), kind)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        if registry.display is not None:
            shown = registry.display(self)
            if shown is not None:
                return shown
        return {"text/plain": repr(self)}

    def __reduce__(self) -> NoReturn:
        raise QmodeError(
            f"a {type(self).__name__} lives in its process and cannot be pickled or copied: pickle its id and make "
            f"another with attach({self.id!r}, service), or pickle its snapshot() or result()"
        )

    def __str__(self) -> str:
        return table(self.snapshot())

    def __repr__(self) -> str:
        shot = self.snapshot()
        done = sum(j.state is JobState.DONE for j in shot.jobs if not j.superseded)
        total = sum(not j.superseded for j in shot.jobs)
        return f"<{type(self).__name__} {self.id} on {shot.backend}: {state_word(shot)}, {done} of {total} jobs done>"
